/* node_fit.h: whether a pod may be on a node by its own words: taints and tolerations, node
 * selector and required node affinity. All on decoded objects; the scheduler has its own, over
 * columns.
 */
#pragma once
#include "api/object.h"

/* A v1.Toleration against a v1.Taint (empty key with Exists: every taint; KEP-5471: Gt and Lt). */
bool toleration_covers(const struct val *toleration, const struct val *taint);
enum { TAINT_NO_SCHEDULE = 1, TAINT_NO_EXECUTE = 2 };
/* Whether all taints with one of the effects (bits above) are tolerated. */
bool tolerations_cover(const struct val *tolerations, const struct val *taints, int effects);
/* spec.nodeSelector and affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution of a
 * pod spec against a node. */
bool node_affinity_allows(const struct val *pod_spec, const struct val *node);
/* spec.nodeAffinity of a PersistentVolume against a node. */
bool volume_node_allows(const struct val *volume, const struct val *node);

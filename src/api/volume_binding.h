/* volume_binding.h: which PersistentVolume suits which claim (the rules of spec.claimRef, class,
 * access modes, capacity, selector); asked by the binder and by the scheduler, so that both answer
 * alike. All on decoded objects.
 */
#pragma once
#include "api/object.h"

#define LOCAL_CLASS       "local"                    /* the default StorageClass */
#define LOCAL_PROVISIONER "coxswain.local/directory" /* makes folders on nodes */
#define NO_PROVISIONER    "kubernetes.io/no-provisioner"
/* Of a Node: the folder where its agent keeps volumes of LOCAL_PROVISIONER. */
#define ANNOTATION_VOLUME_ROOT    "coxswain.local/volume-root"
#define ANNOTATION_SELECTED_NODE  "volume.kubernetes.io/selected-node"
#define ANNOTATION_BIND_COMPLETED "pv.kubernetes.io/bind-completed"
#define ANNOTATION_BOUND_BY       "pv.kubernetes.io/bound-by-controller"
#define ANNOTATION_PROVISIONED_BY "pv.kubernetes.io/provisioned-by"

struct str annotation_get(const struct val *object, const char *key);
/* Of a claim or a volume: the old annotation before the field. */
struct str volume_class_of(const struct val *object);
/* spec.volumeName is there and the binding is complete on the claim's side. */
bool claim_is_bound(const struct val *claim);
/* spec.claimRef names this claim: same namespace and name, and the same uid where it says one. */
bool volume_is_for(const struct val *volume, const struct val *claim);
/* The volume can be bound to the claim, claimRef aside; else ret_why says what differs. */
bool volume_satisfies(struct arena *arena, const struct val *volume, const struct val *claim,
                      const char **ret_why);
/* The best of `volumes` for an unbound claim: one that is meant for it, else the smallest that
 * satisfies it and belongs to nobody; `may_use` (or NULL) is asked besides (its node). NULL: none.
 */
const struct val *volume_choose(struct arena *arena, const struct val *const *volumes, size_t count,
                                const struct val *claim,
                                bool (*may_use)(void *ctx, const struct val *volume), void *ctx);

/* static_pods.h: pods of a folder of manifests (--pod-manifest-path): the agent runs them without
 * being told by the API, and shows each there as a mirror pod, which nobody else can change: a
 * mirror that is deleted is made again, and one whose file is gone goes. A pod's name gets
 * "-NODE" behind it, its uid is a hash of the file and the node, so a changed file is another pod.
 */
#pragma once
#include "node/agent_int.h"

struct static_pods;
/* Reads the folder, then every few seconds what changed in it; "": there is none, only mirrors that
 * an earlier one left are taken away. Sets agent->static_pods. */
void static_pods_start(struct agent *agent, const char *folder);
void static_pods_free(struct static_pods *pods); /* NULL is harmless */
/* A change of a pod in the API; false: it is no mirror, but a pod of its own. */
bool static_pods_mirror(struct static_pods *pods, struct object *old, struct object *now);

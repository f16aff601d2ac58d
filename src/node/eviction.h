/* eviction.h: what the agent does when the machine runs short, and about pods that use more local
 * storage than they may: upstream's eviction manager.
 *
 * Each 10 s: pods over a limit of their own (emptyDir sizeLimit, ephemeral-storage) are evicted;
 * then memory, the disk of pods and process ids are compared with the thresholds. A threshold that
 * is met sets the node's condition (for TRANSITION after it was last met), images that nobody uses
 * go first if it is the disk, then one pod a round: those that use more than they asked for, then
 * by priority, then by how much more.
 */
#pragma once
#include "node/agent_int.h"

enum eviction_condition { MEMORY_PRESSURE, DISK_PRESSURE, PID_PRESSURE, PRESSURES };

struct eviction;
/* `thresholds`: "memory.available<100Mi,nodefs.available<10%,..."; n 0: upstream's. ERR_INVALID. */
int eviction_start(struct agent *agent, struct str thresholds, int64_t transition_ns,
                   struct eviction **ret_eviction, struct err *err);
void eviction_free(struct eviction *eviction); /* NULL is harmless */
bool eviction_pressure(const struct eviction *eviction, enum eviction_condition condition);
/* Whether the node takes this pod now; the words of the refusal otherwise. */
bool eviction_admits(const struct eviction *eviction, const struct pod_view *view,
                     char *ret_message, size_t size);
/* Never evicted: system-critical priority, or a static pod. */
bool pod_is_critical(const struct pod_view *view);

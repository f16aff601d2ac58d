/* scheduler.h: from pending pods to bindings. A core without I/O: informers in, bindings and
 * statuses out.
 *
 * Same answers as the default kube-scheduler profile, computed on columnar state (engine.md 3). One
 * file per plugin and one table.
 */
#pragma once
#include "client/informer.h"

struct scheduler;
struct scheduler *scheduler_start(struct loop *loop, struct informers *informers,
                                  const char *name /* "default-scheduler" */);
void scheduler_stop(struct scheduler *scheduler);
/* Why a pod is where it is, or nowhere: {"state", "message", "nodes": [{"name", "reasons"}],
 * "change"}. A view of this moment, made on the scheduler's own state. On its loop; memory from
 * `arena`. */
struct val *scheduler_why(struct scheduler *scheduler, struct arena *arena, struct str ns,
                          struct str name);
size_t scheduler_pending(const struct scheduler *scheduler);

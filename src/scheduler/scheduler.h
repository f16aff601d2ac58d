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
size_t scheduler_pending(const struct scheduler *scheduler);

/* worker_int.h: between worker.c, container.c and status.c. */
#pragma once
#include "node/pod/worker.h"

void container_init(struct container *container, struct pod_worker *worker, struct str name,
                    enum container_kind kind);
void container_done(struct container *container);
void container_begin(struct container *container); /* WAITING: image, then start */
void container_stop(struct container *container, int64_t grace_ns, const char *why);
/* EXITED: another attempt, now or after its back-off. */
void container_restart(struct container *container);
void container_wait(struct container *container, const char *reason, const char *message);
bool container_should_restart(const struct container *container);
bool container_succeeded(const struct container *container);
void worker_event(struct pod_worker *worker, struct container *container, const char *type,
                  const char *reason, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* All init containers are done, sidecars started. */
bool worker_initialized(const struct pod_worker *worker);
bool worker_mains_over(const struct pod_worker *worker);

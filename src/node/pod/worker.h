/* worker.h: the life of one pod on this node, as a state machine without I/O.
 *
 * Inputs: versions of the pod object, answers of the operations it asked for, ends of containers,
 * probe results, timers of the loop. Outputs: the calls of struct pod_ops. Level-triggered: after
 * each input pod_worker_step() looks at everything and asks for what is missing, so a lost or
 * doubled input heals. Everything happens on one loop, real or simulated.
 *
 * Answers carry the attempt of the container they belong to; late ones are ignored.
 */
#pragma once
#include "base/list.h"
#include "io/loop.h"
#include "node/env/view.h"

enum container_kind { CONTAINER_INIT, CONTAINER_SIDECAR, CONTAINER_MAIN, CONTAINER_EPHEMERAL };
enum container_state {
    CONTAINER_WAITING,  /* nothing under way */
    CONTAINER_PULLING,  /* image asked for */
    CONTAINER_STARTING, /* start asked for */
    CONTAINER_RUNNING,
    CONTAINER_STOPPING, /* preStop, TERM, KILL */
    CONTAINER_EXITED,
    CONTAINER_BACKOFF, /* waits for its next attempt */
};
enum probe_kind { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS };
enum hook_kind { HOOK_POST_START, HOOK_PRE_STOP };

struct container_end {
    int exit_code;
    int64_t started_ns, finished_ns; /* wall; 0: unknown */
    char reason[64];                 /* Completed, Error, OOMKilled ... */
    char message[4097];              /* the termination message */
    char id[65];
};
struct pod_worker;
struct container {
    struct pod_worker *worker;
    char *name;
    enum container_kind kind;
    enum container_state state;
    uint32_t attempt;  /* raised at each begin and end: answers of older ones are ignored */
    uint32_t restarts; /* restartCount of the current (or next) run */
    bool has_run;
    char id[65]; /* current or latest */
    char image[512], image_id[128];
    char *reason, *message;    /* while waiting */
    int64_t started_ns;        /* wall, current run */
    bool started, ready;       /* of the current run */
    bool hook_pending;         /* postStart or preStop under way */
    bool killed;               /* SIGKILL was sent */
    bool stop_wanted;          /* stop as soon as it has started */
    bool restart_wanted;       /* whatever its policy says: it ended to be resized */
    char *resources;           /* what the current run has (JSON); NULL: not running */
    int64_t stop_deadline;     /* mono */
    struct container_end end;  /* of the current run, when EXITED */
    struct container_end last; /* of the run before */
    bool has_end, has_last;
    int64_t backoff_ns, pull_backoff_ns, retry_at; /* mono */
    struct timer timer;
    void *user;
};

enum pod_state {
    POD_NEW,
    POD_PREPARING, /* network, folders, volumes */
    POD_RUNNING,   /* prepared: containers come and go */
    POD_FINISHED,  /* Succeeded or Failed: nothing runs, nothing will */
    POD_TEARDOWN,
    POD_GONE,
};

struct pod_ops {
    void (*prepare)(struct pod_worker *worker);              /* -> pod_worker_prepared */
    void (*pull)(struct container *container);               /* -> container_pulled */
    void (*start)(struct container *container);              /* -> container_started|failed */
    void (*signal)(struct container *container, int signal); /* -> container_ended, some time */
    void (*hook)(struct container *container, enum hook_kind kind,
                 int64_t timeout_ns);            /* -> container_hook_done */
    void (*forget)(struct container *container); /* remove the remains of the ended run */
    void (*probes)(struct container *container, bool on);
    void (*settle)(struct pod_worker *worker);   /* finished: give back network and devices */
    void (*teardown)(struct pod_worker *worker); /* -> pod_worker_torn_down */
    void (*finalize)(struct pod_worker *worker); /* the last status, then delete the object */
    void (*changed)(struct pod_worker *worker);  /* status may differ */
    void (*resize)(struct pod_worker *worker);   /* the spec is new: resources may be; or NULL */
    void (*event)(struct pod_worker *worker, struct container *container, const char *type,
                  const char *reason, const char *message);
    void *ctx;
};

struct pod_worker {
    struct loop *loop;
    const struct pod_ops *ops;
    struct pod_view *view;
    enum pod_state state;
    /* init containers [0, init_count), then [init_count, main_end), then ephemeral ones, which may
     * be added while the pod lives; each in spec order */
    struct container **containers;
    size_t container_count, init_count, main_end;
    bool terminating, deleting, object_gone;
    bool network_ready; /* PodReadyToStartContainers */
    char ip[46];
    char reason[64], message[512]; /* status.reason of a pod that was ended (DeadlineExceeded) */
    char resize_reason[16], resize_message[256]; /* Deferred, Infeasible, Error; "": none */
    int64_t start_ns;                            /* status.startTime, wall */
    int64_t stop_deadline;                       /* mono: end of the grace period */
    int64_t prepare_backoff_ns;
    struct timer timer, deadline_timer, stop_timer;
    bool stepping, step_again;
    struct {
        int64_t changed_ns;
        int8_t status; /* 0 unknown, 1 true, -1 false */
    } conditions[8];   /* status.c's memory of transition times */
    struct str host_ip;
    void *user;
};

struct pod_worker *pod_worker_new(struct loop *loop, const struct pod_ops *ops,
                                  struct pod_view *view); /* takes a reference */
void pod_worker_free(struct pod_worker *worker);
void pod_worker_start(struct pod_worker *worker); /* after restoring containers */
/* A newer version of the object (takes a reference), or NULL: it is gone from the API. */
void pod_worker_update(struct pod_worker *worker, struct pod_view *view);
void pod_worker_step(struct pod_worker *worker);
/* Ends the pod for a reason of the node's (eviction, deadline); the object stays, as Failed.
 * grace_seconds below 0: the pod's own. */
void pod_worker_evict(struct pod_worker *worker, const char *reason, const char *message,
                      int64_t grace_seconds);

/* Before start: the node does not take the pod. It is Failed for that reason. */
void pod_worker_reject(struct pod_worker *worker, const char *reason, const char *message);

/* code 0, or why not (retried with back-off; the message goes into an event). */
void pod_worker_prepared(struct pod_worker *worker, const char *ip, const struct err *err);
void pod_worker_torn_down(struct pod_worker *worker, const struct err *err);

struct container *pod_worker_container(struct pod_worker *worker, struct str name);
/* A running container found again, or one that ended while nobody looked: before start. */
void container_restore_running(struct container *container, const char *id, uint32_t restarts,
                               int64_t started_ns, bool started, bool ready);
void container_restore_ended(struct container *container, uint32_t restarts,
                             const struct container_end *end);
/* reason NULL: present. ErrImagePull, ErrImageNeverPull, InvalidImageName ... */
void container_pulled(struct container *container, uint32_t attempt, const char *reason,
                      const char *message);
void container_started(struct container *container, uint32_t attempt, const char *id,
                       int64_t started_ns);
/* CreateContainerConfigError, CreateContainerError, RunContainerError. */
void container_failed(struct container *container, uint32_t attempt, const char *reason,
                      const char *message);
void container_ended(struct container *container, const struct container_end *end);
void container_hook_done(struct container *container, uint32_t attempt, enum hook_kind kind,
                         const char *failure /* NULL: fine */);
void container_probe_result(struct container *container, enum probe_kind kind, bool ok);
/* Ends the run; another one with the new resources follows. */
void container_restart_for_resize(struct container *container);
/* Something the container waits for may be there now (a ConfigMap, an image): try at once. */
void container_retry(struct container *container);

const struct val *
container_spec(const struct container *container);      /* its part of the pod's spec */
bool container_live(const struct container *container); /* STARTING, RUNNING or STOPPING */
/* status.c: the pod's status as a tape. */
struct val *pod_status_build(struct pod_worker *worker, struct arena *arena);
const char *pod_worker_phase(const struct pod_worker *worker);

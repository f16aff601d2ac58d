/* agent_int.h: the agent inside node/. One loop owns all of it; jobs get copies or counted views.
 *
 * struct pod_entry is the executor's side of a pod worker (worker->user), struct run that of a
 * container (container->user). Both live until no job holds them.
 */
#pragma once
#include "base/map.h"
#include "base/vec.h"
#include "client/informer.h"
#include "client/recorder.h"
#include "node/agent.h"
#include "node/image.h"
#include "node/pod/worker.h"
#include "node/runtime/runtime.h"
#include "node/runtime/spec.h"
#include "node/volume/volume.h"

struct prober;
struct lookup;
struct node_reporter;
struct stream_set;
struct access;
struct eviction;
struct static_pods;
#define AGENT_DIAL                                                                                 \
    "dial" /* no subresource of upstream: connections to pods, for the server only                 \
            */

struct run { /* one container's current (or latest) run */
    struct pod_entry *entry;
    struct container *container;
    char id[65];
    char *dir, *cgroup, *log_path, *message_path;
    pid_t pid, monitor_pid;
    struct pid_watch *watch;
    struct timer watch_again;
    int stop_signal;
    struct prober *probers[3]; /* by enum probe_kind */
    bool removing;
};

struct pod_token { /* one bound service account token of a pod */
    char *audience, *text;
    int64_t expiration_seconds, refresh_at_ns; /* wall */
    bool pending;
};

struct pod_entry {
    struct agent *agent;
    struct pod_worker *worker;
    char *uid, *ns, *name;
    char *pod_dir, *memory_dir, *cgroup, *log_dir;
    int holds; /* jobs and requests under way */
    bool dead; /* freed when the last hold goes */
    struct pod_network network;
    bool attached;
    bool is_static;        /* of a manifest on this node */
    char *mirror_uid;      /* of a static pod in the API; NULL: it is not there (yet) */
    int64_t disk_bytes;    /* on the node's disk, as last measured */
    char *runtime_program; /* of its RuntimeClass; NULL: the built-in one */
    char *pid_ns_path, *ipc_ns_path, *shm_path;
    pid_t pause_pid;
    struct {
        VEC_OF(char *);
    } lookups; /* keys this pod refers to */
    struct {
        VEC_OF(struct pod_token *);
    } tokens;
    bool preparing; /* waits for lookups or tokens */
    bool refreshing, refresh_again;
    bool no_config; /* finished or gone: volumes are no longer kept up */
    /* status */
    struct buf sent;
    bool status_dirty, status_busy, finalizing, delete_sent;
    struct timer status_retry;
    struct buf told; /* the last "Unsupported" event */
};

struct record { /* one container on disk */
    char id[65], pod_uid[64], pod_ns[256], pod_name[256], container[256];
    uint32_t restarts;
    int64_t started_ns; /* 0: being created */
    char image[512], image_id[128];
    struct container_end last;
    bool has_last;
    char dir[512];
    bool taken; /* by a pod that is still there */
};

struct agent {
    struct loop *loop;
    struct client *client;
    struct informers *informers; /* of the agent's own */
    struct informer *pods, *services, *own_node, *runtime_classes;
    struct recorder *recorder;
    struct pod_network_ops network;
    bool has_network;
    struct device_ops devices;
    bool has_devices;
    struct crun *crun;
    struct runtime_ops runtime;
    struct image_store *images;
    struct pod_ops pod_ops;
    struct map pod_entries; /* uid -> struct pod_entry */
    struct lookup *lookup;
    struct node_reporter *reporter;
    struct stream_set *streams;
    struct access *access;
    struct eviction *eviction;
    struct static_pods *static_pods;
    struct map pulls; /* reference -> struct pull */
    struct {
        VEC_OF(struct record);
    } records;
    bool recovered; /* informers are synced; orphans were removed */
    bool stopping;
    int holds;

    char *node_name, *root_dir, *data_dir, *run_dir, *log_dir, *cgroup_root, *self_path;
    char *memory_dir, *containers_dir, *images_dir, *volumes_dir, *pull_netns_path, *resolv_conf,
        *node_ip, *pod_cidr;
    char *unsafe_sysctls, *runtime_handlers;
    char *api_host, *kubelet_version, *cluster_dns, *cluster_domain, *labels, *mirrors;
    uint16_t api_port, kubelet_port;
    int max_pods;
    bool hardened, insecure_loopback;
    struct arena seccomp_arena;
    const struct val *seccomp_profile;
    int64_t cpu_milli, memory_bytes, storage_bytes;
    uint64_t capability_mask;
    int min_oom_score_adj;
    struct timer housekeeping;
    struct task flush_task;
    bool flush_queued;
};

/* agent.c */
struct pod_entry *agent_entry(struct agent *agent, struct str uid);
struct pod_entry *agent_entry_named(struct agent *agent, struct str ns, struct str name);
void agent_hold(struct agent *agent);
/* A pod that the API did not send. */
void agent_add_static(struct agent *agent, struct pod_view *view);
/* Images that no container here uses go, in the background. */
void agent_collect_images(struct agent *agent);
void agent_release(struct agent *agent); /* frees a stopped agent that nothing holds any more */
void entry_hold(struct pod_entry *entry);
void entry_release(struct pod_entry *entry); /* may free it */
void entry_remove(struct pod_entry *entry);  /* out of the map; freed when nothing holds it */
struct run *container_run(struct container *container);

/* admit.c: false: the node does not take the pod, which is Failed now */
bool entry_admit(struct pod_entry *entry);

/* Why a running pod's new requests cannot be had (a reason), or NULL. */
const char *entry_resize_obstacle(struct pod_entry *entry, char *ret_message, size_t size);
/* resize.c */
void entry_resize(struct pod_worker *worker);

/* prepare.c: network, folders, volumes of a pod; their refresh; taking them down */
void entry_prepare(struct pod_worker *worker);
void entry_prepare_continue(struct pod_entry *entry); /* a lookup or token arrived */
void entry_refresh_volumes(struct pod_entry *entry);
void entry_settle(struct pod_worker *worker);
void entry_teardown(struct pod_worker *worker);
/* What volume and environment code asks for; `services` memory from the arena. */
void entry_facts(struct pod_entry *entry, struct arena *arena, struct volume_facts *ret_facts);

/* start.c: containers */
void entry_start(struct container *container);
void entry_signal(struct container *container, int signal);
void entry_forget(struct container *container);
void run_watch(struct run *run); /* the end of the monitor becomes container_ended() */
void run_free(struct run *run);

/* pulling.c */
void entry_pull(struct container *container);
void agent_pulls_done(struct agent *agent);

/* record.c */
int record_write(const struct record *record, struct err *err);
bool record_read(const char *dir, struct record *ret_record);
void agent_load_records(struct agent *agent);
/* recover.c */
void entry_recover(struct pod_entry *entry); /* restores containers of the worker from records */
void agent_remove_orphans(struct agent *agent);

/* lookup.c: ConfigMaps and Secrets that pods here refer to, watched one by one */
struct lookup *lookup_new(struct agent *agent);
void lookup_free(struct lookup *lookup);
void lookup_add_pod(struct pod_entry *entry);
void lookup_remove_pod(struct pod_entry *entry);
bool lookup_known(struct pod_entry *entry); /* all of the pod's are (present or absent) */
enum lookup_kind { LOOKUP_CONFIG_MAP, LOOKUP_SECRET, LOOKUP_CLAIM, LOOKUP_VOLUME };
void lookup_refer(struct pod_entry *entry, enum lookup_kind kind, struct str name); /* watches it */
const struct val *lookup_get(const struct lookup *lookup, enum lookup_kind kind, struct str ns,
                             struct str name);
void lookup_sweep(struct lookup *lookup);

/* claims.c */
void claims_refer(struct pod_entry *entry); /* looks its claims and their volumes up */
/* What a volume with a claim is on this machine. ERR_UNAVAILABLE with the text of the event. Texts
 * are the lookup's. */
int claim_folder(struct pod_entry *entry, struct arena *arena, const struct val *volume,
                 struct volume_folder *ret_folder, struct err *err);
void claims_collect(struct agent *agent); /* removes folders of volumes that are gone */

/* token.c */
bool tokens_ready(struct pod_entry *entry); /* asks for what is missing */
struct str token_get(struct pod_entry *entry, const struct volume_token *token);
void tokens_refresh(struct pod_entry *entry);
void tokens_free(struct pod_entry *entry);

/* report.c: pod status and events */
void entry_changed(struct pod_worker *worker);
void entry_finalize(struct pod_worker *worker);
void entry_event(struct pod_worker *worker, struct container *container, const char *type,
                 const char *reason, const char *message);
void report_flush(struct agent *agent);
void entry_report_done(struct pod_entry *entry);

/* node.c: the Node object and its lease */
struct node_reporter *node_reporter_new(struct agent *agent);
void node_reporter_free(struct node_reporter *reporter);
bool node_reporter_ready(const struct node_reporter *reporter);
void node_reporter_changed(struct node_reporter *reporter);

/* unsupported.c */
void entry_tell_unsupported(struct pod_entry *entry);

/* probe/ */
void entry_probes(struct container *container, bool on);
void entry_hook(struct container *container, enum hook_kind kind, int64_t timeout_ns);

/* serve/log_file.c: the last lines of a CRI log, without their headers */
void agent_log_tail(const char *path, size_t max_bytes, size_t max_lines, struct buf *out);
/* serve/logs.c */
void agent_rotate_logs(struct agent *agent);

/* daemonset_int.h: the parts of the DaemonSet controller: daemonset.c (events, history, order of a
 * pass, status), daemonset_nodes.c (which pods are on which node and should be),
 * daemonset_rollout.c (replacing pods of an old template). */
#pragma once
#include "base/map.h"
#include "controllers/apps/revisions.h"
#include "controllers/pods.h"

struct recorder;
struct daemonsets {
    struct worker *worker;
    struct informer *sets, *pods, *nodes, *revisions;
    const struct api_resource *resource, *pod_resource, *revision_resource;
    struct recorder *recorder;
    struct pod_cache *briefs;
    struct map back_offs; /* "namespace/set/node" -> struct back_off */
};

struct daemon_node {
    struct object *object; /* held by the pass */
    struct pod_brief **pods;
    size_t count;
    bool runs;     /* a daemon pod should be made here */
    bool may_stay; /* one that is here may go on */
};

struct daemons { /* one pass over one set */
    struct daemonsets *all;
    struct object *object;
    struct val *value;
    struct selector selector;
    struct val *probe; /* spec of a pod of the template, with the tolerations all daemons have */
    struct revisions revisions;
    struct revision *current;
    struct str hash; /* of the current revision */
    struct pod_brief *pods;
    size_t pod_count;
    struct daemon_node *nodes; /* by name */
    size_t node_count;
    struct pod_brief **strays;
    size_t stray_count; /* unscheduled, for a node that is gone */
    /* to do */
    struct daemon_node **to_make;
    struct pod_brief **to_delete;
    size_t to_make_count, to_delete_count;
    size_t made, batch, failed_in_batch;
    void (*then)(struct pass *pass, void *arg);
};

/* ---- daemonset_nodes.c ---- */
void daemons_load(struct pass *pass, struct daemons *set);
void daemons_manage(struct pass *pass, struct daemons *set);
struct val *daemon_pod(struct pass *pass, const struct daemons *set, struct str node);
bool daemon_is_updated(const struct daemons *set, const struct pod_brief *pod);
bool daemon_is_available(const struct pass *pass, const struct daemons *set,
                         const struct pod_brief *pod);
/* The first of a node's pods: scheduled ones, then the oldest. */
void daemon_sort(struct daemon_node *node);
/* Sends what to_make and to_delete say (at most 250 of each), slowly at first, then goes on with
 * `then`. */
void daemons_send(struct pass *pass, struct daemons *set,
                  void (*then)(struct pass *pass, void *arg));

/* ---- daemonset_rollout.c ---- */
void daemons_plan_rollout(struct pass *pass, struct daemons *set);
int64_t daemons_max_surge(const struct daemons *set, int64_t desired);

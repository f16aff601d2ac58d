/* pods.h: what controllers ask of pods. */
#pragma once
#include "controllers/children.h"

enum pod_phase { POD_PENDING, POD_UNKNOWN, POD_RUNNING, POD_SUCCEEDED, POD_FAILED };

/* The few facts that counts and rankings need; read once from each state of a pod. */
struct pod_brief {
    struct object *object; /* borrowed */
    enum pod_phase phase;
    bool ready, scheduled;
    int64_t ready_since, created; /* wall ns; ready_since 0: unknown */
    int64_t deletion_cost;        /* controller.kubernetes.io/pod-deletion-cost */
    int restarts;                 /* the most of a container's */
    int sidecar_restarts;
    struct str node; /* into `arena` of the call */
    int rank;        /* for the caller */
};
void pod_brief(struct arena *arena, struct object *object, struct pod_brief *ret_brief);
/* The same, read once from each state of a pod and kept as long as the informer shows it: for
 * controllers that look at many pods in every pass. */
struct pod_cache;
struct pod_cache *pod_cache_new(struct informer *pods);
void pod_cache_free(struct pod_cache *cache);
/* ret_brief->node is valid until the loop's next turn. */
void pod_cache_get(struct pod_cache *cache, struct object *object, struct pod_brief *ret_brief);
/* Neither finished nor being deleted. */
static inline bool pod_is_active(const struct pod_brief *pod)
{
    return pod->phase != POD_SUCCEEDED && pod->phase != POD_FAILED && !pod->object->deleting;
}
static inline bool pod_is_finished(const struct pod_brief *pod)
{
    return pod->phase == POD_SUCCEEDED || pod->phase == POD_FAILED;
}
/* Ready for at least min_ready_s. */
bool pod_is_available(const struct pod_brief *pod, int64_t min_ready_s, int64_t now_wall);
/* Order of deletion when a set shrinks (KEP-2255, pod deletion cost; KEP-2185, log scale of ages):
 * those to delete first come first. */
void pods_rank_for_deletion(struct pod_brief **pods, size_t count, int64_t now_wall);

/* An IntOrString of `total` pods (maxSurge, minAvailable ...): a number as it is, a percentage
 * rounded up or down; `otherwise` when absent. */
int64_t pods_scaled(const struct val *value, int64_t total, bool up, int64_t otherwise);

/* spec.nodeName and status.phase without decoding: fields that the resource indexes. */
struct str pod_node_name(const struct object *pod);
struct str pod_phase_text(const struct object *pod);
/* The informer's index of pods by node; made once. */
void pods_index_by_node(struct informer *informer);
void pods_on_node(const struct informer *informer, struct str node,
                  bool (*visit)(void *ctx, struct object *object), void *ctx);
/* A strategic patch of the pod's status with one condition (the others stay: they are merged by
 * type). `phase` NULL: as it is. */
struct val *pod_condition_patch(struct pass *pass, const struct object *pod, const char *phase,
                                const char *type, const char *status, const char *reason,
                                const char *message);

/* metadata of a new pod from a template: labels, annotations, finalizers, generateName and owner;
 * and its spec. */
struct val *pod_from_template(struct arena *arena, const struct val *template,
                              const struct object *owner);

struct val *condition_find(const struct val *status, struct str type);

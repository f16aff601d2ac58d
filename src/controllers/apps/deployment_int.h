/* deployment_int.h: the parts of the Deployment controller: deployment.c (events, order of a pass),
 * deployment_rollout.c (sizes), deployment_status.c (counts and conditions). */
#pragma once
#include "controllers/pods.h"

struct recorder;
struct deployments {
    struct worker *worker;
    struct informer *deployments, *sets, *pods;
    const struct api_resource *resource, *set_resource;
    struct recorder *recorder;
};

struct rollout_set { /* one ReplicaSet of the Deployment */
    struct object *object;
    struct val *value; /* decoded; edited in place */
    int64_t replicas;  /* spec, as planned so far */
    int64_t was;       /* spec, as the informer shows it */
    int64_t actual, ready, available, terminating;
    int64_t created, revision;
    bool dirty; /* must be written */
    bool sized; /* its size was planned: the annotations of the size go with it */
};

struct rollout { /* one pass over one Deployment */
    struct deployments *all;
    struct object *object;
    struct val *value;
    struct selector selector;
    struct rollout_set *sets; /* oldest first */
    size_t count;
    struct rollout_set *current; /* of the present template ("new replica set"), or NULL */
    int64_t replicas, max_surge, max_unavailable;
    bool recreate, paused;
    const char *hash; /* pod-template-hash of the present template */
    /* what happened in this pass, for the Progressing condition */
    const char *created_name, *found_name;
    const char *create_error;
    bool plain_status; /* paused or scaling: Progressing is left alone */
};

#define ANNOTATION_REVISION "deployment.kubernetes.io/revision"
#define ANNOTATION_HISTORY  "deployment.kubernetes.io/revision-history"
#define ANNOTATION_DESIRED  "deployment.kubernetes.io/desired-replicas"
#define ANNOTATION_MAX      "deployment.kubernetes.io/max-replicas"
#define LABEL_HASH          "pod-template-hash"

/* ---- deployment_rollout.c: plans sizes into sets[].replicas ---- */
void rollout_set_size(struct rollout *rollout, struct rollout_set *set, int64_t replicas);
int64_t rollout_first_size(const struct rollout *rollout); /* of a new set to be made */
void rollout_plan_scaling(struct rollout *rollout);        /* spec.replicas changed, or paused */
bool rollout_is_scaling(const struct rollout *rollout);
void rollout_plan_rolling(struct rollout *rollout);
/* Recreate: true once the new set may be made or grown (no old pod is left). */
bool rollout_plan_recreate(struct rollout *rollout);
int64_t rollout_sum(const struct rollout *rollout); /* of planned sizes */
void rollout_max(struct rollout *rollout);          /* max_surge, max_unavailable of the spec */

/* ---- deployment_status.c ---- */
/* Counts and conditions into `status`; asks for a later pass when a deadline is running. */
void rollout_status(struct pass *pass, struct rollout *rollout, struct val *status);
bool rollout_is_complete(const struct rollout *rollout, const struct val *status);
bool rollout_same_status(const struct val *a, const struct val *b);

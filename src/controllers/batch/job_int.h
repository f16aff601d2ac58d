/* job_int.h: the parts of the Job controller: job.c (events, order of a pass), job_pods.c (making
 * and ending pods), job_status.c (counting and conditions), job_policy.c (podFailurePolicy,
 * successPolicy), job_index.c (sets of completion indexes). */
#pragma once
#include "base/map.h"
#include "controllers/pods.h"

#define JOB_FINALIZER      "batch.kubernetes.io/job-tracking"
#define JOB_INDEX          "batch.kubernetes.io/job-completion-index"
#define JOB_INDEX_FAILURES "batch.kubernetes.io/job-index-failure-count"
#define JOB_INDEX_IGNORED  "batch.kubernetes.io/job-index-ignored-failure-count"
#define JOB_MANAGER        "kubernetes.io/job-controller"

struct recorder;
struct jobs {
    struct worker *worker;
    struct worker *orphans; /* pods with our finalizer whose Job is gone */
    struct informer *jobs, *pods;
    const struct api_resource *resource, *pod_resource;
    struct recorder *recorder;
    struct pod_cache *briefs;
    struct map *backoffs; /* job uid -> struct job_backoff */
};
struct job_backoff {
    int failures;    /* in a row */
    int64_t last_ns; /* wall: of the last failure */
};

/* ---- job_index.c ---- */
struct index_set { /* bits [0, size) */
    uint64_t *bits;
    int64_t size, count;
};
void index_set_init(struct arena *arena, struct index_set *set, int64_t size);
bool index_set_has(const struct index_set *set, int64_t index);
void index_set_add(struct index_set *set, int64_t index); /* out of range: nothing */
/* "1,3-5"; what is out of range is left out. */
void index_set_parse(struct index_set *set, struct str text);
struct str index_set_text(struct arena *arena, const struct index_set *set);

/* ---- one pass ---- */
enum job_failure_action { JOB_COUNT, JOB_IGNORE, JOB_FAIL_INDEX, JOB_FAIL_JOB };
struct job_pod {
    struct pod_brief brief;
    struct val *value;      /* NULL: not looked inside */
    int64_t index;          /* completion index, or -1 */
    int64_t index_failures; /* annotation */
    int64_t index_ignored;
    bool tracked; /* has our finalizer */
    bool failed;  /* counts as failed */
    bool succeeded;
    bool uncounted; /* its uid is in status.uncountedTerminatedPods */
    enum job_failure_action action;
    int64_t finished; /* wall */
};
struct job_index {
    struct job_pod *holder;      /* the oldest active pod of the index */
    struct job_pod *last_failed; /* that failed after the most others */
    int64_t attempts;            /* the most that a pod of it came after */
    bool taken;                  /* active, or waited for */
};
struct job_pass {
    struct jobs *all;
    struct object *object;
    struct val *job;
    struct job_pod *pods;
    size_t count;
    /* spec */
    bool indexed, suspended, on_failure, only_replace_failed, per_index;
    int64_t completions; /* -1: none */
    int64_t parallelism, backoff_limit, index_limit;
    /* counts: status, uncounted and new ones together */
    int64_t active, terminating, ready, succeeded, failed, new_failed, new_succeeded;
    struct index_set completed, failed_indexes; /* new ones too */
    struct index_set stored_completed;          /* only what the status says */
    struct job_index *by_index;                 /* Indexed: one a completion index */
    /* why it ends, when it does */
    const char *end_type; /* "SuccessCriteriaMet", "FailureTarget" or NULL */
    const char *end_reason, *end_message;
    /* making pods */
    int64_t missing, batch, failed_in_batch;
    int64_t *indexes; /* to make, when indexed */
    size_t next_index;
    int64_t wait_ns; /* > 0: something is delayed that long */
    bool tell_end;   /* the status under way ends the Job */
};

/* ---- job_policy.c ---- */
/* What podFailurePolicy says of a failed pod; message (arena) for JOB_FAIL_JOB. */
enum job_failure_action job_policy_match(struct arena *arena, const struct val *job,
                                         const struct val *pod, const char **ret_message);
/* The first matching rule of successPolicy, or -1. */
int job_success_rule(struct arena *arena, const struct val *job, const struct index_set *completed);

/* ---- job_pods.c ---- */
/* Sends what brings the number of active pods to what it should be. */
void job_manage(struct pass *pass, struct job_pass *work);
void job_delete_active(struct pass *pass, struct job_pass *work);
bool job_pod_is_active(const struct job_pod *pod);

/* ---- job_status.c ---- */
/* ---- job.c ---- */
/* Whether and why the Job has come to an end, into end_*. */
void job_decide_end(struct pass *pass, struct job_pass *work);

bool job_is_finished(const struct val *job);
/* Failures in a row with those that are not noted yet. */
struct job_backoff job_backoff_now(const struct job_pass *work);
/* Counts, uncounted pods and conditions into a fresh copy; writes it when it differs, then removes
 * finalizers of what has been noted. */
void job_write_status(struct pass *pass, struct job_pass *work);
/* Reads job and pods as the informers show them now into `work`. False: the Job is gone. */
bool job_load(struct pass *pass, struct job_pass *work);

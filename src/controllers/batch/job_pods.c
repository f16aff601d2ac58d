/* Making and ending the pods of a Job.
 *
 * Creation starts slowly (1, 2, 4 ...). Pods that are one too many, or of a suspended Job, lose our
 * finalizer before they are deleted: their end is nobody's failure and is not counted. Pods of a
 * Job that has failed keep it: they are counted as they end.
 */
#include <stdlib.h>

#include "client/recorder.h"
#include "controllers/batch/job_int.h"

enum { BURST = 500 };
#define BACKOFF_FIRST (10 * NS_PER_S)
#define BACKOFF_MAX   (600 * NS_PER_S)

bool job_pod_is_active(const struct job_pod *pod)
{
    return pod_is_active(&pod->brief);
}

/* ---- deleting ---- */

static void on_deleted(struct pass *pass, void *arg, const struct client_result *result)
{
    struct job_pass *work = arg;
    if (result->code != 0 && result->code != ERR_NOT_FOUND) {
        recorder_event(work->all->recorder, work->object, "Warning", "FailedDelete",
                       "Error deleting: %s", result->error.message);
        pass_retry(pass);
    }
}

static void delete_pod(struct pass *pass, struct job_pass *work, struct object *pod)
{
    recorder_event(work->all->recorder, work->object, "Normal", "SuccessfulDelete",
                   "Deleted pod: %.*s", STR_ARG(pod->name));
    pass_delete(pass, pod, NULL, -1, on_deleted, work);
}

struct untracked {
    struct job_pass *work;
    struct object *pod;
};

static void on_untracked(struct pass *pass, void *arg, const struct client_result *result)
{
    struct untracked *untracked = arg;
    if (result->code == 0) {
        delete_pod(pass, untracked->work, untracked->pod);
    } else if (result->code != ERR_NOT_FOUND) {
        pass_fail(pass);
    }
}

static void delete_untracked(struct pass *pass, struct job_pass *work, struct job_pod *pod)
{
    struct object *object = pass_hold(pass, pod->brief.object);
    if (!pod->tracked) {
        delete_pod(pass, work, object);
        return;
    }
    struct untracked *untracked = arena_new(pass->arena, struct untracked);
    *untracked = (struct untracked){work, object};
    struct val *meta, *body = pass_patch_body(pass, object, &meta);
    struct val *list =
        val_make_array(pass->arena, meta, STR("$deleteFromPrimitiveList/finalizers"));
    val_append(list, val_new_text(pass->arena, STR(JOB_FINALIZER)));
    pass_patch(pass, object, CLIENT_PATCH_STRATEGIC, "", body, on_untracked, untracked);
}

void job_delete_active(struct pass *pass, struct job_pass *work)
{
    for (size_t i = 0; i < work->count; i++) {
        if (job_pod_is_active(&work->pods[i])) {
            delete_pod(pass, work, pass_hold(pass, work->pods[i].brief.object));
        }
    }
}

/* Pods of an Indexed Job that stand for no index, or for one that another active pod has too. */
static bool is_redundant(const struct job_pass *work, size_t at)
{
    const struct job_pod *pod = &work->pods[at];
    if (!work->indexed) {
        return false;
    }
    if (pod->index < 0 || pod->index >= work->completions) {
        return true;
    }
    return work->by_index[pod->index].holder != pod;
}

/* Deletes at least `surplus` active pods; returns how many. */
static int64_t delete_surplus(struct pass *pass, struct job_pass *work, int64_t surplus)
{
    struct pod_brief **rest = arena_array(pass->arena, struct pod_brief *, work->count + 1);
    size_t count = 0;
    int64_t done = 0;
    for (size_t i = 0; i < work->count; i++) {
        if (!job_pod_is_active(&work->pods[i])) {
            continue;
        }
        if (is_redundant(work, i)) {
            delete_untracked(pass, work, &work->pods[i]);
            done++;
        } else {
            rest[count++] = &work->pods[i].brief;
        }
    }
    pods_rank_for_deletion(rest, count, pass->now);
    for (size_t i = 0; i < count && done < surplus; i++, done++) {
        delete_untracked(pass, work, container_of(rest[i], struct job_pod, brief));
    }
    return done;
}

/* ---- indexes ---- */

static int64_t backoff(int64_t failures)
{
    int64_t delay = BACKOFF_FIRST;
    for (int64_t i = 1; i < failures && delay < BACKOFF_MAX; i++) {
        delay *= 2;
    }
    return delay < BACKOFF_MAX ? delay : BACKOFF_MAX;
}

static int64_t index_delay(struct pass *pass, const struct job_pass *work, int64_t index)
{
    const struct job_pod *last = work->per_index ? work->by_index[index].last_failed : NULL;
    if (last == NULL || last->action == JOB_IGNORE) {
        return 0;
    }
    return last->finished + backoff(last->index_failures + 1) - pass->now;
}

/* The lowest indexes that are neither done nor taken; those in back-off are left for later. */
static int64_t choose_indexes(struct pass *pass, struct job_pass *work, int64_t most)
{
    int64_t count = 0;
    work->indexes = arena_array(pass->arena, int64_t, most + 1);
    for (int64_t i = 0; i < work->completions && count < most; i++) {
        if (index_set_has(&work->completed, i) || index_set_has(&work->failed_indexes, i) ||
            work->by_index[i].taken) {
            continue;
        }
        int64_t delay = index_delay(pass, work, i);
        if (delay <= 0) {
            work->indexes[count++] = i;
        } else if (work->wait_ns == 0 || delay < work->wait_ns) {
            work->wait_ns = delay;
        }
    }
    return count;
}

/* ---- creating ---- */

static void add_index_variable(struct arena *arena, const struct val *containers)
{
    for (struct val *it = containers != NULL ? containers->child : NULL; it != NULL;
         it = it->next) {
        struct val *list = val_make_array(arena, it, STR("env"));
        if (val_find(list, "name", STR("JOB_COMPLETION_INDEX")) != NULL) {
            continue;
        }
        struct val *variable = val_append(list, val_new(arena, VAL_OBJECT));
        val_set_text(arena, variable, STR("name"), STR("JOB_COMPLETION_INDEX"));
        struct val *from = val_make_object(arena, variable, STR("valueFrom"));
        val_set_text(arena, val_make_object(arena, from, STR("fieldRef")), STR("fieldPath"),
                     STR("metadata.labels['" JOB_INDEX "']"));
    }
}

static void set_failure_counts(struct arena *arena, const struct job_pass *work, struct val *notes,
                               int64_t index)
{
    const struct job_pod *last = work->by_index[index].last_failed;
    bool ignored = last != NULL && last->action == JOB_IGNORE;
    int64_t failures = last == NULL ? 0 : last->index_failures + !ignored;
    int64_t ignores = last == NULL ? 0 : last->index_ignored + ignored;
    val_set_text(arena, notes, STR(JOB_INDEX_FAILURES),
                 str_of(arena_printf(arena, "%lld", (long long)failures)));
    if (ignores > 0) {
        val_set_text(arena, notes, STR(JOB_INDEX_IGNORED),
                     str_of(arena_printf(arena, "%lld", (long long)ignores)));
    }
}

static void set_index(struct arena *arena, const struct job_pass *work, struct val *pod,
                      int64_t index)
{
    struct str text = str_of(arena_printf(arena, "%lld", (long long)index));
    struct val *meta = val_get(pod, "metadata"), *spec = val_get(pod, "spec");
    struct val *notes = val_make_object(arena, meta, STR("annotations"));
    struct str name = work->object->name;
    val_set_text(arena, val_make_object(arena, meta, STR("labels")), STR(JOB_INDEX), text);
    val_set_text(arena, notes, STR(JOB_INDEX), text);
    if (work->per_index) {
        set_failure_counts(arena, work, notes, index);
    }
    val_set_text(arena, meta, STR("generateName"),
                 str_of(arena_printf(arena, "%.*s-%lld-", (int)(name.n > 50 ? 50 : name.n), name.p,
                                     (long long)index)));
    const char *hostname = arena_printf(arena, "%.*s-%lld", STR_ARG(name), (long long)index);
    val_set_text(arena, spec, STR("hostname"), str_of(hostname));
    add_index_variable(arena, val_get(spec, "containers"));
    add_index_variable(arena, val_get(spec, "initContainers"));
}

static struct val *new_pod(struct pass *pass, struct job_pass *work)
{
    struct arena *arena = pass->arena;
    struct val *pod = pod_from_template(arena, val_path(work->job, "spec.template"), work->object);
    struct val *list = val_make_array(arena, val_get(pod, "metadata"), STR("finalizers"));
    val_append(list, val_new_text(arena, STR(JOB_FINALIZER)));
    if (work->indexed) {
        set_index(arena, work, pod, work->indexes[work->next_index++]);
    }
    return pod;
}

static void on_created(struct pass *pass, void *arg, const struct client_result *result)
{
    struct job_pass *work = arg;
    if (result->code == 0) {
        if (result->object != NULL) {
            recorder_event(work->all->recorder, work->object, "Normal", "SuccessfulCreate",
                           "Created pod: %.*s", STR_ARG(result->object->name));
        }
        return;
    }
    work->failed_in_batch++;
    if (pass_namespace_ends(result)) {
        return; /* the namespace is going away */
    }
    recorder_event(work->all->recorder, work->object, "Warning", "FailedCreate",
                   "Error creating: %s", result->error.message);
    pass_retry(pass);
}

static void finish_creating(struct pass *pass, struct job_pass *work)
{
    if (job_load(pass, work)) {
        job_write_status(pass, work);
    }
}

static void create_batch(struct pass *pass, void *arg)
{
    struct job_pass *work = arg;
    if (work->failed_in_batch > 0 || work->missing <= 0) {
        finish_creating(pass, work);
        return;
    }
    int64_t count = work->batch < work->missing ? work->batch : work->missing;
    for (int64_t i = 0; i < count; i++) {
        pass_create(pass, work->all->pod_resource, pass->ns, new_pod(pass, work), on_created, work);
    }
    work->missing -= count;
    work->batch *= 2;
    pass_then(pass, create_batch, work);
}

static int64_t wanted_active(const struct job_pass *work)
{
    int64_t wanted;
    if (work->suspended) {
        return 0;
    }
    if (work->completions < 0) { /* any success is enough: those that run may end */
        return work->succeeded > 0
                   ? (work->active < work->parallelism ? work->active : work->parallelism)
                   : work->parallelism;
    }
    wanted =
        work->completions - work->succeeded - (work->per_index ? work->failed_indexes.count : 0);
    wanted = wanted < work->parallelism ? wanted : work->parallelism;
    return wanted > 0 ? wanted : 0;
}

static int64_t backoff_left(struct pass *pass, const struct job_pass *work)
{
    struct job_backoff now = job_backoff_now(work);
    return now.failures == 0 || work->per_index ? 0
                                                : now.last_ns + backoff(now.failures) - pass->now;
}

void job_manage(struct pass *pass, struct job_pass *work)
{
    int64_t wanted = wanted_active(work);
    work->missing = 0;
    work->batch = 1;
    size_t redundant = 0;
    for (size_t i = 0; work->indexed && i < work->count; i++) {
        redundant += job_pod_is_active(&work->pods[i]) && is_redundant(work, i);
    }
    if (work->active > wanted || redundant > 0) {
        delete_surplus(pass, work, work->active - wanted);
    } else if (work->active < wanted) {
        int64_t delay = backoff_left(pass, work);
        int64_t there = work->active + (work->only_replace_failed ? work->terminating : 0);
        int64_t missing = wanted - there < BURST ? wanted - there : BURST;
        if (delay > 0) {
            work->wait_ns = delay;
        } else if (missing > 0) {
            work->missing = work->indexed ? choose_indexes(pass, work, missing) : missing;
        }
        if (work->wait_ns > 0) {
            pass_after(pass, work->wait_ns + NS_PER_MS);
        }
    }
    pass_then(pass, create_batch, work);
}

/* The Deployment controller: rollouts of a template through ReplicaSets.
 *
 * A pass claims the sets, finds the one of the present template, keeps revisions and annotations in
 * step, plans sizes (deployment_rollout.c), writes what changed, and last the status
 * (deployment_status.c). An update carries the resourceVersion it was planned from: a plan on
 * outdated numbers is refused and made again.
 *
 * pod-template-hash is our own: FNV-1a of the template's canonical bytes and collisionCount.
 * Nothing compares it with another implementation's; equal templates find their set by comparing
 * templates.
 *
 * Left to others: `kubectl rollout undo` (it patches the template), removal of a deleted
 * Deployment's sets (garbage collector).
 */
#include <stdlib.h>

#include "base/mem.h"
#include "client/owners.h"
#include "client/recorder.h"
#include "controllers/apps/deployment_int.h"
#include "controllers/apps/revisions.h"
#include "controllers/table_int.h"

enum { PARALLEL = 5, HISTORY_TEXT_MAX = 2000 };

/* ---- loading ---- */

static const struct val *annotations_of(const struct val *object)
{
    return val_path(object, "metadata.annotations");
}

static int64_t revision_of(const struct val *object)
{
    int64_t revision;
    struct str text = val_text(val_get_str(annotations_of(object), STR(ANNOTATION_REVISION)));
    return str_i64(text, &revision) ? revision : 0;
}

static void load_set(struct pass *pass, struct object *object, struct rollout_set *set)
{
    struct val *value = object_decode(object, pass->arena);
    const struct val *status = val_get(value, "status");
    *set = (struct rollout_set){.object = pass_hold(pass, object), .value = value};
    set->replicas = set->was = val_int(val_path(value, "spec.replicas"), 1);
    set->actual = val_int(val_get(status, "replicas"), 0);
    set->ready = val_int(val_get(status, "readyReplicas"), 0);
    set->available = val_int(val_get(status, "availableReplicas"), 0);
    set->terminating = val_int(val_get(status, "terminatingReplicas"), 0);
    set->revision = revision_of(value);
    time_parse(val_text(val_path(value, "metadata.creationTimestamp")), &set->created);
}

static int compare_age(const void *a, const void *b)
{
    const struct rollout_set *one = a, *two = b;
    return one->created != two->created ? (one->created < two->created ? -1 : 1)
                                        : str_cmp(one->object->name, two->object->name);
}

/* A copy of a template without our own label. */
static struct val *plain_template(struct arena *arena, const struct val *template)
{
    struct val *copy = val_copy(arena, template);
    struct val *meta = val_get(copy, "metadata");
    struct val *labels = val_get(meta, "labels");
    if (labels != NULL && val_unset(labels, STR(LABEL_HASH)) && labels->count == 0) {
        val_unset(meta, STR("labels"));
    }
    return copy;
}

static bool is_same_template(struct arena *arena, const struct val *a, const struct val *b)
{
    return val_equal(plain_template(arena, a), plain_template(arena, b));
}

static void load_sets(struct pass *pass, struct rollout *rollout, const struct objects *mine)
{
    rollout->sets = arena_array(pass->arena, struct rollout_set, mine->count + 1);
    rollout->count = mine->count;
    rollout->current = NULL;
    for (size_t i = 0; i < mine->count; i++) {
        load_set(pass, mine->items[i], &rollout->sets[i]);
    }
    qsort(rollout->sets, rollout->count, sizeof *rollout->sets, compare_age);
    const struct val *template = val_path(rollout->value, "spec.template");
    for (size_t i = 0; i < rollout->count && rollout->current == NULL; i++) {
        if (is_same_template(pass->arena, template,
                             val_path(rollout->sets[i].value, "spec.template"))) {
            rollout->current = &rollout->sets[i];
        }
    }
}

static void load_spec(struct rollout *rollout)
{
    const struct val *spec = val_get(rollout->value, "spec");
    rollout->replicas = val_int(val_get(spec, "replicas"), 1);
    rollout->paused = val_bool(val_get(spec, "paused"), false);
    rollout->recreate = str_is(val_text(val_path(spec, "strategy.type")), "Recreate");
    rollout_max(rollout);
}

static void set_annotation(struct arena *arena, struct val *object, const char *key,
                           struct str value)
{
    struct val *meta = val_make_object(arena, object, STR("metadata"));
    val_set_text(arena, val_make_object(arena, meta, STR("annotations")), str_of(key), value);
}

static struct str number_text(struct arena *arena, int64_t number)
{
    return str_of(arena_printf(arena, "%lld", (long long)number));
}

/* The revision of the present set is the Deployment's. It is written with the status: an update of
 * the main resource would count as a change of what is wanted (generation). */
static bool copy_revision(struct arena *arena, struct rollout *rollout)
{
    const struct rollout_set *set = rollout->current;
    if (set == NULL || set->revision == 0 || rollout->object->deleting ||
        revision_of(rollout->value) == set->revision) {
        return false;
    }
    set_annotation(arena, rollout->value, ANNOTATION_REVISION, number_text(arena, set->revision));
    return true;
}

/* ---- status ---- */

static void write_status(struct pass *pass, void *arg)
{
    struct rollout *rollout = arg;
    struct deployments *all = rollout->all;
    struct object *now = informer_get(all->deployments, pass->ns, pass->name);
    if (now == NULL || !str_eq(now->uid, rollout->object->uid)) {
        return;
    }
    rollout->object = pass_hold(pass, now);
    rollout->value = object_decode(now, pass->arena);
    load_spec(rollout);
    struct objects mine;
    children_of(pass->arena, all->sets, now->uid, &mine);
    load_sets(pass, rollout, &mine);
    struct val *old = val_copy(pass->arena, val_get(rollout->value, "status"));
    struct val *status = val_make_object(pass->arena, rollout->value, STR("status"));
    rollout_status(pass, rollout, status);
    bool moved = copy_revision(pass->arena, rollout);
    if (moved || !rollout_same_status(old, status)) {
        pass_update(pass, all->resource, "status", rollout->value, NULL, NULL);
    }
}

/* ---- revisions and annotations ---- */

static bool is_own_annotation(struct str key)
{
    return str_is(key, "kubectl.kubernetes.io/last-applied-configuration") ||
           str_is(key, ANNOTATION_REVISION) || str_is(key, ANNOTATION_HISTORY) ||
           str_is(key, ANNOTATION_DESIRED) || str_is(key, ANNOTATION_MAX) ||
           str_is(key, "deprecated.deployment.rollback.to");
}

static bool copy_annotations(struct arena *arena, const struct val *deployment, struct val *set)
{
    bool changed = false;
    VAL_EACH (it, annotations_of(deployment)) {
        if (is_own_annotation(it->key)) {
            continue;
        }
        struct val *meta = val_make_object(arena, set, STR("metadata"));
        struct val *to = val_make_object(arena, meta, STR("annotations"));
        if (!str_eq(val_text(val_get_str(to, it->key)), it->text) ||
            val_get_str(to, it->key) == NULL) {
            val_set_text(arena, to, it->key, it->text);
            changed = true;
        }
    }
    return changed;
}

/* "2,5,9": where this set was the current one before; the oldest entries go when it is too long. */
static struct str history_with(struct arena *arena, struct str history, int64_t revision)
{
    struct str added = number_text(arena, revision);
    while (history.n > 0 && history.n + 1 + added.n > HISTORY_TEXT_MAX) {
        str_cut(history, ',', &history);
    }
    return history.n == 0
               ? added
               : str_of(arena_printf(arena, "%.*s,%.*s", STR_ARG(history), STR_ARG(added)));
}

static int64_t next_revision(const struct rollout *rollout)
{
    int64_t most = 0;
    for (size_t i = 0; i < rollout->count; i++) {
        if (&rollout->sets[i] != rollout->current && rollout->sets[i].revision > most) {
            most = rollout->sets[i].revision;
        }
    }
    return most + 1;
}

static void sync_current(struct pass *pass, struct rollout *rollout)
{
    struct rollout_set *set = rollout->current;
    struct arena *arena = pass->arena;
    int64_t revision = next_revision(rollout);
    set->dirty |= copy_annotations(arena, rollout->value, set->value);
    if (set->revision < revision) {
        if (set->revision > 0) {
            struct str history =
                val_text(val_get_str(annotations_of(set->value), STR(ANNOTATION_HISTORY)));
            set_annotation(arena, set->value, ANNOTATION_HISTORY,
                           history_with(arena, history, set->revision));
        }
        set_annotation(arena, set->value, ANNOTATION_REVISION, number_text(arena, revision));
        set->revision = revision;
        set->dirty = true;
    }
    int64_t min_ready = val_int(val_path(rollout->value, "spec.minReadySeconds"), 0);
    if (val_int(val_path(set->value, "spec.minReadySeconds"), 0) != min_ready) {
        val_set_int(arena, val_get(set->value, "spec"), STR("minReadySeconds"), min_ready);
        set->dirty = true;
    }
    rollout->found_name = str_dup_in(arena, set->object->name);
}

/* ---- writing sets ---- */

struct scaling {
    struct rollout *rollout;
    struct object *object;
    int64_t from, to;
};

static void tell_scaled(struct rollout *rollout, struct str name, int64_t from, int64_t to)
{
    recorder_event(rollout->all->recorder, rollout->object, "Normal", "ScalingReplicaSet",
                   "Scaled %s replica set %.*s from %lld to %lld", to > from ? "up" : "down",
                   STR_ARG(name), (long long)from, (long long)to);
}

static void on_scaled(struct pass *pass, void *arg, const struct client_result *result)
{
    struct scaling *scaling = arg;
    if (result->code != 0) {
        pass_fail(pass);
    } else if (scaling->from != scaling->to) {
        tell_scaled(scaling->rollout, scaling->object->name, scaling->from, scaling->to);
    }
}

static void write_sets(struct pass *pass, struct rollout *rollout)
{
    struct arena *arena = pass->arena;
    for (size_t i = 0; i < rollout->count; i++) {
        struct rollout_set *set = &rollout->sets[i];
        if (!set->dirty) {
            continue;
        }
        if (set->sized) {
            val_set_int(arena, val_get(set->value, "spec"), STR("replicas"), set->replicas);
            set_annotation(arena, set->value, ANNOTATION_DESIRED,
                           number_text(arena, rollout->replicas));
            set_annotation(arena, set->value, ANNOTATION_MAX,
                           number_text(arena, rollout->replicas + rollout->max_surge));
        }
        struct scaling *scaling = arena_new(arena, struct scaling);
        *scaling = (struct scaling){rollout, set->object, set->was, set->replicas};
        pass_update(pass, rollout->all->set_resource, "", set->value, on_scaled, scaling);
    }
}

static int compare_revision(const void *a, const void *b)
{
    const struct rollout_set *const *one = a, *const *two = b;
    return (*one)->revision != (*two)->revision ? ((*one)->revision < (*two)->revision ? -1 : 1)
                                                : compare_age(*one, *two);
}

/* Old sets beyond revisionHistoryLimit, smallest revision first, when nothing is left of them. */
static void clean_history(struct pass *pass, struct rollout *rollout)
{
    int64_t limit = val_int(val_path(rollout->value, "spec.revisionHistoryLimit"), INT32_MAX);
    struct rollout_set **old = arena_array(pass->arena, struct rollout_set *, rollout->count + 1);
    size_t count = 0;
    for (size_t i = 0; i < rollout->count; i++) {
        if (&rollout->sets[i] != rollout->current && !rollout->sets[i].object->deleting) {
            old[count++] = &rollout->sets[i];
        }
    }
    qsort(old, count, sizeof *old, compare_revision);
    for (size_t i = 0; (int64_t)count - (int64_t)i > limit && i < count; i++) {
        const struct val *value = old[i]->value;
        bool seen = val_int(val_path(value, "metadata.generation"), 0) <=
                    val_int(val_path(value, "status.observedGeneration"), 0);
        if (old[i]->actual == 0 && old[i]->was == 0 && old[i]->replicas == 0 && seen) {
            pass_delete(pass, old[i]->object, NULL, -1, NULL, NULL);
        }
    }
}

/* ---- a new set ---- */

static const char *template_hash(struct pass *pass, const struct rollout *rollout)
{
    struct buf bytes BUF_CLEANUP = BUF_INIT;
    val_write_json(plain_template(pass->arena, val_path(rollout->value, "spec.template")), &bytes);
    return hash_text(pass->arena, buf_view(&bytes),
                     val_int(val_path(rollout->value, "status.collisionCount"), -1));
}

static struct val *with_hash(struct arena *arena, struct val *object, const char *key,
                             const char *hash)
{
    val_set_text(arena, val_make_object(arena, object, str_of(key)), STR(LABEL_HASH), str_of(hash));
    return object;
}

static struct val *new_set(struct pass *pass, struct rollout *rollout, const char *name,
                           int64_t replicas)
{
    struct arena *arena = pass->arena;
    const struct val *spec = val_get(rollout->value, "spec");
    struct val *set = val_new(arena, VAL_OBJECT);
    struct val *meta = val_make_object(arena, set, STR("metadata"));
    val_set_text(arena, meta, STR("name"), str_of(name));
    val_set_text(arena, meta, STR("namespace"), pass->ns);
    const struct val *labels = val_path(spec, "template.metadata.labels");
    if (!val_absent(labels)) {
        val_set(meta, STR("labels"), val_copy(arena, labels));
    }
    with_hash(arena, meta, "labels", rollout->hash);
    copy_annotations(arena, rollout->value, set);
    set_annotation(arena, set, ANNOTATION_REVISION, number_text(arena, next_revision(rollout)));
    set_annotation(arena, set, ANNOTATION_DESIRED, number_text(arena, rollout->replicas));
    set_annotation(arena, set, ANNOTATION_MAX,
                   number_text(arena, rollout->replicas + rollout->max_surge));
    val_append(val_make_array(arena, meta, STR("ownerReferences")),
               owner_reference_new(arena, rollout->object));
    struct val *set_spec = val_make_object(arena, set, STR("spec"));
    val_set_int(arena, set_spec, STR("replicas"), replicas);
    int64_t min_ready = val_int(val_get(spec, "minReadySeconds"), 0);
    if (min_ready > 0) {
        val_set_int(arena, set_spec, STR("minReadySeconds"), min_ready);
    }
    struct val *selector = val_copy(arena, val_get(spec, "selector"));
    val_set(set_spec, STR("selector"), with_hash(arena, selector, "matchLabels", rollout->hash));
    struct val *template = plain_template(arena, val_get(spec, "template"));
    val_set(set_spec, STR("template"), template);
    with_hash(arena, val_make_object(arena, template, STR("metadata")), "labels", rollout->hash);
    return set;
}

/* The name is taken: by our own set that the informer is about to show, or by something else that
 * has the same hash, which the collision count then moves. */
static void on_collision(struct pass *pass, struct rollout *rollout)
{
    struct deployments *all = rollout->all;
    struct object *other = informer_get(all->sets, pass->ns, str_of(rollout->created_name));
    struct owner owner;
    rollout->created_name = NULL;
    if (other == NULL) {
        pass_retry(pass);
        return;
    }
    if (controller_of(pass->arena, other, &owner) && str_eq(owner.uid, rollout->object->uid) &&
        is_same_template(pass->arena, val_path(rollout->value, "spec.template"),
                         val_path(object_decode(other, pass->arena), "spec.template"))) {
        pass_again(pass);
        return;
    }
    struct val *meta, *body = pass_patch_body(pass, rollout->object, &meta);
    struct val *status = val_make_object(pass->arena, body, STR("status"));
    int64_t collisions = val_int(val_path(rollout->value, "status.collisionCount"), 0);
    val_set_int(pass->arena, status, STR("collisionCount"), collisions + 1);
    pass_patch(pass, rollout->object, CLIENT_PATCH_MERGE, "status", body, NULL, NULL);
    pass_again(pass);
}

static void on_set_created(struct pass *pass, void *arg, const struct client_result *result)
{
    struct rollout *rollout = arg;
    if (result->code == 0 && result->object != NULL) {
        const struct val *set = object_decode(result->object, pass->arena);
        int64_t replicas = val_int(val_path(set, "spec.replicas"), 0);
        if (replicas > 0) {
            tell_scaled(rollout, str_of(rollout->created_name), 0, replicas);
        }
        pass_again(pass);
    } else if (result->code == ERR_EXISTS) {
        on_collision(pass, rollout);
    } else if (pass_namespace_ends(result)) {
        rollout->created_name = NULL; /* the namespace is going away */
    } else {
        rollout->create_error =
            arena_printf(pass->arena, "Failed to create new replica set \"%s\": %s",
                         rollout->created_name, result->error.message);
        recorder_event(rollout->all->recorder, rollout->object, "Warning", "ReplicaSetCreateError",
                       "%s", rollout->create_error);
        rollout->created_name = NULL;
        pass_retry(pass);
    }
}

static void create_set(struct pass *pass, struct rollout *rollout)
{
    rollout->hash = template_hash(pass, rollout);
    rollout->created_name =
        arena_printf(pass->arena, "%.*s-%s", STR_ARG(pass->name), rollout->hash);
    pass_create(pass, rollout->all->set_resource, pass->ns,
                new_set(pass, rollout, rollout->created_name, rollout_first_size(rollout)),
                on_set_created, rollout);
}

/* ---- a pass ---- */

static void roll(struct pass *pass, struct rollout *rollout)
{
    bool complete = rollout_is_complete(rollout, val_get(rollout->value, "status"));
    if (rollout->recreate) {
        if (rollout_plan_recreate(rollout) && rollout->current == NULL) {
            create_set(pass, rollout);
        }
    } else if (rollout->current == NULL) {
        create_set(pass, rollout);
    } else {
        rollout_plan_rolling(rollout);
    }
    if (complete && rollout->current != NULL) {
        clean_history(pass, rollout);
    }
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct deployments *all = ctx;
    struct object *object = informer_get(all->deployments, pass->ns, pass->name);
    if (object == NULL) {
        return;
    }
    struct rollout *rollout = arena_new(pass->arena, struct rollout);
    rollout->all = all;
    rollout->object = pass_hold(pass, object);
    rollout->value = object_decode(object, pass->arena);
    load_spec(rollout);
    const struct val *selector = val_path(rollout->value, "spec.selector");
    if (selector_from_val(pass->arena, selector, &rollout->selector, NULL) != 0 ||
        selector_empty(&rollout->selector)) {
        recorder_event(all->recorder, object, "Warning", "SelectingAll",
                       "This deployment is selecting all pods. A non-empty selector is required.");
        return;
    }
    struct objects mine;
    children_claim(pass, object, &rollout->selector, all->sets, &(struct claim_rule){0}, &mine);
    load_sets(pass, rollout, &mine);
    pass_then(pass, write_status, rollout);
    if (object->deleting) {
        rollout->plain_status = true;
        return;
    }
    if (rollout->current != NULL) {
        sync_current(pass, rollout);
    }
    if (rollout->paused || rollout_is_scaling(rollout)) {
        rollout->plain_status = true;
        rollout_plan_scaling(rollout);
        if (rollout->paused) {
            clean_history(pass, rollout);
        }
    } else {
        roll(pass, rollout);
    }
    write_sets(pass, rollout);
}

/* ---- events ---- */

static void add_key(void *ctx, struct object *deployment)
{
    struct deployments *all = ctx;
    worker_add(all->worker, deployment);
}

static void on_deployment(void *ctx, struct object *old, struct object *now)
{
    add_key(ctx, now != NULL ? now : old);
}

static void on_set(void *ctx, struct object *old, struct object *now)
{
    struct deployments *all = ctx;
    children_changed(all->deployments, "Deployment", old, now, add_key, all);
}

/* Recreate waits for the last pod of the old sets, which no set's status need show. */
static void on_pod(void *ctx, struct object *old, struct object *now)
{
    struct deployments *all = ctx;
    struct object *pod = now != NULL ? now : old;
    struct object *set = controller_object_of(all->sets, "ReplicaSet", pod);
    struct object *deployment =
        set != NULL ? controller_object_of(all->deployments, "Deployment", set) : NULL;
    if (deployment == NULL || (now != NULL && !now->deleting && old != NULL)) {
        return;
    }
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct val *value = object_decode(deployment, &arena);
    if (str_is(val_text(val_path(value, "spec.strategy.type")), "Recreate")) {
        worker_add(all->worker, deployment);
    }
}

static void *start(struct controller_env *env)
{
    struct deployments *all = mem_new(struct deployments);
    all->resource = controller_resource("apps", "v1", "deployments");
    all->set_resource = controller_resource("apps", "v1", "replicasets");
    all->deployments = informers_get(env->informers, all->resource);
    all->sets = informers_get(env->informers, all->set_resource);
    all->pods = informers_get(env->informers, controller_resource("", "v1", "pods"));
    children_index(all->sets);
    children_index(all->pods);
    all->recorder = recorder_new(env->client, "deployment-controller", "");
    all->worker = worker_new(env, "deployment-controller", PARALLEL, reconcile, all);
    informer_handle(all->deployments, (struct informer_handler){on_deployment, all});
    informer_handle(all->sets, (struct informer_handler){on_set, all});
    informer_handle(all->pods, (struct informer_handler){on_pod, all});
    return all;
}

static void stop(void *state)
{
    struct deployments *all = state;
    informer_unhandle(all->deployments, all);
    informer_unhandle(all->sets, all);
    informer_unhandle(all->pods, all);
    worker_free(all->worker);
    recorder_free(all->recorder);
    free(all);
}

const struct controller controller_deployment = {
    .name = "deployment-controller", .start = start, .stop = stop};

/* What controllers ask of pods (pods.h). */
#include "controllers/pods.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"

struct val *condition_find(const struct val *status, struct str type)
{
    return val_find(val_get(status, "conditions"), "type", type);
}

static enum pod_phase phase_of(struct str text)
{
    return str_is(text, "Running")     ? POD_RUNNING
           : str_is(text, "Succeeded") ? POD_SUCCEEDED
           : str_is(text, "Failed")    ? POD_FAILED
           : str_is(text, "Unknown")   ? POD_UNKNOWN
                                       : POD_PENDING;
}

static int most_restarts(const struct val *statuses)
{
    int64_t most = 0;
    VAL_EACH (it, statuses) {
        int64_t count = val_int(val_get(it, "restartCount"), 0);
        most = count > most ? count : most;
    }
    return (int)most;
}

void pod_brief(struct arena *arena, struct object *object, struct pod_brief *ret_brief)
{
    const struct val *pod = object_decode(object, arena);
    const struct val *status = val_get(pod, "status");
    const struct val *ready = condition_find(status, STR("Ready"));
    struct str cost = val_text(val_get_str(val_path(pod, "metadata.annotations"),
                                           STR("controller.kubernetes.io/pod-deletion-cost")));
    *ret_brief = (struct pod_brief){
        .object = object,
        .phase = phase_of(val_text(val_get(status, "phase"))),
        .ready = str_is(val_text(val_get(ready, "status")), "True"),
        .node = val_text(val_path(pod, "spec.nodeName")),
        .restarts = most_restarts(val_get(status, "containerStatuses")),
        .sidecar_restarts = most_restarts(val_get(status, "initContainerStatuses")),
    };
    ret_brief->scheduled = ret_brief->node.n > 0;
    str_i64(cost, &ret_brief->deletion_cost);
    time_parse(val_text(val_get(ready, "lastTransitionTime")), &ret_brief->ready_since);
    time_parse(val_text(val_path(pod, "metadata.creationTimestamp")), &ret_brief->created);
}

/* ---- the cache ---- */

struct pod_cache {
    struct informer *pods;
    struct map entries; /* uid -> struct cached */
};
struct cached {
    uint64_t revision;
    struct pod_brief brief;
    char *node;
};

static void cached_free(struct cached *cached)
{
    if (cached != NULL) {
        free(cached->node);
        free(cached);
    }
}

static void forget_deleted(void *ctx, struct object *old, struct object *now)
{
    struct pod_cache *cache = ctx;
    if (now == NULL) {
        cached_free(map_remove(&cache->entries, old->uid));
    }
}

struct pod_cache *pod_cache_new(struct informer *pods)
{
    struct pod_cache *cache = mem_new(struct pod_cache);
    cache->pods = pods;
    informer_handle(pods, (struct informer_handler){forget_deleted, cache});
    return cache;
}

void pod_cache_free(struct pod_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    informer_unhandle(cache->pods, cache);
    MAP_EACH (it, &cache->entries) {
        cached_free(it->value);
    }
    map_done(&cache->entries);
    free(cache);
}

void pod_cache_get(struct pod_cache *cache, struct object *object, struct pod_brief *ret_brief)
{
    struct cached *cached = map_get(&cache->entries, object->uid);
    if (cached == NULL) {
        cached = mem_new(struct cached);
        map_set(&cache->entries, object->uid, cached);
    }
    if (cached->revision != object->revision) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        pod_brief(&arena, object, &cached->brief);
        free(cached->node);
        cached->node = str_dup(cached->brief.node);
        cached->brief.node = str_of(cached->node);
        cached->revision = object->revision;
    }
    *ret_brief = cached->brief;
    ret_brief->object = object;
}

bool pod_is_available(const struct pod_brief *pod, int64_t min_ready_s, int64_t now_wall)
{
    return pod->ready &&
           (min_ready_s <= 0 ||
            (pod->ready_since > 0 && pod->ready_since + min_ready_s * NS_PER_S <= now_wall));
}

/* Ages compare by their power of two in seconds: which of two pods of nearly one age goes is then
 * not always the younger one. */
static int age_class(int64_t now, int64_t since)
{
    int64_t seconds = since > 0 ? (now - since) / NS_PER_S : -1;
    int class = -1;
    while (seconds > 0) {
        class ++;
        seconds /= 2;
    }
    return class;
}

static int compare_ages(const struct pod_brief *a, const struct pod_brief *b, int64_t a_since,
                        int64_t b_since, int64_t now)
{
    if (a_since == 0 || b_since == 0) {
        return (b_since == 0) - (a_since == 0); /* unknown: as if just now */
    }
    int a_class = age_class(now, a_since), b_class = age_class(now, b_since);
    return a_class != b_class ? (a_class < b_class ? -1 : 1)
                              : str_cmp(a->object->uid, b->object->uid);
}

static int compare_for_deletion(const struct pod_brief *a, const struct pod_brief *b, int64_t now)
{
    if (a->scheduled != b->scheduled) {
        return a->scheduled ? 1 : -1;
    }
    if (a->phase != b->phase) {
        return a->phase < b->phase ? -1 : 1;
    }
    if (a->ready != b->ready) {
        return a->ready ? 1 : -1;
    }
    if (a->deletion_cost != b->deletion_cost) {
        return a->deletion_cost < b->deletion_cost ? -1 : 1;
    }
    if (a->rank != b->rank) {
        return a->rank > b->rank ? -1 : 1;
    }
    if (a->ready && a->ready_since != b->ready_since) {
        return compare_ages(a, b, a->ready_since, b->ready_since, now);
    }
    if (a->restarts != b->restarts) {
        return a->restarts > b->restarts ? -1 : 1;
    }
    if (a->sidecar_restarts != b->sidecar_restarts) {
        return a->sidecar_restarts > b->sidecar_restarts ? -1 : 1;
    }
    if (a->created != b->created) {
        return compare_ages(a, b, a->created, b->created, now);
    }
    return str_cmp(a->object->uid, b->object->uid); /* a whole order: runs are reproducible */
}

struct ranked {
    struct pod_brief *pod;
    int64_t now;
};

static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *one = a, *two = b;
    return compare_for_deletion(one->pod, two->pod, one->now);
}

void pods_rank_for_deletion(struct pod_brief **pods, size_t count, int64_t now_wall)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct ranked *ranked = arena_array(&arena, struct ranked, count + 1);
    for (size_t i = 0; i < count; i++) {
        ranked[i] = (struct ranked){pods[i], now_wall};
    }
    qsort(ranked, count, sizeof *ranked, compare_ranked);
    for (size_t i = 0; i < count; i++) {
        pods[i] = ranked[i].pod;
    }
}

struct val *pod_from_template(struct arena *arena, const struct val *template,
                              const struct object *owner)
{
    static const char *const copied[] = {"labels", "annotations", "finalizers"};
    struct val *pod = val_new(arena, VAL_OBJECT);
    struct val *meta = val_make_object(arena, pod, STR("metadata"));
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
        struct val *value = val_get_str(val_get(template, "metadata"), str_of(copied[i]));
        if (!val_absent(value)) {
            val_set(meta, str_of(copied[i]), val_copy(arena, value));
        }
    }
    /* room for the five random letters: names of pods are at most 63 long as host names */
    struct str prefix = owner->name;
    prefix.n = prefix.n > 57 ? 57 : prefix.n;
    val_set_text(arena, meta, STR("generateName"),
                 str_of(arena_printf(arena, "%.*s-", STR_ARG(prefix))));
    val_append(val_make_array(arena, meta, STR("ownerReferences")),
               owner_reference_new(arena, owner));
    val_set(pod, STR("spec"), val_copy(arena, val_get(template, "spec")));
    return pod;
}

int64_t pods_scaled(const struct val *value, int64_t total, bool up, int64_t otherwise)
{
    struct str text = val_text(value);
    int64_t number;
    if (val_absent(value)) {
        return otherwise;
    }
    if (text.n > 1 && text.p[text.n - 1] == '%' && str_i64(str_at(text.p, text.n - 1), &number)) {
        return up ? (total * number + 99) / 100 : total * number / 100;
    }
    return str_i64(text, &number) ? number : otherwise;
}

static struct str indexed_field(const struct object *object, const char *name)
{
    const char *const *names = object->resource->field_selectors;
    for (uint16_t i = 0; names != NULL && names[i] != NULL && i < object->field_count; i++) {
        if (str_is(str_of(names[i]), name)) {
            return object->fields[i];
        }
    }
    return STR_NONE;
}

struct str pod_node_name(const struct object *pod)
{
    return indexed_field(pod, "spec.nodeName");
}

struct str pod_phase_text(const struct object *pod)
{
    return indexed_field(pod, "status.phase");
}

static void node_key(const struct object *pod, void (*emit)(void *arg, struct str key), void *arg)
{
    struct str node = pod_node_name(pod);
    if (node.n > 0) {
        emit(arg, node);
    }
}

void pods_index_by_node(struct informer *informer)
{
    informer_index(informer, "node", node_key);
}

void pods_on_node(const struct informer *informer, struct str node,
                  bool (*visit)(void *ctx, struct object *object), void *ctx)
{
    informer_each_in(informer, "node", node, visit, ctx);
}

struct val *pod_condition_patch(struct pass *pass, const struct object *pod, const char *phase,
                                const char *type, const char *status, const char *reason,
                                const char *message)
{
    struct arena *arena = pass->arena;
    struct val *meta, *body = pass_patch_body(pass, pod, &meta);
    struct val *to = val_make_object(arena, body, STR("status"));
    if (phase != NULL) {
        val_set_text(arena, to, STR("phase"), str_of(phase));
    }
    struct val *list = val_make_array(arena, to, STR("conditions"));
    struct val *one = val_append(list, val_new(arena, VAL_OBJECT));
    char now[TIME_TEXT_SIZE];
    size_t n = time_format(pass->now, now);
    val_set_text(arena, one, STR("type"), str_of(type));
    val_set_text(arena, one, STR("status"), str_of(status));
    val_set_text(arena, one, STR("lastTransitionTime"), str_at(arena_dup(arena, now, n), n));
    if (reason != NULL) {
        val_set_text(arena, one, STR("reason"), str_of(reason));
        val_set_text(arena, one, STR("message"), str_of(message));
    }
    return body;
}

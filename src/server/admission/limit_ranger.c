/* limit_ranger.c: LimitRanger: what the LimitRanges of a namespace fill in and demand.
 *
 * Containers without a request or limit get the namespace's default; then each container, the pod
 * as a whole, or the claim is held against min, max and maxLimitRequestRatio. Applies to new pods,
 * resized pods, and to claims.
 */
#include "api/amounts.h"
#include "base/vec.h"
#include "server/admission/admission.h"
#include "server/server_int.h"

static const char annotation[] = "kubernetes.io/limit-ranger";

struct ranging { /* one object against the ranges of its namespace */
    struct admission *admission;
    struct arena *arena;
    struct {
        VEC_OF(const char *);
    } errors;
};

static bool is_limited(const struct admission *a)
{
    const struct known_resources *known = &a->request->server->known;
    bool resize = str_is(a->subresource, "resize");
    if (a->operation == VERB_DELETE || known->limit_ranges == NULL ||
        !val_absent(val_path(a->old, "metadata.deletionTimestamp"))) {
        return false;
    }
    if (a->resource->storage == known->pods) {
        return resize || (a->subresource.n == 0 && a->operation == VERB_CREATE);
    }
    return admission_is(a, known->claims);
}

/* Calls fn with each item of spec.limits of each range; stops on failure. */
static void each_limit(struct admission *a, void (*fn)(void *ctx, const struct val *limit),
                       void *ctx)
{
    struct server *server = a->request->server;
    struct snapshot *snapshot = snapshot_take(server->cache, server->known.limit_ranges);
    struct snapshot_iter iter;
    const struct object *object;
    snapshot_iter_init(&iter, snapshot, a->ns, NULL, NULL, STR_NONE, STR_NONE);
    while ((object = snapshot_next(&iter)) != NULL) {
        const struct val *range = val_copy(a->arena, object_decode(object, a->arena));
        VAL_EACH (limit, val_path(range, "spec.limits")) {
            fn(ctx, limit);
        }
    }
    snapshot_release(snapshot);
}

/* ---- defaults ---- */

struct filled { /* what was set, for the annotation */
    struct admission *admission;
    struct buf text;
};

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void fill_list(struct filled *filled, struct val *container, const char *list,
                      const struct val *defaults, const char *what, const char *kind)
{
    struct arena *arena = filled->admission->arena;
    struct str *set = arena_array(arena, struct str, val_count(defaults) + 1);
    size_t count = 0;
    VAL_EACH (it, defaults) {
        struct val *resources = val_make_object(arena, container, STR("resources"));
        struct val *values = val_make_object(arena, resources, str_of(list));
        if (val_get_str(values, it->key) == NULL) {
            val_set_text(arena, values, it->key, val_text(it));
            set[count++] = it->key;
        }
    }
    qsort(set, count, sizeof *set, by_text);
    for (size_t i = 0; i < count; i++) {
        buf_addz(&filled->text, i > 0 ? ", " : filled->text.n > 0 ? "; " : "");
        buf_str(&filled->text, set[i]);
    }
    if (count > 0) {
        struct str name = val_text(val_get(container, "name"));
        buf_printf(&filled->text, " %s for %s %.*s", what, kind, STR_ARG(name));
    }
}

static void fill_from(void *ctx, const struct val *limit)
{
    struct filled *filled = ctx;
    static const struct {
        const char *path, *kind;
    } lists[] = {{"spec.containers", "container"}, {"spec.initContainers", "init container"}};
    if (!str_is(val_text(val_get(limit, "type")), "Container")) {
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        VAL_EACH (it, val_path(filled->admission->object, lists[i].path)) {
            fill_list(filled, it, "requests", val_get(limit, "defaultRequest"), "request",
                      lists[i].kind);
            fill_list(filled, it, "limits", val_get(limit, "default"), "limit", lists[i].kind);
        }
    }
}

static int mutate(struct admission *a, struct failure *failure)
{
    if (!is_limited(a) || a->resource->storage != a->request->server->known.pods) {
        return 0;
    }
    struct filled filled = {.admission = a};
    each_limit(a, fill_from, &filled);
    if (filled.text.n > 0) {
        struct val *meta = val_make_object(a->arena, a->object, STR("metadata"));
        struct val *annotations = val_make_object(a->arena, meta, STR("annotations"));
        val_set_text(a->arena, annotations, str_of(annotation),
                     str_of(arena_printf(a->arena, "LimitRanger plugin set: %.*s",
                                         STR_ARG(buf_view(&filled.text)))));
    }
    buf_done(&filled.text);
    return 0;
}

/* ---- min, max, ratio ---- */

struct asked { /* requests and limits of a container, a pod or a claim */
    const char *type;
    struct amounts requests, limits;
};

static void complain(struct ranging *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void complain(struct ranging *r, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    *vec_push(&r->errors) = arena_vprintf(r->arena, format, ap);
    va_end(ap);
}

static const char *text_of(struct ranging *r, struct quantity q)
{
    char text[64];
    size_t n = quantity_format(q, text);
    return arena_dup(r->arena, text, n);
}

static void check_min(struct ranging *r, const struct asked *asked, struct str name,
                      struct quantity least)
{
    const struct quantity *request = amounts_get(&asked->requests, name);
    const struct quantity *limit = amounts_get(&asked->limits, name);
    const char *min = text_of(r, least);
    if (request == NULL) {
        complain(r, "minimum %.*s usage per %s is %s.  No request is specified", STR_ARG(name),
                 asked->type, min);
    } else if (quantity_cmp(*request, least) < 0) {
        complain(r, "minimum %.*s usage per %s is %s, but request is %s", STR_ARG(name),
                 asked->type, min, text_of(r, *request));
    } else if (limit != NULL && quantity_cmp(*limit, least) < 0) {
        complain(r, "minimum %.*s usage per %s is %s, but limit is %s", STR_ARG(name), asked->type,
                 min, text_of(r, *limit));
    }
}

static void check_max(struct ranging *r, const struct asked *asked, struct str name,
                      struct quantity most)
{
    bool claim = str_is(str_of(asked->type), "PersistentVolumeClaim");
    const struct quantity *request = amounts_get(&asked->requests, name);
    const struct quantity *limit = amounts_get(&asked->limits, name);
    const char *max = text_of(r, most);
    if (claim ? request == NULL : limit == NULL) {
        complain(r, "maximum %.*s usage per %s is %s.  No %s is specified", STR_ARG(name),
                 asked->type, max, claim ? "request" : "limit");
    } else if (!claim && quantity_cmp(*limit, most) > 0) {
        complain(r, "maximum %.*s usage per %s is %s, but limit is %s", STR_ARG(name), asked->type,
                 max, text_of(r, *limit));
    } else if (request != NULL && quantity_cmp(*request, most) > 0) {
        complain(r, "maximum %.*s usage per %s is %s, but request is %s", STR_ARG(name),
                 asked->type, max, text_of(r, *request));
    }
}

static void check_ratio(struct ranging *r, const struct asked *asked, struct str name,
                        struct quantity most)
{
    const struct quantity *request = amounts_get(&asked->requests, name);
    const struct quantity *limit = amounts_get(&asked->limits, name);
    const char *max = text_of(r, most);
    if (request == NULL || request->nano == 0) {
        complain(r,
                 "%.*s max limit to request ratio per %s is %s, but no request is specified or "
                 "request is 0",
                 STR_ARG(name), asked->type, max);
        return;
    }
    if (limit == NULL || limit->nano == 0) {
        complain(r,
                 "%.*s max limit to request ratio per %s is %s, but no limit is specified or limit "
                 "is 0",
                 STR_ARG(name), asked->type, max);
        return;
    }
    double ratio = (double)limit->nano / (double)request->nano;
    if (ratio > (double)most.nano / 1e9) {
        complain(r, "%.*s max limit to request ratio per %s is %s, but provided ratio is %f",
                 STR_ARG(name), asked->type, max, ratio);
    }
}

static void check_asked(struct ranging *r, const struct val *limit, const struct asked *asked)
{
    static const struct {
        const char *key;
        void (*check)(struct ranging *r, const struct asked *asked, struct str name,
                      struct quantity bound);
    } bounds[] = {{"min", check_min}, {"max", check_max}, {"maxLimitRequestRatio", check_ratio}};
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        VAL_EACH (it, val_get_str(limit, str_of(bounds[i].key))) {
            struct quantity bound;
            if (quantity_parse(val_text(it), &bound)) {
                bounds[i].check(r, asked, it->key, bound);
            }
        }
    }
}

static void check_containers(struct ranging *r, const struct val *limit)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    for (size_t i = 0; i < 2; i++) {
        VAL_EACH (it, val_path(r->admission->object, lists[i])) {
            struct asked asked = {"Container", {.arena = r->arena}, {.arena = r->arena}};
            amounts_add_val(&asked.requests, val_path(it, "resources.requests"));
            amounts_add_val(&asked.limits, val_path(it, "resources.limits"));
            check_asked(r, limit, &asked);
        }
    }
}

static void check_limit(void *ctx, const struct val *limit)
{
    struct ranging *r = ctx;
    const struct admission *a = r->admission;
    bool is_pod = a->resource->storage == a->request->server->known.pods;
    struct str type = val_text(val_get(limit, "type"));
    struct asked asked = {NULL, {.arena = r->arena}, {.arena = r->arena}};
    if (is_pod && str_is(type, "Container")) {
        check_containers(r, limit);
    } else if (is_pod && str_is(type, "Pod")) {
        asked.type = "Pod";
        pod_amounts(a->object, 0, &asked.requests);
        pod_amounts(a->object, POD_AMOUNTS_LIMITS, &asked.limits);
        check_asked(r, limit, &asked);
    } else if (!is_pod && str_is(type, "PersistentVolumeClaim")) {
        asked.type = "PersistentVolumeClaim";
        amounts_add_val(&asked.requests, val_path(a->object, "spec.resources.requests"));
        check_asked(r, limit, &asked);
    }
}

static int validate(struct admission *a, struct failure *failure)
{
    if (!is_limited(a)) {
        return 0;
    }
    struct ranging r = {.admission = a, .arena = a->arena};
    int code = 0;
    each_limit(a, check_limit, &r);
    if (r.errors.count == 1) {
        code = failure_forbidden(failure, a->arena, a->resource, a->name, "%s", r.errors.items[0]);
    } else if (r.errors.count > 1) {
        struct buf all BUF_CLEANUP = BUF_INIT;
        VEC_EACH (it, &r.errors) {
            buf_printf(&all, "%s%s", all.n > 0 ? ", " : "", *it);
        }
        code = failure_forbidden(failure, a->arena, a->resource, a->name, "[%.*s]",
                                 STR_ARG(buf_view(&all)));
    }
    vec_done(&r.errors);
    return code;
}

const struct admission_step admission_limit_ranger = {"LimitRanger", mutate, NULL, validate};

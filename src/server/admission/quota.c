/* quota.c: ResourceQuota: a write that would use more than its namespace may is refused.
 *
 * Exact under any concurrency: the sum is not read and written here, it is a companion of the write
 * (write/change.h): the sequencer derives the quota's next status from its newest one, in the order
 * of the writes, and commits both together. So a quota is never exceeded, never charged for a write
 * that did not happen, and needs no retries. What is freed by deletions is counted anew by the
 * resource-quota controller.
 */
#include "api/quota.h"

#include "server/admission/admission.h"
#include "server/server_int.h"

enum { WHY_MAX = 1000 };

struct charge {
    struct change_companion companion;
    struct admission admission; /* as it was: the resource and name that a refusal tells */
    struct str uid;             /* of the quota that was looked at */
    struct amounts usage;       /* what the write adds */
    bool unlimited;             /* of a status: counted, never refused */
    size_t why_n;
    char why[WHY_MAX];
};

/* ---- on the store's thread ---- */

static void why(struct charge *charge, const struct buf *text)
{
    charge->why_n = text->n < WHY_MAX ? text->n : WHY_MAX;
    memcpy(charge->why, text->p, charge->why_n);
}

/* "limits.cpu=2,pods=1" of the named resources. */
static void list(struct buf *out, const struct amounts *names, const struct val *values,
                 const struct amounts *amounts)
{
    for (size_t i = 0; i < names->count; i++) {
        struct str name = names->items[i].name;
        char text[64];
        struct quantity q = {0};
        if (amounts != NULL) {
            q = *amounts_get(amounts, name);
        } else {
            quantity_parse(val_text(val_get_str(values, name)), &q);
        }
        size_t n = quantity_format(q, text);
        buf_printf(out, "%s%.*s=%.*s", i > 0 ? "," : "", STR_ARG(name), (int)n, text);
    }
}

static int refuse(struct charge *charge, const struct val *quota, struct amounts *exceeded,
                  const struct amounts *requested, struct err *err)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct str name = val_name(quota);
    amounts_sort(exceeded);
    buf_printf(&text, "exceeded quota: %.*s, requested: ", STR_ARG(name));
    list(&text, exceeded, NULL, requested);
    buf_addz(&text, ", used: ");
    list(&text, exceeded, val_path(quota, "status.used"), NULL);
    buf_addz(&text, ", limited: ");
    list(&text, exceeded, val_path(quota, "status.hard"), NULL);
    why(charge, &text);
    return err_set(err, ERR_FORBIDDEN, "exceeded quota");
}

static int unknown(struct charge *charge, const struct val *quota, struct str resource,
                   struct err *err)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct str name = val_name(quota);
    buf_printf(&text, "status unknown for quota: %.*s, resources: %.*s", STR_ARG(name),
               STR_ARG(resource));
    why(charge, &text);
    return err_set(err, ERR_FORBIDDEN, "status unknown for quota");
}

/* Adds the usage to status.used as far as status.hard names it. */
static int add_usage(struct charge *charge, struct arena *arena, struct val *quota,
                     bool *ret_changed, struct err *err)
{
    struct amounts requested = {.arena = arena}, exceeded = {.arena = arena};
    struct val *status = val_make_object(arena, quota, STR("status"));
    struct val *used = val_make_object(arena, status, STR("used"));
    for (size_t i = 0; i < charge->usage.count; i++) {
        const struct amount *it = &charge->usage.items[i];
        struct quantity hard, now;
        if (!quantity_parse(val_text(val_get_str(val_get(status, "hard"), it->name)), &hard)) {
            continue;
        }
        if (!quantity_parse(val_text(val_get_str(used, it->name)), &now)) {
            return unknown(charge, quota, it->name, err);
        }
        if (it->value.nano == 0) {
            continue;
        }
        struct quantity next = quantity_add(now, it->value);
        amounts_set(&requested, it->name, it->value);
        if (quantity_cmp(next, hard) > 0 && !charge->unlimited) {
            amounts_set(&exceeded, it->name, next);
        }
    }
    if (exceeded.count > 0) {
        return refuse(charge, quota, &exceeded, &requested, err);
    }
    for (size_t i = 0; i < requested.count; i++) {
        struct quantity now;
        char text[64];
        quantity_parse(val_text(val_get_str(used, requested.items[i].name)), &now);
        size_t n = quantity_format(quantity_add(now, requested.items[i].value), text);
        val_set_text(arena, used, requested.items[i].name, str_copy_in(arena, str_at(text, n)));
        *ret_changed = true;
    }
    return 0;
}

static int derive(struct companion *companion, struct object *current, struct object **ret_next,
                  struct err *err)
{
    struct charge *charge = container_of(
        container_of(companion, struct change_companion, companion), struct charge, companion);
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    bool changed = false;
    if (current == NULL || !str_eq(current->uid, charge->uid)) {
        return 0; /* the quota is gone */
    }
    struct val *quota = object_decode(current, &arena);
    int code = add_usage(charge, &arena, quota, &changed, err);
    if (code == 0 && changed) {
        *ret_next = object_new(current->resource, quota, 0);
    }
    return code;
}

/* ---- on the request's loop ---- */

static void explain(struct change_companion *companion, struct change *change,
                    struct failure *failure)
{
    const struct charge *charge = container_of(companion, struct charge, companion);
    failure_forbidden(failure, &change->arena, charge->admission.resource, charge->admission.name,
                      "%.*s", (int)charge->why_n, charge->why);
}

/* Which writes count: creations, and updates of what has an amount. */
static bool is_charged(const struct admission *a)
{
    const struct known_resources *known = &a->request->server->known;
    const struct api_resource *storage = a->resource->storage;
    if (known->quotas == NULL || a->ns.n == 0 || a->operation == VERB_DELETE ||
        !quota_covers(storage)) {
        return false;
    }
    if (a->operation == VERB_CREATE) {
        return a->subresource.n == 0;
    }
    int64_t now = clock_wall(loop_clock(a->request->loop));
    if (storage == known->pods) {
        return str_is(a->subresource, "resize") ||
               (a->subresource.n == 0 && quota_changes(storage, a->old, a->object, now));
    }
    if (storage == known->claims) {
        return a->subresource.n == 0 ||
               (str_is(a->subresource, "status") && quota_changes(storage, a->old, a->object, now));
    }
    return a->subresource.n == 0 &&
           (storage == known->services || str_is(str_of(storage->plural), "resourceclaims"));
}

/* What this write adds to a quota; `counted` says whether the old object was counted by it. */
static void usage_of(struct admission *a, const struct quota_item *item, bool counted,
                     struct amounts *ret)
{
    struct amounts before = {.arena = a->arena};
    quota_usage(item, ret);
    if (!counted) {
        return;
    }
    struct quota_item old = {item->resource, a->old, item->now_wall_ns};
    quota_usage(&old, &before);
    for (size_t i = 0; i < ret->count; i++) {
        const struct quantity *was = amounts_get(&before, ret->items[i].name);
        struct quantity *now = &ret->items[i].value;
        if (was != NULL) {
            *now = quantity_sub(*now, *was);
            now->nano = now->nano < 0 ? 0 : now->nano;
        }
    }
}

static bool adds_something(const struct amounts *usage)
{
    for (size_t i = 0; i < usage->count; i++) {
        if (usage->items[i].value.nano > 0) {
            return true;
        }
    }
    return false;
}

static int charge_quota(struct admission *a, const struct object *object,
                        const struct quota_item *item, struct failure *failure)
{
    struct arena *arena = a->arena;
    struct arena scratch ARENA_CLEANUP = ARENA_INIT;
    const struct val *quota = object_decode(object, &scratch);
    const struct val *hard = val_path(quota, "status.hard");
    if (!quota_matches(quota, hard, item)) {
        return 0;
    }
    struct str missing = quota_missing(hard, item, arena);
    if (missing.n > 0) {
        return failure_forbidden(failure, arena, a->resource, a->name, "failed quota: %.*s: %.*s",
                                 STR_ARG(object->name), STR_ARG(missing));
    }
    struct quota_item old = {item->resource, a->old, item->now_wall_ns};
    struct charge *charge = arena_new(arena, struct charge);
    charge->usage.arena = arena;
    usage_of(a, item, a->old != NULL && quota_matches(quota, hard, &old), &charge->usage);
    if (!adds_something(&charge->usage)) {
        return 0;
    }
    charge->companion.companion = (struct companion){.resource = object->resource,
                                                     .ns = str_copy_in(arena, object->ns),
                                                     .name = str_copy_in(arena, object->name),
                                                     .derive = derive};
    charge->companion.explain = explain;
    charge->admission = *a;
    charge->uid = str_copy_in(arena, object->uid);
    charge->unlimited = str_is(a->subresource, "status");
    if (!change_accompany(a->change, &charge->companion)) {
        return failure_forbidden(failure, arena, a->resource, a->name,
                                 "more than %d quotas apply to one object", WRITE_COMPANIONS_MAX);
    }
    return 0;
}

static int validate(struct admission *a, struct failure *failure)
{
    struct server *server = a->request->server;
    if (!is_charged(a)) {
        return 0;
    }
    struct quota_item item = {a->resource->storage, a->object,
                              clock_wall(loop_clock(a->request->loop))};
    struct snapshot *snapshot = snapshot_take(server->cache, server->known.quotas);
    struct snapshot_iter iter;
    const struct object *object;
    int code = 0;
    snapshot_iter_init(&iter, snapshot, a->ns, NULL, NULL, STR_NONE, STR_NONE);
    while (code == 0 && (object = snapshot_next(&iter)) != NULL) {
        code = charge_quota(a, object, &item, failure);
    }
    snapshot_release(snapshot);
    return code;
}

const struct admission_step admission_quota = {"ResourceQuota", NULL, NULL, validate};

/* amounts.c: see amounts.h. Lists are short: look-ups are linear. */
#include "api/amounts.h"

#include <stdlib.h>

struct quantity *amounts_get(const struct amounts *amounts, struct str name)
{
    for (size_t i = 0; i < amounts->count; i++) {
        if (str_eq(amounts->items[i].name, name)) {
            return &amounts->items[i].value;
        }
    }
    return NULL;
}

void amounts_set(struct amounts *amounts, struct str name, struct quantity value)
{
    struct quantity *has = amounts_get(amounts, name);
    if (has != NULL) {
        *has = value;
        return;
    }
    if (amounts->count == amounts->cap) {
        size_t cap = amounts->cap > 0 ? amounts->cap * 2 : 8;
        struct amount *items = arena_array(amounts->arena, struct amount, cap);
        if (amounts->count > 0) {
            memcpy(items, amounts->items, sizeof *items * amounts->count);
        }
        amounts->items = items;
        amounts->cap = cap;
    }
    amounts->items[amounts->count++] = (struct amount){name, value};
}

void amounts_add(struct amounts *amounts, struct str name, struct quantity value)
{
    struct quantity *has = amounts_get(amounts, name);
    if (has != NULL) {
        *has = quantity_add(*has, value);
    } else {
        amounts_set(amounts, name, value);
    }
}

void amounts_max(struct amounts *amounts, struct str name, struct quantity value)
{
    struct quantity *has = amounts_get(amounts, name);
    if (has == NULL || quantity_cmp(value, *has) > 0) {
        amounts_set(amounts, name, value);
    }
}

void amounts_add_all(struct amounts *amounts, const struct amounts *other)
{
    for (size_t i = 0; i < other->count; i++) {
        amounts_add(amounts, other->items[i].name, other->items[i].value);
    }
}

void amounts_max_all(struct amounts *amounts, const struct amounts *other)
{
    for (size_t i = 0; i < other->count; i++) {
        amounts_max(amounts, other->items[i].name, other->items[i].value);
    }
}

void amounts_add_val(struct amounts *amounts, const struct val *resource_list)
{
    VAL_EACH (it, resource_list) {
        struct quantity q;
        if (quantity_parse(val_text(it), &q)) {
            amounts_add(amounts, it->key, q);
        }
    }
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct amount *)a)->name, ((const struct amount *)b)->name);
}

void amounts_sort(struct amounts *amounts)
{
    if (amounts->count > 1) {
        qsort(amounts->items, amounts->count, sizeof *amounts->items, by_name);
    }
}

struct val *amounts_val(const struct amounts *amounts, struct arena *arena)
{
    struct val *list = val_new(arena, VAL_OBJECT);
    struct amounts sorted = {.arena = arena};
    amounts_add_all(&sorted, amounts);
    amounts_sort(&sorted);
    for (size_t i = 0; i < sorted.count; i++) {
        char text[64];
        size_t n = quantity_format(sorted.items[i].value, text);
        val_set_text(arena, list, str_copy_in(arena, sorted.items[i].name),
                     str_copy_in(arena, str_at(text, n)));
    }
    return list;
}

/* ---- pods ---- */

enum source { SPEC, ALLOCATED, ACTUAL };

static const struct val *status_of(const struct val *pod, const struct val *container)
{
    static const char *const lists[] = {"status.containerStatuses", "status.initContainerStatuses"};
    for (size_t i = 0; i < 2; i++) {
        const struct val *found =
            val_find(val_path(pod, lists[i]), "name", val_text(val_get(container, "name")));
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

/* What one container asks for, by its spec or by its status (the spec when that says nothing). */
static const struct val *list_of(const struct val *pod, const struct val *container,
                                 enum source source, bool limits)
{
    const struct val *status = source != SPEC ? status_of(pod, container) : NULL;
    const struct val *list = NULL;
    if (source == ALLOCATED) {
        list = limits ? NULL : val_get(status, "allocatedResources");
    } else if (source == ACTUAL) {
        list = val_path(status, limits ? "resources.limits" : "resources.requests");
    }
    return list != NULL ? list
                        : val_path(container, limits ? "resources.limits" : "resources.requests");
}

static void aggregate(const struct val *pod, enum source source, bool limits, struct amounts *ret)
{
    struct amounts sidecars = {.arena = ret->arena}, most = {.arena = ret->arena};
    VAL_EACH (it, val_path(pod, "spec.containers")) {
        amounts_add_val(ret, list_of(pod, it, source, limits));
    }
    VAL_EACH (it, val_path(pod, "spec.initContainers")) {
        const struct val *list = list_of(pod, it, source, limits);
        struct amounts now = {.arena = ret->arena};
        if (str_is(val_text(val_get(it, "restartPolicy")), "Always")) {
            amounts_add_val(ret, list);
            amounts_add_val(&sidecars, list);
        } else {
            amounts_add_val(&now, list);
        }
        amounts_add_all(&now, &sidecars);
        amounts_max_all(&most, &now);
    }
    amounts_max_all(ret, &most);
}

static bool resize_infeasible(const struct val *pod)
{
    const struct val *condition =
        val_find(val_path(pod, "status.conditions"), "type", STR("PodResizePending"));
    return str_is(val_text(val_get(condition, "reason")), "Infeasible");
}

static void containers_together(const struct val *pod, int flags, struct amounts *ret)
{
    bool limits = (flags & POD_AMOUNTS_LIMITS) != 0;
    bool status = (flags & POD_AMOUNTS_STATUS) != 0 && val_get(pod, "status") != NULL;
    if (!status || !resize_infeasible(pod)) {
        aggregate(pod, SPEC, limits, ret);
    }
    if (status) {
        struct amounts allocated = {.arena = ret->arena}, actual = {.arena = ret->arena};
        aggregate(pod, ALLOCATED, limits, &allocated);
        aggregate(pod, ACTUAL, limits, &actual);
        amounts_max_all(ret, &allocated);
        amounts_max_all(ret, &actual);
    }
}

static bool is_pod_level(struct str name)
{
    return str_is(name, "cpu") || str_is(name, "memory") || str_starts(name, STR("hugepages-"));
}

void pod_amounts(const struct val *pod, int flags, struct amounts *ret)
{
    bool limits = (flags & POD_AMOUNTS_LIMITS) != 0;
    struct quantity q;
    containers_together(pod, flags, ret);
    VAL_EACH (it, val_path(pod, limits ? "spec.resources.limits" : "spec.resources.requests")) {
        if (is_pod_level(it->key) && quantity_parse(val_text(it), &q)) {
            amounts_set(ret, it->key, q);
        }
    }
    if ((flags & POD_AMOUNTS_OVERHEAD) == 0) {
        return;
    }
    VAL_EACH (it, val_path(pod, "spec.overhead")) {
        const struct quantity *has = amounts_get(ret, it->key);
        if (quantity_parse(val_text(it), &q) && (!limits || (has != NULL && has->nano != 0))) {
            amounts_add(ret, it->key, q);
        }
    }
}

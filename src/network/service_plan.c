/* service_plan.c: from one state of a Service's port to the next, in the fewest changes.
 *
 * Invariants: an endpoint that stays keeps its slot unless the balancer shrinks below it; slots are
 * dense; a balancer's rules are written again only when its count or affinity changed. Targets that
 * change are deleted first and added last, so that chains exist as long as they are named.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network/service_port.h"

void service_port_done(struct service_port *port)
{
    vec_done(&port->vips);
    vec_done(&port->all);
    vec_done(&port->local);
    vec_done(&port->sources);
}

static int compare_endpoints(const void *a, const void *b)
{
    const struct endpoint *x = a, *y = b;
    if (x->address != y->address) {
        return x->address < y->address ? -1 : 1;
    }
    return (x->port > y->port) - (x->port < y->port);
}

static bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    return compare_endpoints(a, b) == 0;
}

static size_t find_sorted(const struct endpoint *sorted, size_t count, const struct endpoint *key)
{
    const struct endpoint *hit =
        count > 0 ? bsearch(key, sorted, count, sizeof *key, compare_endpoints) : NULL;
    return hit != NULL ? (size_t)(hit - sorted) : SIZE_MAX;
}

/* Sorts, drops duplicates, then puts every endpoint that `old` has below next->count into its old
 * slot. */
static void order_slots(const struct endpoints *old, struct endpoints *next)
{
    if (next->count == 0) {
        return;
    }
    qsort(next->items, next->count, sizeof next->items[0], compare_endpoints);
    size_t unique = 1;
    for (size_t i = 1; i < next->count; i++) {
        if (!endpoint_equal(&next->items[i], &next->items[unique - 1])) {
            next->items[unique++] = next->items[i];
        }
    }
    next->count = unique;
    struct endpoint *slots = mem_array(struct endpoint, unique);
    bool *filled = mem_array(bool, unique);
    bool *placed = mem_array(bool, unique);
    for (size_t i = 0; i < old->count && i < unique; i++) {
        size_t at = find_sorted(next->items, unique, &old->items[i]);
        if (at != SIZE_MAX) {
            slots[i] = old->items[i];
            filled[i] = placed[at] = true;
        }
    }
    for (size_t i = 0, slot = 0; i < unique; i++) {
        if (!placed[i]) {
            while (filled[slot]) {
                slot++;
            }
            slots[slot] = next->items[i];
            filled[slot] = true;
        }
    }
    free(next->items);
    next->items = slots;
    next->cap = unique;
    free(filled);
    free(placed);
}

/* ---- names ---- */

struct names {
    char all[SERVICE_NAME_SIZE], local[SERVICE_NAME_SIZE]; /* "": there is none */
    char entry[SERVICE_NAME_SIZE], filter[SERVICE_NAME_SIZE];
};

static void name_it(char ret_name[SERVICE_NAME_SIZE], const char *prefix, const char *id)
{
    snprintf(ret_name, SERVICE_NAME_SIZE, "%s-%s", prefix, id);
}

static bool has_external(const struct service_port *port)
{
    for (size_t i = 0; i < port->vips.count; i++) {
        if (port->vips.items[i].external) {
            return true;
        }
    }
    return port->node_port != 0;
}

static void name_all(const struct service_port *port, struct names *ret_names)
{
    *ret_names = (struct names){0};
    if (port == NULL) {
        return;
    }
    bool affine = port->affinity_s != 0;
    if (port->all.count > 0) {
        name_it(ret_names->all, affine ? "sa" : "s", port->id);
    }
    if (port->local.count > 0 && (port->internal_local || port->external_local)) {
        name_it(ret_names->local, affine ? "la" : "l", port->id);
    }
    if (has_external(port) && port->all.count > 0) {
        name_it(ret_names->entry, "x", port->id);
        if (port->sources.count > 0) {
            name_it(ret_names->filter, "f", port->id);
        }
    }
}

/* ---- targets ---- */

struct targets {
    VEC_OF(struct service_target);
};

static void add_target(struct targets *targets, const struct service_port *port,
                       const struct vip *vip, enum service_verdict verdict, const char *chain)
{
    struct service_target *target = vec_push(targets);
    target->node_port = vip == NULL;
    target->address = vip != NULL ? vip->address : 0;
    target->protocol = port->protocol;
    target->port = vip != NULL ? port->port : port->node_port;
    target->verdict = verdict;
    if (verdict == SERVICE_CHAIN) {
        snprintf(target->chain, sizeof target->chain, "%s", chain);
    }
}

static void list_targets(const struct service_port *port, const struct names *names,
                         struct targets *targets)
{
    if (port == NULL) {
        return;
    }
    bool any = port->all.count > 0;
    for (size_t i = 0; i < port->vips.count; i++) {
        const struct vip *vip = &port->vips.items[i];
        if (!any) {
            add_target(targets, port, vip, SERVICE_REJECT, NULL);
        } else if (vip->external) {
            add_target(targets, port, vip, SERVICE_CHAIN,
                       vip->filtered && names->filter[0] != 0 ? names->filter : names->entry);
        } else if (port->internal_local) {
            add_target(targets, port, vip, port->local.count > 0 ? SERVICE_CHAIN : SERVICE_DROP,
                       names->local);
        } else {
            add_target(targets, port, vip, SERVICE_CHAIN, names->all);
        }
    }
    if (port->node_port != 0) {
        add_target(targets, port, NULL, any ? SERVICE_CHAIN : SERVICE_REJECT, names->entry);
    }
}

static bool has_target(const struct targets *targets, const struct service_target *target)
{
    for (size_t i = 0; i < targets->count; i++) {
        if (memcmp(&targets->items[i], target, sizeof *target) == 0) { /* zeroed by vec_push */
            return true;
        }
    }
    return false;
}

static void tell_targets(bool add, const struct targets *from, const struct targets *other,
                         const struct service_ops *ops, void *ctx)
{
    for (size_t i = 0; i < from->count; i++) {
        if (!has_target(other, &from->items[i])) {
            ops->target(ctx, add, &from->items[i]);
        }
    }
}

/* ---- balancers ---- */

struct balancer {
    const char *name; /* "": none */
    const struct endpoints *endpoints;
    uint32_t affinity_s;
};

static void build_balancer(const struct balancer *old, const struct balancer *next,
                           const struct service_ops *ops, void *ctx)
{
    if (next->name[0] == 0) {
        return;
    }
    bool same = strcmp(old->name, next->name) == 0;
    const struct endpoint *before = same ? old->endpoints->items : NULL;
    size_t count_before = same ? old->endpoints->count : 0, count = next->endpoints->count;
    bool affine = next->affinity_s != 0;
    if (!same) {
        ops->balancer(ctx, true, next->name, next->affinity_s);
    }
    for (size_t i = 0; i < count_before; i++) {
        if (i >= count || !endpoint_equal(&before[i], &next->endpoints->items[i])) {
            ops->slot(ctx, false, next->name, affine, (uint32_t)i, &before[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (i >= count_before || !endpoint_equal(&before[i], &next->endpoints->items[i])) {
            ops->slot(ctx, true, next->name, affine, (uint32_t)i, &next->endpoints->items[i]);
        }
    }
    if (!same || count != count_before || old->affinity_s != next->affinity_s) {
        ops->balancer_rules(ctx, next->name, (uint32_t)count, next->affinity_s);
    }
}

static void drop_balancer(const struct balancer *old, const struct balancer *next,
                          const struct service_ops *ops, void *ctx)
{
    if (old->name[0] != 0 && strcmp(old->name, next->name) != 0) {
        ops->balancer(ctx, false, old->name, old->affinity_s);
    }
}

/* ---- the whole ---- */

static bool same_sources(const struct service_port *old, const struct service_port *next)
{
    return old != NULL && old->sources.count == next->sources.count &&
           (old->sources.count == 0 ||
            memcmp(old->sources.items, next->sources.items,
                   old->sources.count * sizeof old->sources.items[0]) == 0);
}

static void build_entry(const struct service_port *old, const struct names *before,
                        const struct service_port *next, const struct names *names,
                        const struct service_ops *ops, void *ctx)
{
    if (names->entry[0] == 0) {
        return;
    }
    bool fresh = before->entry[0] == 0;
    if (fresh) {
        ops->entry(ctx, true, names->entry);
    }
    if (fresh || strcmp(before->all, names->all) != 0 || strcmp(before->local, names->local) != 0 ||
        old->external_local != next->external_local) {
        ops->entry_rules(
            ctx, &(struct service_entry_rules){.name = names->entry,
                                               .all = names->all,
                                               .local = names->local[0] != 0 ? names->local : NULL,
                                               .is_local = next->external_local});
    }
    if (names->filter[0] != 0) {
        bool made = before->filter[0] == 0;
        if (made) {
            ops->entry(ctx, true, names->filter);
        }
        if (made || !same_sources(old, next)) {
            ops->filter_rules(ctx, names->filter, names->entry, next->sources.items,
                              next->sources.count);
        }
    }
}

static void tell_local(bool add, const struct endpoints *from, const struct endpoints *other,
                       const struct service_ops *ops, void *ctx)
{
    for (size_t i = 0; i < from->count; i++) {
        bool there = false;
        for (size_t j = 0; j < other->count && !there; j++) {
            there = endpoint_equal(&from->items[i], &other->items[j]);
        }
        if (!there) {
            ops->local_endpoint(ctx, add, from->items[i].address);
        }
    }
}

void service_port_apply(const struct service_port *old, struct service_port *next,
                        const struct service_ops *ops, void *ctx)
{
    static const struct endpoints nobody = {0};
    struct names before, names;
    struct targets old_targets = {0}, targets = {0};
    if (next != NULL) {
        order_slots(old != NULL ? &old->all : &nobody, &next->all);
        order_slots(old != NULL ? &old->local : &nobody, &next->local);
    }
    name_all(old, &before);
    name_all(next, &names);
    list_targets(old, &before, &old_targets);
    list_targets(next, &names, &targets);
    uint32_t affinity_before = old != NULL ? old->affinity_s : 0;
    uint32_t affinity = next != NULL ? next->affinity_s : 0;
    const struct endpoints *all_before = old != NULL ? &old->all : &nobody;
    const struct endpoints *local_before = old != NULL ? &old->local : &nobody;
    struct balancer old_all = {before.all, all_before, affinity_before};
    struct balancer old_local = {before.local, local_before, affinity_before};
    struct balancer all = {names.all, next != NULL ? &next->all : &nobody, affinity};
    struct balancer local = {names.local, next != NULL ? &next->local : &nobody, affinity};

    tell_targets(false, &old_targets, &targets, ops, ctx);
    build_balancer(&old_all, &all, ops, ctx);
    build_balancer(&old_local, &local, ops, ctx);
    if (before.filter[0] != 0 && names.filter[0] == 0) {
        ops->entry(ctx, false, before.filter);
    }
    if (before.entry[0] != 0 && names.entry[0] == 0) {
        ops->entry(ctx, false, before.entry);
    }
    build_entry(old, &before, next, &names, ops, ctx);
    tell_targets(true, &targets, &old_targets, ops, ctx);
    drop_balancer(&old_all, &all, ops, ctx);
    drop_balancer(&old_local, &local, ops, ctx);
    tell_local(false, local_before, local.endpoints, ops, ctx);
    tell_local(true, local.endpoints, local_before, ops, ctx);
    vec_done(&old_targets);
    vec_done(&targets);
}

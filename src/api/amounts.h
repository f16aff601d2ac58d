/* amounts.h: lists of resources with their quantities, and what a pod as a whole asks for.
 *
 * Names are borrowed: they must outlive the list. All memory is the arena's. The order is that in
 * which names came.
 */
#pragma once
#include "api/quantity.h"
#include "api/val.h"

struct amount {
    struct str name;
    struct quantity value;
};
struct amounts {
    struct arena *arena;
    struct amount *items;
    size_t count, cap;
};

struct quantity *amounts_get(const struct amounts *amounts, struct str name); /* NULL: not there */
void amounts_set(struct amounts *amounts, struct str name, struct quantity value);
void amounts_add(struct amounts *amounts, struct str name, struct quantity value);
void amounts_max(struct amounts *amounts, struct str name, struct quantity value);
/* The same with every member of another list. */
void amounts_add_all(struct amounts *amounts, const struct amounts *other);
void amounts_max_all(struct amounts *amounts, const struct amounts *other);
/* Adds a ResourceList {"cpu":"1"}; may be NULL. Texts that are no quantities are left out. */
void amounts_add_val(struct amounts *amounts, const struct val *resource_list);
/* {"cpu":"1500m"}, in order of names. Texts are in the arena. */
struct val *amounts_val(const struct amounts *amounts, struct arena *arena);
/* By name, bytewise. */
void amounts_sort(struct amounts *amounts);

enum pod_amounts_flags {
    POD_AMOUNTS_LIMITS = 1,   /* limits instead of requests */
    POD_AMOUNTS_STATUS = 2,   /* what the status says is in use counts when it is more */
    POD_AMOUNTS_OVERHEAD = 4, /* overhead is added (to limits only where there are some) */
};
/* What a pod (a Pod object) asks for: containers together, or its largest init container when that
 * is more; sidecars count with both; what the pod as a whole names replaces the sum (KEP-753,
 * KEP-1287, KEP-2837). */
void pod_amounts(const struct val *pod, int flags, struct amounts *ret);

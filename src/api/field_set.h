/* field_set.h: sets of field paths, in the form that managedFields keep them (metav1.FieldsV1).
 *
 * A node is an object; its members are path elements ("f:spec", "k:{...}", "v:..."), in the order
 * of field_element_cmp(). A path is in the set when its node is empty or has the member ".". NULL
 * is the empty set. Sets may share nodes; none of these functions changes its operands.
 */
#pragma once
#include "api/val.h"

/* Names first, then keys, then values; numbers in keys by value (80 before 443). */
int field_element_cmp(struct str a, struct str b);

/* Whether the node's own path is in the set. */
static inline bool field_set_includes_itself(const struct val *node)
{
    return node->count == 0 || str_is(node->child->key, ".");
}
/* The first element below the node; the others follow it. */
static inline const struct val *field_set_first(const struct val *node)
{
    const struct val *child = node->child;
    return child != NULL && str_is(child->key, ".") ? child->next : child;
}

/* A set that is only being made: members in any order, sorted by field_set_finish(). */
struct val *field_set_child(struct arena *arena, struct val *node, struct str element);
/* Sorts the node's members and puts "." first when `included`; NULL when nothing is in it. */
struct val *field_set_finish(struct arena *arena, struct val *node, bool included);

struct val *field_set_union(struct arena *arena, struct val *a, struct val *b);
/* a without the paths of b (a path's children stay unless they are in b, too). */
struct val *field_set_difference(struct arena *arena, struct val *a, const struct val *b);
/* The paths that are in both. */
struct val *field_set_intersection(struct arena *arena, const struct val *a, const struct val *b);
/* Whether every path of a is in b. */
bool field_set_contains(const struct val *b, const struct val *a);
bool field_set_equal(const struct val *a, const struct val *b);
/* The set with its members in order: itself, or a sorted copy of what a client wrote otherwise. */
struct val *field_set_sorted(struct arena *arena, struct val *set);
/* Whether a FieldsV1 value is one: objects only, known kinds of path elements. */
bool field_set_is_valid(const struct val *fields);

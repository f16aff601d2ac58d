/* field_set.h: sets of field paths, in the form that managedFields keep them (metav1.FieldsV1).
 *
 * A node is an object; its members are path elements ("f:spec", "k:{...}", "v:..."), sorted by
 * bytes. A path is in the set when its node is empty or has the member ".". NULL is the empty set.
 * Sets may share nodes; none of these functions changes its operands.
 */
#pragma once
#include "api/val.h"

/* A set that is only being made: members in any order, sorted by field_set_finish(). */
struct val *field_set_child(struct arena *arena, struct val *node, struct str element);
/* Sorts the node's members and puts "." first when `included`; NULL when nothing is in it. */
struct val *field_set_finish(struct arena *arena, struct val *node, bool included);

struct val *field_set_union(struct arena *arena, struct val *a, struct val *b);
/* a without the paths of b (a path's children stay unless they are in b, too). */
struct val *field_set_difference(struct arena *arena, struct val *a, const struct val *b);
bool field_set_equal(const struct val *a, const struct val *b);
/* The set with its members in order: itself, or a sorted copy of what a client wrote otherwise. */
struct val *field_set_sorted(struct arena *arena, struct val *set);
/* Whether a FieldsV1 value is one: objects only, known kinds of path elements. */
bool field_set_is_valid(const struct val *fields);

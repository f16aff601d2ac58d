/* prune.c: what a manager applied last time, does not apply now, and nobody else owns, goes.
 *
 * In three steps, as KEP-555 has them: (1) everything that was applied goes, with all below it;
 * (2) what any manager owns now comes back, also the parts of structs around it; (3) what had not
 * been applied comes back. The second is done in each version that a manager speaks.
 *
 * Everywhere a member that the type names counts as applied or owned when something below it is.
 */
#include "api/field_set.h"
#include "api/managed/apply_int.h"
#include "api/managed/grain.h"
#include "api/managed/items.h"

static const struct val *find(const struct val *node, struct str key)
{
    for (const struct val *it = node != NULL ? field_set_first(node) : NULL; it != NULL;
         it = it->next) {
        if (it->key.n == key.n + 2 && it->key.p[0] == 'f' &&
            memcmp(it->key.p + 2, key.p, key.n) == 0) {
            return it;
        }
    }
    return NULL;
}

static const struct val *find_element(const struct val *node, struct str element)
{
    for (const struct val *it = node != NULL ? field_set_first(node) : NULL; it != NULL;
         it = it->next) {
        if (str_eq(it->key, element)) {
            return it;
        }
    }
    return NULL;
}

static bool is_in(const struct val *set, bool named)
{
    return set != NULL && (named || field_set_includes_itself(set));
}

/* One walk over a value, beside another value and two sets; decides about each member. */
struct walk {
    struct arena *arena;
    /* Whether the member goes. `beside` is the same member of the other value, NULL when there is
     * none; `set` its node, NULL when the set has nothing there. */
    bool (*goes)(const struct val *beside, const struct val *set, bool named);
    bool follows_set; /* nothing goes where the set has nothing */
    bool leaves_null; /* what lost all its members becomes null */
    bool went;
};

static void walk_value(struct walk *walk, struct grain_place place, struct val *v,
                       const struct val *beside, const struct val *set);

/* False: the member goes. */
static bool walk_member(struct walk *walk, struct grain_place place, struct val *member,
                        const struct val *beside, const struct val *set, bool named)
{
    if (walk->follows_set && set == NULL) {
        return true;
    }
    if (walk->goes(beside, set, named)) {
        walk->went = true;
        return false;
    }
    if (member->count > 0 && (member->type == VAL_OBJECT || member->type == VAL_ARRAY)) {
        walk_value(walk, place, member, beside, set);
        if (walk->leaves_null && member->count == 0) {
            member->type = VAL_NULL;
        }
    }
    return true;
}

static void walk_members(struct walk *walk, const struct grain *grain, struct val *v,
                         const struct val *beside, const struct val *set)
{
    struct val *it = v->child;
    v->child = v->last = NULL;
    v->count = 0;
    while (it != NULL) {
        struct val *next = it->next;
        if (walk_member(walk, grain_member(grain, it->key), it, val_get_str(beside, it->key),
                        find(set, it->key), grain_names(grain, it->key))) {
            it->next = NULL;
            val_append(v, it);
        }
        it = next;
    }
}

static void walk_items(struct walk *walk, const struct grain *grain, struct val *v,
                       const struct val *beside, const struct val *set)
{
    struct items others;
    struct val *it = v->child;
    items_fill(walk->arena, grain->members, beside, &others);
    v->child = v->last = NULL;
    v->count = 0;
    while (it != NULL) {
        struct val *next = it->next;
        struct str element = field_element(walk->arena, grain->members, it);
        const struct item *other = element.p != NULL ? items_find(&others, element) : NULL;
        if (element.p == NULL ||
            walk_member(walk, (struct grain_place){grain->members, grain->as_member}, it,
                        other != NULL ? other->first : NULL, find_element(set, element), false)) {
            it->next = NULL;
            val_append(v, it);
        }
        it = next;
    }
    items_done(&others);
}

static void walk_value(struct walk *walk, struct grain_place place, struct val *v,
                       const struct val *beside, const struct val *set)
{
    struct grain grain = grain_of(place);
    if (!grain_is_deep(&grain, v)) {
        return;
    }
    if (grain.kind == GRAIN_LIST) {
        walk_items(walk, &grain, v, val_is(beside, VAL_ARRAY) ? beside : NULL, set);
    } else {
        walk_members(walk, &grain, v, val_is(beside, VAL_OBJECT) ? beside : NULL, set);
    }
}

static bool was_applied(const struct val *beside, const struct val *set, bool named)
{
    return is_in(set, named);
}

static bool gone_and_nobodys(const struct val *beside, const struct val *set, bool named)
{
    return beside == NULL && !is_in(set, named);
}

static bool gone_and_applied(const struct val *beside, const struct val *set, bool named)
{
    return beside == NULL && is_in(set, named);
}

static void run(struct walk *walk, const struct api_struct *type, struct val *v,
                const struct val *beside, const struct val *set)
{
    struct grain grain = {.kind = GRAIN_STRUCT, .type = type};
    walk_members(walk, &grain, v, beside, set);
}

/* Step 2 in one version: of `merged`, what is not in `pruned` and not in `owned` goes. */
static struct val *with_owned(struct arena *arena, const struct api_struct *type,
                              const struct val *merged, const struct val *pruned,
                              const struct val *owned)
{
    struct walk walk = {.arena = arena, .goes = gone_and_nobodys};
    struct val *kept = val_copy(arena, merged);
    run(&walk, type, kept, pruned, owned);
    return kept;
}

/* An object, in whatever version it was asked for last. */
struct version {
    const struct fields_writer *writer;
    struct arena *arena;
};

static struct val *convert(const struct version *at, const struct val *object, struct str version,
                           const struct api_struct **ret_type)
{
    const struct fields_writer *writer = at->writer;
    if (str_eq(val_text(val_get(object, "apiVersion")), version)) {
        return (struct val *)object;
    }
    return writer->convert != NULL ? writer->convert(writer, at->arena, object, version, ret_type)
                                   : NULL;
}

static struct val *owned_in(struct arena *arena, const struct entries *entries, struct str version)
{
    struct val *owned = NULL;
    for (size_t i = 0; i < entries->count; i++) {
        if (str_eq(entries->items[i].version, version)) {
            owned = field_set_union(arena, owned, entries->items[i].set);
        }
    }
    return owned;
}

static bool seen_before(const struct entries *entries, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (str_eq(entries->items[i].version, entries->items[at].version)) {
            return true;
        }
    }
    return false;
}

/* Step 2 in the other versions. */
static struct val *with_owned_elsewhere(const struct version *at, const struct entries *entries,
                                        struct str done, const struct val *merged,
                                        struct val *pruned)
{
    for (size_t i = 0; i < entries->count; i++) {
        struct str version = entries->items[i].version;
        const struct api_struct *type = at->writer->type;
        if (str_eq(version, done) || seen_before(entries, i)) {
            continue;
        }
        struct val *there = convert(at, merged, version, &type);
        struct val *less = there != NULL ? convert(at, pruned, version, &type) : NULL;
        if (less != NULL) {
            pruned =
                with_owned(at->arena, type, there, less, owned_in(at->arena, entries, version));
        }
    }
    return pruned;
}

bool apply_prune(struct arena *arena, const struct fields_writer *writer,
                 const struct entries *entries, const struct entry *last, struct val **merged)
{
    struct version at = {writer, arena};
    const struct api_struct *type = writer->type;
    struct val *whole = convert(&at, *merged, last->version, &type);
    if (whole == NULL) {
        return false; /* a version that is not served any more */
    }
    struct walk remove = {.arena = arena, .goes = was_applied, .follows_set = true};
    struct val *pruned = val_copy(arena, whole);
    run(&remove, type, pruned, NULL, last->set);
    pruned = with_owned(arena, type, whole, pruned, owned_in(arena, entries, last->version));
    pruned = with_owned_elsewhere(&at, entries, last->version, whole, pruned);
    const struct api_struct *again = type;
    pruned = convert(&at, pruned, last->version, &again);
    struct walk final = {
        .arena = arena, .goes = gone_and_applied, .follows_set = true, .leaves_null = true};
    struct val *kept = val_copy(arena, whole);
    run(&final, type, kept, pruned, last->set);
    if (final.went) {
        const struct api_struct *back = writer->type;
        struct val *result = convert(&at, kept, writer->api_version, &back);
        *merged = result != NULL ? result : *merged;
    }
    return final.went;
}

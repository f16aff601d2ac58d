/* merge.c: a configuration into an object, in place. See apply_int.h.
 *
 * Fields of the configuration win; containers that go deeper are merged member by member. Empty
 * containers and null do not empty what is there: to own nothing is not to delete. Lists keep the
 * order of the object where the configuration does not say otherwise.
 *
 * Recursion is bounded by the parser's depth.
 */
#include "api/managed/apply_int.h"
#include "api/managed/grain.h"
#include "api/managed/items.h"

enum { INDEX_FROM = 16 }; /* members from which on a hash map pays */

struct merge {
    struct arena *arena;
    bool changed;
};

static void merge_value(struct merge *ctx, struct grain_place place, struct val *mine,
                        const struct val *theirs);

/* The value of `from` in the place of `node`. */
static void replace(struct merge *ctx, struct val *node, const struct val *from)
{
    struct val *copy = val_copy(ctx->arena, from);
    copy->key = node->key;
    copy->next = node->next;
    *node = *copy;
    ctx->changed = true;
}

static void merge_members(struct merge *ctx, const struct grain *grain, struct val *mine,
                          const struct val *theirs)
{
    struct map index = MAP_INIT;
    bool many = grain->kind == GRAIN_MAP && mine->count >= INDEX_FROM && theirs->count > 1;
    VAL_EACH (it, many ? mine : NULL) {
        map_set(&index, it->key, it);
    }
    VAL_EACH (it, theirs) {
        struct val *there = many ? map_get(&index, it->key) : val_get_str(mine, it->key);
        struct grain_place place = grain_member(grain, it->key);
        bool is_there = grain->kind == GRAIN_STRUCT && place.field != NULL &&
                        (place.field->flags & API_OMIT_EMPTY) == 0; /* as null, when not seen */
        if (there != NULL) {
            merge_value(ctx, place, there, it);
        } else if (it->type != VAL_NULL || !is_there) {
            val_append(mine, val_copy(ctx->arena, it));
            ctx->changed = true;
        }
    }
    map_done(&index);
}

/* ---- lists ---- */

struct list_merge {
    struct merge *ctx;
    struct grain_place place;
    struct items mine, theirs;
    struct val **members; /* of mine, by position */
    struct val *out;      /* the list as it becomes */
    uint32_t at;          /* members of mine that came out where they were */
    uint32_t shared;      /* of next_shared() */
};

static void put(struct list_merge *merge, struct val *member)
{
    bool in_step = merge->members[merge->at] == member;
    merge->ctx->changed = merge->ctx->changed || !in_step;
    merge->at += in_step;
    member->next = NULL;
    val_append(merge->out, member);
}

/* Theirs, merged with mine when there is exactly one. */
static void put_theirs(struct list_merge *merge, struct item *theirs)
{
    struct item *mine = items_find(&merge->mine, theirs->element);
    theirs->done = true;
    if (mine == NULL || mine->count > 1) {
        put(merge, val_copy(merge->ctx->arena, theirs->first));
        return;
    }
    struct val *member = merge->members[mine->at];
    merge_value(merge->ctx, merge->place, member, theirs->first);
    put(merge, member);
}

/* The first of theirs from `at` on that mine has, too. `at` only grows. */
static const struct item *next_shared(struct list_merge *merge, uint32_t at)
{
    at = merge->shared > at ? merge->shared : at;
    while (at < merge->theirs.count &&
           items_find(&merge->mine, merge->theirs.items[at].element) == NULL) {
        at++;
    }
    merge->shared = at;
    return at < merge->theirs.count ? &merge->theirs.items[at] : NULL;
}

/* Mine keep their places and theirs theirs; where the orders disagree, theirs wins. */
static void interleave(struct list_merge *merge, uint32_t mine_count)
{
    uint32_t m = 0, t = 0, theirs_count = merge->theirs.count;
    const struct item *shared = next_shared(merge, 0);
    while (m < mine_count || t < theirs_count) {
        struct item *theirs = t < theirs_count ? &merge->theirs.items[t] : NULL;
        struct item *mine = m < mine_count ? merge->mine.of[m] : NULL;
        struct item *also = mine != NULL ? items_find(&merge->theirs, mine->element) : NULL;
        if (m < mine_count && also == NULL) { /* mine alone */
            put(merge, merge->members[m++]);
            continue;
        }
        bool together = theirs != NULL && also == theirs;
        bool later =
            theirs != NULL && also != NULL && !together && shared != NULL && shared != also;
        if (later || (also != NULL && also->done && !together)) {
            m++; /* it comes, or came, with theirs */
            if (later || theirs == NULL) {
                continue;
            }
        }
        if (theirs != NULL) {
            m += together;
            put_theirs(merge, theirs);
            t++;
            shared = next_shared(merge, t);
        }
    }
}

static void merge_list(struct merge *ctx, const struct grain *grain, struct val *mine,
                       const struct val *theirs)
{
    uint32_t count = mine->count, i = 0;
    struct list_merge merge = {.ctx = ctx,
                               .place = {grain->members, grain->as_member},
                               .members = arena_array(ctx->arena, struct val *, count + 1),
                               .out = val_new(ctx->arena, VAL_ARRAY)};
    items_fill(ctx->arena, grain->members, mine, &merge.mine);
    items_fill(ctx->arena, grain->members, theirs, &merge.theirs);
    VAL_EACH (it, mine) {
        merge.members[i++] = it;
    }
    interleave(&merge, count);
    ctx->changed = ctx->changed || merge.at != count;
    mine->child = merge.out->child;
    mine->last = merge.out->last;
    mine->count = merge.out->count;
    items_done(&merge.mine);
    items_done(&merge.theirs);
}

/* ---- values ---- */

static void merge_value(struct merge *ctx, struct grain_place place, struct val *mine,
                        const struct val *theirs)
{
    struct grain grain = grain_of(place);
    bool keeps = grain_is_deep(&grain, mine) && mine->count > 0;
    if (theirs->type == VAL_NULL || (grain_is_deep(&grain, theirs) && theirs->count == 0)) {
        if (!keeps && (mine->type != theirs->type)) {
            replace(ctx, mine, theirs);
        }
        return;
    }
    if (!grain_is_deep(&grain, theirs)) {
        if (!val_equal(mine, theirs)) {
            replace(ctx, mine, theirs);
        }
        return;
    }
    if (mine->type != theirs->type) {
        replace(ctx, mine, theirs);
        return;
    }
    if (grain.kind == GRAIN_LIST) {
        merge_list(ctx, &grain, mine, theirs);
    } else {
        merge_members(ctx, &grain, mine, theirs);
    }
}

bool apply_merge(struct arena *arena, const struct api_struct *type, struct val *object,
                 const struct val *config)
{
    struct merge ctx = {.arena = arena};
    struct grain grain = {.kind = GRAIN_STRUCT, .type = type};
    merge_members(&ctx, &grain, object, config);
    return ctx.changed;
}

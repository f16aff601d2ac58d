/* patch_strategic.c: strategic merge patch of objects: merge by member, with the directives $patch,
 * $retainKeys, $setElementOrder/LIST and $deleteFromPrimitiveList/LIST.
 *
 * What a list does (replace or merge, and by which key) is in the type's table. Recursion is
 * bounded by the depth of the patch. Left to others: lists (patch_list.c).
 */
#include "api/patch_strategic.h"

static const char order_prefix[] = "$setElementOrder/";
static const char delete_prefix[] = "$deleteFromPrimitiveList/";

static bool is_directive(struct str key)
{
    return str_is(key, "$patch") || str_is(key, "$retainKeys") ||
           str_starts(key, str_of(order_prefix)) || str_starts(key, str_of(delete_prefix));
}

struct val *strategic_copy(struct strategic *ctx, const struct val *patch)
{
    if (patch->type != VAL_OBJECT && patch->type != VAL_ARRAY) {
        return val_copy(ctx->arena, patch);
    }
    struct val *copy = val_new(ctx->arena, patch->type);
    copy->key = patch->key;
    VAL_EACH (it, patch) {
        if (patch->type == VAL_OBJECT && (is_directive(it->key) || it->type == VAL_NULL)) {
            continue;
        }
        if (patch->type == VAL_ARRAY && str_is(val_text(val_get(it, "$patch")), "delete")) {
            continue;
        }
        struct val *member = strategic_copy(ctx, it);
        member->key = it->key;
        val_append(copy, member);
    }
    return copy;
}

static bool names(const struct val *list, struct str key)
{
    VAL_EACH (it, list) {
        if (str_eq(val_text(it), key)) {
            return true;
        }
    }
    return false;
}

/* $retainKeys: what the list does not name goes; it must name all that the patch sets. */
static int retain_keys(struct strategic *ctx, struct val *target, const struct val *patch)
{
    const struct val *keep = val_get(patch, "$retainKeys");
    if (keep == NULL) {
        return 0;
    }
    VAL_EACH (it, patch) {
        if (!is_directive(it->key) && it->type != VAL_NULL && !names(keep, it->key)) {
            return err_set(ctx->err, ERR_BAD_REQUEST, "invalid patch format of retainKeys");
        }
    }
    struct val *it = target->child;
    while (it != NULL) {
        struct val *next = it->next;
        if (!names(keep, it->key)) {
            val_remove(target, it);
        }
        it = next;
    }
    return 0;
}

static void delete_values(struct strategic *ctx, struct val *list, const struct val *values)
{
    VAL_EACH (value, values) {
        ctx->steps += list->count;
        if (ctx->steps > PATCH_STEPS_MAX) {
            return; /* the caller finds out */
        }
        struct val *it = list->child;
        while (it != NULL) {
            struct val *next = it->next;
            if (val_equal(it, value)) {
                val_remove(list, it);
            }
            it = next;
        }
    }
}

static const struct api_field *field_for(const struct api_struct *type, struct str key)
{
    return type != NULL ? schema_field(type, key) : NULL;
}

static bool merges(const struct api_field *field)
{
    return field != NULL && field->shape == API_SHAPE_LIST && (field->flags & API_PATCH_MERGE) != 0;
}

/* An order for a list that the patch itself does not touch. */
static int order_only(struct strategic *ctx, const struct api_struct *type, struct val *target,
                      const struct val *patch, const struct val *order)
{
    struct str key = str_from(order->key, sizeof order_prefix - 1);
    struct val *there = val_get_str(target, key), *merged = NULL;
    const struct api_field *field = field_for(type, key);
    if (val_get_str(patch, key) != NULL || !val_is(there, VAL_ARRAY) || !merges(field)) {
        return 0;
    }
    int rc = strategic_merge_list(ctx, field, there, NULL, order, &merged);
    if (rc == 0) {
        val_set(target, there->key, merged);
    }
    return rc;
}

static const struct val *order_of(struct strategic *ctx, const struct val *patch, struct str key)
{
    if (patch->child == NULL || key.n > 256) {
        return NULL;
    }
    const char *name = arena_printf(ctx->arena, "%s%.*s", order_prefix, STR_ARG(key));
    return val_get_str(patch, str_of(name));
}

static int merge_object_member(struct strategic *ctx, const struct api_field *field,
                               struct val *there, const struct val *patch)
{
    bool is_struct =
        field != NULL && field->type == API_TYPE_STRUCT && field->shape == API_SHAPE_ONE;
    return strategic_merge_object(ctx, is_struct ? field->type_struct : NULL, there, patch);
}

static int merge_member(struct strategic *ctx, const struct api_struct *type, struct val *target,
                        const struct val *patch, const struct val *it)
{
    struct val *there = val_get_str(target, it->key);
    const struct api_field *field = field_for(type, it->key);
    if (it->type == VAL_NULL) {
        val_unset(target, it->key);
        return 0;
    }
    if (val_is(there, VAL_OBJECT) && it->type == VAL_OBJECT) {
        return merge_object_member(ctx, field, there, it);
    }
    if (it->type == VAL_ARRAY && merges(field)) {
        struct val *merged = NULL;
        const struct val *old = val_is(there, VAL_ARRAY) ? there : NULL;
        int rc = strategic_merge_list(ctx, field, old, it, order_of(ctx, patch, it->key), &merged);
        if (rc == 0) {
            val_set(target, it->key, merged);
        }
        return rc;
    }
    val_set(target, it->key, strategic_copy(ctx, it));
    return 0;
}

/* The directives that concern the whole object. *ret_done: nothing else is to do. */
static int object_directive(struct strategic *ctx, struct val *target, const struct val *patch,
                            bool *ret_done)
{
    const struct val *directive = val_get(patch, "$patch");
    struct str what = val_text(directive);
    *ret_done = false;
    if (directive == NULL || str_is(what, "merge")) {
        return retain_keys(ctx, target, patch);
    }
    if (!str_is(what, "replace") && !str_is(what, "delete")) {
        return err_set(ctx->err, ERR_BAD_REQUEST, "unknown patch type \"%.*s\" in map",
                       STR_ARG(what));
    }
    while (target->child != NULL) {
        val_remove(target, target->child);
    }
    if (str_is(what, "replace")) {
        VAL_EACH (it, patch) {
            if (!is_directive(it->key) && it->type != VAL_NULL) {
                val_set(target, it->key, strategic_copy(ctx, it));
            }
        }
    }
    *ret_done = true;
    return 0;
}

int strategic_merge_object(struct strategic *ctx, const struct api_struct *type, struct val *target,
                           const struct val *patch)
{
    bool done;
    int rc = object_directive(ctx, target, patch, &done);
    if (rc != 0 || done) {
        return rc;
    }
    for (const struct val *it = patch->child; it != NULL && rc == 0; it = it->next) {
        ctx->steps += target->count;
        if (ctx->steps > PATCH_STEPS_MAX) {
            return err_set(ctx->err, ERR_TOO_LARGE, PATCH_TOO_EXPENSIVE);
        }
        if (str_starts(it->key, str_of(order_prefix))) {
            rc = order_only(ctx, type, target, patch, it);
        } else if (!is_directive(it->key)) {
            rc = merge_member(ctx, type, target, patch, it);
        }
    }
    for (const struct val *it = patch->child; it != NULL && rc == 0; it = it->next) {
        struct val *list = NULL;
        if (str_starts(it->key, str_of(delete_prefix))) { /* after what is added */
            list = val_get_str(target, str_from(it->key, sizeof delete_prefix - 1));
        }
        if (val_is(list, VAL_ARRAY)) {
            delete_values(ctx, list, it);
        }
    }
    return rc;
}

int patch_strategic(struct arena *arena, const struct api_struct *type, const struct val *target,
                    const struct val *patch, struct val **ret_value, struct err *err)
{
    if (!val_is(patch, VAL_OBJECT) || !val_is(target, VAL_OBJECT)) {
        return err_set(err, ERR_BAD_REQUEST,
                       "error decoding patch: a strategic merge patch is an object");
    }
    struct strategic ctx = {.arena = arena, .err = err};
    struct val *result = val_copy(arena, target);
    int rc = strategic_merge_object(&ctx, type, result, patch);
    if (rc == 0) {
        *ret_value = result;
    }
    return rc;
}

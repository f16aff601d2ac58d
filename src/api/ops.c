/* ops.c: the generic half of every kind: prepare, validate, columns; the kind's own half is called
 * through struct api_ops.
 *
 * Invariants: metadata that only the server writes (uid, creationTimestamp, deletionTimestamp,
 * generation) never comes from a client; an update of the main resource keeps the status, an update
 * of /status keeps all but the status.
 *
 * Left to others: defaults (defaults.c), uid, creationTimestamp and resourceVersion of a create
 * (the server).
 */
#include "api/custom/custom.h"
#include "api/kinds/cells.h"
#include "api/semantic.h"
#include "api/validation.h"

static bool has_status(const struct api_resource *resource)
{
    return schema_subresource(resource, STR("status")) != NULL;
}

/* next.member = old.member, or gone when old has none. */
static void keep(struct arena *arena, struct val *next, const struct val *old, struct str member)
{
    const struct val *was = val_get_str(old, member);
    if (was == NULL) {
        val_unset(next, member);
    } else {
        struct val *copy = val_copy(arena, was);
        copy->field = was->field;
        val_set(next, was->key, copy);
    }
}

static void prepare_metadata_update(struct api_context *ctx, struct val *next,
                                    const struct val *old)
{
    struct val *metadata = val_make_object(ctx->arena, next, STR("metadata"));
    const struct val *was = val_get(old, "metadata");
    keep(ctx->arena, metadata, was, STR("generation"));
    keep(ctx->arena, metadata, was, STR("creationTimestamp"));
    keep(ctx->arena, metadata, was, STR("selfLink"));
    if (val_text(val_get(metadata, "uid")).n == 0) {
        keep(ctx->arena, metadata, was, STR("uid"));
    }
    if (!val_absent(val_get(was, "deletionTimestamp"))) {
        keep(ctx->arena, metadata, was, STR("deletionTimestamp"));
    }
    if (val_absent(val_get(metadata, "deletionGracePeriodSeconds"))) {
        keep(ctx->arena, metadata, was, STR("deletionGracePeriodSeconds"));
    }
}

/* Where /status is not for labels and the like. */
static void keep_metadata(struct api_context *ctx, struct val *next, const struct val *old)
{
    static const char *const members[] = {"labels", "annotations", "finalizers", "ownerReferences"};
    struct val *metadata = val_make_object(ctx->arena, next, STR("metadata"));
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        keep(ctx->arena, metadata, val_get(old, "metadata"), str_of(members[i]));
    }
}

static bool is_metadata_member(const struct val *member)
{
    return str_is(member->key, "kind") || str_is(member->key, "apiVersion") ||
           str_is(member->key, "metadata");
}

/* An update of /status changes the status, and of the metadata what clients may. */
static void keep_all_but_status(struct api_context *ctx, struct val *next, const struct val *old)
{
    struct val *member = next->child;
    while (member != NULL) {
        struct val *following = member->next;
        if (!is_metadata_member(member) && !str_is(member->key, "status")) {
            val_remove(next, member);
        }
        member = following;
    }
    VAL_EACH (was, old) {
        if (!is_metadata_member(was) && !str_is(was->key, "status")) {
            keep(ctx->arena, next, old, was->key);
        }
    }
}

/* Nothing and something empty are one wish, but where a schema of the user's says what is. */
static bool same_desire(bool custom, const struct val *a, const struct val *b)
{
    return custom ? a != NULL && b != NULL && val_equal(a, b) : semantic_equal(a, b);
}

/* Whether what the generation counts has changed: all but metadata and status. */
static bool desire_changed(const struct api_resource *resource, const struct val *next,
                           const struct val *old)
{
    bool custom = resource->custom != NULL;
    bool status = !custom || has_status(resource); /* it is not what is wanted */
    VAL_EACH (member, next) {
        const struct val *was = val_get_str(old, member->key);
        if (!is_metadata_member(member) && !(status && str_is(member->key, "status")) &&
            !same_desire(custom, member, was)) {
            return true;
        }
    }
    VAL_EACH (was, old) {
        if (!is_metadata_member(was) && !(status && str_is(was->key, "status")) &&
            val_get_str(next, was->key) == NULL && !same_desire(custom, NULL, was)) {
            return true;
        }
    }
    return false;
}

static void prepare_create(struct api_context *ctx, const struct api_resource *resource,
                           struct val *object)
{
    struct val *metadata = val_make_object(ctx->arena, object, STR("metadata"));
    val_unset(metadata, STR("deletionTimestamp"));
    val_unset(metadata, STR("deletionGracePeriodSeconds"));
    val_unset(metadata, STR("selfLink"));
    if (has_status(resource) && !resource->ops->keeps_status_on_create) {
        val_unset(object, STR("status"));
    }
    if (resource->ops->prepare_create != NULL) {
        resource->ops->prepare_create(ctx, object);
    }
    if (resource->ops->generation) {
        val_set_int(ctx->arena, metadata, STR("generation"), 1);
    }
}

void api_prepare(struct api_context *ctx, const struct api_resource *resource, struct val *object,
                 const struct val *old)
{
    if (old == NULL) {
        prepare_create(ctx, resource, object);
        return;
    }
    bool status = strcmp(ctx->subresource, "status") == 0;
    prepare_metadata_update(ctx, object, old);
    if (status) {
        keep_all_but_status(ctx, object, old);
        if (resource->ops->metadata_fixed_in_status) {
            keep_metadata(ctx, object, old);
        }
    } else if (has_status(resource) && ctx->subresource[0] == '\0') {
        keep(ctx->arena, object, old, STR("status")); /* others keep what they must themselves */
    }
    if (resource->ops->prepare_update != NULL) {
        resource->ops->prepare_update(ctx, object, old);
    }
    if (resource->ops->generation && !status && desire_changed(resource, object, old)) {
        struct val *metadata = val_get(object, "metadata");
        int64_t generation = val_int(val_path(old, "metadata.generation"), 0);
        val_set_int(ctx->arena, metadata, STR("generation"), generation + 1);
    }
}

void api_validate(struct api_context *ctx, const struct api_resource *resource,
                  const struct val *object, const struct val *old, struct field_errors *errors)
{
    check_metadata(ctx, resource, object, old, errors);
    if (resource->custom != NULL) {
        custom_validate(ctx, resource->custom, object, old, errors);
    }
    if (resource->ops->validate != NULL && (old == NULL || ctx->subresource[0] == '\0')) {
        resource->ops->validate(ctx, object, errors);
    }
    if (old == NULL && resource->ops->validate_create != NULL) {
        resource->ops->validate_create(ctx, object, errors);
    }
    if (old != NULL && resource->ops->validate_update != NULL) {
        resource->ops->validate_update(ctx, object, old, errors);
    }
}

void api_columns(struct api_context *ctx, const struct api_resource *resource,
                 const struct val *object, struct val *cells)
{
    if (resource->custom != NULL) {
        custom_columns(ctx, resource, object, cells);
        return;
    }
    if (resource->ops->columns != NULL) {
        resource->ops->columns(ctx, object, cells);
        return;
    }
    cell_text(ctx, cells, val_name(object));
    cell_text(ctx, cells, val_text(val_path(object, "metadata.creationTimestamp")));
}

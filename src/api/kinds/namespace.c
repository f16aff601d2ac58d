/* namespace.c: Namespaces: the finalizer and the name label, row.
 *
 * Left to others: emptying a namespace (controllers), spec.finalizers at /finalize (server).
 */
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/validation.h"

static void defaults(struct arena *arena, struct val *namespace)
{
    struct str name = val_name(namespace);
    struct val *metadata = val_get(namespace, "metadata");
    if (name.n > 0 && metadata != NULL) { /* always, also over another value */
        struct val *labels = default_object(arena, metadata, "labels");
        struct val *label = val_set_text(arena, labels, STR("kubernetes.io/metadata.name"), name);
        label->field = labels->field;
    }
}

static void prepare_create(struct api_context *ctx, struct val *namespace)
{
    struct val *status = val_make_object(ctx->arena, namespace, STR("status"));
    val_set_text(ctx->arena, status, STR("phase"), STR("Active"));
    struct val *spec = val_make_object(ctx->arena, namespace, STR("spec"));
    struct val *finalizers = val_make_array(ctx->arena, spec, STR("finalizers"));
    VAL_EACH (it, finalizers) {
        if (str_is(val_text(it), "kubernetes")) {
            return;
        }
    }
    val_append(finalizers, val_new_text(ctx->arena, STR("kubernetes")))->field = finalizers->field;
}

static void keep_member(struct arena *arena, struct val *next, const struct val *old,
                        struct str name)
{
    const struct val *was = val_get_str(old, name);
    if (was != NULL) {
        struct val *copy = val_copy(arena, was);
        copy->field = was->field;
        val_set(next, was->key, copy);
    } else {
        val_unset(next, name);
    }
}

/* spec.finalizers only change through /finalize. */
static void prepare_update(struct api_context *ctx, struct val *next, const struct val *old)
{
    if (strcmp(ctx->subresource, "finalize") == 0) {
        keep_member(ctx->arena, next, old, STR("status"));
    } else {
        keep_member(ctx->arena, next, old, STR("spec"));
    }
}

static void validate(struct api_context *ctx, const struct val *namespace,
                     struct field_errors *errors)
{
    VAL_EACH (it, val_path(namespace, "spec.finalizers")) {
        struct str name = val_text(it);
        const struct path *path = AT(AT(NULL, "spec"), "finalizers");
        check_name(errors, path, NAME_LABEL_KEY, name);
        if (!str_is(name, "kubernetes") && !str_is(name, "orphan") &&
            !str_is(name, "foregroundDeletion") && !str_contains(name, STR("/"))) {
            field_invalid(errors, path, name,
                          "name is neither a standard finalizer name nor is it fully qualified");
        }
    }
    (void)ctx;
}

static void validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                            struct field_errors *errors)
{
    bool deleting = !val_absent(val_path(next, "metadata.deletionTimestamp"));
    struct str phase = val_text(val_path(next, "status.phase"));
    if (strcmp(ctx->subresource, "status") != 0) {
        return;
    }
    if (!deleting && !str_is(phase, "Active")) {
        field_invalid(errors, AT(AT(NULL, "status"), "Phase"), phase,
                      "may only be 'Active' if `deletionTimestamp` is empty");
    } else if (deleting && !str_is(phase, "Terminating")) {
        field_invalid(errors, AT(AT(NULL, "status"), "Phase"), phase,
                      "may only be 'Terminating' if `deletionTimestamp` is not empty");
    }
    (void)old;
}

static void columns(struct api_context *ctx, const struct val *namespace, struct val *cells)
{
    cell_text(ctx, cells, val_name(namespace));
    cell_text(ctx, cells, val_text(val_path(namespace, "status.phase")));
    cell_age(ctx, cells, namespace);
}

const struct api_ops ops_namespace = {
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .defaults = defaults,
    .validate = validate,
    .validate_update = validate_update,
    .columns = columns,
    .unconditional_update = true,
    .name_rule = "label",
};

/* replication.c: ReplicationControllers and PodTemplates, the oldest kinds with a pod template:
 * defaults, validation, rows. */
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/pod/pod_spec.h"
#include "api/kinds/workload/workload.h"
#include "api/semantic.h"

static void defaults(struct arena *arena, struct val *controller)
{
    struct val *spec = default_object(arena, controller, "spec");
    struct val *metadata = val_get(controller, "metadata");
    const struct val *labels = val_path(spec, "template.metadata.labels");
    default_int(arena, spec, "replicas", 1);
    if (!val_absent(val_get(spec, "template"))) {
        pod_template_default(arena, spec);
    }
    if (val_count(labels) > 0 && val_count(val_get(spec, "selector")) == 0) {
        default_put(spec, STR("selector"), val_copy(arena, labels));
    }
    if (val_count(labels) > 0 && metadata != NULL && val_count(val_get(metadata, "labels")) == 0) {
        default_put(metadata, STR("labels"), val_copy(arena, labels));
    }
}

/* status.replicas is always there, also when it is 0. */
static void prepare_create(struct api_context *ctx, struct val *controller)
{
    val_set_int(ctx->arena, val_make_object(ctx->arena, controller, STR("status")), STR("replicas"),
                0);
}

static bool selects(const struct val *selector, const struct val *labels)
{
    VAL_EACH (it, selector) {
        const struct val *label = val_get_str(labels, it->key);
        if (label == NULL || !str_eq(val_text(label), val_text(it))) {
            return false;
        }
    }
    return true;
}

static void template_check(struct field_errors *errors, const struct path *path,
                           const struct val *spec)
{
    static const char *const always_only[] = {"Always", NULL};
    const struct path *at = AT(path, "template");
    const struct val *labels = val_path(spec, "template.metadata.labels");
    if (val_absent(val_get(spec, "template"))) {
        field_required(errors, at, "");
        return;
    }
    if (!selects(val_get(spec, "selector"), labels)) {
        field_invalid_val(errors, AT(AT(at, "metadata"), "labels"), labels,
                          "`selector` does not match template `labels`");
    }
    workload_template_check(errors, path, spec, always_only);
    workload_deadline_check(errors, path, spec, "ReplicationController");
}

static void validate(struct api_context *ctx, const struct val *controller,
                     struct field_errors *errors)
{
    const struct val *spec = val_get(controller, "spec");
    const struct path *path = AT(NULL, "spec");
    check_not_negative(errors, AT(path, "minReadySeconds"), val_get(spec, "minReadySeconds"));
    if (val_count(val_get(spec, "selector")) == 0) {
        field_required(errors, AT(path, "selector"), "");
    }
    check_not_negative(errors, AT(path, "replicas"), val_get(spec, "replicas"));
    template_check(errors, path, spec);
    (void)ctx;
}

static void validate_create(struct api_context *ctx, const struct val *controller,
                            struct field_errors *errors)
{
    workload_name_warn(ctx, val_name(controller));
    workload_validate_create(ctx, controller, errors);
}

static void validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                            struct field_errors *errors)
{
    if (strcmp(ctx->subresource, "status") == 0) {
        workload_counts_check(errors, val_get(next, "status"), val_get(old, "status"));
        return;
    }
    workload_warn(ctx, next, old);
}

static void columns(struct api_context *ctx, const struct val *controller, struct val *cells)
{
    const struct val *spec = val_get(controller, "spec"), *status = val_get(controller, "status");
    cell_text(ctx, cells, val_name(controller));
    cell_int(ctx, cells, val_int(val_get(spec, "replicas"), 0));
    cell_int(ctx, cells, val_int(val_get(status, "replicas"), 0));
    cell_int(ctx, cells, val_int(val_get(status, "readyReplicas"), 0));
    cell_age(ctx, cells, controller);
    cell_containers(ctx, cells, val_path(spec, "template.spec"));
    cell_text(ctx, cells, cell_map_text(ctx, val_get(spec, "selector")));
}

const struct api_ops ops_replication_controller = {
    .prepare_create = prepare_create,
    .defaults = defaults,
    .validate = validate,
    .validate_create = validate_create,
    .validate_update = validate_update,
    .columns = columns,
    .generation = true,
    .unconditional_update = true,
    .orphans_by_default = true,
};

/* ---- PodTemplate ---- */

static void template_validate(struct api_context *ctx, const struct val *object,
                              struct field_errors *errors)
{
    pod_template_check(errors, AT(NULL, "template"), val_get(object, "template"));
    (void)ctx;
}

static void template_warn(struct api_context *ctx, const struct val *next, const struct val *old)
{
    const struct val *spec = val_path(next, "template.spec");
    if (old == NULL || !semantic_equal(spec, val_path(old, "template.spec"))) {
        pod_spec_warn(ctx, AT(AT(NULL, "template"), "spec"), spec);
    }
}

static void template_validate_create(struct api_context *ctx, const struct val *object,
                                     struct field_errors *errors)
{
    template_warn(ctx, object, NULL);
    (void)errors;
}

static void template_validate_update(struct api_context *ctx, const struct val *next,
                                     const struct val *old, struct field_errors *errors)
{
    template_warn(ctx, next, old);
    (void)errors;
}

static void template_columns(struct api_context *ctx, const struct val *object, struct val *cells)
{
    cell_text(ctx, cells, val_name(object));
    cell_containers(ctx, cells, val_path(object, "template.spec"));
    cell_text(ctx, cells, cell_map_text(ctx, val_path(object, "template.metadata.labels")));
}

const struct api_ops ops_pod_template = {
    .defaults = pod_template_default,
    .validate = template_validate,
    .validate_create = template_validate_create,
    .validate_update = template_validate_update,
    .columns = template_columns,
    .generation = true,
    .unconditional_update = true,
    .returns_deleted = true,
};

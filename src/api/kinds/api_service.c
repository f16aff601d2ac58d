/* api_service.c: APIService: a version of an API group, and who serves it. Requests are never
 * passed on to another server: one that names a Service is data. */
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/validation.h"
#include "base/clock.h"

enum { GROUP_PRIORITY_MAX = 20000, VERSION_PRIORITY_MAX = 1000 };

static void service_prepare_create(struct api_context *ctx, struct val *service)
{
    char *text = arena_alloc(ctx->arena, TIME_TEXT_SIZE);
    if (!val_absent(val_path(service, "spec.service"))) {
        return;
    }
    struct val *status = val_make_object(ctx->arena, service, STR("status"));
    struct val *conditions = val_make_array(ctx->arena, status, STR("conditions"));
    struct val *condition = val_append(conditions, val_new(ctx->arena, VAL_OBJECT));
    condition->field = conditions->field;
    val_set_text(ctx->arena, condition, STR("type"), STR("Available"));
    val_set_text(ctx->arena, condition, STR("status"), STR("True"));
    val_set_text(ctx->arena, condition, STR("lastTransitionTime"),
                 str_at(text, time_format(ctx->now_wall_ns, text)));
    val_set_text(ctx->arena, condition, STR("reason"), STR("Local"));
    val_set_text(ctx->arena, condition, STR("message"),
                 STR("Local APIServices are always available"));
}

static void name_check_of(struct field_errors *errors, const struct val *service, struct str group,
                          struct str version)
{
    struct str name = val_name(service);
    struct str wanted =
        str_of(arena_printf(errors->arena, "%.*s.%.*s", STR_ARG(version), STR_ARG(group)));
    if (name.n > 0 && name_is(NAME_PATH, name) && !str_eq(name, wanted)) {
        field_invalid(errors, AT(AT(NULL, "metadata"), "name"), name,
                      "must be `spec.version+\".\"+spec.group`: \"%.*s\"", STR_ARG(wanted));
    }
    /* The same rule for a prefix, which so can be none. */
    struct str prefix = val_text(val_path(service, "metadata.generateName"));
    if (prefix.n > 0 && !str_eq(prefix, wanted)) {
        field_invalid(errors, AT(AT(NULL, "metadata"), "generateName"), prefix,
                      "must be `spec.version+\".\"+spec.group`: \"%.*s\"", STR_ARG(wanted));
    }
}

static void priority_check(struct field_errors *errors, const struct path *path,
                           const struct val *value, int max)
{
    int64_t priority = val_int(value, 0);
    if (priority <= 0 || priority > max) {
        field_invalid_int(errors, path, priority, "must be positive and at most %d", max);
    }
}

static void remote_check(struct field_errors *errors, const struct path *path,
                         const struct val *spec)
{
    static const char *const members[] = {"namespace", "name"};
    const struct val *service = val_get(spec, "service");
    bool insecure = val_bool(val_get(spec, "insecureSkipTLSVerify"), false);
    struct str bundle = val_text(val_get(spec, "caBundle"));
    if (val_absent(service)) {
        if (bundle.n > 0) {
            field_invalid(errors, AT(path, "caBundle"), STR("<bytes>"),
                          "local APIServices may not have a caBundle");
        }
        if (insecure) {
            field_invalid(errors, AT(path, "insecureSkipTLSVerify"), STR("true"),
                          "local APIServices may not have insecureSkipTLSVerify");
        }
        return;
    }
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (val_text(val_get_str(service, str_of(members[i]))).n == 0) {
            field_required(errors, AT(AT(path, "service"), members[i]), "");
        }
    }
    check_port_number(errors, AT(AT(path, "service"), "port"),
                      val_int(val_get(service, "port"), 0));
    if (insecure && bundle.n > 0) {
        field_invalid(errors, AT(path, "insecureSkipTLSVerify"), STR("true"),
                      "may not be true if caBundle is present");
    }
}

static void service_validate(struct api_context *ctx, const struct val *service,
                             struct field_errors *errors)
{
    const struct path *path = AT(NULL, "spec");
    const struct val *spec = val_get(service, "spec");
    struct str group = val_text(val_get(spec, "group"));
    struct str version = val_text(val_get(spec, "version"));
    name_check_of(errors, service, group, version);
    if (group.n == 0 && !str_is(version, "v1")) {
        field_required(errors, AT(path, "group"), "only v1 may have an empty group");
    } else if (group.n > 0) {
        check_name(errors, AT(path, "group"), NAME_SUBDOMAIN, group);
    }
    check_name(errors, AT(path, "version"), NAME_LABEL_1035, version);
    priority_check(errors, AT(path, "groupPriorityMinimum"), val_get(spec, "groupPriorityMinimum"),
                   GROUP_PRIORITY_MAX);
    priority_check(errors, AT(path, "versionPriority"), val_get(spec, "versionPriority"),
                   VERSION_PRIORITY_MAX);
    remote_check(errors, path, spec);
    (void)ctx;
}

static void service_validate_update(struct api_context *ctx, const struct val *next,
                                    const struct val *old, struct field_errors *errors)
{
    static const char *const statuses[] = {"False", "True", "Unknown", NULL};
    const struct path *path = AT(AT(NULL, "status"), "conditions");
    uint32_t i = 0;
    if (strcmp(ctx->subresource, "status") != 0) {
        return;
    }
    VAL_EACH (it, val_path(next, "status.conditions")) {
        const struct path *at = AT(AT_INDEX(path, i++), "status");
        struct str status = val_text(val_get(it, "status"));
        if (status.n == 0) {
            field_not_supported(errors, at, status, statuses);
        } else {
            check_one_of(errors, at, status, statuses, false);
        }
    }
    (void)old;
}

static void service_columns(struct api_context *ctx, const struct val *service, struct val *cells)
{
    const struct val *remote = val_path(service, "spec.service");
    const struct val *condition =
        val_find(val_path(service, "status.conditions"), "type", STR("Available"));
    struct str status = val_text(val_get(condition, "status"));
    struct str reason = val_text(val_get(condition, "reason"));
    cell_text(ctx, cells, val_name(service));
    if (val_absent(remote)) {
        cell_text(ctx, cells, STR("Local"));
    } else {
        cell_format(ctx, cells, "%.*s/%.*s", STR_ARG(val_text(val_get(remote, "namespace"))),
                    STR_ARG(val_text(val_get(remote, "name"))));
    }
    if (condition == NULL) {
        cell_text(ctx, cells, STR("Unknown"));
    } else if (str_is(status, "True") || reason.n == 0) {
        cell_text(ctx, cells, status);
    } else {
        cell_format(ctx, cells, "%.*s (%.*s)", STR_ARG(status), STR_ARG(reason));
    }
    cell_age(ctx, cells, service);
}

const struct api_ops ops_api_service = {
    .prepare_create = service_prepare_create,
    .validate = service_validate,
    .validate_update = service_validate_update,
    .columns = service_columns,
    .metadata_fixed_in_status = true,
    .name_rule = "path",
    .any_finalizer = true,
};

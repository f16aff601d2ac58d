/* event.c: Events of both groups: validation, row.
 *
 * Core events take nearly anything, as they always did; events.k8s.io/v1 is strict. Their members
 * have other names there: regarding, note, deprecatedSource and so on.
 */
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/validation.h"

static void limited(struct field_errors *errors, const char *name, struct str text, size_t max,
                    bool required)
{
    if (text.n == 0 && required) {
        field_required(errors, AT(NULL, name), "");
    } else if (text.n > max) {
        field_invalid(errors, AT(NULL, name), STR(""), "can have at most %zu characters", max);
    }
}

/* Old events (without eventTime) only have to be in the namespace of their object; new ones say who
 * reports what. `controller` is the member's name in this version. */
static void common_check(struct field_errors *errors, const struct val *event, const char *object,
                         const char *controller, const char *message)
{
    struct str of = val_text(val_get(val_get_str(event, str_of(object)), "namespace"));
    struct str own = val_namespace(event);
    bool fresh = !val_absent(val_get(event, "eventTime"));
    bool cluster = own.n == 0 || str_is(own, "default") || (fresh && str_is(own, "kube-system"));
    if (of.n == 0 ? !cluster : !fresh && !str_eq(of, own)) {
        field_invalid(errors, AT(AT(NULL, "involvedObject"), "namespace"), of,
                      "does not match event.namespace");
    }
    if (!fresh) {
        return;
    }
    struct str who = val_text(val_get_str(event, str_of(controller)));
    limited(errors, controller, who, SIZE_MAX, true);
    check_name(errors, AT(NULL, controller), NAME_LABEL_KEY, who);
    limited(errors, "reportingInstance", val_text(val_get(event, "reportingInstance")), 128, true);
    limited(errors, "action", val_text(val_get(event, "action")), 128, true);
    limited(errors, "reason", val_text(val_get(event, "reason")), 128, true);
    limited(errors, "message", val_text(val_get_str(event, str_of(message))), 1024, false);
}

static void core_validate(struct api_context *ctx, const struct val *event,
                          struct field_errors *errors)
{
    common_check(errors, event, "involvedObject", "reportingComponent", "message");
    (void)ctx;
}

static void unset(struct field_errors *errors, const struct val *event, const char *member,
                  const char *name)
{
    const struct val *value = val_get_str(event, str_of(member));
    if (!val_absent(value) && val_count(value) + val_text(value).n > 0 &&
        !str_is(val_text(value), "0")) {
        field_invalid(errors, AT(NULL, name), STR(""), "needs to be unset");
    }
}

static void strict_validate(struct api_context *ctx, const struct val *event,
                            struct field_errors *errors)
{
    struct str type = val_text(val_get(event, "type"));
    common_check(errors, event, "regarding", "reportingController", "note");
    if (val_absent(val_get(event, "eventTime"))) {
        field_required(errors, AT(NULL, "eventTime"), "");
    }
    if (!str_is(type, "Normal") && !str_is(type, "Warning")) {
        field_invalid(errors, AT(NULL, "type"), STR(""), "has invalid value: %.*s", STR_ARG(type));
    }
    unset(errors, event, "deprecatedFirstTimestamp", "firstTimestamp");
    unset(errors, event, "deprecatedLastTimestamp", "lastTimestamp");
    unset(errors, event, "deprecatedCount", "count");
    unset(errors, event, "deprecatedSource", "source");
    const struct val *series = val_get(event, "series");
    if (!val_absent(series) && val_int(val_get(series, "count"), 0) < 2) {
        field_invalid(errors, AT(NULL, "series.count"), STR(""), "should be at least 2");
    }
    if (!val_absent(series) && val_absent(val_get(series, "lastObservedTime"))) {
        field_required(errors, AT(NULL, "series.lastObservedTime"), "");
    }
    (void)ctx;
}

static void strict_validate_update(struct api_context *ctx, const struct val *next,
                                   const struct val *old, struct field_errors *errors)
{
    static const char *const fixed[] = {
        "regarding",           "reason",           "note", "type", "eventTime", "action", "related",
        "reportingController", "reportingInstance"};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        check_immutable(errors, AT(NULL, fixed[i]), val_get_str(next, str_of(fixed[i])),
                        val_get_str(old, str_of(fixed[i])));
    }
    (void)ctx;
}

struct names { /* of the same things in the two groups */
    const char *object, *source, *first, *last, *count, *message;
};
static const struct names core_names = {"involvedObject", "source", "firstTimestamp",
                                        "lastTimestamp",  "count",  "message"};
static const struct names strict_names = {"regarding",
                                          "deprecatedSource",
                                          "deprecatedFirstTimestamp",
                                          "deprecatedLastTimestamp",
                                          "deprecatedCount",
                                          "note"};

static struct str lower(struct api_context *ctx, struct str text)
{
    char *copy = str_dup_in(ctx->arena, text);
    for (size_t i = 0; i < text.n; i++) {
        copy[i] = (char)(copy[i] >= 'A' && copy[i] <= 'Z' ? copy[i] + 32 : copy[i]);
    }
    return str_at(copy, text.n);
}

static struct str source_text(struct api_context *ctx, const struct val *event,
                              const struct names *names)
{
    const struct val *source = val_get_str(event, str_of(names->source));
    struct str component = val_text(val_get(source, "component"));
    struct str host = val_text(val_get(source, "host"));
    if (component.n == 0) {
        component = val_text(val_get(event, "reportingComponent"));
    }
    if (component.n == 0) {
        component = val_text(val_get(event, "reportingController"));
    }
    if (host.n == 0) {
        host = val_text(val_get(event, "reportingInstance"));
    }
    return host.n == 0
               ? component
               : str_of(arena_printf(ctx->arena, "%.*s, %.*s", STR_ARG(component), STR_ARG(host)));
}

static void row(struct api_context *ctx, const struct val *event, struct val *cells,
                const struct names *names)
{
    const struct val *object = val_get_str(event, str_of(names->object));
    const struct val *first = val_get_str(event, str_of(names->first));
    const struct val *last = val_get_str(event, str_of(names->last));
    const struct val *series = val_get(event, "series");
    int64_t count = val_int(val_get_str(event, str_of(names->count)), 0);
    first = val_absent(first) ? val_get(event, "eventTime") : first;
    last = val_absent(last) ? first : last;
    if (!val_absent(series)) {
        last = val_get(series, "lastObservedTime");
        count = val_int(val_get(series, "count"), 0);
    } else if (count == 0) {
        count = 1;
    }
    struct str kind = lower(ctx, val_text(val_get(object, "kind")));
    struct str name = val_text(val_get(object, "name"));
    cell_since(ctx, cells, last);
    cell_text(ctx, cells, val_text(val_get(event, "type")));
    cell_text(ctx, cells, val_text(val_get(event, "reason")));
    cell_format(ctx, cells, "%.*s%s%.*s", STR_ARG(kind), name.n > 0 ? "/" : "", STR_ARG(name));
    cell_text(ctx, cells, val_text(val_get(object, "fieldPath")));
    cell_text(ctx, cells, source_text(ctx, event, names));
    cell_text(ctx, cells, str_trim(val_text(val_get_str(event, str_of(names->message)))));
    cell_since(ctx, cells, first);
    cell_int(ctx, cells, count);
    cell_text(ctx, cells, val_name(event));
}

static void core_columns(struct api_context *ctx, const struct val *event, struct val *cells)
{
    row(ctx, event, cells, &core_names);
}

static void strict_columns(struct api_context *ctx, const struct val *event, struct val *cells)
{
    row(ctx, event, cells, &strict_names);
}

const struct api_ops ops_event = {
    .validate = core_validate,
    .columns = core_columns,
    .create_on_update = true,
    .unconditional_update = true,
    .any_finalizer = true,
    .name_rule = "path",
};

const struct api_ops ops_event_v1 = {
    .validate = strict_validate,
    .validate_update = strict_validate_update,
    .columns = strict_columns,
    .create_on_update = true,
    .unconditional_update = true,
};

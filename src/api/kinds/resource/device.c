/* device.c: names, configuration, taints and conditions of devices. See device.h. */
#include "api/kinds/resource/device.h"

#include "api/kinds/storage/storage.h"
#include "api/warning.h"
#include "base/clock.h"
#include "base/map.h"

enum {
    POOL_NAME_MAX = 253,
    ID_MAX = 32,
    SELECTORS_MAX = 32,
    EXPRESSION_MAX = 10 * 1024,
    PARAMETERS_MAX = 10 * 1024,
    BINDING_MAX = 4,
};
static const char *const effects[] = {"NoExecute", "NoSchedule", "None", NULL};

void pool_name_check(struct field_errors *errors, const struct path *path, struct str name)
{
    struct str rest = name;
    if (name.n == 0) {
        field_required(errors, path, "");
        return;
    }
    if (name.n > POOL_NAME_MAX) {
        field_too_long(errors, path, POOL_NAME_MAX);
    }
    while (rest.p != NULL) {
        check_name(errors, path, NAME_SUBDOMAIN, str_cut(rest, '/', &rest));
    }
}

void device_name_check(struct field_errors *errors, const struct path *path, struct str name)
{
    check_name(errors, path, NAME_LABEL, name);
}

static void identifier_check(struct field_errors *errors, const struct path *path, struct str id)
{
    bool good = id.n > 0;
    if (id.n > ID_MAX) {
        field_too_long(errors, path, ID_MAX);
    }
    for (size_t i = 0; i < id.n; i++) {
        char c = id.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        good = good && (letter || (i > 0 && c >= '0' && c <= '9'));
    }
    if (!good) {
        field_invalid(errors, path, id,
                      "a valid C identifier must start with alphabetic character or '_', followed "
                      "by a string of alphanumeric characters or '_' (e.g. 'my_name',  or "
                      "'MY_NAME',  or 'MyName', regex used for validation is "
                      "'[A-Za-z_][A-Za-z0-9_]*')");
    }
}

bool qualified_name_check(struct field_errors *errors, const struct path *path, struct str name,
                          bool full)
{
    size_t before = errors->count;
    struct str id, more, domain = str_cut(name, '/', &id);
    if (id.p == NULL) {
        identifier_check(errors, path, name);
    } else {
        str_cut(id, '/', &more);
        if (more.p == NULL && domain.n == 0) {
            field_invalid(errors, path, domain, "the domain must not be empty");
        } else if (more.p == NULL) {
            csi_driver_name_check(errors, path, domain);
        }
        if (more.p == NULL && id.n == 0) {
            field_invalid(errors, path, id, "the name must not be empty");
        } else if (more.p == NULL) {
            identifier_check(errors, path, id);
        }
    }
    if (full && id.p == NULL) {
        field_invalid(errors, path, name,
                      "a fully qualified name must be a domain and a name separated by a slash");
    }
    return errors->count == before;
}

void selectors_check(struct field_errors *errors, const struct path *path,
                     const struct val *selectors)
{
    uint32_t i = 0;
    if (!check_length(errors, path, selectors, SELECTORS_MAX)) {
        return;
    }
    VAL_EACH (it, selectors) {
        const struct path *at = AT(AT_INDEX(path, i++), "cel");
        const struct val *cel = val_get(it, "cel");
        if (val_absent(cel)) {
            field_required(errors, at, "");
        } else if (val_text(val_get(cel, "expression")).n > EXPRESSION_MAX) {
            field_too_long(errors, AT(at, "expression"), EXPRESSION_MAX);
        } else if (val_text(val_get(cel, "expression")).n == 0) {
            field_invalid(errors, AT(at, "expression"), STR(""), "must be a CEL expression");
        }
    }
}

void json_object_check(struct field_errors *errors, const struct path *path,
                       const struct val *value, size_t max)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    if (val_absent(value)) {
        field_required(errors, path, "");
        return;
    }
    val_write_json(value, &text);
    if (text.n > max) {
        field_too_long(errors, path, (int64_t)max);
    } else if (!val_is(value, VAL_OBJECT)) {
        field_invalid(errors, path, STR("<value omitted>"), "must be a valid JSON object");
    }
}

void opaque_check(struct field_errors *errors, const struct path *path, const struct val *config,
                  bool stored)
{
    const struct path *at = AT(path, "opaque");
    const struct val *opaque = val_get(config, "opaque");
    if (val_absent(opaque)) {
        field_required(errors, at, "");
        return;
    }
    csi_driver_name_check(errors, AT(at, "driver"), val_text(val_get(opaque, "driver")));
    json_object_check(errors, AT(at, "parameters"), val_get(opaque, "parameters"),
                      stored ? SIZE_MAX : PARAMETERS_MAX);
}

void device_taint_check(struct field_errors *errors, const struct path *path,
                        const struct val *taint, const struct val *old)
{
    struct str value = val_text(val_get(taint, "value"));
    struct str effect = val_text(val_get(taint, "effect"));
    check_name(errors, AT(path, "key"), NAME_LABEL_KEY, val_text(val_get(taint, "key")));
    if (value.n > 0) {
        check_name(errors, AT(path, "value"), NAME_LABEL_VALUE, value);
    }
    if (old == NULL || !str_eq(effect, val_text(val_get(old, "effect")))) {
        check_one_of(errors, AT(path, "effect"), effect, effects, true);
    }
}

void device_toleration_check(struct field_errors *errors, const struct path *path,
                             const struct val *toleration)
{
    static const char *const operators[] = {"Equal", "Exists", NULL};
    struct str key = val_text(val_get(toleration, "key"));
    struct str value = val_text(val_get(toleration, "value"));
    struct str comparison = val_text(val_get(toleration, "operator"));
    if (key.n > 0) {
        check_name(errors, AT(path, "key"), NAME_LABEL_KEY, key);
    }
    if (str_is(comparison, "Exists")) {
        if (value.n > 0) {
            field_invalid(errors, AT(path, "value"), value, "must be empty for operator `Exists`");
        }
    } else if (check_one_of(errors, AT(path, "operator"), comparison, operators, true)) {
        check_name(errors, AT(path, "value"), NAME_LABEL_VALUE, value);
    }
    check_one_of(errors, AT(path, "effect"), val_text(val_get(toleration, "effect")), effects,
                 false);
}

void repeats_check(struct field_errors *errors, const struct path *path, const struct val *list)
{
    struct map seen = MAP_INIT;
    uint32_t i = 0;
    VAL_EACH (it, list) {
        if (map_get(&seen, val_text(it)) != NULL) {
            field_duplicate(errors, AT_INDEX(path, i), val_text(it));
        }
        map_set(&seen, val_text(it), it);
        i++;
    }
    map_done(&seen);
}

void repeated_members_check(struct field_errors *errors, const struct path *path,
                            const struct val *list, const char *member)
{
    struct map seen = MAP_INIT;
    uint32_t i = 0;
    VAL_EACH (it, list) {
        struct str text = val_text(val_get_str(it, str_of(member)));
        if (map_get(&seen, text) != NULL) {
            field_duplicate(errors, AT_INDEX(path, i), text);
        }
        map_set(&seen, text, it);
        i++;
    }
    map_done(&seen);
}

static bool has_text(const struct val *list, struct str text)
{
    VAL_EACH (it, list) {
        if (str_eq(val_text(it), text)) {
            return true;
        }
    }
    return false;
}

void binding_conditions_check(struct field_errors *errors, const struct path *path,
                              const struct val *device)
{
    static const char *const members[] = {"bindingConditions", "bindingFailureConditions"};
    const struct val *lists[2];
    bool good[2];
    for (size_t m = 0; m < 2; m++) {
        const struct path *at = AT(path, members[m]);
        uint32_t i = 0;
        lists[m] = val_get_str(device, str_of(members[m]));
        good[m] = check_length(errors, at, lists[m], BINDING_MAX);
        VAL_EACH (it, good[m] ? lists[m] : NULL) {
            check_name(errors, AT_INDEX(at, i++), NAME_LABEL_KEY, val_text(it));
        }
    }
    if (!good[0] || !good[1]) {
        return;
    }
    repeats_check(errors, AT(path, members[0]), lists[0]);
    repeats_check(errors, AT(path, members[1]), lists[1]);
    uint32_t i = 0;
    VAL_EACH (it, lists[1]) {
        if (has_text(lists[0], val_text(it))) {
            field_invalid(errors, AT_INDEX(AT(path, members[1]), i), val_text(it),
                          "bindingFailureConditions must not overlap with bindingConditions");
        }
        i++;
    }
    for (size_t m = 0; m < 2; m++) {
        if (val_count(lists[m]) == 0 && val_count(lists[1 - m]) > 0) {
            field_invalid_val(errors, AT(path, members[m]), lists[m],
                              "bindingConditions and bindingFailureConditions go together");
        }
    }
}

void device_taint_time(struct api_context *ctx, struct val *taint)
{
    if (taint != NULL && val_absent(val_get(taint, "timeAdded"))) {
        char *text = arena_alloc(ctx->arena, TIME_TEXT_SIZE);
        val_set_text(ctx->arena, taint, STR("timeAdded"),
                     str_at(text, time_format(ctx->now_wall_ns, text)));
    }
}

void expressions_warn(struct api_context *ctx, const struct val *object, const char *what)
{
    api_warn(ctx, NULL, "%s \"%.*s\" has CEL expressions: they are stored but not evaluated yet",
             what, STR_ARG(val_name(object)));
}

/* webhook.c: ValidatingWebhookConfiguration and MutatingWebhookConfiguration. Nobody calls the
 * webhooks yet: a warning says so.
 *
 * On an update, what was allowed to be wrong before stays allowed: side effects, unknown review
 * versions, names that repeat.
 */
#include "api/kinds/admission/matching.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/semantic.h"
#include "base/map.h"

enum { TIMEOUT_MAX = 30, NAME_PARTS_MIN = 3 };
static const char *const quiet[] = {"None", "NoneOnDryRun", NULL};
static const char *const side_effects[] = {"None", "NoneOnDryRun", "Some", "Unknown", NULL};

struct strictness { /* what an update need not put right */
    bool no_side_effects, known_versions, unique_names, conditions;
};

static bool is_one_of(struct str text, const char *const *values)
{
    for (size_t i = 0; values[i] != NULL; i++) {
        if (str_is(text, values[i])) {
            return true;
        }
    }
    return false;
}

static bool is_known_version(struct str version)
{
    return str_is(version, "v1") || str_is(version, "v1beta1");
}

static bool has_known_version(const struct val *versions)
{
    VAL_EACH (it, versions) {
        if (is_known_version(val_text(it))) {
            return true;
        }
    }
    return false;
}

static bool same_conditions(const struct val *a, const struct val *b)
{
    const struct val *other = b != NULL ? b->child : NULL;
    if (val_count(a) != val_count(b)) {
        return false;
    }
    VAL_EACH (it, a) {
        if (!semantic_equal(val_get(it, "matchConditions"), val_get(other, "matchConditions"))) {
            return false;
        }
        other = other->next;
    }
    return true;
}

static struct strictness strictness_of(const struct val *next, const struct val *old)
{
    struct strictness strict = {true, true, true, true};
    const struct val *hooks = val_get(old, "webhooks");
    struct map names = MAP_INIT;
    VAL_EACH (hook, hooks) {
        struct str name = val_text(val_get(hook, "name"));
        const struct val *versions = val_get(hook, "admissionReviewVersions");
        strict.no_side_effects =
            strict.no_side_effects && is_one_of(val_text(val_get(hook, "sideEffects")), quiet);
        strict.known_versions =
            strict.known_versions && (val_count(versions) == 0 || has_known_version(versions));
        strict.unique_names = strict.unique_names && map_get(&names, name) == NULL;
        map_set(&names, name, hook);
    }
    map_done(&names);
    strict.conditions = old == NULL || !same_conditions(val_get(next, "webhooks"), hooks);
    return strict;
}

static void hook_name_check(struct field_errors *errors, const struct path *path, struct str name)
{
    int parts = 1;
    for (size_t i = 0; i < name.n; i++) {
        parts += name.p[i] == '.';
    }
    if (name.n == 0) {
        field_required(errors, path, "");
    } else if (check_name(errors, path, NAME_SUBDOMAIN, name) && parts < NAME_PARTS_MIN) {
        field_invalid(errors, path, name,
                      "should be a domain with at least three segments separated by dots");
    }
}

static void versions_check(struct field_errors *errors, const struct path *path,
                           const struct val *versions, bool known)
{
    struct map seen = MAP_INIT;
    uint32_t i = 0;
    if (val_count(versions) == 0) {
        field_required(errors, path, "must specify one of v1, v1beta1");
        return;
    }
    VAL_EACH (it, versions) {
        const struct path *at = AT_INDEX(path, i++);
        if (map_get(&seen, val_text(it)) != NULL) {
            field_invalid(errors, at, val_text(it), "duplicate version");
            continue;
        }
        map_set(&seen, val_text(it), it);
        check_name(errors, at, NAME_LABEL_1035, val_text(it));
    }
    map_done(&seen);
    if (known && !has_known_version(versions)) {
        field_invalid_val(errors, path, versions, "must include at least one of v1, v1beta1");
    }
}

/* https://host[/path], nothing else. */
static void url_check(struct field_errors *errors, const struct path *path, struct str url)
{
    static const char form[] = "; desired format: https://host[/path]";
    struct str fragment, query, rest, user;
    struct str base = str_cut(url, '#', &fragment);
    base = str_cut(base, '?', &query);
    struct str scheme = str_cut(base, ':', &rest);
    if (rest.p == NULL) {
        scheme = STR(""), rest = base;
    }
    struct str tail, host = STR("");
    if (str_starts(rest, STR("//"))) {
        host = str_cut(str_from(rest, 2), '/', &tail);
    }
    user = str_cut(host, '@', &tail);
    if (tail.p != NULL) {
        host = tail;
    }
    if (!str_is(scheme, "https")) {
        field_invalid(errors, path, scheme, "'https' is the only allowed URL scheme%s", form);
    }
    if (host.n == 0) {
        field_invalid(errors, path, host, "host must be specified%s", form);
    }
    if (tail.p != NULL) {
        field_invalid(errors, path, user, "user information is not permitted in the URL");
    }
    if (fragment.n > 0) {
        field_invalid(errors, path, fragment, "fragments are not permitted in the URL");
    }
    if (query.n > 0) {
        field_invalid(errors, path, query, "query parameters are not permitted in the URL");
    }
}

static void service_path_check(struct field_errors *errors, const struct path *path,
                               struct str text)
{
    struct str rest = text;
    int index = 0;
    if (text.n == 0 || str_is(text, "/")) {
        return;
    }
    if (!str_starts(text, STR("/"))) {
        field_invalid(errors, path, text, "must start with a '/'");
    }
    rest = str_from(rest, 1);
    if (rest.n > 1 && str_ends(rest, STR("/"))) {
        rest.n--;
    }
    while (rest.p != NULL) {
        struct str step = str_cut(rest, '/', &rest);
        struct name_complaints complaints;
        if (step.n == 0) {
            field_invalid(errors, path, text, "segment[%d] may not be empty", index);
            if (str_is(text, "//")) {
                return;
            }
        } else if (!name_check(NAME_SUBDOMAIN, step, &complaints)) {
            for (int i = 0; i < complaints.count; i++) {
                field_invalid(errors, path, text, "segment[%d]: %s", index, complaints.items[i]);
            }
        }
        index++;
    }
}

/* Clients are used to the answer of upstream, which tells an empty name of the namespace and the
 * other way round. */
static void service_check(struct field_errors *errors, const struct path *path,
                          const struct val *service)
{
    const struct val *text = val_get(service, "path");
    int64_t port = val_int(val_get(service, "port"), 0);
    if (val_text(val_get(service, "namespace")).n == 0) {
        field_required(errors, AT(path, "name"), "");
    }
    if (val_text(val_get(service, "name")).n == 0) {
        field_required(errors, AT(path, "namespace"), "");
    }
    check_port_number(errors, AT(path, "port"), port);
    if (!val_absent(text)) {
        service_path_check(errors, AT(path, "path"), val_text(text));
    }
}

static void client_check(struct field_errors *errors, const struct path *path,
                         const struct val *client)
{
    const struct val *url = val_get(client, "url"), *service = val_get(client, "service");
    if (val_absent(url) == val_absent(service)) {
        field_required(errors, path, "exactly one of url or service is required");
    } else if (!val_absent(url)) {
        url_check(errors, AT(path, "url"), val_text(url));
    } else {
        service_check(errors, AT(path, "service"), service);
    }
}

static void optional_choice_check(struct field_errors *errors, const struct path *path,
                                  const struct val *hook, const char *name,
                                  const char *const *values)
{
    const struct val *value = val_get_str(hook, str_of(name));
    if (!val_absent(value)) {
        choice_check(errors, AT(path, name), value, values);
    }
}

static void hook_check(struct field_errors *errors, const struct path *path, const struct val *hook,
                       struct strictness strict)
{
    static const char *const selectors[] = {"namespaceSelector", "objectSelector"};
    const struct val *timeout = val_get(hook, "timeoutSeconds");
    int64_t seconds = val_int(timeout, 0);
    uint32_t i = 0;
    hook_name_check(errors, AT(path, "name"), val_text(val_get(hook, "name")));
    VAL_EACH (rule, val_get(hook, "rules")) {
        rule_check(errors, AT_INDEX(AT(path, "rules"), i++), rule);
    }
    optional_choice_check(errors, path, hook, "failurePolicy", failure_policies);
    optional_choice_check(errors, path, hook, "matchPolicy", match_policies);
    choice_check(errors, AT(path, "sideEffects"), val_get(hook, "sideEffects"),
                 strict.no_side_effects ? quiet : side_effects);
    if (!val_absent(timeout) && (seconds < 1 || seconds > TIMEOUT_MAX)) {
        field_invalid_int(errors, AT(path, "timeoutSeconds"), seconds,
                          "the timeout value must be between 1 and 30 seconds");
    }
    for (size_t s = 0; s < sizeof selectors / sizeof *selectors; s++) {
        check_label_selector(errors, AT(path, selectors[s]),
                             val_get_str(hook, str_of(selectors[s])));
    }
    optional_choice_check(errors, path, hook, "reinvocationPolicy", reinvocations);
    client_check(errors, AT(path, "clientConfig"), val_get(hook, "clientConfig"));
    if (strict.conditions) {
        match_conditions_check(errors, AT(path, "matchConditions"),
                               val_get(hook, "matchConditions"));
    }
}

static void hooks_check(struct field_errors *errors, const struct val *next, const struct val *old)
{
    struct strictness strict = strictness_of(next, old);
    struct map names = MAP_INIT;
    uint32_t i = 0;
    VAL_EACH (hook, val_get(next, "webhooks")) {
        const struct path *path = AT_INDEX(AT(NULL, "webhooks"), i++);
        struct str name = val_text(val_get(hook, "name"));
        hook_check(errors, path, hook, strict);
        versions_check(errors, AT(path, "admissionReviewVersions"),
                       val_get(hook, "admissionReviewVersions"), strict.known_versions);
        if (strict.unique_names && name.n > 0 && map_get(&names, name) != NULL) {
            field_duplicate(errors, AT(path, "name"), name);
        }
        map_set(&names, name, hook);
    }
    map_done(&names);
}

static void warn(struct api_context *ctx, const struct val *configuration)
{
    if (val_count(val_get(configuration, "webhooks")) > 0) {
        unenforced_warn(ctx, configuration, "webhook configuration");
    }
}

static void configuration_validate_create(struct api_context *ctx, const struct val *object,
                                          struct field_errors *errors)
{
    hooks_check(errors, object, NULL);
    static_name_check(ctx, errors, object, false);
    warn(ctx, object);
}

static void configuration_validate_update(struct api_context *ctx, const struct val *next,
                                          const struct val *old, struct field_errors *errors)
{
    hooks_check(errors, next, old);
    static_name_check(ctx, errors, next, true);
    warn(ctx, next);
}

static void configuration_columns(struct api_context *ctx, const struct val *object,
                                  struct val *cells)
{
    cell_text(ctx, cells, val_name(object));
    cell_int(ctx, cells, val_count(val_get(object, "webhooks")));
    cell_age(ctx, cells, object);
}

const struct api_ops ops_webhook_configuration = {
    .validate_create = configuration_validate_create,
    .validate_update = configuration_validate_update,
    .columns = configuration_columns,
    .generation = true,
    .any_finalizer = true,
};

/* settings.c: reading --enable-admission-plugins, --disable-admission-plugins and the
 * PodSecurityConfiguration (pod-security.admission.config.k8s.io/v1), alone or as a plug-in of an
 * AdmissionConfiguration (apiserver.config.k8s.io/v1). */
#include "server/admission/settings.h"

#include "server/admission/table_int.h"

/* ---- which plug-ins ---- */

static bool is_named(struct str list, const char *name)
{
    struct str rest = list;
    while (rest.p != NULL) {
        if (str_is(str_trim(str_cut(rest, ',', &rest)), name)) {
            return true;
        }
    }
    return false;
}

static const struct admission_row *row_of(struct str name)
{
    for (size_t i = 0; i < admission_row_count; i++) {
        if (str_is(name, admission_rows[i].name)) {
            return &admission_rows[i];
        }
    }
    return NULL;
}

static int check_list(struct str list, const char *option, bool enable, struct err *err)
{
    struct str rest = list;
    while (rest.p != NULL) {
        struct str name = str_trim(str_cut(rest, ',', &rest));
        const struct admission_row *row = name.n > 0 ? row_of(name) : NULL;
        if (name.n == 0) {
            continue;
        }
        if (row == NULL) {
            return err_set(err, ERR_INVALID, "--%s: \"%.*s\" is no admission plug-in", option,
                           STR_ARG(name));
        }
        if (enable && row->step == NULL && row->state == ADMISSION_OFF) {
            return err_set(err, ERR_INVALID, "--%s: %s is not supported yet", option, row->name);
        }
    }
    return 0;
}

static bool runs(const struct admission_row *row, const struct server_options *o)
{
    if (row->step == NULL || is_named(o->disable_admission, row->name)) {
        return false;
    }
    return row->state == ADMISSION_ON || (row->state == ADMISSION_HARDENED && o->hardened) ||
           is_named(o->enable_admission, row->name);
}

static int choose_steps(const struct server_options *o, struct arena *arena,
                        struct admission_settings *settings, struct err *err)
{
    int code = check_list(o->enable_admission, "enable-admission-plugins", true, err);
    code = code != 0 ? code
                     : check_list(o->disable_admission, "disable-admission-plugins", false, err);
    if (code != 0) {
        return code;
    }
    size_t count = 0;
    settings->steps = arena_array(arena, const struct admission_step *, admission_row_count + 1);
    for (size_t i = 0; i < admission_row_count; i++) {
        const struct admission_row *row = &admission_rows[i];
        if (row->state == ADMISSION_ALWAYS || runs(row, o)) {
            settings->steps[count++] = row->step;
        }
    }
    return 0;
}

/* ---- PodSecurityConfiguration ---- */

static int bad(struct err *err, const char *path, struct str value, const char *what)
{
    return err_set(err, ERR_INVALID, "%s: Invalid value: \"%.*s\": %s", path, STR_ARG(value), what);
}

static int read_default(const struct val *defaults, const char *mode,
                        struct pod_security_policy *policy, struct err *err)
{
    char key[32], path[64];
    struct buf text = {.p = key, .n = 0, .cap = sizeof key};
    struct str level = val_text(val_get_str(defaults, str_of(mode)));
    if (level.n > 0 && !pod_security_level_parse(level, &policy->level)) {
        struct buf at = {.p = path, .n = 0, .cap = sizeof path};
        buf_printf(&at, "defaults.%s", mode);
        return bad(err, path, level, "must be one of privileged, baseline, restricted");
    }
    buf_printf(&text, "%s-version", mode);
    struct str version = val_text(val_get_str(defaults, buf_view(&text)));
    if (version.n > 0 && !pod_security_version_parse(version, &policy->minor)) {
        struct buf at = {.p = path, .n = 0, .cap = sizeof path};
        buf_printf(&at, "defaults.%s", key);
        return bad(err, path, version, "must be \"latest\" or \"v1.x\"");
    }
    return 0;
}

static int read_names(const struct val *exemptions, const char *key, struct arena *arena,
                      struct admission_names *names, struct err *err)
{
    const struct val *list = val_get_str(exemptions, str_of(key));
    struct str *items = arena_array(arena, struct str, val_count(list) + 1);
    size_t count = 0;
    if (!val_absent(list) && !val_is(list, VAL_ARRAY)) {
        return err_set(err, ERR_INVALID, "exemptions.%s: must be a list of names", key);
    }
    VAL_EACH (it, list) {
        if (val_text(it).n == 0) {
            return err_set(err, ERR_INVALID, "exemptions.%s[%zu]: must not be empty", key, count);
        }
        items[count++] = str_copy_in(arena, val_text(it));
    }
    *names = (struct admission_names){items, count};
    return 0;
}

static int only_members(const struct val *object, const char *at, const char *const *keys,
                        struct err *err)
{
    VAL_EACH (it, object) {
        bool known = false;
        for (size_t i = 0; keys[i] != NULL; i++) {
            known = known || str_is(it->key, keys[i]);
        }
        if (!known) {
            return err_set(err, ERR_INVALID, "unknown field \"%s%.*s\"", at, STR_ARG(it->key));
        }
    }
    return 0;
}

static int read_pod_security(const struct val *root, struct arena *arena,
                             struct admission_settings *s, struct err *err)
{
    static const char *const members[] = {"kind", "apiVersion", "defaults", "exemptions", NULL};
    static const char *const modes[] = {"enforce", "enforce-version", "audit", "audit-version",
                                        "warn",    "warn-version",    NULL};
    static const char *const lists[] = {"namespaces", "usernames", "runtimeClasses", NULL};
    const struct val *defaults = val_get(root, "defaults"), *free = val_get(root, "exemptions");
    if (!str_is(val_text(val_get(root, "kind")), "PodSecurityConfiguration") ||
        !str_is(val_text(val_get(root, "apiVersion")), "pod-security.admission.config.k8s.io/v1")) {
        return err_set(err, ERR_INVALID,
                       "must be a PodSecurityConfiguration of "
                       "pod-security.admission.config.k8s.io/v1");
    }
    int code = only_members(root, "", members, err);
    code = code != 0 ? code : only_members(defaults, "defaults.", modes, err);
    code = code != 0 ? code : only_members(free, "exemptions.", lists, err);
    code = code != 0 ? code : read_default(defaults, "enforce", &s->pod_security.enforce, err);
    code = code != 0 ? code : read_default(defaults, "audit", &s->pod_security.audit, err);
    code = code != 0 ? code : read_default(defaults, "warn", &s->pod_security.warn, err);
    code = code != 0 ? code : read_names(free, "namespaces", arena, &s->exempt_namespaces, err);
    code = code != 0 ? code : read_names(free, "usernames", arena, &s->exempt_users, err);
    return code != 0 ? code : read_names(free, "runtimeClasses", arena, &s->exempt_runtimes, err);
}

/* The plug-in's part of an AdmissionConfiguration, or the document itself. */
static int pod_security_part(const struct val *root, const struct val **ret_part, struct err *err)
{
    *ret_part = root;
    if (!str_is(val_text(val_get(root, "kind")), "AdmissionConfiguration")) {
        return 0;
    }
    *ret_part = NULL;
    VAL_EACH (it, val_get(root, "plugins")) {
        struct str name = val_text(val_get(it, "name"));
        if (!str_is(name, "PodSecurity")) {
            return err_set(err, ERR_INVALID, "plugins: \"%.*s\" takes no configuration here",
                           STR_ARG(name));
        }
        *ret_part = val_get(it, "configuration");
        if (*ret_part == NULL) {
            return err_set(err, ERR_INVALID,
                           "plugins: PodSecurity: configuration: required (a "
                           "path is not followed)");
        }
    }
    return 0;
}

static int read_config(const struct server_options *o, struct arena *arena,
                       struct admission_settings *settings, struct err *err)
{
    struct val *root = NULL;
    const struct val *part = NULL;
    if (o->admission_config.n == 0) {
        return 0;
    }
    int code = val_parse_yaml(arena, o->admission_config, &root, err);
    code = code != 0 ? code : pod_security_part(root, &part, err);
    code = code != 0 || part == NULL ? code : read_pod_security(part, arena, settings, err);
    if (code != 0) {
        err_wrap(err, "--admission-control-config-file");
    }
    return code;
}

/* Hardened: baseline is enforced everywhere but in kube-system, restricted is told. */
static void set_defaults(const struct server_options *o, struct arena *arena,
                         struct admission_settings *s)
{
    struct pod_security_policy open = {POD_SECURITY_PRIVILEGED, POD_SECURITY_LATEST};
    struct pod_security_policy baseline = {POD_SECURITY_BASELINE, POD_SECURITY_LATEST};
    struct pod_security_policy restricted = {POD_SECURITY_RESTRICTED, POD_SECURITY_LATEST};
    s->pod_security = (struct pod_security_policies){open, open, open};
    if (o->hardened) {
        struct str *system = arena_new(arena, struct str);
        *system = STR("kube-system");
        s->pod_security = (struct pod_security_policies){baseline, restricted, restricted};
        s->exempt_namespaces = (struct admission_names){system, 1};
    }
}

int admission_settings_new(const struct server_options *options, struct arena *arena,
                           struct admission_settings **ret_settings, struct err *err)
{
    struct admission_settings *settings = arena_new(arena, struct admission_settings);
    set_defaults(options, arena, settings);
    int code = choose_steps(options, arena, settings, err);
    code = code != 0 ? code : read_config(options, arena, settings, err);
    if (code == 0) {
        *ret_settings = settings;
    }
    return code;
}

bool admission_settings_has(const struct admission_names *names, struct str name)
{
    for (size_t i = 0; name.n > 0 && i < names->count; i++) {
        if (str_eq(names->items[i], name)) {
            return true;
        }
    }
    return false;
}

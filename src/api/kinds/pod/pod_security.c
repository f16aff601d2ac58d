/* pod_security.c: validation of security contexts, of pods and of containers. */
#include "api/kinds/pod/pod_spec.h"

enum { ID_MAX = INT32_MAX, SYSCTL_MAX = 253 };

static void id_check(struct field_errors *errors, const struct path *path, const struct val *id)
{
    int64_t value = val_int(id, 0);
    if (value < 0 || value > ID_MAX) {
        field_invalid_int(errors, path, value, "must be between 0 and 2147483647, inclusive");
    }
}

static bool is_clean_relative(struct str text)
{
    struct str rest = text;
    if (text.n == 0 || text.p[0] == '/') {
        return false;
    }
    while (rest.p != NULL) {
        if (str_is(str_cut(rest, '/', &rest), "..")) {
            return false;
        }
    }
    return true;
}

static void profile_check(struct field_errors *errors, const struct path *path,
                          const struct val *profile, bool seccomp)
{
    static const char *const types[] = {"Localhost", "RuntimeDefault", "Unconfined", NULL};
    const char *what = seccomp ? "seccomp" : "AppArmor";
    const struct val *local = val_get(profile, "localhostProfile");
    struct str type = val_text(val_get(profile, "type"));
    const struct path *at = AT(path, "localhostProfile");
    if (val_absent(profile)) {
        return;
    }
    if (type.n == 0) {
        field_required(errors, AT(path, "type"),
                       seccomp ? "type is required when seccompProfile is set"
                               : "type is required when appArmorProfile is set");
    } else {
        check_one_of(errors, AT(path, "type"), type, types, true);
    }
    if (str_is(type, "Localhost")) {
        if (val_text(local).n == 0) {
            field_required(errors, at,
                           seccomp ? "must be set when seccomp type is Localhost"
                                   : "must be set when AppArmor type is Localhost");
        } else if (seccomp && !is_clean_relative(val_text(local))) {
            field_invalid(errors, at, val_text(local),
                          val_text(local).p[0] == '/' ? "must be a relative path"
                                                      : "must not contain '..'");
        }
    } else if (!val_absent(local) &&
               (seccomp || str_is(type, "RuntimeDefault") || str_is(type, "Unconfined"))) {
        field_invalid_val(errors, at, seccomp ? profile : local,
                          "can only be set when %s type is Localhost", what);
    }
}

static bool adds_sys_admin(const struct val *context)
{
    VAL_EACH (capability, val_path(context, "capabilities.add")) {
        if (str_is(val_text(capability), "CAP_SYS_ADMIN")) {
            return true;
        }
    }
    return false;
}

void security_context_check(struct field_errors *errors, const struct path *path,
                            const struct val *context, const struct val *spec)
{
    static const char *const mounts[] = {"Default", "Unmasked", NULL};
    struct str mount = val_text(val_get(context, "procMount"));
    const struct val *escalate = val_get(context, "allowPrivilegeEscalation");
    if (val_absent(context)) {
        return;
    }
    id_check(errors, AT(path, "runAsUser"), val_get(context, "runAsUser"));
    id_check(errors, AT(path, "runAsGroup"), val_get(context, "runAsGroup"));
    check_one_of(errors, AT(path, "procMount"), mount, mounts, false);
    if (str_is(mount, "Unmasked") && val_bool(val_get(spec, "hostUsers"), true)) {
        field_invalid(errors, AT(path, "procMount"), mount,
                      "`hostUsers` must be false to use `Unmasked`");
    }
    profile_check(errors, AT(path, "seccompProfile"), val_get(context, "seccompProfile"), true);
    profile_check(errors, AT(path, "appArmorProfile"), val_get(context, "appArmorProfile"), false);
    if (val_is(escalate, VAL_FALSE)) {
        if (val_bool(val_get(context, "privileged"), false)) {
            field_invalid_val(errors, path, context,
                              "cannot set `allowPrivilegeEscalation` to false and `privileged` to "
                              "true");
        }
        if (adds_sys_admin(context)) {
            field_invalid_val(errors, path, context,
                              "cannot set `allowPrivilegeEscalation` to false and "
                              "`capabilities.Add` CAP_SYS_ADMIN");
        }
    }
}

static bool is_sysctl(struct str name)
{
    bool edge = true; /* at the start of a segment */
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (c == '.' || c == '/') {
            if (edge || name.p[i - 1] == '-' || name.p[i - 1] == '_') {
                return false;
            }
            edge = true;
        } else if (alnum) {
            edge = false;
        } else if ((c != '-' && c != '_') || edge) {
            return false;
        }
    }
    return !edge && name.n <= SYSCTL_MAX && name.p[name.n - 1] != '-' && name.p[name.n - 1] != '_';
}

static void sysctl_check(struct field_errors *errors, const struct path *path,
                         const struct val *list, const struct val *sysctl, const struct val *spec)
{
    struct str name = val_text(val_get(sysctl, "name"));
    bool net = str_starts(name, STR("net.")) || str_starts(name, STR("net/"));
    bool ipc = str_starts(name, STR("kernel.shm")) || str_starts(name, STR("kernel.msg")) ||
               str_is(name, "kernel.sem") || str_starts(name, STR("fs.mqueue."));
    if (name.n == 0) {
        field_required(errors, AT(path, "name"), "");
    } else if (!is_sysctl(name)) {
        field_invalid(errors, AT(path, "name"), name,
                      "must have at most %d characters and match regex "
                      "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
                      SYSCTL_MAX);
    } else if (val_find(list, "name", name) != sysctl) {
        field_duplicate(errors, AT(path, "name"), name);
    }
    if (net && val_bool(val_get(spec, "hostNetwork"), false)) {
        field_invalid(errors, AT(path, "name"), name,
                      "may not be specified when 'hostNetwork' is true");
    }
    if (ipc && val_bool(val_get(spec, "hostIPC"), false)) {
        field_invalid(errors, AT(path, "name"), name,
                      "may not be specified when 'hostIPC' is true");
    }
}

static void host_users_check(struct field_errors *errors, const struct path *path,
                             const struct val *spec)
{
    static const char *const names[] = {"hostNetwork", "hostPID", "hostIPC"};
    static const char *const shown[] = {"hostNetwork", "HostPID", "HostIPC"};
    if (val_bool(val_get(spec, "hostUsers"), true)) {
        return;
    }
    for (int i = 0; i < 3; i++) {
        if (val_bool(val_get_str(spec, str_of(names[i])), false)) {
            field_forbidden(errors, AT(path, shown[i]), "when `hostUsers` is false");
        }
    }
}

void pod_security_context_check(struct field_errors *errors, const struct path *path,
                                const struct val *spec)
{
    static const char *const change[] = {"Always", "OnRootMismatch", NULL};
    static const char *const groups[] = {"Merge", "Strict", NULL};
    static const char *const selinux[] = {"MountOption", "Recursive", NULL};
    const struct val *context = val_get(spec, "securityContext");
    const struct path *at = AT(path, "securityContext");
    if (val_bool(val_get(spec, "shareProcessNamespace"), false) &&
        val_bool(val_get(spec, "hostPID"), false)) {
        field_invalid_val(errors, AT(path, "shareProcessNamespace"),
                          val_get(spec, "shareProcessNamespace"),
                          "ShareProcessNamespace and HostPID cannot both be enabled");
    }
    host_users_check(errors, path, spec);
    if (val_absent(context)) {
        return;
    }
    id_check(errors, AT(at, "fsGroup"), val_get(context, "fsGroup"));
    id_check(errors, AT(at, "runAsUser"), val_get(context, "runAsUser"));
    id_check(errors, AT(at, "runAsGroup"), val_get(context, "runAsGroup"));
    uint32_t i = 0;
    VAL_EACH (group, val_get(context, "supplementalGroups")) {
        id_check(errors, AT_INDEX(AT(at, "supplementalGroups"), i++), group);
    }
    i = 0;
    VAL_EACH (sysctl, val_get(context, "sysctls")) {
        sysctl_check(errors, AT_INDEX(AT(at, "sysctls"), i++), val_get(context, "sysctls"), sysctl,
                     spec);
    }
    check_one_of(errors, AT(at, "fsGroupChangePolicy"),
                 val_text(val_get(context, "fsGroupChangePolicy")), change, false);
    check_one_of(errors, AT(at, "supplementalGroupsPolicy"),
                 val_text(val_get(context, "supplementalGroupsPolicy")), groups, false);
    check_one_of(errors, AT(at, "seLinuxChangePolicy"),
                 val_text(val_get(context, "seLinuxChangePolicy")), selinux, false);
    profile_check(errors, AT(at, "seccompProfile"), val_get(context, "seccompProfile"), true);
    profile_check(errors, AT(at, "appArmorProfile"), val_get(context, "appArmorProfile"), false);
}

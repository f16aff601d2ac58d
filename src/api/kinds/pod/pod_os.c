/* pod_os.c: what a pod for one operating system may not have of the other's settings. */
#include "api/kinds/pod/pod_spec.h"

static const char *const not_windows[] = {"hostPID", "hostIPC", "hostUsers",
                                          "shareProcessNamespace", NULL};
static const char *const not_windows_pod[] = {"appArmorProfile",
                                              "seLinuxOptions",
                                              "fsGroup",
                                              "fsGroupChangePolicy",
                                              "sysctls",
                                              "runAsUser",
                                              "runAsGroup",
                                              "supplementalGroups",
                                              "supplementalGroupsPolicy",
                                              "seccompProfile",
                                              NULL};
static const char *const not_windows_container[] = {"appArmorProfile",
                                                    "seLinuxOptions",
                                                    "seccompProfile",
                                                    "capabilities",
                                                    "readOnlyRootFilesystem",
                                                    "privileged",
                                                    "allowPrivilegeEscalation",
                                                    "procMount",
                                                    "runAsUser",
                                                    "runAsGroup",
                                                    NULL};
static const char *const lists[] = {"containers", "initContainers", "ephemeralContainers"};

static void refuse(struct field_errors *errors, const struct path *path, const struct val *object,
                   const char *const *names, const char *why)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        const struct val *member = val_get_str(object, str_of(names[i]));
        bool set = !val_absent(member) && !val_is(member, VAL_FALSE);
        if (set && !(val_is(member, VAL_ARRAY) && member->count == 0)) {
            field_forbidden(errors, AT(path, names[i]), "%s", why);
        }
    }
}

static void refuse_all(struct field_errors *errors, const struct path *path, const struct val *spec,
                       const char *const *pod, const char *const *container, const char *why)
{
    refuse(errors, AT(path, "securityContext"), val_get(spec, "securityContext"), pod, why);
    for (int l = 0; l < 3; l++) {
        uint32_t i = 0;
        VAL_EACH (it, val_get_str(spec, str_of(lists[l]))) {
            const struct path *at = AT_INDEX(AT(path, lists[l]), i++);
            refuse(errors, AT(at, "securityContext"), val_get(it, "securityContext"), container,
                   why);
        }
    }
}

static bool has_host_process(const struct val *spec)
{
    bool found = val_bool(val_path(spec, "securityContext.windowsOptions.hostProcess"), false);
    for (int l = 0; l < 3; l++) {
        VAL_EACH (it, val_get_str(spec, str_of(lists[l]))) {
            found = found ||
                    val_bool(val_path(it, "securityContext.windowsOptions.hostProcess"), false);
        }
    }
    return found;
}

void pod_os_check(struct field_errors *errors, const struct path *path, const struct val *spec)
{
    static const char *const windows_options[] = {"windowsOptions", NULL};
    struct str os = val_text(val_path(spec, "os.name"));
    if (has_host_process(spec) && !val_bool(val_get(spec, "hostNetwork"), false)) {
        field_error_add(errors, "FieldValueInvalid", path_text(errors, AT(path, "hostNetwork")),
                        "Invalid value: false: hostNetwork must be true if pod contains any "
                        "hostProcess containers");
    }
    if (str_is(os, "linux")) {
        refuse_all(errors, path, spec, windows_options, windows_options,
                   "windows options cannot be set for a linux pod");
    } else if (str_is(os, "windows")) {
        refuse_all(errors, path, spec, not_windows_pod, not_windows_container,
                   "cannot be set for a windows pod");
        refuse(errors, path, spec, not_windows, "cannot be set for a windows pod");
    }
}

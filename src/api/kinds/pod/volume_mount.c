/* volume_mount.c: validation of what a container mounts: volumeMounts and volumeDevices. */
#include "api/kinds/pod/pod_spec.h"

bool path_has_backstep(struct str path)
{
    struct str rest = path;
    while (rest.p != NULL) {
        if (str_is(str_cut(rest, '/', &rest), "..")) {
            return true;
        }
    }
    return false;
}

static void sub_path_check(struct field_errors *errors, const struct path *path, struct str text)
{
    if (text.n > 0 && text.p[0] == '/') {
        field_invalid(errors, path, text, "must be a relative path");
    }
    if (path_has_backstep(text)) {
        field_invalid(errors, path, text, "must not contain '..'");
    }
}

static void propagation_check(struct field_errors *errors, const struct path *path,
                              const struct val *mount, const struct val *container)
{
    static const char *const modes[] = {"Bidirectional", "HostToContainer", "None", NULL};
    static const char *const recursive[] = {"Disabled", "Enabled", "IfPossible", NULL};
    struct str mode = val_text(val_get(mount, "mountPropagation"));
    struct str deep = val_text(val_get(mount, "recursiveReadOnly"));
    const struct path *at = AT(path->up, "mountPropagation");
    if (check_one_of(errors, at, mode, modes, false) && str_is(mode, "Bidirectional") &&
        !val_bool(val_path(container, "securityContext.privileged"), false)) {
        field_forbidden(errors, at,
                        "Bidirectional mount propagation is available only to privileged "
                        "containers");
    }
    at = AT(path->up, "recursiveReadOnly");
    if (deep.n == 0 || !check_one_of(errors, at, deep, recursive, false) ||
        str_is(deep, "Disabled")) {
        return;
    }
    if (!val_bool(val_get(mount, "readOnly"), false)) {
        field_forbidden(errors, at, "may only be specified when readOnly is true");
    }
    if (mode.n > 0 && !str_is(mode, "None")) {
        field_forbidden(errors, at,
                        "may only be specified when mountPropagation is None or not specified");
    }
}

static void mount_check(struct field_errors *errors, const struct path *path,
                        const struct val *mount, const struct val *container,
                        const struct val *volumes)
{
    const struct val *mounts = val_get(container, "volumeMounts");
    const struct val *devices = val_get(container, "volumeDevices");
    struct str name = val_text(val_get(mount, "name"));
    struct str target = val_text(val_get(mount, "mountPath"));
    struct str sub = val_text(val_get(mount, "subPath"));
    struct str expression = val_text(val_get(mount, "subPathExpr"));
    if (name.n == 0) {
        field_required(errors, AT(path, "name"), "");
    }
    if (val_find(volumes, "name", name) == NULL) {
        field_not_found(errors, AT(path, "name"), name);
    }
    if (target.n == 0) {
        field_required(errors, AT(path, "mountPath"), "");
    } else if (val_find(mounts, "mountPath", target) != mount) {
        field_invalid(errors, AT(path, "mountPath"), target, "must be unique");
    }
    if (name.n > 0 && val_find(devices, "name", name) != NULL) {
        field_invalid(errors, AT(path, "name"), name, "must not already exist in volumeDevices");
    }
    if (target.n > 0 && val_find(devices, "devicePath", target) != NULL) {
        field_invalid(errors, AT(path, "mountPath"), target,
                      "must not already exist as a path in volumeDevices");
    }
    sub_path_check(errors, AT(path->up, "subPath"), sub); /* the API does not say which mount */
    if (sub.n > 0 && expression.n > 0) {
        field_invalid(errors, AT(path, "subPathExpr"), expression,
                      "subPathExpr and subPath are mutually exclusive");
    }
    sub_path_check(errors, AT(path->up, "subPathExpr"), expression);
    propagation_check(errors, path, mount, container);
}

static void device_check(struct field_errors *errors, const struct path *path,
                         const struct val *device, const struct val *devices,
                         const struct val *volumes)
{
    struct str name = val_text(val_get(device, "name"));
    struct str target = val_text(val_get(device, "devicePath"));
    const struct val *volume = val_find(volumes, "name", name);
    if (name.n == 0) {
        field_required(errors, AT(path, "name"), "");
    } else if (val_find(devices, "name", name) != device) {
        field_invalid(errors, AT(path, "name"), name, "must be unique");
    }
    if (name.n > 0 && volume == NULL) {
        field_not_found(errors, AT(path, "name"), name);
    } else if (name.n > 0 && val_absent(val_get(volume, "persistentVolumeClaim")) &&
               val_absent(val_get(volume, "ephemeral"))) {
        field_invalid(errors, AT(path, "name"), name,
                      "can only use volume source type of PersistentVolumeClaim or Ephemeral for "
                      "block mode");
    }
    if (target.n == 0) {
        field_required(errors, AT(path, "devicePath"), "");
    } else if (val_find(devices, "devicePath", target) != device) {
        field_invalid(errors, AT(path, "devicePath"), target, "must be unique");
    } else if (path_has_backstep(target)) {
        field_invalid(errors, AT(path, "devicePath"), target, "can not contain backsteps ('..')");
    }
}

void volume_mounts_check(struct field_errors *errors, const struct path *path,
                         const struct val *container, const struct val *volumes)
{
    const struct val *devices = val_get(container, "volumeDevices");
    uint32_t i = 0;
    VAL_EACH (mount, val_get(container, "volumeMounts")) {
        mount_check(errors, AT_INDEX(AT(path, "volumeMounts"), i++), mount, container, volumes);
    }
    i = 0;
    VAL_EACH (device, devices) {
        device_check(errors, AT_INDEX(AT(path, "volumeDevices"), i++), device, devices, volumes);
    }
}

/* source.c: validation of volume sources that pods and PersistentVolumes both know. Most only need
 * some members to be there: rows of a table. */
#include "api/kinds/pod/pod_spec.h"
#include "api/kinds/storage/storage.h"

typedef void source_fn(struct field_errors *errors, const struct path *path,
                       const struct val *source, bool persistent);

static void required(struct field_errors *errors, const struct path *path, const struct val *source,
                     const char *member)
{
    const struct val *value = val_get_str(source, str_of(member));
    if (val_count(value) == 0 && val_text(value).n == 0) {
        field_required(errors, AT(path, member), "");
    }
}

/* secretRef of a volume; of a PersistentVolume it names its namespace too. */
static void secret_ref(struct field_errors *errors, const struct path *path,
                       const struct val *source, bool with_namespace)
{
    const struct val *ref = val_get(source, "secretRef");
    if (!val_absent(ref)) {
        required(errors, AT(path, "secretRef"), ref, "name");
        if (with_namespace) {
            required(errors, AT(path, "secretRef"), ref, "namespace");
        }
    }
}

static void host_path(struct field_errors *errors, const struct path *path,
                      const struct val *source, bool persistent)
{
    static const char *const types[] = {
        "",     "BlockDevice",  "CharDevice", "Directory", "DirectoryOrCreate",
        "File", "FileOrCreate", "Socket",     NULL};
    struct str text = val_text(val_get(source, "path"));
    if (text.n == 0) {
        field_required(errors, AT(path, "path"), "");
        return;
    }
    if (path_has_backstep(text)) {
        field_invalid(errors, AT(path, "path"), text, "must not contain '..'");
    }
    check_one_of(errors, AT(path, "type"), val_text(val_get(source, "type")), types, false);
    (void)persistent;
}

static void local(struct field_errors *errors, const struct path *path, const struct val *source,
                  bool persistent)
{
    struct str text = val_text(val_get(source, "path"));
    if (path_has_backstep(text)) {
        field_invalid(errors, AT(path, "path"), text, "must not contain '..'");
    }
    (void)persistent;
}

static void partition(struct field_errors *errors, const struct path *path,
                      const struct val *source, bool persistent)
{
    int64_t number = val_int(val_get(source, "partition"), 0);
    if (number < 0 || number > 255) {
        field_invalid_int(errors, AT(path, "partition"), number,
                          "must be between 1 and 255, inclusive");
    }
    (void)persistent;
}

static void nfs(struct field_errors *errors, const struct path *path, const struct val *source,
                bool persistent)
{
    struct str text = val_text(val_get(source, "path"));
    if (text.n == 0 || text.p[0] != '/') {
        field_invalid(errors, AT(path, "path"), text, "must be an absolute path");
    }
    (void)persistent;
}

/* ---- iSCSI ---- */

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool digits_at(struct str text, size_t at, size_t count)
{
    for (size_t i = at; i < at + count; i++) {
        if (i >= text.n || text.p[i] < '0' || text.p[i] > '9') {
            return false;
        }
    }
    return true;
}

/* "iqn.2001-04.com.example:disk" (RFC 3720 3.2.6.3.1) */
static bool is_iqn(struct str text)
{
    if (!str_starts(text, STR("iqn.")) || !digits_at(text, 4, 4) || text.n < 12 ||
        text.p[8] != '-' || !digits_at(text, 9, 2) || text.p[11] != '.') {
        return false;
    }
    struct str name, authority = str_cut(str_from(text, 12), ':', &name);
    for (size_t i = 0; i < authority.n; i++) {
        if (!is_alnum(authority.p[i]) && authority.p[i] != '-' && authority.p[i] != '.') {
            return false;
        }
    }
    for (size_t i = 0; i < name.n; i++) {
        if (strchr(",;*&$| \t\n\v\f\r", name.p[i]) != NULL) {
            return false;
        }
    }
    return authority.n > 0 && name.n > 0;
}

/* "eui." with 16 digits, "naa." with 32 */
static bool is_number_name(struct str text, size_t digits)
{
    for (size_t i = 4; i < text.n; i++) {
        if (!is_alnum(text.p[i])) {
            return false;
        }
    }
    return text.n == 4 + digits;
}

static void initiator_check(struct field_errors *errors, const struct path *path, struct str name)
{
    bool iqn = str_starts(name, STR("iqn")), eui = str_starts(name, STR("eui"));
    bool naa = str_starts(name, STR("naa"));
    bool ok = iqn ? is_iqn(name) : is_number_name(name, eui ? 16 : 32);
    if (!iqn && !eui && !naa) {
        field_invalid(errors, path, name, "must be valid format starting with iqn, eui, or naa");
    } else if (!ok) {
        field_invalid(errors, path, name, "must be valid format");
    }
}

static void lun_check(struct field_errors *errors, const struct path *path,
                      const struct val *source)
{
    int64_t lun = val_int(val_get(source, "lun"), 0);
    if (lun < 0 || lun > 255) {
        field_invalid_int(errors, AT(path, "lun"), lun, "must be between 0 and 255, inclusive");
    }
}

static void iscsi(struct field_errors *errors, const struct path *path, const struct val *source,
                  bool persistent)
{
    struct str iqn = val_text(val_get(source, "iqn"));
    const struct val *initiator = val_get(source, "initiatorName");
    bool chap = val_bool(val_get(source, "chapAuthDiscovery"), false) ||
                val_bool(val_get(source, "chapAuthSession"), false);
    if (iqn.n > 0) {
        initiator_check(errors, AT(path, "iqn"), iqn);
    }
    lun_check(errors, path, source);
    if (chap && val_absent(val_get(source, "secretRef"))) {
        field_required(errors, AT(path, "secretRef"), "");
    }
    if (persistent) {
        secret_ref(errors, path, source, false);
    }
    if (!val_absent(initiator)) {
        initiator_check(errors, AT(path, "initiatorname"), val_text(initiator));
    }
}

static void fibre(struct field_errors *errors, const struct path *path, const struct val *source,
                  bool persistent)
{
    bool names = val_count(val_get(source, "targetWWNs")) > 0;
    bool ids = val_count(val_get(source, "wwids")) > 0;
    if (!names && !ids) {
        field_required(errors, AT(path, "targetWWNs"),
                       "must specify either targetWWNs or wwids, but not both");
    } else if (names && ids) {
        field_invalid_val(errors, AT(path, "targetWWNs"), val_get(source, "targetWWNs"),
                          "targetWWNs and wwids can not be specified simultaneously");
    }
    if (names && val_absent(val_get(source, "lun"))) {
        field_required(errors, AT(path, "lun"), "lun is required if targetWWNs is specified");
    } else if (names) {
        lun_check(errors, path, source);
    }
    (void)persistent;
}

/* ---- storage of others ---- */

static void glusterfs(struct field_errors *errors, const struct path *path,
                      const struct val *source, bool persistent)
{
    const struct val *ns = val_get(source, "endpointsNamespace");
    if (persistent && !val_absent(ns)) {
        check_name(errors, AT(path, "endpointsNamespace"), NAME_LABEL, val_text(ns));
    }
}

static void flocker(struct field_errors *errors, const struct path *path, const struct val *source,
                    bool persistent)
{
    struct str name = val_text(val_get(source, "datasetName"));
    struct str uuid = val_text(val_get(source, "datasetUUID"));
    if (name.n == 0 && uuid.n == 0) {
        field_required(errors, path, "one of datasetName and datasetUUID is required");
    } else if (name.n > 0 && uuid.n > 0) {
        field_invalid(errors, path, STR("resource"),
                      "datasetName and datasetUUID can not be specified simultaneously");
    }
    if (str_contains(name, STR("/"))) {
        field_invalid(errors, AT(path, "datasetName"), name, "must not contain '/'");
    }
    (void)persistent;
}

/* "host:port"; a host with colons stands in brackets. */
static bool is_host_port(struct str text)
{
    struct str port, host = str_cut_last(text, ':', &port);
    bool bracketed = str_starts(host, STR("[")) && str_ends(host, STR("]"));
    return port.p != NULL && (bracketed || !str_contains(host, STR(":")));
}

static void quobyte(struct field_errors *errors, const struct path *path, const struct val *source,
                    bool persistent)
{
    enum { TENANT_MAX = 64 };
    static const char pairs[] = "must be a host:port pair or multiple pairs separated by commas";
    struct str registry = val_text(val_get(source, "registry")), rest = registry;
    if (registry.n == 0) {
        field_required(errors, AT(path, "registry"), pairs);
    } else if (val_text(val_get(source, "tenant")).n > TENANT_MAX) {
        field_required(errors, AT(path, "tenant"),
                       "must be a UUID and may not exceed a length of 64 characters");
    } else {
        while (rest.p != NULL) {
            if (!is_host_port(str_cut(rest, ',', &rest))) {
                field_invalid(errors, AT(path, "registry"), registry, "%s", pairs);
            }
        }
    }
    (void)persistent;
}

static void cinder(struct field_errors *errors, const struct path *path, const struct val *source,
                   bool persistent)
{
    secret_ref(errors, path, source, persistent);
}

static void flex_volume(struct field_errors *errors, const struct path *path,
                        const struct val *source, bool persistent)
{
    static const char *const reserved[] = {"kubernetes.io", "k8s.io"};
    VAL_EACH (option, val_get(source, "options")) {
        struct str rest, prefix = str_cut(option->key, '/', &rest);
        char *lower = arena_printf(errors->arena, ".%.*s", STR_ARG(prefix));
        for (char *c = lower; *c != '\0'; c++) {
            *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
        }
        for (size_t i = 0; i < 2; i++) {
            const char *domain = arena_printf(errors->arena, ".%s", reserved[i]);
            if (str_ends(str_of(lower), str_of(domain))) {
                field_invalid(errors, AT_KEY(AT(path, "options"), option->key), option->key,
                              "kubernetes.io and k8s.io namespaces are reserved");
            }
        }
    }
    (void)persistent;
}

static void azure_file(struct field_errors *errors, const struct path *path,
                       const struct val *source, bool persistent)
{
    const struct val *ns = val_get(source, "secretNamespace");
    if (persistent && !val_absent(ns) && val_text(ns).n == 0) {
        field_required(errors, AT(path, "secretNamespace"), "");
    }
}

static void azure_disk(struct field_errors *errors, const struct path *path,
                       const struct val *source, bool persistent)
{
    static const char *const caching[] = {"None", "ReadOnly", "ReadWrite", NULL};
    static const char *const kinds[] = {"Dedicated", "Managed", "Shared", NULL};
    static const char *const managed[] = {
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/"
        "{disk-id}",
        NULL};
    static const char *const blob[] = {
        "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd", NULL};
    struct str kind = val_text(val_get(source, "kind"));
    struct str uri = val_text(val_get(source, "diskURI"));
    check_optional_one_of(errors, AT(path, "cachingMode"), val_get(source, "cachingMode"), caching);
    check_optional_one_of(errors, AT(path, "kind"), val_get(source, "kind"), kinds);
    if (str_is(kind, "Managed") && !str_starts(uri, STR("/subscriptions/"))) {
        field_not_supported(errors, AT(path, "diskURI"), uri, managed);
    } else if (!val_absent(val_get(source, "kind")) && !str_is(kind, "Managed") &&
               !str_starts(uri, STR("https://"))) {
        field_not_supported(errors, AT(path, "diskURI"), uri, blob);
    }
    (void)persistent;
}

static void storage_os(struct field_errors *errors, const struct path *path,
                       const struct val *source, bool persistent)
{
    static const char *const names[] = {"volumeName", "volumeNamespace"};
    for (int i = 0; i < 2; i++) {
        struct str name = val_text(val_get_str(source, str_of(names[i])));
        if (name.n > 0) {
            check_name(errors, AT(path, names[i]), NAME_LABEL, name);
        }
    }
    secret_ref(errors, path, source, persistent);
}

/* ---- CSI ---- */

void csi_driver_name_check(struct field_errors *errors, const struct path *path, struct str name)
{
    enum { LENGTH_MAX = 63 };
    if (name.n == 0) {
        field_required(errors, path, "");
        return;
    }
    if (name.n > LENGTH_MAX) {
        field_too_long(errors, path, LENGTH_MAX);
    }
    char *lower = str_dup_in(errors->arena, name);
    for (char *c = lower; *c != '\0'; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    }
    struct name_complaints complaints;
    if (!name_check(NAME_SUBDOMAIN, str_of(lower), &complaints)) {
        for (int i = 0; i < complaints.count; i++) {
            field_invalid(errors, path, name, "%s", complaints.items[i]);
        }
    }
}

static void named(struct field_errors *errors, const struct path *path, const struct val *ref,
                  const char *member, enum name_rule rule)
{
    struct str name = val_text(val_get_str(ref, str_of(member)));
    if (name.n == 0) {
        field_required(errors, AT(path, member), "");
    } else {
        check_name(errors, AT(path, member), rule, name);
    }
}

static void csi(struct field_errors *errors, const struct path *path, const struct val *source,
                bool persistent)
{
    static const char *const secrets[] = {"controllerPublishSecretRef", "controllerExpandSecretRef",
                                          "nodePublishSecretRef", "nodeExpandSecretRef"};
    csi_driver_name_check(errors, AT(path, "driver"), val_text(val_get(source, "driver")));
    if (!persistent) {
        const struct val *ref = val_get(source, "nodePublishSecretRef");
        struct str name = val_text(val_get(ref, "name"));
        if (!val_absent(ref) && name.n == 0) {
            field_required(errors, AT(AT(path, secrets[2]), "name"), "");
        } else if (!val_absent(ref)) { /* the API names the wrong member */
            check_name(errors, AT(path, "name"), NAME_SUBDOMAIN, name);
        }
        return;
    }
    required(errors, path, source, "volumeHandle");
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        const struct val *ref = val_get_str(source, str_of(secrets[i]));
        if (!val_absent(ref)) {
            named(errors, AT(path, secrets[i]), ref, "name", NAME_SUBDOMAIN);
            named(errors, AT(path, secrets[i]), ref, "namespace", NAME_LABEL);
        }
    }
}

struct source {
    const char *name;
    source_fn *check;
    const char *needs[3];
    const char *shown; /* what the API calls it in errors, when that is another name */
};

static const struct source sources[] = {
    {.name = "hostPath", .check = host_path},
    {.name = "gcePersistentDisk", .check = partition, {"pdName"}, .shown = "persistentDisk"},
    {.name = "awsElasticBlockStore", .check = partition, {"volumeID"}},
    {.name = "nfs", .check = nfs, {"server", "path"}},
    {.name = "iscsi", .check = iscsi, {"targetPortal", "iqn"}},
    {.name = "glusterfs", .check = glusterfs, {"endpoints", "path"}},
    {.name = "flocker", .check = flocker},
    {.name = "rbd", .needs = {"monitors", "image"}},
    {.name = "cinder", .check = cinder, {"volumeID"}},
    {.name = "cephfs", .needs = {"monitors"}},
    {.name = "quobyte", .check = quobyte, {"volume"}},
    {.name = "fc", .check = fibre},
    {.name = "flexVolume", .check = flex_volume, {"driver"}},
    {.name = "azureFile", .check = azure_file, {"secretName", "shareName"}},
    {.name = "vsphereVolume", .needs = {"volumePath"}},
    {.name = "photonPersistentDisk", .needs = {"pdID"}},
    {.name = "portworxVolume", .needs = {"volumeID"}},
    {.name = "azureDisk", .check = azure_disk, {"diskName", "diskURI"}},
    {.name = "storageos", .check = storage_os, {"volumeName"}},
    {.name = "scaleIO", .needs = {"gateway", "system", "volumeName"}},
    {.name = "local", .check = local, {"path"}},
    {.name = "csi", .check = csi},
};

void volume_source_check(struct field_errors *errors, const struct path *path, const char *name,
                         const struct val *source, bool persistent)
{
    for (size_t s = 0; s < sizeof sources / sizeof sources[0]; s++) {
        const struct source *row = &sources[s];
        if (strcmp(row->name, name) != 0) {
            continue;
        }
        const struct path *at = AT(path, row->shown != NULL ? row->shown : name);
        for (int n = 0; n < 3 && row->needs[n] != NULL; n++) {
            required(errors, at, source, row->needs[n]);
        }
        if (row->check != NULL) {
            row->check(errors, at, source, persistent);
        }
        return;
    }
}

const char *volume_source_deprecation(struct str name)
{
    static const char *const old[][2] = {
        {"photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
        {"gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"},
        {"scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
        {"flocker", "deprecated in v1.22, non-functional in v1.25+"},
        {"storageos", "deprecated in v1.22, non-functional in v1.25+"},
        {"quobyte", "deprecated in v1.22, non-functional in v1.25+"},
        {"glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
        {"cephfs", "deprecated in v1.28, non-functional in v1.31+"},
        {"rbd", "deprecated in v1.28, non-functional in v1.31+"},
    };
    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++) {
        if (str_is(name, old[i][0])) {
            return old[i][1];
        }
    }
    return NULL;
}

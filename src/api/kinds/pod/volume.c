/* volume.c: validation of a pod's volumes: one source each, and what each source needs.
 *
 * Sources that only need some members to be there are rows of a table; the others have a function.
 */
#include "api/kinds/pod/pod_spec.h"
#include "api/quantity.h"
#include "base/map.h"

static void mode_check(struct field_errors *errors, const struct path *path, const struct val *mode)
{
    int64_t value = val_int(mode, 0);
    if (value < 0 || value > 0777) {
        field_invalid_int(errors, path, value,
                          "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

/* A file inside the volume. */
static void inner_path_check(struct field_errors *errors, const struct path *path, struct str text)
{
    if (text.n > 0 && text.p[0] == '/') {
        field_invalid(errors, path, text, "must be a relative path");
    }
    if (path_has_backstep(text)) {
        field_invalid(errors, path, text, "must not contain '..'");
    } else if (str_starts(text, STR(".."))) {
        field_invalid(errors, path, text, "must not start with '..'");
    }
}

static void items_check(struct field_errors *errors, const struct path *path,
                        const struct val *items)
{
    uint32_t i = 0;
    VAL_EACH (item, items) {
        const struct path *at = AT_INDEX(AT(path, "items"), i++);
        struct str file = val_text(val_get(item, "path"));
        if (val_text(val_get(item, "key")).n == 0) {
            field_required(errors, AT(at, "key"), "");
        }
        if (file.n == 0) {
            field_required(errors, AT(at, "path"), "");
        }
        inner_path_check(errors, AT(at, "path"), file);
        mode_check(errors, AT(at, "mode"), val_get(item, "mode"));
    }
}

static void required(struct field_errors *errors, const struct path *path, const struct val *source,
                     const char *member)
{
    const struct val *value = val_get_str(source, str_of(member));
    if (val_count(value) == 0 && val_text(value).n == 0) {
        field_required(errors, AT(path, member), "");
    }
}

static void empty_dir(struct field_errors *errors, const struct path *path,
                      const struct val *source)
{
    struct quantity q;
    if (quantity_parse(val_text(val_get(source, "sizeLimit")), &q) && q.nano < 0) {
        field_forbidden(errors, AT(path, "sizeLimit"),
                        "SizeLimit field must be a valid resource quantity");
    }
}

static void host_path(struct field_errors *errors, const struct path *path,
                      const struct val *source)
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
}

static void secret(struct field_errors *errors, const struct path *path, const struct val *source)
{
    required(errors, path, source, "secretName");
    mode_check(errors, AT(path, "defaultMode"), val_get(source, "defaultMode"));
    items_check(errors, path, val_get(source, "items"));
}

static void config_map(struct field_errors *errors, const struct path *path,
                       const struct val *source)
{
    required(errors, path, source, "name");
    mode_check(errors, AT(path, "defaultMode"), val_get(source, "defaultMode"));
    items_check(errors, path, val_get(source, "items"));
}

static void downward_items(struct field_errors *errors, const struct path *path,
                           const struct val *items)
{
    VAL_EACH (item, items) {
        const struct path *at = path; /* the API does not say which item */
        const struct val *field = val_get(item, "fieldRef");
        const struct val *resource = val_get(item, "resourceFieldRef");
        struct str file = val_text(val_get(item, "path"));
        if (file.n == 0) {
            field_required(errors, AT(at, "path"), "");
        }
        inner_path_check(errors, AT(at, "path"), file);
        if (!val_absent(field)) {
            field_ref_check(errors, AT(at, "fieldRef"), field, true);
            if (!val_absent(resource)) {
                field_invalid(errors, at, STR("resource"),
                              "fieldRef and resourceFieldRef can not be specified simultaneously");
            }
        } else if (!val_absent(resource)) {
            resource_field_ref_check(errors, AT(at, "resourceFieldRef"), resource, true);
        } else {
            field_required(errors, at, "one of fieldRef and resourceFieldRef is required");
        }
        mode_check(errors, AT(at, "mode"), val_get(item, "mode"));
    }
}

static void downward(struct field_errors *errors, const struct path *path, const struct val *source)
{
    mode_check(errors, AT(path, "defaultMode"), val_get(source, "defaultMode"));
    downward_items(errors, path, val_get(source, "items"));
}

static void token_projection(struct field_errors *errors, const struct path *path,
                             const struct val *token)
{
    const struct val *expiration = val_get(token, "expirationSeconds");
    int64_t seconds = val_int(expiration, 3600);
    if (seconds < 600) {
        field_invalid_int(errors, AT(path, "expirationSeconds"), seconds,
                          "may not specify a duration less than 10 minutes");
    } else if (seconds > (int64_t)1 << 32) {
        field_invalid_int(errors, AT(path, "expirationSeconds"), seconds,
                          "may not specify a duration larger than 2^32 seconds");
    }
    const struct path *projected_at =
        path->up->up->up; /* the API names the volume, not the source */
    required(errors, projected_at, token, "path");
    inner_path_check(errors, AT(projected_at, "path"), val_text(val_get(token, "path")));
}

static void trust_projection(struct field_errors *errors, const struct path *path,
                             const struct val *bundle)
{
    bool name = val_text(val_get(bundle, "name")).n > 0;
    bool signer = val_text(val_get(bundle, "signerName")).n > 0;
    if (name && signer) {
        field_invalid_val(errors, path, bundle, "only one of name and signerName may be used");
    } else if (!name && !signer) {
        field_required(errors, path, "either name or signerName must be specified");
    }
    required(errors, path, bundle, "path");
    inner_path_check(errors, AT(path, "path"), val_text(val_get(bundle, "path")));
}

static void one_projection(struct field_errors *errors, const struct path *path, const char *name,
                           const struct val *source)
{
    const struct path *at = AT(path, name);
    if (strcmp(name, "secret") == 0 || strcmp(name, "configMap") == 0) {
        required(errors, at, source, "name");
        items_check(errors, at, val_get(source, "items"));
    } else if (strcmp(name, "downwardAPI") == 0) {
        downward_items(errors, at, val_get(source, "items"));
    } else if (strcmp(name, "serviceAccountToken") == 0) {
        token_projection(errors, at, source);
    } else if (strcmp(name, "clusterTrustBundle") == 0) {
        trust_projection(errors, at, source);
    } else if (val_text(val_get(source, "credentialBundlePath")).n == 0 &&
               val_text(val_get(source, "keyPath")).n == 0 &&
               val_text(val_get(source, "certificateChainPath")).n == 0) {
        field_required(errors, at,
                       "specify at least one of credentialBundlePath, keyPath, and "
                       "certificateChainPath");
    }
}

/* Two sources that write the same file. */
static void note_path(struct field_errors *errors, const struct path *path, struct map *seen,
                      struct str file, struct str shown)
{
    static char there;
    if (file.n > 0 && map_set(seen, file, &there) != NULL) {
        field_invalid(errors, path, shown, "conflicting duplicate paths");
    }
}

static void projected_clashes(struct field_errors *errors, const struct path *path,
                              const struct val *source)
{
    static const char *const lists[] = {"secret", "configMap", "downwardAPI"};
    static const char *const files[] = {"serviceAccountToken", "clusterTrustBundle"};
    struct map seen = MAP_INIT;
    VAL_EACH (part, val_get(source, "sources")) {
        for (int l = 0; l < 3; l++) {
            const struct val *inner = val_get_str(part, str_of(lists[l]));
            VAL_EACH (item, val_get(inner, "items")) {
                struct str file = val_text(val_get(item, "path"));
                note_path(errors, path, &seen, file,
                          l < 2 ? val_text(val_get(inner, "name")) : file);
            }
        }
        for (int f = 0; f < 2; f++) {
            struct str file = val_text(val_get(val_get_str(part, str_of(files[f])), "path"));
            note_path(errors, path, &seen, file, file);
        }
    }
    map_done(&seen);
}

static void projected(struct field_errors *errors, const struct path *path,
                      const struct val *source)
{
    projected_clashes(errors, path, source);
    static const char *const names[] = {
        "secret",        "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle",
        "podCertificate"};
    mode_check(errors, AT(path, "defaultMode"), val_get(source, "defaultMode"));
    uint32_t i = 0;
    VAL_EACH (part, val_get(source, "sources")) {
        const struct path *at = AT_INDEX(AT(path, "sources"), i++);
        int found = 0;
        for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
            const struct val *inner = val_get_str(part, str_of(names[n]));
            if (val_absent(inner)) {
                continue;
            }
            if (found++ > 0) {
                field_forbidden(errors, at, "may not specify more than 1 volume type per source");
            } else {
                one_projection(errors, at, names[n], inner);
            }
        }
    }
}

static void nfs(struct field_errors *errors, const struct path *path, const struct val *source)
{
    struct str text = val_text(val_get(source, "path"));
    required(errors, path, source, "server");
    required(errors, path, source, "path");
    if (text.n > 0 && text.p[0] != '/') {
        field_invalid(errors, AT(path, "path"), text, "must be an absolute path");
    }
}

static void partition_check(struct field_errors *errors, const struct path *path,
                            const struct val *source)
{
    int64_t partition = val_int(val_get(source, "partition"), 0);
    if (partition < 0 || partition > 255) {
        field_invalid_int(errors, AT(path, "partition"), partition,
                          "must be between 1 and 255, inclusive");
    }
}

static void gce_disk(struct field_errors *errors, const struct path *path, const struct val *source)
{
    const struct path *at = AT(path->up, "persistentDisk"); /* as the API calls it in errors */
    required(errors, at, source, "pdName");
    partition_check(errors, at, source);
}

static void lun_check(struct field_errors *errors, const struct path *path,
                      const struct val *source)
{
    int64_t lun = val_int(val_get(source, "lun"), 0);
    if (lun < 0 || lun > 255) {
        field_invalid_int(errors, AT(path, "lun"), lun, "must be between 0 and 255, inclusive");
    }
}

static void fibre(struct field_errors *errors, const struct path *path, const struct val *source)
{
    bool names = val_count(val_get(source, "targetWWNs")) > 0;
    bool ids = val_count(val_get(source, "wwids")) > 0;
    if (!names && !ids) {
        field_required(errors, AT(path, "targetWWNs"),
                       "must specify either targetWWNs or wwids, but not both");
    } else if (names && ids) {
        field_invalid_val(errors, AT(path, "targetWWNs"), val_get(source, "targetWWNs"),
                          "targetWWNs and wwids can not be specified simultaneously");
    } else if (names && val_absent(val_get(source, "lun"))) {
        field_required(errors, AT(path, "lun"), "lun is required if targetWWNs is specified");
    }
    lun_check(errors, path, source);
}

static void image(struct field_errors *errors, const struct path *path, const struct val *source)
{
    static const char *const policies[] = {"Always", "IfNotPresent", "Never", NULL};
    check_one_of(errors, AT(path, "pullPolicy"), val_text(val_get(source, "pullPolicy")), policies,
                 true);
}

static void csi(struct field_errors *errors, const struct path *path, const struct val *source)
{
    struct str driver = val_text(val_get(source, "driver"));
    const struct val *ref = val_get(source, "nodePublishSecretRef");
    if (driver.n == 0) {
        field_required(errors, AT(path, "driver"), "");
    } else {
        check_name(errors, AT(path, "driver"), NAME_SUBDOMAIN, driver);
    }
    if (!val_absent(ref)) {
        required(errors, AT(path, "nodePublishSecretRef"), ref, "name");
    }
}

static void ephemeral(struct field_errors *errors, const struct path *path,
                      const struct val *source)
{
    const struct val *template = val_get(source, "volumeClaimTemplate");
    if (val_absent(template)) {
        field_required(errors, AT(path, "volumeClaimTemplate"), "");
        return;
    }
    const struct path *at = AT(AT(path, "volumeClaimTemplate"), "spec");
    const struct val *spec = val_get(template, "spec");
    if (val_count(val_get(spec, "accessModes")) == 0) {
        field_required(errors, AT(at, "accessModes"), "at least 1 access mode is required");
    }
    if (val_get(val_path(spec, "resources.requests"), "storage") == NULL) {
        field_required(errors, AT_KEY(AT(at, "resources"), STR("storage")), "");
    }
}

struct source {
    const char *name;
    void (*check)(struct field_errors *errors, const struct path *path, const struct val *source);
    const char *needs[2];
};

static const struct source sources[] = {
    {.name = "emptyDir", .check = empty_dir},
    {.name = "hostPath", .check = host_path},
    {.name = "gitRepo", .needs = {"repository"}},
    {.name = "gcePersistentDisk", .check = gce_disk},
    {.name = "awsElasticBlockStore", .check = partition_check, .needs = {"volumeID"}},
    {.name = "secret", .check = secret},
    {.name = "nfs", .check = nfs},
    {.name = "iscsi", .check = lun_check, .needs = {"targetPortal", "iqn"}},
    {.name = "glusterfs", .needs = {"endpoints", "path"}},
    {.name = "flocker"},
    {.name = "persistentVolumeClaim", .needs = {"claimName"}},
    {.name = "rbd", .needs = {"monitors", "image"}},
    {.name = "cinder", .needs = {"volumeID"}},
    {.name = "cephfs", .needs = {"monitors"}},
    {.name = "quobyte", .needs = {"registry", "volume"}},
    {.name = "downwardAPI", .check = downward},
    {.name = "fc", .check = fibre},
    {.name = "flexVolume", .needs = {"driver"}},
    {.name = "configMap", .check = config_map},
    {.name = "azureFile", .needs = {"secretName", "shareName"}},
    {.name = "vsphereVolume", .needs = {"volumePath"}},
    {.name = "photonPersistentDisk", .needs = {"pdID"}},
    {.name = "portworxVolume", .needs = {"volumeID"}},
    {.name = "azureDisk", .needs = {"diskName", "diskURI"}},
    {.name = "storageos"},
    {.name = "projected", .check = projected},
    {.name = "scaleIO", .needs = {"gateway", "system"}},
    {.name = "csi", .check = csi},
    {.name = "ephemeral", .check = ephemeral},
    {.name = "image", .check = image, .needs = {"reference"}},
};

static void source_checks(struct field_errors *errors, const struct path *path,
                          const struct val *volume)
{
    int found = 0;
    for (size_t s = 0; s < sizeof sources / sizeof sources[0]; s++) {
        const struct source *source = &sources[s];
        const struct val *value = val_get_str(volume, str_of(source->name));
        const struct path *at = AT(path, source->name);
        if (val_absent(value)) {
            continue;
        }
        if (found++ > 0) {
            field_forbidden(errors, at, "may not specify more than 1 volume type");
            continue;
        }
        if (source->check != NULL) {
            source->check(errors, at, value);
        }
        for (int n = 0; n < 2 && source->needs[n] != NULL; n++) {
            required(errors, at, value, source->needs[n]);
        }
    }
    if (found == 0) {
        field_required(errors, path, "must specify a volume type");
    }
}

void volume_list_check(struct field_errors *errors, const struct path *path,
                       const struct val *volumes)
{
    uint32_t i = 0;
    VAL_EACH (volume, volumes) {
        const struct path *at = AT_INDEX(path, i++);
        struct str name = val_text(val_get(volume, "name"));
        source_checks(errors, at, volume);
        if (name.n == 0) {
            field_required(errors, AT(at, "name"), "");
        } else {
            check_name(errors, AT(at, "name"), NAME_LABEL, name);
        }
        if (name.n > 0 && val_find(volumes, "name", name) != volume) {
            field_duplicate(errors, AT(at, "name"), name);
        }
    }
}

/* volume.c: validation of a pod's volumes: one source each, and what each source needs.
 *
 * Sources that only need some members to be there are rows of a table; the others have a function.
 */
#include "api/kinds/pod/pod_spec.h"
#include "api/kinds/signer.h"
#include "api/kinds/storage/storage.h"
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

static void user_check(struct field_errors *errors, const struct path *path, const struct val *user)
{
    int64_t value = val_int(user, 0);
    if (value < 0 || value > INT32_MAX) {
        field_invalid_int(errors, path, value, "must be between 0 and 2147483647, inclusive");
    }
}

/* How the files of a volume are made: mode and owner. */
static void files_check(struct field_errors *errors, const struct path *path,
                        const struct val *source)
{
    mode_check(errors, AT(path, "defaultMode"), val_get(source, "defaultMode"));
    user_check(errors, AT(path, "defaultUser"), val_get(source, "defaultUser"));
}

/* A file inside the volume. */
static void inner_path_check(struct field_errors *errors, const struct path *path, struct str text)
{
    if (text.n > 0 && text.p[0] == '/') {
        field_invalid(errors, path, text, "must be a relative path");
    }
    if (path_has_backstep(text)) {
        field_invalid(errors, path, text, "must not contain '..'");
    }
    if (str_starts(text, STR("..")) && !str_starts(text, STR("../"))) {
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
        user_check(errors, AT(at, "user"), val_get(item, "user"));
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
    const struct val *mode = val_get(source, "mode");
    if (val_int(mode, 0) < 0 || val_int(mode, 0) > 01777) {
        field_invalid_int(errors, AT(path, "mode"), val_int(mode, 0),
                          "must be a number between 0 and 01777 (octal), both inclusive");
    }
}

static void git_repo(struct field_errors *errors, const struct path *path, const struct val *source)
{
    struct str folder = val_text(val_get(source, "directory"));
    if (folder.n > 0 && folder.p[0] == '/') {
        field_invalid(errors, AT(path, "directory"), folder, "must be a relative path");
    }
    if (path_has_backstep(folder)) {
        field_invalid(errors, AT(path, "directory"), folder, "must not contain '..'");
    }
}

static void secret(struct field_errors *errors, const struct path *path, const struct val *source)
{
    required(errors, path, source, "secretName");
    files_check(errors, path, source);
    items_check(errors, path, val_get(source, "items"));
}

static void config_map(struct field_errors *errors, const struct path *path,
                       const struct val *source)
{
    required(errors, path, source, "name");
    files_check(errors, path, source);
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
        user_check(errors, AT(at, "user"), val_get(item, "user"));
    }
}

static void downward(struct field_errors *errors, const struct path *path, const struct val *source)
{
    files_check(errors, path, source);
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
    user_check(errors, AT(path, "user"), val_get(token, "user"));
}

/* A bundle by its name, or all of a signer that labels select. */
static void trust_projection(struct field_errors *errors, const struct path *path,
                             const struct val *bundle)
{
    const struct val *name = val_get(bundle, "name"), *signer = val_get(bundle, "signerName");
    const struct val *selector = val_get(bundle, "labelSelector");
    if (!val_absent(name) && !val_absent(signer)) {
        field_invalid_val(errors, path, bundle, "only one of name and signerName may be used");
    } else if (!val_absent(name)) {
        if (val_text(name).n == 0) {
            field_required(errors, AT(path, "name"), "must be a valid object name");
        }
        trust_bundle_name_check(errors, AT(path, "name"), val_text(name));
        if (!val_absent(selector)) {
            field_invalid_val(errors, AT(path, "labelSelector"), selector,
                              "labelSelector must be unset if name is specified");
        }
    } else if (!val_absent(signer)) {
        if (val_text(signer).n == 0) {
            field_required(errors, AT(path, "signerName"), "must be a valid signer name");
        }
        signer_name_check(errors, AT(path, "signerName"), val_text(signer));
        if (!val_absent(selector)) {
            check_label_selector(errors, AT(path, "labelSelector"), selector);
        }
    } else {
        field_required(errors, path, "either name or signerName must be specified");
    }
    required(errors, path, bundle, "path");
    user_check(errors, AT(path, "user"), val_get(bundle, "user"));
    inner_path_check(errors, AT(path, "path"), val_text(val_get(bundle, "path")));
}

static const char *const certificate_files[] = {"credentialBundlePath", "keyPath",
                                                "certificateChainPath"};

static void certificate_projection(struct field_errors *errors, const struct path *path,
                                   const struct val *source)
{
    enum { SHORTEST = 3600, LONGEST = 91 * 86400, LONGEST_BUILT_IN = 86400 };
    static const char *const types[] = {"ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519",
                                        "RSA3072",   "RSA4096",   NULL};
    struct str signer = val_text(val_get(source, "signerName"));
    const struct val *seconds = val_get(source, "maxExpirationSeconds");
    int64_t longest = signer_is_built_in(signer) ? LONGEST_BUILT_IN : LONGEST;
    int64_t asked = val_int(seconds, SHORTEST);
    int files = 0;
    signer_name_check(errors, AT(path, "signerName"), signer);
    signer_annotations_check(errors, AT(path, "userAnnotations"),
                             val_get(source, "userAnnotations"));
    user_check(errors, AT(path, "user"), val_get(source, "user"));
    struct str type = val_text(val_get(source, "keyType"));
    if (type.n == 0) {
        field_not_supported(errors, AT(path, "keyType"), type, types);
    }
    check_one_of(errors, AT(path, "keyType"), type, types, false);
    if (asked < SHORTEST || asked > longest) {
        field_invalid_int(errors, AT(path, "maxExpirationSeconds"), asked,
                          "must be between %d and %lld, inclusive", SHORTEST, (long long)longest);
    }
    for (int i = 0; i < 3; i++) {
        struct str file = val_text(val_get_str(source, str_of(certificate_files[i])));
        files += file.n > 0;
        inner_path_check(errors, AT(path, certificate_files[i]), file);
    }
    if (files == 0) {
        field_required(errors, path,
                       "specify at least one of credentialBundlePath, keyPath, and "
                       "certificateChainPath");
    }
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
    } else {
        certificate_projection(errors, at, source);
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
        for (int f = 0; f < 3; f++) {
            struct str file = val_text(
                val_get_str(val_get(part, "podCertificate"), str_of(certificate_files[f])));
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
    files_check(errors, path, source);
    uint32_t i = 0;
    VAL_EACH (part, val_get(source, "sources")) {
        const struct path *at = AT_INDEX(AT(path, "sources"), i++);
        int found = 0;
        for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
            const struct val *inner = val_get_str(part, str_of(names[n]));
            if (val_absent(inner)) {
                continue;
            }
            one_projection(errors, at, names[n], inner);
            if (++found == 2) {
                field_forbidden(errors, at, "may not specify more than 1 volume type per source");
            }
        }
    }
}

static void image(struct field_errors *errors, const struct path *path, const struct val *source)
{
    static const char *const policies[] = {"Always", "IfNotPresent", "Never", NULL};
    check_one_of(errors, AT(path, "pullPolicy"), val_text(val_get(source, "pullPolicy")), policies,
                 true);
}

/* The claim that will be made has a name of its own, and only labels and annotations from here. */
static void claim_metadata_check(struct field_errors *errors, const struct path *path,
                                 const struct val *metadata)
{
    check_annotations(errors, AT(path, "annotations"), val_get(metadata, "annotations"));
    check_labels(errors, AT(path, "labels"), val_get(metadata, "labels"));
    VAL_EACH (member, metadata) {
        bool empty = val_absent(member) || (val_text(member).n == 0 && member->count == 0);
        if (!empty && !str_is(member->key, "annotations") && !str_is(member->key, "labels")) {
            field_forbidden(errors, AT(path, str_dup_in(errors->arena, member->key)),
                            "cannot be set");
        }
    }
}

static void ephemeral(struct field_errors *errors, const struct path *path,
                      const struct val *source)
{
    const struct val *template = val_get(source, "volumeClaimTemplate");
    const struct path *at = AT(path, "volumeClaimTemplate");
    if (val_absent(template)) {
        field_required(errors, at, "");
        return;
    }
    claim_metadata_check(errors, AT(at, "metadata"), val_get(template, "metadata"));
    claim_spec_check(errors, AT(at, "spec"), val_get(template, "spec"));
}

struct source {
    const char *name;
    void (*check)(struct field_errors *errors, const struct path *path, const struct val *source);
    const char *needs; /* a member that must be there */
    const char *shown; /* what the API calls a second one, when that is another name */
};

/* Those without check and needs are not the pod's alone: volume_source_check(). */
static const struct source sources[] = {
    {.name = "emptyDir", .check = empty_dir},
    {.name = "hostPath"},
    {.name = "gitRepo", .check = git_repo, .needs = "repository"},
    {.name = "gcePersistentDisk"},
    {.name = "awsElasticBlockStore"},
    {.name = "secret", .check = secret},
    {.name = "nfs"},
    {.name = "iscsi"},
    {.name = "glusterfs"},
    {.name = "flocker"},
    {.name = "persistentVolumeClaim", .needs = "claimName"},
    {.name = "rbd"},
    {.name = "cinder"},
    {.name = "cephfs", .shown = "cephFS"},
    {.name = "quobyte"},
    {.name = "downwardAPI", .check = downward, .shown = "downwarAPI"},
    {.name = "fc"},
    {.name = "flexVolume"},
    {.name = "configMap", .check = config_map},
    {.name = "azureFile"},
    {.name = "vsphereVolume"},
    {.name = "photonPersistentDisk"},
    {.name = "portworxVolume"},
    {.name = "azureDisk"},
    {.name = "storageos"},
    {.name = "projected", .check = projected},
    {.name = "scaleIO"},
    {.name = "csi"},
    {.name = "ephemeral", .check = ephemeral},
    {.name = "image", .check = image, .needs = "reference"},
};

static void source_check(struct field_errors *errors, const struct path *path,
                         const struct source *source, const struct val *value)
{
    const struct path *at = AT(path, source->name);
    if (source->check == NULL && source->needs == NULL) {
        volume_source_check(errors, path, source->name, value, false);
    }
    if (source->needs != NULL) {
        required(errors, at, value, source->needs);
    }
    if (source->check != NULL) {
        source->check(errors, at, value);
    }
}

static void source_checks(struct field_errors *errors, const struct path *path,
                          const struct val *volume)
{
    int found = 0;
    for (size_t s = 0; s < sizeof sources / sizeof sources[0]; s++) {
        const struct source *source = &sources[s];
        const struct val *value = val_get_str(volume, str_of(source->name));
        if (val_absent(value)) {
            continue;
        }
        if (found++ > 0) {
            field_forbidden(errors, AT(path, source->shown != NULL ? source->shown : source->name),
                            "may not specify more than 1 volume type");
        } else {
            source_check(errors, path, source, value);
        }
    }
    if (found == 0) {
        field_required(errors, path, "must specify a volume type");
    }
}

/* An initiator that is named is called after the volume, in no more bytes than the kernel takes. */
static void iscsi_name_check(struct field_errors *errors, const struct path *path,
                             const struct val *volume)
{
    enum { LENGTH_MAX = 64 };
    const struct val *iscsi = val_get(volume, "iscsi");
    struct str name = val_text(val_get(volume, "name"));
    size_t length = name.n + 1 + val_text(val_get(iscsi, "targetPortal")).n;
    if (!val_absent(val_get(iscsi, "initiatorName")) && length > LENGTH_MAX) {
        field_invalid(errors, AT(path, "name"), name,
                      "with iscsi.initiatorName, volume name and targetPortal together must be "
                      "under 64 characters");
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
        iscsi_name_check(errors, at, volume);
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

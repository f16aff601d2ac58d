/* metadata.c: the rules of ObjectMeta that hold for every kind.
 *
 * On create: name, namespace, labels, annotations, owners, finalizers. On update also what may
 * never change. resourceVersion, uid and creationTimestamp are the server's.
 */
#include "api/validation.h"
#include "base/map.h"

static void check_owner(struct field_errors *errors, const struct path *path,
                        const struct val *owner)
{
    static const char *const members[] = {"kind", "name", "uid"};
    struct str version = val_text(val_get(owner, "apiVersion")), rest;
    str_cut(version, '/', &rest);
    if (version.n == 0) {
        field_required(errors, AT(path, "apiVersion"), "must not be empty");
    } else if ((rest.p != NULL && rest.n == 0) || str_contains(rest, STR("/"))) {
        field_invalid(errors, AT(path, "apiVersion"), version,
                      "must be <group>/<version> or <version>");
    }
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (val_text(val_get_str(owner, str_of(members[i]))).n == 0) {
            field_required(errors, AT(path, members[i]), "must not be empty");
        }
    }
    if (str_is(version, "v1") && str_is(val_text(val_get(owner, "kind")), "Event")) {
        field_invalid_val(errors, path, owner, "/v1, Kind=Event is disallowed from being an owner");
    }
}

static void check_owners(struct field_errors *errors, const struct path *path,
                         const struct val *owners)
{
    const struct val *controller = NULL;
    uint32_t i = 0;
    VAL_EACH (owner, owners) {
        check_owner(errors, AT_INDEX(path, i++), owner);
        if (!val_bool(val_get(owner, "controller"), false)) {
            continue;
        }
        if (controller != NULL) {
            field_invalid_val(errors, path, owners,
                              "Only one reference can have Controller set to true. Found \"true\" "
                              "in references for %.*s/%.*s and %.*s/%.*s",
                              STR_ARG(val_text(val_get(controller, "kind"))),
                              STR_ARG(val_text(val_get(controller, "name"))),
                              STR_ARG(val_text(val_get(owner, "kind"))),
                              STR_ARG(val_text(val_get(owner, "name"))));
        } else {
            controller = owner;
        }
    }
}

static bool has_text(const struct val *array, struct str text)
{
    VAL_EACH (it, array) {
        if (str_eq(val_text(it), text)) {
            return true;
        }
    }
    return false;
}

static bool is_standard_finalizer(struct str name)
{
    return str_is(name, "kubernetes") || str_is(name, "orphan") ||
           str_is(name, "foregroundDeletion");
}

static void check_finalizers(struct field_errors *errors, const struct path *path,
                             const struct val *finalizers, bool any)
{
    uint32_t i = 0;
    VAL_EACH (finalizer, finalizers) {
        struct str name = val_text(finalizer);
        check_name(errors, path, NAME_LABEL_KEY, name);
        if (!any && !str_contains(name, STR("/")) && !is_standard_finalizer(name)) {
            field_invalid(errors, AT_INDEX(path, i), name,
                          "name is neither a standard finalizer name nor is it fully qualified");
        }
        i++;
    }
    if (has_text(finalizers, STR("orphan")) && has_text(finalizers, STR("foregroundDeletion"))) {
        field_invalid_val(errors, path, finalizers,
                          "finalizer orphan and foregroundDeletion cannot be both set");
    }
}

static void check_managed_fields(struct field_errors *errors, const struct path *path,
                                 const struct val *entries)
{
    static const char *const operations[] = {"Apply", "Update", NULL};
    uint32_t i = 0;
    VAL_EACH (entry, entries) {
        const struct path *at = AT_INDEX(path, i++);
        check_one_of(errors, AT(at, "operation"), val_text(val_get(entry, "operation")), operations,
                     true);
        struct str type = val_text(val_get(entry, "fieldsType"));
        if (type.n > 0 && !str_is(type, "FieldsV1")) {
            field_invalid(errors, AT(at, "fieldsType"), type, "must be `FieldsV1`");
        }
        if (val_text(val_get(entry, "manager")).n > 128) {
            field_too_long(errors, AT(at, "manager"), 128);
        }
    }
}

static void check_generate_name(struct field_errors *errors, const struct path *path,
                                enum name_rule rule, struct str prefix)
{
    if (prefix.n == 0) {
        return;
    }
    char copy[512];
    struct str probe = prefix;
    if (rule != NAME_PATH && prefix.n < sizeof copy && prefix.p[prefix.n - 1] == '-') {
        memcpy(copy, prefix.p, prefix.n); /* a trailing dash is fine: something follows it */
        copy[prefix.n - 1] = 'a';
        probe = str_at(copy, prefix.n);
    }
    struct name_complaints complaints;
    if (name_check(rule, probe, &complaints)) {
        return;
    }
    for (int i = 0; i < complaints.count; i++) {
        field_invalid(errors, path, prefix, "%s", complaints.items[i]);
    }
}

static void check_namespace(struct field_errors *errors, const struct path *path, bool namespaced,
                            struct str ns)
{
    if (!namespaced && ns.n > 0) {
        field_forbidden(errors, path, "not allowed on this type");
    } else if (namespaced && ns.n == 0) {
        field_required(errors, path, "");
    } else if (namespaced) {
        check_name(errors, path, NAME_LABEL, ns);
    }
}

static void check_names(const struct api_resource *resource, const struct path *path,
                        const struct val *metadata, struct field_errors *errors)
{
    enum name_rule rule = name_rule_of(resource->ops != NULL ? resource->ops->name_rule : NULL);
    struct str name = val_text(val_get(metadata, "name"));
    check_generate_name(errors, AT(path, "generateName"), rule,
                        val_text(val_get(metadata, "generateName")));
    if (name.n == 0) {
        field_required(errors, AT(path, "name"), "name or generateName is required");
    } else {
        check_name(errors, AT(path, "name"), rule, name);
    }
    check_namespace(errors, AT(path, "namespace"), resource->namespaced,
                    val_text(val_get(metadata, "namespace")));
}

static void check_no_new_finalizers(struct field_errors *errors, const struct path *path,
                                    const struct val *next, const struct val *old)
{
    struct buf extra BUF_CLEANUP = BUF_INIT;
    struct map known = MAP_INIT;
    VAL_EACH (finalizer, old) {
        map_set(&known, val_text(finalizer), finalizer);
    }
    VAL_EACH (finalizer, next) {
        if (map_get(&known, val_text(finalizer)) == NULL) {
            buf_printf(&extra, "%s\"%.*s\"", extra.n > 0 ? ", " : "", STR_ARG(val_text(finalizer)));
        }
    }
    map_done(&known);
    if (extra.n > 0) {
        field_forbidden(errors, path,
                        "no new finalizers can be added if the object is being deleted, found new "
                        "finalizers []string{%.*s}",
                        STR_ARG(buf_view(&extra)));
    }
}

static void check_changes(struct field_errors *errors, const struct path *path,
                          const struct val *next, const struct val *old)
{
    static const char *const fixed[] = {"name",
                                        "namespace",
                                        "uid",
                                        "creationTimestamp",
                                        "deletionTimestamp",
                                        "deletionGracePeriodSeconds"};
    if (!val_absent(val_get(old, "deletionTimestamp"))) {
        check_no_new_finalizers(errors, AT(path, "finalizers"), val_get(next, "finalizers"),
                                val_get(old, "finalizers"));
    }
    int64_t generation = val_int(val_get(next, "generation"), 0);
    if (generation < val_int(val_get(old, "generation"), 0)) {
        field_invalid_int(errors, AT(path, "generation"), generation, "must not be decremented");
    }
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        struct str name = str_of(fixed[i]);
        check_immutable(errors, AT(path, fixed[i]), val_get_str(next, name),
                        val_get_str(old, name));
    }
}

void check_metadata(struct api_context *ctx, const struct api_resource *resource,
                    const struct val *object, const struct val *old, struct field_errors *errors)
{
    const struct path *path = AT(NULL, "metadata");
    const struct val *metadata = val_get(object, "metadata");
    if (old != NULL) {
        check_changes(errors, path, metadata, val_get(old, "metadata"));
    } else {
        check_names(resource, path, metadata, errors);
    }
    check_not_negative(errors, AT(path, "generation"), val_get(metadata, "generation"));
    check_labels(errors, AT(path, "labels"), val_get(metadata, "labels"));
    check_annotations(errors, AT(path, "annotations"), val_get(metadata, "annotations"));
    check_owners(errors, AT(path, "ownerReferences"), val_get(metadata, "ownerReferences"));
    check_finalizers(errors, AT(path, "finalizers"), val_get(metadata, "finalizers"),
                     resource->ops != NULL && resource->ops->any_finalizer);
    check_managed_fields(errors, AT(path, "managedFields"), val_get(metadata, "managedFields"));
    (void)ctx;
}

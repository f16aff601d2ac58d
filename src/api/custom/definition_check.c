/* definition_check.c: validation of CustomResourceDefinitions: names, versions, columns,
 * subresources, conversion, and what may never change. Schemas: schema_check.c.
 *
 * Where all versions say the same, the API speaks of it as of one thing (spec.validation,
 * spec.additionalPrinterColumns ...), and so do the paths of errors here.
 */
#include "api/custom/definition_kind.h"

#include <stdlib.h>

#include "api/custom/jsonpath.h"
#include "api/custom/schema_check.h"
#include "api/semantic.h"

enum { SELECTABLE_MAX = 8 };

struct where { /* of a part of a version */
    struct path up, top, version, at;
};

/* ---- names ---- */

static void check_kind_name(struct field_errors *errors, const struct path *path, struct str kind)
{
    struct buf lower BUF_CLEANUP = BUF_INIT;
    struct name_complaints complaints;
    for (size_t i = 0; i < kind.n; i++) {
        char c = kind.p[i];
        buf_char(&lower, (char)(c >= 'A' && c <= 'Z' ? c + 32 : c));
    }
    if (kind.n == 0) {
        field_required(errors, path, "");
    } else if (!name_check(NAME_LABEL_1035, buf_view(&lower), &complaints)) {
        field_invalid(errors, path, kind, "may have mixed case, but should otherwise match: %s",
                      complaints.count > 0 ? complaints.items[0] : "");
    }
}

static void check_name_list(struct field_errors *errors, const struct path *path,
                            const struct val *list)
{
    uint32_t i = 0;
    VAL_EACH (it, list) {
        check_name(errors, AT_INDEX(path, i++), NAME_LABEL_1035, val_text(it));
    }
}

static void check_names(struct field_errors *errors, const struct path *path,
                        const struct val *names)
{
    struct str plural = val_text(val_get(names, "plural"));
    struct str singular = val_text(val_get(names, "singular"));
    struct str kind = val_text(val_get(names, "kind"));
    struct str list_kind = val_text(val_get(names, "listKind"));
    if (plural.n == 0) {
        field_required(errors, AT(path, "plural"), "");
    } else {
        check_name(errors, AT(path, "plural"), NAME_LABEL_1035, plural);
    }
    if (singular.n == 0) {
        field_required(errors, AT(path, "singular"), "");
    } else {
        check_name(errors, AT(path, "singular"), NAME_LABEL_1035, singular);
    }
    check_kind_name(errors, AT(path, "kind"), kind);
    check_kind_name(errors, AT(path, "listKind"), list_kind);
    if (kind.n > 0 && str_eq(kind, list_kind)) {
        field_invalid(errors, AT(path, "listKind"), list_kind,
                      "kind and listKind may not be the same");
    }
    check_name_list(errors, AT(path, "shortNames"), val_get(names, "shortNames"));
    check_name_list(errors, AT(path, "categories"), val_get(names, "categories"));
}

static void check_group(struct field_errors *errors, const struct path *path, struct str group)
{
    if (group.n == 0) {
        field_required(errors, path, "");
    } else if (check_name(errors, path, NAME_SUBDOMAIN, group) &&
               memchr(group.p, '.', group.n) == NULL) {
        field_invalid(errors, path, group, "should be a domain with at least one dot");
    }
}

/* ---- a version's parts ---- */

static void check_column(struct field_errors *errors, const struct path *path,
                         const struct val *column)
{
    static const char *const types[] = {"boolean", "date", "integer", "number", "string", NULL};
    static const char *const formats[] = {"byte",  "date",  "date-time", "double", "float",
                                          "int32", "int64", "password",  NULL};
    struct str jsonpath = val_text(val_get(column, "jsonPath"));
    struct str format = val_text(val_get(column, "format"));
    if (val_text(val_get(column, "name")).n == 0) {
        field_required(errors, AT(path, "name"), "");
    }
    struct str type = val_text(val_get(column, "type"));
    if (type.n == 0) {
        field_required(errors, AT(path, "type"),
                       "must be one of boolean,date,integer,number,string");
    } else {
        struct field_errors own = {.arena = errors->arena};
        if (!check_one_of(&own, path, type, types, true)) {
            field_invalid(errors, AT(path, "type"), type,
                          "must be one of boolean,date,integer,number,string");
        }
    }
    struct field_errors own = {.arena = errors->arena};
    if (format.n > 0 && !check_one_of(&own, path, format, formats, true)) {
        field_invalid(errors, AT(path, "format"), format,
                      "must be one of byte,date,date-time,double,float,int32,int64,password");
    }
    if (jsonpath.n == 0) {
        field_required(errors, AT(path, "JSONPath"), "");
    } else if (jsonpath.p[0] != '.') {
        field_invalid(errors, AT(path, "JSONPath"), jsonpath,
                      "must be a simple json path starting with .");
    }
}

static bool is_below(struct str text, const char *root)
{
    size_t n = root != NULL ? strlen(root) : 0;
    return n > 0 && text.n > n + 2 && text.p[0] == '.' && memcmp(text.p + 1, root, n) == 0 &&
           text.p[n + 1] == '.';
}

/* A path below one of the roots. */
static void check_member_path(struct field_errors *errors, const struct path *path, struct str text,
                              const char *first, const char *second)
{
    if (!is_below(text, first) && !is_below(text, second)) {
        field_invalid(errors, path, text, "should be a json path under .%s%s%s", first,
                      second != NULL ? " or ." : "", second != NULL ? second : "");
    }
}

static void check_subresources(struct field_errors *errors, const struct path *path,
                               const struct val *subresources)
{
    const struct val *scale = val_get(subresources, "scale");
    const struct path *at = AT(path, "scale");
    if (val_absent(scale)) {
        return;
    }
    struct str spec = val_text(val_get(scale, "specReplicasPath"));
    struct str status = val_text(val_get(scale, "statusReplicasPath"));
    struct str selector = val_text(val_get(scale, "labelSelectorPath"));
    if (spec.n == 0) {
        field_required(errors, AT(at, "specReplicasPath"), "");
    } else {
        check_member_path(errors, AT(at, "specReplicasPath"), spec, "spec", NULL);
    }
    if (status.n == 0) {
        field_required(errors, AT(at, "statusReplicasPath"), "");
    } else {
        check_member_path(errors, AT(at, "statusReplicasPath"), status, "status", NULL);
    }
    if (selector.n > 0) {
        check_member_path(errors, AT(at, "labelSelectorPath"), selector, "status", "spec");
    }
}

static void check_selectable(struct field_errors *errors, const struct path *path,
                             const struct val *fields, const struct val *schema)
{
    uint32_t i = 0;
    check_length(errors, path, fields, SELECTABLE_MAX);
    VAL_EACH (it, fields) {
        const struct path *at = AT(AT_INDEX(path, i), "jsonPath");
        struct str text = val_text(val_get(it, "jsonPath"));
        struct err err = ERR_INIT;
        i++;
        if (text.n == 0) {
            field_required(errors, at, "");
            continue;
        }
        VAL_EACH (other, fields) {
            if (other == it) {
                break;
            }
            if (str_eq(val_text(val_get(other, "jsonPath")), text)) {
                field_duplicate(errors, at, text);
                break;
            }
        }
        const struct str *members = jsonpath_members(errors->arena, text, &err);
        bool plain = members != NULL && memchr(text.p, '[', text.n) == NULL &&
                     memchr(text.p, '\\', text.n) == NULL && text.p[0] == '.';
        const struct val *level = plain ? schema_at(schema, members) : NULL;
        struct str type = val_text(val_get(level, "type"));
        if (!plain) {
            field_invalid(errors, at, text,
                          "is an invalid path: only names of members may be in it");
        } else if (str_is(members[0], "metadata")) {
            field_invalid(errors, at, text, "must not point to fields in metadata");
        } else if (level == NULL) {
            field_invalid(errors, at, text, "is an invalid path: does not refer to a valid field");
        } else if (!str_is(type, "string") && !str_is(type, "boolean") &&
                   !str_is(type, "integer")) {
            field_invalid(errors, at, text,
                          "must point to a field of type string, boolean or integer. Enum string "
                          "fields and strings with formats are allowed.");
        }
    }
}

static void check_schema(struct field_errors *errors, const struct path *path,
                         const struct val *schema)
{
    struct field_errors own = {.arena = errors->arena};
    schema_check(&own, path, schema);
    if (own.count > 0) {
        for (size_t i = 0; i < own.count; i++) {
            field_error_add(errors, own.items[i].type, own.items[i].field, "%.*s",
                            STR_ARG(own.items[i].detail));
        }
        return;
    }
    /* Only what is structural can be compiled, and defaults be judged by it. */
    struct definition holder = {0};
    struct err err = ERR_INIT;
    struct structural_builder builder = {
        .arena = &holder.arena, .definition = &holder, .err = &err};
    const struct structural *node = structural_new(&builder, schema, true);
    if (node == NULL) {
        field_invalid(errors, path, STR(""), "%s", err.message);
    } else {
        schema_check_defaults(errors, path, schema, node);
    }
    for (size_t i = 0; i < holder.pattern_count; i++) {
        pattern_free(holder.patterns[i]);
    }
    free(holder.patterns);
    arena_done(&holder.arena);
}

/* ---- versions ---- */

/* Whether all versions have the same `part`. */
static bool is_shared(const struct val *versions, const char *part)
{
    const struct val *first = versions != NULL ? versions->child : NULL;
    const struct val *sought = val_get_str(first, str_of(part));
    VAL_EACH (it, versions) {
        if (it != first && !val_equal(val_get_str(it, str_of(part)), sought) &&
            (sought != NULL || val_get_str(it, str_of(part)) != NULL)) {
            return false;
        }
    }
    return true;
}

/* spec.TOP when it is shared, else spec.versions[index].PART. */
static const struct path *part_path(struct where *where, const struct path *spec, bool shared,
                                    const char *top, uint32_t index, const char *part)
{
    where->top = (struct path){.up = spec, .name = shared ? top : "versions"};
    where->version = (struct path){.up = &where->top, .index = (int)index};
    where->at = (struct path){.up = &where->version, .name = part};
    return shared ? &where->top : &where->at;
}

static void check_parts(struct field_errors *errors, const struct path *spec,
                        const struct val *versions, const struct val *version, uint32_t index)
{
    struct where where;
    const struct val *schema = val_path(version, "schema.openAPIV3Schema");
    bool first = index == 0;
    bool shared = is_shared(versions, "schema");
    if (!val_is(schema, VAL_OBJECT)) {
        const struct path *at = AT_INDEX(AT(spec, "versions"), index);
        field_required(errors, AT(AT(at, "schema"), "openAPIV3Schema"), "schemas are required");
    } else if (first || !shared) {
        const struct path *at = part_path(&where, spec, shared, "validation", index, "schema");
        check_schema(errors, AT(at, "openAPIV3Schema"), schema);
    }
    shared = is_shared(versions, "additionalPrinterColumns");
    if (first || !shared) {
        const struct path *at = part_path(&where, spec, shared, "additionalPrinterColumns", index,
                                          "additionalPrinterColumns");
        uint32_t i = 0;
        VAL_EACH (column, val_get(version, "additionalPrinterColumns")) {
            check_column(errors, AT_INDEX(at, i++), column);
        }
    }
    shared = is_shared(versions, "subresources");
    if (first || !shared) {
        check_subresources(errors,
                           part_path(&where, spec, shared, "subresources", index, "subresources"),
                           val_get(version, "subresources"));
    }
    shared = is_shared(versions, "selectableFields");
    if (first || !shared) {
        check_selectable(
            errors, part_path(&where, spec, shared, "selectableFields", index, "selectableFields"),
            val_get(version, "selectableFields"), schema);
    }
}

static void check_version(struct field_errors *errors, const struct path *path,
                          const struct val *version)
{
    const struct val *warning = val_get(version, "deprecationWarning");
    struct str name = val_text(val_get(version, "name"));
    bool good = check_name(errors, AT(path, "name"), NAME_LABEL_1035, name);
    if (!good && name.n > 0 && path->index == 0) { /* the first one is "the" version, too */
        field_invalid(errors, AT(AT(NULL, "spec"), "version"), name, "is no DNS-1035 label");
    }
    if (warning == NULL) {
        return;
    }
    const struct path *at = AT(path, "deprecationWarning");
    if (!val_bool(val_get(version, "deprecated"), false)) {
        field_invalid_val(errors, at, warning, "can only be set for deprecated versions");
    }
    if (warning->text.n == 0) {
        field_invalid_val(errors, at, warning, "must not be empty if specified");
    } else if (warning->text.n > 256) {
        field_invalid_val(errors, at, warning, "must be less than or equal to 256 characters long");
    }
    for (size_t i = 0; i < warning->text.n; i++) {
        if ((unsigned char)warning->text.p[i] < 0x20) {
            field_invalid_val(errors, at, warning, "must only contain printable UTF-8 characters");
            break;
        }
    }
}

static void check_versions(struct field_errors *errors, const struct path *spec,
                           const struct val *versions)
{
    uint32_t index = 0, stored = 0;
    bool twice = false;
    if (!check_length(errors, AT(spec, "versions"), versions, 256)) {
        return;
    }
    VAL_EACH (it, versions) {
        stored += val_bool(val_get(it, "storage"), false);
        VAL_EACH (other, versions) {
            twice = twice || (other != it && str_eq(val_text(val_get(other, "name")),
                                                    val_text(val_get(it, "name"))));
        }
        check_version(errors, AT_INDEX(AT(spec, "versions"), index), it);
        check_parts(errors, spec, versions, it, index);
        index++;
    }
    if (twice) {
        field_invalid(errors, AT(spec, "versions"), STR(""), "must contain unique version names");
    }
    if (stored != 1) {
        field_invalid(errors, AT(spec, "versions"), STR(""),
                      "must have exactly one version marked as storage version");
    }
}

/* ---- conversion ---- */

static void check_client(struct field_errors *errors, const struct path *path,
                         const struct val *client)
{
    bool url = val_text(val_get(client, "url")).n > 0;
    bool service = !val_absent(val_get(client, "service"));
    if (val_absent(client)) {
        field_required(errors, path, "required when strategy is set to Webhook");
    } else if (url == service) {
        field_required(errors, path, "exactly one of url or service is required");
    } else if (url && !str_starts(val_text(val_get(client, "url")), STR("https://"))) {
        field_invalid(errors, AT(path, "url"), val_text(val_get(client, "url")),
                      "'https' is the only allowed URL scheme");
    } else if (service) {
        const struct val *names = val_get(client, "service");
        if (val_text(val_get(names, "name")).n == 0) {
            field_required(errors, AT(AT(path, "service"), "name"), "service name is required");
        }
        if (val_text(val_get(names, "namespace")).n == 0) {
            field_required(errors, AT(AT(path, "service"), "namespace"),
                           "service namespace is required");
        }
    }
}

/* The API speaks of the members of `webhook` as if they were the conversion's own. */
static void check_conversion(struct field_errors *errors, const struct path *path,
                             const struct val *conversion)
{
    static const char *const strategies[] = {"None", "Webhook", NULL};
    static const char unset[] = "should not be set when strategy is not set to Webhook";
    struct str strategy = val_text(val_get(conversion, "strategy"));
    const struct val *webhook = val_get(conversion, "webhook");
    const struct val *client = val_get(webhook, "clientConfig");
    const struct val *versions = val_get(webhook, "conversionReviewVersions");
    const struct path *client_path = AT(path, "webhookClientConfig");
    const struct path *versions_path = AT(path, "conversionReviewVersions");
    check_one_of(errors, AT(path, "strategy"), strategy, strategies, true);
    if (!str_is(strategy, "Webhook")) {
        if (!val_absent(client)) {
            field_forbidden(errors, client_path, "%s", unset);
        }
        if (val_count(versions) > 0) {
            field_forbidden(errors, versions_path, "%s", unset);
        }
        return;
    }
    check_client(errors, client_path, client);
    bool known = false;
    VAL_EACH (it, versions) {
        known = known || str_is(it->text, "v1") || str_is(it->text, "v1beta1");
    }
    if (val_count(versions) == 0) {
        field_required(errors, versions_path, "");
    } else if (!known) {
        field_invalid_val(errors, versions_path, versions,
                          "must include at least one of v1, v1beta1");
    }
}

/* ---- the whole ---- */

bool definition_is_protected(struct str group)
{
    return str_is(group, "k8s.io") || str_is(group, "kubernetes.io") ||
           str_ends(group, STR(".k8s.io")) || str_ends(group, STR(".kubernetes.io"));
}

static void check_approval(struct field_errors *errors, const struct val *crd)
{
    const struct val *value =
        val_get(val_path(crd, "metadata.annotations"), "api-approved.kubernetes.io");
    const struct path *at =
        AT_KEY(AT(AT(NULL, "metadata"), "annotations"), STR("api-approved.kubernetes.io"));
    if (!definition_is_protected(val_text(val_path(crd, "spec.group")))) {
        return;
    }
    if (value == NULL) {
        field_required(errors, at,
                       "protected groups must have approval annotation "
                       "\"api-approved.kubernetes.io\", see "
                       "https://github.com/kubernetes/enhancements/pull/1111");
    } else if (!str_starts(value->text, STR("unapproved")) &&
               !str_contains(value->text, STR("://"))) {
        field_invalid(errors, at, value->text,
                      "protected groups must have approval annotation with either a URL or a "
                      "reason starting with \"unapproved\"");
    }
}

void definition_check_stored(struct field_errors *errors, const struct val *crd)
{
    const struct path *path = AT(AT(NULL, "status"), "storedVersions");
    const struct val *stored = val_path(crd, "status.storedVersions");
    const struct val *versions = val_path(crd, "spec.versions");
    uint32_t i = 0;
    if (val_count(stored) == 0) {
        field_invalid_val(errors, path, stored, "must have at least one stored version");
        return;
    }
    VAL_EACH (it, stored) {
        if (val_find(versions, "name", it->text) == NULL) {
            field_invalid(errors, AT_INDEX(path, i), it->text,
                          "missing from spec.versions; %.*s was previously a storage version, and "
                          "must remain in spec.versions until a storage migration ensures no data "
                          "remains persisted in %.*s and removes %.*s from status.storedVersions",
                          STR_ARG(it->text), STR_ARG(it->text), STR_ARG(it->text));
        }
        i++;
    }
    VAL_EACH (version, versions) {
        struct str name = val_text(val_get(version, "name"));
        bool there = false;
        VAL_EACH (it, stored) {
            there = there || str_eq(it->text, name);
        }
        if (val_bool(val_get(version, "storage"), false) && !there) {
            field_invalid_val(errors, path, stored, "must have the storage version %.*s",
                              STR_ARG(name));
        }
    }
}

void definition_check_name(struct field_errors *errors, const struct val *crd)
{
    struct str group = val_text(val_path(crd, "spec.group"));
    struct str plural = val_text(val_path(crd, "spec.names.plural"));
    char *wanted = arena_printf(errors->arena, "%.*s.%.*s", STR_ARG(plural), STR_ARG(group));
    if (!str_is(val_name(crd), wanted)) {
        field_invalid(errors, AT(AT(NULL, "metadata"), "name"), val_name(crd),
                      "must be spec.names.plural+\".\"+spec.group");
    }
}

void definition_check(struct field_errors *errors, const struct val *crd)
{
    static const char *const scopes[] = {"Cluster", "Namespaced", NULL};
    const struct val *spec = val_get(crd, "spec");
    const struct path *path = AT(NULL, "spec");
    struct str group = val_text(val_get(spec, "group"));
    check_group(errors, AT(path, "group"), group);
    check_one_of(errors, AT(path, "scope"), val_text(val_get(spec, "scope")), scopes, true);
    check_names(errors, AT(path, "names"), val_get(spec, "names"));
    check_versions(errors, path, val_get(spec, "versions"));
    check_conversion(errors, AT(path, "conversion"), val_get(spec, "conversion"));
    if (val_bool(val_get(spec, "preserveUnknownFields"), false)) {
        field_invalid(errors, AT(path, "preserveUnknownFields"), STR("true"),
                      "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
                      "spec.versions[*].schema instead");
    }
    check_approval(errors, crd);
    definition_check_stored(errors, crd);
}

void definition_check_update(struct field_errors *errors, const struct val *next,
                             const struct val *old)
{
    const struct path *path = AT(NULL, "spec");
    const struct val *spec = val_get(next, "spec"), *was = val_get(old, "spec");
    check_immutable(errors, AT(path, "group"), val_get(spec, "group"), val_get(was, "group"));
    check_immutable(errors, AT(AT(path, "names"), "plural"), val_path(spec, "names.plural"),
                    val_path(was, "names.plural"));
    const struct val *established =
        val_find(val_path(old, "status.conditions"), "type", STR("Established"));
    if (str_is(val_text(val_get(established, "status")), "True")) {
        check_immutable(errors, AT(path, "scope"), val_get(spec, "scope"), val_get(was, "scope"));
        check_immutable(errors, AT(AT(path, "names"), "kind"), val_path(spec, "names.kind"),
                        val_path(was, "names.kind"));
    }
}

/* definition.c: a CustomResourceDefinition, compiled: its versions as resources. See custom.h.
 *
 * Everything is in the definition's arena; the last reference frees it. Names are those that were
 * accepted, not those that are asked for.
 */
#include <stdlib.h>

#include "api/custom/jsonpath.h"
#include "api/custom/structural.h"
#include "api/json_int.h"
#include "base/mem.h"

enum { VERBS = 0xff };

struct making {
    struct definition *definition;
    struct arena *arena;
    const struct val *spec, *names;
    const char *group, *plural, *kind, *list_kind, *singular;
    const char *const *short_names, *const *categories;
    struct err *err;
};

struct definition *definition_ref(struct definition *definition)
{
    atomic_fetch_add_explicit(&definition->refs, 1, memory_order_relaxed);
    return definition;
}

void definition_unref(struct definition *definition)
{
    if (definition == NULL ||
        atomic_fetch_sub_explicit(&definition->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < definition->pattern_count; i++) {
        pattern_free(definition->patterns[i]);
    }
    free(definition->patterns);
    arena_done(&definition->arena);
    free(definition);
}

const struct api_resource *definition_version(const struct definition *definition,
                                              struct str api_version)
{
    struct str group, version;
    schema_split_version(api_version, &group, &version);
    for (size_t i = 0; i < definition->version_count; i++) {
        if (str_is(group, definition->versions[i].group) &&
            str_is(version, definition->versions[i].version)) {
            return &definition->versions[i];
        }
    }
    return NULL;
}

void schema_ref(const struct api_resource *resource)
{
    if (resource != NULL && resource->custom != NULL) {
        definition_ref(resource->custom->definition);
    }
}

void schema_unref(const struct api_resource *resource)
{
    if (resource != NULL && resource->custom != NULL) {
        definition_unref(resource->custom->definition);
    }
}

static uint64_t mix(uint64_t digest, struct str text)
{
    return (digest ^ str_hash(text)) * 0x9e3779b97f4a7c15ULL + (digest >> 29);
}

uint64_t definition_digest(const struct val *crd, const struct val *names, bool established)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    val_write_json(val_get(crd, "spec"), &text);
    uint64_t digest = mix(established, buf_view(&text));
    buf_clear(&text);
    if (names != NULL) {
        val_write_json(names, &text);
    }
    digest = mix(digest, buf_view(&text));
    return mix(digest, val_uid(crd));
}

static const char *copy(const struct making *making, struct str text)
{
    return str_dup_in(making->arena, text);
}

static const char *const *copy_list(const struct making *making, const struct val *list)
{
    if (val_count(list) == 0) {
        return NULL;
    }
    const char **texts = arena_array(making->arena, const char *, list->count + 1);
    size_t n = 0;
    VAL_EACH (it, list) {
        texts[n++] = copy(making, val_text(it));
    }
    return texts;
}

/* ---- tables of a version ---- */

/* "stable.example.com", "v1", "CronTab" gives "com.example.stable.v1.CronTab". */
static const char *openapi_name(const struct making *making, const char *version, const char *kind)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    struct str rest = str_of(making->group), part;
    while (rest.n > 0) {
        struct str before = str_cut_last(rest, '.', &part);
        bool last = part.p == NULL;
        buf_str(&out, last ? before : part);
        buf_char(&out, '.');
        rest = last ? STR_NONE : before;
    }
    buf_printf(&out, "%s.%s", version, kind);
    return copy(making, buf_view(&out));
}

static const struct api_struct *list_type(const struct making *making, const char *version,
                                          const struct api_struct *item)
{
    static const char *const names[] = {"kind", "apiVersion", "metadata", "items"};
    static const char *const docs[] = {"Which kind of object this is.",
                                       "Group and version whose schema this object follows.",
                                       "Common list data.", "The objects."};
    struct api_field *fields = arena_array(making->arena, struct api_field, 4);
    for (uint16_t i = 0; i < 4; i++) {
        fields[i] = (struct api_field){.name = names[i],
                                       .name_n = (uint16_t)strlen(names[i]),
                                       .type = i < 2 ? API_TYPE_STRING : API_TYPE_STRUCT,
                                       .flags = i < 2 ? API_OMIT_EMPTY : 0,
                                       .index = i,
                                       .doc = docs[i]};
    }
    fields[2].type_struct = schema_struct(STR("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"));
    fields[3].type_struct = item;
    fields[3].shape = API_SHAPE_LIST;
    fields[3].flags = API_REQUIRED;
    struct api_struct *type = arena_new(making->arena, struct api_struct);
    *type = (struct api_struct){
        .name = openapi_name(making, version, making->list_kind),
        .doc = arena_printf(making->arena, "A list of %s objects.", making->kind),
        .fields = fields,
        .count = 4,
        .flags = API_OBJECT,
        .zero = "{}"};
    structural_slots(making->arena, type);
    return type;
}

static void set_columns(const struct making *making, struct api_resource *resource,
                        struct custom *custom, const struct val *wanted)
{
    static const struct api_column name_column = {"Name", "string", "name", "Name of the object.",
                                                  0};
    uint32_t count = val_count(wanted) > 0 ? wanted->count : 1;
    struct api_column *columns = arena_array(making->arena, struct api_column, count + 1);
    struct custom_column *sources = arena_array(making->arena, struct custom_column, count);
    columns[0] = name_column;
    uint32_t n = 0;
    VAL_EACH (it, wanted) {
        const struct val *format = val_get(it, "format"), *doc = val_get(it, "description");
        columns[n + 1] = (struct api_column){
            copy(making, val_text(val_get(it, "name"))),
            copy(making, val_text(val_get(it, "type"))), copy(making, val_text(format)),
            copy(making, val_text(doc)), (int)val_int(val_get(it, "priority"), 0)};
        sources[n] = (struct custom_column){
            columns[n + 1].type, columns[n + 1].format,
            jsonpath_new(making->arena, val_text(val_get(it, "jsonPath")), NULL)};
        n++;
    }
    if (n == 0) {
        columns[1] = (struct api_column){"Age", "date", "", "Time since it was created.", 0};
        sources[0] = (struct custom_column){
            "date", "", jsonpath_new(making->arena, STR(".metadata.creationTimestamp"), NULL)};
        n = 1;
    }
    resource->columns = columns;
    resource->column_count = (uint16_t)(n + 1);
    custom->columns = sources;
}

/* ".spec.replicas" cut at its dots; NULL when it is empty. */
static const struct str *dotted_path(const struct making *making, struct str text)
{
    size_t n = 0;
    struct str rest = text.n > 0 && text.p[0] == '.' ? str_from(text, 1) : text;
    if (rest.n == 0) {
        return NULL;
    }
    rest = str_copy_in(making->arena, rest);
    struct str *names = arena_array(making->arena, struct str, rest.n + 2);
    while (rest.p != NULL) {
        names[n++] = str_cut(rest, '.', &rest);
    }
    return names;
}

/* ".spec.color" as its members; NULL when it is empty. */
static const struct str *member_path(const struct making *making, struct str text)
{
    if (text.n == 0) {
        return NULL;
    }
    return jsonpath_members(making->arena, text, NULL);
}

static void set_subresources(const struct making *making, struct api_resource *resource,
                             struct custom *custom, const struct val *wanted)
{
    const uint16_t verbs = API_VERB_GET | API_VERB_PATCH | API_VERB_UPDATE;
    struct api_subresource *subs = arena_array(making->arena, struct api_subresource, 2);
    const struct val *scale = val_get(wanted, "scale");
    uint16_t count = 0;
    if (!val_absent(val_get(wanted, "status"))) {
        subs[count++] = (struct api_subresource){"status", "", "", making->kind, verbs};
    }
    if (!val_absent(scale)) {
        subs[count++] = (struct api_subresource){"scale", "autoscaling", "v1", "Scale", verbs};
        custom->spec_replicas = dotted_path(making, val_text(val_get(scale, "specReplicasPath")));
        custom->scale_texts[0] = copy(making, val_text(val_get(scale, "specReplicasPath")));
        custom->scale_texts[1] = copy(making, val_text(val_get(scale, "statusReplicasPath")));
        custom->status_replicas =
            dotted_path(making, val_text(val_get(scale, "statusReplicasPath")));
        custom->label_selector = dotted_path(making, val_text(val_get(scale, "labelSelectorPath")));
    }
    resource->subresources = subs;
    resource->subresource_count = count;
}

static void set_selectors(const struct making *making, struct api_resource *resource,
                          struct custom *custom, const struct val *wanted)
{
    enum { SELECTORS_MAX = 16 };
    uint32_t n = 0, count = val_count(wanted) < SELECTORS_MAX ? val_count(wanted) : SELECTORS_MAX;
    if (count == 0) {
        return;
    }
    const char **names = arena_array(making->arena, const char *, count + 1);
    const struct str **paths = arena_array(making->arena, const struct str *, count + 1);
    VAL_EACH (it, wanted) {
        struct str text = val_text(val_get(it, "jsonPath"));
        const struct str *path = member_path(making, text);
        if (n < count && path != NULL && text.n > 1) {
            names[n] = copy(making, str_from(text, 1));
            paths[n++] = path;
        }
    }
    resource->field_selectors = names;
    custom->selectable = paths;
}

static const char *deprecation(const struct making *making, const struct val *version,
                               const char *name)
{
    const struct val *text = val_get(version, "deprecationWarning");
    if (!val_bool(val_get(version, "deprecated"), false)) {
        return NULL;
    }
    return text != NULL ? copy(making, val_text(text))
                        : arena_printf(making->arena, "%s/%s %s is deprecated", making->group, name,
                                       making->kind);
}

static int set_schema(const struct making *making, const struct val *version,
                      struct api_resource *resource, struct custom *custom)
{
    static const struct val empty = {.type = VAL_OBJECT};
    const struct val *schema = val_path(version, "schema.openAPIV3Schema");
    struct err err = ERR_INIT;
    struct structural_builder builder = {
        .arena = making->arena, .definition = making->definition, .err = &err};
    const struct structural *node =
        structural_new(&builder, val_is(schema, VAL_OBJECT) ? schema : &empty, true);
    if (node == NULL || err.code != 0) {
        return err_set(making->err, ERR_INVALID, "the schema of version %s: %s", resource->version,
                       err.message);
    }
    making->definition->rules = making->definition->rules || builder.has_rules;
    custom->schema = node;
    struct api_struct *type = arena_new(making->arena, struct api_struct);
    *type = node->table;
    type->name = openapi_name(making, resource->version, making->kind);
    type->custom = resource;
    resource->type = type;
    custom->list_type = list_type(making, resource->version, type);
    struct buf json BUF_CLEANUP = BUF_INIT;
    val_write_json(val_is(schema, VAL_OBJECT) ? schema : &empty, &json);
    custom->schema_json = str_copy_in(making->arena, buf_view(&json));
    return 0;
}

static int add_version(const struct making *making, const struct val *version,
                       struct api_resource *resource)
{
    struct definition *definition = making->definition;
    struct custom *custom = arena_new(making->arena, struct custom);
    custom->definition = definition;
    *resource = (struct api_resource){
        .group = making->group,
        .version = copy(making, val_text(val_get(version, "name"))),
        .kind = making->kind,
        .list_kind = making->list_kind,
        .plural = making->plural,
        .singular = making->singular,
        .short_names = making->short_names,
        .categories = making->categories,
        .namespaced = str_is(val_text(val_get(making->spec, "scope")), "Namespaced"),
        .served = definition->established && val_bool(val_get(version, "served"), false),
        .stored = true,
        .verbs = VERBS,
        .id = definition->id,
        .ops = &ops_custom,
        .custom = custom,
    };
    custom->warning = deprecation(making, version, resource->version);
    int code = set_schema(making, version, resource, custom);
    if (code == 0) {
        set_columns(making, resource, custom, val_get(version, "additionalPrinterColumns"));
        set_subresources(making, resource, custom, val_get(version, "subresources"));
        set_selectors(making, resource, custom, val_get(version, "selectableFields"));
    }
    return code;
}

static int add_versions(const struct making *making)
{
    struct definition *definition = making->definition;
    const struct val *versions = val_get(making->spec, "versions");
    definition->versions = arena_array(making->arena, struct api_resource, val_count(versions) + 1);
    VAL_EACH (it, versions) {
        struct api_resource *resource = &definition->versions[definition->version_count];
        int code = add_version(making, it, resource);
        if (code < 0) {
            return code;
        }
        definition->version_count++;
        if (val_bool(val_get(it, "storage"), false)) {
            definition->storage = resource;
        }
    }
    if (definition->storage == NULL) {
        return err_set(making->err, ERR_INVALID, "no version is the stored one");
    }
    for (size_t i = 0; i < definition->version_count; i++) {
        definition->versions[i].storage = definition->storage;
    }
    return 0;
}

int definition_new(const struct val *crd, const struct val *names, bool established, uint16_t id,
                   struct definition **ret_definition, struct err *err)
{
    struct definition *definition = mem_new(struct definition);
    atomic_init(&definition->refs, 1);
    struct making making = {.definition = definition,
                            .arena = &definition->arena,
                            .spec = val_get(crd, "spec"),
                            .names = names,
                            .err = err};
    definition->id = id;
    definition->established = established;
    definition->digest = definition_digest(crd, names, established);
    definition->name = str_copy_in(making.arena, val_name(crd));
    definition->uid = str_copy_in(making.arena, val_uid(crd));
    definition->webhook = str_is(val_text(val_path(making.spec, "conversion.strategy")), "Webhook");
    atomic_init(&definition->terminating, !val_absent(val_path(crd, "metadata.deletionTimestamp")));
    making.group = copy(&making, val_text(val_get(making.spec, "group")));
    making.plural = copy(&making, val_text(val_get(names, "plural")));
    making.kind = copy(&making, val_text(val_get(names, "kind")));
    making.list_kind = copy(&making, val_text(val_get(names, "listKind")));
    making.singular = copy(&making, val_text(val_get(names, "singular")));
    making.short_names = copy_list(&making, val_get(names, "shortNames"));
    making.categories = copy_list(&making, val_get(names, "categories"));
    int code = add_versions(&making);
    if (code < 0) {
        definition_unref(definition);
        return code;
    }
    *ret_definition = definition;
    return 0;
}

/* A schema that takes everything, out of a CRD as small as can be. */
struct definition *definition_dormant(struct str plural, struct str group, struct str version,
                                      struct str kind, bool namespaced, uint16_t id)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct val *crd = NULL;
    struct definition *definition = NULL;
    buf_addz(&text, "{\"metadata\":{\"name\":");
    json_write_string(str_of(arena_printf(&arena, "%.*s.%.*s", STR_ARG(plural), STR_ARG(group))),
                      &text);
    buf_printf(&text,
               "},\"spec\":{\"scope\":\"%s\",\"group\":", namespaced ? "Namespaced" : "Cluster");
    json_write_string(group, &text);
    buf_addz(&text, ",\"names\":{\"plural\":");
    json_write_string(plural, &text);
    buf_addz(&text, ",\"kind\":");
    json_write_string(kind, &text);
    buf_addz(&text, "},\"versions\":[{\"storage\":true,\"name\":");
    json_write_string(version, &text);
    buf_addz(&text, ",\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\","
                    "\"x-kubernetes-preserve-unknown-fields\":true}}}]}}");
    if (val_parse_json(&arena, buf_view(&text), &crd, NULL) != 0 ||
        definition_new(crd, val_path(crd, "spec.names"), false, id, &definition, NULL) != 0) {
        return NULL; /* the names were in no form that JSON takes */
    }
    return definition;
}

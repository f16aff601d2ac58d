/* openapi_paths.c: what can be asked of a resource, as OpenAPI operations.
 *
 * One row of a table a kind of operation; a resource has those that its verbs allow. Clients read
 * from here which kind a path serves and which query parameters it knows (kubectl looks for
 * fieldValidation on PATCH).
 */
#include "api/custom/custom.h"
#include "api/openapi_int.h"

#include <stdio.h>

#define ANY_TYPE                                                                                   \
    "*/"                                                                                           \
    "*" /* in two, so that no comment seems to start */

enum body { BODY_NONE, BODY_KIND, BODY_PATCH, BODY_DELETE };
enum answer { ANSWER_KIND, ANSWER_LIST, ANSWER_STATUS, ANSWER_TEXT };

struct parameter {
    const char *name, *type, *doc;
};
static const struct parameter list_parameters[] = {
    {"allowWatchBookmarks", "boolean", "Whether a watch sends bookmarks now and then."},
    {"continue", "string", "Token of the page before, to get the next one."},
    {"fieldSelector", "string", "Only objects whose fields match."},
    {"labelSelector", "string", "Only objects whose labels match."},
    {"limit", "integer", "At most so many objects a page."},
    {"resourceVersion", "string", "How old the data may be, or where a watch starts."},
    {"resourceVersionMatch", "string", "How resourceVersion is meant: NotOlderThan or Exact."},
    {"sendInitialEvents", "boolean", "Whether a watch starts with what is there."},
    {"timeoutSeconds", "integer", "Seconds after which a list or watch ends."},
    {"watch", "boolean", "Whether to follow changes instead of listing."},
    {NULL, NULL, NULL},
};
static const struct parameter write_parameters[] = {
    {"dryRun", "string", "All: do everything but store."},
    {"fieldManager", "string", "Name of who changes the fields."},
    {"fieldValidation", "string", "What to do with unknown fields: Ignore, Warn or Strict."},
    {NULL, NULL, NULL},
};
static const struct parameter patch_parameters[] = {
    {"dryRun", "string", "All: do everything but store."},
    {"fieldManager", "string", "Name of who changes the fields."},
    {"fieldValidation", "string", "What to do with unknown fields: Ignore, Warn or Strict."},
    {"force", "boolean", "Whether apply takes fields that others own."},
    {NULL, NULL, NULL},
};
static const struct parameter delete_parameters[] = {
    {"dryRun", "string", "All: do everything but store."},
    {"gracePeriodSeconds", "integer", "Seconds until the object goes; 0 is at once."},
    {"orphanDependents", "boolean", "Whether dependents stay; propagationPolicy is newer."},
    {"propagationPolicy", "string", "What becomes of dependents: Orphan, Background, Foreground."},
    {NULL, NULL, NULL},
};

enum place { PLACE_LIST, PLACE_ITEM };
static const struct operation {
    enum place place;
    uint16_t verb;
    const char *method, *action, *id; /* "get", "list", "list" */
    enum body body;
    enum answer answer;
    const struct parameter *parameters;
} operations[] = {
    {PLACE_LIST, API_VERB_LIST, "get", "list", "list", BODY_NONE, ANSWER_LIST, list_parameters},
    {PLACE_LIST, API_VERB_CREATE, "post", "post", "create", BODY_KIND, ANSWER_KIND,
     write_parameters},
    {PLACE_LIST, API_VERB_DELETE_COLLECTION, "delete", "deletecollection", "deleteCollection",
     BODY_DELETE, ANSWER_STATUS, list_parameters},
    {PLACE_ITEM, API_VERB_GET, "get", "get", "read", BODY_NONE, ANSWER_KIND, NULL},
    {PLACE_ITEM, API_VERB_UPDATE, "put", "put", "replace", BODY_KIND, ANSWER_KIND,
     write_parameters},
    {PLACE_ITEM, API_VERB_PATCH, "patch", "patch", "patch", BODY_PATCH, ANSWER_KIND,
     patch_parameters},
    {PLACE_ITEM, API_VERB_DELETE, "delete", "delete", "delete", BODY_DELETE, ANSWER_STATUS,
     delete_parameters},
};

struct target { /* what one path is about */
    const struct api_resource *resource;
    const char *sub; /* subresource, or "" */
    const char *group, *version, *kind;
    const struct api_struct *type, *list; /* NULL: text */
    bool namespaced, connect, all_namespaces;
};

/* "rbac.authorization.k8s.io" gives "RbacAuthorization" (or "rbacAuthorization"), core "Core". */
static void camel_group(const char *group, bool upper, char *ret_text, size_t size)
{
    struct str rest = str_of(group[0] != '\0' ? group : "core");
    if (str_ends(rest, STR(".k8s.io"))) {
        rest.n -= sizeof ".k8s.io" - 1;
    }
    size_t n = 0;
    for (bool next = upper; rest.n > 0 && n + 1 < size; rest = str_from(rest, 1)) {
        char c = rest.p[0];
        if (c == '.' || c == '-') {
            next = true;
            continue;
        }
        ret_text[n++] = next && c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
        next = false;
    }
    ret_text[n] = '\0';
}

static void operation_id(struct emit *e, const struct target *target, const char *verb)
{
    char group[128], text[512], version[32];
    camel_group(target->resource->group, true, group, sizeof group);
    snprintf(version, sizeof version, "%s", target->resource->version);
    version[0] = (char)(version[0] >= 'a' ? version[0] - 32 : version[0]);
    snprintf(text, sizeof text, "%s%s%s%s%s%s%s", verb, group, version,
             target->namespaced && !target->all_namespaces ? "Namespaced" : "",
             target->resource->kind, target->sub, target->all_namespaces ? "ForAllNamespaces" : "");
    size_t at = strlen(text) - strlen(target->sub) -
                (target->all_namespaces ? sizeof "ForAllNamespaces" - 1 : 0);
    if (target->sub[0] >= 'a' && target->sub[0] <= 'z') {
        text[at] = (char)(text[at] - 32);
    }
    emit_member(e, "operationId", text);
}

static void parameter(struct openapi_doc *doc, const struct parameter *p, const char *in)
{
    struct emit *e = &doc->e;
    emit_open(e, '{');
    emit_member(e, "name", p->name);
    emit_member(e, "in", in);
    emit_member(e, "description", p->doc);
    if (strcmp(in, "path") == 0) {
        emit_key(e, "required");
        emit_raw(e, "true");
    }
    if (doc->v3) {
        emit_key(e, "schema");
        emit_open(e, '{');
    }
    emit_member(e, "type", p->type);
    emit_key(e, "uniqueItems");
    emit_raw(e, "true");
    if (doc->v3) {
        emit_close(e, '}');
    }
    emit_close(e, '}');
}

static void type_schema(struct openapi_doc *doc, const struct api_struct *type)
{
    struct emit *e = &doc->e;
    emit_key(e, "schema");
    emit_open(e, '{');
    if (type != NULL) {
        openapi_ref(doc, type);
    } else {
        emit_member(e, "type", "string");
    }
    emit_close(e, '}');
}

static void body_schema(struct openapi_doc *doc, const struct target *target, enum body body)
{
    struct emit *e = &doc->e;
    if (body == BODY_PATCH) {
        emit_key(e, "schema");
        emit_open(e, '{');
        openapi_ref_special(doc, OPENAPI_PATCH);
        emit_close(e, '}');
    } else {
        type_schema(doc, body == BODY_KIND
                             ? target->type
                             : schema_object_type(STR(""), STR("v1"), STR("DeleteOptions")));
    }
}

static const char *const patch_types[] = {"application/json-patch+json",
                                          "application/merge-patch+json",
                                          "application/strategic-merge-patch+json", NULL};
static const char *const custom_patch_types[] = {"application/json-patch+json",
                                                 "application/merge-patch+json", NULL};
static const char *const any_type[] = {ANY_TYPE, NULL};
static const char *const answer_types[] = {"application/json", "application/yaml", NULL};

/* Custom kinds have no strategy to merge by. */
static const char *const *patches_of(const struct target *target)
{
    return target->resource->custom != NULL ? custom_patch_types : patch_types;
}

/* OpenAPI 3: requestBody. */
static void request_body(struct openapi_doc *doc, const struct target *target, enum body body)
{
    struct emit *e = &doc->e;
    emit_key(e, "requestBody");
    emit_open(e, '{');
    emit_key(e, "content");
    emit_open(e, '{');
    for (const char *const *it = body == BODY_PATCH ? patches_of(target) : any_type; *it != NULL;
         it++) {
        emit_key(e, *it);
        emit_open(e, '{');
        body_schema(doc, target, body);
        emit_close(e, '}');
    }
    emit_close(e, '}');
    if (body != BODY_DELETE) {
        emit_key(e, "required");
        emit_raw(e, "true");
    }
    emit_close(e, '}');
}

/* OpenAPI 2: the body is a parameter. */
static void body_parameter(struct openapi_doc *doc, const struct target *target, enum body body)
{
    struct emit *e = &doc->e;
    emit_open(e, '{');
    emit_member(e, "name", "body");
    emit_member(e, "in", "body");
    if (body != BODY_DELETE) {
        emit_key(e, "required");
        emit_raw(e, "true");
    }
    body_schema(doc, target, body);
    emit_close(e, '}');
}

static void response(struct openapi_doc *doc, const struct api_struct *type)
{
    struct emit *e = &doc->e;
    emit_key(e, "200");
    emit_open(e, '{');
    emit_member(e, "description", "OK");
    if (!doc->v3) {
        type_schema(doc, type);
    } else {
        emit_key(e, "content");
        emit_open(e, '{');
        for (const char *const *it = answer_types; *it != NULL; it++) {
            emit_key(e, type != NULL ? *it : ANY_TYPE);
            emit_open(e, '{');
            type_schema(doc, type);
            emit_close(e, '}');
            if (type == NULL) {
                break;
            }
        }
        emit_close(e, '}');
    }
    emit_close(e, '}');
    emit_key(e, "401");
    emit_open(e, '{');
    emit_member(e, "description", "Unauthorized");
    emit_close(e, '}');
}

static void group_version_kind(struct emit *e, const struct target *target)
{
    emit_key(e, "x-kubernetes-group-version-kind");
    emit_open(e, '{');
    emit_member(e, "group", target->group);
    emit_member(e, "version", target->version);
    emit_member(e, "kind", target->kind);
    emit_close(e, '}');
}

static void operation(struct openapi_doc *doc, const struct target *target,
                      const struct operation *op)
{
    struct emit *e = &doc->e;
    char tag[160];
    camel_group(target->resource->group, false, tag, sizeof tag - 32);
    size_t n = strlen(tag);
    snprintf(tag + n, sizeof tag - n, "_%s", target->resource->version);
    bool has_body = op->body != BODY_NONE && !target->connect;
    emit_key(e, op->method);
    emit_open(e, '{');
    emit_texts(e, "tags", (const char *const[]){tag, NULL});
    operation_id(e, target, target->connect ? op->method : op->id);
    if (!doc->v3) {
        emit_texts(e, "consumes", op->body == BODY_PATCH ? patches_of(target) : any_type);
        emit_texts(e, "produces", answer_types);
        emit_texts(e, "schemes", (const char *const[]){"https", NULL});
    }
    emit_key(e, "parameters");
    emit_open(e, '[');
    for (const struct parameter *p = target->connect ? NULL : op->parameters;
         p != NULL && p->name != NULL; p++) {
        parameter(doc, p, "query");
    }
    if (!doc->v3 && has_body) {
        body_parameter(doc, target, op->body);
    }
    emit_close(e, ']');
    if (doc->v3 && has_body) {
        request_body(doc, target, op->body);
    }
    emit_key(e, "responses");
    emit_open(e, '{');
    response(doc, target->connect             ? NULL
                  : op->answer == ANSWER_LIST ? target->list
                  : op->answer == ANSWER_STATUS
                      ? schema_object_type(STR(""), STR("v1"), STR("Status"))
                      : target->type);
    emit_close(e, '}');
    emit_member(e, "x-kubernetes-action", target->connect ? "connect" : op->action);
    group_version_kind(e, target);
    emit_close(e, '}');
}

/* One path: its operations, then the parameters that all of them have. */
static void path(struct openapi_doc *doc, const struct target *target, enum place place,
                 uint16_t verbs)
{
    struct emit *e = &doc->e;
    const struct api_resource *resource = target->resource;
    char text[512];
    bool in_namespace = target->namespaced && !target->all_namespaces;
    snprintf(text, sizeof text, "%s%s%s/%s%s/%s%s%s%s",
             resource->group[0] != '\0' ? "/apis/" : "/api", resource->group, "", resource->version,
             in_namespace ? "/namespaces/{namespace}" : "", resource->plural,
             place == PLACE_ITEM ? "/{name}" : "", target->sub[0] != '\0' ? "/" : "", target->sub);
    emit_key(e, text);
    emit_open(e, '{');
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        const struct operation *op = &operations[i];
        bool at_sub = target->sub[0] != '\0' && op->verb == API_VERB_CREATE;
        if ((op->place == place || at_sub) && (verbs & op->verb) != 0 &&
            (!target->all_namespaces || op->verb == API_VERB_LIST)) {
            operation(doc, target, op);
        }
    }
    emit_key(e, "parameters");
    emit_open(e, '[');
    if (place == PLACE_ITEM) {
        parameter(doc, &(struct parameter){"name", "string", "Name of the object."}, "path");
    }
    if (in_namespace) {
        parameter(doc, &(struct parameter){"namespace", "string", "Namespace of the object."},
                  "path");
    }
    parameter(doc, &(struct parameter){"pretty", "string", "Whether the answer has lines."},
              "query");
    emit_close(e, ']');
    emit_close(e, '}');
}

static void subresource_path(struct openapi_doc *doc, const struct target *parent,
                             const struct api_subresource *sub)
{
    struct target target = *parent;
    bool own = sub->version[0] == '\0';
    target.sub = sub->name;
    target.group = own ? parent->group : sub->group;
    target.version = own ? parent->version : sub->version;
    target.kind = sub->kind;
    target.type =
        schema_object_type(str_of(target.group), str_of(target.version), str_of(sub->kind));
    if (target.type == NULL && own) {
        target.type = parent->type;
    }
    target.connect = target.type == NULL;
    if (strcmp(sub->name, "log") == 0) {
        target.type = NULL; /* its answer is text */
    }
    path(doc, &target, PLACE_ITEM, sub->verbs);
}

void openapi_paths(struct openapi_doc *doc, const struct api_resource *resource)
{
    struct str list_kind = str_of(resource->list_kind);
    struct target target = {
        .resource = resource,
        .sub = "",
        .group = resource->group,
        .version = resource->version,
        .kind = resource->kind,
        .type = resource->type,
        .list = schema_object_type(str_of(resource->group), str_of(resource->version), list_kind),
        .namespaced = resource->namespaced,
    };
    if (resource->custom != NULL) {
        target.list = resource->custom->list_type;
    }
    if (target.list == NULL) {
        target.list = resource->type;
    }
    if ((resource->verbs & (API_VERB_LIST | API_VERB_CREATE)) != 0) {
        path(doc, &target, PLACE_LIST, resource->verbs);
    }
    if ((resource->verbs & (API_VERB_GET | API_VERB_UPDATE | API_VERB_DELETE)) != 0) {
        path(doc, &target, PLACE_ITEM, resource->verbs);
    }
    if (resource->namespaced && (resource->verbs & API_VERB_LIST) != 0) {
        target.all_namespaces = true;
        path(doc, &target, PLACE_LIST, resource->verbs);
        target.all_namespaces = false;
    }
    for (size_t i = 0; i < resource->subresource_count; i++) {
        subresource_path(doc, &target, &resource->subresources[i]);
    }
}

/* What requests do to the fake API server's objects (fake_client.h), and the test's own hand. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/codec.h"
#include "api/ops.h"
#include "api/patch.h"
#include "base/mem.h"
#include "fake_int.h"

struct op { /* one request while it runs */
    struct fake_api *api;
    const struct client_request *request;
    struct arena *arena;
    const struct api_resource *resource;
    struct ordered *set;
    struct object *old; /* borrowed */
    struct object **ret_object;
    char **ret_body;
    struct err *err;
};

void fake_must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "fake api: %s\n", what);
        abort();
    }
}

static struct str now_text(struct op *op)
{
    char text[TIME_TEXT_SIZE];
    size_t n = time_format(clock_wall(loop_clock(op->api->loop)), text);
    return str_at(arena_dup(op->arena, text, n), n);
}

static struct val *metadata(struct op *op, struct val *object)
{
    return val_make_object(op->arena, object, STR("metadata"));
}

static bool has_finalizer(const struct val *object, const char *name)
{
    VAL_EACH (it, val_path(object, "metadata.finalizers")) {
        if (name == NULL || str_is(it->text, name)) {
            return true;
        }
    }
    return false;
}

static bool is_ready_to_go(const struct val *object)
{
    if (val_count(val_path(object, "spec.finalizers")) > 0 &&
        str_is(val_text(val_get(object, "kind")), "Namespace")) {
        return false;
    }
    return !has_finalizer(object, NULL) &&
           val_int(val_path(object, "metadata.deletionGracePeriodSeconds"), 0) == 0;
}

static int decode_body(struct op *op, const char *body, struct val **ret_value)
{
    return codec_decode(op->arena, op->resource->type, CODEC_JSON, str_of(body), CODEC_STRICT, NULL,
                        ret_value, op->err);
}

/* Edited tapes go through text, so that members made here have their fields. */
static int retype(struct op *op, const struct val *value, struct val **ret_value)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    val_write_json(value, &out);
    return decode_body(op, str_dup_in(op->arena, buf_view(&out)), ret_value);
}

/* Publishes the next state, or the end of the object when nothing holds it any more. */
static void commit(struct op *op, const struct val *value)
{
    struct fake_api *api = op->api;
    struct val *next = NULL;
    fake_must(retype(op, value, &next) == 0, "an edited object is of its type");
    struct object *object = object_new(op->resource->storage, next, ++api->revision);
    struct object *old = op->old != NULL ? object_ref(op->old) : NULL;
    if (object->deleting && is_ready_to_go(next)) {
        if (old != NULL) {
            object_unref(ordered_take(op->set, object->ns, object->name));
        }
        fake_publish(api, object, NULL);
        fake_kubelet_event(api, object, NULL);
    } else {
        struct ordered_entry *entry = ordered_make(op->set, object->ns, object->name);
        object_unref(entry->object);
        entry->object = object_ref(object);
        fake_publish(api, old, object);
        fake_kubelet_event(api, old, object);
    }
    object_unref(old);
    *op->ret_object = object;
}

static void answer_status(struct op *op)
{
    object_unref(*op->ret_object);
    *op->ret_object = NULL;
    *op->ret_body = mem_dupz("{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Success\"}");
}

/* ---- create ---- */

static bool is_namespace_open(struct op *op, struct str ns)
{
    const struct api_resource *resource = schema_resource(STR(""), STR("v1"), STR("namespaces"));
    struct ordered_entry *entry = ordered_find(&op->api->objects[resource->id], STR_NONE, ns);
    return entry == NULL || !entry->object->deleting; /* tests need not make namespaces */
}

static int name_object(struct op *op, struct val *object)
{
    struct val *meta = metadata(op, object);
    struct str prefix = val_text(val_get(meta, "generateName"));
    if (val_name(object).n == 0 && prefix.n > 0) {
        char suffix[8];
        random_suffix(&op->api->random, 5, suffix);
        val_set_text(op->arena, meta, STR("name"),
                     str_of(arena_printf(op->arena, "%.*s%s", STR_ARG(prefix), suffix)));
    }
    if (val_name(object).n == 0) {
        return err_set(op->err, ERR_INVALID, "name or generateName is required");
    }
    if (op->resource->namespaced) {
        val_set_text(op->arena, meta, STR("namespace"), op->request->ns);
    }
    return 0;
}

static int bind_pod(struct op *op, struct val *binding)
{
    if (op->old == NULL) {
        return err_set(op->err, ERR_NOT_FOUND, "pod not found");
    }
    struct val *pod = object_decode(op->old, op->arena);
    if (val_text(val_path(pod, "spec.nodeName")).n > 0) {
        return err_set(op->err, ERR_CONFLICT, "pod is already assigned to a node");
    }
    val_set_text(op->arena, val_get(pod, "spec"), STR("nodeName"),
                 val_text(val_path(binding, "target.name")));
    struct val *status = val_make_object(op->arena, pod, STR("status"));
    struct val *conditions = val_make_array(op->arena, status, STR("conditions"));
    struct val *condition = val_append(conditions, val_new(op->arena, VAL_OBJECT));
    val_set_text(op->arena, condition, STR("type"), STR("PodScheduled"));
    val_set_text(op->arena, condition, STR("status"), STR("True"));
    val_set_text(op->arena, condition, STR("lastTransitionTime"), now_text(op));
    commit(op, pod);
    answer_status(op);
    return 0;
}

static int create(struct op *op, const char *body)
{
    struct val *object;
    if (str_is(str_of(op->request->subresource), "binding")) {
        return val_parse_json(op->arena, str_of(body), &object, op->err) != 0
                   ? ERR_BAD_REQUEST
                   : bind_pod(op, object);
    }
    int code = decode_body(op, body, &object);
    if (code != 0 || (code = name_object(op, object)) != 0) {
        return code;
    }
    if (op->resource->namespaced && !is_namespace_open(op, op->request->ns)) {
        return err_set(op->err, ERR_FORBIDDEN, "namespace %.*s is being terminated",
                       STR_ARG(op->request->ns));
    }
    if (ordered_find(op->set, val_namespace(object), val_name(object)) != NULL) {
        return err_set(op->err, ERR_EXISTS, "%s \"%.*s\" already exists", op->resource->plural,
                       STR_ARG(val_name(object)));
    }
    struct val *meta = metadata(op, object);
    char uid[UUID_TEXT_SIZE];
    random_uuid(&op->api->random, uid);
    val_set_text(op->arena, meta, STR("uid"), str_of(str_dup_in(op->arena, str_of(uid))));
    val_set_text(op->arena, meta, STR("creationTimestamp"), now_text(op));
    val_set_int(op->arena, meta, STR("generation"), 1);
    if (str_is(str_of(op->resource->kind), "Namespace")) {
        struct val *spec = val_make_object(op->arena, object, STR("spec"));
        val_append(val_make_array(op->arena, spec, STR("finalizers")),
                   val_new_text(op->arena, STR("kubernetes")));
    }
    api_default(op->arena, op->resource, object);
    commit(op, object);
    return 0;
}

/* ---- update, patch ---- */

static void keep_other_half(struct op *op, struct val *next, const struct val *old)
{
    const char *subresource = op->request->subresource;
    bool has_status = schema_subresource(op->resource, STR("status")) != NULL;
    if (str_is(str_of(subresource), "status")) {
        struct val *status = val_get(next, "status");
        struct val *kept = val_copy(op->arena, old);
        val_set(kept, STR("metadata"), val_get(next, "metadata"));
        if (status != NULL) {
            val_set(kept, STR("status"), status);
        } else {
            val_unset(kept, STR("status"));
        }
        *next = *kept;
        return;
    }
    struct val *status = val_get(old, "status");
    if (has_status && subresource[0] == '\0') {
        if (status != NULL) {
            val_set(next, STR("status"), val_copy(op->arena, status));
        } else {
            val_unset(next, STR("status"));
        }
    }
}

static void keep_system_metadata(struct op *op, struct val *next, const struct val *old)
{
    struct val *meta = metadata(op, next);
    static const char *const kept[] = {"uid",
                                       "creationTimestamp",
                                       "deletionTimestamp",
                                       "deletionGracePeriodSeconds",
                                       "generation",
                                       "name",
                                       "namespace"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        struct val *value = val_get_str(val_get(old, "metadata"), str_of(kept[i]));
        if (value != NULL) {
            val_set(meta, str_of(kept[i]), val_copy(op->arena, value));
        } else {
            val_unset(meta, str_of(kept[i]));
        }
    }
    if (!val_equal(val_get(next, "spec"), val_get(old, "spec"))) {
        val_set_int(op->arena, meta, STR("generation"),
                    val_int(val_path(old, "metadata.generation"), 0) + 1);
    }
}

static bool is_same_but_revision(struct op *op, const struct val *value)
{
    struct val *next = NULL;
    fake_must(retype(op, value, &next) == 0, "an edited object is of its type");
    struct object *object = object_new(op->resource->storage, next, op->old->revision);
    bool same = object->n == op->old->n && memcmp(object->json, op->old->json, object->n) == 0;
    object_unref(object);
    return same;
}

static int store_next(struct op *op, struct val *next, struct val *old)
{
    struct str revision = val_text(val_path(next, "metadata.resourceVersion"));
    uint64_t wanted;
    if (revision.n > 0 && str_u64(revision, &wanted) && wanted != op->old->revision) {
        return err_set(op->err, ERR_CONFLICT, "the object has been modified");
    }
    struct str uid = val_uid(next);
    if (uid.n > 0 && !str_eq(uid, op->old->uid)) {
        return err_set(op->err, ERR_CONFLICT, "uid differs");
    }
    keep_other_half(op, next, old);
    keep_system_metadata(op, next, old);
    api_default(op->arena, op->resource, next);
    if (is_same_but_revision(op, next)) {
        *op->ret_object = object_ref(op->old);
        return 0;
    }
    commit(op, next);
    return 0;
}

static int update(struct op *op, const char *body)
{
    struct val *next;
    int code = decode_body(op, body, &next);
    if (code != 0) {
        return code;
    }
    return store_next(op, next, object_decode(op->old, op->arena));
}

static int patch(struct op *op, const char *body)
{
    struct val *old = object_decode(op->old, op->arena), *change, *next, *typed;
    int code = val_parse_json(op->arena, str_of(body), &change, op->err);
    if (code == 0 && op->request->patch == CLIENT_PATCH_JSON) {
        code = patch_json(op->arena, old, change, &next, op->err);
    } else if (code == 0 && op->request->patch == CLIENT_PATCH_STRATEGIC) {
        code = patch_strategic(op->arena, op->resource->type, old, change, &next, op->err);
    } else if (code == 0) {
        code = patch_merge(op->arena, old, change, &next, op->err);
    }
    if (code != 0) {
        return code;
    }
    code = retype(op, next, &typed);
    return code != 0 ? code : store_next(op, typed, old);
}

/* ---- delete ---- */

static int check_preconditions(struct op *op, const struct val *options)
{
    struct str uid = val_text(val_path(options, "preconditions.uid"));
    struct str revision = val_text(val_path(options, "preconditions.resourceVersion"));
    uint64_t number;
    if ((uid.n > 0 && !str_eq(uid, op->old->uid)) ||
        (revision.n > 0 && (!str_u64(revision, &number) || number != op->old->revision))) {
        return err_set(op->err, ERR_CONFLICT, "precondition failed");
    }
    return 0;
}

static int64_t pod_grace(const struct val *pod, int64_t asked)
{
    struct str phase = val_text(val_path(pod, "status.phase"));
    if (val_text(val_path(pod, "spec.nodeName")).n == 0 || str_is(phase, "Failed") ||
        str_is(phase, "Succeeded")) {
        return 0;
    }
    return asked >= 0 ? asked : val_int(val_path(pod, "spec.terminationGracePeriodSeconds"), 30);
}

static void set_finalizer(struct op *op, struct val *object, const char *name, bool wanted)
{
    struct val *meta = metadata(op, object);
    struct val *list = val_make_array(op->arena, meta, STR("finalizers"));
    struct val *found = NULL;
    VAL_EACH (it, list) {
        if (str_is(it->text, name)) {
            found = it;
        }
    }
    if (wanted && found == NULL) {
        val_append(list, val_new_text(op->arena, str_of(name)));
    } else if (!wanted && found != NULL) {
        val_remove(list, found);
    }
    if (list->count == 0) {
        val_unset(meta, STR("finalizers"));
    }
}

static int delete_object(struct op *op, const char *body)
{
    struct val *options = NULL;
    int code = 0;
    if (body != NULL && (code = val_parse_json(op->arena, str_of(body), &options, op->err)) != 0) {
        return code;
    }
    if ((code = check_preconditions(op, options)) != 0) {
        return code;
    }
    struct val *object = object_decode(op->old, op->arena);
    struct str policy = val_text(val_get(options, "propagationPolicy"));
    int64_t asked = val_int(val_get(options, "gracePeriodSeconds"), -1);
    bool is_pod = str_is(str_of(op->resource->kind), "Pod");
    if (policy.n > 0) {
        set_finalizer(op, object, "foregroundDeletion", str_is(policy, "Foreground"));
        set_finalizer(op, object, "orphan", str_is(policy, "Orphan"));
    }
    struct val *meta = metadata(op, object);
    int64_t grace = is_pod ? pod_grace(object, asked) : 0;
    int64_t before = val_int(val_get(meta, "deletionGracePeriodSeconds"), -1);
    if (op->old->deleting && before >= 0 && grace > before) {
        grace = before;
    }
    if (!op->old->deleting) {
        val_set_text(op->arena, meta, STR("deletionTimestamp"), now_text(op));
        val_set_int(op->arena, meta, STR("generation"),
                    val_int(val_get(meta, "generation"), 0) + 1);
    }
    val_set_int(op->arena, meta, STR("deletionGracePeriodSeconds"), grace);
    if (str_is(str_of(op->resource->kind), "Namespace")) {
        val_set_text(op->arena, val_make_object(op->arena, object, STR("status")), STR("phase"),
                     STR("Terminating"));
    }
    bool goes = is_ready_to_go(object);
    if (op->old->deleting && !goes && is_same_but_revision(op, object)) {
        *op->ret_object = object_ref(op->old);
        return 0;
    }
    commit(op, object);
    if (goes && !is_pod) { /* as upstream: a Status for most kinds, the last state for pods */
        answer_status(op);
    }
    return 0;
}

/* ---- all verbs ---- */

static int run(struct op *op, const char *body)
{
    if (op->request->verb == CLIENT_CREATE) {
        return create(op, body);
    }
    if (op->old == NULL) {
        return err_set(op->err, ERR_NOT_FOUND, "%s \"%.*s\" not found", op->resource->plural,
                       STR_ARG(op->request->name));
    }
    switch (op->request->verb) {
    case CLIENT_UPDATE:
        return update(op, body);
    case CLIENT_PATCH:
        return patch(op, body);
    case CLIENT_DELETE:
        return delete_object(op, body);
    default:
        *op->ret_object = object_ref(op->old);
        return 0;
    }
}

int fake_execute(struct fake_api *api, const struct client_request *request, const char *body,
                 struct object **ret_object, char **ret_body, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct op op = {.api = api,
                    .request = request,
                    .arena = &arena,
                    .resource = request->resource,
                    .set = &api->objects[request->resource->storage->id],
                    .ret_object = ret_object,
                    .ret_body = ret_body,
                    .err = err};
    fake_must(request->resource->storage->id < FAKE_RESOURCES_MAX, "too many resources");
    struct ordered_entry *entry = ordered_find(op.set, request->ns, request->name);
    op.old = entry != NULL && request->name.n > 0 ? object_ref(entry->object) : NULL;
    int code = run(&op, body);
    object_unref(op.old);
    return code;
}

/* ---- the test's own hand ---- */

__attribute__((format(printf, 1, 0))) static char *json_of(const char *format, va_list ap)
{
    char *text = NULL;
    fake_must(vasprintf(&text, format, ap) >= 0, "no memory");
    for (char *p = text; *p != '\0'; p++) {
        if (*p == '\'') {
            *p = '"';
        }
    }
    return text;
}

static struct object *do_it(struct fake_api *api, const struct client_request *request,
                            const char *body)
{
    struct object *object = NULL;
    char *answer = NULL;
    struct err err = ERR_INIT;
    int code = fake_execute(api, request, body, &object, &answer, &err);
    if (code != 0) {
        fprintf(stderr, "%s %s\n", err.message, body != NULL ? body : "");
    }
    fake_must(code == 0, "a request of the test itself failed");
    free(answer);
    if (object != NULL) {
        object_unref(object); /* borrowed: the set holds it, unless it is gone */
    }
    return object;
}

struct object *fake_create(struct fake_api *api, const struct api_resource *resource,
                           const char *json)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *value = NULL;
    fake_must(resource != NULL, "no such resource");
    fake_must(val_parse_json(&arena, str_of(json), &value, NULL) == 0, json);
    struct str ns = val_namespace(value);
    if (resource->namespaced && ns.n == 0) {
        ns = STR("default");
    }
    return do_it(api,
                 &(struct client_request){.verb = CLIENT_CREATE,
                                          .resource = resource,
                                          .ns = resource->namespaced ? ns : STR_NONE,
                                          .name = val_name(value),
                                          .subresource = ""},
                 json);
}

struct object *fake_createf(struct fake_api *api, const struct api_resource *resource,
                            const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    char *json MEM_CLEANUP = json_of(format, ap);
    va_end(ap);
    return fake_create(api, resource, json);
}

struct object *fake_patchf(struct fake_api *api, const struct api_resource *resource,
                           const char *ns, const char *name, const char *subresource,
                           const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    char *json MEM_CLEANUP = json_of(format, ap);
    va_end(ap);
    return do_it(api,
                 &(struct client_request){.verb = CLIENT_PATCH,
                                          .patch = CLIENT_PATCH_MERGE,
                                          .resource = resource,
                                          .ns = str_of(ns),
                                          .name = str_of(name),
                                          .subresource = subresource},
                 json);
}

struct object *fake_get(const struct fake_api *api, const struct api_resource *resource,
                        const char *ns, const char *name)
{
    struct ordered_entry *entry =
        ordered_find(&api->objects[resource->storage->id], str_of(ns), str_of(name));
    return entry != NULL ? entry->object : NULL;
}

void fake_delete(struct fake_api *api, const struct api_resource *resource, const char *ns,
                 const char *name, const char *options)
{
    char *json MEM_CLEANUP = mem_dupz(options);
    for (char *p = json; p != NULL && *p != '\0'; p++) {
        if (*p == '\'') {
            *p = '"';
        }
    }
    do_it(api,
          &(struct client_request){.verb = CLIENT_DELETE,
                                   .resource = resource,
                                   .ns = str_of(ns),
                                   .name = str_of(name),
                                   .subresource = ""},
          json);
}

size_t fake_count(const struct fake_api *api, const struct api_resource *resource)
{
    return api->objects[resource->storage->id].count;
}

void fake_each(struct fake_api *api, const struct api_resource *resource,
               void (*visit)(void *ctx, struct object *object), void *ctx)
{
    struct ordered *set = &api->objects[resource->storage->id];
    size_t count = set->count, at = 0;
    struct object **all = mem_array(struct object *, count + 1);
    struct ordered_place place = {0};
    struct ordered_entry *entry;
    while ((entry = ordered_next(set, &place)) != NULL) {
        all[at++] = object_ref(entry->object);
    }
    for (size_t i = 0; i < at; i++) {
        visit(ctx, all[i]);
        object_unref(all[i]);
    }
    free(all);
}

struct val *fake_val(struct fake_api *api, const struct object *object)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    return val_copy(&api->vals, object_decode(object, &arena));
}

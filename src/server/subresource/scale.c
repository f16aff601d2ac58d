/* scale.c: the scale subresource: spec.replicas and the selector of whatever has replicas, as one
 * small kind (autoscaling/v1 Scale). */
#include "api/custom/custom.h"
#include "api/patch.h"
#include "server/server_int.h"
#include "server/subresource/subresource.h"
#include "server/verb/verb.h"
#include "server/write/pipeline.h"
#include "server/write/version.h"

struct scaling {
    struct change change;
    struct request *request;
    struct val *body; /* update: a Scale; patch: the patch */
};

static const struct api_struct *scale_type(void)
{
    return schema_struct(STR("io.k8s.api.autoscaling.v1.Scale"));
}

/* "a=b,c in (d,e)" of a LabelSelector, or of a plain map (ReplicationController). */
static struct str selector_text(struct arena *arena, const struct val *selector)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    const struct val *labels = val_get(selector, "matchLabels");
    bool plain = labels == NULL && val_get(selector, "matchExpressions") == NULL;
    VAL_EACH (it, plain ? selector : labels) {
        buf_printf(&out, "%s%.*s=%.*s", out.n > 0 ? "," : "", STR_ARG(it->key),
                   STR_ARG(val_text(it)));
    }
    VAL_EACH (it, val_get(selector, "matchExpressions")) {
        struct str key = val_text(val_get(it, "key")), op = val_text(val_get(it, "operator"));
        buf_addz(&out, out.n > 0 ? "," : "");
        if (str_is(op, "Exists") || str_is(op, "DoesNotExist")) {
            buf_printf(&out, "%s%.*s", str_is(op, "Exists") ? "" : "!", STR_ARG(key));
            continue;
        }
        buf_printf(&out, "%.*s %s (", STR_ARG(key), str_is(op, "In") ? "in" : "notin");
        VAL_EACH (value, val_get(it, "values")) {
            buf_printf(&out, "%s%.*s", value == val_get(it, "values")->child ? "" : ",",
                       STR_ARG(val_text(value)));
        }
        buf_char(&out, ')');
    }
    return str_copy_in(arena, buf_view(&out));
}

/* Where the numbers are: a custom kind says so itself. */
static const struct str spec_path[] = {{"spec", 4}, {"replicas", 8}, {NULL, 0}};
static const struct str status_path[] = {{"status", 6}, {"replicas", 8}, {NULL, 0}};

static struct str selector_of(struct arena *arena, const struct api_resource *resource,
                              const struct val *object)
{
    if (resource->custom == NULL) {
        return selector_text(arena, val_path(object, "spec.selector"));
    }
    const struct str *path = resource->custom->label_selector;
    return path != NULL ? val_text(custom_path(object, path)) : STR_NONE;
}

static struct val *scale_of(struct arena *arena, const struct api_resource *resource,
                            const struct val *object, uint64_t revision)
{
    const struct custom *custom = resource->custom;
    const struct val *wanted =
        custom_path(object, custom != NULL ? custom->spec_replicas : spec_path);
    const struct val *there =
        custom_path(object, custom != NULL ? custom->status_replicas : status_path);
    static const char *const kept[] = {"name", "namespace", "uid", "creationTimestamp"};
    struct val *scale = val_new(arena, VAL_OBJECT);
    val_set_text(arena, scale, STR("kind"), STR("Scale"));
    val_set_text(arena, scale, STR("apiVersion"), STR("autoscaling/v1"));
    struct val *meta = val_set(scale, STR("metadata"), val_new(arena, VAL_OBJECT));
    const struct val *from = val_get(object, "metadata");
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        struct str text = val_text(val_get_str(from, str_of(kept[i])));
        if (text.n > 0) {
            val_set_text(arena, meta, str_of(kept[i]), text);
        }
    }
    val_set_text(arena, meta, STR("resourceVersion"),
                 str_of(arena_printf(arena, "%llu", (unsigned long long)revision)));
    struct val *spec = val_set(scale, STR("spec"), val_new(arena, VAL_OBJECT));
    struct val *status = val_set(scale, STR("status"), val_new(arena, VAL_OBJECT));
    val_set_int(arena, spec, STR("replicas"), val_int(wanted, 0));
    val_set_int(arena, status, STR("replicas"), val_int(there, 0));
    struct str selector = selector_of(arena, resource, object);
    if (selector.n > 0) {
        val_set_text(arena, status, STR("selector"), selector);
    }
    return scale;
}

static void answer(struct request *request, struct object *object)
{
    const struct val *value = version_decode(&request->arena, request->route.resource, object);
    struct buf out = BUF_INIT;
    codec_write(scale_type(),
                scale_of(&request->arena, request->route.resource, value, object->revision), &out);
    object_unref(object);
    request_answer_bytes(request, 200, "application/json", &out);
    buf_done(&out);
}

static int patched(struct scaling *scaling, const struct val *now, struct val **ret,
                   struct failure *failure)
{
    struct arena *arena = &scaling->change.arena;
    struct err err = ERR_INIT;
    int code;
    if (scaling->request->body_format == BODY_JSON_PATCH) {
        code = patch_json(arena, now, scaling->body, ret, &err);
    } else if (scaling->request->body_format == BODY_MERGE_PATCH) {
        code = patch_merge(arena, now, scaling->body, ret, &err);
    } else {
        code = patch_strategic(arena, scale_type(), now, scaling->body, ret, &err);
    }
    if (code == 0) {
        code = codec_apply_schema(arena, scale_type(), *ret, scaling->request->options.strictness,
                                  &scaling->request->warnings, &err);
    }
    return code < 0 ? failure_from_err(failure, arena, &err) : 0;
}

static int invalid(struct scaling *scaling, int64_t replicas, struct failure *failure)
{
    struct field_errors errors = {.arena = &scaling->change.arena};
    field_error_add(&errors, "FieldValueInvalid", STR("spec.replicas"),
                    "Invalid value: %lld: must be greater than or equal to 0", (long long)replicas);
    return failure_invalid(failure, &scaling->change.arena, STR("autoscaling"), STR("Scale"),
                           scaling->change.name, &errors);
}

static int plan(struct change *change, struct object *current, struct plan *ret_plan,
                struct failure *failure)
{
    struct scaling *scaling = change->ctx;
    struct arena *arena = &change->arena;
    if (current == NULL) {
        return failure_not_found(failure, arena, change->resource, change->name);
    }
    struct val *old = pipeline_decode(change, current);
    struct val *scale = scaling->body;
    if (scaling->request->route.verb == VERB_PATCH) {
        int code = patched(scaling, scale_of(arena, change->resource, old, current->revision),
                           &scale, failure);
        if (code < 0) {
            return code;
        }
    }
    int64_t replicas = val_int(val_path(scale, "spec.replicas"), 0);
    if (replicas < 0 || replicas > INT32_MAX) {
        return invalid(scaling, replicas, failure);
    }
    struct val *next = val_copy(arena, old);
    struct val *meta = val_make_object(arena, next, STR("metadata"));
    struct str version = val_text(val_path(scale, "metadata.resourceVersion"));
    val_set_text(arena, meta, STR("resourceVersion"), version);
    if (version.n == 0) {
        val_unset(meta, STR("resourceVersion"));
    }
    const struct custom *custom = change->resource->custom;
    if (!custom_path_set(arena, next, custom != NULL ? custom->spec_replicas : spec_path,
                         val_new_int(arena, replicas))) {
        return failure_set(failure, arena, ERR_INTERNAL,
                           "the path of the replicas leads through something else");
    }
    return pipeline_update(scaling->request, change, next, old, current, ret_plan, failure);
}

static void done(struct change *change)
{
    struct scaling *scaling = change->ctx;
    struct request *request = scaling->request;
    if (change->failure.code != 0) {
        change_fail(change, request);
        return;
    }
    struct object *object = change->result;
    change->result = NULL;
    change_done(change);
    answer(request, object);
}

static void get(struct request *request)
{
    struct failure failure;
    struct object *object = cache_get(request->server->cache, request->route.resource->storage,
                                      request->route.ns, request->route.name);
    if (object == NULL) {
        failure_not_found(&failure, &request->arena, request->route.resource, request->route.name);
        request_fail(request, &failure);
        return;
    }
    answer(request, object);
}

void subresource_scale(struct request *request)
{
    struct failure failure;
    if (request->route.verb == VERB_GET) {
        get(request);
        return;
    }
    struct scaling *scaling = arena_new(&request->arena, struct scaling);
    scaling->request = request;
    int code = request->route.verb == VERB_PATCH
                   ? patch_body(request, &scaling->body, &failure)
                   : request_decode_kind(request, scale_type(), "autoscaling", "v1", "Scale",
                                         &scaling->body, &failure);
    if (code < 0) {
        request_fail(request, &failure);
        return;
    }
    scaling->change = (struct change){.server = request->server,
                                      .loop = request->loop,
                                      .resource = request->route.resource,
                                      .ns = request->route.ns,
                                      .name = request->route.name,
                                      .dry_run = request->options.dry_run,
                                      .plan = plan,
                                      .done = done,
                                      .ctx = scaling};
    change_start(&scaling->change);
}

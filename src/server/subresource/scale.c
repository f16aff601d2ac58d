/* scale.c: the scale subresource: spec.replicas and the selector of whatever has replicas, as one
 * small kind (autoscaling/v1 Scale). */
#include "api/managed/scale.h"
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

static const struct str *replicas_path(const struct api_resource *resource)
{
    return resource->custom != NULL ? resource->custom->spec_replicas : spec_path;
}

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
    const struct val *wanted = custom_path(object, replicas_path(resource));
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

/* The field manager of a Scale: its own type and version, nothing reset. */
static struct fields_writer writer_of(struct scaling *scaling)
{
    struct fields_writer writer = pipeline_writer(scaling->request, &scaling->change);
    writer.type = scale_type();
    writer.api_version = STR("autoscaling/v1");
    writer.reset = NULL;
    writer.convert = NULL;
    return writer;
}

static int applied(struct scaling *scaling, struct val *now, struct val **ret,
                   struct failure *failure)
{
    struct arena *arena = &scaling->change.arena;
    struct fields_writer writer = writer_of(scaling);
    struct apply apply = {.writer = &writer,
                          .kind = "Scale",
                          .live = now,
                          .config = scaling->body,
                          .force = scaling->request->options.force};
    struct apply_result result;
    struct apply_refusal refusal;
    struct err err = ERR_INIT;
    if (fields_apply(arena, &apply, &result, &refusal) < 0) {
        return apply_failure(arena, &refusal, failure);
    }
    if (!result.unchanged &&
        codec_apply_schema(arena, scale_type(), result.object, CODEC_IGNORE, NULL, &err) < 0) {
        failure_set(failure, arena, ERR_INTERNAL, "%s", err.message);
        failure->unreasoned = true;
        return failure->code;
    }
    *ret = result.object;
    return 0;
}

/* The Scale as it shall be, with its managers. */
static int next_scale(struct scaling *scaling, struct val *now, struct val **ret,
                      struct failure *failure)
{
    struct arena *arena = &scaling->change.arena;
    struct fields_writer writer = writer_of(scaling);
    struct val *scale = scaling->body;
    int code = 0;
    if (scaling->request->route.verb == VERB_PATCH &&
        scaling->request->body_format == BODY_APPLY_PATCH) {
        return applied(scaling, now, ret, failure);
    }
    if (scaling->request->route.verb == VERB_PATCH) {
        code = patched(scaling, now, &scale, failure);
    } else {
        scale = val_copy(arena, scale);
    }
    if (code == 0) {
        fields_track_update(arena, &writer, now, scale);
        *ret = scale;
    }
    return code;
}

/* What is scaled, with the replicas and the managers of its Scale; NULL with a failure. */
static struct val *put_back(struct scaling *scaling, const struct val *old, const struct val *scale,
                            struct failure *failure)
{
    struct change *change = &scaling->change;
    struct arena *arena = &change->arena;
    struct val *next = val_copy(arena, old);
    struct val *meta = val_make_object(arena, next, STR("metadata"));
    struct str version = val_text(val_path(scale, "metadata.resourceVersion"));
    if (version.n > 0) {
        val_set_text(arena, meta, STR("resourceVersion"), version);
    } else if (change->resource->custom == NULL) {
        val_unset(meta, STR("resourceVersion"));
    } /* custom kinds must name one, but here: the one that was read stays */
    const struct str *path = replicas_path(change->resource);
    struct val *replicas = val_new_int(arena, val_int(val_path(scale, "spec.replicas"), 0));
    if (!custom_path_set(arena, next, path, replicas)) {
        failure_set(failure, arena, ERR_INTERNAL,
                    "the path of the replicas leads through something else");
        return NULL;
    }
    struct val *list = scale_managers_back(
        arena, val_path(old, "metadata.managedFields"), val_path(scale, "metadata.managedFields"),
        path, api_version_text(arena, change->resource->group, change->resource->version));
    if (list != NULL) {
        val_set(meta, STR("managedFields"), list);
    } else {
        val_unset(meta, STR("managedFields"));
    }
    return next;
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
    const struct val *managers = val_path(old, "metadata.managedFields");
    struct val *now = scale_of(arena, change->resource, old, current->revision);
    struct val *list = scale_managers(arena, managers, replicas_path(change->resource));
    if (list != NULL) {
        val_set(val_get(now, "metadata"), STR("managedFields"), list);
    }
    struct val *scale = NULL;
    int code = next_scale(scaling, now, &scale, failure);
    if (code < 0) {
        return code;
    }
    int64_t replicas = val_int(val_path(scale, "spec.replicas"), 0);
    if (change->resource->custom == NULL && (replicas < 0 || replicas > INT32_MAX)) {
        return invalid(scaling, replicas, failure);
    }
    if (!str_eq(val_uid(scale), val_uid(now)) && val_uid(scale).n > 0) {
        return failure_conflict(failure, arena, change->resource, change->name,
                                "Precondition failed: UID in precondition: %.*s, UID in object "
                                "meta: %.*s",
                                STR_ARG(val_uid(scale)), STR_ARG(val_uid(now)));
    }
    struct val *next = put_back(scaling, old, scale, failure);
    if (next == NULL) {
        return failure->code;
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
    bool patches = request->route.verb == VERB_PATCH;
    int code = patches && request->body_format == BODY_APPLY_PATCH
                   ? apply_body(request, &scaling->body, &failure)
               : patches ? patch_body(request, &scaling->body, &failure)
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
                                      .tracked = true,
                                      .plan = plan,
                                      .done = done,
                                      .ctx = scaling};
    change_start(&scaling->change);
}

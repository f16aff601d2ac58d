/* apply.c: PATCH with application/apply-patch+yaml: server-side apply of an object or its status;
 * an object that is missing is created. The rules are in api/managed; here is what a request adds:
 * the body, authorization to create, and the way of a write.
 *
 * An apply that changes nothing (object, managers, their fields) is answered with what is stored,
 * before defaults and admission: they have nothing new to judge.
 */
#include "server/authz/authz.h"
#include "server/server_int.h"
#include "server/verb/repeats.h"
#include "server/verb/verb.h"
#include "server/write/pipeline.h"

struct applying {
    struct change change;
    struct request *request;
    struct val *config;
    bool created;
};

int apply_failure(struct arena *arena, const struct apply_refusal *refusal, struct failure *failure)
{
    struct failure_cause *causes = arena_array(arena, struct failure_cause, refusal->cause_count);
    for (size_t i = 0; i < refusal->cause_count; i++) {
        causes[i] = (struct failure_cause){STR("FieldManagerConflict"), refusal->causes[i].message,
                                           refusal->causes[i].field};
    }
    *failure = (struct failure){.code = refusal->code,
                                .message = refusal->message,
                                .unreasoned = refusal->code == ERR_INTERNAL,
                                .causes = causes,
                                .cause_count = refusal->cause_count};
    return failure->code;
}

static int check_name(struct applying *applying, const struct val *next, bool creates,
                      struct failure *failure)
{
    struct change *change = &applying->change;
    struct arena *arena = &change->arena;
    struct str name = val_name(next), uid = val_uid(next);
    if (creates && uid.n > 0) {
        return failure_conflict(failure, arena, change->resource, change->name,
                                "uid mismatch: the provided object specified uid %.*s, and no "
                                "existing object was found",
                                STR_ARG(uid));
    }
    if (name.n == 0) {
        return failure_set(failure, arena, ERR_BAD_REQUEST,
                           "the name of the object (%.*s based on URL) was undeterminable: name "
                           "must be provided",
                           STR_ARG(change->name));
    }
    if (!str_eq(name, change->name)) {
        return failure_set(failure, arena, ERR_BAD_REQUEST,
                           "the name of the object (%.*s) does not match the name on the URL "
                           "(%.*s)",
                           STR_ARG(name), STR_ARG(change->name));
    }
    return 0;
}

/* The merged object as one of its kind. */
static int type(struct applying *applying, struct val *next, struct failure *failure)
{
    struct change *change = &applying->change;
    struct err err = ERR_INIT;
    if (codec_apply_schema(&change->arena, change->resource->type, next, CODEC_IGNORE, NULL,
                           &err) == 0) {
        return 0;
    }
    failure_set(failure, &change->arena, ERR_INTERNAL,
                "failed to convert new object (%.*s/%.*s) to proper version: %s",
                STR_ARG(val_namespace(next)), STR_ARG(change->name), err.message);
    failure->unreasoned = true;
    return failure->code;
}

static int plan(struct change *change, struct object *current, struct plan *ret_plan,
                struct failure *failure)
{
    struct applying *applying = change->ctx;
    struct request *request = applying->request;
    bool creates = current == NULL;
    if (creates && request->route.subresource != NULL) {
        return failure_not_found(failure, &change->arena, change->resource, change->name);
    }
    struct val *live = pipeline_decode(change, current);
    struct fields_writer writer = pipeline_writer(request, change);
    struct apply apply = {.writer = &writer,
                          .kind = change->resource->kind,
                          .live = live,
                          .config = applying->config,
                          .force = request->options.force};
    struct apply_result result;
    struct apply_refusal refusal;
    if (fields_apply(&change->arena, &apply, &result, &refusal) < 0) {
        return apply_failure(&change->arena, &refusal, failure);
    }
    applying->created = creates;
    if (result.unchanged) {
        if (request->body_value == NULL && request->warnings.count == 0) {
            repeats_add(request->server->repeats, repeats_digest(request, current));
        }
        *ret_plan = (struct plan){PLAN_NOTHING, NULL};
        return 0;
    }
    if (creates) {
        val_unset(val_get(result.object, "metadata"), STR("resourceVersion"));
    }
    int code = check_name(applying, result.object, creates, failure);
    if (code == 0) {
        code = type(applying, result.object, failure);
    }
    if (code == 0 && creates) {
        code = authz_check_verb(request, VERB_CREATE, failure);
    }
    if (code < 0) {
        return code;
    }
    return creates
               ? pipeline_create(request, change, result.object, ret_plan, failure)
               : pipeline_update(request, change, result.object, live, current, ret_plan, failure);
}

static void again(struct timer *timer)
{
    verb_apply(container_of(timer, struct request, timer));
}

static void done(struct change *change)
{
    struct applying *applying = change->ctx;
    struct request *request = applying->request;
    if (change_asked_again(change, request, again)) {
        return;
    }
    change_answer(change, request, applying->created ? 201 : 200);
}

/* A name that comes twice: the last one holds, as fieldValidation says it. */
static int check_twins(struct request *request, const struct val_twins *twins,
                       struct failure *failure)
{
    if (twins->count == 0 || request->options.strictness == CODEC_IGNORE) {
        return 0;
    }
    if (request->options.strictness == CODEC_STRICT) {
        return failure_set(failure, &request->arena, ERR_BAD_REQUEST,
                           "error strict decoding patch: key \"%.*s\" already set in map",
                           STR_ARG(twins->name));
    }
    request_warn(request, "key \"%.*s\" already set in map", STR_ARG(twins->name));
    return 0;
}

static int parse(struct request *request, struct val **ret_config, struct failure *failure)
{
    struct err err = ERR_INIT;
    struct val_twins twins = {0};
    struct str text = str_trim(request->body);
    bool json = text.n > 0 && text.p[0] == '{';
    if (!json || val_parse_json_loose(&request->arena, text, &twins, ret_config, NULL) < 0) {
        twins = (struct val_twins){0};
        if (val_parse_yaml_loose(&request->arena, request->body, &twins, ret_config, &err) < 0) {
            return failure_set(failure, &request->arena, ERR_BAD_REQUEST,
                               "error decoding patch: %s", err.message);
        }
    }
    return check_twins(request, &twins, failure);
}

int apply_body(struct request *request, struct val **ret_config, struct failure *failure)
{
    if (request->options.field_manager.n == 0) {
        return patch_option_invalid(request, "FieldValueRequired", "fieldManager",
                                    "Required value: is required for apply patch", failure);
    }
    if (request->body_value != NULL) {
        *ret_config = request->body_value;
        return 0;
    }
    if (str_trim(request->body).n == 0) {
        *ret_config = val_new(&request->arena, VAL_OBJECT);
        return 0;
    }
    return parse(request, ret_config, failure);
}

/* Whether it is an apply that changed nothing before, of an object that did not change since. */
static bool answer_repeat(struct request *request)
{
    const struct route *route = &request->route;
    struct object *object = NULL;
    if (request->body_value == NULL && request->options.field_manager.n > 0) {
        object =
            cache_get(request->server->cache, route->resource->storage, route->ns, route->name);
    }
    if (object == NULL || !repeats_has(request->server->repeats, repeats_digest(request, object))) {
        object_unref(object);
        return false;
    }
    request_answer_object(request, 200, object);
    return true;
}

void verb_apply(struct request *request)
{
    struct failure failure;
    if (answer_repeat(request)) {
        return;
    }
    struct applying *applying = arena_new(&request->arena, struct applying);
    applying->request = request;
    if (apply_body(request, &applying->config, &failure) < 0) {
        request_fail(request, &failure);
        return;
    }
    applying->change = (struct change){
        .server = request->server,
        .loop = request->loop,
        .resource = request->route.resource,
        .ns = request->route.ns,
        .name = request->route.name,
        .dry_run = request->options.dry_run,
        .tracked = true,
        .plan = plan,
        .done = done,
        .ctx = applying,
    };
    change_start(&applying->change);
}

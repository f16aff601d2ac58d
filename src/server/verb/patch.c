/* patch.c: PATCH: JSON patch, merge patch, strategic merge patch, of an object or its status. The
 * patch is applied to the newest state, again after a conflict, unless it names a resourceVersion.
 * Server-side apply is in apply.c. */
#include "api/patch.h"
#include "server/server_int.h"
#include "server/verb/verb.h"
#include "server/write/pipeline.h"

struct patching {
    struct change change;
    struct request *request;
    struct val *patch;
};

static int apply(struct patching *patching, struct val *old, struct val **ret_next,
                 struct failure *failure)
{
    struct change *change = &patching->change;
    struct request *request = patching->request;
    struct arena *arena = &change->arena;
    struct err err = ERR_INIT;
    int code = 0;
    switch (request->body_format) {
    case BODY_JSON_PATCH:
        code = patch_json(arena, old, patching->patch, ret_next, &err);
        break;
    case BODY_MERGE_PATCH:
        code = patch_merge(arena, old, patching->patch, ret_next, &err);
        break;
    default:
        code = patch_strategic(arena, change->resource->type, old, patching->patch, ret_next, &err);
        break;
    }
    if (code == 0 && !val_is(*ret_next, VAL_OBJECT)) {
        return failure_set(failure, arena, ERR_BAD_REQUEST, "the patched document is no object");
    }
    if (code == 0) {
        code = codec_apply_schema(arena, change->resource->type, *ret_next,
                                  request->options.strictness, &request->warnings, &err);
    }
    if (code < 0) {
        failure_from_err(failure, arena, &err);
        failure->detailed = code == ERR_INVALID;
    }
    return code;
}

/* A JSON or merge patch makes a document that is read anew: one of another kind is none of ours. */
static int check_kind(struct change *change, const struct val *next, struct failure *failure)
{
    const struct api_resource *resource = change->resource;
    struct arena *arena = &change->arena;
    struct str version = api_version_text(arena, resource->group, resource->version);
    if (str_is(val_text(val_get(next, "kind")), resource->kind) &&
        str_eq(val_text(val_get(next, "apiVersion")), version)) {
        return 0;
    }
    struct field_errors errors = {.arena = arena};
    field_error_add(&errors, "FieldValueInvalid", STR("patch"),
                    "Invalid value: the patched document is no %s of %.*s", resource->kind,
                    STR_ARG(version));
    return failure_invalid(failure, arena, STR(""), STR(""), STR(""), &errors);
}

static int check_identity(struct patching *patching, const struct val *next,
                          struct failure *failure)
{
    struct change *change = &patching->change;
    struct str name = val_name(next);
    if (patching->request->body_format != BODY_STRATEGIC_PATCH) {
        int code = check_kind(change, next, failure);
        if (code < 0) {
            return code;
        }
    }
    if (!str_eq(name, change->name)) {
        return failure_set(failure, &change->arena, ERR_BAD_REQUEST,
                           "the name of the object (%.*s) does not match the name on the URL "
                           "(%.*s)",
                           STR_ARG(name), STR_ARG(change->name));
    }
    return 0;
}

static int plan(struct change *change, struct object *current, struct plan *ret_plan,
                struct failure *failure)
{
    struct patching *patching = change->ctx;
    if (current == NULL) {
        return failure_not_found(failure, &change->arena, change->resource, change->name);
    }
    struct val *old = pipeline_decode(change, current);
    struct val *next = NULL;
    int code = apply(patching, val_copy(&change->arena, old), &next, failure);
    if (code == 0) {
        code = check_identity(patching, next, failure);
    }
    if (code < 0) {
        return code;
    }
    val_set_text(&change->arena, next, STR("kind"), str_of(change->resource->kind));
    val_set_text(
        &change->arena, next, STR("apiVersion"),
        api_version_text(&change->arena, change->resource->group, change->resource->version));
    return pipeline_update(patching->request, change, next, old, current, ret_plan, failure);
}

static void done(struct change *change)
{
    struct patching *patching = change->ctx;
    change_answer(change, patching->request, 200);
}

int patch_option_invalid(struct request *request, const char *type, const char *field,
                         const char *detail, struct failure *failure)
{
    struct field_errors errors = {.arena = &request->arena};
    field_error_add(&errors, type, str_of(field), "%s", detail);
    return failure_invalid(failure, &request->arena, STR("meta.k8s.io"), STR("PatchOptions"),
                           STR(""), &errors);
}

int patch_body(struct request *request, struct val **ret_patch, struct failure *failure)
{
    struct err err = ERR_INIT;
    if (request->body_format < BODY_JSON_PATCH || request->body_format > BODY_STRATEGIC_PATCH) {
        failure_set(failure, &request->arena, ERR_MEDIA_TYPE,
                    "the body of the request was in an unknown format - accepted media "
                    "types include: application/json-patch+json, "
                    "application/merge-patch+json, "
                    "application/strategic-merge-patch+json, "
                    "application/apply-patch+yaml");
        failure->detailed = true;
        return failure->code;
    }
    if (query_get(&request->options, "force").p != NULL) {
        return patch_option_invalid(request, "FieldValueForbidden", "force",
                                    "Forbidden: may not be specified for non-apply patch", failure);
    }
    if (request->body_value != NULL) {
        *ret_patch = request->body_value;
        return 0;
    }
    if (val_parse_json(&request->arena, request->body, ret_patch, &err) < 0) {
        err.code = ERR_BAD_REQUEST;
        return failure_from_err(failure, &request->arena, &err);
    }
    return 0;
}

void verb_patch(struct request *request)
{
    struct failure failure;
    if (request->body_format == BODY_APPLY_PATCH) {
        verb_apply(request);
        return;
    }
    struct patching *patching = arena_new(&request->arena, struct patching);
    patching->request = request;
    if (request->body_format == BODY_STRATEGIC_PATCH && request->route.resource->custom != NULL) {
        failure_set(&failure, &request->arena, ERR_MEDIA_TYPE,
                    "the body of the request was in an unknown format - accepted media types "
                    "include: application/json-patch+json, application/merge-patch+json, "
                    "application/apply-patch+yaml");
        failure.detailed = true;
        request_fail(request, &failure);
        return;
    }
    if (patch_body(request, &patching->patch, &failure) < 0) {
        request_fail(request, &failure);
        return;
    }
    patching->change = (struct change){
        .server = request->server,
        .loop = request->loop,
        .resource = request->route.resource,
        .ns = request->route.ns,
        .name = request->route.name,
        .dry_run = request->options.dry_run,
        .plan = plan,
        .done = done,
        .ctx = patching,
    };
    change_start(&patching->change);
}

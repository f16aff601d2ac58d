/* update.c: PUT of an object, or of its status (and other subresources whose body is the whole
 * object: the strategy puts back what the subresource may not change). */
#include "server/authz/authz.h"
#include "server/server_int.h"
#include "server/verb/verb.h"
#include "server/write/pipeline.h"

struct update {
    struct change change;
    struct request *request;
    struct val *body;
    bool created;
};

static int plan_missing(struct update *update, struct plan *ret_plan, struct failure *failure)
{
    struct change *change = &update->change;
    struct request *request = update->request;
    struct str version = val_text(val_path(update->body, "metadata.resourceVersion"));
    if (!change->resource->ops->create_on_update || request->route.subresource != NULL ||
        version.n > 0) {
        return failure_not_found(failure, &change->arena, change->resource, change->name);
    }
    if (authz_check_verb(request, VERB_CREATE, failure) < 0) {
        return failure->code;
    }
    update->created = true;
    return pipeline_create(request, change, val_copy(&change->arena, update->body), ret_plan,
                           failure);
}

static int plan(struct change *change, struct object *current, struct plan *ret_plan,
                struct failure *failure)
{
    struct update *update = change->ctx;
    if (current == NULL) {
        return plan_missing(update, ret_plan, failure);
    }
    update->created = false;
    struct val *old = pipeline_decode(change, current);
    struct val *next = val_copy(&change->arena, update->body);
    return pipeline_update(update->request, change, next, old, current, ret_plan, failure);
}

static void done(struct change *change)
{
    struct update *update = change->ctx;
    change_answer(change, update->request, update->created ? 201 : 200);
}

static int check_name(struct request *request, struct val *body, struct failure *failure)
{
    struct str name = val_name(body);
    if (name.n == 0) {
        return failure_set(failure, &request->arena, ERR_BAD_REQUEST, "name must be provided");
    }
    if (!str_eq(name, request->route.name)) {
        return failure_set(failure, &request->arena, ERR_BAD_REQUEST,
                           "the name of the object (%.*s) does not match the name on the URL "
                           "(%.*s)",
                           STR_ARG(name), STR_ARG(request->route.name));
    }
    return 0;
}

void verb_update(struct request *request)
{
    const struct api_resource *resource = request->route.resource;
    struct failure failure;
    struct update *update = arena_new(&request->arena, struct update);
    update->request = request;
    if (request_decode_kind(request, resource->type, resource->group, resource->version,
                            resource->kind, &update->body, &failure) < 0 ||
        check_name(request, update->body, &failure) < 0) {
        request_fail(request, &failure);
        return;
    }
    update->change = (struct change){
        .server = request->server,
        .loop = request->loop,
        .resource = resource,
        .ns = request->route.ns,
        .name = request->route.name,
        .dry_run = request->options.dry_run,
        .plan = plan,
        .done = done,
        .ctx = update,
    };
    change_start(&update->change);
}

/* create.c: POST of an object to its collection. A generated name that is taken is made anew, a few
 * times; admission that must wait for another object is asked again after a while. */
#include "server/server_int.h"
#include "server/verb/verb.h"
#include "server/write/pipeline.h"

enum { GENERATE_TRIES = 8 };

struct creation {
    struct change change;
    struct request *request;
    struct val *body; /* as decoded */
    bool generated;   /* the name is ours to choose */
};

static int plan(struct change *change, struct object *current, struct plan *ret_plan,
                struct failure *failure)
{
    struct creation *creation = change->ctx;
    struct val *object = val_copy(&change->arena, creation->body);
    return pipeline_create(creation->request, change, object, ret_plan, failure);
}

static bool retry_exists(struct change *change)
{
    struct creation *creation = change->ctx;
    return creation->generated && change->tries < GENERATE_TRIES;
}

static void again(struct timer *timer)
{
    struct request *request = container_of(timer, struct request, timer);
    verb_create(request);
}

static void done(struct change *change)
{
    struct creation *creation = change->ctx;
    struct request *request = creation->request;
    if (change_asked_again(change, request, again)) {
        return;
    }
    if (change->failure.code == ERR_EXISTS && creation->generated) {
        change->failure.retry_after_s = 1;
    }
    change_answer(change, request, 201);
}

void verb_create(struct request *request)
{
    const struct api_resource *resource = request->route.resource;
    struct failure failure;
    struct creation *creation = arena_new(&request->arena, struct creation);
    creation->request = request;
    if (resource->namespaced && request->route.ns.n == 0) {
        failure_set(&failure, &request->arena, ERR_BAD_REQUEST,
                    "an object of a namespaced kind is created in a namespace");
        request_fail(request, &failure);
        return;
    }
    if (request_decode_kind(request, resource->type, resource->group, resource->version,
                            resource->kind, &creation->body, &failure) < 0) {
        request_fail(request, &failure);
        return;
    }
    const struct val *meta = val_get(creation->body, "metadata");
    creation->generated =
        val_text(val_get(meta, "name")).n == 0 && val_text(val_get(meta, "generateName")).n > 0;
    creation->change = (struct change){
        .server = request->server,
        .loop = request->loop,
        .resource = resource,
        .ns = resource->namespaced ? request->route.ns : STR_NONE,
        .create = true,
        .dry_run = request->options.dry_run,
        .plan = plan,
        .retry_exists = retry_exists,
        .done = done,
        .ctx = creation,
    };
    change_start(&creation->change);
}

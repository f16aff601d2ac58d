/* delete.c: DELETE of one object, and of a collection.
 *
 * A collection is deleted object by object, WINDOW at a time; an object that vanished meanwhile is
 * no error. With a limit only the first page goes. The answer lists what was there.
 */
#include "base/failpoint.h"
#include "server/server_int.h"
#include "server/verb/list_walk.h"
#include "server/verb/verb.h"
#include "server/write/deletion.h"

enum { WINDOW = 64 };

static void done(struct change *change)
{
    struct deletion *deletion = container_of(change, struct deletion, change);
    struct request *request = deletion->request;
    const struct api_resource *resource = change->resource;
    if (change->failure.code != 0 || deletion->marked || resource->ops->returns_deleted) {
        change_answer(change, request, 200);
        return;
    }
    struct object *object = change->result;
    change->result = NULL;
    struct str name = str_copy_in(&request->arena, change->name);
    change_done(change);
    request_answer_success(request, resource, name, object->uid);
    object_unref(object);
}

void verb_delete(struct request *request)
{
    struct failure failure;
    struct deletion *deletion = arena_new(&request->arena, struct deletion);
    if (deletion_options(request, deletion, &failure) < 0) {
        request_fail(request, &failure);
        return;
    }
    struct change *change = &deletion->change;
    change->server = request->server;
    change->loop = request->loop;
    change->resource = request->route.resource;
    change->ns = request->route.ns;
    change->name = request->route.name;
    change->plan = deletion_plan;
    change->done = done;
    change_start(change);
}

/* ---- collections ---- */

struct collection {
    struct request *request;
    struct deletion model; /* the options */
    struct listing *listing;
    struct list_walk walk;
    int64_t left; /* members that may follow; -1: no limit */
    size_t in_flight;
    bool at_end, stepping;
    struct failure failure; /* the first one; texts in the request's arena */
};

struct member {
    struct deletion deletion;
    struct collection *collection;
};

static void step(struct collection *collection);

static void keep_failure(struct collection *collection, const struct failure *failure)
{
    struct arena *arena = &collection->request->arena;
    collection->failure = *failure;
    collection->failure.message = str_copy_in(arena, failure->message);
    collection->failure.cause_count = 0;
}

static void member_done(struct change *change)
{
    struct deletion *deletion = container_of(change, struct deletion, change);
    struct member *member = container_of(deletion, struct member, deletion);
    struct collection *collection = member->collection;
    enum err_code code = change->failure.code;
    if (code != 0 && code != ERR_NOT_FOUND && collection->failure.code == 0) {
        keep_failure(collection, &change->failure);
    }
    change_done(change);
    free(member);
    collection->in_flight--;
    step(collection);
}

static void start_member(struct collection *collection, const struct object *object)
{
    struct request *request = collection->request;
    struct member *member = mem_new(struct member);
    member->collection = collection;
    member->deletion = collection->model;
    struct change *change = &member->deletion.change;
    change->server = request->server;
    change->loop = request->loop;
    change->resource = request->route.resource;
    change->ns = object->ns; /* lives in the snapshot, which outlives the member */
    change->name = object->name;
    change->plan = deletion_plan;
    change->done = member_done;
    collection->in_flight++;
    FAILPOINT("server.delete-collection");
    change_start(change);
}

static void finish(struct collection *collection)
{
    struct request *request = collection->request;
    if (collection->failure.code != 0) {
        struct listing *listing = collection->listing;
        struct failure failure = collection->failure;
        request_fail(request, &failure);
        listing_free(listing);
        return;
    }
    listing_answer(collection->listing);
}

static void step(struct collection *collection)
{
    if (collection->stepping) {
        return; /* a member that was done at once; the loop below goes on */
    }
    collection->stepping = true;
    while (!collection->at_end && collection->in_flight < WINDOW) {
        const struct object *object = collection->failure.code == 0 && collection->left != 0
                                          ? list_walk_next(&collection->walk)
                                          : NULL;
        if (object == NULL) {
            collection->at_end = true;
            break;
        }
        collection->left -= collection->left > 0;
        start_member(collection, object);
    }
    collection->stepping = false;
    if (collection->at_end && collection->in_flight == 0) {
        finish(collection);
    }
}

static void ready(struct listing *listing, const struct failure *failure)
{
    if (failure != NULL) {
        request_fail(listing->request, failure);
        listing_free(listing);
        return;
    }
    struct collection *collection = listing->ctx;
    list_walk_init(&collection->walk, listing);
    collection->left = listing->limit > 0 ? listing->limit : -1;
    step(collection);
}

void verb_delete_collection(struct request *request)
{
    struct failure failure;
    struct collection *collection = arena_new(&request->arena, struct collection);
    collection->request = request;
    if (deletion_options(request, &collection->model, &failure) < 0) {
        request_fail(request, &failure);
        return;
    }
    listing_open(request, ready, collection, &collection->listing);
}

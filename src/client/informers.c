/* The informers of a loop, and writes whose answers they show (client/informer.h).
 *
 * Invariants: at most one informer a (resource, namespace, selectors); `writes` holds what is in
 * flight; an answer is in every informer of its resource before the writer hears of
 * it. A write outlives the set (its answer is then only handed on).
 *
 * What an answer to a delete means: an object that is being deleted was only marked (finalizers,
 * grace); anything else, a Status or a last state, says that it is gone.
 */
#include <stdlib.h>

#include "base/failpoint.h"
#include "base/mem.h"
#include "client/informer_int.h"

struct write {
    struct list link;
    struct informers *set; /* NULL: it was freed */
    const struct api_resource *resource;
    enum client_verb verb;
    char *ns, *name, *uid; /* uid: what the informer showed when a delete was sent */
    client_done_fn *done;
    void *ctx;
};

struct waiter {
    struct list link;
    void (*fn)(void *ctx);
    void *ctx;
};

struct informers *informers_new(struct client *client)
{
    struct informers *set = mem_new(struct informers);
    set->client = client;
    list_init(&set->writes);
    list_init(&set->waiters);
    return set;
}

void informers_free(struct informers *set)
{
    if (set == NULL) {
        return;
    }
    timer_stop(&set->wake);
    VEC_EACH (it, &set->all) {
        informer_free(*it);
    }
    vec_done(&set->all);
    struct list *link;
    while ((link = list_pop(&set->waiters)) != NULL) {
        free(container_of(link, struct waiter, link));
    }
    while ((link = list_pop(&set->writes)) != NULL) {
        container_of(link, struct write, link)->set = NULL;
    }
    free(set);
}

struct informer *informers_get_filtered(struct informers *set,
                                        const struct client_watch_options *options)
{
    VEC_EACH (it, &set->all) {
        if (informer_is(*it, options)) {
            return *it;
        }
    }
    struct informer *informer = informer_new(set, options);
    *vec_push(&set->all) = informer;
    return informer;
}

struct informer *informers_get(struct informers *set, const struct api_resource *resource)
{
    return informers_get_filtered(set, &(struct client_watch_options){.resource = resource});
}

bool informers_synced(const struct informers *set)
{
    for (size_t i = 0; i < set->all.count; i++) {
        if (!informer_synced(set->all.items[i])) {
            return false;
        }
    }
    return true;
}

static void wake(struct timer *timer)
{
    struct informers *set = container_of(timer, struct informers, wake);
    struct list *link;
    while (informers_synced(set) && (link = list_pop(&set->waiters)) != NULL) {
        struct waiter *waiter = container_of(link, struct waiter, link);
        waiter->fn(waiter->ctx);
        free(waiter);
    }
}

void informers_synced_changed(struct informers *set)
{
    if (!list_empty(&set->waiters) && informers_synced(set)) {
        timer_start(set->client->loop, &set->wake, 0, wake);
    }
}

void informers_on_synced(struct informers *set, void (*fn)(void *ctx), void *ctx)
{
    struct waiter *waiter = mem_new(struct waiter);
    waiter->fn = fn;
    waiter->ctx = ctx;
    list_append(&set->waiters, &waiter->link);
    informers_synced_changed(set);
}

void informers_forget_waiter(struct informers *set, void *ctx)
{
    LIST_EACH_SAFE (it, &set->waiters) {
        struct waiter *waiter = container_of(it, struct waiter, link);
        if (waiter->ctx == ctx) {
            list_remove(&waiter->link);
            free(waiter);
        }
    }
}

void informers_drop(struct informers *set, struct informer *informer)
{
    if (informer->handlers.count > 0) {
        return;
    }
    for (size_t i = 0; i < set->all.count; i++) {
        if (set->all.items[i] == informer) {
            vec_remove_swap(&set->all, i);
            informer_free(informer);
            informers_synced_changed(set); /* nobody waits for it any more */
            return;
        }
    }
}

struct client *informers_client(struct informers *set)
{
    return set->client;
}

void informers_each(struct informers *set, void (*visit)(void *ctx, struct informer *informer),
                    void *ctx)
{
    for (size_t i = 0; i < set->all.count; i++) {
        visit(ctx, set->all.items[i]);
    }
}

/* ---- writes ---- */

static void show_answer(struct informers *set, const struct write *write,
                        const struct client_result *result)
{
    const struct object *object = result->object;
    for (size_t i = 0; i < set->all.count; i++) {
        struct informer *informer = set->all.items[i];
        if (informer->resource->storage->id != write->resource->storage->id) {
            continue;
        }
        if (write->verb == CLIENT_DELETE && (object == NULL || !object->deleting)) {
            informer_take_deletion(informer, str_of(write->ns), str_of(write->name),
                                   str_of(write->uid));
        } else if (object != NULL &&
                   object->resource->storage->id == informer->resource->storage->id) {
            informer_take_answer(informer, result->object);
        }
    }
}

static void answered(void *ctx, const struct client_result *result)
{
    struct write *write = ctx;
    struct informers *set = write->set;
    FAILPOINT("client.write.answered");
    if (set != NULL && result->code == 0 && write->verb != CLIENT_GET) {
        show_answer(set, write, result);
    }
    if (set != NULL) {
        list_remove(&write->link);
    }
    if (write->done != NULL) {
        write->done(write->ctx, result);
    }
    schema_unref(write->resource);
    free(write->ns);
    free(write->name);
    free(write->uid);
    free(write);
}

/* The uid that any informer of the resource shows under this name. */
static struct str shown_uid(struct informers *set, const struct client_request *request)
{
    VEC_EACH (it, &set->all) {
        struct object *object = (*it)->resource->storage->id == request->resource->storage->id
                                    ? informer_get(*it, request->ns, request->name)
                                    : NULL;
        if (object != NULL) {
            return object->uid;
        }
    }
    return STR_NONE;
}

void informer_write_as(struct informers *set, struct client *client,
                       const struct client_request *request, client_done_fn *done, void *ctx)
{
    struct write *write = mem_new(struct write);
    write->set = set;
    schema_ref(request->resource);
    write->resource = request->resource;
    write->verb = request->verb;
    write->ns = str_dup(request->ns);
    write->name = str_dup(request->name);
    write->uid = str_dup(request->verb == CLIENT_DELETE ? shown_uid(set, request) : STR_NONE);
    write->done = done;
    write->ctx = ctx;
    list_append(&set->writes, &write->link);
    FAILPOINT("client.write.send");
    client_send(client, request, answered, write);
}

void informer_write(struct informers *set, const struct client_request *request,
                    client_done_fn *done, void *ctx)
{
    informer_write_as(set, set->client, request, done, ctx);
}

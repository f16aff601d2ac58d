/* list_client.c: see list_client.h. */
#include "list_client.h"

#include <stdlib.h>

#include "base/vec.h"

struct client_watch {
    struct list_client *list;
    const struct api_resource *resource;
    const struct client_watch_ops *ops;
    void *ctx;
    struct timer timer;
    bool begun;
};
struct list_client {
    struct client client;
    struct {
        VEC_OF(struct object *);
    } objects;
    struct {
        VEC_OF(struct client_watch *);
    } watches;
    uint64_t revision;
};

static void begin(struct timer *timer)
{
    struct client_watch *watch = container_of(timer, struct client_watch, timer);
    watch->begun = true;
    watch->ops->sync_begin(watch->ctx);
    VEC_EACH (object, &watch->list->objects) {
        if ((*object)->resource == watch->resource) {
            watch->ops->event(watch->ctx, 0, *object);
        }
    }
    watch->ops->sync_end(watch->ctx, watch->list->revision);
}

static struct client_watch *start_watch(struct client *client,
                                        const struct client_watch_options *options,
                                        const struct client_watch_ops *ops, void *ctx)
{
    struct list_client *list = container_of(client, struct list_client, client);
    struct client_watch *watch = mem_new(struct client_watch);
    watch->list = list;
    watch->resource = options->resource;
    watch->ops = ops;
    watch->ctx = ctx;
    *vec_push(&list->watches) = watch;
    timer_start(client->loop, &watch->timer, 0, begin);
    return watch;
}

static void stop_watch(struct client *client, struct client_watch *watch)
{
    struct list_client *list = container_of(client, struct list_client, client);
    timer_stop(&watch->timer);
    for (size_t i = 0; i < list->watches.count; i++) {
        if (list->watches.items[i] == watch) {
            vec_remove_swap(&list->watches, i);
            break;
        }
    }
    free(watch);
}

struct list_client *list_client_new(struct loop *loop)
{
    static const struct client_ops ops = {.watch = start_watch, .watch_stop = stop_watch};
    struct list_client *list = mem_new(struct list_client);
    list->client = (struct client){.ops = &ops, .loop = loop, .name = "test"};
    return list;
}

void list_client_free(struct list_client *list)
{
    VEC_EACH (object, &list->objects) {
        object_unref(*object);
    }
    vec_done(&list->objects);
    vec_done(&list->watches);
    free(list);
}

struct client *list_client_client(struct list_client *list)
{
    return &list->client;
}

void list_client_put(struct list_client *list, struct object *object)
{
    int type = 0;
    object = object_with_revision(object, ++list->revision);
    VEC_EACH (it, &list->objects) {
        if ((*it)->resource == object->resource && str_eq((*it)->ns, object->ns) &&
            str_eq((*it)->name, object->name)) {
            object_unref(*it);
            *it = object;
            type = 1;
            break;
        }
    }
    if (type == 0) {
        *vec_push(&list->objects) = object;
    }
    VEC_EACH (watch, &list->watches) {
        if ((*watch)->begun && (*watch)->resource == object->resource) {
            (*watch)->ops->event((*watch)->ctx, type, object);
        }
    }
}

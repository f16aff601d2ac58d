/* The roads between clients and the fake API server (fake_client.h): requests and answers each with
 * a delay of their own, watches in order. What a request does is in fake_store.c.
 */
#include "fake_client.h"

#include <stdlib.h>

#include "base/mem.h"
#include "fake_int.h"

struct fake_client {
    struct client client;
    struct fake_api *api;
};

struct call { /* one request under way */
    struct list link;
    struct timer timer;
    struct fake_api *api;
    struct client_request request;
    char *ns, *name, *subresource, *manager, *body;
    client_done_fn *done;
    void *ctx;
    struct client_result result;
    char *result_body;
};

struct message { /* one event on its way to a watcher */
    struct list link;
    int64_t due;
    int type; /* 0..2 events; 3 a whole sync, made when it arrives */
    struct object *object;
};

struct client_watch {
    struct list link;
    struct fake_api *api;
    const struct api_resource *resource;
    char *ns;
    struct arena arena; /* of the selectors */
    struct selector labels;
    struct field_selector fields;
    const struct client_watch_ops *ops;
    void *ctx;
    struct timer timer;
    struct list messages;
    int64_t cut_until; /* mono */
    bool stopped, delivering;
};

static int64_t delay(struct fake_api *api)
{
    int64_t span = api->delay_max - api->delay_min;
    return api->delay_min +
           (span > 0 ? (int64_t)random_below(&api->random, (uint64_t)span + 1) : 0);
}

/* ---- requests ---- */

static void call_free(struct call *call)
{
    timer_stop(&call->timer);
    list_remove(&call->link);
    object_unref(call->result.object);
    free(call->ns);
    free(call->name);
    free(call->subresource);
    free(call->manager);
    free(call->body);
    free(call->result_body);
    free(call);
}

static void call_answer(struct timer *timer)
{
    struct call *call = container_of(timer, struct call, timer);
    list_remove(&call->link);
    if (call->done != NULL) {
        call->done(call->ctx, &call->result);
    }
    call_free(call);
}

static void call_arrive(struct timer *timer)
{
    struct call *call = container_of(timer, struct call, timer);
    struct fake_api *api = call->api;
    struct client_result *result = &call->result;
    enum err_code code =
        api->before != NULL ? api->before(api->hook_ctx, &call->request, api->writes) : ERR_OK;
    if (code != 0) {
        result->code = code;
        err_set(&result->error, code, "injected %s", err_reason(code));
    } else {
        result->code = fake_execute(api, &call->request, call->body, &result->object,
                                    &call->result_body, &result->error);
        result->body = str_of(call->result_body);
    }
    if (result->code == 0 && call->request.verb != CLIENT_GET) {
        api->writes++;
        if (api->after != NULL && !api->after(api->hook_ctx, &call->request, result->object)) {
            object_unref(result->object);
            result->object = NULL;
            result->body = STR_NONE;
            result->code = err_set(&result->error, ERR_TIMEOUT, "the answer was lost");
        }
    }
    timer_start(api->loop, &call->timer, delay(api), call_answer);
}

static void send_request(struct client *client, const struct client_request *request,
                         client_done_fn *done, void *ctx)
{
    struct fake_api *api = ((struct fake_client *)client)->api;
    struct call *call = mem_new(struct call);
    call->api = api;
    call->request = *request;
    call->request.ns = str_of(call->ns = str_dup(request->ns));
    call->request.name = str_of(call->name = str_dup(request->name));
    call->request.subresource = call->subresource =
        mem_dupz(request->subresource != NULL ? request->subresource : "");
    call->request.field_manager = call->manager =
        mem_dupz(request->field_manager != NULL ? request->field_manager : client->name);
    if (request->body != NULL) {
        struct buf body = BUF_INIT;
        val_write_json(request->body, &body);
        call->body = buf_take(&body, NULL);
        call->request.body = NULL;
    }
    call->done = done;
    call->ctx = ctx;
    list_append(&api->calls, &call->link);
    timer_start(api->loop, &call->timer, delay(api), call_arrive);
}

/* ---- watches ---- */

static bool is_wanted(const struct client_watch *watch, const struct object *object)
{
    return (watch->ns[0] == '\0' || str_is(object->ns, watch->ns)) &&
           selector_matches(&watch->labels, object) &&
           field_selector_matches(&watch->fields, object);
}

static void deliver(struct timer *timer);
static void watch_free(struct client_watch *watch);

static void message_add(struct client_watch *watch, int type, struct object *object, int64_t after)
{
    struct message *message = mem_new(struct message);
    int64_t due = loop_mono(watch->api->loop) + after;
    if (!list_empty(&watch->messages)) {
        int64_t last = container_of(watch->messages.prev, struct message, link)->due;
        due = due > last ? due : last;
    }
    message->due = due;
    message->type = type;
    message->object = object != NULL ? object_ref(object) : NULL;
    list_append(&watch->messages, &message->link);
    if (!timer_armed(&watch->timer)) {
        timer_start(watch->api->loop, &watch->timer, due - loop_mono(watch->api->loop), deliver);
    }
}

static void sync_visit(void *ctx, struct object *object)
{
    struct client_watch *watch = ctx;
    if (!watch->stopped && is_wanted(watch, object)) {
        watch->ops->event(watch->ctx, 0, object);
    }
}

static void deliver_one(struct client_watch *watch, const struct message *message)
{
    if (message->type < 3) {
        watch->ops->event(watch->ctx, message->type, message->object);
        return;
    }
    watch->ops->sync_begin(watch->ctx);
    fake_each(watch->api, watch->resource, sync_visit, watch);
    if (watch->stopped) {
        return;
    }
    watch->ops->sync_end(watch->ctx, watch->api->revision);
}

static void deliver(struct timer *timer)
{
    struct client_watch *watch = container_of(timer, struct client_watch, timer);
    struct list *link = list_pop(&watch->messages);
    if (link == NULL) {
        return;
    }
    struct message *message = container_of(link, struct message, link);
    watch->delivering = true;
    deliver_one(watch, message);
    watch->delivering = false;
    object_unref(message->object);
    free(message);
    if (watch->stopped) {
        watch_free(watch);
        return;
    }
    if (!list_empty(&watch->messages)) {
        int64_t now = loop_mono(watch->api->loop);
        int64_t due = container_of(watch->messages.next, struct message, link)->due;
        timer_start(watch->api->loop, &watch->timer, due > now ? due - now : 0, deliver);
    }
}

static void drop_messages(struct client_watch *watch)
{
    struct list *link;
    while ((link = list_pop(&watch->messages)) != NULL) {
        struct message *message = container_of(link, struct message, link);
        object_unref(message->object);
        free(message);
    }
}

void fake_publish(struct fake_api *api, struct object *old, struct object *now)
{
    LIST_EACH (it, &api->watches) {
        struct client_watch *watch = container_of(it, struct client_watch, link);
        if (watch->stopped) {
            continue;
        }
        struct object *any = now != NULL ? now : old;
        if (watch->resource->storage != any->resource->storage ||
            watch->cut_until > loop_mono(api->loop)) {
            continue;
        }
        bool was = old != NULL && is_wanted(watch, old);
        bool is = now != NULL && is_wanted(watch, now);
        if (was || is) {
            message_add(watch, !was ? 0 : is ? 1 : 2, any, delay(api));
        }
    }
}

static struct client_watch *watch_start(struct client *client,
                                        const struct client_watch_options *options,
                                        const struct client_watch_ops *ops, void *ctx)
{
    struct fake_api *api = ((struct fake_client *)client)->api;
    struct client_watch *watch = mem_new(struct client_watch);
    watch->api = api;
    watch->resource = options->resource;
    watch->ns = str_dup(options->ns);
    char *labels = str_dup_in(&watch->arena, options->label_selector);
    char *fields = str_dup_in(&watch->arena, options->field_selector);
    fake_must(selector_parse(&watch->arena, str_of(labels), &watch->labels, NULL) == 0, labels);
    fake_must(field_selector_parse(&watch->arena, options->resource, str_of(fields), &watch->fields,
                                   NULL) == 0,
              fields);
    watch->ops = ops;
    watch->ctx = ctx;
    list_init(&watch->messages);
    list_append(&api->watches, &watch->link);
    message_add(watch, 3, NULL, delay(api));
    return watch;
}

static void watch_free(struct client_watch *watch)
{
    list_remove(&watch->link);
    timer_stop(&watch->timer);
    drop_messages(watch);
    arena_done(&watch->arena);
    free(watch->ns);
    free(watch);
}

static void watch_stop(struct client *client, struct client_watch *watch)
{
    watch->stopped = true;
    if (!watch->delivering) {
        watch_free(watch);
    }
}

void fake_api_gap(struct fake_api *api, const struct api_resource *resource, int64_t ns)
{
    LIST_EACH (it, &api->watches) {
        struct client_watch *watch = container_of(it, struct client_watch, link);
        if (resource == NULL || watch->resource == resource) {
            drop_messages(watch);
            timer_stop(&watch->timer);
            watch->cut_until = loop_mono(api->loop) + ns;
            message_add(watch, 3, NULL, ns);
        }
    }
}

/* ---- life ---- */

static void fake_client_free(struct client *client)
{
    free(client);
}

static const struct client_ops client_ops = {
    .send = send_request, .watch = watch_start, .watch_stop = watch_stop, .free = fake_client_free};

struct client *fake_client_new(struct fake_api *api, const char *name)
{
    struct fake_client *client = mem_new(struct fake_client);
    client->client = (struct client){.ops = &client_ops, .loop = api->loop, .name = name};
    client->api = api;
    return &client->client;
}

struct fake_api *fake_api_new(struct loop *loop)
{
    struct fake_api *api = mem_new(struct fake_api);
    api->loop = loop;
    api->delay_min = NS_PER_MS / 5;
    api->delay_max = 3 * NS_PER_MS;
    api->revision = 100;
    random_seeded_init(&api->random, random_u64(loop_random(loop)));
    list_init(&api->calls);
    list_init(&api->watches);
    return api;
}

void fake_api_delays(struct fake_api *api, int64_t min_ns, int64_t max_ns)
{
    api->delay_min = min_ns;
    api->delay_max = max_ns;
}

void fake_api_cancel(struct fake_api *api)
{
    while (!list_empty(&api->calls)) {
        struct call *call = container_of(api->calls.next, struct call, link);
        call->result.code = err_set(&call->result.error, ERR_CANCELED, "the server is gone");
        call_answer(&call->timer);
    }
}

void fake_api_free(struct fake_api *api)
{
    fake_kubelet_stop(api);
    fake_api_cancel(api);
    LIST_EACH_SAFE (it, &api->watches) {
        watch_free(container_of(it, struct client_watch, link));
    }
    for (size_t i = 0; i < FAKE_RESOURCES_MAX; i++) {
        ordered_done(&api->objects[i]);
    }
    arena_done(&api->vals);
    free(api);
}

void fake_api_hooks(struct fake_api *api, fake_before_fn *before, fake_after_fn *after, void *ctx)
{
    api->before = before;
    api->after = after;
    api->hook_ctx = ctx;
}

uint64_t fake_api_writes(const struct fake_api *api)
{
    return api->writes;
}

uint64_t fake_api_revision(const struct fake_api *api)
{
    return api->revision;
}

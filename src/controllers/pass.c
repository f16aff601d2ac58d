/* Passes over keys (pass.h).
 *
 * Invariants: a pass ends exactly once, after its last answer, with queue_done for its key; a
 * stopped worker hears of no answer. `life` is what in-flight answers and the wait for the first
 * sync point at: it is counted and knows whether the worker is still there.
 */
#include "controllers/pass.h"

#include <stdlib.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"

struct life {
    int refs;
    struct worker *worker; /* NULL: stopped */
    bool waiting;          /* for the first sync */
    struct list passes;
};

struct running { /* the heap side of a pass */
    struct list link;
    struct pass pass;
};

struct sent { /* one write under way */
    struct life *life;
    struct pass *pass;
    enum client_verb verb;
    pass_answer_fn *answer;
    void *arg;
};

struct held { /* in the pass's arena */
    struct held *next;
    struct object *object;
};

static void life_unref(struct life *life)
{
    if (--life->refs == 0) {
        free(life);
    }
}

/* ---- the end of a pass ---- */

static void running_free(struct running *running)
{
    for (struct pass_listing *it = running->pass.listings; it != NULL; it = it->next) {
        if (it->watch != NULL) {
            it->client->ops->watch_stop(it->client, it->watch);
        }
    }
    for (struct held *it = running->pass.held; it != NULL; it = it->next) {
        object_unref(it->object);
    }
    list_remove(&running->link);
    arena_done(&running->pass.arena_);
    free(running);
}

static void pass_end(struct pass *pass)
{
    struct running *running = container_of(pass, struct running, pass);
    struct worker *worker = pass->worker;
    bool ok = !pass->failed && !pass->retry;
    if (pass->again && ok) {
        queue_add(worker->queue, pass->key);
    }
    queue_done(worker->queue, pass->key, ok);
    running_free(running);
}

static void pass_step(struct pass *pass)
{
    while (pass->pending == 0 && pass->then != NULL && !pass->failed) {
        void (*then)(struct pass * again, void *arg) = pass->then;
        pass->then = NULL;
        pass->pending++; /* an answer that comes at once must not end the pass under us */
        then(pass, pass->then_arg);
        pass->pending--;
    }
    if (pass->pending == 0) {
        pass_end(pass);
    }
}

static void start_pass(void *ctx, struct str key)
{
    struct worker *worker = ctx;
    struct running *running = mem_new(struct running);
    struct pass *pass = &running->pass;
    list_append(&worker->life->passes, &running->link);
    pass->worker = worker;
    pass->life = worker->life;
    pass->arena = &pass->arena_;
    pass->key = str_copy_in(pass->arena, key);
    pass->ns = str_cut(pass->key, '/', &pass->name);
    if (pass->name.p == NULL) {
        pass->name = pass->key;
        pass->ns = STR_NONE;
    }
    pass->now = clock_wall(loop_clock(worker->env.loop));
    pass->pending++;
    worker->reconcile(worker->ctx, pass);
    pass->pending--;
    pass_step(pass);
}

/* ---- workers ---- */

static void on_synced(void *ctx)
{
    struct life *life = ctx;
    life->waiting = false;
    if (life->worker != NULL) {
        queue_pause(life->worker->queue, false);
    }
    life_unref(life);
}

struct worker *worker_new(const struct controller_env *env, const char *name, int parallel,
                          pass_fn *reconcile, void *ctx)
{
    struct worker *worker = mem_new(struct worker);
    worker->env = *env;
    worker->name = name;
    worker->ctx = ctx;
    worker->reconcile = reconcile;
    worker->queue = queue_new(env->loop, name, parallel, start_pass, worker);
    worker->life = mem_new(struct life);
    worker->life->refs = 2; /* ours, and the wait's */
    worker->life->worker = worker;
    list_init(&worker->life->passes);
    worker->life->waiting = true;
    queue_pause(worker->queue, true);
    informers_on_synced(env->informers, on_synced, worker->life);
    return worker;
}

void worker_free(struct worker *worker)
{
    if (worker == NULL) {
        return;
    }
    struct list *link;
    while ((link = list_pop(&worker->life->passes)) != NULL) {
        running_free(container_of(link, struct running, link));
    }
    worker->life->worker = NULL;
    if (worker->life->waiting) { /* it ends before it began */
        informers_forget_waiter(worker->env.informers, worker->life);
        life_unref(worker->life);
    }
    life_unref(worker->life);
    queue_free(worker->queue);
    free(worker);
}

enum { KEY_MAX = 640 };

static struct str key_of(struct str ns, struct str name, char text[KEY_MAX])
{
    size_t n = 0;
    if (ns.n + name.n + 2 > KEY_MAX) {
        return STR_NONE;
    }
    if (ns.n > 0) {
        memcpy(text, ns.p, ns.n);
        text[ns.n] = '/';
        n = ns.n + 1;
    }
    memcpy(text + n, name.p, name.n);
    return str_at(text, n + name.n);
}

void worker_add_name(struct worker *worker, struct str ns, struct str name)
{
    char text[KEY_MAX];
    struct str key = key_of(ns, name, text);
    if (name.n > 0 && key.n > 0) {
        queue_add(worker->queue, key);
    }
}

void worker_add_name_after(struct worker *worker, struct str ns, struct str name, int64_t delay_ns)
{
    char text[KEY_MAX];
    struct str key = key_of(ns, name, text);
    if (name.n > 0 && key.n > 0) {
        queue_add_after(worker->queue, key, delay_ns);
    }
}

void worker_add(struct worker *worker, const struct object *object)
{
    worker_add_name(worker, object->ns, object->name);
}

/* ---- writes ---- */

static void report_failure(struct pass *pass, const struct sent *sent,
                           const struct client_result *result)
{
    if (sent->verb == CLIENT_DELETE && result->code == ERR_NOT_FOUND) {
        return;
    }
    pass->failed = true;
}

static void on_answer(void *ctx, const struct client_result *result)
{
    struct sent *sent = ctx;
    struct life *life = sent->life;
    if (life->worker != NULL) {
        struct pass *pass = sent->pass;
        if (result->code != 0) {
            LOG_DEBUG(pass->worker->name, "write failed", LOG_S("key", pass->key),
                      LOG_ERR(&result->error));
        }
        if (sent->answer != NULL) {
            sent->answer(pass, sent->arg, result);
        } else if (result->code != 0) {
            report_failure(pass, sent, result);
        }
        pass->pending--;
        pass_step(pass);
    }
    life_unref(life);
    free(sent);
}

void pass_write(struct pass *pass, const struct client_request *request, pass_answer_fn *answer,
                void *arg)
{
    struct sent *sent = mem_new(struct sent);
    struct worker *worker = pass->worker;
    sent->life = pass->life;
    sent->life->refs++;
    sent->pass = pass;
    sent->verb = request->verb;
    sent->answer = answer;
    sent->arg = arg;
    pass->pending++;
    FAILPOINT("controllers.write");
    informer_write_as(worker->env.informers, worker->env.client, request, on_answer, sent);
}

/* ---- lists: a watch that ends with its first state ---- */

static void on_list_begin(void *ctx)
{
    struct pass_listing *listing = ctx;
    listing->count = 0;
}

static void on_listed(void *ctx, int type, struct object *object)
{
    struct pass_listing *listing = ctx;
    struct pass *pass = listing->pass;
    if (listing->count == listing->cap) {
        size_t cap = listing->cap > 0 ? listing->cap * 2 : 64;
        struct object **objects = arena_array(pass->arena, struct object *, cap);
        if (listing->count > 0) {
            memcpy(objects, listing->objects, sizeof *objects * listing->count);
        }
        listing->objects = objects;
        listing->cap = cap;
    }
    listing->objects[listing->count++] = pass_hold(pass, object);
}

static void on_list_end(void *ctx, uint64_t revision)
{
    struct pass_listing *listing = ctx;
    struct pass *pass = listing->pass;
    struct client_watch *watch = listing->watch;
    listing->watch = NULL;
    listing->revision = revision;
    listing->client->ops->watch_stop(listing->client, watch);
    pass->pending--;
    pass_step(pass);
}

struct pass_listing *pass_list(struct pass *pass, const struct api_resource *resource,
                               struct str ns)
{
    static const struct client_watch_ops ops = {
        .sync_begin = on_list_begin, .event = on_listed, .sync_end = on_list_end};
    struct pass_listing *listing = arena_new(pass->arena, struct pass_listing);
    struct client_watch_options options = {.resource = resource, .ns = ns};
    listing->pass = pass;
    listing->client = pass->worker->env.client;
    listing->next = pass->listings;
    pass->listings = listing;
    pass->pending++;
    listing->watch = client_watch(listing->client, &options, &ops, listing);
    return listing;
}

void pass_then(struct pass *pass, void (*fn)(struct pass *pass, void *arg), void *arg)
{
    pass->then = fn;
    pass->then_arg = arg;
}

struct object *pass_hold(struct pass *pass, struct object *object)
{
    struct held *held = arena_new(pass->arena, struct held);
    held->object = object_ref(object);
    held->next = pass->held;
    pass->held = held;
    return object;
}

bool pass_namespace_ends(const struct client_result *result)
{
    return result->code == ERR_FORBIDDEN &&
           str_contains(str_of(result->error.message), STR("terminated"));
}

void pass_fail(struct pass *pass)
{
    pass->failed = true;
}

void pass_retry(struct pass *pass)
{
    pass->retry = true;
}

void pass_again(struct pass *pass)
{
    pass->again = true;
}

void pass_after(struct pass *pass, int64_t delay_ns)
{
    queue_add_after(pass->worker->queue, pass->key, delay_ns);
}

void pass_cost(struct pass *pass, size_t count)
{
    enum { FREE = 50 };
    if (count > FREE) {
        queue_rest(pass->worker->queue, pass->key, (int64_t)(count - FREE) * NS_PER_MS / 10);
    }
}

void pass_create(struct pass *pass, const struct api_resource *resource, struct str ns,
                 struct val *body, pass_answer_fn *answer, void *arg)
{
    const char *api_version =
        resource->group[0] == '\0'
            ? resource->version
            : arena_printf(pass->arena, "%s/%s", resource->group, resource->version);
    val_set_text(pass->arena, body, STR("apiVersion"), str_of(api_version));
    val_set_text(pass->arena, body, STR("kind"), str_of(resource->kind));
    pass_write(pass,
               &(struct client_request){.verb = CLIENT_CREATE,
                                        .resource = resource,
                                        .ns = ns,
                                        .name = val_name(body),
                                        .subresource = "",
                                        .body = body},
               answer, arg);
}

void pass_update(struct pass *pass, const struct api_resource *resource, const char *subresource,
                 struct val *body, pass_answer_fn *answer, void *arg)
{
    pass_write(pass,
               &(struct client_request){.verb = CLIENT_UPDATE,
                                        .resource = resource,
                                        .ns = val_namespace(body),
                                        .name = val_name(body),
                                        .subresource = subresource,
                                        .body = body},
               answer, arg);
}

void pass_patch(struct pass *pass, const struct object *object, enum client_patch kind,
                const char *subresource, struct val *body, pass_answer_fn *answer, void *arg)
{
    pass_write(pass,
               &(struct client_request){.verb = CLIENT_PATCH,
                                        .patch = kind,
                                        .resource = object->resource,
                                        .ns = object->ns,
                                        .name = object->name,
                                        .subresource = subresource,
                                        .body = body},
               answer, arg);
}

void pass_delete(struct pass *pass, const struct object *object, const char *policy,
                 int64_t grace_seconds, pass_answer_fn *answer, void *arg)
{
    struct val *options = val_new(pass->arena, VAL_OBJECT);
    val_set_text(pass->arena, options, STR("kind"), STR("DeleteOptions"));
    val_set_text(pass->arena, options, STR("apiVersion"), STR("v1"));
    struct val *conditions = val_make_object(pass->arena, options, STR("preconditions"));
    val_set_text(pass->arena, conditions, STR("uid"), object->uid);
    if (policy != NULL) {
        val_set_text(pass->arena, options, STR("propagationPolicy"), str_of(policy));
    }
    if (grace_seconds >= 0) {
        val_set_int(pass->arena, options, STR("gracePeriodSeconds"), grace_seconds);
    }
    pass_write(pass,
               &(struct client_request){.verb = CLIENT_DELETE,
                                        .resource = object->resource,
                                        .ns = object->ns,
                                        .name = object->name,
                                        .subresource = "",
                                        .body = options},
               answer, arg);
}

struct val *pass_patch_body(struct pass *pass, const struct object *object, struct val **ret_meta)
{
    struct val *body = val_new(pass->arena, VAL_OBJECT);
    struct val *meta = val_make_object(pass->arena, body, STR("metadata"));
    val_set_text(pass->arena, meta, STR("uid"), object->uid);
    *ret_meta = meta;
    return body;
}

const struct api_resource *controller_resource(const char *group, const char *version,
                                               const char *plural)
{
    const struct api_resource *resource =
        schema_resource(str_of(group), str_of(version), str_of(plural));
    if (resource == NULL) {
        LOG_ERROR("controllers", "no such resource in the tables", LOG_Z("resource", plural));
        abort();
    }
    return resource;
}

/* upkeep.c: expiry of Events.
 *
 * Each write of an Event puts (key, revision, due time) at the end of a queue; since all live
 * equally long the queue is in order of due time. When one is due and the Event still has that
 * revision, it is deleted; an Event written again since has a later entry.
 */
#include "server/upkeep.h"

#include <stdlib.h>

#include "base/log.h"
#include "server/bootstrap/bootstrap.h"
#include "server/server_int.h"
#include "server/verb/pages.h"
#include "server/write/change.h"

#define EVENT_TTL_NS (3600 * NS_PER_S)
#define PERIOD_NS    (30 * NS_PER_S)
enum { IN_FLIGHT_MAX = 64 };

struct due {
    struct list link;
    int64_t at_ns; /* monotonic */
    uint64_t revision;
    size_t ns_n;
    char key[]; /* ns and name, one after the other, NUL ended */
};

struct upkeep {
    struct server *server;
    struct cursor *cursor;
    struct list queue;
    struct timer timer;
    size_t in_flight;
    bool restoring;
};

struct expiry {
    struct change change;
    struct upkeep *upkeep;
    struct due *due;
};

struct upkeep *upkeep_new(struct server *server)
{
    struct upkeep *upkeep = mem_new(struct upkeep);
    upkeep->server = server;
    list_init(&upkeep->queue);
    return upkeep;
}

void upkeep_free(struct upkeep *upkeep)
{
    if (upkeep == NULL) {
        return;
    }
    timer_stop(&upkeep->timer);
    if (upkeep->cursor != NULL) {
        cursor_close(upkeep->cursor);
    }
    struct list *it;
    while ((it = list_pop(&upkeep->queue)) != NULL) {
        free(container_of(it, struct due, link));
    }
    free(upkeep);
}

static void enqueue(struct upkeep *upkeep, const struct object *event)
{
    struct due *due = mem_zalloc(sizeof *due + event->ns.n + event->name.n + 1);
    due->at_ns = loop_mono(upkeep->server->home) + EVENT_TTL_NS;
    due->revision = event->revision;
    due->ns_n = event->ns.n;
    memcpy(due->key, event->ns.p, event->ns.n);
    memcpy(due->key + event->ns.n, event->name.p, event->name.n);
    list_init(&due->link);
    list_append(&upkeep->queue, &due->link);
}

static void work(struct upkeep *upkeep);

static int plan(struct change *change, struct object *current, struct plan *ret_plan,
                struct failure *failure)
{
    struct expiry *expiry = change->ctx;
    bool same = current != NULL && current->revision == expiry->due->revision;
    *ret_plan = (struct plan){same ? PLAN_DELETE : PLAN_NOTHING, NULL};
    return 0;
}

static void done(struct change *change)
{
    struct expiry *expiry = change->ctx;
    struct upkeep *upkeep = expiry->upkeep;
    change_done(change);
    free(expiry->due);
    free(expiry);
    upkeep->in_flight--;
    work(upkeep);
}

static void expire(struct upkeep *upkeep, struct due *due)
{
    struct expiry *expiry = mem_new(struct expiry);
    list_remove(&due->link);
    expiry->upkeep = upkeep;
    expiry->due = due;
    expiry->change = (struct change){.server = upkeep->server,
                                     .loop = upkeep->server->home,
                                     .resource = upkeep->server->known.events,
                                     .ns = str_at(due->key, due->ns_n),
                                     .name = str_of(due->key + due->ns_n),
                                     .plan = plan,
                                     .done = done,
                                     .ctx = expiry};
    upkeep->in_flight++;
    change_start(&expiry->change);
}

static void work(struct upkeep *upkeep)
{
    int64_t now = loop_mono(upkeep->server->home);
    while (upkeep->in_flight < IN_FLIGHT_MAX && !list_empty(&upkeep->queue)) {
        struct due *due = container_of(upkeep->queue.next, struct due, link);
        if (due->at_ns > now) {
            return;
        }
        expire(upkeep, due);
    }
}

/* ---- what must not go missing ---- */

static bool is_there(struct server *server, const struct api_resource *resource, struct str ns,
                     const char *name)
{
    struct object *object =
        resource != NULL ? cache_get(server->cache, resource, ns, str_of(name)) : NULL;
    object_unref(object);
    return object != NULL || resource == NULL;
}

static void restored(void *ctx, const struct err *err)
{
    ((struct upkeep *)ctx)->restoring = false;
    if (err->code != 0) {
        LOG_WARN("server", "an object that every cluster has is missing", LOG_ERR(err));
    }
}

/* Somebody deleted the Service kubernetes, or a namespace of ours: it comes back. */
static void restore(struct upkeep *upkeep)
{
    static const char *const namespaces[] = {"default", "kube-system", "kube-public",
                                             "kube-node-lease"};
    struct server *server = upkeep->server;
    const struct known_resources *known = &server->known;
    struct str home = STR("default");
    bool published = server->options.advertise_address.n > 0;
    bool all = is_there(server, known->services, home, "kubernetes") &&
               (!published || (is_there(server, known->endpoints, home, "kubernetes") &&
                               is_there(server, known->slices, home, "kubernetes")));
    for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++) {
        all = all && is_there(server, known->namespaces, STR_NONE, namespaces[i]);
    }
    if (!all && !upkeep->restoring && server_ready(server)) {
        upkeep->restoring = true;
        bootstrap_run(server, restored, upkeep);
    }
}

static void on_timer(struct timer *timer)
{
    struct upkeep *upkeep = container_of(timer, struct upkeep, timer);
    timer_start(upkeep->server->home, timer, PERIOD_NS, on_timer);
    pages_expire(upkeep->server->pages, loop_mono(upkeep->server->home));
    work(upkeep);
    restore(upkeep);
}

static void on_ready(void *ctx, struct cursor *cursor)
{
    struct upkeep *upkeep = ctx;
    struct cache_event event;
    while (cursor_next(cursor, &event, NULL) > 0) {
        if (event.type != EVENT_DELETED) {
            enqueue(upkeep, event.object);
        }
    }
}

int upkeep_start(struct upkeep *upkeep, struct err *err)
{
    struct server *server = upkeep->server;
    const struct api_resource *events = server->known.events;
    timer_start(server->home, &upkeep->timer, PERIOD_NS, on_timer);
    if (events == NULL) {
        return 0;
    }
    struct snapshot *snapshot = snapshot_take(server->cache, events);
    struct snapshot_iter iter;
    const struct object *object;
    snapshot_iter_init(&iter, snapshot, STR_NONE, NULL, NULL, STR_NONE, STR_NONE);
    while ((object = snapshot_next(&iter)) != NULL) {
        enqueue(upkeep, object);
    }
    int code = cursor_open(server->cache, events, snapshot_revision(snapshot), server->home,
                           on_ready, upkeep, &upkeep->cursor, err);
    snapshot_release(snapshot);
    if (code == 0) {
        on_ready(upkeep, upkeep->cursor);
    }
    return code;
}

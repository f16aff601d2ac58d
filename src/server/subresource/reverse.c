/* reverse.c: the pool of idle connections by node.
 *
 * A stream lives on the loop that accepted it. When a request of another loop wants it, its own
 * loop pumps it into a socket pair whose other end the request gets: flow control is the kernel's.
 * Idle connections that close leave the pool by themselves.
 *
 * An agent keeps a few idle and makes a new one for each that is used, so a burst of requests finds
 * the pool empty for a moment: whoever asks for a node that was connected within SEEN waits up to
 * PATIENCE for the next connection.
 */
#include "server/subresource/reverse.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/map.h"
#include "io/tunnel.h"
#include "server/server_int.h"

enum { IDLE_PER_NODE_MAX = 64 };
static const int64_t SEEN = 10 * NS_PER_S, PATIENCE = 3 * NS_PER_S;

struct idle {         /* one connection */
    struct list link; /* in the pool; empty when taken */
    struct reverse *reverse;
    char *node;
    struct loop *loop;
    struct stream *stream; /* NULL: closed. Its own loop only */
    struct task task;      /* handing over to another loop */
    struct taking *taking;
};
struct reverse {
    pthread_mutex_t mutex;
    struct list idle;
    struct list waiting; /* of struct taking */
    struct map seen;     /* node -> int64_t: when it was last known to be connected (monotonic) */
};
struct taking {       /* one reverse_open */
    struct list link; /* in `waiting`, or empty */
    struct server *server;
    char *node;
    struct timer patience;
    struct loop *loop;
    node_dial_done_fn *done;
    void *ctx;
    struct task task;
    struct stream *stream; /* same loop */
    int fd;                /* other loop; -1: none */
    struct err err;
};

static void taking_free(struct taking *taking)
{
    free(taking->node);
    free(taking);
}

struct reverse *reverse_new(struct server *server)
{
    struct reverse *reverse = mem_new(struct reverse);
    pthread_mutex_init(&reverse->mutex, NULL);
    list_init(&reverse->idle);
    list_init(&reverse->waiting);
    return reverse;
}

void reverse_free(struct reverse *reverse)
{
    if (reverse == NULL) {
        return;
    }
    struct list *it;
    while ((it = list_pop(&reverse->idle)) != NULL) {
        struct idle *idle = container_of(it, struct idle, link);
        free(idle->node);
        free(idle);
    }
    while ((it = list_pop(&reverse->waiting)) != NULL) { /* loops have stopped */
        struct taking *taking = container_of(it, struct taking, link);
        timer_stop(&taking->patience);
        taking_free(taking);
    }
    MAP_EACH (entry, &reverse->seen) {
        free(entry->value);
    }
    map_done(&reverse->seen);
    pthread_mutex_destroy(&reverse->mutex);
    free(reverse);
}

/* ---- idle connections ---- */

static void idle_free(struct idle *idle)
{
    free(idle->node);
    free(idle);
}

/* With the mutex. */
static void note_seen(struct reverse *reverse, struct str node, int64_t now)
{
    int64_t *at = map_get(&reverse->seen, node);
    if (at == NULL) {
        at = mem_new(int64_t);
        map_set(&reverse->seen, node, at);
    }
    *at = now;
}

static void idle_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    stream_abort(stream, ERR_BAD_REQUEST, "bytes on an idle reverse connection");
}

static void idle_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct idle *idle = ctx;
    pthread_mutex_lock(&idle->reverse->mutex);
    bool pooled = idle->taking == NULL;
    note_seen(idle->reverse, str_of(idle->node), loop_mono(idle->loop));
    list_remove(&idle->link);
    pthread_mutex_unlock(&idle->reverse->mutex);
    idle->stream = NULL;
    if (pooled) {
        idle_free(idle);
    }
}

static const struct stream_ops idle_ops = {.on_read = idle_read, .on_close = idle_close};

static size_t count_of(struct reverse *reverse, struct str node)
{
    size_t count = 0;
    LIST_EACH (it, &reverse->idle) {
        count += str_is(node, container_of(it, struct idle, link)->node);
    }
    return count;
}

size_t server_reverse_count(struct server *server, struct str node)
{
    pthread_mutex_lock(&server->reverse->mutex);
    size_t count = count_of(server->reverse, node);
    pthread_mutex_unlock(&server->reverse->mutex);
    return count;
}

/* ---- taking one ---- */

static void taken(struct task *task)
{
    struct taking *taking = container_of(task, struct taking, task);
    static const struct stream_ops nothing = {0};
    struct stream *stream = taking->stream;
    if (taking->fd >= 0) {
        stream = stream_from_fd(taking->loop, taking->fd, &nothing, NULL);
    }
    timer_stop(&taking->patience);
    taking->done(taking->ctx, stream, stream != NULL ? NULL : &taking->err);
    taking_free(taking);
}

/* A stream between its idle life and its owner, one turn of the loop. */
static void waiting_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    stream_unread(stream, bytes, size);
}

static void waiting_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct taking *taking = ctx;
    taking->stream = NULL;
    err_set(&taking->err, ERR_UNAVAILABLE, "the connection to the node went away");
}

static const struct stream_ops waiting_ops = {.on_read = waiting_read, .on_close = waiting_close};

/* On the idle stream's loop: a socket pair to the other loop. */
static void hand_over(struct task *task)
{
    static const struct stream_ops nothing = {0};
    struct idle *idle = container_of(task, struct idle, task);
    struct taking *taking = idle->taking;
    int fds[2];
    if (idle->stream == NULL) {
        err_set(&taking->err, ERR_UNAVAILABLE, "the connection to node %s went away", idle->node);
    } else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
        err_os(&taking->err, errno, "socketpair");
        stream_close(idle->stream);
    } else {
        struct stream *near = stream_from_fd(idle->loop, fds[0], &nothing, NULL);
        tunnel_join(idle->stream, near, NULL, NULL);
        taking->fd = fds[1];
    }
    loop_post(taking->loop, &taking->task);
    idle_free(idle);
}

/* The connection is out of the pool and belongs to `taking`: on any loop. */
static void give(struct idle *idle, struct taking *taking, struct loop *here)
{
    if (idle->loop == here && taking->loop == here) {
        taking->stream = idle->stream;
        stream_set_ops(idle->stream, &waiting_ops, taking);
        loop_post(here, &taking->task);
        idle_free(idle);
        return;
    }
    idle->task.run = hand_over;
    loop_post(idle->loop, &idle->task);
}

/* A new connection, on its loop: to whoever waits longest for that node, or into the pool. */
static void serve_waiting(struct reverse *reverse, struct idle *idle)
{
    struct taking *found = NULL;
    pthread_mutex_lock(&reverse->mutex);
    note_seen(reverse, str_of(idle->node), loop_mono(idle->loop));
    LIST_EACH (it, &reverse->waiting) {
        struct taking *taking = container_of(it, struct taking, link);
        if (strcmp(taking->node, idle->node) == 0) {
            found = taking;
            break;
        }
    }
    if (found != NULL) {
        list_remove(&found->link);
        idle->taking = found;
    } else {
        list_append(&reverse->idle, &idle->link);
    }
    pthread_mutex_unlock(&reverse->mutex);
    if (found != NULL) {
        give(idle, found, idle->loop);
    }
}

void reverse_accept(struct request *request)
{
    struct server *server = request->server;
    struct str node = request->identity->node;
    struct failure failure;
    if (request->exchange == NULL || node.n == 0 ||
        !str_is(http_upgrade_wanted(request->exchange), "cox-reverse")) {
        failure_set(&failure, &request->arena, node.n == 0 ? ERR_FORBIDDEN : ERR_BAD_REQUEST,
                    "only a node's agent turns a connection round, over HTTP/1.1 with Upgrade: "
                    "cox-reverse");
        request_fail(request, &failure);
        return;
    }
    if (server_reverse_count(server, node) >= IDLE_PER_NODE_MAX) {
        failure_set(&failure, &request->arena, ERR_TOO_MANY, "this node has enough connections");
        request_fail(request, &failure);
        return;
    }
    struct idle *idle = mem_new(struct idle);
    idle->reverse = server->reverse;
    idle->node = str_dup(node);
    idle->loop = request->loop;
    list_init(&idle->link);
    struct http_exchange *exchange = request->exchange;
    request->exchange = NULL;
    http_exchange_set(exchange, NULL);
    request->answered = true;
    idle->stream = http_upgrade(exchange, STR("cox-reverse"), NULL, 0, &idle_ops, idle);
    request_free(request);
    if (idle->stream == NULL) {
        idle_free(idle);
        return;
    }
    serve_waiting(server->reverse, idle);
}

/* Out of the pool, best of the same loop; NULL: none, and *ret_wait says whether one is likely to
 * come soon (`taking` is in `waiting` then). */
static struct idle *take(struct reverse *reverse, struct str node, struct loop *loop,
                         struct taking *taking, bool *ret_wait)
{
    struct idle *found = NULL;
    int64_t now = loop_mono(loop);
    pthread_mutex_lock(&reverse->mutex);
    LIST_EACH (it, &reverse->idle) {
        struct idle *idle = container_of(it, struct idle, link);
        if (str_is(node, idle->node) && (found == NULL || idle->loop == loop)) {
            found = idle;
            if (idle->loop == loop) {
                break;
            }
        }
    }
    const int64_t *seen = map_get(&reverse->seen, node);
    *ret_wait = found == NULL && seen != NULL && now - *seen < SEEN;
    if (found != NULL) {
        list_remove(&found->link);
        found->taking = taking;
        note_seen(reverse, node, now);
    } else if (*ret_wait) {
        list_append(&reverse->waiting, &taking->link);
    }
    pthread_mutex_unlock(&reverse->mutex);
    return found;
}

/* No connection: dial, where the server was told how, or say so. */
static void without(struct taking *taking)
{
    struct server *server = taking->server;
    if (server->options.node_dial != NULL) {
        server->options.node_dial(server->options.node_dial_ctx, taking->loop, str_of(taking->node),
                                  taking->done, taking->ctx);
        taking_free(taking);
        return;
    }
    err_set(&taking->err, ERR_UNAVAILABLE,
            "node %s cannot be reached: its agent has no connection to this server", taking->node);
    loop_post(taking->loop, &taking->task);
}

static void on_impatient(struct timer *timer)
{
    struct taking *taking = container_of(timer, struct taking, patience);
    struct reverse *reverse = taking->server->reverse;
    pthread_mutex_lock(&reverse->mutex);
    bool served = list_empty(&taking->link); /* its task is on the way */
    list_remove(&taking->link);
    pthread_mutex_unlock(&reverse->mutex);
    if (!served) {
        without(taking);
    }
}

void reverse_open(struct server *server, struct loop *loop, struct str node,
                  node_dial_done_fn *done, void *ctx)
{
    struct taking *taking = mem_new(struct taking);
    bool wait = false;
    *taking = (struct taking){
        .server = server, .node = str_dup(node), .loop = loop, .done = done, .ctx = ctx, .fd = -1};
    list_init(&taking->link);
    taking->task.run = taken;
    timer_start(loop, &taking->patience, PATIENCE, on_impatient);
    struct idle *idle = take(server->reverse, node, loop, taking, &wait);
    if (idle != NULL) {
        give(idle, taking, loop);
    } else if (!wait) {
        timer_stop(&taking->patience);
        without(taking);
    }
}

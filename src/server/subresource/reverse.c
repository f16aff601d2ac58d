/* reverse.c: the pool of idle connections by node.
 *
 * A stream lives on the loop that accepted it. When a request of another loop wants it, its own
 * loop pumps it into a socket pair whose other end the request gets: flow control is the kernel's.
 * Idle connections that close leave the pool by themselves.
 */
#include "server/subresource/reverse.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/server_int.h"
#include "server/subresource/tunnel.h"

enum { IDLE_PER_NODE_MAX = 64 };

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
};
struct taking { /* one reverse_open */
    struct loop *loop;
    node_dial_done_fn *done;
    void *ctx;
    struct task task;
    struct stream *stream; /* same loop */
    int fd;                /* other loop; -1: none */
    struct err err;
};

struct reverse *reverse_new(struct server *server)
{
    struct reverse *reverse = mem_new(struct reverse);
    pthread_mutex_init(&reverse->mutex, NULL);
    list_init(&reverse->idle);
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
    pthread_mutex_destroy(&reverse->mutex);
    free(reverse);
}

/* ---- idle connections ---- */

static void idle_free(struct idle *idle)
{
    free(idle->node);
    free(idle);
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
    pthread_mutex_lock(&server->reverse->mutex);
    list_append(&server->reverse->idle, &idle->link);
    pthread_mutex_unlock(&server->reverse->mutex);
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
    taking->done(taking->ctx, stream, stream != NULL ? NULL : &taking->err);
    free(taking);
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

static struct idle *take(struct reverse *reverse, struct str node, struct loop *loop,
                         struct taking *taking)
{
    struct idle *found = NULL;
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
    if (found != NULL) {
        list_remove(&found->link);
        found->taking = taking;
    }
    pthread_mutex_unlock(&reverse->mutex);
    return found;
}

void reverse_open(struct server *server, struct loop *loop, struct str node,
                  node_dial_done_fn *done, void *ctx)
{
    struct taking *taking = mem_new(struct taking);
    *taking = (struct taking){.loop = loop, .done = done, .ctx = ctx, .fd = -1};
    taking->task.run = taken;
    struct idle *idle = take(server->reverse, node, loop, taking);
    if (idle != NULL && idle->loop == loop) {
        taking->stream = idle->stream;
        stream_set_ops(idle->stream, &waiting_ops, taking);
        loop_post(loop, &taking->task);
        idle_free(idle);
        return;
    }
    if (idle != NULL) {
        idle->task.run = hand_over;
        loop_post(idle->loop, &idle->task);
        return;
    }
    if (server->options.node_dial != NULL) {
        free(taking);
        server->options.node_dial(server->options.node_dial_ctx, loop, node, done, ctx);
        return;
    }
    err_set(&taking->err, ERR_UNAVAILABLE,
            "node %.*s cannot be reached: its agent has no connection to this server",
            STR_ARG(node));
    loop_post(loop, &taking->task);
}

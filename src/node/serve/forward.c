/* forward.c: /portForward/NS/POD: SPDY/3.1, bare or inside a WebSocket
 * (SPDY/3.1+portforward.k8s.io), a pair of streams (error, data) a connection. The connection is
 * made inside the pod's network namespace, to localhost, by a job that enters it for the one socket
 * call.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/net.h"
#include "node/serve/streams.h"
#include "wire/spdy.h"
#include "wire/websocket.h"

enum { CONNECTIONS_MAX = 256, CONNECT_TIMEOUT_MS = 10000 };
static const size_t QUEUE_MAX = 256 * 1024;

struct forward;
struct pair { /* one forwarded connection */
    struct list link;
    struct forward *forward;
    struct spdy_stream *error, *data;
    struct stream *socket;
    struct str request_id; /* heap */
    uint16_t port;
    struct buf early; /* before the connection is there */
    bool early_fin, connecting, dialed;
};
struct forward {
    struct stream_item item;
    struct agent *agent;
    struct pod_entry *entry; /* held */
    char *netns;             /* NULL: the agent's */
    struct spdy *spdy;
    struct stream *stream; /* one of these two */
    struct websocket *socket;
    struct list pairs;
    size_t pair_count;
    int holds; /* jobs under way */
    bool dead;
};
struct dial {
    struct job job;
    struct forward *forward;
    struct pair *pair; /* NULL: given up meanwhile */
    char *netns;
    uint16_t port;
    int fd;
    struct err err;
};

static void ignore_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
}
static void ignore_close(void *ctx, struct stream *stream, const struct err *err)
{
}
static const struct stream_ops silent = {.on_read = ignore_read, .on_close = ignore_close};

static void pair_free(struct pair *pair)
{
    list_remove(&pair->link);
    pair->forward->pair_count--;
    if (pair->socket != NULL) {
        stream_set_ops(pair->socket, &silent, NULL);
        stream_abort(pair->socket, ERR_CLOSED, "over");
    }
    free((char *)(uintptr_t)pair->request_id.p);
    buf_done(&pair->early);
    free(pair);
}

static void forward_release(struct forward *f)
{
    if (f->dead && f->holds == 0) {
        struct pod_entry *entry = f->entry;
        spdy_free(f->spdy);
        free(f->netns);
        free(f);
        entry_release(entry);
    }
}

static void forward_close(struct forward *f)
{
    if (f->dead) {
        return;
    }
    f->dead = true;
    list_remove(&f->item.link);
    LIST_EACH_SAFE (it, &f->pairs) {
        struct pair *pair = container_of(it, struct pair, link);
        if (pair->error != NULL) {
            spdy_stream_set(pair->error, NULL);
        }
        if (pair->data != NULL) {
            spdy_stream_set(pair->data, NULL);
        }
        pair_free(pair);
    }
}

/* ---- connecting ---- */

static int connect_local(uint16_t port, struct err *err)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return err_os(err, errno, "socket");
    }
    int os_errno = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    if (os_errno == EINPROGRESS) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
        socklen_t size = sizeof os_errno;
        if (poll(&poll_fd, 1, CONNECT_TIMEOUT_MS) <= 0) {
            os_errno = ETIMEDOUT;
        } else {
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &os_errno, &size);
        }
    }
    if (os_errno != 0) {
        close(fd);
        return err_os(err, os_errno, "connect to localhost:%u inside the pod", port);
    }
    return fd;
}

static void dial_work(struct job *job)
{
    struct dial *dial = container_of(job, struct dial, job);
    if (dial->netns == NULL) {
        dial->fd = connect_local(dial->port, &dial->err);
        return;
    }
    int before = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int inside = open(dial->netns, O_RDONLY | O_CLOEXEC);
    dial->fd = -1;
    if (before < 0 || inside < 0 || setns(inside, CLONE_NEWNET) != 0) {
        err_os(&dial->err, errno, "enter the pod's network namespace");
    } else {
        dial->fd = connect_local(dial->port, &dial->err);
        if (setns(before, CLONE_NEWNET) != 0) {
            abort(); /* this thread must not serve others from inside a pod */
        }
    }
    if (before >= 0) {
        close(before);
    }
    if (inside >= 0) {
        close(inside);
    }
}

/* ---- data ---- */

static void on_socket_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    struct pair *pair = ctx;
    if (pair->data != NULL) {
        spdy_write(pair->data, bytes, size, false);
        if (spdy_queued(pair->data) > QUEUE_MAX) {
            stream_pause(stream);
        }
    }
}

/* Our side of a stream ends. Writing the end may close the stream at once, so it is forgotten
 * first. */
static void end_stream(struct spdy_stream **stream)
{
    struct spdy_stream *ended = *stream;
    *stream = NULL;
    if (ended != NULL) {
        spdy_stream_set(ended, NULL);
        spdy_write(ended, "", 0, true);
    }
}

static void end_pair(struct pair *pair)
{
    end_stream(&pair->data);
    end_stream(&pair->error);
    pair_free(pair);
}

static void on_socket_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct pair *pair = ctx;
    pair->socket = NULL;
    end_pair(pair);
}

static const struct stream_ops socket_ops = {.on_read = on_socket_read,
                                             .on_close = on_socket_close};

static void dial_done(struct job *job)
{
    struct dial *dial = container_of(job, struct dial, job);
    struct forward *f = dial->forward;
    struct pair *pair = NULL;
    LIST_EACH (it, &f->pairs) {
        if (container_of(it, struct pair, link) == dial->pair) {
            pair = dial->pair;
        }
    }
    f->holds--;
    if (pair == NULL || f->dead) {
        if (dial->fd >= 0) {
            close(dial->fd);
        }
    } else if (dial->fd < 0) {
        if (pair->error != NULL) {
            spdy_write(pair->error, dial->err.message, strlen(dial->err.message), false);
        }
        end_pair(pair);
    } else {
        pair->connecting = false;
        pair->socket = stream_from_fd(f->agent->loop, dial->fd, &socket_ops, pair);
        if (pair->early.n > 0) {
            stream_write(pair->socket, pair->early.p, pair->early.n);
            buf_clear(&pair->early);
        }
        if (pair->early_fin) {
            stream_shutdown(pair->socket);
        }
    }
    free(dial->netns);
    free(dial);
    forward_release(f);
}

static void dial_pair(struct pair *pair)
{
    struct forward *f = pair->forward;
    struct dial *dial = mem_new(struct dial);
    pair->connecting = pair->dialed = true;
    dial->forward = f;
    dial->pair = pair;
    dial->netns = mem_dupz(f->netns);
    dial->port = pair->port;
    dial->job.work = dial_work;
    dial->job.done = dial_done;
    f->holds++;
    loop_work(f->agent->loop, &dial->job);
}

/* ---- SPDY ---- */

static struct pair *find_pair(struct forward *f, struct str request_id, uint16_t port)
{
    LIST_EACH (it, &f->pairs) {
        struct pair *pair = container_of(it, struct pair, link);
        if (str_eq(pair->request_id, request_id) && pair->port == port) {
            return pair;
        }
    }
    if (f->pair_count >= CONNECTIONS_MAX) {
        return NULL;
    }
    struct pair *pair = mem_new(struct pair);
    pair->forward = f;
    pair->request_id = str_of(str_dup(request_id));
    pair->port = port;
    list_init(&pair->link);
    list_append(&f->pairs, &pair->link);
    f->pair_count++;
    return pair;
}

static void on_stream(void *ctx, struct spdy *spdy, struct spdy_stream *stream,
                      const struct http_header *headers, size_t count)
{
    struct forward *f = ctx;
    struct str type = http_header_get(headers, count, STR("streamtype"));
    struct str id = http_header_get(headers, count, STR("requestid"));
    uint64_t port = 0;
    bool good = str_u64(http_header_get(headers, count, STR("port")), &port) && port > 0 &&
                port <= UINT16_MAX && (str_is(type, "error") || str_is(type, "data"));
    struct pair *pair = good && !f->dead ? find_pair(f, id, (uint16_t)port) : NULL;
    if (pair == NULL) {
        spdy_reset(stream);
        return;
    }
    spdy_stream_set(stream, pair);
    if (str_is(type, "error")) {
        pair->error = stream;
    } else {
        pair->data = stream;
    }
    if (pair->error != NULL && pair->data != NULL && !pair->dialed) {
        dial_pair(pair);
    }
}

static void on_data(void *ctx, struct spdy_stream *stream, const char *bytes, size_t size, bool fin)
{
    struct pair *pair = spdy_stream_get(stream);
    if (pair == NULL || pair->data != stream) {
        return;
    }
    if (pair->socket == NULL) {
        if (pair->early.n + size <= 1024 * 1024) {
            buf_add(&pair->early, bytes, size);
        }
        pair->early_fin |= fin;
        return;
    }
    if (size > 0) {
        stream_write(pair->socket, bytes, size);
    }
    if (fin) {
        stream_shutdown(pair->socket);
    }
}

static void on_stream_close(void *ctx, struct spdy_stream *stream)
{
    struct pair *pair = spdy_stream_get(stream);
    if (pair == NULL) {
        return;
    }
    if (pair->error == stream) {
        pair->error = NULL;
    }
    if (pair->data == stream) {
        pair->data = NULL;
        end_pair(pair);
    }
}

static void on_spdy_drain(void *ctx, struct spdy_stream *stream)
{
    struct pair *pair = spdy_stream_get(stream);
    if (pair != NULL && pair->socket != NULL) {
        stream_resume(pair->socket);
    }
}

static void on_send(void *ctx, struct spdy *spdy, const char *bytes, size_t size)
{
    struct forward *f = ctx;
    if (f->stream != NULL) {
        stream_write(f->stream, bytes, size);
    } else if (f->socket != NULL) {
        websocket_send(f->socket, true, bytes, size);
    }
}

static const struct spdy_ops spdy_callbacks = {.on_stream = on_stream,
                                               .on_data = on_data,
                                               .on_stream_close = on_stream_close,
                                               .on_drain = on_spdy_drain,
                                               .send = on_send};

/* ---- carriers ---- */

static void on_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    struct forward *f = ctx;
    struct err err = ERR_INIT;
    if (!f->dead && spdy_feed(f->spdy, bytes, size, &err) != 0 && f->stream != NULL) {
        stream_abort(f->stream, err.code, err.message);
    }
}

static void on_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct forward *f = ctx;
    f->stream = NULL;
    forward_close(f);
    forward_release(f);
}

static const struct stream_ops stream_callbacks = {.on_read = on_read, .on_close = on_close};

static void on_message(void *ctx, struct websocket *socket, bool binary, const char *bytes,
                       size_t size)
{
    struct forward *f = ctx;
    if (!f->dead && spdy_feed(f->spdy, bytes, size, NULL) != 0 && f->socket != NULL) {
        websocket_close(f->socket, 1002);
    }
}

static void on_socket_gone(void *ctx, struct websocket *socket, int code, const struct err *err)
{
    struct forward *f = ctx;
    f->socket = NULL;
    forward_close(f);
    forward_release(f);
}

static const struct websocket_ops websocket_callbacks = {.on_message = on_message,
                                                         .on_close = on_socket_gone};

static void forward_end(struct stream_item *item)
{
    struct forward *f = container_of(item, struct forward, item);
    struct stream *stream = f->stream;
    struct websocket *socket = f->socket;
    forward_close(f);
    if (stream != NULL) {
        stream_abort(stream, ERR_CANCELED, "the agent stops");
    } else if (socket != NULL) {
        websocket_close(socket, 1001);
    }
}

static bool accept_carrier(struct forward *f, struct serve_request *request)
{
    static const char *const protocols[] = {"SPDY/3.1+portforward.k8s.io", NULL};
    struct str wanted = http_upgrade_wanted(request->exchange);
    if (str_is(wanted, "websocket")) {
        f->socket = websocket_accept(request->exchange, protocols, &websocket_callbacks, f);
        return f->socket != NULL;
    }
    struct http_header header = {STR("x-stream-protocol-version"), STR("portforward.k8s.io")};
    f->stream = wanted.n > 0 ? http_upgrade(request->exchange, STR("SPDY/3.1"), &header, 1,
                                            &stream_callbacks, f)
                             : NULL;
    if (f->stream == NULL) {
        serve_error(request->exchange, 400, "unable to upgrade: ask for SPDY/3.1 or websocket");
    }
    return f->stream != NULL;
}

void serve_port_forward(struct serve_request *request)
{
    struct pod_entry *entry = request->entry;
    if (entry == NULL || entry->worker->state != POD_RUNNING) {
        serve_error(request->exchange, 404, "pod \"%.*s\" does not run here",
                    STR_ARG(request->parts[1]));
        return;
    }
    struct forward *f = mem_new(struct forward);
    f->agent = request->agent;
    f->entry = entry;
    list_init(&f->pairs);
    if (request->agent->has_network && !pod_is_host_network(entry->worker->view->spec)) {
        f->netns = mem_dupz(entry->network.netns_path);
    }
    f->spdy = spdy_new(true, &spdy_callbacks, f);
    if (!accept_carrier(f, request)) {
        spdy_free(f->spdy);
        free(f->netns);
        free(f);
        return;
    }
    entry_hold(entry);
    f->item.end = forward_end;
    stream_set_add(request->agent, &f->item);
}

/* attach.c: /attach/NS/POD/CONTAINER: the stdio of a container's first process, through its
 * monitor's socket (SOCK_SEQPACKET; what it sends starts with 2 for stdout, 3 for stderr), and the
 * window size through the monitor's control pipe. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/poll.h"
#include "node/serve/remote.h"

enum { PACKET_MAX = 64 * 1024, SEND_MAX = 8 * 1024 };

struct attach_session {
    struct stream_item item;
    struct agent *agent;
    struct run *run;
    struct pod_entry *entry; /* held */
    struct remote *remote;
    struct remote_wants wants;
    int socket;
    struct poll_watch *watch;
    struct buf early;
    bool closed;
};

static void close_socket(struct attach_session *s)
{
    if (s->watch != NULL) {
        poll_stop(s->watch);
        s->watch = NULL;
    }
    if (s->socket >= 0) {
        close(s->socket);
        s->socket = -1;
    }
}

static void session_free(struct attach_session *s)
{
    struct pod_entry *entry = s->entry;
    list_remove(&s->item.link);
    close_socket(s);
    buf_done(&s->early);
    free(s);
    entry_release(entry);
}

static void session_end(struct stream_item *item)
{
    struct attach_session *s = container_of(item, struct attach_session, item);
    if (!s->closed) {
        remote_abort(s->remote);
    }
    session_free(s);
}

static void on_packet(void *ctx, int fd)
{
    struct attach_session *s = ctx;
    static char packet[PACKET_MAX];
    for (int i = 0; i < 16; i++) {
        ssize_t n = recv(fd, packet, sizeof packet, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) { /* the container ended */
            close_socket(s);
            remote_finish(s->remote, 0, NULL);
            return;
        }
        if (packet[0] == 3 && s->wants.err) {
            remote_send(s->remote, REMOTE_STDERR, packet + 1, (size_t)n - 1);
        } else if (packet[0] == 2 && s->wants.out) {
            remote_send(s->remote, REMOTE_STDOUT, packet + 1, (size_t)n - 1);
        }
    }
}

static void send_input(struct attach_session *s, const char *bytes, size_t size)
{
    while (size > 0) {
        size_t part = size < SEND_MAX ? size : SEND_MAX;
        ssize_t n = send(s->socket, bytes, part, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return;
        }
        bytes += n;
        size -= (size_t)n;
    }
}

static void resize(struct attach_session *s, const char *bytes, size_t size)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *value;
    char text[64];
    if (size > 4096 || val_parse_json(&arena, str_at(bytes, size), &value, NULL) != 0) {
        return;
    }
    int n = snprintf(text, sizeof text, "1 %lld %lld\n",
                     (long long)val_int(val_get(value, "Height"), 24),
                     (long long)val_int(val_get(value, "Width"), 80));
    char *path MEM_CLEANUP = mem_printf("%s/ctl", s->run->dir);
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, text, (size_t)n);
        close(fd);
    }
}

static void on_data(void *ctx, enum remote_channel channel, const char *bytes, size_t size)
{
    struct attach_session *s = ctx;
    if (channel == REMOTE_RESIZE && s->run->dir != NULL) {
        resize(s, bytes, size);
    } else if (channel == REMOTE_STDIN && s->socket >= 0) {
        send_input(s, bytes, size);
    } else if (channel == REMOTE_STDIN && s->early.n + size < 1024 * 1024) {
        buf_add(&s->early, bytes, size);
    }
}

static void on_eof(void *ctx, enum remote_channel channel)
{
    struct attach_session *s = ctx;
    if (s->socket >= 0) {
        shutdown(s->socket, SHUT_WR);
    }
}

static int connect_monitor(struct attach_session *s, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char *path MEM_CLEANUP = mem_printf("%s/attach", s->run->dir != NULL ? s->run->dir : "");
    if (strlen(path) >= sizeof address.sun_path) {
        return err_set(err, ERR_LIMIT, "the data folder's path is too long for a socket");
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    s->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (s->socket < 0 || connect(s->socket, (struct sockaddr *)&address, sizeof address) != 0) {
        return err_os(err, errno, "attach to the container");
    }
    return 0;
}

static void on_ready(void *ctx)
{
    struct attach_session *s = ctx;
    struct err err = ERR_INIT;
    if (connect_monitor(s, &err) != 0) {
        close_socket(s);
        remote_finish(s->remote, -1, err.message);
        return;
    }
    s->watch = poll_readable(s->agent->loop, s->socket, on_packet, s);
    if (s->early.n > 0) {
        send_input(s, s->early.p, s->early.n);
        buf_clear(&s->early);
    }
}

static void on_close(void *ctx)
{
    struct attach_session *s = ctx;
    s->closed = true;
    session_free(s);
}

static const struct remote_ops remote_callbacks = {
    .on_ready = on_ready, .on_data = on_data, .on_eof = on_eof, .on_close = on_close};

static bool flag(const struct serve_request *request, const char *a, const char *b)
{
    return serve_query_bool(request, a) || serve_query_bool(request, b);
}

void serve_attach(struct serve_request *request)
{
    struct run *run = request->run;
    if (run == NULL || !container_live(run->container)) {
        serve_error(request->exchange, 404, "container not found (\"%.*s\")",
                    STR_ARG(request->parts[2]));
        return;
    }
    struct attach_session *s = mem_new(struct attach_session);
    s->agent = request->agent;
    s->run = run;
    s->entry = run->entry;
    s->socket = -1;
    s->wants = (struct remote_wants){.in = flag(request, "stdin", "input"),
                                     .out = flag(request, "stdout", "output"),
                                     .err = flag(request, "stderr", "error"),
                                     .tty = serve_query_bool(request, "tty")};
    s->wants.err &= !s->wants.tty;
    s->remote = remote_accept(request, &s->wants, &remote_callbacks, s);
    if (s->remote == NULL) {
        free(s);
        return;
    }
    entry_hold(s->entry);
    s->item.end = session_end;
    stream_set_add(request->agent, &s->item);
}

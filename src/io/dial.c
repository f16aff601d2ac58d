/* dial.c: connects a stream: looks the name up off the loop, tries the addresses one by one, all
 * within the caller's timeout.
 *
 * The uv handle of a failed attempt is closed and used again for the next address; while it closes
 * (stream->retrying) a close of the stream only marks it, and the callback here goes on to the
 * stream's own.
 */
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/un.h>

#include "base/mem.h"
#include "io/stream_int.h"

#define DIAL_TIMEOUT_NS (10 * NS_PER_S)

struct stream_dial {
    struct stream *stream; /* NULL: it is gone, only the look-up is still in flight */
    uv_getaddrinfo_t lookup;
    bool looking;
    struct addrinfo *found, *next;
    struct sockaddr_storage numeric;
    char *unix_path; /* instead of addresses */
    char *name;      /* as the caller gave it, for messages */
    char *host, *alpn;
    struct tls_context *tls;
};

void stream_dial_free(struct stream_dial *dial)
{
    if (dial == NULL) {
        return;
    }
    dial->stream = NULL;
    if (dial->looking) {
        uv_cancel((uv_req_t *)&dial->lookup);
        return; /* on_lookup comes back here */
    }
    uv_freeaddrinfo(dial->found);
    tls_unref(dial->tls);
    free(dial->unix_path);
    free(dial->name);
    free(dial->host);
    free(dial->alpn);
    free(dial);
}

static void dial_fail(struct stream_dial *dial, int os_errno)
{
    char *what MEM_CLEANUP = mem_printf("dial %s", dial->name);
    stream_fail(dial->stream, ERR_UNAVAILABLE, os_errno, what);
}

static void dial_next(struct stream_dial *dial);

static void on_retry_closed(uv_handle_t *handle)
{
    struct stream *stream = handle->data;
    stream->retrying = false;
    if (stream->state == STREAM_CLOSED) {
        stream_handle_closed(handle);
    } else {
        dial_next(stream->dial);
    }
}

static void attempt_failed(struct stream_dial *dial, int os_errno)
{
    struct stream *stream = dial->stream;
    if (dial->next == NULL) {
        dial_fail(dial, os_errno);
        return;
    }
    stream->handle_open = false;
    stream->retrying = true;
    uv_close(&stream->uv.handle, on_retry_closed);
}

static void on_connect(uv_connect_t *request, int status)
{
    struct stream *stream = request->data;
    stream->request_busy = false;
    if (stream->state != STREAM_DIALING || status == UV_ECANCELED) {
        return;
    }
    if (status != 0) {
        attempt_failed(stream->dial, -status);
        return;
    }
    struct stream_dial *dial = stream->dial;
    uv_os_fd_t fd;
    if (dial->unix_path == NULL && uv_fileno(&stream->uv.handle, &fd) == 0) {
        stream_tune(fd);
    }
    if (dial->tls != NULL) {
        stream->tls =
            tls_session_new(dial->tls, str_of(dial->host), str_of(dial->alpn), &stream->err);
        if (stream->tls == NULL) {
            stream_finish(stream);
            return;
        }
    }
    stream_connected(stream);
}

static void dial_address(struct stream_dial *dial, const struct sockaddr *address)
{
    struct stream *stream = dial->stream;
    uv_tcp_init(loop_uv(stream->loop), &stream->uv.tcp);
    stream->uv.handle.data = stream;
    stream->handle_open = true;
    stream->request.connect.data = stream;
    int rc = net_ops->connect();
    if (rc == 0) {
        rc = uv_tcp_connect(&stream->request.connect, &stream->uv.tcp, address, on_connect);
    }
    if (rc != 0) {
        attempt_failed(dial, -rc);
    } else {
        stream->request_busy = true;
    }
}

static void dial_next(struct stream_dial *dial)
{
    struct addrinfo *next = dial->next;
    dial->next = next->ai_next;
    dial_address(dial, next->ai_addr);
}

static void dial_unix(struct stream_dial *dial)
{
    struct stream *stream = dial->stream;
    uv_pipe_init(loop_uv(stream->loop), &stream->uv.pipe, 0);
    stream->uv.handle.data = stream;
    stream->handle_open = true;
    stream->request.connect.data = stream;
    stream->request_busy = true;
    uv_pipe_connect(&stream->request.connect, &stream->uv.pipe, dial->unix_path, on_connect);
}

static void on_lookup(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct stream_dial *dial = container_of(request, struct stream_dial, lookup);
    dial->looking = false;
    dial->found = dial->next = found;
    if (dial->stream == NULL) {
        stream_dial_free(dial);
        return;
    }
    if (dial->stream->state != STREAM_DIALING) {
        return;
    }
    if (status != 0 || found == NULL) {
        char *what MEM_CLEANUP =
            mem_printf("dial %s: %s", dial->name, status != 0 ? uv_strerror(status) : "no address");
        stream_fail(dial->stream, ERR_UNAVAILABLE, 0, what);
        return;
    }
    dial_next(dial);
}

static void dial_lookup(struct stream_dial *dial, uint16_t port)
{
    char service[8];
    snprintf(service, sizeof service, "%u", (unsigned)port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    int rc = uv_getaddrinfo(loop_uv(dial->stream->loop), &dial->lookup, on_lookup, dial->host,
                            service, &hints);
    if (rc != 0) {
        dial_fail(dial, -rc);
    } else {
        dial->looking = true;
    }
}

static void dial_timeout(struct timer *timer)
{
    struct stream *stream = container_of(timer, struct stream, timer);
    char *what MEM_CLEANUP = mem_printf("dial %s: timed out", stream->dial->name);
    stream_fail(stream, ERR_TIMEOUT, 0, what);
}

/* In the first turn, so that on_close never comes from inside stream_dial(). */
static void dial_start(struct task *task)
{
    struct stream *stream = container_of(task, struct stream, input);
    struct stream_dial *dial = stream->dial;
    struct str host, name = str_of(dial->name);
    uint16_t port;
    stream->input_queued = false;
    if (str_starts(name, STR("unix:"))) {
        dial->unix_path = str_dup(str_from(name, sizeof "unix:" - 1));
        if (strlen(dial->unix_path) >= sizeof((struct sockaddr_un *)0)->sun_path) {
            stream_fail(stream, ERR_INVALID, 0, "dial: path too long");
        } else {
            dial_unix(dial);
        }
        return;
    }
    if (!address_split(name, &host, &port) || host.n == 0 || port == 0) {
        char *what MEM_CLEANUP = mem_printf("dial %s: not a host and a port", dial->name);
        stream_fail(stream, ERR_INVALID, 0, what);
        return;
    }
    if (address_numeric(host, port, &dial->numeric)) {
        dial_address(dial, (struct sockaddr *)&dial->numeric);
        return;
    }
    char *server_name = dial->host;
    dial->host = str_dup(host);
    dial_lookup(dial, port);
    if (server_name != NULL) { /* getaddrinfo has copied the host */
        free(dial->host);
        dial->host = server_name;
    }
}

struct stream *stream_dial(struct loop *loop, const struct dial_options *options,
                           const struct stream_ops *ops, void *ctx)
{
    struct stream *stream = stream_new(loop, ops, ctx);
    struct stream_dial *dial = mem_new(struct stream_dial);
    struct str host;
    uint16_t port;
    stream->dial = dial;
    dial->stream = stream;
    dial->name = str_dup(options->address);
    dial->alpn = str_dup(options->alpn);
    dial->tls = options->tls != NULL ? tls_ref(options->tls) : NULL;
    if (options->server_name.n > 0) {
        dial->host = str_dup(options->server_name);
    } else if (address_split(options->address, &host, &port) &&
               address_numeric(host, port, &dial->numeric)) {
        dial->host = str_dup(host);
    }
    timer_start(loop, &stream->timer,
                options->timeout_ns != 0 ? options->timeout_ns : DIAL_TIMEOUT_NS, dial_timeout);
    stream->input.run = dial_start;
    stream->input_queued = true;
    loop_defer(loop, &stream->input);
    return stream;
}

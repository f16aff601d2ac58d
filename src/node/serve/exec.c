/* exec.c: /exec/NS/POD[/UID]/CONTAINER?command=...&stdin=1...: a program in a container, its stdio
 * over the channels of a remote. Without a terminal: three pipes. With one: crun sends us the
 * master's descriptor over a socket; sizes arrive as JSON on the resize channel.
 *
 * The outcome is sent when the program has ended and its pipes are empty (at most a moment later:
 * what it left running may hold them).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/net.h"
#include "io/poll.h"
#include "node/probe/exec.h"
#include "node/serve/remote.h"

static const size_t QUEUE_MAX = 256 * 1024;
static const int64_t DRAIN_TIME = NS_PER_S / 5;

struct exec_session {
    struct stream_item item;
    struct agent *agent;
    struct run *run;
    struct pod_entry *entry; /* held */
    struct remote *remote;
    struct remote_wants wants;
    struct arena arena;
    struct str *argv;
    size_t argv_count;
    struct exec *exec;
    struct stream *in, *out, *err; /* with a terminal: in == out */
    struct buf early;              /* input before the terminal is there */
    bool early_eof;
    struct winsize window; /* the latest asked for; all 0: none yet */
    int terminal_fd;       /* for the window size; the stream has a duplicate */
    int listener, peer;
    struct poll_watch *listener_watch, *peer_watch;
    char *socket_path;
    struct timer drain;
    bool exited, closed;
    int status;
};

static void ignore_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
}
static void ignore_close(void *ctx, struct stream *stream, const struct err *err)
{
}
static const struct stream_ops silent = {.on_read = ignore_read, .on_close = ignore_close};

static void drop(struct stream **stream)
{
    if (*stream != NULL) {
        stream_set_ops(*stream, &silent, NULL);
        stream_abort(*stream, ERR_CANCELED, "over");
        *stream = NULL;
    }
}

static void close_console(struct exec_session *s)
{
    if (s->listener_watch != NULL) {
        poll_stop(s->listener_watch);
        s->listener_watch = NULL;
    }
    if (s->peer_watch != NULL) {
        poll_stop(s->peer_watch);
        s->peer_watch = NULL;
    }
    if (s->listener >= 0) {
        close(s->listener);
        s->listener = -1;
    }
    if (s->peer >= 0) {
        close(s->peer);
        s->peer = -1;
    }
    if (s->socket_path != NULL) {
        unlink(s->socket_path);
        free(s->socket_path);
        s->socket_path = NULL;
    }
}

static void session_free(struct exec_session *s)
{
    struct pod_entry *entry = s->entry;
    timer_stop(&s->drain);
    list_remove(&s->item.link);
    if (s->in == s->out) {
        s->in = NULL;
    }
    drop(&s->in);
    drop(&s->out);
    drop(&s->err);
    close_console(s);
    if (s->terminal_fd >= 0) {
        close(s->terminal_fd);
    }
    exec_free(s->exec);
    arena_done(&s->arena);
    buf_done(&s->early);
    free(s);
    entry_release(entry);
}

static void session_end(struct stream_item *item)
{
    struct exec_session *s = container_of(item, struct exec_session, item);
    if (!s->closed) {
        remote_abort(s->remote);
    }
    session_free(s);
}

static void finish(struct exec_session *s)
{
    timer_stop(&s->drain);
    if (!s->closed) {
        remote_finish(s->remote, s->status, NULL); /* on_close follows, which frees */
    }
}

static void on_drain_timer(struct timer *timer)
{
    finish(container_of(timer, struct exec_session, drain));
}

static void maybe_finish(struct exec_session *s)
{
    if (!s->exited) {
        return;
    }
    if (s->out == NULL && s->err == NULL) {
        finish(s);
    } else if (!timer_armed(&s->drain)) {
        timer_start(s->agent->loop, &s->drain, DRAIN_TIME, on_drain_timer);
    }
}

static void on_exit_status(void *ctx, int exit_status)
{
    struct exec_session *s = ctx;
    s->exited = true;
    s->status = exit_status;
    maybe_finish(s);
}

/* ---- output ---- */

static void on_output(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    struct exec_session *s = ctx;
    remote_send(s->remote, stream == s->err ? REMOTE_STDERR : REMOTE_STDOUT, bytes, size);
    if (remote_queued(s->remote) > QUEUE_MAX) {
        stream_pause(stream);
    }
}

static void on_output_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct exec_session *s = ctx;
    if (stream == s->in) {
        s->in = NULL;
    }
    if (stream == s->err) {
        s->err = NULL;
    } else if (stream == s->out) {
        s->out = NULL;
    }
    maybe_finish(s);
}

static void on_input_drain(void *ctx, struct stream *stream)
{
    remote_pause(((struct exec_session *)ctx)->remote, false);
}

static const struct stream_ops output_ops = {
    .on_read = on_output, .on_close = on_output_close, .on_drain = on_input_drain};

static void on_remote_drain(void *ctx)
{
    struct exec_session *s = ctx;
    if (s->out != NULL) {
        stream_resume(s->out);
    }
    if (s->err != NULL) {
        stream_resume(s->err);
    }
}

/* ---- input ---- */

static void apply_window(struct exec_session *s)
{
    if (s->terminal_fd >= 0 && s->window.ws_col > 0) {
        ioctl(s->terminal_fd, TIOCSWINSZ, &s->window);
    }
}

/* The first size usually arrives before the terminal does. */
static void resize(struct exec_session *s, const char *bytes, size_t size)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *value;
    if (size <= 4096 && val_parse_json(&arena, str_at(bytes, size), &value, NULL) == 0) {
        s->window.ws_col = (unsigned short)val_int(val_get(value, "Width"), 80);
        s->window.ws_row = (unsigned short)val_int(val_get(value, "Height"), 24);
        apply_window(s);
    }
}

static void on_data(void *ctx, enum remote_channel channel, const char *bytes, size_t size)
{
    struct exec_session *s = ctx;
    if (channel == REMOTE_RESIZE) {
        resize(s, bytes, size);
    } else if (s->in != NULL) {
        stream_write(s->in, bytes, size);
        if (stream_queued(s->in) > QUEUE_MAX) {
            remote_pause(s->remote, true);
        }
    } else if (s->wants.in && !s->exited && s->early.n + size < 1024 * 1024 &&
               (s->exec == NULL || s->listener >= 0)) {
        buf_add(&s->early, bytes, size);
    }
}

static void on_eof(void *ctx, enum remote_channel channel)
{
    struct exec_session *s = ctx;
    if (s->in != NULL && !s->wants.tty) {
        stream_close(s->in); /* the pipe's end, after what is queued */
        s->in = NULL;
    }
    s->early_eof = s->in == NULL;
}

static void give_early_input(struct exec_session *s)
{
    if (s->in != NULL && s->early.n > 0) {
        stream_write(s->in, s->early.p, s->early.n);
        buf_clear(&s->early);
    }
    if (s->in != NULL && s->early_eof && !s->wants.tty) {
        stream_close(s->in);
        s->in = NULL;
    }
}

/* ---- a terminal ---- */

static int receive_fd(int socket)
{
    char byte[256], control[CMSG_SPACE(sizeof(int))];
    struct iovec part = {byte, sizeof byte};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) <= 0) {
        return -1;
    }
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int fd = -1;
    if (header != NULL && header->cmsg_type == SCM_RIGHTS) {
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
    }
    return fd;
}

static void on_console_message(void *ctx, int fd)
{
    struct exec_session *s = ctx;
    int terminal = receive_fd(fd);
    close_console(s);
    if (terminal < 0) {
        return;
    }
    s->terminal_fd = fcntl(terminal, F_DUPFD_CLOEXEC, 3);
    fcntl(terminal, F_SETFL, O_NONBLOCK);
    s->out = stream_from_fd(s->agent->loop, terminal, &output_ops, s);
    s->in = s->out;
    apply_window(s);
    give_early_input(s);
}

static void on_console_peer(void *ctx, int fd)
{
    struct exec_session *s = ctx;
    s->peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (s->peer >= 0) {
        poll_stop(s->listener_watch);
        s->listener_watch = NULL;
        s->peer_watch = poll_readable(s->agent->loop, s->peer, on_console_message, s);
    }
}

static int open_console(struct exec_session *s, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    s->socket_path = mem_printf("%s/tty-%llx", s->run->dir,
                                (unsigned long long)random_u64(loop_random(s->agent->loop)));
    if (strlen(s->socket_path) >= sizeof address.sun_path) {
        return err_set(err, ERR_LIMIT, "the data folder's path is too long for a socket");
    }
    memcpy(address.sun_path, s->socket_path, strlen(s->socket_path) + 1);
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(s->listener, 1) != 0) {
        return err_os(err, errno, "console socket %s", s->socket_path);
    }
    s->listener_watch = poll_readable(s->agent->loop, s->listener, on_console_peer, s);
    return 0;
}

/* ---- starting ---- */

static int open_pipe(int *ret_ours, int *ret_theirs, bool we_read, struct err *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return err_os(err, errno, "pipe");
    }
    *ret_ours = we_read ? fds[0] : fds[1];
    *ret_theirs = we_read ? fds[1] : fds[0];
    fcntl(*ret_ours, F_SETFL, O_NONBLOCK);
    return 0;
}

static int start_with_pipes(struct exec_session *s, struct exec_options *options, struct err *err)
{
    int ours[3] = {-1, -1, -1}, theirs[3] = {-1, -1, -1}, rc = 0;
    bool wanted[3] = {s->wants.in, s->wants.out, s->wants.err};
    for (int i = 0; i < 3 && rc == 0; i++) {
        if (wanted[i]) {
            rc = open_pipe(&ours[i], &theirs[i], i != 0, err);
        }
    }
    options->stdin_fd = theirs[0];
    options->stdout_fd = theirs[1];
    options->stderr_fd = theirs[2];
    rc = rc == 0 ? exec_start(s->run, options, on_exit_status, s, &s->exec, err) : rc;
    struct stream **streams[3] = {&s->in, &s->out, &s->err};
    for (int i = 0; i < 3; i++) {
        if (theirs[i] >= 0) {
            close(theirs[i]);
        }
        if (ours[i] >= 0 && rc == 0) {
            *streams[i] = stream_from_fd(s->agent->loop, ours[i], &output_ops, s);
        } else if (ours[i] >= 0) {
            close(ours[i]);
        }
    }
    return rc;
}

static void on_ready(void *ctx)
{
    struct exec_session *s = ctx;
    struct err err = ERR_INIT;
    struct exec_options options = {.argv = s->argv,
                                   .argv_count = s->argv_count,
                                   .tty = s->wants.tty,
                                   .stdin_fd = -1,
                                   .stdout_fd = -1,
                                   .stderr_fd = -1};
    int rc;
    if (s->wants.tty) {
        rc = open_console(s, &err);
        options.console_socket = s->socket_path;
        rc = rc == 0 ? exec_start(s->run, &options, on_exit_status, s, &s->exec, &err) : rc;
    } else {
        rc = start_with_pipes(s, &options, &err);
    }
    if (rc != 0) {
        remote_finish(s->remote, -1, err.message);
        return;
    }
    give_early_input(s);
}

static void on_remote_close(void *ctx)
{
    struct exec_session *s = ctx;
    s->closed = true;
    session_free(s); /* kills the program if it still runs */
}

static const struct remote_ops remote_callbacks = {.on_ready = on_ready,
                                                   .on_data = on_data,
                                                   .on_eof = on_eof,
                                                   .on_drain = on_remote_drain,
                                                   .on_close = on_remote_close};

static void read_command(struct exec_session *s, const struct serve_request *request)
{
    s->argv = arena_array(&s->arena, struct str, request->query_count + 1);
    for (size_t i = 0; i < request->query_count; i++) {
        if (str_is(request->query[i].key, "command")) {
            s->argv[s->argv_count++] = str_copy_in(&s->arena, request->query[i].value);
        }
    }
}

static bool flag(const struct serve_request *request, const char *a, const char *b)
{
    return serve_query_bool(request, a) || serve_query_bool(request, b);
}

void serve_exec(struct serve_request *request)
{
    struct run *run = request->run;
    if (run == NULL || run->container->state != CONTAINER_RUNNING) {
        serve_error(request->exchange, 404, "container not found (\"%.*s\")",
                    STR_ARG(request->parts[2]));
        return;
    }
    struct exec_session *s = mem_new(struct exec_session);
    s->agent = request->agent;
    s->run = run;
    s->entry = run->entry;
    s->terminal_fd = s->listener = s->peer = -1;
    s->wants = (struct remote_wants){.in = flag(request, "stdin", "input"),
                                     .out = flag(request, "stdout", "output"),
                                     .err = flag(request, "stderr", "error"),
                                     .tty = serve_query_bool(request, "tty")};
    s->wants.err &= !s->wants.tty;
    read_command(s, request);
    if (s->argv_count == 0) {
        serve_error(request->exchange, 400, "you must specify the command to execute");
    } else {
        s->remote = remote_accept(request, &s->wants, &remote_callbacks, s);
    }
    if (s->remote == NULL) {
        arena_done(&s->arena);
        free(s);
        return;
    }
    entry_hold(s->entry);
    s->item.end = session_end;
    stream_set_add(request->agent, &s->item);
}

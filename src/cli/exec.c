/* exec.c: `cox exec`: a command in a container over a WebSocket (v5.channel.k8s.io): byte 0 of each
 * message is the channel: 0 stdin, 1 stdout, 2 stderr, 3 the final Status, 4 terminal size, 255
 * closes the channel named in byte 1. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cli/pod_target.h"
#include "cli/verb.h"
#include "io/poll.h"

struct session {
    struct loop *loop;
    struct websocket *socket;
    struct poll_watch *input;
    struct timer size_timer;
    unsigned short rows, columns;
    struct buf status;
    bool done;
    struct err err;
};

static void write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            return;
        }
        bytes += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
}

static void on_message(void *ctx, struct websocket *socket, bool binary, const char *bytes,
                       size_t size)
{
    struct session *s = ctx;
    if (size < 1) {
        return;
    }
    if (bytes[0] == 1 || bytes[0] == 2) {
        write_all(bytes[0], bytes + 1, size - 1);
    } else if (bytes[0] == 3) {
        buf_add(&s->status, bytes + 1, size - 1);
    }
}

static void on_close(void *ctx, struct websocket *socket, int code, const struct err *err)
{
    struct session *s = ctx;
    s->socket = NULL;
    s->done = true;
    s->err = *err;
    loop_stop(s->loop);
}

static const struct websocket_ops socket_ops = {.on_message = on_message, .on_close = on_close};

static void on_input(void *ctx, int fd)
{
    struct session *s = ctx;
    char bytes[16385];
    ssize_t n = read(fd, bytes + 1, sizeof bytes - 1);
    if (n > 0 && s->socket != NULL) {
        bytes[0] = 0;
        websocket_send(s->socket, true, bytes, (size_t)n + 1);
    } else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        poll_stop(s->input);
        s->input = NULL;
        if (s->socket != NULL) {
            websocket_send(s->socket, true, "\xff\x00", 2);
        }
    }
}

/* The terminal's size goes to the container when it changes. */
static void on_size(struct timer *timer)
{
    struct session *s = container_of(timer, struct session, size_timer);
    struct winsize size;
    char text[64];
    if (s->socket != NULL && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
        (size.ws_row != s->rows || size.ws_col != s->columns)) {
        s->rows = size.ws_row;
        s->columns = size.ws_col;
        int n = snprintf(text, sizeof text, "\x04{\"Width\":%u,\"Height\":%u}", size.ws_col,
                         size.ws_row);
        websocket_send(s->socket, true, text, (size_t)n);
    }
    timer_start(s->loop, timer, 250 * NS_PER_MS, on_size);
}

/* Exit status from the Status on channel 3: Success, or NonZeroExitCode with the code as a cause.
 */
static int exit_status(struct session *s)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *status = NULL;
    if (s->status.n == 0 || val_parse_json(&arena, buf_view(&s->status), &status, NULL) != 0) {
        fprintf(stderr, "error: the connection ended: %s\n",
                s->err.message[0] != '\0' ? s->err.message : "no exit status came");
        return 1;
    }
    if (str_is(val_text(val_get(status, "status")), "Success")) {
        return 0;
    }
    VAL_EACH (cause, val_path(status, "details.causes")) {
        uint64_t code = 1;
        if (str_is(val_text(val_get(cause, "reason")), "ExitCode") &&
            str_u64(val_text(val_get(cause, "message")), &code)) {
            fprintf(stderr, "command terminated with exit code %llu\n", (unsigned long long)code);
            return (int)(code & 255);
        }
    }
    fprintf(stderr, "error: %.*s\n", STR_ARG(val_text(val_get(status, "message"))));
    return 1;
}

static int run(struct arguments *a, struct connection *c, struct str path, struct err *err)
{
    struct session s = {.loop = connection_loop(c)};
    struct termios before;
    bool raw = a->tty && tcgetattr(STDIN_FILENO, &before) == 0;
    int rc = connection_websocket(c, path, "v5.channel.k8s.io,v4.channel.k8s.io", &socket_ops, &s,
                                  &s.socket, err);
    if (rc != 0) {
        return rc;
    }
    if (raw) {
        struct termios now = before;
        cfmakeraw(&now);
        tcsetattr(STDIN_FILENO, TCSADRAIN, &now);
        on_size(&s.size_timer);
    }
    s.input = a->std_in ? poll_readable(s.loop, STDIN_FILENO, on_input, &s) : NULL;
    while (!s.done) {
        loop_run(s.loop);
    }
    if (s.input != NULL) {
        poll_stop(s.input);
    }
    timer_stop(&s.size_timer);
    if (raw) {
        tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    }
    int status = exit_status(&s);
    buf_done(&s.status);
    return status;
}

int cli_exec(int argc, char **argv)
{
    struct arguments a;
    struct connection *c = NULL;
    struct buf path BUF_CLEANUP = BUF_INIT;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct pod_target pod;
    struct err err = ERR_INIT;
    if (!cli_open(argc, argv, FLAG_NAMESPACE | FLAG_CONTAINER | FLAG_STDIN | FLAG_TTY, &a, &c)) {
        return 1;
    }
    int rc = a.words.count != 1 || a.command.count == 0
                 ? err_set(&err, ERR_INVALID,
                           "say a pod and a command: cox exec POD|TYPE/NAME -- COMMAND")
                 : pod_target_find(&a, c, &arena, &pod, &err);
    if (rc == 0) {
        path_write(&path, arguments_resource(STR("pods")), pod.ns, pod.name, "exec");
        if (a.container != NULL) {
            path_query(&path, "container", str_of(a.container));
        }
        path_query(&path, "stdin", a.std_in ? STR("true") : STR("false"));
        path_query(&path, "stdout", STR("true"));
        path_query(&path, "stderr", a.tty ? STR("false") : STR("true"));
        path_query(&path, "tty", a.tty ? STR("true") : STR("false"));
        VEC_EACH (part, &a.command) {
            path_query(&path, "command", str_of(*part));
        }
        rc = run(&a, c, buf_view(&path), &err);
    }
    int status = rc < 0 ? cli_fail(&err) : rc;
    cli_close(&a, c);
    return status;
}

/* action.c: choosing the kind of a handler, its time limit, and the kinds without a protocol: sleep
 * and tcpSocket, and exec's output. */
#include "node/probe/action.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/net.h"
#include "node/probe/exec.h"

enum { OUTPUT_MAX = 10 * 1024 };

static const struct action_kind *const kinds[] = {&action_exec, &action_http, &action_tcp,
                                                  &action_grpc, &action_sleep};

void action_finish(struct action *action, bool ok, struct str output)
{
    action_done_fn *done = action->done;
    timer_stop(&action->timer);
    if (done != NULL) {
        action->done = NULL;
        done(action->ctx, ok, output); /* may free the action */
    }
}

static void on_failed(struct timer *timer)
{
    struct action *action = container_of(timer, struct action, failed);
    action_finish(action, false, str_of(action->failure));
}

static void on_timeout(struct timer *timer)
{
    struct action *action = container_of(timer, struct action, timer);
    char took[TIME_TEXT_SIZE], text[128];
    duration_format(action->timeout_ns, took);
    snprintf(text, sizeof text, "command timed out after %s", took);
    if (action->state != NULL && action->kind->stop != NULL) {
        action->kind->stop(action);
        action->state = NULL;
    }
    action_finish(action, false, str_of(text));
}

struct action *action_start(struct run *run, const struct val *handler, int64_t timeout_ns,
                            action_done_fn *done, void *ctx)
{
    struct action *action = mem_new(struct action);
    struct err err = ERR_INIT;
    *action = (struct action){.run = run,
                              .done = done,
                              .ctx = ctx,
                              .loop = run->entry->agent->loop,
                              .timeout_ns = timeout_ns};
    const struct val *spec = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && spec == NULL; i++) {
        spec = val_get_str(handler, str_of(kinds[i]->field));
        action->kind = kinds[i];
    }
    if (timeout_ns > 0) {
        timer_start(action->loop, &action->timer, timeout_ns, on_timeout);
    }
    int rc = val_absent(spec) ? err_set(&err, ERR_UNSUPPORTED, "the handler has no action")
                              : action->kind->start(action, spec, &err);
    if (rc != 0) {
        snprintf(action->failure, sizeof action->failure, "%s", err.message);
        timer_start(action->loop, &action->failed, 0, on_failed);
    }
    return action;
}

void action_free(struct action *action)
{
    if (action == NULL) {
        return;
    }
    action->done = NULL;
    timer_stop(&action->timer);
    timer_stop(&action->failed);
    if (action->state != NULL && action->kind->stop != NULL) {
        action->kind->stop(action);
    }
    free(action);
}

uint16_t action_port(const struct action *action, const struct val *port)
{
    int64_t number = val_int(port, 0);
    uint64_t from_text;
    if (number == 0 && str_u64(val_text(port), &from_text)) {
        number = (int64_t)from_text;
    }
    if (number == 0) {
        const struct val *named = val_find(val_get(container_spec(action->run->container), "ports"),
                                           "name", val_text(port));
        number = val_int(val_get(named, "containerPort"), 0);
    }
    return number > 0 && number <= UINT16_MAX ? (uint16_t)number : 0;
}

struct str action_host(const struct action *action, const struct val *spec)
{
    struct str host = val_text(val_get(spec, "host"));
    return host.n > 0 ? host : str_of(action->run->entry->network.ip);
}

/* ---- sleep ---- */

static void on_slept(struct timer *timer)
{
    action_finish(container_of(timer, struct action, failed), true, STR_NONE);
}

static int sleep_start(struct action *action, const struct val *spec, struct err *err)
{
    timer_start(action->loop, &action->failed, val_int(val_get(spec, "seconds"), 0) * NS_PER_S,
                on_slept);
    return 0;
}
const struct action_kind action_sleep = {.field = "sleep", .start = sleep_start};

/* ---- tcpSocket ---- */

static void on_tcp_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct action *action = ctx;
    if (action != NULL) {
        action->state = NULL;
        action_finish(action, false, str_of(err->message));
    }
}

static void on_tcp_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
}
static const struct stream_ops silent_ops = {.on_read = on_tcp_read, .on_close = on_tcp_close};

static void on_tcp_open(void *ctx, struct stream *stream)
{
    struct action *action = ctx;
    action->state = NULL;
    stream_set_ops(stream, &silent_ops, NULL);
    stream_abort(stream, ERR_CANCELED, "probed");
    action_finish(action, true, STR_NONE);
}

static const struct stream_ops tcp_ops = {
    .on_read = on_tcp_read, .on_close = on_tcp_close, .on_open = on_tcp_open};

static int tcp_start(struct action *action, const struct val *spec, struct err *err)
{
    uint16_t port = action_port(action, val_get(spec, "port"));
    struct str host = action_host(action, spec);
    char address[300];
    if (port == 0) {
        return err_set(err, ERR_INVALID, "couldn't find port: %.*s",
                       STR_ARG(val_text(val_get(spec, "port"))));
    }
    snprintf(address, sizeof address, str_contains(host, STR(":")) ? "[%.*s]:%u" : "%.*s:%u",
             STR_ARG(host), port);
    struct dial_options options = {.address = str_of(address), .timeout_ns = action->timeout_ns};
    action->state = stream_dial(action->loop, &options, &tcp_ops, action);
    return 0;
}

static void tcp_stop(struct action *action)
{
    stream_set_ops(action->state, &silent_ops, NULL);
    stream_abort(action->state, ERR_CANCELED, "the probe is over");
}
const struct action_kind action_tcp = {.field = "tcpSocket", .start = tcp_start, .stop = tcp_stop};

/* ---- exec ---- */

struct exec_state {
    struct action *action;
    struct exec *exec;
    struct stream *output;
    struct buf text;
    bool exited;
    int status;
};

static void exec_state_free(struct exec_state *state)
{
    exec_free(state->exec);
    if (state->output != NULL) {
        stream_set_ops(state->output, &silent_ops, NULL);
        stream_abort(state->output, ERR_CANCELED, "over");
    }
    buf_done(&state->text);
    free(state);
}

static void exec_over(struct exec_state *state)
{
    struct action *action = state->action;
    action->state = NULL;
    struct buf text = state->text;
    bool ok = state->status == 0;
    state->text = (struct buf)BUF_INIT;
    exec_state_free(state);
    action_finish(action, ok, buf_view(&text));
    buf_done(&text);
}

static void on_exec_exit(void *ctx, int exit_status)
{
    struct exec_state *state = ctx;
    state->exited = true;
    state->status = exit_status;
    exec_over(state);
}

static void on_output(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    struct exec_state *state = ctx;
    size_t room = OUTPUT_MAX - state->text.n;
    buf_add(&state->text, bytes, size < room ? size : room);
}

static void on_output_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct exec_state *state = ctx;
    state->output = NULL;
}
static const struct stream_ops output_ops = {.on_read = on_output, .on_close = on_output_close};

static int exec_action_start(struct action *action, const struct val *spec, struct err *err)
{
    int pipe_fds[2];
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct val *command = val_get(spec, "command");
    struct str *argv = arena_array(&arena, struct str, val_count(command) + 1);
    size_t count = 0;
    VAL_EACH (it, command) {
        argv[count++] = val_text(it);
    }
    if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) != 0) {
        return err_os(err, errno, "pipe");
    }
    struct exec_state *state = mem_new(struct exec_state);
    state->action = action;
    fcntl(pipe_fds[1], F_SETFL, 0); /* the program's end blocks */
    struct exec_options options = {.argv = argv,
                                   .argv_count = count,
                                   .stdin_fd = -1,
                                   .stdout_fd = pipe_fds[1],
                                   .stderr_fd = pipe_fds[1]};
    int rc = exec_start(action->run, &options, on_exec_exit, state, &state->exec, err);
    close(pipe_fds[1]);
    if (rc != 0) {
        close(pipe_fds[0]);
        free(state);
        return rc;
    }
    state->output = stream_from_fd(action->loop, pipe_fds[0], &output_ops, state);
    action->state = state;
    return 0;
}

static void exec_action_stop(struct action *action)
{
    exec_state_free(action->state);
}
const struct action_kind action_exec = {
    .field = "exec", .start = exec_action_start, .stop = exec_action_stop};

/* remote.c: choosing the carrier, and the outcome as a Status on the error channel. */
#include "node/serve/remote.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

struct remote *remote_accept(struct serve_request *request, const struct remote_wants *wants,
                             const struct remote_ops *ops, void *ctx)
{
    char *wanted = str_dup_in(request->arena, http_upgrade_wanted(request->exchange));
    for (char *c = wanted; *c != '\0'; c++) {
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
    }
    struct remote *remote = NULL;
    if (!wants->in && !wants->out && !wants->err) {
        serve_error(request->exchange, 400, "you must specify at least 1 of stdin, stdout, stderr");
    } else if (strcmp(wanted, "websocket") == 0) {
        remote = remote_ws_accept(request, wants);
    } else if (strcmp(wanted, "spdy/3.1") == 0) {
        remote = remote_spdy_accept(request, wants);
    } else {
        serve_error(request->exchange, 400, "unable to upgrade: ask for websocket or SPDY/3.1");
    }
    if (remote != NULL) {
        remote->ops = *ops;
        remote->ctx = ctx;
    }
    return remote;
}

void remote_send(struct remote *remote, enum remote_channel channel, const char *bytes, size_t size)
{
    if (!remote->finished) {
        remote->carrier->send(remote, channel, bytes, size);
    }
}

size_t remote_queued(const struct remote *remote)
{
    return remote->carrier->queued(remote);
}

void remote_pause(struct remote *remote, bool paused)
{
    remote->carrier->pause(remote, paused);
}

void remote_finish(struct remote *remote, int exit_status, const char *failure)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct arena *a = &arena;
    struct buf out BUF_CLEANUP = BUF_INIT;
    struct val *status = val_new(a, VAL_OBJECT);
    if (remote->finished) {
        return;
    }
    val_make_object(a, status, STR("metadata"));
    if (exit_status == 0) {
        val_set_text(a, status, STR("status"), STR("Success"));
    } else {
        val_set_text(a, status, STR("status"), STR("Failure"));
        char *text = arena_printf(a, "command terminated with non-zero exit code: exit status %d",
                                  exit_status);
        val_set_text(a, status, STR("message"), str_of(failure != NULL ? failure : text));
        val_set_text(a, status, STR("reason"),
                     failure != NULL ? STR("InternalError") : STR("NonZeroExitCode"));
        if (failure == NULL) {
            struct val *causes =
                val_make_array(a, val_make_object(a, status, STR("details")), STR("causes"));
            struct val *cause = val_append(causes, val_new(a, VAL_OBJECT));
            val_set_text(a, cause, STR("reason"), STR("ExitCode"));
            val_set_text(a, cause, STR("message"), str_of(arena_printf(a, "%d", exit_status)));
        } else {
            val_set_int(a, status, STR("code"), 500);
        }
    }
    val_write_json(status, &out);
    remote->carrier->send(remote, REMOTE_ERROR, out.p, out.n);
    remote->finished = true;
    remote->carrier->finish(remote);
}

void remote_abort(struct remote *remote)
{
    remote->carrier->abort(remote);
}

void remote_closed(struct remote *remote)
{
    timer_stop(&remote->ready_timer);
    if (remote->ops.on_close != NULL) {
        remote->ops.on_close(remote->ctx);
    }
}

/* run.c: POST /run/NS/POD[/UID]/CONTAINER?cmd=: a program in a container, its output as the answer
 * (the first 10 KiB of it); and /checkpoint, which this runtime cannot. */
#include <stdlib.h>

#include "base/mem.h"
#include "node/probe/action.h"
#include "node/serve/streams.h"

static const int64_t RUN_TIMEOUT = 120 * NS_PER_S;

struct running {
    struct stream_item item;
    struct pod_entry *entry; /* held */
    struct http_exchange *exchange;
    struct action *action;
};

static void running_free(struct running *running)
{
    struct pod_entry *entry = running->entry;
    list_remove(&running->item.link);
    action_free(running->action);
    free(running);
    entry_release(entry);
}

static void run_end(struct stream_item *item)
{
    running_free(container_of(item, struct running, item));
}

static void on_done(void *ctx, bool ok, struct str output)
{
    struct running *running = ctx;
    struct http_exchange *exchange = running->exchange;
    struct http_body *body = http_body_copy(output);
    struct http_header header = {STR("content-type"), STR("text/plain; charset=utf-8")};
    running_free(running);
    http_exchange_set(exchange, NULL);
    http_respond(exchange, ok ? 200 : 500, &header, 1, body);
}

void serve_run(struct serve_request *request)
{
    struct arena *a = request->arena;
    struct str rest = serve_query(request, "cmd");
    if (request->entry == NULL || request->run == NULL ||
        !container_live(request->run->container)) {
        serve_error(request->exchange, 404, "container not found");
        return;
    }
    if (rest.n == 0) {
        serve_error(request->exchange, 400, "cmd says what to run");
        return;
    }
    struct val *handler = val_new(a, VAL_OBJECT);
    struct val *command =
        val_make_array(a, val_make_object(a, handler, STR("exec")), STR("command"));
    while (rest.p != NULL) {
        val_append(command, val_new_text(a, str_cut(rest, ' ', &rest)));
    }
    struct running *running = mem_new(struct running);
    running->entry = request->entry;
    running->exchange = request->exchange;
    running->item.end = run_end;
    entry_hold(running->entry);
    stream_set_add(request->agent, &running->item);
    http_exchange_set(request->exchange, &running->item);
    running->action = action_start(request->run, handler, RUN_TIMEOUT, on_done, running);
}

void serve_checkpoint(struct serve_request *request)
{
    serve_error(request->exchange, 404, "checkpointing containers is not implemented here");
}

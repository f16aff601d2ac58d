/* why.c: one endpoint: the question travels to the scheduler's loop and its answer back. See why.h.
 */
#include "role/why.h"

#include "base/mem.h"
#include "scheduler/scheduler.h"
#include "server/server.h"

struct why_server {
    struct loop *loop;
    void *const *scheduler;
};

struct question {
    struct task task;
    struct why_server *why;
    struct endpoint_call *call;
    struct str ns, pod;
    struct val *answer; /* NULL: the scheduler does not run */
};

static void answer(struct task *task)
{
    struct question *question = container_of(task, struct question, task);
    struct buf json BUF_CLEANUP = BUF_INIT;
    if (question->answer == NULL) {
        endpoint_answer(question->call, 503, "text/plain", STR("the scheduler does not run\n"));
        return;
    }
    val_write_json(question->answer, &json);
    endpoint_answer(question->call, 200, "application/json", buf_view(&json));
}

/* On the scheduler's loop. The call's arena is ours until the answer. */
static void ask(struct task *task)
{
    struct question *question = container_of(task, struct question, task);
    struct scheduler *scheduler = *question->why->scheduler;
    if (scheduler != NULL) {
        question->answer =
            scheduler_why(scheduler, question->call->arena, question->ns, question->pod);
    }
    question->task.run = answer;
    loop_post(question->call->loop, &question->task);
}

static struct str parameter(struct str query, const char *name)
{
    while (query.p != NULL) {
        struct str value, item = str_cut(query, '&', &query);
        if (str_is(str_cut(item, '=', &value), name)) {
            return value; /* names of objects need no escapes */
        }
    }
    return STR_NONE;
}

static void on_why(void *ctx, struct endpoint_call *call)
{
    struct question *question = arena_new(call->arena, struct question);
    *question = (struct question){.why = ctx, .call = call, .task.run = ask};
    list_init(&question->task.link);
    question->ns = parameter(call->query, "namespace");
    question->pod = parameter(call->query, "pod");
    if (!str_is(call->method, "GET") || question->ns.n == 0 || question->pod.n == 0) {
        endpoint_answer(call, 400, "text/plain",
                        STR("say: GET /cox/v1/why?namespace=NAMESPACE&pod=NAME\n"));
        return;
    }
    loop_post(question->why->loop, &question->task);
}

void why_serve(struct server *server, struct loop *loop, void *const *scheduler)
{
    struct why_server *why = mem_new(struct why_server);
    *why = (struct why_server){loop, scheduler};
    server_add_endpoint(server, "/cox/v1/why", false, on_why, why);
}

/* reverse.c: keeps STANDBY idle connections open. A connection that got its first request counts as
 * used and is replaced at once; one that fails is dialled again after a back-off (200 ms doubling
 * to 10 s). See reverse.h. */
#include "role/reverse.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"
#include "io/net.h"
#include "node/agent.h"
#include "wire/http.h"

enum { STANDBY = 3 };

struct line { /* one connection */
    struct reverse *reverse;
    struct list link;
    bool used;
};

struct reverse {
    struct loop *loop;
    struct agent *agent;
    char *address;
    struct tls_context *tls;
    struct list lines;
    int idle; /* dialling or waiting for a request */
    int64_t delay_ns;
    struct timer retry;
    bool stopped;
};

static void fill(struct reverse *r);

static void on_retry(struct timer *timer)
{
    fill(container_of(timer, struct reverse, retry));
}

static void on_request(void *ctx, struct http_exchange *exchange)
{
    struct line *line = ctx;
    if (!line->used) {
        line->used = true;
        line->reverse->idle--;
        fill(line->reverse);
    }
    if (line->reverse->stopped) {
        http_respond(exchange, 503, NULL, 0, NULL);
    } else {
        agent_handle(line->reverse->agent, exchange, true);
    }
}

static void on_abort(void *ctx, struct http_exchange *exchange)
{
    struct line *line = ctx;
    if (!line->reverse->stopped) {
        agent_abort(line->reverse->agent, exchange);
    }
}

/* The connection is gone: replaced when it was idle. */
static void on_end(void *ctx)
{
    struct line *line = ctx;
    struct reverse *r = line->reverse;
    list_remove(&line->link);
    if (!line->used) {
        r->idle--;
    }
    free(line);
    if (!r->stopped && r->idle < STANDBY && !timer_armed(&r->retry)) {
        timer_start(r->loop, &r->retry, r->delay_ns, on_retry);
    }
}

static const struct http_server_ops line_ops = {
    .on_request = on_request, .on_abort = on_abort, .on_end = on_end};

static void on_upgraded(void *ctx, struct stream *stream, int status,
                        const struct http_header *headers, size_t count, const struct err *err)
{
    static const struct http_server_options options = {.idle_ns = 365LL * 86400 * NS_PER_S};
    struct line *line = ctx;
    struct reverse *r = line->reverse;
    if (stream == NULL || r->stopped) {
        r->delay_ns = r->delay_ns * 2 > 10 * NS_PER_S ? 10 * NS_PER_S : r->delay_ns * 2;
        if (stream != NULL) {
            stream_abort(stream, ERR_CANCELED, "stopping");
        }
        on_end(line);
        return;
    }
    r->delay_ns = 200 * NS_PER_MS;
    http_serve(stream, &options, &line_ops, line);
}

static void dial(struct reverse *r)
{
    static const struct stream_ops opening = {0};
    struct line *line = mem_new(struct line);
    *line = (struct line){.reverse = r};
    list_append(&r->lines, &line->link);
    r->idle++;
    struct dial_options options = {
        .address = str_of(r->address), .tls = r->tls, .alpn = STR("http/1.1")};
    struct http_client_request request = {
        .method = STR("GET"), .path = STR("/cox/v1/reverse"), .authority = str_of(r->address)};
    http_client_upgrade(stream_dial(r->loop, &options, &opening, NULL), &request,
                        STR("cox-reverse"), on_upgraded, line);
}

static void fill(struct reverse *r)
{
    while (!r->stopped && r->idle < STANDBY) {
        dial(r);
    }
}

struct reverse *reverse_start(struct loop *loop, struct agent *agent, struct str api_address,
                              struct tls_context *tls)
{
    struct reverse *r = mem_new(struct reverse);
    *r = (struct reverse){.loop = loop,
                          .agent = agent,
                          .address = str_dup(api_address),
                          .tls = tls,
                          .delay_ns = 200 * NS_PER_MS};
    list_init(&r->lines);
    fill(r);
    return r;
}

void reverse_stop(struct reverse *r) /* the process is about to end: lines close with it */
{
    if (r != NULL) {
        r->stopped = true;
        timer_stop(&r->retry);
    }
}

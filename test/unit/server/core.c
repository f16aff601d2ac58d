/* core.c: see core.h. */
#include "core.h"

#include "../cmocka_all.h"
#include "store/store.h"

static const int64_t start_wall = 1764000000LL * NS_PER_S;

static void on_ready(void *ctx, const struct err *err)
{
    if (err->code != 0) {
        fail_msg("bootstrap: %s", err->message);
    }
    *(bool *)ctx = true;
}

void core_start(struct core *core, uint64_t seed)
{
    struct err err = ERR_INIT;
    bool ready = false;
    *core = (struct core){.loop = loop_new_sim(seed, start_wall)};
    struct store_options store = {
        .path = "memory", .history_ns = 3600 * NS_PER_S, .clock = loop_clock(core->loop)};
    assert_int_equal(store_memory.open(&store, &core->store, &err), 0);
    core->cache = cache_new(0);
    assert_int_equal(sequencer_new(core->loop, core->store, core->cache, &core->sequencer, &err),
                     0);
    assert_int_equal(key_generate(&core->key, &err), 0);
    struct server_options options = {.loops = &core->loop,
                                     .loop_count = 1,
                                     .cache = core->cache,
                                     .sequencer = core->sequencer,
                                     .token_keys = &core->key,
                                     .token_key_count = 1,
                                     .bootstrap_tokens = true,
                                     .advertise_address = STR("10.0.0.1")};
    if (server_new(&options, &core->server, &err) < 0) {
        fail_msg("%s", err.message);
    }
    server_start(core->server, on_ready, &ready);
    for (int i = 0; i < 1000 && !ready; i++) {
        loop_run_for(core->loop, NS_PER_MS);
    }
    assert_true(ready);
}

void core_stop(struct core *core)
{
    loop_run_for(core->loop, 10 * NS_PER_MS);
    server_free(core->server);
    sequencer_free(core->sequencer);
    cache_free(core->cache);
    core->store->ops->close(core->store);
    key_unref(core->key);
    loop_free(core->loop);
}

struct capture {
    struct core_answer *answer;
    bool done;
};

static void drain(struct core_answer *answer)
{
    enum { CHUNK = 16 * 1024 };
    ssize_t n;
    while ((n = answer->stream->read(answer->stream, buf_room(&answer->body, CHUNK), CHUNK)) > 0) {
        answer->body.n += (size_t)n;
    }
    if (answer->body.p != NULL) {
        answer->body.p[answer->body.n] = '\0';
    }
    answer->open = n == HTTP_BODY_LATER;
}

static void capture(struct request *request, int status, const struct http_header *headers,
                    size_t count, struct http_body *body)
{
    struct capture *capture = request->capture_ctx;
    struct core_answer *answer = capture->answer;
    answer->status = status;
    for (size_t i = 0; i < count; i++) {
        buf_printf(&answer->headers, "%.*s: %.*s\n", STR_ARG(headers[i].name),
                   STR_ARG(headers[i].value));
    }
    answer->stream = body;
    capture->done = true;
    if (body != NULL) {
        drain(answer);
    }
}

void core_call(struct core *core, struct identity *identity, const struct http_request *http,
               struct core_answer *ret_answer)
{
    struct capture state = {.answer = ret_answer};
    *ret_answer = (struct core_answer){0};
    http_call_start(core->server, core->loop, identity, http, capture, &state);
    for (int i = 0; i < 5000 && !state.done; i++) {
        loop_run_for(core->loop, NS_PER_MS);
    }
    assert_true(state.done);
    if (ret_answer->stream != NULL && !ret_answer->open) {
        ret_answer->stream->free(ret_answer->stream);
        ret_answer->stream = NULL;
    }
}

void core_read(struct core *core, struct core_answer *answer)
{
    loop_run_for(core->loop, 10 * NS_PER_MS);
    buf_clear(&answer->body);
    if (answer->stream != NULL) {
        drain(answer);
    }
}

void core_answer_done(struct core *core, struct core_answer *answer)
{
    if (answer->stream != NULL) {
        answer->stream->free(answer->stream);
    }
    buf_done(&answer->headers);
    buf_done(&answer->body);
    *answer = (struct core_answer){0};
}

/* core.h: a whole server core on one simulated loop with the memory store: what the API tests and
 * the benchmark run against. */
#pragma once
#include "server/http/call.h"
#include "server/server.h"

struct core {
    struct loop *loop;
    struct store *store;
    struct cache *cache;
    struct sequencer *sequencer;
    struct server *server;
    struct key *key;
};
void core_start(struct core *core, uint64_t seed);
void core_stop(struct core *core);

struct core_answer {
    int status;
    struct buf headers; /* "name: value\n" */
    struct buf body;
    bool open; /* a stream that has more to say */
    struct http_body *stream;
};
/* Runs one request to its end (or, for a stream, as far as it goes now). */
void core_call(struct core *core, struct identity *identity, const struct http_request *http,
               struct core_answer *ret_answer);
void core_read(struct core *core, struct core_answer *answer); /* what a stream says meanwhile */
void core_answer_done(struct core *core, struct core_answer *answer);

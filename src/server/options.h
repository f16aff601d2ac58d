/* options.h: the query parameters of API requests (meta.k8s.io ListOptions, CreateOptions, ...),
 * parsed and checked once, before anything is looked at. Unknown parameters are ignored, as the API
 * does; known ones with bad values answer 400 or 422. */
#pragma once
#include "api/codec.h"
#include "server/failure.h"
#include "server/route.h"

enum version_match { MATCH_NONE, MATCH_EXACT, MATCH_NOT_OLDER };

struct query_options {
    struct str label_selector, field_selector;
    struct str version_text; /* resourceVersion as sent; n 0: unset */
    uint64_t version;
    enum version_match match;
    int64_t limit;
    struct str token; /* continue */
    bool bookmarks;
    bool initial_events, initial_events_set;
    int64_t timeout_s; /* 0: unset */
    bool dry_run;
    struct str field_manager;
    enum codec_strictness strictness; /* fieldValidation; default warn */
    bool force;
    bool pretty;
    struct str propagation; /* propagationPolicy, orphanDependents */
    int64_t grace_s;        /* -1: unset */
    const struct query_pair *pairs;
    size_t pair_count; /* all of them, decoded, for subresources with options of their own */
};
struct query_pair {
    struct str key, value;
};

/* 0, or failure->code. */
int query_options_parse(struct arena *arena, const struct route *route, struct str query,
                        struct query_options *ret_options, struct failure *failure);
struct str query_get(const struct query_options *options, const char *key); /* first, or STR_NONE */
bool query_bool(const struct query_options *options, const char *key);

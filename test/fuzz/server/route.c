/* route.c: "METHOD TARGET\nACCEPT" through the route, the query options, continue tokens and the
 * Accept header. What comes out must be safe to be a storage key: no slash, no dots alone, no
 * control bytes in namespace and name, and a namespace only where the kind has one. */
#include <stdlib.h>

#include "server/http/accept.h"
#include "server/options.h"
#include "server/verb/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_key(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '/' || c < 0x20 || c == 0x7f || c == '%') {
            abort();
        }
    }
    if (str_is(text, ".") || str_is(text, "..")) {
        abort();
    }
}

static void check_route(const struct route *route)
{
    if (route->resource == NULL) {
        return;
    }
    check_key(route->ns);
    check_key(route->name);
    if (!route->resource->served || (route->ns.n > 0 && !route->resource->namespaced) ||
        (route->verb == VERB_UPDATE && route->name.n == 0)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct str accept_text = STR_NONE, target = STR_NONE, query = STR_NONE;
    struct str input = str_copy_in(&arena, str_at((const char *)data, size));
    struct str line = str_cut(input, '\n', &accept_text);
    struct str method = str_cut(line, ' ', &target);
    struct str path = str_cut(target, '?', &query);
    struct route route = {0};
    struct err err = ERR_INIT;
    struct failure failure;
    struct query_options options;
    struct list_token token;
    if (route_parse(&arena, NULL, method, path, query, &route, &err) == 0) {
        check_route(&route);
        struct request request = {.route = route};
        accept_read(&request, accept_text);
        if (query_options_parse(&arena, &route, query, &options, &failure) == 0 &&
            list_token_parse(&arena, options.token, &token)) {
            check_key(token.name);
        }
    }
    return 0;
}

/* etag.c: see etag.h. A document below /openapi/v3/ is named by its hash in the index: with the
 * right hash it never changes; with another one the client is sent to the right one. */
#include "server/info/etag.h"

#include "server/server_int.h"

static bool client_has(struct str asked, struct str etag)
{
    while (asked.p != NULL) {
        struct str one = str_trim(str_cut(asked, ',', &asked));
        if (str_is(one, "*")) {
            return true;
        }
        if (str_starts(one, STR("W/"))) {
            one = str_from(one, 2);
        }
        if (str_eq(one, etag)) {
            return true;
        }
    }
    return false;
}

static void expires_in_a_year(struct request *request)
{
    static const char *const days[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int64_t second = clock_wall(loop_clock(request->loop)) / NS_PER_S + 365 * 86400LL;
    char text[TIME_TEXT_SIZE]; /* 2006-01-02T15:04:05Z */
    time_format_seconds(second, -1, text);
    int month = (text[5] - '0') * 10 + text[6] - '0';
    request_header(request, "expires",
                   arena_printf(&request->arena, "%s, %.2s %s %.4s %.8s GMT",
                                days[second / 86400 % 7], text + 8, months[month - 1], text,
                                text + 11));
}

static void answer_empty(struct request *request, int status)
{
    struct buf nothing = BUF_INIT;
    request_answer_bytes(request, status, "application/json", &nothing);
    buf_done(&nothing);
}

bool etag_answer(struct request *request, struct str hash, bool hashed_path)
{
    struct str etag = str_of(arena_printf(&request->arena, "\"%.*s\"", STR_ARG(hash)));
    struct str asked = query_get(&request->options, "hash");
    request_header(request, "etag", etag.p);
    request_header(request, "vary", "Accept");
    if (hashed_path && asked.n > 0 && !str_eq(asked, hash)) {
        request_header(request, "location",
                       arena_printf(&request->arena, "%.*s?hash=%.*s", STR_ARG(request->route.path),
                                    STR_ARG(hash)));
        answer_empty(request, 301);
        return true;
    }
    if (hashed_path && asked.n > 0) {
        request->cache_control = "public, immutable";
        expires_in_a_year(request);
    }
    if (request->if_none_match.n > 0 && client_has(request->if_none_match, etag)) {
        answer_empty(request, 304);
        return true;
    }
    return false;
}

/* dns_forward.c: see dns_forward.h.
 *
 * Invariants: at most QUERIES_MAX open questions (more are answered with nothing at once); each
 * ends by its answer or by its timer. An answer counts only when its id and its question are those
 * that were sent. The cache keeps whole answers for their lowest TTL, at most CACHE_MOST_S, and is
 * emptied when full.
 */
#include "network/dns_forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "io/net.h"
#include "io/poll.h"
#include "network/address.h"
#include "wire/dns.h"

enum { UPSTREAMS_MAX = 4, QUERIES_MAX = 512, CACHE_MAX = 1024, CACHE_MOST_S = 30, ROUNDS = 2 };
#define ATTEMPT_NS (2 * NS_PER_S)

struct upstream {
    uint32_t address;
    uint16_t port;
};
struct cached {
    int64_t until_ns;
    size_t n;
    char bytes[];
};
struct dns_forwarder {
    struct loop *loop;
    struct upstream upstreams[UPSTREAMS_MAX];
    size_t upstream_count, open;
    struct list queries;
    struct map cache; /* by question bytes: struct cached */
};
struct forward {
    struct list link;
    struct dns_forwarder *forwarder;
    struct buf query;
    size_t question_end;
    bool tcp;
    unsigned attempt;
    int fd;
    struct poll_watch *watch;
    struct stream *stream;
    struct buf received; /* TCP */
    struct timer timer;
    dns_forward_fn *done;
    void *ctx;
};

static int parse_upstream(struct str text, struct upstream *upstream, struct err *err)
{
    struct str port_text;
    struct str host = str_cut(text, ':', &port_text);
    uint64_t port = 53;
    if (!address_parse(host, &upstream->address) ||
        (port_text.p != NULL && (!str_u64(port_text, &port) || port == 0 || port > 65535))) {
        return err_set(err, ERR_INVALID, "\"%.*s\" is no DNS upstream like 9.9.9.9 or 9.9.9.9:53",
                       STR_ARG(text));
    }
    upstream->port = (uint16_t)port;
    return 0;
}

int dns_forwarder_new(struct loop *loop, struct str upstream, struct dns_forwarder **ret_forwarder,
                      struct err *err)
{
    struct dns_forwarder *forwarder = mem_new(struct dns_forwarder);
    forwarder->loop = loop;
    list_init(&forwarder->queries);
    struct str rest = upstream;
    while (rest.p != NULL && rest.n > 0) {
        struct str item = str_trim(str_cut(rest, ',', &rest));
        if (item.n == 0 || forwarder->upstream_count == UPSTREAMS_MAX) {
            continue;
        }
        int rc = parse_upstream(item, &forwarder->upstreams[forwarder->upstream_count++], err);
        if (rc != 0) {
            free(forwarder);
            return rc;
        }
    }
    *ret_forwarder = forwarder;
    return 0;
}

static void close_attempt(struct forward *forward)
{
    static const struct stream_ops nobody = {0};
    timer_stop(&forward->timer);
    poll_stop(forward->watch);
    forward->watch = NULL;
    if (forward->fd >= 0) {
        close(forward->fd);
        forward->fd = -1;
    }
    if (forward->stream != NULL) {
        struct stream *stream = forward->stream;
        forward->stream = NULL;
        stream_set_ops(stream, &nobody, NULL);
        stream_abort(stream, ERR_CANCELED, "done");
    }
}

static void free_forward(struct forward *forward)
{
    close_attempt(forward);
    list_remove(&forward->link);
    forward->forwarder->open--;
    buf_done(&forward->query);
    buf_done(&forward->received);
    free(forward);
}

static void empty_cache(struct dns_forwarder *forwarder)
{
    MAP_EACH (entry, &forwarder->cache) {
        free(entry->value);
    }
    map_done(&forwarder->cache);
}

void dns_forwarder_free(struct dns_forwarder *forwarder)
{
    if (forwarder == NULL) {
        return;
    }
    LIST_EACH_SAFE (it, &forwarder->queries) {
        free_forward(container_of(it, struct forward, link));
    }
    empty_cache(forwarder);
    free(forwarder);
}

/* What identifies a question: its flags RD and CD, name as asked, type, class; whether it has an
 * OPT record. */
static struct str cache_key(struct str query, struct arena *arena)
{
    char *key = arena_alloc(arena, query.n);
    memcpy(key, query.p, query.n);
    key[0] = key[1] = 0; /* id */
    return str_at(key, query.n);
}

static void remember(struct dns_forwarder *forwarder, struct str query, struct str answer)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    uint32_t ttl = dns_answer_ttl(answer);
    if (ttl == 0) {
        return;
    }
    if (forwarder->cache.count >= CACHE_MAX) {
        empty_cache(forwarder);
    }
    struct cached *cached = mem_alloc(sizeof *cached + answer.n);
    ttl = ttl > CACHE_MOST_S ? CACHE_MOST_S : ttl;
    cached->until_ns = loop_mono(forwarder->loop) + ttl * NS_PER_S;
    cached->n = answer.n;
    memcpy(cached->bytes, answer.p, answer.n);
    free(map_set(&forwarder->cache, cache_key(query, &arena), cached));
}

static void finish(struct forward *forward, struct str answer)
{
    dns_forward_fn *done = forward->done;
    void *ctx = forward->ctx;
    if (answer.n > 0) {
        remember(forward->forwarder, buf_view(&forward->query), answer);
    }
    close_attempt(forward);
    done(ctx, answer);
    free_forward(forward);
}

static void next_attempt(struct forward *forward);
static void timed_out(struct timer *timer);
static void start_tcp(struct forward *forward, const struct upstream *upstream);

/* An answer to what was asked. */
static bool fits(const struct forward *forward, struct str answer)
{
    const char *query = forward->query.p;
    size_t end = forward->question_end;
    if (answer.n < end || memcmp(answer.p, query, 2) != 0 || !(answer.p[2] & 0x80) ||
        answer.p[4] != 0 || answer.p[5] != 1) {
        return false;
    }
    for (size_t i = 12; i < end; i++) {
        char a = answer.p[i], b = query[i];
        a = a >= 'A' && a <= 'Z' ? (char)(a + 32) : a;
        b = b >= 'A' && b <= 'Z' ? (char)(b + 32) : b;
        if (a != b) {
            return false;
        }
    }
    return true;
}

static void datagram(void *ctx, int fd)
{
    struct forward *forward = ctx;
    char bytes[4096];
    ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n < 0) {
        next_attempt(forward); /* refused: do not wait for the timer */
        return;
    }
    struct str answer = str_at(bytes, (size_t)n);
    if (!fits(forward, answer)) {
        return;
    }
    if (forward->tcp && (answer.p[2] & 2) != 0) { /* cut, and the client can take the whole */
        close_attempt(forward);
        timer_start(forward->forwarder->loop, &forward->timer, ATTEMPT_NS, timed_out);
        start_tcp(forward,
                  &forward->forwarder
                       ->upstreams[(forward->attempt - 1) % forward->forwarder->upstream_count]);
        return;
    }
    finish(forward, answer);
}

static void timed_out(struct timer *timer)
{
    next_attempt(container_of(timer, struct forward, timer));
}

static void tcp_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    struct forward *forward = ctx;
    if (forward == NULL) {
        return;
    }
    buf_add(&forward->received, bytes, size);
    if (forward->received.n < 2) {
        return;
    }
    const uint8_t *p = (const uint8_t *)forward->received.p;
    size_t n = (size_t)(p[0] << 8 | p[1]);
    if (forward->received.n < n + 2) {
        return;
    }
    struct str answer = str_at(forward->received.p + 2, n);
    if (fits(forward, answer)) {
        finish(forward, answer);
    } else {
        next_attempt(forward);
    }
}

static void tcp_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct forward *forward = ctx;
    if (forward != NULL && forward->stream == stream) {
        forward->stream = NULL;
        next_attempt(forward);
    }
}

static void start_tcp(struct forward *forward, const struct upstream *upstream)
{
    static const struct stream_ops ops = {.on_read = tcp_read, .on_close = tcp_close};
    char address[ADDRESS_TEXT_SIZE + 8], host[ADDRESS_TEXT_SIZE];
    address_format(upstream->address, host);
    snprintf(address, sizeof address, "%s:%u", host, upstream->port);
    struct dial_options options = {.address = str_of(address), .timeout_ns = ATTEMPT_NS};
    uint8_t length[2] = {(uint8_t)(forward->query.n >> 8), (uint8_t)forward->query.n};
    buf_clear(&forward->received);
    forward->stream = stream_dial(forward->forwarder->loop, &options, &ops, forward);
    if (forward->stream != NULL) {
        stream_write(forward->stream, length, 2);
        stream_write(forward->stream, forward->query.p, forward->query.n);
    }
}

static void start_udp(struct forward *forward, const struct upstream *upstream)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(upstream->port),
                             .sin_addr.s_addr = htonl(upstream->address)};
    forward->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (forward->fd >= 0 && connect(forward->fd, (struct sockaddr *)&to, sizeof to) == 0 &&
        send(forward->fd, forward->query.p, forward->query.n, MSG_NOSIGNAL) > 0) {
        forward->watch = poll_readable(forward->forwarder->loop, forward->fd, datagram, forward);
    } /* otherwise the timer goes on to the next one */
}

static void next_attempt(struct forward *forward)
{
    struct dns_forwarder *forwarder = forward->forwarder;
    close_attempt(forward);
    if (forward->attempt >= ROUNDS * forwarder->upstream_count) {
        finish(forward, STR_NONE);
        return;
    }
    const struct upstream *upstream =
        &forwarder->upstreams[forward->attempt++ % forwarder->upstream_count];
    random_fill(loop_random(forwarder->loop), forward->query.p, 2);
    timer_start(forwarder->loop, &forward->timer, ATTEMPT_NS, timed_out);
    start_udp(forward, upstream);
}

void dns_forward(struct dns_forwarder *forwarder, struct str query, bool tcp, dns_forward_fn *done,
                 void *ctx)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct cached *cached = map_get(&forwarder->cache, cache_key(query, &arena));
    if (cached != NULL && cached->until_ns > loop_mono(forwarder->loop)) {
        done(ctx, str_at(cached->bytes, cached->n));
        return;
    }
    size_t name_end = dns_skip_name(query, 12);
    if (forwarder->upstream_count == 0 || forwarder->open >= QUERIES_MAX || name_end == 0 ||
        name_end + 4 > query.n) {
        done(ctx, STR_NONE);
        return;
    }
    struct forward *forward = mem_new(struct forward);
    forward->forwarder = forwarder;
    forward->fd = -1;
    forward->tcp = tcp;
    forward->done = done;
    forward->ctx = ctx;
    forward->question_end = name_end + 4;
    buf_str(&forward->query, query);
    list_append(&forwarder->queries, &forward->link);
    forwarder->open++;
    next_attempt(forward);
}

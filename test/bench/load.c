/* load.c: load for the bench, on any API server: many requests in flight over HTTP/2, many watchers
 * on few connections.
 *
 *   load fill PATH TEMPLATE COUNT INFLIGHT    POST the template COUNT times ("%d" becomes the
 * number); rate, p50, p99 load bound COUNT TEMPLATE INFLIGHT        create COUNT pods and wait
 * until a watch has seen COUNT pods with a node; rate load watchers CONNECTIONS WATCHES EVENTS RATE
 * that many watchers of ConfigMaps; EVENTS creates at RATE a second; delay from the answer of a
 * create to each watcher's receipt: p50, p99 load list PATH MEDIA-TYPE                 GET once;
 * bytes and seconds
 *
 * KUBECONFIG says where. One line of JSON comes out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "cli/connection.h"
#include "io/file.h"

struct load {
    struct loop *loop;
    struct connection *connection;
    struct str template_text, path, bearer;
    int64_t count, sent, answered, failed, inflight, seen;
    int64_t start_ns;
    struct {
        VEC_OF(int64_t);
    } times;
    struct buf lines;
    uint64_t version;
    int watches;
    int first_failure;
};

static void die(const struct err *err)
{
    fprintf(stderr, "load: %s\n", err->message);
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double percentile_ms(struct load *load, double part)
{
    if (load->times.count == 0) {
        return 0;
    }
    size_t at = (size_t)((double)load->times.count * part);
    at = at >= load->times.count ? load->times.count - 1 : at;
    return (double)load->times.items[at] / 1e6;
}

static struct connection *connect_or_die(void)
{
    struct connection_options options = {0};
    struct connection *connection = NULL;
    struct err err = ERR_INIT;
    if (connection_open(&options, &connection, &err) != 0) {
        die(&err);
    }
    return connection;
}

static size_t headers_of(const struct load *load, struct http_header *headers, bool body)
{
    size_t n = 0;
    headers[n++] = (struct http_header){STR("accept"), STR("application/json")};
    if (body) {
        headers[n++] = (struct http_header){STR("content-type"), STR("application/json")};
    }
    if (load->bearer.n > 0) {
        headers[n++] = (struct http_header){STR("authorization"), load->bearer};
    }
    return n;
}

/* ---- creates ---- */

struct create {
    struct load *load;
    int64_t sent_ns;
    int status;
};

static void send_more(struct load *load);

static void on_headers(void *ctx, struct http_exchange *exchange, int status,
                       const struct http_header *headers, size_t count)
{
    ((struct create *)ctx)->status = status;
}

static void on_ignored(void *ctx, struct http_exchange *exchange, const char *bytes, size_t size)
{
}

static void on_created(void *ctx, struct http_exchange *exchange, const struct err *err)
{
    struct create *create = ctx;
    struct load *load = create->load;
    *vec_push(&load->times) = loop_mono(load->loop) - create->sent_ns;
    load->answered++;
    load->inflight--;
    if (create->status != 201) {
        load->failed++;
        load->first_failure = load->first_failure != 0 ? load->first_failure : create->status;
    }
    free(create);
    if (load->answered == load->count) {
        loop_stop(load->loop);
    } else {
        send_more(load);
    }
}

static const struct http_client_ops create_ops = {
    .on_headers = on_headers, .on_data = on_ignored, .on_end = on_created};

static void create_one(struct load *load)
{
    struct buf body BUF_CLEANUP = BUF_INIT;
    struct http_header headers[4];
    struct create *create = mem_new(struct create);
    for (struct str rest = load->template_text; rest.n > 0;) {
        const char *at = memmem(rest.p, rest.n, "%d", 2);
        buf_add(&body, rest.p, at != NULL ? (size_t)(at - rest.p) : rest.n);
        if (at != NULL) {
            buf_i64(&body, load->sent);
        }
        rest = at != NULL ? str_from(rest, (size_t)(at - rest.p) + 2) : STR_NONE;
    }
    *create = (struct create){load, loop_mono(load->loop), 0};
    struct http_client_request request = {.method = STR("POST"),
                                          .path = load->path,
                                          .authority = connection_authority(load->connection),
                                          .headers = headers,
                                          .header_count = headers_of(load, headers, true),
                                          .body = http_body_copy(buf_view(&body))};
    load->sent++;
    load->inflight++;
    http_send(connection_client(load->connection), &request, &create_ops, create);
}

static int64_t window;

static void send_more(struct load *load)
{
    while (load->sent < load->count && load->inflight < window) {
        create_one(load);
    }
}

static void read_template(struct load *load, const char *path)
{
    struct buf text = BUF_INIT; /* lives as long as the process */
    struct err err = ERR_INIT;
    if (file_read(path, 4 << 20, &text, &err) != 0) {
        die(&err);
    }
    load->template_text = buf_view(&text);
}

static int64_t number(const char *text)
{
    int64_t value = 0;
    if (!str_i64(str_of(text), &value)) {
        fprintf(stderr, "load: \"%s\" is no number\n", text);
        exit(2);
    }
    return value;
}

static int fill(struct load *load, char **argv)
{
    load->path = str_of(argv[0]);
    read_template(load, argv[1]);
    load->count = number(argv[2]);
    window = number(argv[3]);
    load->start_ns = loop_mono(load->loop);
    send_more(load);
    loop_run(load->loop);
    double seconds = (double)(loop_mono(load->loop) - load->start_ns) / 1e9;
    qsort(load->times.items, load->times.count, sizeof *load->times.items, by_value);
    printf("{\"rate\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"failed\":%lld,\"first_failure\":%d}\n",
           (double)load->count / seconds, percentile_ms(load, 0.5), percentile_ms(load, 0.99),
           (long long)load->failed, load->first_failure);
    return load->failed > 0;
}

/* ---- pods until bound ---- */

static void watch_bound(struct load *load);

/* The first resourceVersion of an event is its object's: where a watch that was ended goes on. */
static void remember_version(struct load *load, struct str line)
{
    static const char name[] = "\"resourceVersion\":\"";
    const char *at = memmem(line.p, line.n, name, sizeof name - 1);
    struct str rest, value;
    uint64_t version = 0;
    if (at == NULL) {
        return;
    }
    value = str_cut(str_from(line, (size_t)(at - line.p) + sizeof name - 1), '"', &rest);
    if (str_u64(value, &version)) {
        load->version = version;
    }
}

static void on_bound_bytes(void *ctx, struct http_exchange *exchange, const char *bytes,
                           size_t size)
{
    struct load *load = ctx;
    buf_add(&load->lines, bytes, size);
    size_t from = 0;
    for (const char *end;
         (end = memchr(load->lines.p + from, '\n', load->lines.n - from)) != NULL;) {
        size_t n = (size_t)(end - load->lines.p) - from;
        struct str line = str_at(load->lines.p + from, n);
        remember_version(load, line);
        /* the event in which the node first appears is a MODIFIED one with the name and no later
         * condition: count names once by PodScheduled True */
        if (str_contains(line, STR("\"MODIFIED\"")) && str_contains(line, STR("\"nodeName\":\"")) &&
            str_contains(line, STR("\"PodScheduled\""))) {
            load->seen++;
        }
        from += n + 1;
    }
    buf_drop_front(&load->lines, from);
    if (load->seen >= load->count) {
        loop_stop(load->loop);
    }
}

static void on_watch_headers(void *ctx, struct http_exchange *exchange, int status,
                             const struct http_header *headers, size_t count)
{
    if (status != 200) {
        fprintf(stderr, "load: the watch answered %d\n", status);
        exit(1);
    }
}

/* A server may end the watch of a client that reads too slowly: it goes on where it was. */
static void on_watch_end(void *ctx, struct http_exchange *exchange, const struct err *err)
{
    struct load *load = ctx;
    if (++load->watches > 1000) {
        fprintf(stderr, "load: the watch ended again and again: %s\n", err->message);
        exit(1);
    }
    buf_clear(&load->lines);
    watch_bound(load);
}

static const struct http_client_ops bound_ops = {
    .on_headers = on_watch_headers, .on_data = on_bound_bytes, .on_end = on_watch_end};

static void watch_bound(struct load *load)
{
    struct http_header headers[4];
    char path[200];
    int n = snprintf(path, sizeof path,
                     "/api/v1/namespaces/default/"
                     "pods?watch=1&resourceVersion=%llu&labelSelector=bench%%3Dbound",
                     (unsigned long long)load->version);
    struct http_client_request request = {.method = STR("GET"),
                                          .path = str_at(path, (size_t)n),
                                          .authority = connection_authority(load->connection),
                                          .headers = headers,
                                          .header_count = headers_of(load, headers, false)};
    http_send(connection_another(load->connection), &request, &bound_ops, load);
}

static void on_timeout(struct timer *timer)
{
    fputs("load: not done in 600 s\n", stderr);
    exit(1);
}

static int bound(struct load *load, char **argv)
{
    struct timer timeout = {0};
    load->count = number(argv[0]);
    read_template(load, argv[1]);
    window = number(argv[2]);
    load->path = STR("/api/v1/namespaces/default/pods");
    watch_bound(load);
    timer_start(load->loop, &timeout, 600 * NS_PER_S, on_timeout);
    load->start_ns = loop_mono(load->loop);
    send_more(load);
    while (load->seen < load->count) {
        loop_run(load->loop);
    }
    double seconds = (double)(loop_mono(load->loop) - load->start_ns) / 1e9;
    printf("{\"rate\":%.1f,\"seconds\":%.3f,\"failed\":%lld}\n", (double)load->count / seconds,
           seconds, (long long)load->failed);
    return load->failed > 0;
}

/* ---- list ---- */

struct listing {
    struct load *load;
    uint64_t bytes;
    int status;
};

static void on_list_headers(void *ctx, struct http_exchange *exchange, int status,
                            const struct http_header *headers, size_t count)
{
    ((struct listing *)ctx)->status = status;
}

static void on_list_data(void *ctx, struct http_exchange *exchange, const char *bytes, size_t size)
{
    ((struct listing *)ctx)->bytes += size;
}

static void on_list_end(void *ctx, struct http_exchange *exchange, const struct err *err)
{
    loop_stop(((struct listing *)ctx)->load->loop);
}

static const struct http_client_ops list_ops = {
    .on_headers = on_list_headers, .on_data = on_list_data, .on_end = on_list_end};

static int list(struct load *load, char **argv)
{
    struct http_header headers[4];
    struct listing listing = {.load = load};
    struct buf body BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    struct connection_request warm = {
        .method = "GET", .path = STR("/version")}; /* the handshake is not part of the figure */
    connection_send(load->connection, &warm, &body, &err);
    struct http_client_request request = {.method = STR("GET"),
                                          .path = str_of(argv[0]),
                                          .authority = connection_authority(load->connection),
                                          .headers = headers,
                                          .header_count = headers_of(load, headers, false)};
    headers[0].value = str_of(argv[1]); /* accept */
    load->start_ns = loop_mono(load->loop);
    http_send(connection_client(load->connection), &request, &list_ops, &listing);
    loop_run(load->loop);
    printf("{\"seconds\":%.6f,\"bytes\":%llu,\"status\":%d}\n",
           (double)(loop_mono(load->loop) - load->start_ns) / 1e9,
           (unsigned long long)listing.bytes, listing.status);
    return listing.status != 200;
}

/* ---- watchers ---- */

enum { STAMPS = 100000 };

struct watchers {
    struct load *load;
    int64_t total, ready, events, created, received, interval_ns;
    int64_t committed_ns[STAMPS]; /* by number of the event: when its create was answered (or sent,
                                     until then) */
    struct timer pace;
};

struct watcher {
    struct watchers *all;
    struct buf lines;
    bool ready;
};

static void on_watcher_bytes(void *ctx, struct http_exchange *exchange, const char *bytes,
                             size_t size)
{
    struct watcher *w = ctx;
    struct watchers *all = w->all;
    int64_t now = loop_mono(all->load->loop);
    buf_add(&w->lines, bytes, size);
    size_t from = 0;
    for (const char *end; (end = memchr(w->lines.p + from, '\n', w->lines.n - from)) != NULL;) {
        size_t n = (size_t)(end - w->lines.p) - from;
        const char *at = memmem(w->lines.p + from, n, "bench-watch-", 12);
        struct str digits = at != NULL ? str_at(at + 12, 0) : STR_NONE;
        while (digits.p != NULL && digits.p + digits.n < end && digits.p[digits.n] >= '0' &&
               digits.p[digits.n] <= '9') {
            digits.n++;
        }
        uint64_t i = 0;
        if (str_u64(digits, &i) && i < STAMPS) {
            int64_t delay = now - all->committed_ns[i];
            *vec_push(&all->load->times) = delay > 0 ? delay : 0;
            all->received++;
        }
        from += n + 1;
    }
    buf_drop_front(&w->lines, from);
    if (all->received >= all->total * all->events) {
        loop_stop(all->load->loop);
    }
}

static void pace(struct timer *timer);

static void on_watcher_headers(void *ctx, struct http_exchange *exchange, int status,
                               const struct http_header *headers, size_t count)
{
    struct watchers *all = ((struct watcher *)ctx)->all;
    on_watch_headers(ctx, exchange, status, headers, count);
    if (++all->ready == all->total) {
        timer_start(all->load->loop, &all->pace, 200 * NS_PER_MS, pace);
    }
}

static const struct http_client_ops watcher_ops = {
    .on_headers = on_watcher_headers, .on_data = on_watcher_bytes, .on_end = on_watch_end};

struct stamp {
    struct watchers *all;
    int64_t number;
};

/* The answer of the create is when the event was certainly committed; a watcher that hears of it
 * before counts as zero. */
static void on_stamp_end(void *ctx, struct http_exchange *exchange, const struct err *err)
{
    struct stamp *stamp = ctx;
    stamp->all->committed_ns[stamp->number] = loop_mono(stamp->all->load->loop);
    free(stamp);
}

static void on_stamp_headers(void *ctx, struct http_exchange *exchange, int status,
                             const struct http_header *headers, size_t count)
{
    if (status != 201) {
        fprintf(stderr, "load: a create answered %d\n", status);
        exit(1);
    }
}

static const struct http_client_ops stamp_ops = {
    .on_headers = on_stamp_headers, .on_data = on_ignored, .on_end = on_stamp_end};

static void pace(struct timer *timer)
{
    struct watchers *all = container_of(timer, struct watchers, pace);
    struct load *load = all->load;
    struct buf body BUF_CLEANUP = BUF_INIT;
    struct http_header headers[4];
    struct stamp *stamp = mem_new(struct stamp);
    *stamp = (struct stamp){all, all->created};
    buf_printf(&body,
               "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"bench-watch-"
               "%lld\"},\"data\":{\"x\":\"",
               (long long)all->created);
    for (int i = 0; i < 1000; i++) {
        buf_char(&body, 'x');
    }
    buf_addz(&body, "\"}}");
    all->committed_ns[all->created++] = loop_mono(load->loop);
    struct http_client_request request = {.method = STR("POST"),
                                          .path = STR("/api/v1/namespaces/default/configmaps"),
                                          .authority = connection_authority(load->connection),
                                          .headers = headers,
                                          .header_count = headers_of(load, headers, true),
                                          .body = http_body_copy(buf_view(&body))};
    http_send(connection_client(load->connection), &request, &stamp_ops, stamp);
    if (all->created < all->events) {
        timer_start(load->loop, timer, all->interval_ns, pace);
    }
}

static int watchers(struct load *load, char **argv)
{
    static struct watchers all;
    struct timer timeout = {0};
    struct buf version BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    int64_t connections = number(argv[0]), each = number(argv[1]);
    all = (struct watchers){.load = load,
                            .total = connections * each,
                            .events = number(argv[2]),
                            .interval_ns = NS_PER_S / number(argv[3])};
    struct connection_request first = {.method = "GET", .path = STR("/version")};
    if (connection_send(load->connection, &first, &version, &err) != 0) {
        die(&err);
    }
    for (int64_t i = 0; i < connections; i++) {
        struct http_client *client = connection_another(load->connection);
        for (int64_t k = 0; k < each; k++) {
            struct http_header headers[4];
            struct watcher *w = mem_new(struct watcher);
            *w = (struct watcher){.all = &all};
            struct http_client_request request = {
                .method = STR("GET"),
                .path = STR("/api/v1/namespaces/default/configmaps?watch=1&labelSelector=%21none"),
                .authority = connection_authority(load->connection),
                .headers = headers,
                .header_count = headers_of(load, headers, false)};
            http_send(client, &request, &watcher_ops, w);
        }
    }
    timer_start(load->loop, &timeout, 600 * NS_PER_S, on_timeout);
    loop_run(load->loop);
    qsort(load->times.items, load->times.count, sizeof *load->times.items, by_value);
    printf("{\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"received\":%lld}\n", percentile_ms(load, 0.5),
           percentile_ms(load, 0.99), (long long)all.received);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int arguments;
        int (*run)(struct load *load, char **argv);
    } modes[] = {
        {"fill", 4, fill}, {"bound", 3, bound}, {"list", 2, list}, {"watchers", 4, watchers}};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (argc == modes[i].arguments + 2 && strcmp(argv[1], modes[i].name) == 0) {
            struct load load = {.connection = connect_or_die()};
            struct buf bearer = BUF_INIT;
            load.loop = connection_loop(load.connection);
            if (connection_token(load.connection).n > 0) {
                buf_printf(&bearer, "Bearer %.*s", STR_ARG(connection_token(load.connection)));
            }
            load.bearer = buf_view(&bearer);
            return modes[i].run(&load, argv + 2);
        }
    }
    fputs("usage: load fill PATH TEMPLATE COUNT INFLIGHT | bound COUNT TEMPLATE INFLIGHT | list "
          "PATH MEDIA-TYPE | watchers CONNECTIONS WATCHES EVENTS RATE\n",
          stderr);
    return 2;
}

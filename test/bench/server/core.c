/* core.c: what the API server costs without sockets: requests called in a loop against the core on
 * a simulated loop with the memory store. Prints one line a row: name, operations a second, CPU us
 * each.
 *
 *   bench-server-core [PODS]     (default 100,000)
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "server/http/call.h"
#include "server/server.h"
#include "store/store.h"

struct bench {
    struct loop *loop;
    struct store *store;
    struct cache *cache;
    struct sequencer *sequencer;
    struct server *server;
    struct identity *admin;
    char *chunk;
    uint64_t done, bytes;
    int status;
};
enum { CHUNK = 64 * 1024, IN_FLIGHT = 64 };

static double now_cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void on_ready(void *ctx, const struct err *err)
{
    *(bool *)ctx = true;
}

static void start(struct bench *b)
{
    struct err err = ERR_INIT;
    bool ready = false;
    b->loop = loop_new_sim(1, 1764000000LL * NS_PER_S);
    struct store_options store = {
        .path = "memory", .history_ns = NS_PER_S, .clock = loop_clock(b->loop)};
    store_memory.open(&store, &b->store, &err);
    b->cache = cache_new(0);
    sequencer_new(b->loop, b->store, b->cache, &b->sequencer, &err);
    struct server_options options = {
        .loops = &b->loop, .loop_count = 1, .cache = b->cache, .sequencer = b->sequencer};
    if (server_new(&options, &b->server, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    server_start(b->server, on_ready, &ready);
    while (!ready) {
        loop_run_for(b->loop, NS_PER_MS);
    }
    struct str masters = STR("system:masters");
    b->admin = identity_new(STR("admin"), STR_NONE, &masters, 1);
    b->chunk = mem_alloc(CHUNK);
}

static void capture(struct request *request, int status, const struct http_header *headers,
                    size_t count, struct http_body *body)
{
    struct bench *b = request->capture_ctx;
    ssize_t n;
    while (body != NULL && (n = body->read(body, b->chunk, CHUNK)) > 0) {
        b->bytes += (uint64_t)n;
    }
    if (body != NULL) {
        body->free(body);
    }
    b->status = status;
    b->done++;
}

static void call(struct bench *b, const char *method, const char *path, const char *query,
                 struct str body)
{
    static const struct http_header json[] = {{STR_NONE, STR_NONE}};
    static const struct http_header apply[] = {
        {STR("content-type"), STR("application/apply-patch+yaml")}};
    bool patches = strcmp(method, "PATCH") == 0;
    const struct http_header *headers = patches ? apply : json;
    struct http_request http = {.method = str_of(method),
                                .path = str_of(path),
                                .query = str_of(query),
                                .body = body,
                                .headers = headers,
                                .header_count = patches ? 1 : 0,
                                .version = 2};
    http_call_start(b->server, b->loop, b->admin, &http, capture, b);
}

static void wait_for(struct bench *b, uint64_t done)
{
    while (b->done < done) {
        loop_run_for(b->loop, NS_PER_MS);
    }
}

static void row(const char *name, double seconds, uint64_t count)
{
    printf("%-28s %10.0f/s %8.2f us\n", name, (double)count / seconds,
           seconds * 1e6 / (double)count);
}

static void bench_create(struct bench *b, uint64_t count)
{
    struct buf body BUF_CLEANUP = BUF_INIT;
    char path[] = "/api/v1/namespaces/default/configmaps";
    double began = now_cpu();
    for (uint64_t i = 0; i < count; i++) {
        buf_clear(&body);
        buf_printf(&body,
                   "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"generateName\":"
                   "\"bench-\"},\"data\":{\"k\":\"");
        while (body.n < 1000) {
            buf_addz(&body, "0123456789abcdef");
        }
        buf_addz(&body, "\"}}");
        call(b, "POST", path, NULL, buf_view(&body));
        if (i % IN_FLIGHT == IN_FLIGHT - 1) {
            wait_for(b, i + 1);
        }
    }
    wait_for(b, count);
    row("create 1 KiB ConfigMap", now_cpu() - began, count);
    printf("  last status %d\n", b->status);
}

static void bench_get(struct bench *b, uint64_t count)
{
    const char *body = "{\"metadata\":{\"name\":\"one\"},\"data\":{\"k\":\"v\"}}";
    call(b, "POST", "/api/v1/namespaces/default/configmaps", NULL, str_of(body));
    wait_for(b, b->done + 1);
    uint64_t before = b->done;
    double began = now_cpu();
    for (uint64_t i = 0; i < count; i++) {
        call(b, "GET", "/api/v1/namespaces/default/configmaps/one", NULL, STR_NONE);
    }
    wait_for(b, before + count);
    row("get one object", now_cpu() - began, count);
    printf("  last status %d\n", b->status);
}

#define CONTAINER                                                                                  \
    "{\"name\":\"app\",\"image\":\"registry/app:1\",\"ports\":[{\"containerPort\":8080}],"         \
    "\"env\":[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"B\",\"value\":\"2\"}],\"resources\":{"  \
    "\"requests\":{\"cpu\":\"100m\",\"memory\":\"64Mi\"}},\"readinessProbe\":{\"httpGet\":{"       \
    "\"path\":\"/ready\",\"port\":8080}}}"

/* A Deployment applied unchanged: the same bytes (remembered), or others that say the same. */
static void bench_apply(struct bench *b, uint64_t count, bool remembered)
{
    static const char path[] = "/apis/apps/v1/namespaces/default/deployments/bench";
    static const char query[] = "fieldManager=bench";
    struct buf body BUF_CLEANUP = BUF_INIT;
    uint64_t before = b->done;
    double began = 0;
    for (uint64_t i = 0; i <= count; i++) {
        buf_clear(&body);
        buf_printf(&body, "{\"kind\":\"Deployment\",\"apiVersion\":\"apps/v1\",\"metadata\":{"
                          "\"name\":\"bench\",\"labels\":{\"app\":\"bench\"}},\"spec\":{"
                          "\"replicas\":3,\"selector\":{\"matchLabels\":{\"app\":\"bench\"}},"
                          "\"template\":{\"metadata\":{\"labels\":{\"app\":\"bench\"}},\"spec\":{"
                          "\"containers\":[" CONTAINER "]}}}}");
        for (uint64_t j = 0; j < 16 && !remembered; j++) {
            buf_char(&body, (i >> j & 1) != 0 ? ' ' : '\n');
        }
        call(b, "PATCH", path, query, buf_view(&body));
        if (i == 0) {
            wait_for(b, before + 1);
            began = now_cpu();
        }
    }
    wait_for(b, before + count + 1);
    row(remembered ? "apply unchanged, same bytes" : "apply unchanged, other bytes",
        now_cpu() - began, count);
    printf("  last status %d\n", b->status);
}

/* 4 kB pods, straight into the cache's writer through the sequencer. */
static void fill_pods(struct bench *b, uint64_t count)
{
    struct buf body BUF_CLEANUP = BUF_INIT;
    uint64_t before = b->done;
    call(b, "POST", "/api/v1/namespaces/default/serviceaccounts", NULL,
         STR("{\"metadata\":{\"name\":\"default\"}}"));
    wait_for(b, ++before);
    double began = now_cpu();
    for (uint64_t i = 0; i < count; i++) {
        buf_clear(&body);
        buf_printf(&body,
                   "{\"metadata\":{\"name\":\"pod-%llu\",\"labels\":{\"app\":\"a%llu\"},"
                   "\"annotations\":{\"pad\":\"",
                   (unsigned long long)i, (unsigned long long)(i % 100));
        while (body.n < 1700) {
            buf_addz(&body, "0123456789abcdef");
        }
        buf_addz(&body, "\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"busybox\"}]}}");
        call(b, "POST", "/api/v1/namespaces/default/pods", NULL, buf_view(&body));
        if (i % IN_FLIGHT == IN_FLIGHT - 1) {
            wait_for(b, before + i + 1);
        }
    }
    wait_for(b, before + count);
    row("create pod", now_cpu() - began, count);
    printf("  last status %d\n", b->status);
}

static void bench_list(struct bench *b, const char *name, const char *query)
{
    uint64_t before = b->done;
    b->bytes = 0;
    double began = now_cpu();
    call(b, "GET", "/api/v1/pods", query, STR_NONE);
    wait_for(b, before + 1);
    double took = now_cpu() - began;
    printf("%-28s %10.1f ms, %.1f MB, %.1f GB/s\n", name, took * 1e3, (double)b->bytes / 1e6,
           (double)b->bytes / 1e9 / took);
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    uint64_t pods = 100000;
    if (argc > 1 && !str_u64(str_of(argv[1]), &pods)) {
        return 2;
    }
    start(&b);
    bench_create(&b, 50000);
    bench_get(&b, 200000);
    bench_apply(&b, 200000, true);
    bench_apply(&b, 20000, false);
    fill_pods(&b, pods);
    bench_list(&b, "list all pods", NULL);
    bench_list(&b, "list, selector of none", "labelSelector=app%3Dnone");
    bench_list(&b, "list, selector of 1%", "labelSelector=app%3Da7");
    return 0;
}

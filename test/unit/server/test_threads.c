/* test_threads.c: several loops at once: in-process clients on threads of their own create Services
 * (addresses must be distinct), watch, and change roles, while the store runs on its thread. Most
 * useful in the tsan flavour. */
#include "../cmocka_all.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/map.h"
#include "server/server.h"
#include "store/store.h"

enum { WORKERS = 3, OPERATIONS = 60 };

struct worker {
    struct loop *loop;
    pthread_t thread;
    struct client *client;
    struct client_watch *watch;
    struct server *server;
    struct task begin;
    int number, done, failed, denied;
    size_t seen;
    struct arena arena;
    struct str addresses[OPERATIONS];
};

static void *run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

static void next(struct worker *worker);

static void on_created(void *ctx, const struct client_result *result)
{
    struct worker *worker = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    if (result->code != 0) {
        worker->failed++;
    } else {
        const struct val *value = object_decode(result->object, &arena);
        worker->addresses[worker->done] =
            str_copy_in(&worker->arena, val_text(val_path(value, "spec.clusterIP")));
    }
    worker->done++;
    next(worker);
}

static void on_role(void *ctx, const struct client_result *result)
{
    struct worker *worker = ctx;
    worker->denied += result->code != 0;
}

static struct val *parse(struct arena *arena, const char *text)
{
    struct val *value = NULL;
    assert_int_equal(val_parse_json(arena, str_of(text), &value, NULL), 0);
    return value;
}

static void change_role(struct worker *worker, struct arena *arena)
{
    struct client_request request = {
        .verb = CLIENT_CREATE,
        .resource = schema_resource(STR("rbac.authorization.k8s.io"), STR("v1"), STR("roles")),
        .ns = STR("default"),
        .body = parse(arena, "{\"metadata\":{\"generateName\":\"r-\"},\"rules\":[{\"apiGroups\":["
                             "\"\"],\"resources\":[\"pods\"],\"verbs\":[\"get\"]}]}")};
    client_send(worker->client, &request, on_role, worker);
}

static void next(struct worker *worker)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    if (worker->done == OPERATIONS) {
        loop_stop(worker->loop);
        return;
    }
    struct client_request request = {
        .verb = CLIENT_CREATE,
        .resource = schema_resource(STR(""), STR("v1"), STR("services")),
        .ns = STR("default"),
        .body = parse(&arena, "{\"metadata\":{\"generateName\":\"s-\"},\"spec\":{\"type\":"
                              "\"NodePort\",\"ports\":[{\"port\":80}]}}")};
    client_send(worker->client, &request, on_created, worker);
    if (worker->done % 10 == 0) {
        change_role(worker, &arena);
    }
}

static void sync_begin(void *ctx)
{
}
static void sync_end(void *ctx, uint64_t revision)
{
}
static void on_event(void *ctx, int type, struct object *object)
{
    ((struct worker *)ctx)->seen++;
}
static const struct client_watch_ops watch_ops = {
    .sync_begin = sync_begin, .event = on_event, .sync_end = sync_end};

static void begin(struct task *task)
{
    struct worker *worker = container_of(task, struct worker, begin);
    struct client_watch_options options = {
        .resource = schema_resource(STR(""), STR("v1"), STR("services"))};
    worker->watch = client_watch(worker->client, &options, &watch_ops, worker);
    next(worker);
}

static void on_ready(void *ctx, const struct err *err)
{
    assert_int_equal(err->code, 0);
    loop_stop(ctx); /* of the home loop's first run */
}

static void check_distinct(struct worker *workers)
{
    struct map seen = MAP_INIT;
    for (int w = 0; w < WORKERS; w++) {
        assert_int_equal(workers[w].failed, 0);
        assert_int_equal(workers[w].denied, 0);
        assert_true(workers[w].seen >= OPERATIONS / 2);
        for (int i = 0; i < OPERATIONS; i++) {
            assert_true(workers[w].addresses[i].n > 0);
            assert_null(map_set(&seen, workers[w].addresses[i], workers));
        }
    }
    map_done(&seen);
}

static size_t count(struct cache *cache, const char *group, const char *plural)
{
    struct snapshot *snapshot =
        snapshot_take(cache, schema_resource(str_of(group), STR("v1"), str_of(plural)));
    size_t n = snapshot_count(snapshot);
    snapshot_release(snapshot);
    return n;
}

/* The server makes an IPAddress for each Service a moment later: not to be cut off in the middle.
 */
static void wait_until_settled(struct cache *cache)
{
    for (int i = 0; i < 1000; i++) {
        if (count(cache, "networking.k8s.io", "ipaddresses") == count(cache, "", "services")) {
            break;
        }
        usleep(10000);
    }
    usleep(100000); /* the answers to the last of them */
}

static void test_threads(void **state)
{
    struct worker workers[WORKERS] = {0};
    struct err err = ERR_INIT;
    struct store *store = NULL;
    struct sequencer *sequencer = NULL;
    struct server *server = NULL;
    pthread_t home_thread, store_thread;
    struct loop *home = loop_new(), *store_loop = loop_new();
    struct cache *cache = cache_new(0);
    struct store_options store_options = {
        .path = "m", .history_ns = 60 * NS_PER_S, .clock = clock_real()};
    assert_int_equal(store_memory.open(&store_options, &store, &err), 0);
    assert_int_equal(sequencer_new(store_loop, store, cache, &sequencer, &err), 0);
    struct server_options options = {
        .loops = &home, .loop_count = 1, .cache = cache, .sequencer = sequencer};
    assert_int_equal(server_new(&options, &server, &err), 0);
    pthread_create(&store_thread, NULL, run_loop, store_loop);
    server_start(server, on_ready, home);
    loop_run(home);
    pthread_create(&home_thread, NULL, run_loop, home);
    struct str masters = STR("system:masters");
    struct identity *admin = identity_new(STR("admin"), STR_NONE, &masters, 1);
    for (int i = 0; i < WORKERS; i++) {
        workers[i].loop = loop_new();
        workers[i].number = i;
        workers[i].client = server_client_new(server, workers[i].loop, admin, "worker");
        workers[i].begin.run = begin;
        loop_post(workers[i].loop, &workers[i].begin);
        pthread_create(&workers[i].thread, NULL, run_loop, workers[i].loop);
    }
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    check_distinct(workers);
    for (int i = 0; i < WORKERS; i++) {
        workers[i].client->ops->free(workers[i].client);
    }
    wait_until_settled(cache);
    loop_stop(home);
    pthread_join(home_thread, NULL);
    loop_stop(store_loop);
    pthread_join(store_thread, NULL);
    server_free(server);
    sequencer_free(sequencer);
    cache_free(cache);
    store->ops->close(store);
    for (int i = 0; i < WORKERS; i++) {
        loop_free(workers[i].loop);
        arena_done(&workers[i].arena);
    }
    loop_free(home);
    loop_free(store_loop);
    identity_unref(admin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests_name("server-threads", tests, NULL, NULL);
}

/* test_quota.c: a ResourceQuota under 64 concurrent creators on several threads: it is never
 * exceeded, what it says is used is what was created, and nobody is refused while there is room.
 */
#include "../cmocka_all.h"

#include <pthread.h>
#include <stdio.h>

#include "base/mem.h"
#include "server/server.h"
#include "store/store.h"

enum { THREADS = 4, PER_THREAD = 16, EACH = 20, HARD = 500 };

struct creator {
    struct thread *thread;
    int number, left;
};
struct thread {
    struct loop *loop;
    pthread_t id;
    struct client *client;
    struct task begin;
    struct creator creators[PER_THREAD];
    int running, created, refused, other;
};

static void *run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

static struct val *parse(struct arena *arena, const char *text)
{
    struct val *value = NULL;
    assert_int_equal(val_parse_json(arena, str_of(text), &value, NULL), 0);
    return value;
}

static void next(struct creator *creator);

static void on_created(void *ctx, const struct client_result *result)
{
    struct creator *creator = ctx;
    struct thread *thread = creator->thread;
    if (result->code == 0) {
        thread->created++;
    } else if (result->code == ERR_FORBIDDEN &&
               str_contains(str_of(result->error.message), STR("exceeded quota: q"))) {
        thread->refused++;
    } else {
        thread->other++;
    }
    next(creator);
}

static void next(struct creator *creator)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct thread *thread = creator->thread;
    if (creator->left-- == 0) {
        if (--thread->running == 0) {
            loop_stop(thread->loop);
        }
        return;
    }
    struct client_request request = {
        .verb = CLIENT_CREATE,
        .resource = schema_resource(STR(""), STR("v1"), STR("pods")),
        .ns = STR("default"),
        .body =
            parse(&arena, "{\"metadata\":{\"generateName\":\"p-\"},\"spec\":{"
                          "\"automountServiceAccountToken\":false,\"containers\":[{\"name\":\"c\","
                          "\"image\":\"x\",\"resources\":{\"requests\":{\"cpu\":\"7m\"}}}]}}")};
    client_send(thread->client, &request, on_created, creator);
}

static void begin(struct task *task)
{
    struct thread *thread = container_of(task, struct thread, begin);
    thread->running = PER_THREAD;
    for (int i = 0; i < PER_THREAD; i++) {
        thread->creators[i] = (struct creator){thread, i, EACH};
        next(&thread->creators[i]);
    }
}

/* ---- making the namespace's quota ---- */

struct setup {
    struct loop *loop;
    struct client *client;
    int step;
    struct task begin;
};

static void set_up(void *ctx, const struct client_result *result)
{
    static const struct {
        const char *plural, *name, *subresource, *body;
    } steps[] = {
        {"serviceaccounts", "default", "", "{\"metadata\":{\"name\":\"default\"}}"},
        {"resourcequotas", "q", "",
         "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"hard\":{\"pods\":\"500\",\"requests.cpu\":"
         "\"100\"}}}"},
        {"resourcequotas", "q", "status",
         "{\"status\":{\"hard\":{\"pods\":\"500\",\"requests.cpu\":\"100\"},\"used\":{\"pods\":"
         "\"0\",\"requests.cpu\":\"0\"}}}"},
    };
    struct setup *setup = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    if (result != NULL && result->code != 0) {
        fail_msg("%s", result->error.message);
    }
    if (setup->step == 3) {
        loop_stop(setup->loop);
        return;
    }
    bool patch = steps[setup->step].subresource[0] != '\0';
    struct client_request request = {
        .verb = patch ? CLIENT_PATCH : CLIENT_CREATE,
        .patch = CLIENT_PATCH_MERGE,
        .resource = schema_resource(STR(""), STR("v1"), str_of(steps[setup->step].plural)),
        .ns = STR("default"),
        .name = str_of(steps[setup->step].name),
        .subresource = steps[setup->step].subresource,
        .body = parse(&arena, steps[setup->step].body)};
    setup->step++;
    client_send(setup->client, &request, set_up, setup);
}

static void begin_set_up(struct task *task)
{
    set_up(container_of(task, struct setup, begin), NULL);
}

static void on_ready(void *ctx, const struct err *err)
{
    assert_int_equal(err->code, 0);
    loop_stop(ctx);
}

static void check(struct cache *cache, const struct thread *threads)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    int created = 0, refused = 0;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(threads[i].other, 0);
        created += threads[i].created;
        refused += threads[i].refused;
    }
    const struct api_resource *pods = schema_resource(STR(""), STR("v1"), STR("pods"));
    struct snapshot *snapshot = snapshot_take(cache, pods);
    assert_int_equal(snapshot_count(snapshot), HARD);
    snapshot_release(snapshot);
    assert_int_equal(created, HARD);
    assert_int_equal(refused, THREADS * PER_THREAD * EACH - HARD);
    struct object *quota =
        cache_get(cache, schema_resource(STR(""), STR("v1"), STR("resourcequotas")), STR("default"),
                  STR("q"));
    const struct val *used = val_path(object_decode(quota, &arena), "status.used");
    assert_true(str_is(val_text(val_get(used, "pods")), "500"));
    assert_true(str_is(val_text(val_get(used, "requests.cpu")), "3500m"));
    object_unref(quota);
}

static void test_creators(void **state)
{
    struct thread threads[THREADS] = {0};
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
    struct setup setup = {.loop = loop_new(), .begin.run = begin_set_up};
    setup.client = server_client_new(server, setup.loop, admin, "setup");
    loop_post(setup.loop, &setup.begin);
    loop_run(setup.loop);
    for (int i = 0; i < THREADS; i++) {
        threads[i].loop = loop_new();
        threads[i].client = server_client_new(server, threads[i].loop, admin, "creator");
        threads[i].begin.run = begin;
        loop_post(threads[i].loop, &threads[i].begin);
        pthread_create(&threads[i].id, NULL, run_loop, threads[i].loop);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i].id, NULL);
    }
    check(cache, threads);
    for (int i = 0; i < THREADS; i++) {
        client_free(threads[i].client);
    }
    client_free(setup.client);
    loop_stop(home);
    pthread_join(home_thread, NULL);
    loop_stop(store_loop);
    pthread_join(store_thread, NULL);
    server_free(server);
    sequencer_free(sequencer);
    cache_free(cache);
    store->ops->close(store);
    for (int i = 0; i < THREADS; i++) {
        loop_free(threads[i].loop);
    }
    loop_free(setup.loop);
    loop_free(home);
    loop_free(store_loop);
    identity_unref(admin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_creators)};
    return cmocka_run_group_tests_name("server-quota", tests, NULL, NULL);
}

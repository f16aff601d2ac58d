/* test_cache.c: the cache against a naive reference: an ordered table that is copied for every
 * snapshot. Then the same under a concurrent writer (run it in the tsan flavour). */
#include "../cmocka_all.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/selector.h"
#include "base/mem.h"
#include "server/cache.h"
#include "specimen.h"

enum { NAMES = 600, SPACES = 3, KEYS = NAMES * SPACES };

struct reference {
    uint64_t number[KEYS]; /* 0: absent; keys in the cache's order */
};

struct model {
    struct cache *cache;
    struct random random;
    struct reference now;
    uint64_t revision;
};

static void key_of(int key, char ns[8], char name[16])
{
    snprintf(ns, 8, "ns%d", key / NAMES);
    snprintf(name, 16, "p-%04d", key % NAMES);
}

static const char *app_of(uint64_t number)
{
    static const char *const apps[] = {"", "web", "db", "cache"};
    return apps[number % 4];
}

static const char *node_of(uint64_t number)
{
    static const char *const nodes[] = {"", "n1", "n2", "n3", "n4"};
    return nodes[number % 5];
}

static struct object *pod_of(int key, uint64_t number, uint64_t revision)
{
    char ns[8], name[16];
    key_of(key, ns, name);
    struct object *object = specimen_pod(str_of(ns), str_of(name), str_of(app_of(number)),
                                         str_of(node_of(number)), number, 0);
    return object_with_revision(object, revision);
}

/* Some writes, published as one batch. */
static void write_batch(struct model *model, size_t most)
{
    struct cache_change changes[64];
    size_t count = 1 + random_below(&model->random, most);
    for (size_t i = 0; i < count; i++) {
        int key = (int)random_below(&model->random, KEYS);
        uint64_t *number = &model->now.number[key];
        uint64_t revision = ++model->revision;
        bool deleted = *number != 0 && random_below(&model->random, 3) == 0;
        changes[i].type = deleted ? EVENT_DELETED : *number != 0 ? EVENT_MODIFIED : EVENT_ADDED;
        changes[i].resource = specimen_pods();
        changes[i].object = pod_of(key, deleted ? *number : revision, revision);
        *number = deleted ? 0 : revision;
    }
    cache_publish(model->cache, changes, count);
    for (size_t i = 0; i < count; i++) {
        object_unref(changes[i].object);
    }
}

static bool wanted(const struct reference *reference, int key, int space, const char *app,
                   const char *node)
{
    uint64_t number = reference->number[key];
    return number != 0 && (space < 0 || key / NAMES == space) &&
           (app == NULL || str_is(str_of(app_of(number)), app)) &&
           (node == NULL || str_is(str_of(node_of(number)), node));
}

static void check_walk(const struct snapshot *snapshot, const struct reference *reference,
                       int space, const char *app, const char *node, int start)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct selector labels = {0};
    struct field_selector fields = {0};
    char text[64], ns[8] = "", start_ns[8] = "", start_name[16] = "";
    struct err err = ERR_INIT;
    if (app != NULL) {
        snprintf(text, sizeof text, "app=%s", app);
        assert_int_equal(selector_parse(&arena, str_of(text), &labels, &err), 0);
    }
    char field_text[64];
    if (node != NULL) {
        snprintf(field_text, sizeof field_text, "spec.nodeName=%s", node);
        assert_int_equal(
            field_selector_parse(&arena, specimen_pods(), str_of(field_text), &fields, &err), 0);
    }
    if (space >= 0) {
        snprintf(ns, sizeof ns, "ns%d", space);
    }
    if (start >= 0) {
        key_of(start, start_ns, start_name);
    }
    struct snapshot_iter iter;
    snapshot_iter_init(&iter, snapshot, str_of(ns), app != NULL ? &labels : NULL,
                       node != NULL ? &fields : NULL, str_of(start_ns), str_of(start_name));
    for (int key = start + 1; key < KEYS; key++) {
        if (wanted(reference, key, space, app, node)) {
            const struct object *object = snapshot_next(&iter);
            assert_non_null(object);
            assert_true(specimen_number(object) == reference->number[key]);
        }
    }
    assert_null(snapshot_next(&iter));
}

static void check_snapshot(struct random *random, const struct snapshot *snapshot,
                           const struct reference *reference)
{
    size_t count = 0;
    for (int key = 0; key < KEYS; key++) {
        count += reference->number[key] != 0;
    }
    assert_true(snapshot_count(snapshot) == count);
    check_walk(snapshot, reference, -1, NULL, NULL, -1);
    int space = (int)random_below(random, SPACES + 1); /* the last one is empty */
    check_walk(snapshot, reference, space, NULL, NULL, -1);
    check_walk(snapshot, reference, -1, "web", NULL, (int)random_below(random, KEYS));
    check_walk(snapshot, reference, space, "db", "n2", -1);
    check_walk(snapshot, reference, -1, "none", NULL, -1);
    for (int i = 0; i < 20; i++) {
        int key = (int)random_below(random, KEYS);
        char ns[8], name[16];
        key_of(key, ns, name);
        struct object *object = snapshot_get(snapshot, str_of(ns), str_of(name));
        uint64_t number = object != NULL ? specimen_number(object) : 0;
        assert_true(number == reference->number[key]);
        object_unref(object);
    }
}

static void equals_a_naive_reference(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct model model = {.cache = cache_new(1 << 16)};
        random_seeded_init(&model.random, seed);
        cache_set_revision(model.cache, 0, 0);
        struct {
            struct snapshot *snapshot;
            struct reference then;
        } *kept = mem_zalloc(5 * sizeof *kept);
        for (int round = 0; round < 400; round++) {
            write_batch(&model, seed % 2 == 0 ? 3 : 60);
            int slot = round % 5;
            if (kept[slot].snapshot != NULL) { /* four rounds later it is still what it was */
                check_snapshot(&model.random, kept[slot].snapshot, &kept[slot].then);
                snapshot_release(kept[slot].snapshot);
            }
            kept[slot].snapshot = snapshot_take(model.cache, specimen_pods());
            kept[slot].then = model.now;
            assert_true(snapshot_revision(kept[slot].snapshot) == model.revision);
        }
        for (int i = 0; i < 5; i++) {
            snapshot_release(kept[i].snapshot);
        }
        free(kept);
        cache_free(model.cache);
    }
}

static void everything_can_be_deleted_in_any_order(void **state)
{
    for (int order = 0; order < 3; order++) {
        struct model model = {.cache = cache_new(0)};
        random_seeded_init(&model.random, 3);
        for (int key = 0; key < KEYS; key++) {
            model.now.number[key] = 7;
            cache_load(model.cache, pod_of(KEYS - 1 - key, 7, 7));
        }
        cache_set_revision(model.cache, 7, 0);
        model.revision = 7;
        for (int i = 0; i < KEYS; i++) {
            int key = order == 0 ? i : order == 1 ? KEYS - 1 - i : (i * 1009) % KEYS;
            struct object *object = pod_of(key, 7, ++model.revision);
            struct cache_change change = {specimen_pods(), EVENT_DELETED, object};
            cache_publish(model.cache, &change, 1);
            object_unref(object);
            model.now.number[key] = 0;
            if (i % 97 == 0 || i > KEYS - 5) {
                struct snapshot *snapshot = snapshot_take(model.cache, specimen_pods());
                check_snapshot(&model.random, snapshot, &model.now);
                snapshot_release(snapshot);
            }
        }
        cache_free(model.cache);
    }
}

/* ---- concurrency ---- */

struct concurrent {
    struct model model;
    _Atomic bool stop;
    _Atomic uint64_t snapshots;
};

/* Every object of a snapshot is one that was current at its revision: none is newer, and a walk
 * repeated gives the same. */
static void *read_snapshots(void *arg)
{
    struct concurrent *shared = arg;
    while (!atomic_load(&shared->stop)) {
        struct snapshot *snapshot = snapshot_take(shared->model.cache, specimen_pods());
        uint64_t sums[2] = {0}, revision = snapshot_revision(snapshot);
        for (int pass = 0; pass < 2; pass++) {
            struct snapshot_iter iter;
            size_t count = 0;
            snapshot_iter_init(&iter, snapshot, STR_NONE, NULL, NULL, STR_NONE, STR_NONE);
            for (const struct object *it; (it = snapshot_next(&iter)) != NULL; count++) {
                if (it->revision > revision) {
                    abort();
                }
                sums[pass] += specimen_number(it) * (count + 1);
            }
            if (count != snapshot_count(snapshot)) {
                abort();
            }
        }
        if (sums[0] != sums[1]) {
            abort();
        }
        snapshot_release(snapshot);
        struct object *one =
            cache_get(shared->model.cache, specimen_pods(), STR("ns1"), STR("p-0042"));
        object_unref(one);
        atomic_fetch_add(&shared->snapshots, 1);
    }
    return NULL;
}

static void readers_and_the_writer_do_not_meet(void **state)
{
    struct concurrent *shared = mem_new(struct concurrent);
    shared->model.cache = cache_new(1 << 16);
    random_seeded_init(&shared->model.random, 11);
    cache_set_revision(shared->model.cache, 0, 0);
    pthread_t readers[3];
    for (int i = 0; i < 3; i++) {
        pthread_create(&readers[i], NULL, read_snapshots, shared);
    }
    for (int i = 0; i < 3000 || atomic_load(&shared->snapshots) < 50; i++) {
        write_batch(&shared->model, 20);
    }
    atomic_store(&shared->stop, true);
    for (int i = 0; i < 3; i++) {
        pthread_join(readers[i], NULL);
    }
    cache_free(shared->model.cache);
    free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_a_naive_reference),
        cmocka_unit_test(everything_can_be_deleted_in_any_order),
        cmocka_unit_test(readers_and_the_writer_do_not_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

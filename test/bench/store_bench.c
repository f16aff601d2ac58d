/* store_bench.c: the engine below the API: durable writes a second by group size, the walk over
 * 100,000 objects as LIST does it, a selector that matches nothing, memory an object, start-up.
 *
 *   store-bench [FOLDER]   (default /tmp; a real disk, not tmpfs)
 *
 * Prints one line a row: name | value | unit. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../unit/server/specimen.h"
#include "api/selector.h"
#include "base/clock.h"
#include "base/mem.h"
#include "server/sequencer.h"

enum { LIST_OBJECTS = 100000, OBJECT_BYTES = 4000 };

static char folder[256];

static void row(const char *name, double value, const char *unit)
{
    printf("%-44s | %12.2f | %s\n", name, value, unit);
    fflush(stdout);
}

static double seconds(void)
{
    return (double)clock_mono(clock_real()) / 1e9;
}

static void must(int rc, const struct err *err)
{
    if (rc != 0) {
        fprintf(stderr, "%s\n", err->message);
        exit(1);
    }
}

static void remove_files(void)
{
    const char *const files[] = {"cox.db", "cox.db-wal"};
    for (size_t i = 0; i < 2; i++) {
        char *file MEM_CLEANUP = mem_printf("%s/%s", folder, files[i]);
        unlink(file);
    }
}

/* ---- the store alone ---- */

static void bench_group(size_t group)
{
    struct store_options options = {.path = folder};
    struct store *store = NULL;
    struct err err = ERR_INIT;
    must(store_sqlite.open(&options, &store, &err), &err);
    struct store_write *writes = mem_array(struct store_write, group);
    char(*names)[24] = mem_zalloc(group * sizeof *names);
    char *value MEM_CLEANUP = mem_alloc(1024);
    memset(value, 'v', 1024);
    uint64_t revision = 0;
    double start = seconds(), took = 0;
    while (took < 1.5) {
        for (size_t i = 0; i < group; i++) {
            snprintf(names[i], sizeof names[i], "name-%llu", (unsigned long long)++revision);
            writes[i] = (struct store_write){.resource = STR("configmaps"),
                                             .ns = STR("default"),
                                             .name = str_of(names[i]),
                                             .revision = revision,
                                             .value = str_at(value, 1024),
                                             .created = true};
        }
        must(store->ops->commit(store, writes, group, &err), &err);
        took = seconds() - start;
    }
    char name[64];
    snprintf(name, sizeof name, "store: 1 KiB writes, groups of %zu", group);
    row(name, (double)revision / took, "writes/s");
    row("", took * 1e6 / (double)revision, "us a write");
    store->ops->close(store);
    free(writes);
    free(names);
    remove_files();
}

/* ---- sequencer, store and cache on one loop ---- */

struct flight {
    struct write write;
    char name[24];
    struct bench *bench;
};
struct bench {
    struct loop *loop;
    struct sequencer *sequencer;
    uint64_t written, target;
};

static void submit(struct flight *flight);

static void on_done(struct write *write)
{
    struct flight *flight = container_of(write, struct flight, write);
    must(write->code, &write->error);
    object_unref(write->result);
    if (++flight->bench->written < flight->bench->target) {
        submit(flight);
    } else {
        loop_stop(flight->bench->loop);
    }
}

static void submit(struct flight *flight)
{
    static uint64_t number;
    snprintf(flight->name, sizeof flight->name, "name-%llu", (unsigned long long)++number);
    flight->write = (struct write){.kind = WRITE_CREATE,
                                   .resource = specimen_configmaps(),
                                   .ns = STR("default"),
                                   .name = str_of(flight->name),
                                   .loop = flight->bench->loop,
                                   .done = on_done};
    flight->write.object = specimen_configmap(flight->write.ns, flight->write.name, number, 1024);
    sequencer_submit(flight->bench->sequencer, &flight->write);
}

static void bench_sequencer(size_t in_flight)
{
    struct store_options options = {.path = folder};
    struct store *store = NULL;
    struct err err = ERR_INIT;
    struct cache *cache = cache_new(0);
    struct bench bench = {.loop = loop_new(), .target = 40000};
    must(store_sqlite.open(&options, &store, &err), &err);
    must(sequencer_new(bench.loop, store, cache, &bench.sequencer, &err), &err);
    struct flight *flights = mem_array(struct flight, in_flight);
    double start = seconds();
    for (size_t i = 0; i < in_flight; i++) {
        flights[i].bench = &bench;
        submit(&flights[i]);
    }
    loop_run(bench.loop);
    double took = seconds() - start;
    char name[64];
    snprintf(name, sizeof name, "sequencer: 1 KiB creates, %zu in flight", in_flight);
    row(name, (double)bench.written / took, "writes/s");
    sequencer_free(bench.sequencer);
    store->ops->close(store);
    loop_free(bench.loop);
    cache_free(cache);
    free(flights);
    remove_files();
}

/* ---- the cache ---- */

static void load_pods(struct cache *cache)
{
    char name[24], node[24];
    for (int i = 0; i < LIST_OBJECTS; i++) {
        snprintf(name, sizeof name, "pod-%06d", i);
        snprintf(node, sizeof node, "node-%d", i % 1000);
        struct object *object = specimen_pod(i % 2 == 0 ? STR("a") : STR("b"), str_of(name),
                                             i % 3 == 0 ? STR("web") : STR("db"), str_of(node),
                                             (uint64_t)i, OBJECT_BYTES);
        cache_load(cache, object_with_revision(object, 1));
    }
    cache_set_revision(cache, 1, 0);
}

static void bench_walk(struct cache *cache, const char *what, const struct selector *labels,
                       const struct field_selector *fields)
{
    size_t found = 0;
    double best = 1e9;
    for (int i = 0; i < 5; i++) {
        double start = seconds();
        struct snapshot *snapshot = snapshot_take(cache, specimen_pods());
        struct snapshot_iter iter;
        snapshot_iter_init(&iter, snapshot, STR_NONE, labels, fields, STR_NONE, STR_NONE);
        found = 0;
        while (snapshot_next(&iter) != NULL) {
            found++;
        }
        snapshot_release(snapshot);
        double took = seconds() - start;
        best = took < best ? took : best;
    }
    char name[64];
    snprintf(name, sizeof name, "cache: %s (finds %zu)", what, found);
    row(name, best * 1e3, "ms");
}

static void bench_list(struct cache *cache)
{
    double start = seconds();
    struct snapshot *snapshot = snapshot_take(cache, specimen_pods());
    struct snapshot_iter iter;
    struct buf out BUF_CLEANUP = BUF_INIT;
    size_t bytes = 0;
    snapshot_iter_init(&iter, snapshot, STR_NONE, NULL, NULL, STR_NONE, STR_NONE);
    for (const struct object *it; (it = snapshot_next(&iter)) != NULL;) {
        object_write(it, false, &out);
        if (out.n > 1 << 16) {
            bytes += out.n;
            buf_clear(&out);
        }
    }
    snapshot_release(snapshot);
    row("cache: LIST 100,000 pods into buffers", (seconds() - start) * 1e3, "ms");
    row("", (double)bytes / 1e6, "MB");
}

static void bench_publish(struct cache *cache)
{
    char name[24];
    double took = 0;
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "pod-%06d", (i * 7919) % LIST_OBJECTS);
        struct object *object =
            specimen_pod(STR("a"), str_of(name), STR("web"), STR("n"), (uint64_t)i, OBJECT_BYTES);
        struct cache_change change = {specimen_pods(), EVENT_MODIFIED,
                                      object_with_revision(object, (uint64_t)i + 2)};
        double start = seconds();
        cache_publish(cache, &change, 1);
        took += seconds() - start;
        object_unref(change.object);
    }
    row("cache: publish one random update", took * 1e6 / 20000, "us");
}

static void bench_cache(void)
{
    struct cache *cache = cache_new(0);
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct selector none, web;
    struct field_selector node;
    struct err err = ERR_INIT;
    struct mallinfo2 before = mallinfo2();
    load_pods(cache);
    struct mallinfo2 after = mallinfo2();
    double used = (double)(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd);
    row("cache: memory of a 4,000-byte pod", used / LIST_OBJECTS, "bytes");
    must(selector_parse(&arena, STR("app=none"), &none, &err), &err);
    must(selector_parse(&arena, STR("app=web"), &web, &err), &err);
    must(field_selector_parse(&arena, specimen_pods(), STR("spec.nodeName=node-7"), &node, &err),
         &err);
    bench_walk(cache, "walk of 100,000", NULL, NULL);
    bench_walk(cache, "selector that matches none", &none, NULL);
    bench_walk(cache, "selector that matches a third", &web, NULL);
    bench_walk(cache, "field selector of one node", NULL, &node);
    bench_list(cache);
    bench_publish(cache);
    cache_free(cache);
}

/* ---- start ---- */

static void fill(uint64_t objects)
{
    struct store_options options = {.path = folder};
    struct store *store = NULL;
    struct err err = ERR_INIT;
    must(store_sqlite.open(&options, &store, &err), &err);
    for (uint64_t i = 1; i <= objects;) {
        struct store_write writes[500];
        struct object *held[500];
        char names[500][24];
        for (size_t j = 0; j < 500; j++, i++) {
            snprintf(names[j], sizeof names[j], "name-%06llu", (unsigned long long)i);
            held[j] = specimen_configmap(STR("default"), str_of(names[j]), i, 1024);
            writes[j] = (struct store_write){.resource = STR("configmaps"),
                                             .ns = STR("default"),
                                             .name = str_of(names[j]),
                                             .revision = i,
                                             .value = str_at(held[j]->json, held[j]->n),
                                             .created = true};
        }
        must(store->ops->commit(store, writes, 500, &err), &err);
        for (size_t j = 0; j < 500; j++) {
            object_unref(held[j]);
        }
    }
    store->ops->close(store);
}

static void bench_start(uint64_t objects)
{
    struct store_options options = {.path = folder};
    struct store *store = NULL;
    struct sequencer *sequencer = NULL;
    struct err err = ERR_INIT;
    if (objects > 0) {
        fill(objects);
    }
    double start = seconds();
    struct cache *cache = cache_new(0);
    struct loop *loop = loop_new();
    must(store_sqlite.open(&options, &store, &err), &err);
    double opened = seconds();
    must(sequencer_new(loop, store, cache, &sequencer, &err), &err);
    char name[64];
    snprintf(name, sizeof name, "start: open and check %llu objects", (unsigned long long)objects);
    row(name, (opened - start) * 1e3, "ms");
    row("start: load them", (seconds() - opened) * 1e3, "ms");
    sequencer_free(sequencer);
    store->ops->close(store);
    loop_free(loop);
    cache_free(cache);
    remove_files();
}

int main(int count, char **arguments)
{
    snprintf(folder, sizeof folder, "%s/cox-bench-XXXXXX", count > 1 ? arguments[1] : "/tmp");
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        return 1;
    }
    static const size_t groups[] = {1, 8, 64, 512};
    for (size_t i = 0; i < 4; i++) {
        bench_group(groups[i]);
    }
    bench_sequencer(1);
    bench_sequencer(64);
    bench_start(0);
    bench_start(50000);
    bench_cache();
    rmdir(folder);
    return 0;
}

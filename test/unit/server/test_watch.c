/* test_watch.c: reliability R8 in small: 200,000 events with a small ring and a short history
 * window, watches opened at revisions around the newest, cut and resumed, stalled and parked.
 * Each must see exactly the slice of the true log that follows its start: ordered, unique, no gap,
 * with the right previous state; a bookmark is never early; what cannot be kept is a 410.
 *
 * Once on the simulated loop from a seed (COX_SEED replays), once with real threads. */
#include "../cmocka_all.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "base/vec.h"
#include "server/sequencer.h"
#include "specimen.h"

enum { KEYS = 300, WRITERS = 16, WATCHERS = 12 };

struct entry {
    uint64_t revision, number, previous; /* previous: 0 for an add */
    int type;
};

struct segment { /* one open watch, from start to cut */
    uint64_t after;
    struct {
        VEC_OF(struct entry);
    } seen;
    struct {
        VEC_OF(struct entry);
    } bookmarks; /* revision; number: how many events had been seen */
};

struct rig;
struct writer {
    struct rig *rig;
    struct write write;
    struct object *current;
    char name[16];
    struct timer timer;
};
struct watcher {
    struct rig *rig;
    struct cursor *cursor;
    struct loop *loop;
    struct random random;
    struct timer timer;
    uint64_t last;
    bool opened;
    struct {
        VEC_OF(struct segment);
    } segments;
    unsigned expired, too_large;
};

struct rig {
    struct loop *store_loop;
    struct store *store;
    struct cache *cache;
    struct sequencer *sequencer;
    struct random random;
    uint64_t next_number, target;
    _Atomic uint64_t written;
    struct {
        VEC_OF(struct entry);
    } log; /* of configmaps; by the store's thread */
    struct writer writers[WRITERS];
    struct watcher watchers[WATCHERS];
    bool threads;
};

/* ---- writers: on the store's loop, each with one write in flight ---- */

static void write_next(struct timer *timer);

static void on_done(struct write *write)
{
    struct writer *writer = container_of(write, struct writer, write);
    struct rig *rig = writer->rig;
    if (write->code == 0 && write->resource == specimen_configmaps()) {
        struct entry *entry = vec_push(&rig->log);
        entry->revision = write->result->revision;
        entry->type = write->kind == WRITE_CREATE   ? EVENT_ADDED
                      : write->kind == WRITE_UPDATE ? EVENT_MODIFIED
                                                    : EVENT_DELETED;
        entry->number = specimen_number(write->result);
        entry->previous = writer->current != NULL ? specimen_number(writer->current) : 0;
    }
    if (write->code == 0) {
        atomic_fetch_add(&rig->written, 1);
    }
    object_unref(write->result);
    object_unref(writer->current);
    write->result = writer->current = NULL;
    if (atomic_load(&rig->written) < rig->target) {
        timer_start(rig->store_loop, &writer->timer,
                    (int64_t)random_below(&rig->random, 3) * NS_PER_MS / 10, write_next);
    }
}

static void write_next(struct timer *timer)
{
    struct writer *writer = container_of(timer, struct writer, timer);
    struct rig *rig = writer->rig;
    bool pod = random_below(&rig->random, 4) == 0; /* the other resource, for gaps in revisions */
    const struct api_resource *resource = pod ? specimen_pods() : specimen_configmaps();
    snprintf(writer->name, sizeof writer->name, "n%d", (int)random_below(&rig->random, KEYS));
    struct str ns = STR("a"), name = str_of(writer->name);
    writer->current = cache_get(rig->cache, resource, ns, name);
    enum write_kind kind = writer->current == NULL              ? WRITE_CREATE
                           : random_below(&rig->random, 4) == 0 ? WRITE_DELETE
                                                                : WRITE_UPDATE;
    writer->write =
        (struct write){.kind = kind,
                       .resource = resource,
                       .ns = ns,
                       .name = name,
                       .expected_revision = writer->current != NULL ? writer->current->revision : 0,
                       .loop = rig->store_loop,
                       .done = on_done};
    uint64_t number = ++rig->next_number;
    if (kind != WRITE_DELETE) {
        writer->write.object = pod ? specimen_pod(ns, name, STR("x"), STR(""), number, 0)
                                   : specimen_configmap(ns, name, number, 300);
    }
    sequencer_submit(rig->sequencer, &writer->write);
}

/* ---- watchers ---- */

static void turn(struct timer *timer);

static void bookmark(struct watcher *watcher)
{
    struct segment *segment = &watcher->segments.items[watcher->segments.count - 1];
    struct entry *entry = vec_push(&segment->bookmarks);
    entry->revision = cursor_revision(watcher->cursor);
    entry->number = segment->seen.count;
    watcher->last = entry->revision;
}

static void close_it(struct watcher *watcher)
{
    cursor_close(watcher->cursor);
    watcher->cursor = NULL;
}

/* Reads up to `most` events. */
static void drain(struct watcher *watcher, uint64_t most)
{
    struct segment *segment = &watcher->segments.items[watcher->segments.count - 1];
    for (uint64_t i = 0; i < most; i++) {
        struct cache_event event;
        struct err err = ERR_INIT;
        int rc = cursor_next(watcher->cursor, &event, &err);
        if (rc < 0) {
            assert_int_equal(rc, ERR_EXPIRED);
            watcher->expired++;
            close_it(watcher);
            watcher->last = UINT64_MAX; /* start anew */
            return;
        }
        if (rc == 0) {
            break;
        }
        struct entry *entry = vec_push(&segment->seen);
        entry->revision = event.revision;
        entry->type = (int)event.type;
        entry->number = specimen_number(event.object);
        entry->previous = event.previous != NULL ? specimen_number(event.previous) : 0;
        assert_true(event.object->revision == event.revision);
    }
    bookmark(watcher);
}

static void on_ready(void *ctx, struct cursor *cursor)
{
    struct watcher *watcher = ctx;
    assert_true(cursor == watcher->cursor);
    if (!timer_armed(&watcher->timer)) {
        timer_start(watcher->loop, &watcher->timer,
                    (int64_t)random_below(&watcher->random, 200) * NS_PER_MS / 10, turn);
    }
}

static void open_it(struct watcher *watcher)
{
    struct rig *rig = watcher->rig;
    uint64_t now = cache_revision(rig->cache), after = watcher->last;
    if (after == UINT64_MAX || random_below(&watcher->random, 4) == 0) {
        uint64_t back = random_below(&watcher->random, 4) == 0 ? 20000 : 400;
        after = now + 100 - random_below(&watcher->random, back < now ? back : now + 1);
    }
    struct err err = ERR_INIT;
    int rc = cursor_open(rig->cache, specimen_configmaps(), after, watcher->loop, on_ready, watcher,
                         &watcher->cursor, &err);
    if (rc != 0) {
        assert_true(rc == ERR_EXPIRED || (rc == ERR_TOO_LARGE_REVISION && after > now));
        watcher->expired += rc == ERR_EXPIRED;
        watcher->too_large += rc == ERR_TOO_LARGE_REVISION;
        watcher->last = UINT64_MAX;
        return;
    }
    *vec_push(&watcher->segments) = (struct segment){.after = after};
}

static void turn(struct timer *timer)
{
    struct watcher *watcher = container_of(timer, struct watcher, timer);
    if (watcher->cursor == NULL) {
        open_it(watcher);
    }
    if (watcher->cursor != NULL) {
        drain(watcher, 1 + random_below(&watcher->random, 300));
    }
    uint64_t dice = random_below(&watcher->random, 60);
    if (watcher->cursor != NULL && dice == 0) {
        close_it(watcher);
    } else if (watcher->cursor != NULL && dice < 5) {
        cursor_park(watcher->cursor);
    }
    /* Now and then it stalls until the ring has passed it. */
    int64_t delay = dice == 1 ? 300 : (int64_t)random_below(&watcher->random, 10);
    timer_start(watcher->loop, timer, delay * NS_PER_MS, turn);
}

/* ---- checking ---- */

static size_t log_after(const struct rig *rig, uint64_t revision)
{
    size_t low = 0, high = rig->log.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (rig->log.items[middle].revision <= revision) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void check_segment(const struct rig *rig, const struct segment *segment)
{
    size_t at = log_after(rig, segment->after);
    for (size_t i = 0; i < segment->seen.count; i++) {
        assert_true(at + i < rig->log.count);
        const struct entry *is = &segment->seen.items[i], *must = &rig->log.items[at + i];
        assert_true(is->revision == must->revision && is->type == must->type);
        assert_true(is->number == must->number && is->previous == must->previous);
    }
    for (size_t i = 0; i < segment->bookmarks.count; i++) {
        const struct entry *mark = &segment->bookmarks.items[i];
        uint64_t revision = mark->revision > segment->after ? mark->revision : segment->after;
        assert_true(log_after(rig, revision) == at + mark->number);
    }
}

static int by_revision(const void *a, const void *b)
{
    uint64_t left = ((const struct entry *)a)->revision,
             right = ((const struct entry *)b)->revision;
    return left < right ? -1 : left > right;
}

static size_t check(struct rig *rig)
{
    /* The simulated loop runs the answers of one batch in any order. */
    qsort(rig->log.items, rig->log.count, sizeof *rig->log.items, by_revision);
    size_t events = 0, segments = 0;
    unsigned expired = 0, too_large = 0;
    for (size_t i = 1; i < rig->log.count; i++) {
        assert_true(rig->log.items[i].revision > rig->log.items[i - 1].revision);
    }
    for (int i = 0; i < WATCHERS; i++) {
        struct watcher *watcher = &rig->watchers[i];
        for (size_t j = 0; j < watcher->segments.count; j++) {
            struct segment *segment = &watcher->segments.items[j];
            check_segment(rig, segment);
            events += segment->seen.count;
            vec_done(&segment->seen);
            vec_done(&segment->bookmarks);
        }
        segments += watcher->segments.count;
        expired += watcher->expired;
        too_large += watcher->too_large;
        vec_done(&watcher->segments);
    }
    print_message("%zu written, %zu seen in %zu watches, %u times 410, %u times too large\n",
                  rig->log.count, events, segments, expired, too_large);
    assert_true(expired > 0 && too_large > 0);
    return events;
}

static void rig_init(struct rig *rig, uint64_t seed, uint64_t target, struct loop *loop)
{
    struct store_options options = {.clock = loop_clock(loop)};
    struct err err = ERR_INIT;
    random_seeded_init(&rig->random, seed);
    rig->store_loop = loop;
    rig->target = target;
    rig->cache = cache_new(100000);
    assert_int_equal(store_memory.open(&options, &rig->store, &err), 0);
    assert_int_equal(sequencer_new(loop, rig->store, rig->cache, &rig->sequencer, &err), 0);
    for (int i = 0; i < WRITERS; i++) {
        rig->writers[i].rig = rig;
        timer_start(loop, &rig->writers[i].timer, 0, write_next);
    }
}

static void watcher_init(struct rig *rig, int i, uint64_t seed, struct loop *loop)
{
    struct watcher *watcher = &rig->watchers[i];
    watcher->rig = rig;
    watcher->loop = loop;
    watcher->last = UINT64_MAX;
    random_seeded_init(&watcher->random, seed * 100 + (uint64_t)i);
}

static void rig_done(struct rig *rig)
{
    for (size_t i = 0; i < sizeof rig->writers / sizeof *rig->writers; i++) {
        timer_stop(&rig->writers[i].timer); /* its loop may still be there */
    }
    sequencer_free(rig->sequencer);
    store_memory.close(rig->store);
    cache_free(rig->cache);
    vec_done(&rig->log);
    free(rig);
}

static void compaction(struct rig *rig)
{
    sequencer_set_history(rig->sequencer, 200 * NS_PER_MS);
}

static void one_thread_from_a_seed(void **state)
{
    uint64_t seed = 1;
    if (getenv("COX_SEED") != NULL) {
        assert_true(str_u64(str_of(getenv("COX_SEED")), &seed));
    }
    struct loop *loop = loop_new_sim(seed, 1000 * NS_PER_S);
    struct rig *rig = mem_new(struct rig);
    rig_init(rig, seed, 200000, loop);
    for (int i = 0; i < WATCHERS; i++) {
        watcher_init(rig, i, seed, loop);
        timer_start(loop, &rig->watchers[i].timer, 0, turn);
    }
    while (atomic_load(&rig->written) < rig->target) {
        compaction(rig);
        loop_run_for(loop, 200 * NS_PER_MS);
    }
    loop_run_for(loop, NS_PER_S);
    for (int i = 0; i < WATCHERS; i++) {
        timer_stop(&rig->watchers[i].timer);
        cursor_close(rig->watchers[i].cursor);
    }
    loop_run_for(loop, NS_PER_S); /* reads of the history that are under way */
    assert_true(check(rig) > 200000);
    rig_done(rig);
    loop_free(loop);
}

/* ---- threads ---- */

struct thread {
    pthread_t thread;
    struct loop *loop;
    struct task start, stop;
    struct rig *rig;
    int first;
};

static void start_watchers(struct task *task)
{
    struct thread *thread = container_of(task, struct thread, start);
    for (int i = thread->first; i < WATCHERS; i += 2) {
        timer_start(thread->loop, &thread->rig->watchers[i].timer, 0, turn);
    }
}

static void stop_watchers(struct task *task)
{
    struct thread *thread = container_of(task, struct thread, stop);
    for (int i = thread->first; i < WATCHERS; i += 2) {
        timer_stop(&thread->rig->watchers[i].timer);
        cursor_close(thread->rig->watchers[i].cursor);
    }
    loop_stop(thread->loop);
}

static void *run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

/* The store's loop, two loops of watchers. */
static void many_threads(void **state)
{
    struct loop *store_loop = loop_new();
    struct rig *rig = mem_new(struct rig);
    rig_init(rig, 7, 20000, store_loop);
    struct thread threads[2];
    for (int t = 0; t < 2; t++) {
        threads[t] = (struct thread){.loop = loop_new(), .rig = rig, .first = t};
        threads[t].start.run = start_watchers;
        threads[t].stop.run = stop_watchers;
        for (int i = t; i < WATCHERS; i += 2) {
            watcher_init(rig, i, 7, threads[t].loop);
        }
        loop_post(threads[t].loop, &threads[t].start);
        pthread_create(&threads[t].thread, NULL, run_loop, threads[t].loop);
    }
    pthread_t store_thread;
    pthread_create(&store_thread, NULL, run_loop, store_loop);
    while (atomic_load(&rig->written) < rig->target) {
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    for (int t = 0; t < 2; t++) {
        loop_post(threads[t].loop, &threads[t].stop);
        pthread_join(threads[t].thread, NULL);
    }
    loop_stop(store_loop);
    pthread_join(store_thread, NULL);
    check(rig);
    for (int t = 0; t < 2; t++) {
        loop_free(threads[t].loop);
    }
    rig_done(rig);
    loop_free(store_loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_from_a_seed),
        cmocka_unit_test(many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* store_disk_error.c: reliability R4 for the store, sampled: the k-th read, write, sync or truncate
 * fails with an I/O error, a full disk or a short write, once or for ever. The store never
 * acknowledges what is not durable (the disk forgets what a failed sync should have kept), never
 * crashes, writes nothing after a failed sync until reopened, and goes on after a full disk. */
#include "../unit/cmocka_all.h"

#include <stdlib.h>

#include "../unit/store/script.h"
#include "disk.h"

static struct store *open_store(struct err *err)
{
    struct store_options options = {.path = "/disk", .vfs = "cox-fault", .wal_frames = 40};
    struct store *store = NULL;
    return store_sqlite.open(&options, &store, err) == 0 ? store : NULL;
}

/* Goes on through failures, as a server would. Returns acknowledged commits. */
static int work(struct script *script, struct store *store, int commits)
{
    int done = 0;
    struct err err = ERR_INIT;
    struct store_status status;
    for (int i = 0; i < commits; i++) {
        int rc = script_commit(script, store, &err);
        assert_true(rc == 0 || rc == ERR_STORAGE);
        done += rc == 0;
        store_sqlite.status(store, &status, &err);
        if (status.failed) { /* refused from now on */
            struct script_event tried[16];
            size_t count = script->tried_count;
            memcpy(tried, script->tried, sizeof tried);
            assert_int_equal(script_commit(script, store, &err), ERR_STORAGE);
            memcpy(script->tried, tried, sizeof tried);
            script->tried_count = rc == 0 ? 0 : count;
            return done;
        }
        if (i % 7 == 6) {
            uint64_t upto = script->revision > 60 ? script->revision - 60 : 0;
            store_sqlite.compact(store, upto, &err);
        }
    }
    return done;
}

static const char *const call_names[] = {"read", "write", "sync", "truncate", "open"};

static void fail_once(uint64_t seed, const struct disk_plan *plan)
{
    struct random random;
    struct err err = ERR_INIT;
    struct script script;
    random_seeded_init(&random, seed);
    script_init(&script, seed);
    disk_begin(plan);
    struct store *store = open_store(&err);
    if (store != NULL) {
        work(&script, store, 30);
        store_sqlite.close(store);
    }
    disk_restart((enum disk_damage)random_below(&random, DISK_DAMAGES), &random);
    store = open_store(&err);
    if (store == NULL) {
        fail_msg("%s %lu error %d for ever %d seed %llu: %s", call_names[plan->error_call],
                 plan->error_at, plan->error, plan->for_ever, (unsigned long long)seed,
                 err.message);
    }
    script_check_load(&script, store, true);
    assert_int_equal(work(&script, store, 3), 3);
    store_sqlite.close(store);
    disk_end();
    script_done(&script);
}

static void every_kind_of_failure(void **state)
{
    static const struct disk_plan kinds[] = {
        {.error = DISK_ERROR_IO, .error_call = DISK_READ},
        {.error = DISK_ERROR_IO, .error_call = DISK_WRITE},
        {.error = DISK_ERROR_SHORT, .error_call = DISK_WRITE},
        {.error = DISK_ERROR_FULL, .error_call = DISK_WRITE},
        {.error = DISK_ERROR_IO, .error_call = DISK_SYNC},
        {.error = DISK_ERROR_IO, .error_call = DISK_TRUNCATE},
        {.error = DISK_ERROR_IO, .error_call = DISK_OPEN},
    };
    const char *every = getenv("COX_EVERY"); /* all k instead of a sample */
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        for (unsigned long k = 1; k < 260; k += every != NULL || k < 20 ? 1 : 13) {
            for (int for_ever = 0; for_ever < 2; for_ever++) {
                struct disk_plan plan = kinds[i];
                plan.error_at = k;
                plan.for_ever = for_ever != 0;
                fail_once(seed++, &plan);
            }
        }
    }
}

static void writes_go_on_after_a_full_disk(void **state)
{
    struct script script;
    struct err err = ERR_INIT;
    struct disk_plan none = {0};
    disk_begin(&none);
    script_init(&script, 3);
    struct store *store = open_store(&err);
    assert_int_equal(work(&script, store, 10), 10);
    struct disk_plan full = {
        .error = DISK_ERROR_FULL, .error_call = DISK_WRITE, .error_at = 1, .for_ever = true};
    disk_plan(&full);
    assert_int_equal(work(&script, store, 5), 0);
    disk_plan(&none); /* space is back */
    assert_int_equal(work(&script, store, 30), 30);
    store_sqlite.close(store);
    store = open_store(&err);
    script_check_load(&script, store, false);
    store_sqlite.close(store);
    disk_end();
    script_done(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_failure),
        cmocka_unit_test(writes_go_on_after_a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

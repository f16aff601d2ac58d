/* store_power_cut.c: reliability R3 at tier P: 200 power cuts at random writes and syncs, in three
 * kinds of damage. After each: what was acknowledged is there, what was not is there as a whole or
 * not at all, no revision comes again, the pages are sound, and the store goes on.
 *
 * COX_CUTS=N in the environment runs N of them; COX_SEED=N replays from a seed. */
#include "../unit/cmocka_all.h"

#include <stdlib.h>

#include "../unit/store/script.h"
#include "disk.h"

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t value = otherwise;
    return text != NULL && str_u64(str_of(text), &value) ? value : otherwise;
}

static struct store *open_store(struct err *err)
{
    struct store_options options = {.path = "/disk", .vfs = "cox-fault", .wal_frames = 40};
    struct store *store = NULL;
    return store_sqlite.open(&options, &store, err) == 0 ? store : NULL;
}

/* Writes and compacts until it is done or the power goes. */
static void work(struct script *script, struct store *store, int commits)
{
    struct err err = ERR_INIT;
    for (int i = 0; i < commits && !disk_is_cut(); i++) {
        int rc = script_commit(script, store, &err);
        assert_true(rc == 0 || disk_is_cut());
        if (i % 7 == 6 && rc == 0) {
            uint64_t upto = script->revision > 60 ? script->revision - 60 : 0;
            rc = store_sqlite.compact(store, upto, &err);
            assert_true(rc == 0 || disk_is_cut());
        }
    }
}

static void cut_once(uint64_t seed, unsigned long steps)
{
    struct random random;
    struct err err = ERR_INIT;
    struct script script;
    random_seeded_init(&random, seed);
    script_init(&script, seed);
    struct disk_plan plan = {.cut_at = 1 + random_below(&random, steps)};
    disk_begin(&plan);
    for (int life = 0; life < 3; life++) {
        struct store *store = open_store(&err);
        if (store == NULL) { /* cut while opening */
            if (!disk_is_cut()) {
                fail_msg("seed %llu: %s", (unsigned long long)seed, err.message);
            }
        } else {
            script_check_load(&script, store, true);
            work(&script, store, 40);
            store_sqlite.close(store);
        }
        disk_restart((enum disk_damage)random_below(&random, DISK_DAMAGES), &random);
        plan.cut_at = life == 1 ? 0 : 1 + random_below(&random, steps);
        disk_plan(&plan);
    }
    struct store *store = open_store(&err);
    if (store == NULL) {
        fail_msg("seed %llu: %s", (unsigned long long)seed, err.message);
    }
    script_check_load(&script, store, true);
    store_sqlite.close(store);
    disk_end();
    script_done(&script);
}

static void nothing_acknowledged_is_lost(void **state)
{
    struct script script;
    struct err err = ERR_INIT;
    struct disk_plan none = {0};
    disk_begin(&none);
    script_init(&script, 1);
    struct store *store = open_store(&err);
    assert_non_null(store);
    work(&script, store, 40);
    unsigned long steps = disk_steps();
    store_sqlite.close(store);
    script_done(&script);
    disk_end();
    assert_true(steps > 200);
    uint64_t seed = number_from("COX_SEED", 1), cuts = number_from("COX_CUTS", 200);
    for (uint64_t i = 0; i < cuts; i++) {
        cut_once(seed + i, steps);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_acknowledged_is_lost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

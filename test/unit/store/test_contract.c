/* test_contract.c: every store keeps store.h: a random script against a naive model, with
 * compactions and (where the store is durable) reopening. */
#include "../cmocka_all.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "script.h"

static struct store *open_store(const struct store_ops *ops, const char *path)
{
    struct store_options options = {.path = path};
    struct store *store = NULL;
    struct err err = ERR_INIT;
    if (ops->open(&options, &store, &err) != 0) {
        fail_msg("%s", err.message);
    }
    return store;
}

static void remove_folder(char *folder)
{
    const char *const files[] = {"cox.db", "cox.db-wal", "copy.db"};
    for (size_t i = 0; i < 3; i++) {
        char *file MEM_CLEANUP = mem_printf("%s/%s", folder, files[i]);
        unlink(file);
    }
    rmdir(folder);
}

static void run(const struct store_ops *ops, uint64_t seed, bool durable)
{
    char folder[] = "/tmp/cox-store-XXXXXX";
    assert_non_null(mkdtemp(folder));
    struct script script;
    struct err err = ERR_INIT;
    script_init(&script, seed);
    struct store *store = open_store(ops, folder);
    uint64_t compacted = 0;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 10; i++) {
            assert_int_equal(script_commit(&script, store, &err), 0);
        }
        script_check_past(&script, store, compacted);
        if (round % 3 == 2) {
            compacted += random_below(&script.random, script.revision - compacted + 1);
            assert_int_equal(ops->compact(store, compacted, &err), 0);
            script_check_past(&script, store, compacted);
        }
        if (durable && round % 4 == 3) {
            ops->close(store);
            store = open_store(ops, folder);
            script_check_load(&script, store, false);
        }
    }
    struct store_status status;
    assert_int_equal(ops->compact(store, UINT64_MAX, &err), 0);
    assert_int_equal(ops->status(store, &status, &err), 0);
    assert_int_equal(status.history_rows, 0);
    assert_true(status.revision == script.revision && status.compacted == script.revision);
    ops->close(store);
    script_done(&script);
    remove_folder(folder);
}

static void memory_keeps_the_contract(void **state)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        run(&store_memory, seed, false);
    }
}

static void sqlite_keeps_the_contract(void **state)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        run(&store_sqlite, seed, true);
    }
}

static void finds_the_revision_of_a_time(void **state)
{
    const struct store_ops *const all[] = {&store_memory, &store_sqlite};
    for (size_t i = 0; i < 2; i++) {
        char folder[] = "/tmp/cox-store-XXXXXX";
        assert_non_null(mkdtemp(folder));
        struct clock clock;
        clock_virtual_init(&clock, 1000 * NS_PER_S);
        struct store_options options = {.path = folder, .clock = &clock};
        struct store *store = NULL;
        struct err err = ERR_INIT;
        assert_int_equal(all[i]->open(&options, &store, &err), 0);
        struct script script;
        script_init(&script, 9);
        uint64_t at[20];
        for (int second = 0; second < 20; second++) {
            assert_int_equal(script_commit(&script, store, &err), 0);
            at[second] = script.revision;
            clock_virtual_advance(&clock, NS_PER_S);
        }
        for (int second = 0; second < 20; second++) {
            uint64_t found = 0;
            int64_t when = (1000 + second) * NS_PER_S + NS_PER_MS;
            assert_int_equal(all[i]->revision_at(store, when, &found, &err), 0);
            assert_true(found == at[second]);
        }
        uint64_t found = 1;
        assert_int_equal(all[i]->revision_at(store, 5 * NS_PER_S, &found, &err), 0);
        assert_true(found == 0);
        all[i]->close(store);
        script_done(&script);
        remove_folder(folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_keeps_the_contract),
        cmocka_unit_test(sqlite_keeps_the_contract),
        cmocka_unit_test(finds_the_revision_of_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

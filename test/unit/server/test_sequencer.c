/* test_sequencer.c: preconditions against the newest state and within a batch, revisions, failures,
 * readiness, what is there after a restart, backups, the past. On the simulated loop. */
#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/mem.h"
#include "server/sequencer.h"
#include "specimen.h"

static struct loop *loop;
static struct store *store;
static struct cache *cache;
static struct sequencer *sequencer;
static char folder[64];
static int answered;

static void start(void)
{
    struct err err = ERR_INIT;
    struct store_options options = {.path = folder};
    loop = loop_new_sim(1, 1000 * NS_PER_S);
    cache = cache_new(0);
    if (store_sqlite.open(&options, &store, &err) != 0 ||
        sequencer_new(loop, store, cache, &sequencer, &err) != 0) {
        fail_msg("%s", err.message);
    }
}

static void stop(void)
{
    sequencer_free(sequencer);
    store->ops->close(store);
    cache_free(cache);
    loop_free(loop);
}

static int setup(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/cox-sequencer-XXXXXX");
    answered = 0;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    start();
    return 0;
}

static int teardown(void **state)
{
    const char *const files[] = {"cox.db", "cox.db-wal", "copy"};
    stop();
    for (size_t i = 0; i < 3; i++) {
        char *file MEM_CLEANUP = mem_printf("%s/%s", folder, files[i]);
        unlink(file);
    }
    return rmdir(folder);
}

static void on_done(struct write *write)
{
    answered++;
}

static void submit(struct write *write, enum write_kind kind, const char *name, uint64_t number,
                   uint64_t expected)
{
    *write = (struct write){.kind = kind,
                            .resource = specimen_configmaps(),
                            .ns = STR("default"),
                            .name = str_of(name),
                            .expected_revision = expected,
                            .loop = loop,
                            .done = on_done};
    if (kind != WRITE_DELETE) {
        write->object = specimen_configmap(write->ns, write->name, number, 200);
    }
    sequencer_submit(sequencer, write);
}

static void settle(void)
{
    loop_run_for(loop, 0);
}

static void drop(struct write *writes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        object_unref(writes[i].result);
        writes[i].result = NULL;
    }
}

static void preconditions_hold_within_a_batch(void **state)
{
    struct write w[9];
    submit(&w[0], WRITE_CREATE, "a", 1, 0);
    submit(&w[1], WRITE_CREATE, "a", 2, 0); /* exists */
    submit(&w[2], WRITE_UPDATE, "a", 3, 1); /* the revision that w[0] gets */
    submit(&w[3], WRITE_UPDATE, "a", 4, 1); /* stale by now */
    submit(&w[4], WRITE_DELETE, "a", 0, 0); /* any revision */
    submit(&w[5], WRITE_UPDATE, "a", 5, 0); /* gone */
    submit(&w[6], WRITE_CREATE, "a", 6, 0); /* again */
    submit(&w[7], WRITE_DELETE, "b", 0, 0); /* never was */
    submit(&w[8], WRITE_UPDATE, "a", 6, 0); /* no byte differs */
    settle();
    assert_int_equal(answered, 9);
    assert_int_equal(w[0].code, 0);
    assert_true(w[0].result->revision == 1);
    assert_int_equal(w[1].code, ERR_EXISTS);
    assert_true(w[1].result == w[0].result);
    assert_int_equal(w[2].code, 0);
    assert_true(w[2].result->revision == 2);
    assert_int_equal(w[3].code, ERR_CONFLICT);
    assert_true(w[3].result == w[2].result);
    assert_int_equal(w[4].code, 0);
    assert_true(w[4].result->revision == 3 && specimen_number(w[4].result) == 3);
    assert_int_equal(w[5].code, ERR_NOT_FOUND);
    assert_null(w[5].result);
    assert_int_equal(w[6].code, 0);
    assert_true(w[6].result->revision == 4);
    assert_int_equal(w[7].code, ERR_NOT_FOUND);
    assert_int_equal(w[8].code, 0);
    assert_true(w[8].result == w[6].result);
    assert_true(cache_revision(cache) == 4);
    drop(w, 9);
}

/* Renewals of leases: they wait for company, but not long, and go with whoever comes. */
static void patient_writes_share_a_sync(void **state)
{
    struct write w[4];
    submit(&w[0], WRITE_CREATE, "a", 1, 0);
    settle();
    for (int i = 1; i < 3; i++) {
        w[i] = (struct write){.kind = WRITE_UPDATE,
                              .resource = specimen_configmaps(),
                              .ns = STR("default"),
                              .name = STR("a"),
                              .object = specimen_configmap(STR("default"), STR("a"), i + 1, 200),
                              .patient = true,
                              .loop = loop,
                              .done = on_done};
        sequencer_submit(sequencer, &w[i]);
    }
    loop_run_for(loop, SEQUENCER_PATIENCE_NS - NS_PER_MS);
    assert_int_equal(answered, 1);
    loop_run_for(loop, 2 * NS_PER_MS);
    assert_int_equal(answered, 3);
    assert_true(w[2].result->revision == 3);
    drop(w, 3);
    w[1].object = specimen_configmap(STR("default"), STR("a"), 7, 200);
    sequencer_submit(sequencer, &w[1]);
    settle();
    assert_int_equal(answered, 3);
    submit(&w[3], WRITE_CREATE, "b", 1, 0); /* takes it along, behind it */
    settle();
    assert_int_equal(answered, 5);
    assert_true(w[3].result->revision == 4 && w[1].result->revision == 5);
    object_unref(w[1].result);
    object_unref(w[3].result);
    loop_run_for(loop, 2 * SEQUENCER_PATIENCE_NS); /* the timer finds nothing */
    w[1].object = specimen_configmap(STR("default"), STR("a"), 8, 200);
    sequencer_submit(sequencer, &w[1]);
    loop_run_for(loop, SEQUENCER_PATIENCE_NS + NS_PER_MS);
    assert_int_equal(answered, 6);
    object_unref(w[1].result);
}

static void a_uid_is_a_precondition(void **state)
{
    struct write w[2];
    submit(&w[0], WRITE_CREATE, "a", 1, 0);
    settle();
    w[1] = (struct write){.kind = WRITE_DELETE,
                          .resource = specimen_configmaps(),
                          .ns = STR("default"),
                          .name = STR("a"),
                          .expected_uid = STR("u2"),
                          .loop = loop,
                          .done = on_done};
    sequencer_submit(sequencer, &w[1]);
    settle();
    assert_int_equal(w[1].code, ERR_CONFLICT);
    drop(w, 2);
    w[1].expected_uid = STR("u1");
    sequencer_submit(sequencer, &w[1]);
    settle();
    assert_int_equal(w[1].code, 0);
    drop(w, 2);
}

static void a_restart_finds_what_was_acknowledged(void **state)
{
    struct write w[3];
    submit(&w[0], WRITE_CREATE, "a", 1, 0);
    submit(&w[1], WRITE_CREATE, "b", 2, 0);
    settle();
    drop(w, 2);
    submit(&w[2], WRITE_DELETE, "b", 0, 0);
    settle();
    drop(&w[2], 1);
    stop();
    start();
    assert_true(cache_revision(cache) == 3);
    struct object *a = cache_get(cache, specimen_configmaps(), STR("default"), STR("a"));
    assert_non_null(a);
    assert_true(a->revision == 1 && specimen_number(a) == 1);
    object_unref(a);
    assert_null(cache_get(cache, specimen_configmaps(), STR("default"), STR("b")));
    submit(&w[0], WRITE_CREATE, "b", 3, 0);
    settle();
    assert_true(w[0].result->revision == 4);
    drop(w, 1);
}

static void count(void *ctx)
{
    ++*(int *)ctx;
}

static void a_failed_commit_is_seen_by_nobody(void **state)
{
#if COX_FAILPOINTS
    int failures = 0;
    sequencer_on_failed(sequencer, count, &failures);
    struct err err = ERR_INIT;
    struct write w[3];
    submit(&w[0], WRITE_CREATE, "a", 1, 0);
    settle();
    assert_int_equal(sequencer_health(sequencer, &err), 0);
    assert_true(failpoint_arm(STR("store.before-commit=error:EIO,once")));
    submit(&w[1], WRITE_CREATE, "b", 2, 0);
    settle();
    assert_int_equal(w[1].code, ERR_STORAGE);
    assert_null(w[1].result);
    assert_true(w[1].error.message[0] != '\0');
    assert_null(cache_get(cache, specimen_configmaps(), STR("default"), STR("b")));
    assert_true(cache_revision(cache) == 1);
    submit(&w[2], WRITE_CREATE, "c", 3, 0); /* refused until reopened */
    settle();
    assert_int_equal(w[2].code, ERR_STORAGE);
    assert_int_equal(failures, 1);
    assert_int_equal(sequencer_health(sequencer, &err), ERR_STORAGE);
    drop(w, 3);
    stop();
    start();
    assert_int_equal(sequencer_health(sequencer, &err), 0);
    submit(&w[1], WRITE_CREATE, "b", 2, 0);
    settle();
    assert_int_equal(w[1].code, 0);
    drop(w, 3);
#endif
}

static void health_is_proved_by_a_commit(void **state)
{
    struct err err = ERR_INIT;
    assert_int_equal(sequencer_health(sequencer, &err), 0);
    settle();
    assert_true(cache_revision(cache) == 0); /* the proof used no revision */
}

static bool backed_up;

static void on_backup(void *ctx, const struct err *err)
{
    assert_null(err);
    backed_up = true;
}

static void backs_up_beside_writes(void **state)
{
    struct write w[2];
    char *copy MEM_CLEANUP = mem_printf("%s/copy", folder);
    submit(&w[0], WRITE_CREATE, "a", 1, 0);
    sequencer_backup(sequencer, copy, loop, on_backup, NULL);
    submit(&w[1], WRITE_CREATE, "b", 1, 0);
    settle();
    assert_true(backed_up);
    assert_int_equal(access(copy, R_OK), 0);
    drop(w, 2);
}

static void on_read(struct history_read *read)
{
    answered++;
}

static void the_past_can_be_read(void **state)
{
    struct write w[4];
    submit(&w[0], WRITE_CREATE, "a", 1, 0);
    submit(&w[1], WRITE_CREATE, "b", 2, 0);
    submit(&w[2], WRITE_UPDATE, "a", 3, 0);
    submit(&w[3], WRITE_DELETE, "b", 0, 0);
    settle();
    drop(w, 4);
    struct history_read read = {
        .resource = specimen_configmaps(), .upto = 2, .state = true, .loop = loop, .done = on_read};
    sequencer_read_history(sequencer, &read);
    settle();
    assert_int_equal(read.code, 0);
    assert_int_equal(read.events.count, 2);
    assert_true(specimen_number(read.events.items[0].object) == 1);
    assert_true(specimen_number(read.events.items[1].object) == 2);
    history_read_done(&read);
    read = (struct history_read){.resource = specimen_configmaps(),
                                 .after = 1,
                                 .upto = UINT64_MAX,
                                 .limit = 2,
                                 .loop = loop,
                                 .done = on_read};
    sequencer_read_history(sequencer, &read);
    settle();
    assert_int_equal(read.events.count, 2);
    assert_true(read.upto == 3); /* there is more */
    assert_int_equal(read.events.items[1].type, EVENT_MODIFIED);
    assert_true(specimen_number(read.events.items[1].previous) == 1);
    history_read_done(&read);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(preconditions_hold_within_a_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(patient_writes_share_a_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(a_uid_is_a_precondition, setup, teardown),
        cmocka_unit_test_setup_teardown(a_restart_finds_what_was_acknowledged, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_commit_is_seen_by_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(health_is_proved_by_a_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(backs_up_beside_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(the_past_can_be_read, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

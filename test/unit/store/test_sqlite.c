/* test_sqlite.c: what only the SQLite store promises: one process a data folder, damage is found
 * before anything is served, backup and restore, sealed values, a bounded file. */
#include "../cmocka_all.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "script.h"

static char folder[64], other[64];

static int setup(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/cox-store-XXXXXX");
    snprintf(other, sizeof other, "/tmp/cox-other-XXXXXX");
    return mkdtemp(folder) != NULL && mkdtemp(other) != NULL ? 0 : -1;
}

static char *in(const char *where, const char *file)
{
    return mem_printf("%s/%s", where, file);
}

static int teardown(void **state)
{
    const char *const files[] = {"cox.db", "cox.db-wal", "copy", "copy.partial"};
    for (size_t i = 0; i < 8; i++) {
        char *file MEM_CLEANUP = in(i < 4 ? folder : other, files[i % 4]);
        unlink(file);
    }
    return rmdir(folder) + rmdir(other);
}

static int try_open(const char *where, const struct store_seal *seal, struct store **ret_store,
                    struct err *err)
{
    struct store_options options = {.path = where, .seal = seal};
    return store_sqlite.open(&options, ret_store, err);
}

static struct store *must_open(const char *where)
{
    struct store *store = NULL;
    struct err err = ERR_INIT;
    if (try_open(where, NULL, &store, &err) != 0) {
        fail_msg("%s", err.message);
    }
    return store;
}

static void fill(struct script *script, struct store *store, int commits)
{
    struct err err = ERR_INIT;
    for (int i = 0; i < commits; i++) {
        assert_int_equal(script_commit(script, store, &err), 0);
    }
}

static void a_second_process_is_told(void **state)
{
    struct store *store = must_open(folder);
    pid_t child = fork();
    if (child == 0) {
        struct store *second = NULL;
        struct err err = ERR_INIT;
        int rc = try_open(folder, NULL, &second, &err);
        _exit(rc == ERR_STORAGE && str_contains(str_of(err.message), STR("another process")) ? 0
                                                                                             : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    store_sqlite.close(store);
}

static void flip(const char *path, off_t at, int bit)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    unsigned char byte = 0;
    assert_true(pread(fd, &byte, 1, at) == 1);
    byte ^= (unsigned char)(1 << bit);
    assert_true(pwrite(fd, &byte, 1, at) == 1);
    close(fd);
}

/* One flipped bit is either found at open, or lies where nothing is kept: then all is as written.
 */
static void one_flipped_bit_is_never_served(void **state)
{
    struct script script;
    script_init(&script, 77);
    struct store *store = must_open(folder);
    fill(&script, store, 60);
    struct err err = ERR_INIT;
    assert_int_equal(store_sqlite.compact(store, script.revision / 2, &err), 0);
    store_sqlite.close(store);
    char *file MEM_CLEANUP = in(folder, "cox.db");
    struct stat stat_;
    assert_int_equal(stat(file, &stat_), 0);
    int found = 0;
    for (int i = 0; i < 200; i++) {
        off_t at = (off_t)random_below(&script.random, (uint64_t)stat_.st_size);
        int bit = (int)random_below(&script.random, 8);
        flip(file, at, bit);
        err = (struct err)ERR_INIT;
        if (try_open(folder, NULL, &store, &err) != 0) {
            found++;
            assert_true(err.message[0] != '\0');
        } else {
            script_check_load(&script, store, false);
            script_check_past(&script, store, script.revision / 2);
            store_sqlite.close(store);
        }
        flip(file, at, bit);
    }
    assert_true(found > 60); /* of 200; the rest hit free pages and slack */
    store = must_open(folder);
    script_check_load(&script, store, false);
    store_sqlite.close(store);
    script_done(&script);
}

static void backup_while_writing_and_restore(void **state)
{
    struct script script;
    struct err err = ERR_INIT;
    script_init(&script, 5);
    struct store *store = must_open(folder);
    fill(&script, store, 200);
    char *copy MEM_CLEANUP = in(other, "copy");
    assert_int_equal(store_sqlite.backup_begin(store, copy, &err), 0);
    assert_int_equal(store_sqlite.backup_begin(store, copy, &err), ERR_TOO_MANY);
    int more, steps = 0;
    while ((more = store_sqlite.backup_step(store, &err)) == 1) {
        fill(&script, store, 1);
        steps++;
    }
    assert_int_equal(more, 0);
    assert_true(steps > 1);
    uint64_t revision = script.revision; /* the last step saw all of it */
    store_sqlite.close(store);
    assert_int_equal(store_sqlite_restore(copy, folder, &err), ERR_EXISTS);
    if (store_sqlite_restore(copy, other, &err) != 0) {
        fail_msg("%s", err.message);
    }
    store = must_open(other);
    struct store_status status;
    assert_int_equal(store_sqlite.status(store, &status, &err), 0);
    assert_true(status.revision == revision + 1000000000);
    assert_true(status.compacted == status.revision);
    script.revision = status.revision;
    script_check_load(&script, store, false);
    fill(&script, store, 3);
    store_sqlite.close(store);
    script_done(&script);
}

/* A stand-in for AES-GCM: xor, and the key in front. */
static bool seal_wanted(void *ctx, struct str resource)
{
    return str_is(resource, "nodes");
}

static int seal_put(void *ctx, struct str key, struct str plain, struct buf *out, struct err *err)
{
    buf_str(out, key);
    for (size_t i = 0; i < plain.n; i++) {
        buf_char(out, (char)(plain.p[i] ^ 0x55));
    }
    return 0;
}

static int seal_get(void *ctx, struct str key, struct str sealed, struct buf *out, struct err *err)
{
    if (!str_starts(sealed, key)) {
        return err_set(err, ERR_STORAGE, "moved");
    }
    for (size_t i = key.n; i < sealed.n; i++) {
        buf_char(out, (char)(sealed.p[i] ^ 0x55));
    }
    return 0;
}

static void sealed_values_come_back(void **state)
{
    const struct store_seal seal = {seal_wanted, seal_put, seal_get, NULL, STR("k1")};
    struct script script;
    struct err err = ERR_INIT;
    struct store *store = NULL;
    script_init(&script, 6);
    assert_int_equal(try_open(folder, &seal, &store, &err), 0);
    fill(&script, store, 50);
    script_check_past(&script, store, 0);
    store_sqlite.close(store);
    assert_int_equal(try_open(folder, &seal, &store, &err), 0);
    script_check_load(&script, store, false);
    store_sqlite.close(store);
    script_done(&script);
}

static void the_file_is_bounded_by_compaction(void **state)
{
    struct script script;
    struct err err = ERR_INIT;
    struct store_status status;
    script_init(&script, 8);
    struct store *store = must_open(folder);
    uint64_t largest = 0;
    for (int round = 0; round < 60; round++) {
        fill(&script, store, 40);
        uint64_t keep = script.revision > 500 ? script.revision - 500 : 0;
        assert_int_equal(store_sqlite.compact(store, keep, &err), 0);
        store_sqlite.status(store, &status, &err);
        if (getenv("COX_SIZES") != NULL) {
            printf("%d %llu %llu\n", round, (unsigned long long)status.bytes_on_disk,
                   (unsigned long long)status.value_bytes);
        }
        if (round == 20) {
            largest = status.bytes_on_disk;
        }
    }
    /* Thrice the history went through it since, and the WAL has its own bound. */
    assert_true(status.bytes_on_disk <= largest + 20 * 1000 * 1000);
    store_sqlite.close(store);
    struct stat stat_;
    char *file MEM_CLEANUP = in(folder, "cox.db");
    assert_int_equal(stat(file, &stat_), 0);
    assert_true((uint64_t)stat_.st_size < 6 * status.value_bytes);
    script_done(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_second_process_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(one_flipped_bit_is_never_served, setup, teardown),
        cmocka_unit_test_setup_teardown(backup_while_writing_and_restore, setup, teardown),
        cmocka_unit_test_setup_teardown(sealed_values_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(the_file_is_bounded_by_compaction, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

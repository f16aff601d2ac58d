/* test_file.c: whole reads, atomic writes (also with failing calls), trees. */
#include "../cmocka_all.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"

static char folder[64];
static int calls_left; /* the call that fails; negative: none */

static bool fails(void)
{
    if (calls_left < 0 || calls_left-- > 0) {
        return false;
    }
    errno = EIO;
    return true;
}

static int faulty_open(const char *path, int flags, mode_t mode)
{
    return fails() ? -1 : file_ops_real()->open(path, flags, mode);
}
static ssize_t faulty_write(int fd, const void *bytes, size_t size)
{
    return fails() ? -1 : file_ops_real()->write(fd, bytes, size > 3 ? 3 : size);
}
static int faulty_sync(int fd)
{
    return fails() ? -1 : file_ops_real()->sync(fd);
}
static int faulty_rename(const char *from, const char *to)
{
    return fails() ? -1 : file_ops_real()->rename(from, to);
}

static char *in_folder(const char *name)
{
    return mem_printf("%s/%s", folder, name);
}

static void assert_content(const char *path, const char *want)
{
    struct buf bytes BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    assert_int_equal(file_read(path, 1000, &bytes, &err), 0);
    assert_string_equal(bytes.p, want);
}

static void test_read_and_write(void **state)
{
    char *path MEM_CLEANUP = in_folder("a"), *missing MEM_CLEANUP = in_folder("b");
    struct err err = ERR_INIT;
    struct buf bytes BUF_CLEANUP = BUF_INIT;
    assert_int_equal(file_read(missing, 10, &bytes, &err), ERR_NOT_FOUND);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_int_equal(file_write_atomic(path, STR("hello"), 0600, &err), 0);
    assert_content(path, "hello");
    assert_int_equal(file_write_quick(path, STR(""), 0644, &err), 0);
    assert_content(path, "");
    assert_int_equal(file_write_quick(path, STR("12345"), 0644, &err), 0);
    assert_int_equal(file_read(path, 4, &bytes, &err), ERR_LIMIT);
    assert_null(bytes.p);
    assert_int_equal(file_read(path, 5, &bytes, &err), 0);
    assert_true(file_exists(path));
    assert_false(file_exists(missing));
}

static void test_atomic_under_faults(void **state)
{
    struct file_ops faulty = *file_ops_real();
    faulty.open = faulty_open;
    faulty.write = faulty_write;
    faulty.sync = faulty_sync;
    faulty.rename = faulty_rename;
    char *path MEM_CLEANUP = in_folder("atomic");
    struct err err = ERR_INIT;
    assert_int_equal(file_write_atomic(path, STR("old value"), 0600, &err), 0);
    int k = 0, rc = -1;
    for (; rc != 0; k++) {
        file_set_ops(&faulty);
        calls_left = k;
        rc = file_write_atomic(path, STR("new value"), 0600, &err);
        file_set_ops(NULL);
        struct buf bytes BUF_CLEANUP = BUF_INIT;
        assert_int_equal(file_read(path, 100, &bytes, &err), 0);
        bool is_new = str_is(buf_view(&bytes), "new value");
        assert_true(is_new || (rc != 0 && str_is(buf_view(&bytes), "old value")));
    }
    assert_int_equal(k, 9); /* open, 3 writes, sync, rename, open, sync; then none fails */
}

static void test_trees(void **state)
{
    struct err err = ERR_INIT;
    char *deep MEM_CLEANUP = in_folder("tree/x/y/z"), *tree MEM_CLEANUP = in_folder("tree");
    char *kept MEM_CLEANUP = in_folder("kept");
    assert_int_equal(file_make_dirs(deep, 0755, &err), 0);
    assert_int_equal(file_make_dirs(deep, 0755, &err), 0);
    assert_int_equal(file_write_quick(kept, STR("kept"), 0600, &err), 0);
    for (int i = 0; i < 50; i++) {
        char *name MEM_CLEANUP = mem_printf("%s/f%d", i % 2 != 0 ? deep : tree, i);
        assert_int_equal(file_write_quick(name, STR("x"), 0600, &err), 0);
        char *link MEM_CLEANUP = mem_printf("%s/l%d", tree, i);
        assert_int_equal(symlink(i % 2 != 0 ? folder : kept, link), 0);
        char *dir MEM_CLEANUP = mem_printf("%s/x/d%d/e", tree, i);
        assert_int_equal(file_make_dirs(dir, 0755, &err), 0);
    }
    assert_int_equal(file_make_dirs(kept, 0755, &err), ERR_IO);
    assert_int_equal(file_remove_tree(tree, &err), 0);
    assert_false(file_exists(tree));
    assert_content(kept, "kept");
    assert_int_equal(file_remove_tree(tree, &err), 0); /* nothing there: nothing to do */
}

/* In a child with mounts of its own: 0 when the removal stopped at the mount. */
static int remove_across_mount(const char *tree, const char *inside)
{
    struct err err = ERR_INIT;
    struct buf bytes = BUF_INIT;
    char *file = mem_printf("%s/kept", inside);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", inside, "tmpfs", 0, NULL) != 0 ||
        file_write_quick(file, STR("kept"), 0600, &err) != 0) {
        return 77;
    }
    bool stopped = file_remove_tree(tree, &err) == ERR_IO && strstr(err.message, "mount") != NULL;
    return stopped && file_read(file, 10, &bytes, &err) == 0 ? 0 : 1;
}

static void test_mounts(void **state)
{
    char *tree MEM_CLEANUP = in_folder("outer"), *inside MEM_CLEANUP = in_folder("outer/a/b");
    struct err err = ERR_INIT;
    assert_int_equal(file_make_dirs(inside, 0755, &err), 0);
    int status = 0;
    pid_t pid = geteuid() == 0 ? fork() : -1;
    if (pid < 0) {
        skip();
    }
    if (pid == 0) {
        _exit(remove_across_mount(tree, inside));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        skip(); /* no mounts here */
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(file_remove_tree(tree, &err), 0);
}

static int setup(void **state)
{
    memcpy(folder, "/tmp/cox-test-file-XXXXXX", sizeof "/tmp/cox-test-file-XXXXXX");
    return mkdtemp(folder) == NULL;
}
static int teardown(void **state)
{
    return file_remove_tree(folder, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_and_write),
        cmocka_unit_test(test_atomic_under_faults),
        cmocka_unit_test(test_trees),
        cmocka_unit_test(test_mounts),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

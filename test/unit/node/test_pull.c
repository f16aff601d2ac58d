/* Pulling from a registry on loopback: index, token, credentials, resume, wrong bytes. Needs root
 * (the layers are unpacked in a chroot) and python3; skipped (77) otherwise. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../cmocka_all.h"
#include "base/mem.h"
#include "io/file.h"
#include "node/runtime/spawn.h"
#include "node_rig.h"

static char dir[64];
static pid_t registry;
static char port[16];

static int python(const char *script, const char *arg, int out_fd, pid_t *ret_pid)
{
    char *path MEM_CLEANUP = mem_printf(NODE_TEST_DIR "/%s", script);
    const char *argv[] = {"/usr/bin/python3", path, arg, NULL};
    struct spawn_options options = {
        .argv = argv, .stdin_fd = -1, .stdout_fd = out_fd, .stderr_fd = -1};
    return spawn_start(&options, ret_pid, NULL);
}

static int setup(void **state)
{
    int fds[2];
    pid_t maker;
    snprintf(dir, sizeof dir, "/tmp/coxpull.XXXXXX");
    if (mkdtemp(dir) == NULL || pipe2(fds, O_CLOEXEC) != 0) {
        return -1;
    }
    char *archive MEM_CLEANUP = mem_printf("%s/image.tar", dir);
    if (python("make_image.py", archive, -1, &maker) != 0 || spawn_wait(maker, 60000) != 0 ||
        python("fake_registry.py", archive, fds[1], &registry) != 0) {
        return -1;
    }
    close(fds[1]);
    ssize_t n = read(fds[0], port, sizeof port - 1);
    close(fds[0]);
    port[n > 0 ? n - 1 : 0] = '\0';
    return n > 0 ? 0 : -1;
}

static int teardown(void **state)
{
    kill(registry, SIGKILL);
    spawn_wait(registry, 5000);
    file_remove_tree(dir, NULL);
    return 0;
}

static uint64_t seen;
static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
    assert_true(done <= total || total == 0);
    seen = done;
}

static int pull(struct image_store *store, const char *name, const char *auths, struct err *err)
{
    char *reference MEM_CLEANUP = mem_printf("127.0.0.1:%s/%s", port, name);
    struct image_pull_options options = {.reference = str_of(reference),
                                         .auths = str_of(auths),
                                         .insecure_loopback = true,
                                         .progress = on_progress};
    return image_pull(store, &options, err);
}

static struct image_store *open_store(void)
{
    char *path MEM_CLEANUP = mem_printf("%s/store", dir);
    struct image_store *store;
    file_remove_tree(path, NULL);
    assert_int_equal(image_store_open(path, NULL, &store, NULL), 0);
    return store;
}

static void test_pull(void **state)
{
    struct err err = ERR_INIT;
    struct image_store *store = open_store();
    if (pull(store, "test/box:1", "", &err) != 0) {
        fail_msg("%s", err.message);
    }
    char *name MEM_CLEANUP = mem_printf("127.0.0.1:%s/test/box:1", port);
    const struct image *image = image_find(store, str_of(name));
    assert_non_null(image);
    assert_int_equal(image->layer_count, 2);
    assert_non_null(image->digest);
    assert_true(seen > 0);
    /* again, under another name: nothing is downloaded twice */
    seen = 0;
    assert_int_equal(pull(store, "test/flaky:1", "", &err), 0);
    assert_true(seen < 10000);
    image_store_free(store);
}

static void test_resume(void **state)
{
    struct err err = ERR_INIT;
    struct image_store *store = open_store();
    if (pull(store, "test/flaky:1", "", &err) != 0) {
        fail_msg("%s", err.message);
    }
    image_store_free(store);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *name, *auths;
        int code;
    } cases[] = {{"test/none:1", "", ERR_NOT_FOUND},
                 {"test/box:2", "", ERR_NOT_FOUND},
                 {"private/box:1", "", ERR_UNAUTHORIZED},
                 {"test/wrong:1", "", ERR_INVALID},
                 {"BAD", "", ERR_INVALID}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = ERR_INIT;
        struct image_store *store = open_store();
        assert_int_equal(pull(store, cases[i].name, cases[i].auths, &err), cases[i].code);
        assert_true(err.message[0] != '\0');
        assert_int_equal(image_list(store)->count, 0);
        image_store_free(store);
    }
}

static void test_credentials(void **state)
{
    struct err err = ERR_INIT;
    struct image_store *store = open_store();
    char *auths MEM_CLEANUP =
        mem_printf("{\"auths\":{\"127.0.0.1:%s\":{\"auth\":\"dTpw\"}}}", port);
    if (pull(store, "private/box:1", auths, &err) != 0) {
        fail_msg("%s", err.message);
    }
    image_store_free(store);
}

int main(int argc, char **argv)
{
    int role = rig_role(argc, argv);
    if (role >= 0) {
        return role;
    }
    if (geteuid() != 0 || access("/usr/bin/python3", X_OK) != 0 ||
        access("/bin/busybox", X_OK) != 0) {
        fprintf(stderr, "skipped: needs root, python3 and busybox-static\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pull),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_credentials),
    };
    const struct CMUnitTest fresh[] = {cmocka_unit_test(test_resume)};
    int failed = cmocka_run_group_tests(fresh, setup, teardown);
    return failed + cmocka_run_group_tests(tests, setup, teardown);
}

/* test_process.c: children: what they get, what they do not inherit, how they end. */
#include "../cmocka_all.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/process.h"

static int run_shell(const char *script, struct str input, const struct process_options *base,
                     struct process_result *result, struct err *err)
{
    struct process_options options = *base;
    const char *argv[] = {"sh", "-c", script, NULL};
    options.argv = argv;
    return process_run(&options, input, 10 * NS_PER_S, result, err);
}

static void test_run(void **state)
{
    struct process_options options = {0};
    struct process_result result;
    struct err err = ERR_INIT;
    int leaked = open("/dev/null", O_RDONLY); /* not close-on-exec: must not reach the child */
    assert_int_equal(run_shell("cat; echo err >&2; pwd; echo $PATH | cut -c1-5; env | wc -l; "
                               "ls /proc/self/fd | tr '\\n' ' '; exit 7",
                               STR("hello\n"), &options, &result, &err),
                     0);
    close(leaked);
    assert_int_equal(result.exit_status, 7);
    assert_true(str_starts(buf_view(&result.out), STR("hello\n/\n/usr/\n")));
    assert_true(str_ends(buf_view(&result.out), STR("\n0 1 2 3 ")));
    assert_string_equal(result.err.p, "err\n");
    buf_done(&result.out);
    buf_done(&result.err);
}

static void test_run_large(void **state)
{
    struct process_options options = {.cwd = "/tmp"};
    struct process_result result;
    struct err err = ERR_INIT;
    struct buf input BUF_CLEANUP = BUF_INIT;
    memset(buf_room(&input, 3 << 20), 'x', 3 << 20);
    input.n = 3 << 20;
    assert_int_equal(run_shell("cat", buf_view(&input), &options, &result, &err), 0);
    assert_int_equal(result.exit_status, 0);
    assert_int_equal(result.out.n, 1 << 20);
    buf_done(&result.out);
    buf_done(&result.err);
    /* A child that reads nothing, and one that is killed. */
    assert_int_equal(run_shell("kill -9 $$", buf_view(&input), &options, &result, &err), 0);
    assert_int_equal(result.exit_status, 128 + 9);
    buf_done(&result.out);
    buf_done(&result.err);
}

static void test_run_grandchild_keeps_pipe(void **state)
{
    struct process_options options = {0};
    struct process_result result;
    struct err err = ERR_INIT;
    assert_int_equal(run_shell("sleep 3 & echo done", STR_NONE, &options, &result, &err), 0);
    assert_string_equal(result.out.p, "done\n");
    buf_done(&result.out);
    buf_done(&result.err);
}

static void test_failures(void **state)
{
    struct err err = ERR_INIT;
    struct process_result result;
    const char *missing[] = {"/no/such/program", NULL}, *sleeper[] = {"sleep", "100", NULL};
    struct process_options options = {.argv = missing};
    assert_int_equal(process_run(&options, STR_NONE, 0, &result, &err), ERR_IO);
    assert_non_null(strstr(err.message, "/no/such/program"));
    assert_non_null(strstr(err.message, "No such file"));
    options.argv = sleeper;
    assert_int_equal(process_run(&options, STR_NONE, 50 * NS_PER_MS, &result, &err), ERR_TIMEOUT);
    options.cwd = "/no/such/folder";
    assert_int_equal(process_run(&options, STR_NONE, 0, &result, &err), ERR_IO);
    assert_non_null(strstr(err.message, "chdir"));
}

static void test_namespaces(void **state)
{
    if (geteuid() != 0) {
        skip();
    }
    struct process_options options = {
        .netns_path = "/proc/self/ns/net", .new_mount_namespace = true, .cwd = "/tmp"};
    struct process_result result;
    struct err err = ERR_INIT;
    assert_int_equal(run_shell("mount -t tmpfs none /mnt && touch /mnt/cox-seen && ls /mnt",
                               STR_NONE, &options, &result, &err),
                     0);
    assert_int_equal(result.exit_status, 0);
    assert_string_equal(result.out.p, "cox-seen\n");
    assert_int_not_equal(access("/mnt/cox-seen", F_OK), 0);
    buf_done(&result.out);
    buf_done(&result.err);
    options.netns_path = "/no/such/namespace";
    assert_int_equal(run_shell("true", STR_NONE, &options, &result, &err), ERR_IO);
    assert_non_null(strstr(err.message, "network namespace"));
    options = (struct process_options){.cgroup_path = "/no/such/cgroup"};
    assert_int_equal(run_shell("true", STR_NONE, &options, &result, &err), ERR_IO);
    assert_non_null(strstr(err.message, "cgroup"));
}

struct ended {
    struct loop *loop;
    int status, count;
};

static void on_exit_(void *ctx, struct process *process, int status)
{
    struct ended *ended = ctx;
    ended->status = status;
    ended->count++;
    process_free(process);
    loop_stop(ended->loop);
}

static void on_gone(void *ctx, struct pid_watch *watch)
{
    struct ended *ended = ctx;
    ended->count++;
    pid_watch_free(watch);
}

static bool say_hello(void *arg)
{
    return write(5, arg, 2) == 2;
}

static void test_on_loop(void **state)
{
    struct ended ended = {.loop = loop_new()}, gone = {0};
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    const char *argv[] = {"sh", "-c", "echo $A >&5; read x; exit 3", NULL}, *env[] = {"A=b", NULL};
    struct process_options options = {.argv = argv,
                                      .env = env,
                                      .stdin_fd = fds[0],
                                      .stdout_fd = -1,
                                      .stderr_fd = -1,
                                      .fds = {{fds[1], 5}},
                                      .fd_count = 1,
                                      .new_session = true,
                                      .death_signal = SIGKILL,
                                      .before_exec = say_hello,
                                      .before_exec_arg = (char[]){"hi"}};
    int silent[2];
    assert_int_equal(pipe2(silent, O_CLOEXEC), 0);
    options.stdin_fd = silent[0];
    struct process *process;
    struct pid_watch *watch;
    struct err err = ERR_INIT;
    assert_int_equal(process_start(ended.loop, &options, on_exit_, &ended, &process, &err), 0);
    assert_int_equal(pid_watch_new(ended.loop, process_pid(process), on_gone, &gone, &watch, &err),
                     0);
    char text[5] = {0};
    assert_int_equal(read(fds[0], text, 2), 2);
    assert_int_equal(read(fds[0], text + 2, 2), 2);
    assert_string_equal(text, "hib\n");
    assert_int_equal(write(silent[1], "x\n", 2), 2);
    loop_run(ended.loop);
    assert_int_equal(ended.status, 3);
    assert_int_equal(ended.count, 1);
    assert_int_equal(gone.count, 1);
    loop_free(ended.loop);
    for (int i = 0; i < 2; i++) {
        close(fds[i]);
        close(silent[i]);
    }
}

static void test_kill_and_forget(void **state)
{
    struct ended ended = {.loop = loop_new()};
    const char *argv[] = {"sleep", "1000", NULL};
    struct process_options options = {
        .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
    struct process *forgotten, *process;
    struct err err = ERR_INIT;
    assert_int_equal(process_start(ended.loop, &options, on_exit_, &ended, &forgotten, &err), 0);
    assert_int_equal(process_start(ended.loop, &options, on_exit_, &ended, &process, &err), 0);
    assert_int_equal(process_kill(forgotten, SIGKILL, &err), 0);
    process_free(forgotten);
    assert_int_equal(process_kill(process, SIGTERM, &err), 0);
    loop_run(ended.loop);
    assert_int_equal(ended.status, 128 + SIGTERM);
    assert_int_equal(ended.count, 1);
    loop_free(ended.loop);
    struct pid_watch *watch;
    struct loop *loop = loop_new();
    assert_int_equal(pid_watch_new(loop, 0x3ffffff, on_gone, NULL, &watch, &err), ERR_NOT_FOUND);
    assert_int_equal(pid_watch_new(loop, getpid(), on_gone, NULL, &watch, &err), 0);
    pid_watch_free(watch);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_run_large),
        cmocka_unit_test(test_run_grandchild_keeps_pipe),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_namespaces),
        cmocka_unit_test(test_on_loop),
        cmocka_unit_test(test_kill_and_forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

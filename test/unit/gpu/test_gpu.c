/* test_gpu.c: simulated GPUs through the device-plug-in and pod-resources APIs, kills, sickness,
 * and random sequences in which no card may be in two pods. Needs root (device files). */
#include "../network/list_client.h"
#include "../network/netns_test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "gpu/device_manager.h"
#include "gpu/gpu.h"
#include "gpu/sim_plugin.h"
#include "io/file.h"
#include "wire/grpc.h"
#include "wire/protobuf.h"

struct world {
    struct loop *loop;
    char dir[64];
    struct gpu *gpu;
    int changes;
    struct arena arena;
};
static struct world w;

static struct gpu_options options(void)
{
    return (struct gpu_options){.loop = w.loop,
                                .root_dir = w.dir,
                                .run_dir = w.dir,
                                .simulated = STR("dgx-a100"),
                                .node_name = STR("node-1")};
}

static void count_change(void *arg)
{
    w.changes++;
}

static void start(void)
{
    struct err err = ERR_INIT;
    struct gpu_options with = options();
    int rc = gpu_new(&with, &w.gpu, &err);
    if (rc != 0) {
        print_error("%s\n", err.message);
    }
    assert_int_equal(rc, 0);
    gpu_device_ops(w.gpu)->on_change(gpu_device_ops(w.gpu)->ctx, count_change, NULL);
    netns_test_run(w.loop, 60);
}

static void stop(void)
{
    gpu_free(w.gpu);
    w.gpu = NULL;
    netns_test_run(w.loop, 20);
}

static int set_up(void **state)
{
    snprintf(w.dir, sizeof w.dir, "/tmp/gpu-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    start();
    return 0;
}

static int tear_down(void **state)
{
    stop();
    arena_done(&w.arena);
    assert_int_equal(file_remove_tree(w.dir, NULL), 0);
    return 0;
}

struct answer {
    bool done;
    struct container_devices devices;
    struct err err;
};

static void on_answer(void *arg, const struct container_devices *devices, const struct err *err)
{
    struct answer *answer = arg;
    answer->done = true;
    if (devices != NULL) {
        answer->devices = *devices;
    } else {
        answer->err = *err;
    }
}

static struct answer ask(const char *uid, const char *container, int64_t count)
{
    const struct device_ops *ops = gpu_device_ops(w.gpu);
    struct answer answer = {0};
    ops->allocate(ops->ctx, str_of(uid), str_of(container), STR("nvidia.com/gpu"), count, &w.arena,
                  on_answer, &answer);
    for (int i = 0; i < 200 && !answer.done; i++) {
        netns_test_run(w.loop, 2);
    }
    assert_true(answer.done);
    return answer;
}

static void expect_capacity(const char *capacity, const char *allocatable)
{
    const struct device_ops *ops = gpu_device_ops(w.gpu);
    struct val *total = val_new(&w.arena, VAL_OBJECT), *usable = val_new(&w.arena, VAL_OBJECT);
    ops->capacity(ops->ctx, &w.arena, total, usable);
    assert_true(str_is(val_text(val_get(total, "nvidia.com/gpu")), capacity));
    assert_true(str_is(val_text(val_get(usable, "nvidia.com/gpu")), allocatable));
}

static void one_card_one_file(void **state)
{
    struct stat info;
    expect_capacity("8", "8");
    assert_true(w.changes > 0);
    struct answer a = ask("pod-a", "main", 1);
    assert_int_equal(a.err.code, 0);
    assert_int_equal(a.devices.device_count, 1);
    assert_int_equal(a.devices.env_count, 1);
    assert_true(str_is(a.devices.env[0].name, "NVIDIA_VISIBLE_DEVICES"));
    assert_true(str_starts(a.devices.env[0].value, STR("GPU-")));
    assert_int_equal(a.devices.env[0].value.n, 40);
    assert_true(str_starts(str_of(a.devices.devices[0].container_path), STR("/dev/nvidia")));
    assert_string_equal(a.devices.devices[0].permissions, "rw");
    assert_int_equal(stat(a.devices.devices[0].host_path, &info), 0);
    assert_true(S_ISCHR(info.st_mode));
    assert_int_equal(major(info.st_rdev), 240);
    assert_int_equal(open(a.devices.devices[0].host_path, O_RDWR | O_CLOEXEC), -1);
    assert_int_equal(errno, ENXIO);
    assert_true(
        str_contains(gpu_labels(w.gpu), STR("nvidia.com/gpu.product=NVIDIA-A100-SXM4-40GB")));
}

static void the_ninth_gets_none(void **state)
{
    char uid[16];
    for (int i = 0; i < 8; i++) {
        snprintf(uid, sizeof uid, "pod-%d", i);
        assert_int_equal(ask(uid, "main", 1).err.code, 0);
    }
    struct answer ninth = ask("pod-8", "main", 1);
    assert_int_equal(ninth.err.code, ERR_UNAVAILABLE);
    assert_string_equal(ninth.err.message, "nvidia.com/gpu: requested 1, available 0");
    const struct device_ops *ops = gpu_device_ops(w.gpu);
    ops->release(ops->ctx, STR("pod-3"));
    assert_int_equal(ask("pod-8", "main", 1).err.code, 0);
}

static void a_kill_forgets_nothing(void **state)
{
    struct answer a = ask("pod-a", "main", 3);
    assert_int_equal(a.devices.device_count, 3);
    stop(); /* nothing is written at the end: the same as a kill */
    start();
    expect_capacity("8", "8");
    struct answer again = ask("pod-a", "main", 3);
    assert_int_equal(again.devices.device_count, 3);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(a.devices.devices[i].host_path, again.devices.devices[i].host_path);
    }
    assert_int_equal(ask("pod-b", "main", 6).err.code, ERR_UNAVAILABLE);
    assert_int_equal(ask("pod-b", "main", 5).err.code, 0);
    const struct device_ops *ops = gpu_device_ops(w.gpu);
    struct str keep = STR("pod-b");
    ops->retain(ops->ctx, &keep, 1);
    assert_int_equal(ask("pod-c", "main", 3).err.code, 0);
}

static void a_broken_record_is_put_aside(void **state)
{
    char *path MEM_CLEANUP = mem_printf("%s/device-plugins/kubelet_internal_checkpoint", w.dir);
    char *aside MEM_CLEANUP = mem_printf("%s.broken", path);
    struct buf text BUF_CLEANUP = BUF_INIT;
    ask("pod-a", "main", 1);
    stop();
    assert_int_equal(file_read(path, 1 << 20, &text, NULL), 0);
    char *uid = strstr(text.p, "pod-a");
    assert_non_null(uid);
    uid[4] = 'b';
    assert_int_equal(file_write_quick(path, buf_view(&text), 0600, NULL), 0);
    start();
    assert_true(file_exists(aside));
    expect_capacity("8", "8");
}

/* A plug-in apart from the manager, so that it can be killed and fall ill. */
static void sick_cards_are_not_given(void **state)
{
    struct sim_plugin *plugin = NULL;
    stop();
    char *plugins MEM_CLEANUP = mem_printf("%s/device-plugins", w.dir);
    char *devices MEM_CLEANUP = mem_printf("%s/sim-gpu", w.dir);
    struct gpu_options without = options();
    without.simulated = STR_NONE;
    assert_int_equal(gpu_new(&without, &w.gpu, NULL), 0);
    expect_capacity("8", "0"); /* known from the run before, its plug-in not yet there */
    struct sim_plugin_options with = {.loop = w.loop,
                                      .plugin_dir = plugins,
                                      .device_dir = devices,
                                      .models = STR("dgx-a100"),
                                      .node_name = STR("node-1")};
    assert_int_equal(sim_plugin_new(&with, &plugin, NULL), 0);
    netns_test_run(w.loop, 60);
    expect_capacity("8", "8");
    assert_true(sim_plugin_set_healthy(plugin, 2, false));
    netns_test_run(w.loop, 30);
    expect_capacity("8", "7");
    assert_int_equal(ask("pod-a", "main", 8).err.code, ERR_UNAVAILABLE);
    struct answer seven = ask("pod-a", "main", 7);
    assert_int_equal(seven.devices.device_count, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_string_not_equal(seven.devices.devices[i].container_path, "/dev/nvidia2");
    }
    sim_plugin_free(plugin);
    netns_test_run(w.loop, 30);
    expect_capacity("8", "0");
    assert_int_equal(ask("pod-a", "main", 7).devices.device_count, 7); /* still its own */
    assert_int_equal(ask("pod-b", "main", 1).err.code, ERR_UNAVAILABLE);
}

static void a_new_kubelet_socket_is_seen(void **state)
{
    char *path MEM_CLEANUP = mem_printf("%s/device-plugins/cox-sim-gpu.sock", w.dir);
    assert_int_equal(unlink(path), 0);
    netns_test_run(w.loop, 700);
    assert_true(file_exists(path));
    expect_capacity("8", "8");
    assert_int_equal(ask("pod-a", "main", 1).err.code, 0);
}

/* N8 at tier P: random allocations, releases and restarts. */
static void never_in_two_pods(void **state)
{
    enum { PODS = 12, STEPS = 400 };
    struct random random;
    char held[PODS][8][128];
    size_t count[PODS] = {0};
    random_seeded_init(&random, 42);
    for (int step = 0; step < STEPS; step++) {
        char uid[16];
        size_t pod = random_below(&random, PODS);
        const struct device_ops *ops = gpu_device_ops(w.gpu);
        snprintf(uid, sizeof uid, "pod-%zu", pod);
        if (count[pod] > 0 && random_below(&random, 3) == 0) {
            ops->release(ops->ctx, str_of(uid));
            count[pod] = 0;
        } else if (random_below(&random, 40) == 0) {
            stop();
            start();
        } else {
            size_t wanted = count[pod] > 0 ? count[pod] : random_below(&random, 3) + 1;
            size_t used = 0;
            for (size_t i = 0; i < PODS; i++) {
                used += i != pod ? count[i] : 0;
            }
            struct answer answer = ask(uid, "main", (int64_t)wanted);
            assert_int_equal(answer.err.code == 0, used + wanted <= 8);
            for (size_t i = 0; i < answer.devices.device_count; i++) {
                for (size_t j = 0; j < PODS; j++) {
                    for (size_t k = 0; k < count[j] && j != pod; k++) {
                        assert_string_not_equal(answer.devices.devices[i].host_path, held[j][k]);
                    }
                }
                snprintf(held[pod][i], sizeof held[pod][i], "%s",
                         answer.devices.devices[i].host_path);
            }
            count[pod] = answer.devices.device_count;
        }
        arena_reset(&w.arena);
    }
}

struct reply {
    struct buf message;
    int status;
};

static void on_message(void *ctx, const char *message, size_t size)
{
    buf_add(&((struct reply *)ctx)->message, message, size);
}

static void on_end(void *ctx, int status, struct str message)
{
    ((struct reply *)ctx)->status = status;
}

static struct reply call(const char *socket, const char *path, struct str message)
{
    static const struct grpc_reply_ops ops = {on_message, on_end};
    struct reply reply = {.status = -1};
    char *at MEM_CLEANUP = mem_printf("%s/%s", w.dir, socket);
    struct grpc_client *client = grpc_dial(w.loop, at, NULL, NULL);
    grpc_request(client, path, message.p, message.n, NS_PER_S, &ops, &reply);
    for (int i = 0; i < 200 && reply.status < 0; i++) {
        netns_test_run(w.loop, 2);
    }
    grpc_client_free(client);
    return reply;
}

static const char pod_json[] =
    "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'train','namespace':'ml','uid':'pod-a'},"
    "'spec':{'initContainers':[{'name':'prepare','image':'x'}],"
    "'containers':[{'name':'main','image':'x'},{'name':'side','image':'x'}]}}";

static void pod_resources(void **state)
{
    struct list_client *list = list_client_new(w.loop);
    list_client_put(list, netns_test_object("", "v1", "pods", pod_json));
    struct informers *informers = informers_new(list_client_client(list));
    gpu_set_pods(w.gpu, informers_get(informers, schema_resource(STR(""), STR("v1"), STR("pods"))));
    netns_test_run(w.loop, 20);
    /* What the init container had is handed on, not given a second time. */
    struct answer init = ask("pod-a", "prepare", 2), main_answer = ask("pod-a", "main", 1),
                  side = ask("pod-a", "side", 1);
    assert_true(str_contains(init.devices.env[0].value, main_answer.devices.env[0].value));
    assert_true(str_contains(init.devices.env[0].value, side.devices.env[0].value));
    assert_string_not_equal(main_answer.devices.devices[0].host_path,
                            side.devices.devices[0].host_path);
    struct reply reply = call("pod-resources/kubelet.sock", "/v1.PodResourcesLister/List", STR(""));
    assert_int_equal(reply.status, GRPC_OK);
    assert_true(str_contains(buf_view(&reply.message), STR("train")));
    assert_true(str_contains(buf_view(&reply.message), main_answer.devices.env[0].value));
    buf_done(&reply.message);
    struct buf wanted BUF_CLEANUP = BUF_INIT;
    protobuf_bytes(&wanted, 1, STR("train"));
    protobuf_bytes(&wanted, 2, STR("ml"));
    reply = call("pod-resources/kubelet.sock", "/v1.PodResourcesLister/Get", buf_view(&wanted));
    assert_int_equal(reply.status, GRPC_OK);
    assert_true(str_contains(buf_view(&reply.message), side.devices.env[0].value));
    buf_done(&reply.message);
    reply = call("pod-resources/kubelet.sock", "/v1.PodResourcesLister/Get", STR(""));
    assert_int_equal(reply.status, GRPC_NOT_FOUND);
    reply = call("pod-resources/kubelet.sock", "/v1.PodResourcesLister/GetAllocatableResources",
                 STR(""));
    assert_int_equal(reply.status, GRPC_OK);
    assert_true(reply.message.n > 8 * 40);
    buf_done(&reply.message);
    gpu_set_pods(w.gpu, NULL);
    informers_free(informers);
    list_client_free(list);
}

static void bad_registrations(void **state)
{
    static const struct {
        const char *version, *endpoint, *resource;
    } cases[] = {
        {"v1alpha1", "a.sock", "vendor.example/x"}, {"v1beta1", "../a.sock", "vendor.example/x"},
        {"v1beta1", "", "vendor.example/x"},        {"v1beta1", "a.sock", "cpu"},
        {"v1beta1", "a.sock", "kubernetes.io/x"},   {"v1beta1", "a.sock", "vendor.example/x y"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf message BUF_CLEANUP = BUF_INIT;
        protobuf_bytes(&message, 1, str_of(cases[i].version));
        protobuf_bytes(&message, 2, str_of(cases[i].endpoint));
        protobuf_bytes(&message, 3, str_of(cases[i].resource));
        struct reply reply = call("device-plugins/kubelet.sock", "/v1beta1.Registration/Register",
                                  buf_view(&message));
        assert_int_equal(reply.status, GRPC_INVALID_ARGUMENT);
    }
    struct gpu *other;
    struct gpu_options with = options();
    struct err err = ERR_INIT;
    with.simulated = STR("dgx-a100,voodoo2");
    with.root_dir = with.run_dir = "/tmp/gpu-none";
    assert_int_equal(gpu_new(&with, &other, &err), ERR_INVALID);
    assert_true(str_contains(str_of(err.message), STR("voodoo2")));
    file_remove_tree("/tmp/gpu-none", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_card_one_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_ninth_gets_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_kill_forgets_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_broken_record_is_put_aside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sick_cards_are_not_given, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_new_kubelet_socket_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(never_in_two_pods, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pod_resources, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_registrations, set_up, tear_down),
    };
    if (geteuid() != 0) {
        print_message("skipped: needs root for device files\n");
        return 77;
    }
    w.loop = loop_new();
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    loop_free(w.loop);
    return rc;
}

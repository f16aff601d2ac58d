/* node_rig.c: see node_rig.h. The test program itself is the program with the hidden roles. */
#include "node_rig.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "io/process.h"
#include "node/runtime/cgroup.h"
#include "node/serve/log_file.h"

int rig_role(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "unpack") == 0) {
        return image_unpack_main(argc, argv);
    }
    if (argc > 1 && strcmp(argv[1], "pull") == 0) {
        return image_pull_main(argc, argv);
    }
    if (argc > 1 && strcmp(argv[1], "pause") == 0) {
        return pod_pause_main(argc, argv);
    }
    return -1;
}

const struct api_resource *rig_pods(void)
{
    return schema_resource(STR_NONE, STR("v1"), STR("pods"));
}

static bool make_archive(const char *path)
{
    const char *argv[] = {"python3", NODE_TEST_DIR "/make_image.py", path, NULL};
    struct process_options options = {
        .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
    struct process_result result = {0};
    int rc = process_run(&options, STR_NONE, 60 * NS_PER_S, &result, NULL);
    buf_done(&result.out);
    buf_done(&result.err);
    return rc == 0 && result.exit_status == 0;
}

static const char *missing(void)
{
    if (geteuid() != 0) {
        return "not root";
    }
    if (access("/usr/bin/crun", X_OK) != 0 || access("/usr/bin/conmon", X_OK) != 0) {
        return "crun or conmon is not installed";
    }
    if (access("/bin/busybox", X_OK) != 0) {
        return "busybox-static is not installed";
    }
    if (cgroup_mode() == CGROUP_NONE) {
        return "no control groups";
    }
    return NULL;
}

static char *path_in(struct rig *rig, const char *name)
{
    return mem_printf("%s/%s", rig->dir, name);
}

static void load_image(struct rig *rig)
{
    char *images MEM_CLEANUP = path_in(rig, "data/images");
    char *archive MEM_CLEANUP = path_in(rig, "image.tar");
    struct image_store *store;
    struct buf names BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    if (!make_archive(archive) || image_store_open(images, NULL, &store, &err) != 0 ||
        image_load(store, archive, &names, &err) != 0) {
        fprintf(stderr, "loading the test image: %s\n", err.message);
        abort();
    }
    image_store_free(store);
}

struct rig *rig_new(void)
{
    const char *why = missing();
    if (why != NULL) {
        fprintf(stderr, "skipped: %s\n", why);
        return NULL;
    }
    struct rig *rig = mem_new(struct rig);
    snprintf(rig->dir, sizeof rig->dir, "/tmp/coxnode.XXXXXX");
    if (mkdtemp(rig->dir) == NULL) {
        abort();
    }
    snprintf(rig->cgroup, sizeof rig->cgroup, "coxtest-%d", (int)getpid());
    rig->loop = loop_new();
    rig->api = fake_api_new(rig->loop);
    fake_api_delays(rig->api, 100000, 300000);
    rig->client = fake_client_new(rig->api, "system:node:test");
    load_image(rig);
    fake_create(
        rig->api, schema_resource(STR_NONE, STR("v1"), STR("namespaces")),
        "{\"kind\":\"Namespace\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"default\"}}");
    return rig;
}

void rig_start(struct rig *rig)
{
    struct err err = ERR_INIT;
    rig->options = (struct agent_options){.node_name = STR("test"),
                                          .loop = rig->loop,
                                          .client = rig->client,
                                          .root_dir = path_in(rig, "root"),
                                          .data_dir = path_in(rig, "data"),
                                          .run_dir = path_in(rig, "run"),
                                          .log_dir = path_in(rig, "log"),
                                          .cgroup_root = rig->cgroup,
                                          .crun_path = rig->crun,
                                          .node_ip = STR("127.0.0.1"),
                                          .api_host = STR("10.96.0.1")};
    int rc = agent_start(&rig->options, &rig->agent, &err);
    free((char *)(uintptr_t)rig->options.root_dir);
    free((char *)(uintptr_t)rig->options.data_dir);
    free((char *)(uintptr_t)rig->options.run_dir);
    free((char *)(uintptr_t)rig->options.log_dir);
    if (rc != 0) {
        fprintf(stderr, "agent_start: %s\n", err.message);
        abort();
    }
}

void rig_stop(struct rig *rig)
{
    agent_stop(rig->agent);
    rig->agent = NULL;
    rig_run(rig, NS_PER_S / 5);
}

/* ---- the loop, for a while ---- */

struct waiting {
    struct rig *rig;
    struct timer timer;
    bool (*holds)(struct rig *rig, const char *pod);
    const char *pod;
    int64_t until;
    bool ok;
};

static void on_look(struct timer *timer)
{
    struct waiting *w = container_of(timer, struct waiting, timer);
    w->ok = w->holds != NULL && w->holds(w->rig, w->pod);
    if (w->ok || loop_mono(w->rig->loop) >= w->until) {
        loop_stop(w->rig->loop);
    } else {
        timer_start(w->rig->loop, &w->timer, NS_PER_MS, on_look);
    }
}

bool rig_wait(struct rig *rig, bool (*holds)(struct rig *rig, const char *pod), const char *pod,
              int seconds)
{
    struct waiting w = {
        .rig = rig, .holds = holds, .pod = pod, .until = loop_mono(rig->loop) + seconds * NS_PER_S};
    timer_start(rig->loop, &w.timer, 0, on_look);
    loop_run(rig->loop);
    return w.ok;
}

void rig_run(struct rig *rig, int64_t ns)
{
    struct waiting w = {.rig = rig, .until = loop_mono(rig->loop) + ns};
    timer_start(rig->loop, &w.timer, 0, on_look);
    loop_run(rig->loop);
}

/* ---- looking ---- */

const struct val *rig_status(struct rig *rig, const char *pod)
{
    struct object *object = fake_get(rig->api, rig_pods(), "default", pod);
    return object != NULL ? val_get(fake_val(rig->api, object), "status") : NULL;
}

const struct val *rig_container(struct rig *rig, const char *pod, int i)
{
    return val_at(val_get(rig_status(rig, pod), "containerStatuses"), (uint32_t)i);
}

static bool phase_is(struct rig *rig, const char *pod, const char *phase)
{
    return str_is(val_text(val_get(rig_status(rig, pod), "phase")), phase);
}

bool rig_running(struct rig *rig, const char *pod)
{
    return phase_is(rig, pod, "Running");
}

bool rig_ready(struct rig *rig, const char *pod)
{
    const struct val *ready =
        val_find(val_get(rig_status(rig, pod), "conditions"), "type", STR("Ready"));
    return str_is(val_text(val_get(ready, "status")), "True");
}

bool rig_succeeded(struct rig *rig, const char *pod)
{
    return phase_is(rig, pod, "Succeeded");
}

bool rig_failed(struct rig *rig, const char *pod)
{
    return phase_is(rig, pod, "Failed");
}

bool rig_gone(struct rig *rig, const char *pod)
{
    return fake_get(rig->api, rig_pods(), "default", pod) == NULL;
}

void rig_pod(struct rig *rig, const char *name, const char *spec_json)
{
    fake_createf(rig->api, rig_pods(),
                 "{'kind':'Pod','apiVersion':'v1','metadata':{'name':'%s','namespace':'default',"
                 "'labels':{'app':'%s'}},'spec':{'nodeName':'test',"
                 "'terminationGracePeriodSeconds':5,%s}}",
                 name, name, spec_json);
}

void rig_log(struct rig *rig, const char *pod, const char *container, int restarts, struct buf *out)
{
    struct object *object = fake_get(rig->api, rig_pods(), "default", pod);
    struct log_options options = {.tail_lines = -1, .limit_bytes = -1};
    struct log_reader *reader;
    struct err err = ERR_INIT;
    bool end;
    if (object == NULL) {
        return;
    }
    char *path MEM_CLEANUP = mem_printf("%s/log/default_%s_%.*s/%s/%d.log", rig->dir, pod,
                                        STR_ARG(object->uid), container, restarts);
    if (log_reader_open(path, &options, &reader, &err) == 0) {
        while (log_reader_read(reader, 65536, out, &end)) {
        }
        log_reader_free(reader);
    }
}

void rig_free(struct rig *rig)
{
    if (rig == NULL) {
        return;
    }
    if (rig->agent != NULL) {
        rig_stop(rig);
    }
    cgroup_kill(rig->cgroup, rig->cgroup);
    cgroup_remove(rig->cgroup);
    rig->client->ops->free(rig->client);
    fake_api_free(rig->api);
    loop_free(rig->loop);
    char *memory MEM_CLEANUP = path_in(rig, "root/memory");
    char *root MEM_CLEANUP = path_in(rig, "root");
    umount2(memory, MNT_DETACH);
    umount2(root, MNT_DETACH);
    for (int i = 0; i < 50 && file_remove_tree(rig->dir, NULL) != 0; i++) {
        usleep(20000);
    }
    free(rig);
}

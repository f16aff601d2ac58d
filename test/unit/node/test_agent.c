/* Real containers: crun and conmon under a real agent, the fake API server on the other side.
 * Skipped (77) where that cannot run. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../cmocka_all.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "node_rig.h"

static struct rig *rig;

static bool node_exists(struct rig *r, const char *name)
{
    return fake_get(r->api, schema_resource(STR_NONE, STR("v1"), STR("nodes")), "", name) != NULL &&
           agent_ready(r->agent);
}

static void test_node_registers(void **state)
{
    assert_true(rig_wait(rig, node_exists, "test", 5));
}

static void test_pod_runs_and_goes(void **state)
{
    rig_pod(rig, "web",
            "'containers':[{'name':'c','image':'cox.test/box:1','imagePullPolicy':'IfNotPresent',"
            "'command':['/bin/sh','-c','cat /greeting; echo $FROM_IMAGE $X; ls /old /opaque; "
            "trap exit TERM; while true; do sleep 0.1; done'],"
            "'env':[{'name':'POD','valueFrom':{'fieldRef':{'fieldPath':'metadata.name'}}},"
            "{'name':'X','value':'pod=$(POD)'}]}]");
    assert_true(rig_wait(rig, rig_ready, "web", 10));
    rig_run(rig, NS_PER_S / 2);
    struct buf log BUF_CLEANUP = BUF_INIT;
    rig_log(rig, "web", "c", 0, &log);
    assert_string_equal(log.p,
                        "hello from the image\nyes pod=web\n/old:\nkept\n\n/opaque:\nabove\n");
    const struct val *c = rig_container(rig, "web", 0);
    assert_true(val_bool(val_get(c, "ready"), false));
    assert_int_equal(val_int(val_get(c, "restartCount"), -1), 0);
    fake_delete(rig->api, rig_pods(), "default", "web", NULL);
    assert_true(rig_wait(rig, rig_gone, "web", 10));
}

static void test_exit_codes(void **state)
{
    rig_pod(rig, "ok",
            "'restartPolicy':'Never','containers':[{'name':'c','image':'cox.test/box:1',"
            "'command':['/bin/sh','-c','echo -n said > /dev/termination-log; exit 0']}]");
    rig_pod(rig, "bad",
            "'restartPolicy':'Never','containers':[{'name':'c','image':'cox.test/box:1',"
            "'command':['/bin/sh','-c','exit 7']}]");
    assert_true(rig_wait(rig, rig_succeeded, "ok", 10));
    assert_true(rig_wait(rig, rig_failed, "bad", 10));
    const struct val *ended = val_path(rig_container(rig, "ok", 0), "state.terminated");
    assert_true(str_is(val_text(val_get(ended, "reason")), "Completed"));
    assert_true(str_is(val_text(val_get(ended, "message")), "said"));
    ended = val_path(rig_container(rig, "bad", 0), "state.terminated");
    assert_int_equal(val_int(val_get(ended, "exitCode"), -1), 7);
    fake_delete(rig->api, rig_pods(), "default", "ok", NULL);
    fake_delete(rig->api, rig_pods(), "default", "bad", NULL);
    assert_true(rig_wait(rig, rig_gone, "ok", 10));
    assert_true(rig_wait(rig, rig_gone, "bad", 10));
}

static bool waiting_for(struct rig *r, const char *pod, const char *reason)
{
    return str_is(val_text(val_path(rig_container(r, pod, 0), "state.waiting.reason")), reason);
}

static bool config_error(struct rig *r, const char *pod)
{
    return waiting_for(r, pod, "CreateContainerConfigError");
}

static bool never_pull(struct rig *r, const char *pod)
{
    return waiting_for(r, pod, "ErrImageNeverPull");
}

static bool crash_loop(struct rig *r, const char *pod)
{
    return waiting_for(r, pod, "CrashLoopBackOff");
}

static void test_bad_pods(void **state)
{
    rig_pod(rig, "noconf",
            "'containers':[{'name':'c','image':'cox.test/box:1','command':['/bin/sleep',"
            "'100'],'envFrom':[{'configMapRef':{'name':'later'}}]}]");
    rig_pod(rig, "noimage",
            "'containers':[{'name':'c','image':'cox.test/none:1',"
            "'imagePullPolicy':'Never'}]");
    rig_pod(rig, "nocmd",
            "'containers':[{'name':'c','image':'cox.test/box:1',"
            "'command':['/no/such/program']}]");
    assert_true(rig_wait(rig, config_error, "noconf", 10));
    assert_true(rig_wait(rig, never_pull, "noimage", 10));
    assert_true(rig_wait(rig, crash_loop, "nocmd", 10));
    const struct val *last = val_path(rig_container(rig, "nocmd", 0), "lastState.terminated");
    assert_true(str_is(val_text(val_get(last, "reason")), "StartError"));
    assert_true(str_contains(val_text(val_get(last, "message")), STR("/no/such/program")));
    fake_createf(rig->api, schema_resource(STR_NONE, STR("v1"), STR("configmaps")),
                 "{'kind':'ConfigMap','apiVersion':'v1','metadata':{'name':'later','namespace':"
                 "'default'},'data':{'A':'b'}}");
    assert_true(rig_wait(rig, rig_running, "noconf", 5));
    const char *const names[] = {"noconf", "noimage", "nocmd"};
    for (size_t i = 0; i < 3; i++) {
        fake_delete(rig->api, rig_pods(), "default", names[i], NULL);
        assert_true(rig_wait(rig, rig_gone, names[i], 10));
    }
}

static void test_volumes(void **state)
{
    fake_createf(rig->api, schema_resource(STR_NONE, STR("v1"), STR("configmaps")),
                 "{'kind':'ConfigMap','apiVersion':'v1','metadata':{'name':'cm','namespace':"
                 "'default'},'data':{'a':'one','b':'two'}}");
    fake_createf(rig->api, schema_resource(STR_NONE, STR("v1"), STR("secrets")),
                 "{'kind':'Secret','apiVersion':'v1','metadata':{'name':'s','namespace':'default'},"
                 "'data':{'key':'c2VjcmV0'}}");
    rig_pod(
        rig, "vol",
        "'volumes':[{'name':'cm','configMap':{'name':'cm'}},{'name':'s','secret':{'secretName':"
        "'s','defaultMode':256}},{'name':'e','emptyDir':{}},{'name':'m','emptyDir':{'medium':"
        "'Memory','sizeLimit':'1Mi'}},{'name':'d','downwardAPI':{'items':[{'path':'labels',"
        "'fieldRef':{'fieldPath':'metadata.labels'}}]}}],"
        "'containers':[{'name':'c','image':'cox.test/box:1','command':['/bin/sh','-c',"
        "'cat /cm/a /s/key /d/labels; echo; stat -c %a /s/..data/key; touch /e/x /m/y /sub/z && "
        "ls /e /m; while ! grep -q new /cm/a; do sleep 0.1; done; echo updated; sleep 100'],"
        "'volumeMounts':[{'name':'cm','mountPath':'/cm'},{'name':'s','mountPath':'/s'},"
        "{'name':'e','mountPath':'/e'},{'name':'m','mountPath':'/m'},{'name':'d','mountPath':'/d'},"
        "{'name':'e','mountPath':'/sub','subPath':'deep/er'}]}]");
    assert_true(rig_wait(rig, rig_running, "vol", 10));
    rig_run(rig, NS_PER_S / 2);
    fake_patchf(rig->api, schema_resource(STR_NONE, STR("v1"), STR("configmaps")), "default", "cm",
                "", "{'data':{'a':'new'}}");
    rig_run(rig, NS_PER_S);
    struct buf log BUF_CLEANUP = BUF_INIT;
    rig_log(rig, "vol", "c", 0, &log);
    assert_string_equal(log.p, "onesecretapp=\"vol\"\n400\n/e:\ndeep\nx\n\n/m:\ny\nupdated\n");
    fake_delete(rig->api, rig_pods(), "default", "vol", NULL);
    assert_true(rig_wait(rig, rig_gone, "vol", 15));
}

static int64_t container_pid(struct rig *r, const char *pod)
{
    struct str id = str_from(val_text(val_get(rig_container(r, pod, 0), "containerID")), 6);
    struct object *object = fake_get(r->api, rig_pods(), "default", pod);
    char *path MEM_CLEANUP =
        mem_printf("%s/data/containers/%.8s-%.12s/pid", r->dir, object->uid.p, id.p);
    struct buf text BUF_CLEANUP = BUF_INIT;
    int64_t pid = 0;
    file_read(path, 64, &text, NULL);
    str_i64(str_trim(buf_view(&text)), &pid);
    return pid;
}

static void test_restart_of_agent(void **state)
{
    rig_pod(rig, "stay",
            "'containers':[{'name':'c','image':'cox.test/box:1','command':['/bin/sleep',"
            "'1000'],'readinessProbe':{'exec':{'command':['/bin/true']}}}]");
    rig_pod(rig, "ends",
            "'restartPolicy':'Never','containers':[{'name':'c','image':'cox.test/box:1',"
            "'command':['/bin/sh','-c','sleep 1; exit 3']}]");
    assert_true(rig_wait(rig, rig_ready, "stay", 10));
    assert_true(rig_wait(rig, rig_running, "ends", 10));
    int64_t pid = container_pid(rig, "stay");
    assert_true(pid > 1);
    rig_stop(rig);
    usleep(1500000);
    rig_start(rig);
    assert_true(rig_wait(rig, rig_failed, "ends", 10));
    assert_int_equal(
        val_int(val_path(rig_container(rig, "ends", 0), "state.terminated.exitCode"), -1), 3);
    assert_true(rig_ready(rig, "stay"));
    assert_int_equal(container_pid(rig, "stay"), pid);
    assert_int_equal(kill((pid_t)pid, 0), 0);
    assert_int_equal(val_int(val_get(rig_container(rig, "stay", 0), "restartCount"), -1), 0);
    fake_delete(rig->api, rig_pods(), "default", "stay", NULL);
    fake_delete(rig->api, rig_pods(), "default", "ends", NULL);
    assert_true(rig_wait(rig, rig_gone, "stay", 15));
    assert_true(rig_wait(rig, rig_gone, "ends", 15));
}

/* A record that was damaged while the agent was away: the container is made anew, the old one ends.
 */
static void test_damaged_record(void **state)
{
    rig_pod(rig, "hurt",
            "'containers':[{'name':'c','image':'cox.test/box:1','command':['/bin/sleep',"
            "'1000']}]");
    assert_true(rig_wait(rig, rig_ready, "hurt", 10));
    int64_t pid = container_pid(rig, "hurt");
    struct str id = str_from(val_text(val_get(rig_container(rig, "hurt", 0), "containerID")), 6);
    struct object *object = fake_get(rig->api, rig_pods(), "default", "hurt");
    char *path MEM_CLEANUP =
        mem_printf("%s/data/containers/%.8s-%.12s/record", rig->dir, object->uid.p, id.p);
    rig_stop(rig);
    assert_int_equal(file_write_quick(path, STR("{\"id\":\"half"), 0600, NULL), 0);
    rig_start(rig);
    for (int i = 0; i < 100 && kill((pid_t)pid, 0) == 0; i++) {
        rig_run(rig, NS_PER_S / 20);
    }
    assert_int_not_equal(kill((pid_t)pid, 0), 0);
    rig_run(rig, NS_PER_S);
    int64_t fresh = container_pid(rig, "hurt");
    assert_true(fresh > 1 && fresh != pid && kill((pid_t)fresh, 0) == 0);
    fake_delete(rig->api, rig_pods(), "default", "hurt", "{'gracePeriodSeconds':1}");
    assert_true(rig_wait(rig, rig_gone, "hurt", 15));
}

static void test_liveness_and_init(void **state)
{
    rig_pod(
        rig, "live",
        "'initContainers':[{'name':'i','image':'cox.test/box:1','command':['/bin/sh','-c',"
        "'echo ready > /e/f']}],'volumes':[{'name':'e','emptyDir':{}}],"
        "'containers':[{'name':'c','image':'cox.test/box:1','command':['/bin/sh','-c',"
        "'cat /e/f; rm -f /e/alive; exec sleep 1000'],'volumeMounts':[{'name':'e','mountPath':'/e'}"
        "],'livenessProbe':{'exec':{'command':['/bin/cat','/e/alive']},'periodSeconds':1,"
        "'failureThreshold':1,'terminationGracePeriodSeconds':1}}]");
    /* the init container needs the volume too */
    fake_delete(rig->api, rig_pods(), "default", "live", "{'gracePeriodSeconds':0}");
    rig_pod(rig, "live2",
            "'initContainers':[{'name':'i','image':'cox.test/box:1','command':['/bin/sh','-c',"
            "'echo ready > /e/f'],'volumeMounts':[{'name':'e','mountPath':'/e'}]}],"
            "'volumes':[{'name':'e','emptyDir':{}}],"
            "'containers':[{'name':'c','image':'cox.test/box:1','command':['/bin/sh','-c',"
            "'cat /e/f; exec sleep 1000'],'volumeMounts':[{'name':'e','mountPath':'/e'}"
            "],'livenessProbe':{'exec':{'command':['/bin/cat','/e/alive']},'periodSeconds':1,"
            "'failureThreshold':1,'terminationGracePeriodSeconds':1}}]");
    assert_true(rig_wait(rig, rig_running, "live2", 10));
    for (int i = 0;
         i < 100 && val_int(val_get(rig_container(rig, "live2", 0), "restartCount"), 0) == 0; i++) {
        rig_run(rig, NS_PER_S / 10);
    }
    assert_true(val_int(val_get(rig_container(rig, "live2", 0), "restartCount"), 0) >= 1);
    struct buf log BUF_CLEANUP = BUF_INIT;
    rig_log(rig, "live2", "c", 0, &log);
    assert_string_equal(log.p, "ready\n");
    fake_delete(rig->api, rig_pods(), "default", "live2", "{'gracePeriodSeconds':1}");
    assert_true(rig_wait(rig, rig_gone, "live2", 15));
}

/* A runtime that fails once at each of its first calls: pods converge, nothing is left behind. */
static void test_runtime_faults(void **state)
{
    static const char *const faults[] = {"exit 255", "kill -9 $$", "echo nonsense >&2; exit 1"};
    char *wrapper MEM_CLEANUP = mem_printf("%s/crun", rig->dir);
    char *flag MEM_CLEANUP = mem_printf("%s/fault", rig->dir);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        char *script MEM_CLEANUP =
            mem_printf("#!/bin/sh\nif [ -e %s ]; then rm %s; %s; fi\nexec /usr/bin/crun \"$@\"\n",
                       flag, flag, faults[i]);
        rig_stop(rig);
        assert_int_equal(file_write_quick(wrapper, str_of(script), 0755, NULL), 0);
        assert_int_equal(file_write_quick(flag, STR("x"), 0600, NULL), 0);
        rig->crun = wrapper;
        rig_start(rig);
        rig->crun = NULL;
        rig_pod(rig, "fault",
                "'containers':[{'name':'c','image':'cox.test/box:1','command':["
                "'/bin/sleep','1000']}]");
        assert_true(rig_wait(rig, rig_ready, "fault", 20));
        const struct val *c = rig_container(rig, "fault", 0);
        assert_int_equal(val_int(val_get(c, "restartCount"), 0), 1);
        assert_true(str_is(val_text(val_path(c, "lastState.terminated.reason")), "StartError"));
        fake_delete(rig->api, rig_pods(), "default", "fault", "{'gracePeriodSeconds':1}");
        assert_true(rig_wait(rig, rig_gone, "fault", 15));
    }
    rig_stop(rig);
    rig_start(rig);
    char *containers MEM_CLEANUP = mem_printf("%s/data/containers/.", rig->dir);
    char *crun MEM_CLEANUP = mem_printf("%s/run/crun", rig->dir);
    assert_int_equal(rmdir(crun), 0); /* empty */
    rig_stop(rig);
    rig_start(rig);
    assert_true(file_exists(containers));
}

static void test_start_latency(void **state)
{
    int64_t total = 0;
    for (int i = 0; i < 10; i++) {
        char name[32];
        snprintf(name, sizeof name, "lat%d", i);
        int64_t began = loop_mono(rig->loop);
        rig_pod(rig, name,
                "'containers':[{'name':'c','image':'cox.test/box:1','command':["
                "'/bin/sleep','1000']}]");
        assert_true(rig_wait(rig, rig_running, name, 10));
        total += loop_mono(rig->loop) - began;
        fake_delete(rig->api, rig_pods(), "default", name, "{'gracePeriodSeconds':1}");
        assert_true(rig_wait(rig, rig_gone, name, 15));
    }
    print_message("create to Running: %lld us on average\n", (long long)(total / 10 / 1000));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_registers), cmocka_unit_test(test_pod_runs_and_goes),
        cmocka_unit_test(test_exit_codes),     cmocka_unit_test(test_bad_pods),
        cmocka_unit_test(test_volumes),        cmocka_unit_test(test_restart_of_agent),
        cmocka_unit_test(test_damaged_record), cmocka_unit_test(test_liveness_and_init),
        cmocka_unit_test(test_runtime_faults), cmocka_unit_test(test_start_latency),
    };
    return rig_main(argc, argv, &rig, NULL, tests, sizeof tests / sizeof *tests);
}

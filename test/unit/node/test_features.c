/* What a pod may ask of its containers, seen from inside: user, groups, capabilities, seccomp,
 * read-only root, shared namespaces, limits, volumes. Skipped (77) where containers cannot run. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../cmocka_all.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "node_rig.h"

static struct rig *rig;

struct inside {
    const char *name;
    const char *pod;       /* members of the pod's spec */
    const char *container; /* members of the container */
    const char *script;
    const char *output; /* of the script */
};
static const struct inside cases[] = {
    {"root", "", "", "id -u; id -g; cat /proc/self/status | grep -c NoNewPrivs:.0", "0\n0\n1\n"},
    {"user", "'securityContext':{'runAsUser':1000,'fsGroup':3000,'supplementalGroups':[4000]},", "",
     "id -u; id -g; id -G; echo $HOME", "1000\n1001\n1001 2000 3000 4000\n/home/app\n"},
    {"group", "'securityContext':{'runAsUser':7,'runAsGroup':8},", "", "id -u; id -g; echo $HOME",
     "7\n8\n/\n"},
    {"fsgroup",
     "'securityContext':{'runAsUser':1000,'fsGroup':3000},'volumes':[{'name':'e',"
     "'emptyDir':{}}],",
     "'volumeMounts':[{'name':'e','mountPath':'/e'}],", "touch /e/f; stat -c %g /e /e/f",
     "3000\n3000\n"},
    {"readonly", "", "'securityContext':{'readOnlyRootFilesystem':true},",
     "touch /x 2>/dev/null || echo refused; touch /dev/shm/y && echo shm", "refused\nshm\n"},
    {"caps", "",
     "'securityContext':{'capabilities':{'drop':['ALL'],'add':['NET_ADMIN']},"
     "'allowPrivilegeEscalation':false},",
     "grep -E 'CapBnd|CapEff|NoNew' /proc/self/status",
     "CapEff:\t0000000000001000\nCapBnd:\t0000000000001000\nNoNewPrivs:\t1\n"},
    {"seccomp", "", "'securityContext':{'seccompProfile':{'type':'RuntimeDefault'}},",
     "grep Seccomp: /proc/self/status", "Seccomp:\t2\n"},
    {"unconfined", "", "", "grep Seccomp: /proc/self/status", "Seccomp:\t0\n"},
    {"masked", "", "",
     "wc -c < /proc/keys; echo x 2>/dev/null > /proc/sys/kernel/domainname || "
     "echo protected",
     "0\nprotected\n"},
    {"privileged", "", "'securityContext':{'privileged':true},",
     "test -w /proc/sys/kernel && echo writable; mount -t tmpfs t /tmp && echo mounted; ls "
     "/dev/vda "
     "/dev/kmsg 2>/dev/null | head -1 | grep -c dev",
     "writable\nmounted\n1\n"},
    {"devices", "", "",
     "ls /dev | tr '\\n' ' '; dd if=/dev/zero of=/dev/null bs=1 count=1 "
     "2>/dev/null && echo ok",
     "core fd full mqueue null ptmx pts random shm stderr stdin stdout termination-log tty urandom "
     "zero ok\n"},
    /* 3 is the folder that ls reads; a shell would have descriptors of its own now and then */
    {"fds", "", "", "exec ls /proc/1/fd", "0\n1\n2\n3\n"},
    {"hosts", "'hostAliases':[{'ip':'1.2.3.4','hostnames':['alias']}],", "",
     "grep alias /etc/hosts; test -w /etc/resolv.conf && echo resolv", "1.2.3.4\talias\nresolv\n"},
    {"workdir", "", "'workingDir':'/opaque',", "pwd; ls", "/opaque\nabove\n"},
    {"limits", "", "'resources':{'limits':{'memory':'64Mi','cpu':'500m'}},",
     "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us",
     "67108864\n50000\n"},
};

static void run_case(const struct inside *c)
{
    struct buf spec BUF_CLEANUP = BUF_INIT, log BUF_CLEANUP = BUF_INIT,
                    script BUF_CLEANUP = BUF_INIT;
    for (const char *p = c->script; *p != '\0'; p++) {
        /* ' is " for the rig */
        if (*p == '\'') {
            buf_addz(&script, "\\u0027");
        } else if (*p == '\\') {
            buf_addz(&script, "\\\\");
        } else {
            buf_char(&script, *p);
        }
    }
    buf_printf(&spec,
               "'restartPolicy':'Never',%s'containers':[{'name':'c','image':'cox.test/box:1',%s"
               "'command':['/bin/sh','-c','%s']}]",
               c->pod, c->container, script.p);
    rig_pod(rig, c->name, spec.p);
    if (!rig_wait(rig, rig_succeeded, c->name, 10) && !rig_failed(rig, c->name)) {
        struct buf status BUF_CLEANUP = BUF_INIT;
        val_write_json(rig_status(rig, c->name), &status);
        fail_msg("%s: %s", c->name, status.p);
    }
    rig_log(rig, c->name, "c", 0, &log);
    if (strcmp(log.p != NULL ? log.p : "", c->output) != 0) {
        fail_msg("%s: got \"%s\", wanted \"%s\"", c->name, log.p, c->output);
    }
    fake_delete(rig->api, rig_pods(), "default", c->name, NULL);
    assert_true(rig_wait(rig, rig_gone, c->name, 10));
}

static const char *only;
static void test_inside(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (only == NULL || strcmp(only, cases[i].name) == 0) {
            run_case(&cases[i]);
        }
    }
}

static void test_out_of_memory(void **state)
{
    rig_pod(
        rig, "oom",
        "'restartPolicy':'Never','containers':[{'name':'c','image':'cox.test/box:1','resources':{"
        "'limits':{'memory':'16Mi'}},'command':['/bin/sh','-c','exec tail /dev/zero']}]");
    assert_true(rig_wait(rig, rig_failed, "oom", 20));
    const struct val *ended = val_path(rig_container(rig, "oom", 0), "state.terminated");
    assert_int_equal(val_int(val_get(ended, "exitCode"), 0), 137);
    assert_true(str_is(val_text(val_get(ended, "reason")), "OOMKilled"));
    fake_delete(rig->api, rig_pods(), "default", "oom", NULL);
    assert_true(rig_wait(rig, rig_gone, "oom", 10));
}

static void test_shared_namespaces(void **state)
{
    rig_pod(rig, "share",
            "'shareProcessNamespace':true,'containers':[{'name':'a','image':'cox.test/"
            "box:1','command':["
            "'/bin/sleep','4321']},{'name':'b','image':'cox.test/box:1','command':['/bin/sh','-c',"
            "'sleep 0.5; ps -o args | grep -c \\u0027[4]321\\u0027; echo x > /dev/shm/b; readlink "
            "/proc/self/ns/ipc; sleep 1000']},{'name':'d','image':'cox.test/box:1','command':["
            "'/bin/sh','-c','sleep 1; ls /dev/shm; readlink /proc/self/ns/ipc; sleep 1000']}]");
    assert_true(rig_wait(rig, rig_running, "share", 10));
    rig_run(rig, 2 * NS_PER_S);
    struct buf b BUF_CLEANUP = BUF_INIT, d BUF_CLEANUP = BUF_INIT;
    rig_log(rig, "share", "b", 0, &b);
    rig_log(rig, "share", "d", 0, &d);
    assert_true(str_starts(buf_view(&b), STR("1\nipc:[")));
    assert_true(str_starts(buf_view(&d), STR("b\nipc:[")));
    assert_string_equal(b.p + 2, d.p + 2);
    fake_delete(rig->api, rig_pods(), "default", "share", "{'gracePeriodSeconds':1}");
    assert_true(rig_wait(rig, rig_gone, "share", 15));
}

static void test_sidecar_job(void **state)
{
    rig_pod(
        rig, "job",
        "'restartPolicy':'Never','initContainers':[{'name':'s','restartPolicy':'Always','image':"
        "'cox.test/box:1','command':['/bin/sh','-c','trap exit TERM; while true; do sleep 0.1; "
        "done']}],'containers':[{'name':'c','image':'cox.test/box:1','command':['/bin/sleep','1']"
        "}]");
    assert_true(rig_wait(rig, rig_succeeded, "job", 15));
    fake_delete(rig->api, rig_pods(), "default", "job", NULL);
    assert_true(rig_wait(rig, rig_gone, "job", 10));
}

static void test_probes_and_hooks(void **state)
{
    rig_pod(
        rig, "probed",
        "'hostNetwork':true,'containers':[{'name':'c','image':'cox.test/box:1','command':['/bin/"
        "sh',"
        "'-c','trap exit TERM; echo ok > /tmp/index.html; httpd -p 18931 -h /tmp; while true; do "
        "sleep 0.1; done'],'ports':[{'name':'web','containerPort':18931}],'readinessProbe':{"
        "'httpGet':{'path':'/index.html','port':'web'},'periodSeconds':1},'startupProbe':{"
        "'tcpSocket':{'port':18931},'periodSeconds':1,'failureThreshold':30},'lifecycle':{"
        "'postStart':{'exec':{'command':['/bin/sh','-c','echo hooked > /tmp/hook']}},'preStop':{"
        "'exec':{'command':['/bin/sh','-c','cat /tmp/hook > /proc/1/fd/1']}}}}]");
    assert_true(rig_wait(rig, rig_ready, "probed", 15));
    fake_delete(rig->api, rig_pods(), "default", "probed", NULL);
    struct buf log BUF_CLEANUP = BUF_INIT;
    for (int i = 0; i < 1000 && log.n == 0 && !rig_gone(rig, "probed"); i++) {
        rig_log(rig, "probed", "c", 0, &log);
        rig_run(rig, NS_PER_MS);
    }
    assert_true(str_is(buf_view(&log), "hooked\n"));
    assert_true(rig_wait(rig, rig_gone, "probed", 15));
}

static void test_host_path(void **state)
{
    char *host MEM_CLEANUP = mem_printf("%s/hosted", rig->dir);
    char *spec MEM_CLEANUP = mem_printf(
        "'restartPolicy':'Never','volumes':[{'name':'h','hostPath':{'path':'%s','type':"
        "'DirectoryOrCreate'}}],'containers':[{'name':'c','image':'cox.test/"
        "box:1','volumeMounts':[{"
        "'name':'h','mountPath':'/h'}],'command':['/bin/sh','-c','echo from inside > /h/f']}]",
        host);
    rig_pod(rig, "hostpath", spec);
    assert_true(rig_wait(rig, rig_succeeded, "hostpath", 10));
    char *path MEM_CLEANUP = mem_printf("%s/f", host);
    struct buf text BUF_CLEANUP = BUF_INIT;
    assert_int_equal(file_read(path, 100, &text, NULL), 0);
    assert_string_equal(text.p, "from inside\n");
    fake_delete(rig->api, rig_pods(), "default", "hostpath", NULL);
    assert_true(rig_wait(rig, rig_gone, "hostpath", 10));
    assert_true(file_exists(path)); /* the host's files stay */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inside),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_shared_namespaces),
        cmocka_unit_test(test_sidecar_job),
        cmocka_unit_test(test_probes_and_hooks),
        cmocka_unit_test(test_host_path),
    };
    only = argc > 2 ? argv[2] : NULL;
    return rig_main(argc, argv, &rig, NULL, tests, sizeof tests / sizeof *tests);
}

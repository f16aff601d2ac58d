/* Generated OCI configurations, environment, users, /etc files, volumes and logs: cases as data. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../cmocka_all.h"
#include "base/mem.h"
#include "io/file.h"
#include "node/env/files.h"
#include "node/image.h"
#include "node/runtime/cgroup.h"
#include "node/runtime/spec.h"
#include "node/serve/log_file.h"
#include "node/volume/volume.h"

static struct val *parse(struct arena *arena, const char *json)
{
    char *text = str_dup_in(arena, str_of(json));
    for (char *c = text; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    struct val *value = NULL;
    struct err err = ERR_INIT;
    if (val_parse_json(arena, str_of(text), &value, &err) != 0) {
        fail_msg("%s: %s", err.message, text);
    }
    return value;
}

static const char *const PROFILE =
    "{'defaultAction':'SCMP_ACT_ERRNO','defaultErrnoRet':38,'archMap':[{'architecture':"
    "'SCMP_ARCH_X86_64','subArchitectures':['SCMP_ARCH_X86']}],'syscalls':[{'names':['read'],"
    "'action':'SCMP_ACT_ALLOW','args':[],'includes':{},'excludes':{}},{'names':['mount'],'action':"
    "'SCMP_ACT_ALLOW','includes':{'caps':['CAP_SYS_ADMIN']}},{'names':['mount'],'action':"
    "'SCMP_ACT_ERRNO','errnoRet':1,'excludes':{'caps':['CAP_SYS_ADMIN']}}]}";

static int write_spec(struct arena *arena, const char *pod_spec, struct val **ret, struct err *err)
{
    struct val *pod = parse(arena, arena_printf(arena,
                                                "{'metadata':{'name':'p','namespace':'n','uid':'u'}"
                                                ",'spec':{%s}}",
                                                pod_spec));
    const struct val *container = val_at(val_path(pod, "spec.containers"), 0);
    struct env_list env = {0};
    struct str argv[] = {STR("/bin/true")};
    struct user user = {.uid = 5, .gid = 6, .home = "/home/x"};
    struct spec_mount mounts[] = {{.source = STR("/b"), .target = STR("/a/b"), .read_only = true},
                                  {.source = STR("/c"), .target = STR("/a")}};
    env_set(arena, &env, STR("A"), STR("b"));
    struct spec_input input = {.pod = pod,
                               .container = container,
                               .env = &env,
                               .argv = argv,
                               .argv_count = 1,
                               .user = &user,
                               .mounts = mounts,
                               .mount_count = 2,
                               .hostname = STR("p"),
                               .netns_path = "/run/netns/x",
                               .cgroup_path = "/cox/podu/id",
                               .seccomp_profile = parse(arena, PROFILE),
                               .node_memory = 1000000000,
                               .min_oom_score_adj = -1000,
                               .capability_mask = ~0ULL & ~(1ULL << 24)};
    struct buf out BUF_CLEANUP = BUF_INIT;
    int rc = spec_write(arena, &input, &out, err);
    return rc == 0 ? val_parse_json(arena, str_copy_in(arena, buf_view(&out)), ret, err) : rc;
}

struct expectation {
    const char *container; /* members of the container beside its name */
    const char *path;      /* dotted, in config.json */
    const char *json;      /* what is there; NULL: nothing */
};
static const struct expectation expectations[] = {
    {"", "process.noNewPrivileges", "false"},
    {"", "process.user", "{'uid':5,'gid':6,'additionalGids':[]}"},
    {"", "process.oomScoreAdj", "1000"},
    {"", "linux.resources.cpu", "{'shares':2}"},
    {"", "linux.resources.memory", NULL},
    {"", "linux.seccomp", NULL},
    {"", "root", "{'path':'rootfs','readonly':false}"},
    {"", "process.capabilities.ambient", NULL},
    {"'resources':{'requests':{'cpu':'500m','memory':'100M'},'limits':{'cpu':'1','memory':'64Mi'}}",
     "linux.resources.cpu", "{'shares':512,'quota':100000,'period':100000}"},
    {"'resources':{'limits':{'memory':'64Mi'}}", "linux.resources.memory", "{'limit':67108864}"},
    {"'resources':{'requests':{'memory':'100M'}}", "process.oomScoreAdj", "900"},
    {"'resources':{'limits':{'cpu':'1','memory':'64Mi'}}", "process.oomScoreAdj", "-997"},
    {"'securityContext':{'readOnlyRootFilesystem':true}", "root.readonly", "true"},
    {"'securityContext':{'allowPrivilegeEscalation':false}", "process.noNewPrivileges", "true"},
    {"'securityContext':{'capabilities':{'drop':['ALL'],'add':['NET_ADMIN']}}",
     "process.capabilities.bounding", "['CAP_NET_ADMIN']"},
    {"'securityContext':{'capabilities':{'drop':['ALL'],'add':['SYS_RESOURCE']}}", /* we lack it */
     "process.capabilities.effective", "[]"},
    {"'securityContext':{'seccompProfile':{'type':'Unconfined'}}", "linux.seccomp", NULL},
    {"'securityContext':{'capabilities':{'drop':['ALL']},'seccompProfile':{'type':'RuntimeDefault'}"
     "}",
     "linux.seccomp.syscalls",
     "[{'names':['read'],'action':'SCMP_ACT_ALLOW'},{'names':['mount'],'action':'SCMP_ACT_ERRNO',"
     "'errnoRet':1}]"},
    {"'securityContext':{'capabilities':{'add':['SYS_ADMIN']},'seccompProfile':{'type':"
     "'RuntimeDefault'}}",
     "linux.seccomp.syscalls",
     "[{'names':['read'],'action':'SCMP_ACT_ALLOW'},{'names':['mount'],'action':"
     "'SCMP_ACT_ALLOW'}]"},
    {"'securityContext':{'privileged':true}", "linux.maskedPaths", NULL},
    {"'securityContext':{'privileged':true}", "process.noNewPrivileges", "false"},
    {"'securityContext':{'procMount':'Unmasked'}", "linux.maskedPaths", NULL},
    {"'workingDir':'/w'", "process.cwd", "'/w'"},
};

static void test_spec_cases(void **state)
{
    for (size_t i = 0; i < sizeof expectations / sizeof *expectations; i++) {
        const struct expectation *e = &expectations[i];
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        struct err err = ERR_INIT;
        struct val *config = NULL;
        char *spec = arena_printf(&arena, "'containers':[{'name':'c'%s%s}]",
                                  e->container[0] != '\0' ? "," : "", e->container);
        assert_int_equal(write_spec(&arena, spec, &config, &err), 0);
        const struct val *found = val_path(config, e->path);
        if (e->json == NULL) {
            assert_null(found);
            continue;
        }
        struct buf text BUF_CLEANUP = BUF_INIT;
        assert_non_null(found);
        if (!val_equal(found, parse(&arena, e->json))) {
            val_write_json(found, &text);
            fail_msg("%s at %s: %s, wanted %s", e->container, e->path, text.p, e->json);
        }
    }
}

static void test_spec_refuses(void **state)
{
    static const char *const specs[] = {
        "'containers':[{'name':'c','securityContext':{'seccompProfile':{'type':'Localhost',"
        "'localhostProfile':''}}}]",
        "'containers':[{'name':'c','securityContext':{'capabilities':{'add':['NO_SUCH']}}}]",
    };
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        struct err err = ERR_INIT;
        struct val *config;
        assert_int_not_equal(write_spec(&arena, specs[i], &config, &err), 0);
        assert_true(err.message[0] != '\0');
    }
}

static void test_mount_order(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *config;
    assert_int_equal(write_spec(&arena, "'containers':[{'name':'c'}]", &config, NULL), 0);
    int seen = 0;
    VAL_EACH (it, val_get(config, "mounts")) {
        if (str_is(val_text(val_get(it, "destination")), "/a")) {
            assert_int_equal(seen++, 0);
        } else if (str_is(val_text(val_get(it, "destination")), "/a/b")) {
            assert_int_equal(seen++, 1);
        }
    }
    assert_int_equal(seen, 2);
}

/* ---- environment ---- */

static const struct val *the_map;
static const struct val *find_map(void *ctx, struct str ns, struct str name)
{
    return str_is(name, "cm") ? the_map : NULL;
}

static void test_environment(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *pod = parse(
        &arena,
        "{'metadata':{'name':'p','namespace':'n','labels':{'l':'v'}},'spec':{'nodeName':'node',"
        "'containers':[{'name':'c','command':['$(A)','$$(A)','$(NO)','a$'],'args':['$(MY-SVC)'],"
        "'envFrom':[{'prefix':'P_','configMapRef':{'name':'cm'}}],'env':[{'name':'A','value':'1'},"
        "{'name':'B','value':'$(A)2'},{'name':'L','valueFrom':{'fieldRef':{'fieldPath':"
        "'metadata.labels[\\u0027l\\u0027]'}}},{'name':'M','valueFrom':{'resourceFieldRef':{"
        "'resource':'limits.memory','divisor':'1Mi'}}},{'name':'O','valueFrom':{'configMapKeyRef':{"
        "'name':'no','key':'x','optional':true}}}],'resources':{'limits':{'memory':'1500Ki'}}}]}}");
    struct val *service = parse(&arena, "{'metadata':{'name':'my-svc','namespace':'n'},'spec':{"
                                        "'clusterIP':'10.0.0.1','ports':[{'port':80,'name':'web',"
                                        "'protocol':'TCP'}]}}");
    the_map = parse(&arena, "{'data':{'k':'v'}}");
    const struct val *services[] = {service};
    struct env_facts facts = {.config_map = find_map,
                              .secret = find_map,
                              .services = services,
                              .service_count = 1,
                              .api_host = STR("10.96.0.1"),
                              .api_port = 443};
    const struct val *container = val_at(val_path(pod, "spec.containers"), 0);
    struct val *image = parse(&arena, "{'Env':['A=image','PATH=/x'],'Cmd':['ignored']}");
    struct env_list env = {0};
    assert_int_equal(env_build(&arena, pod, container, image, &facts, &env, NULL), 0);
    static const char *const wanted[][2] = {{"A", "1"},
                                            {"B", "12"},
                                            {"L", "v"},
                                            {"M", "2"},
                                            {"P_k", "v"},
                                            {"PATH", "/x"},
                                            {"MY_SVC_SERVICE_HOST", "10.0.0.1"},
                                            {"MY_SVC_SERVICE_PORT_WEB", "80"},
                                            {"MY_SVC_PORT", "tcp://10.0.0.1:80"},
                                            {"MY_SVC_PORT_80_TCP_PROTO", "tcp"},
                                            {"KUBERNETES_SERVICE_HOST", "10.96.0.1"},
                                            {"KUBERNETES_SERVICE_PORT_HTTPS", "443"}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        struct str value = env_get(&env, str_of(wanted[i][0]));
        assert_string_equal(str_dup_in(&arena, value), wanted[i][1]);
    }
    assert_null(env_get(&env, STR("O")).p);
    struct str *argv;
    size_t count;
    assert_int_equal(env_argv(&arena, container, image, &env, &argv, &count, NULL), 0);
    static const char *const words[] = {"1", "$(A)", "$(NO)", "a$", "$(MY-SVC)"};
    assert_int_equal(count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(str_dup_in(&arena, argv[i]), words[i]);
    }
}

static void test_environment_errors(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *pod =
        parse(&arena, "{'metadata':{'name':'p','namespace':'n'},'spec':{'containers':["
                      "{'name':'c','env':[{'name':'A','valueFrom':{'configMapKeyRef':{"
                      "'name':'cm','key':'gone'}}}]},{'name':'d','envFrom':[{"
                      "'secretRef':{'name':'no'}}]}]}}");
    the_map = parse(&arena, "{'data':{}}");
    struct env_facts facts = {.config_map = find_map, .secret = find_map};
    struct env_list env = {0};
    struct err err = ERR_INIT;
    const struct val *list = val_path(pod, "spec.containers");
    assert_int_equal(env_build(&arena, pod, val_at(list, 0), NULL, &facts, &env, &err),
                     ERR_NOT_FOUND);
    assert_string_equal(err.message, "couldn't find key gone in ConfigMap n/cm");
    assert_int_equal(env_build(&arena, pod, val_at(list, 1), NULL, &facts, &env, &err),
                     ERR_NOT_FOUND);
    assert_string_equal(err.message, "secret \"no\" not found");
}

static void test_files(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *pod =
        parse(&arena, "{'metadata':{'name':'p','namespace':'n'},'spec':{'hostname':'h',"
                      "'subdomain':'s','hostAliases':[{'ip':'1.2.3.4','hostnames':["
                      "'a','b']}],'dnsConfig':{'searches':['more'],'options':[{'name':"
                      "'ndots','value':'2'},{'name':'edns0'}]}}}");
    struct pod_files_facts facts = {.pod_ip = STR("10.1.1.1"),
                                    .cluster_dns = STR("10.96.0.10"),
                                    .cluster_domain = STR("cluster.local"),
                                    .host_resolv_conf = STR("search lan\nnameserver 9.9.9.9\n")};
    struct buf hosts BUF_CLEANUP = BUF_INIT, resolv BUF_CLEANUP = BUF_INIT;
    pod_hosts_text(pod, &facts, &hosts);
    assert_non_null(strstr(hosts.p, "10.1.1.1\th.s.n.svc.cluster.local\th\n"));
    assert_non_null(strstr(hosts.p, "\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"));
    pod_resolv_text(pod, &facts, &resolv);
    assert_string_equal(resolv.p, "search n.svc.cluster.local svc.cluster.local cluster.local lan "
                                  "more\nnameserver 10.96.0.10\noptions ndots:2 edns0\n");
}

static void test_references(void **state)
{
    static const char *const cases[][2] = {
        {"busybox", "docker.io/library/busybox:latest"},
        {"a/b:1", "docker.io/a/b:1"},
        {"localhost/x", "localhost/x:latest"},
        {"r.io:5000/x/y:T-1", "r.io:5000/x/y:T-1"},
        {"x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
         "docker.io/library/"
         "x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
        {"", NULL},
        {"UPPER", NULL},
        {"a//b", NULL},
        {"a:", NULL},
        {"../x", NULL},
        {"x@sha256:12", NULL},
        {"a b", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out BUF_CLEANUP = BUF_INIT;
        int rc = image_reference_parse(str_of(cases[i][0]), &out, NULL);
        assert_int_equal(rc == 0, cases[i][1] != NULL);
        if (rc == 0) {
            assert_string_equal(out.p, cases[i][1]);
        }
    }
}

/* ---- volumes ---- */

static void put(struct volume_payload *payload, const char *path, const char *bytes)
{
    struct volume_file *file = vec_push(payload);
    *file = (struct volume_file){str_of(path), str_of(bytes), 0640, -1};
}

static char *read_all(const char *dir, const char *name)
{
    char *path MEM_CLEANUP = mem_printf("%s/%s", dir, name);
    struct buf text BUF_CLEANUP = BUF_INIT;
    return file_read(path, 4096, &text, NULL) == 0 ? str_dup(buf_view(&text)) : NULL;
}

static void test_atomic_writer(void **state)
{
    char dir[] = "/tmp/coxvol.XXXXXX";
    struct volume_payload payload = {0};
    bool changed = false;
    struct err err = ERR_INIT;
    assert_non_null(mkdtemp(dir));
    put(&payload, "a", "1");
    put(&payload, "sub/b", "2");
    assert_int_equal(volume_write(dir, &payload, -1, &changed, &err), 0);
    assert_true(changed);
    char *text MEM_CLEANUP = read_all(dir, "sub/b");
    assert_string_equal(text, "2");
    char link[256];
    char *a MEM_CLEANUP = mem_printf("%s/a", dir), *data MEM_CLEANUP = mem_printf("%s/..data", dir);
    assert_int_equal(readlink(a, link, sizeof link), 8);
    assert_memory_equal(link, "..data/a", 8);
    assert_int_equal(volume_write(dir, &payload, -1, &changed, &err), 0);
    assert_false(changed); /* the same again is no write */
    ssize_t before = readlink(data, link, sizeof link);
    vec_clear(&payload);
    put(&payload, "a", "new");
    assert_int_equal(volume_write(dir, &payload, -1, &changed, &err), 0);
    assert_true(changed && before > 0);
    char *fresh MEM_CLEANUP = read_all(dir, "a"), *gone MEM_CLEANUP = read_all(dir, "sub/b");
    assert_string_equal(fresh, "new");
    assert_null(gone);
    static const char *const bad[] = {"../x", "/x", "a/../b", "", "..data"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        vec_clear(&payload);
        put(&payload, bad[i], "x");
        assert_int_equal(volume_write(dir, &payload, -1, &changed, &err), ERR_INVALID);
    }
    vec_done(&payload);
    file_remove_tree(dir, NULL);
}

static void test_subpath_stays_inside(void **state)
{
    char dir[] = "/tmp/coxsub.XXXXXX";
    struct err err = ERR_INIT;
    int tree = -1;
    bool folder;
    assert_non_null(mkdtemp(dir));
    char *out MEM_CLEANUP = mem_printf("%s/out", dir), *in MEM_CLEANUP = mem_printf("%s/in", dir);
    assert_int_equal(symlink("/etc", out), 0);
    assert_int_equal(symlink("../../../../etc", in), 0);
    assert_int_not_equal(volume_open_subpath(dir, STR("../x"), &tree, &folder, &err), 0);
    assert_int_not_equal(volume_open_subpath(dir, STR("/x"), &tree, &folder, &err), 0);
    /* links resolve inside the volume: there is no etc/passwd in it, so it is made there */
    if (geteuid() == 0) {
        assert_int_not_equal(volume_open_subpath(dir, STR("out/passwd"), &tree, &folder, &err), 0);
        assert_int_not_equal(volume_open_subpath(dir, STR("in"), &tree, &folder, &err), 0);
    }
    file_remove_tree(dir, NULL);
}

/* ---- logs ---- */

static void write_log(const char *path, const char *text)
{
    assert_int_equal(file_write_quick(path, str_of(text), 0600, NULL), 0);
}

static char *read_log(const char *path, struct log_options options)
{
    struct log_reader *reader;
    struct err err = ERR_INIT;
    struct buf out BUF_CLEANUP = BUF_INIT;
    bool end;
    assert_int_equal(log_reader_open(path, &options, &reader, &err), 0);
    while (log_reader_read(reader, 4, &out, &end)) {
    }
    log_reader_free(reader);
    return str_dup(buf_view(&out));
}

static void test_logs(void **state)
{
    char dir[] = "/tmp/coxlog.XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *path MEM_CLEANUP = mem_printf("%s/0.log", dir);
    char *old MEM_CLEANUP = mem_printf("%s/0.log.2026-01-01T00:00:00.000000Z", dir);
    write_log(old, "2026-01-01T00:00:00.000000001Z stdout F one\n"
                   "2026-01-01T00:00:01.000000001Z stderr F two\n");
    write_log(path, "2026-01-01T00:00:02.000000001Z stdout P thr\n"
                    "2026-01-01T00:00:02.000000002Z stdout F ee\n"
                    "garbage\n"
                    "2026-01-01T00:00:03.000000001Z stdout F \n"
                    "2026-01-01T00:00:04.000000001Z stdout F cut");
    struct log_options all = {.tail_lines = -1, .limit_bytes = -1}, options = all;
    char *text MEM_CLEANUP = read_log(path, all);
    assert_string_equal(text, "one\ntwo\nthree\n\n");
    static const struct {
        int64_t tail, limit;
        const char *since;
        bool err_only;
        const char *text;
    } cases[] = {{0, -1, NULL, false, ""},
                 {1, -1, NULL, false, "\n"},
                 {2, -1, NULL, false, "three\n\n"},
                 {3, -1, NULL, false, "two\nthree\n\n"},
                 {9, -1, NULL, false, "one\ntwo\nthree\n\n"},
                 {-1, 6, NULL, false, "one\ntw"},
                 {-1, -1, "2026-01-01T00:00:02Z", false, "three\n\n"},
                 {-1, -1, NULL, true, "two\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        options = (struct log_options){.tail_lines = cases[i].tail,
                                       .limit_bytes = cases[i].limit,
                                       .only_stderr = cases[i].err_only};
        if (cases[i].since != NULL) {
            time_parse(str_of(cases[i].since), &options.since_ns);
        }
        char *got MEM_CLEANUP = read_log(path, options);
        assert_string_equal(got, cases[i].text);
    }
    options = all;
    options.timestamps = true;
    options.tail_lines = 2;
    char *stamped MEM_CLEANUP = read_log(path, options);
    assert_string_equal(stamped, "2026-01-01T00:00:02.000000001Z three\n"
                                 "2026-01-01T00:00:03.000000001Z \n");
    unlink(old);
    assert_false(log_rotate(path, 1000000, 3, 0));
    for (int i = 1; i <= 4; i++) {
        assert_true(log_rotate(path, 1, 3, i * NS_PER_S));
        write_log(path, "2026-01-01T00:00:05.000000001Z stdout F new\n");
    }
    char *rotated MEM_CLEANUP = read_log(path, all);
    assert_string_equal(rotated, "new\nnew\nnew\n"); /* three files are kept */
    file_remove_tree(dir, NULL);
}

static void test_quantities_to_cgroups(void **state)
{
    assert_int_equal(cgroup_shares_of_milli(0), 2);
    assert_int_equal(cgroup_shares_of_milli(1000), 1024);
    assert_int_equal(cgroup_quota_of_milli(0), 0);
    assert_int_equal(cgroup_quota_of_milli(1), 1000);
    assert_int_equal(cgroup_quota_of_milli(1500), 150000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spec_cases),
        cmocka_unit_test(test_spec_refuses),
        cmocka_unit_test(test_mount_order),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_environment_errors),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_atomic_writer),
        cmocka_unit_test(test_subpath_stays_inside),
        cmocka_unit_test(test_logs),
        cmocka_unit_test(test_quantities_to_cgroups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_pod_security.c: the controls of the Pod Security Standards: every field in every list of
 * containers, at each level, across the versions where a rule changed. With COX_PSS_FIXTURES a
 * folder LEVEL/VERSION/{pass,fail}/POD.yaml of other people's cases is run as well. */
#include "../cmocka_all.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/codec.h"
#include "api/ops.h"
#include "base/mem.h"
#include "io/file.h"
#include "server/admission/pod_security.h"

enum { BASELINE = POD_SECURITY_BASELINE, RESTRICTED = POD_SECURITY_RESTRICTED, ANY = -1 };

struct row {
    int level;        /* the least level that refuses it */
    int from, to;     /* refused in versions from..to */
    const char *json; /* of the pod's spec; $C stands for each list of containers in turn */
    const char *reason;
};

#define SOUND                                                                                      \
    "\"securityContext\":{\"allowPrivilegeEscalation\":false,\"capabilities\":{\"drop\":["         \
    "\"ALL\"]}}"

/* A container with one member more in its securityContext. */
#define WITH(member)                                                                               \
    "{\"securityContext\":{\"runAsNonRoot\":true,\"seccompProfile\":{\"type\":\"RuntimeDefault\"}" \
    "},"                                                                                           \
    "\"$C\":[{\"name\":\"c\",\"securityContext\":{\"allowPrivilegeEscalation\":false," member      \
    "}}]}"
#define DROPS "\"capabilities\":{\"drop\":[\"ALL\"]}"
#define POD(member)                                                                                \
    "{\"securityContext\":{\"runAsNonRoot\":true," member "},"                                     \
    "\"containers\":[{\"name\":\"c\"," SOUND "}]}"
#define SECCOMP "\"seccompProfile\":{\"type\":\"RuntimeDefault\"}"
#define SPEC(member)                                                                               \
    "{\"securityContext\":{\"runAsNonRoot\":true," SECCOMP "}," member ","                         \
    "\"containers\":[{\"name\":\"c\"," SOUND "}]}"

static const struct row rows[] = {
    {ANY, 0, 99, SPEC("\"hostUsers\":true"), NULL},
    {BASELINE, 0, 99, WITH(DROPS ",\"privileged\":true"), "privileged"},
    {BASELINE, 0, 99, WITH(DROPS ",\"appArmorProfile\":{\"type\":\"Unconfined\"}"),
     "forbidden AppArmor profile"},
    {BASELINE, 0, 99, POD(SECCOMP ",\"appArmorProfile\":{\"type\":\"Unconfined\"}"),
     "forbidden AppArmor profile"},
    {BASELINE, 0, 99, WITH("\"capabilities\":{\"drop\":[\"ALL\"],\"add\":[\"SYS_ADMIN\"]}"),
     "capabilities"},
    {RESTRICTED, 22, 99, WITH("\"capabilities\":{\"drop\":[\"ALL\"],\"add\":[\"CHOWN\"]}"),
     "unrestricted capabilities"},
    {RESTRICTED, 22, 99, WITH("\"capabilities\":{\"drop\":[\"KILL\"]}"),
     "unrestricted capabilities"},
    {ANY, 0, 99, WITH("\"capabilities\":{\"drop\":[\"ALL\"],\"add\":[\"NET_BIND_SERVICE\"]}"),
     NULL},
    {BASELINE, 0, 99, SPEC("\"hostPID\":true"), "host namespaces"},
    {BASELINE, 0, 99, SPEC("\"hostIPC\":true"), "host namespaces"},
    {BASELINE, 0, 99, SPEC("\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/\"}}]"), ""},
    {RESTRICTED, 0, 99, SPEC("\"volumes\":[{\"name\":\"v\",\"nfs\":{\"server\":\"s\"}}]"),
     "restricted volume types"},
    {ANY, 0, 99, SPEC("\"volumes\":[{\"name\":\"v\",\"image\":{}}]"), NULL},
    {BASELINE, 0, 99, WITH(DROPS ",\"procMount\":\"Unmasked\""), "procMount"},
    {BASELINE, 0, 99, WITH(DROPS ",\"seLinuxOptions\":{\"user\":\"u\"}"), "seLinuxOptions"},
    {BASELINE, 0, 30, WITH(DROPS ",\"seLinuxOptions\":{\"type\":\"container_engine_t\"}"),
     "seLinuxOptions"},
    {BASELINE, 19, 99, WITH(DROPS ",\"seccompProfile\":{\"type\":\"Unconfined\"}"),
     "seccompProfile"},
    {RESTRICTED, 19, 99, POD("\"fsGroup\":1"), "seccompProfile"},
    {BASELINE, 0, 99, POD(SECCOMP ",\"sysctls\":[{\"name\":\"kernel.msgmax\"}]"),
     "forbidden sysctls"},
    {BASELINE, 0, 28, POD(SECCOMP ",\"sysctls\":[{\"name\":\"net.ipv4.tcp_fin_timeout\"}]"),
     "forbidden sysctls"},
    {BASELINE, 0, 36, POD(SECCOMP ",\"sysctls\":[{\"name\":\"net.ipv4.tcp_notsent_lowat\"}]"),
     "forbidden sysctls"},
    {BASELINE, 0, 99, WITH(DROPS ",\"windowsOptions\":{\"hostProcess\":true}"), "hostProcess"},
    {RESTRICTED, 23, 99, WITH(DROPS ",\"runAsUser\":0"), "runAsUser=0"},
    {RESTRICTED, 0, 99, WITH(DROPS ",\"runAsNonRoot\":false"), "runAsNonRoot != true"},
};

static void evaluate(int level, int minor, const char *json, bool *ret_good, struct buf *details)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *spec = NULL;
    assert_int_equal(val_parse_json(&arena, str_of(json), &spec, NULL), 0);
    struct pod_security_policy policy = {(enum pod_security_level)level, minor};
    *ret_good = pod_security_meets(&arena, policy, NULL, spec, NULL, details);
}

static char *with_list(const char *json, const char *list)
{
    const char *at = strstr(json, "$C");
    return at == NULL ? mem_dupz(json)
                      : mem_printf("%.*s%s%s", (int)(at - json), json, list, at + 2);
}

static void check_row(const struct row *row, const char *json)
{
    for (int level = BASELINE; level <= RESTRICTED; level++) {
        for (int minor = 0; minor <= 37; minor++) {
            struct buf details BUF_CLEANUP = BUF_INIT;
            bool good = false;
            bool refused =
                row->level != ANY && row->level <= level && minor >= row->from && minor <= row->to;
            evaluate(level, minor, json, &good, &details);
            if (good == refused ||
                (refused && !str_contains(buf_view(&details), str_of(row->reason)))) {
                fail_msg("%s at level %d, v1.%d: %s (%s)", json, level, minor,
                         good ? "let through" : "refused", details.p != NULL ? details.p : "");
            }
        }
    }
}

static void test_controls(void **state)
{
    static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool each = strstr(rows[i].json, "$C") != NULL;
        for (size_t k = 0; k < (each ? 3 : 1); k++) {
            char *json MEM_CLEANUP = with_list(rows[i].json, lists[k]);
            check_row(&rows[i], json);
        }
    }
}

/* Hosts of probes are baseline from 1.34 on; a user namespace relaxes some from 1.35 on. */
static void test_newer_rules(void **state)
{
    static const char host[] = "{\"containers\":[{\"name\":\"c\",\"livenessProbe\":{\"httpGet\":{"
                               "\"host\":\"1.2.3.4\"}}}]}";
    static const char apart[] =
        "{\"hostUsers\":false,\"securityContext\":{" SECCOMP "},\"containers\":[{\"name\":\"c\","
        "\"securityContext\":{\"allowPrivilegeEscalation\":false," DROPS
        ",\"runAsUser\":0,\"procMount\":\"Unmasked\"}}]}";
    struct buf details BUF_CLEANUP = BUF_INIT;
    bool good = false;
    evaluate(BASELINE, 33, host, &good, NULL);
    assert_true(good);
    evaluate(BASELINE, POD_SECURITY_LATEST, host, &good, &details);
    assert_false(good);
    assert_string_equal(details.p, "probe or lifecycle host (container \"c\" uses probe or "
                                   "lifecycle host \"1.2.3.4\")");
    buf_clear(&details);
    evaluate(BASELINE, 34, apart, &good, NULL);
    assert_false(good);
    evaluate(BASELINE, 35, apart, &good, NULL);
    assert_true(good);
    evaluate(RESTRICTED, 35, apart, &good, &details);
    assert_false(good);
    assert_string_equal(details.p, "procMount (container \"c\" must not set "
                                   "securityContext.procMount to \"Unmasked\")");
}

static void test_texts(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    enum pod_security_level level;
    int minor = 0;
    assert_true(pod_security_level_parse(STR("restricted"), &level));
    assert_int_equal(level, POD_SECURITY_RESTRICTED);
    assert_false(pod_security_level_parse(STR(""), &level));
    assert_true(pod_security_version_parse(STR("v1.0"), &minor));
    assert_int_equal(minor, 0);
    static const char *const bad[] = {"",      "v1.",   "1.3",   "v2.1",
                                      "v1.03", "v1.3 ", "v1.-1", "Latest"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(pod_security_version_parse(str_of(bad[i]), &minor));
    }
    struct pod_security_policy policy = {POD_SECURITY_BASELINE, 7};
    struct str text = pod_security_policy_text(&arena, policy);
    assert_string_equal(text.p, "baseline:v1.7");
}

/* ---- cases of others ---- */

static void run_fixture(const char *path, int level, int minor, bool wanted)
{
    struct buf text BUF_CLEANUP = BUF_INIT, details BUF_CLEANUP = BUF_INIT;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *pod = NULL;
    assert_int_equal(file_read(path, 1 << 20, &text, NULL), 0);
    const struct api_resource *pods = schema_resource(STR(""), STR("v1"), STR("pods"));
    assert_int_equal(codec_decode(&arena, pods->type, CODEC_YAML, buf_view(&text), CODEC_STRICT,
                                  NULL, &pod, NULL),
                     0);
    api_default(&arena, pods, pod);
    struct pod_security_policy policy = {(enum pod_security_level)level, minor};
    bool good = pod_security_meets(&arena, policy, val_get(pod, "metadata"), val_get(pod, "spec"),
                                   NULL, &details);
    if (good != wanted) {
        fail_msg("%s: %s", path, good ? "let through" : details.p);
    }
}

static size_t run_folder(const char *path, int level, int minor, bool wanted)
{
    size_t count = 0;
    DIR *dir = opendir(path);
    for (struct dirent *it; dir != NULL && (it = readdir(dir)) != NULL;) {
        if (str_ends(str_of(it->d_name), STR(".yaml"))) {
            char *file MEM_CLEANUP = mem_printf("%s/%s", path, it->d_name);
            run_fixture(file, level, minor, wanted);
            count++;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return count;
}

static void test_fixtures(void **state)
{
    const char *root = getenv("COX_PSS_FIXTURES");
    static const char *const levels[] = {"privileged", "baseline", "restricted"};
    size_t count = 0;
    if (root == NULL) {
        skip();
    }
    for (int level = 0; level < 3; level++) {
        for (int minor = 0; minor < 60; minor++) {
            char *pass MEM_CLEANUP = mem_printf("%s/%s/v1.%d/pass", root, levels[level], minor);
            char *fail MEM_CLEANUP = mem_printf("%s/%s/v1.%d/fail", root, levels[level], minor);
            count += run_folder(pass, level, minor, true);
            count += run_folder(fail, level, minor, false);
        }
    }
    print_message("%zu fixtures\n", count);
    assert_true(count > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_controls), cmocka_unit_test(test_newer_rules),
        cmocka_unit_test(test_texts), cmocka_unit_test(test_fixtures)};
    return cmocka_run_group_tests_name("server-pod-security", tests, NULL, NULL);
}

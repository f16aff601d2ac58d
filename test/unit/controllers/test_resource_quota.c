/* controllers/resource_quota.c on virtual time: what is counted, when, and that charges of others
 * are not lost. */
#include <stdio.h>

#include "bench.h"
#include "controllers/table_int.h"

static const struct controller *const controllers[] = {&controller_resource_quota, NULL};
#define QUOTAS kind("", "resourcequotas")

static void make_pod(struct bench *bench, const char *name, const char *more)
{
    fake_createf(bench->api, PODS,
                 "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'%s','namespace':'default'},"
                 "'spec':{%s'containers':[{'name':'c','image':'x','resources':{'requests':{'cpu':"
                 "'300m'},'limits':{'memory':'1Gi','cpu':'1'}}}]}}",
                 name, more);
}

static void make_quota(struct bench *bench, const char *name, const char *spec)
{
    fake_createf(bench->api, QUOTAS,
                 "{'apiVersion':'v1','kind':'ResourceQuota','metadata':{'name':'%s','namespace':"
                 "'default'},'spec':{%s}}",
                 name, spec);
}

static const char *used(struct bench *bench, const char *quota, const char *name)
{
    const struct val *list = val_path(value_of(bench, QUOTAS, quota), "status.used");
    const struct val *found = val_get_str(list, str_of(name));
    return found != NULL ? val_text(found).p : "";
}

static void counts(void **state)
{
    struct bench bench;
    bench_init(&bench, 1, controllers);
    make_quota(&bench, "q",
               "'hard':{'pods':'5','requests.cpu':'2','limits.memory':'9Gi','count/configmaps':"
               "'3','count/deployments.apps':'1','nobody.knows/it':'1'}");
    bench_run(&bench, 5);
    assert_string_equal(used(&bench, "q", "pods"), "0");
    assert_string_equal(used(&bench, "q", "count/deployments.apps"), "0");
    assert_string_equal(used(&bench, "q", "nobody.knows/it"), "");
    assert_string_equal(text_at(&bench, QUOTAS, "q", "status.hard.pods"), "5");
    make_pod(&bench, "a", "");
    make_pod(&bench, "b", "");
    fake_createf(bench.api, CONFIGMAPS,
                 "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'m','namespace':"
                 "'default'}}");
    /* Charged by admission, which is not there: counted when something else wakes the quota. */
    fake_delete(bench.api, PODS, "default", "a", "{'gracePeriodSeconds':0}");
    bench_run(&bench, 5);
    assert_string_equal(used(&bench, "q", "pods"), "1");
    assert_string_equal(used(&bench, "q", "requests.cpu"), "300m");
    assert_string_equal(used(&bench, "q", "limits.memory"), "1Gi");
    assert_string_equal(used(&bench, "q", "count/configmaps"), "1");
    fake_patchf(bench.api, PODS, "default", "b", "status", "{'status':{'phase':'Succeeded'}}");
    bench_run(&bench, 5);
    assert_string_equal(used(&bench, "q", "pods"), "0");
    bench_quiet(&bench, 60);
    bench_done(&bench);
}

static void scopes(void **state)
{
    struct bench bench;
    bench_init(&bench, 2, controllers);
    make_pod(&bench, "a", "'activeDeadlineSeconds':5,");
    make_pod(&bench, "b", "'priorityClassName':'high',");
    make_quota(&bench, "t", "'hard':{'pods':'5'},'scopes':['Terminating']");
    make_quota(&bench, "n", "'hard':{'pods':'5'},'scopes':['NotTerminating','NotBestEffort']");
    make_quota(&bench, "p",
               "'hard':{'pods':'5'},'scopeSelector':{'matchExpressions':[{'scopeName':"
               "'PriorityClass','operator':'NotIn','values':['high']}]}");
    bench_run(&bench, 5);
    assert_string_equal(used(&bench, "t", "pods"), "1");
    assert_string_equal(used(&bench, "n", "pods"), "1");
    assert_string_equal(used(&bench, "p", "pods"), "1");
    bench_done(&bench);
}

/* Somebody charges the quota between the count and its write: the count gives way. */
static enum err_code charge(void *ctx, const struct client_request *request, uint64_t writes)
{
    struct bench *bench = ctx;
    static bool charged;
    if (request->verb == CLIENT_UPDATE &&
        str_is(str_of(request->resource->plural), "resourcequotas") && !charged) {
        charged = true;
        make_pod(bench, "late", "");
        fake_patchf(bench->api, QUOTAS, "default", "q", "status",
                    "{'status':{'hard':{'pods':'5'},'used':{'pods':'1'}}}");
    }
    return ERR_OK;
}

static void charged_meanwhile(void **state)
{
    struct bench bench;
    bench_init(&bench, 3, controllers);
    fake_api_hooks(bench.api, charge, NULL, &bench);
    make_quota(&bench, "q", "'hard':{'pods':'5'}");
    bench_run(&bench, 5);
    assert_string_equal(used(&bench, "q", "pods"), "1");
    bench_done(&bench);
}

/* K1: a crash after any write, and events that are lost or merged. */
static void crashes(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct bench bench;
        bench_init(&bench, seed, controllers);
        make_quota(&bench, "q", "'hard':{'pods':'9'}");
        make_pod(&bench, "a", "");
        make_pod(&bench, "b", "");
        bench_run(&bench, 1);
        bench_stop(&bench);
        fake_delete(bench.api, PODS, "default", "a", "{'gracePeriodSeconds':0}");
        bench_start(&bench);
        fake_api_gap(bench.api, NULL, NS_PER_S);
        fake_delete(bench.api, PODS, "default", "b", "{'gracePeriodSeconds':0}");
        bench_run(&bench, 20);
        assert_string_equal(used(&bench, "q", "pods"), "0");
        bench_quiet(&bench, 30);
        bench_done(&bench);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts), cmocka_unit_test(scopes),
                                       cmocka_unit_test(charged_meanwhile),
                                       cmocka_unit_test(crashes)};
    return cmocka_run_group_tests_name("controllers-resource-quota", tests, NULL, NULL);
}

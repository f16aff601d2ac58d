/* controllers/cluster_role.c on virtual time: rules follow the roles that are chosen. */
#include "bench.h"
#include "controllers/table_int.h"

static const struct controller *const controllers[] = {&controller_cluster_role, NULL};
#define ROLES kind("rbac.authorization.k8s.io", "clusterroles")

static void make_role(struct bench *bench, const char *name, const char *label, const char *more)
{
    fake_createf(bench->api, ROLES,
                 "{'apiVersion':'rbac.authorization.k8s.io/v1','kind':'ClusterRole','metadata':{"
                 "'name':'%s','labels':{'to':'%s'}},%s}",
                 name, label, more);
}

#define RULE(resource) "'rules':[{'apiGroups':[''],'resources':['" resource "'],'verbs':['get']}]"
#define SUM(label)     "'aggregationRule':{'clusterRoleSelectors':[{'matchLabels':{'to':'" label "'}}]}"

static const char *resource_at(struct bench *bench, const char *role, uint32_t i)
{
    struct val *rules =
        val_get(fake_val(bench->api, fake_get(bench->api, ROLES, NULL, role)), "rules");
    return i < val_count(rules) ? val_text(val_at(val_get(val_at(rules, i), "resources"), 0)).p
                                : "";
}

static void aggregates(void **state)
{
    struct bench bench;
    bench_init(&bench, 1, controllers);
    make_role(&bench, "sum", "all", SUM("part") ",'rules':[]");
    make_role(&bench, "b", "part", RULE("pods"));
    make_role(&bench, "a", "part", RULE("secrets"));
    make_role(&bench, "twin", "part", RULE("pods"));
    make_role(&bench, "other", "none", RULE("nodes"));
    make_role(&bench, "total", "-", SUM("all"));
    bench_run(&bench, 5);
    assert_string_equal(resource_at(&bench, "sum", 0), "secrets");
    assert_string_equal(resource_at(&bench, "sum", 1), "pods");
    assert_string_equal(resource_at(&bench, "sum", 2), "");
    assert_string_equal(resource_at(&bench, "total", 1), "pods");
    bench_quiet(&bench, 30);
    fake_patchf(bench.api, ROLES, NULL, "sum", "", "{'rules':[]}");
    fake_delete(bench.api, ROLES, NULL, "a", NULL);
    bench_run(&bench, 5);
    assert_string_equal(resource_at(&bench, "sum", 0), "pods");
    assert_string_equal(resource_at(&bench, "sum", 1), "");
    assert_string_equal(resource_at(&bench, "total", 0), "pods");
    bench_quiet(&bench, 30);
    bench_done(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(aggregates)};
    return cmocka_run_group_tests_name("controllers-cluster-role", tests, NULL, NULL);
}

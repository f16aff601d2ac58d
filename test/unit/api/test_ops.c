/* test_ops.c: strategies where a table of cases says too little: grace, QoS, what is generated,
 * what is kept on updates, warnings. */
#include "api/kinds/kinds.h"
#include "api/kinds/pod/pod_parts.h"
#include "api/ops.h"
#include "cases.h"

static struct val *typed(struct arena *arena, const struct api_resource *resource, const char *text)
{
    struct val *value = NULL;
    struct err err = ERR_INIT;
    if (codec_decode(arena, resource->type, CODEC_JSON, str_of(text), CODEC_STRICT, NULL, &value,
                     &err) != 0) {
        fail_msg("%s", err.message);
    }
    api_default(arena, resource, value);
    return value;
}

static const struct api_resource *core(const char *plural)
{
    return schema_resource(STR(""), STR("v1"), str_of(plural));
}

static int64_t grace(const char *pod, int64_t asked)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct api_context ctx = {.arena = &arena, .subresource = ""};
    return ops_pod.grace_seconds(&ctx, typed(&arena, core("pods"), pod), asked);
}

static void grace_of_pods(void **state)
{
    assert_int_equal(grace("{\"spec\":{\"containers\":[]}}", -1), 0); /* nobody runs it */
    assert_int_equal(grace("{\"spec\":{\"containers\":[],\"nodeName\":\"n\"}}", -1), 30);
    assert_int_equal(grace("{\"spec\":{\"containers\":[],\"nodeName\":\"n\"}}", 5), 5);
    assert_int_equal(grace("{\"spec\":{\"containers\":[],\"nodeName\":\"n\"}}", 0), 0);
    assert_int_equal(grace("{\"spec\":{\"containers\":[],\"nodeName\":\"n\","
                           "\"terminationGracePeriodSeconds\":7}}",
                           -1),
                     7);
    assert_int_equal(grace("{\"spec\":{\"containers\":[],\"nodeName\":\"n\"},\"status\":{\"phase\":"
                           "\"Failed\"}}",
                           60),
                     0);
}

static const char *qos(const char *resources)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const char *text = arena_printf(
        &arena, "{\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":%s}]}}", resources);
    return pod_qos_class(typed(&arena, core("pods"), text));
}

static void qos_classes(void **state)
{
    assert_string_equal(qos("{}"), "BestEffort");
    assert_string_equal(qos("{\"requests\":{\"cpu\":\"1\"}}"), "Burstable");
    assert_string_equal(qos("{\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\"}}"), "Guaranteed");
    assert_string_equal(qos("{\"limits\":{\"cpu\":\"1\"}}"), "Burstable");
    assert_string_equal(qos("{\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\"},\"requests\":{\"cpu\":"
                            "\"500m\"}}"),
                        "Burstable");
    assert_string_equal(qos("{\"limits\":{\"nvidia.com/gpu\":\"1\"}}"), "BestEffort");
}

static void job_selector_comes_from_the_uid(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct api_resource *jobs = schema_resource(STR("batch"), STR("v1"), STR("jobs"));
    struct api_context ctx = {.arena = &arena, .subresource = ""};
    struct val *job =
        typed(&arena, jobs,
              "{\"metadata\":{\"name\":\"j\",\"uid\":\"u-1\"},\"spec\":{\"template\":{"
              "\"spec\":{\"containers\":[]}}}}");
    api_prepare(&ctx, jobs, job, NULL);
    const struct val *labels = val_path(job, "spec.selector.matchLabels");
    assert_true(str_is(val_text(val_get(labels, "batch.kubernetes.io/controller-uid")), "u-1"));
    labels = val_path(job, "spec.template.metadata.labels");
    assert_true(str_is(val_text(val_get(labels, "job-name")), "j"));
    assert_int_equal(val_int(val_path(job, "metadata.generation"), 0), 1);
}

static void match_keys_become_requirements(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct api_context ctx = {.arena = &arena, .subresource = ""};
    struct val *pod = typed(
        &arena, core("pods"),
        "{\"metadata\":{\"name\":\"p\",\"labels\":{\"h\":\"1\"}},\"spec\":{\"containers\":[],"
        "\"topologySpreadConstraints\":[{\"maxSkew\":1,\"topologyKey\":\"z\",\"whenUnsatisfiable\":"
        "\"DoNotSchedule\",\"labelSelector\":{},\"matchLabelKeys\":[\"h\",\"none\"]}]}}");
    api_prepare(&ctx, core("pods"), pod, NULL);
    const struct val *list = val_path(val_at(val_path(pod, "spec.topologySpreadConstraints"), 0),
                                      "labelSelector.matchExpressions");
    assert_int_equal(val_count(list), 1);
    assert_true(str_is(val_text(val_get(val_at(list, 0), "operator")), "In"));
}

static void status_and_spec_keep_apart(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct api_resource *pods = core("pods");
    struct api_context ctx = {.arena = &arena, .subresource = "status"};
    struct val *old =
        typed(&arena, pods,
              "{\"metadata\":{\"name\":\"p\",\"generation\":3},\"spec\":{\"containers\":[],"
              "\"nodeName\":\"n\"},\"status\":{\"phase\":\"Pending\",\"qosClass\":"
              "\"BestEffort\"}}");
    struct val *next =
        typed(&arena, pods,
              "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[],\"nodeName\":"
              "\"other\"},\"status\":{\"phase\":\"Running\"}}");
    api_prepare(&ctx, pods, next, old);
    assert_true(str_is(val_text(val_path(next, "spec.nodeName")), "n"));
    assert_true(str_is(val_text(val_path(next, "status.phase")), "Running"));
    assert_true(str_is(val_text(val_path(next, "status.qosClass")), "BestEffort"));
    assert_int_equal(val_int(val_path(next, "metadata.generation"), 0), 3);
    next = typed(&arena, pods,
                 "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[],\"nodeName\":\"n\","
                 "\"tolerations\":[]},\"status\":{\"phase\":\"Failed\"}}");
    ctx.subresource = "";
    api_prepare(&ctx, pods, next, old);
    assert_true(str_is(val_text(val_path(next, "status.phase")), "Pending"));
    assert_int_equal(val_int(val_path(next, "metadata.generation"), 0), 3); /* empty is absent */
}

static void services_keep_their_addresses(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct api_resource *services = core("services");
    struct api_context ctx = {.arena = &arena, .subresource = ""};
    struct val *old =
        typed(&arena, services,
              "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"type\":\"NodePort\",\"clusterIP\":"
              "\"10.96.0.5\",\"clusterIPs\":[\"10.96.0.5\"],\"ports\":[{\"port\":80,\"nodePort\":"
              "30001}]}}");
    struct val *next =
        typed(&arena, services,
              "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"type\":\"NodePort\",\"ports\":"
              "[{\"port\":80}]}}");
    api_prepare(&ctx, services, next, old);
    assert_true(str_is(val_text(val_path(next, "spec.clusterIP")), "10.96.0.5"));
    const struct val *port = val_at(val_path(next, "spec.ports"), 0);
    assert_int_equal(val_int(val_get(port, "nodePort"), 0), 30001);
    next = val_copy(&arena, old);
    val_set_text(&arena, val_get(next, "spec"), STR("type"), STR("ClusterIP"));
    api_prepare(&ctx, services, next, old);
    port = val_at(val_path(next, "spec.ports"), 0);
    assert_null(val_get(port, "nodePort"));
    assert_null(val_path(next, "spec.externalTrafficPolicy"));
}

static void warnings_name_the_place(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct codec_warnings warnings = {.arena = &arena};
    struct api_context ctx = {.arena = &arena, .subresource = "", .warnings = &warnings};
    struct field_errors errors = {.arena = &arena};
    struct val *pod =
        typed(&arena, core("pods"),
              "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\"},\"spec\":{\"containers\":["
              "{\"name\":\"c\",\"image\":\"i\",\"env\":[{\"name\":\"A\"},{\"name\":\"A\"}]}"
              "]}}");
    api_validate(&ctx, core("pods"), pod, NULL, &errors);
    assert_int_equal(errors.count, 0);
    assert_int_equal(warnings.count, 1);
    assert_true(
        str_is(warnings.items[0],
               "spec.containers[0].env[1]: hides previous definition of \"A\", which may be "
               "dropped when using apply"));
}

static void long_lists_are_refused(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct api_context ctx = {.arena = &arena, .subresource = ""};
    struct field_errors errors = {.arena = &arena};
    struct val *pod =
        typed(&arena, core("pods"),
              "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\"},\"spec\":{\"containers\":["
              "{\"name\":\"c\",\"image\":\"i\"}]}}");
    struct val *list = val_make_array(&arena, val_get(pod, "spec"), STR("volumes"));
    for (int i = 0; i < 100000; i++) {
        struct val *volume = val_append(list, val_new(&arena, VAL_OBJECT));
        val_set_text(&arena, volume, STR("name"), str_of(arena_printf(&arena, "v%d", i)));
    }
    api_validate(&ctx, core("pods"), pod, NULL, &errors);
    assert_int_equal(errors.count, 1);
    assert_string_equal(errors.items[0].type, "FieldValueTooMany");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grace_of_pods),
        cmocka_unit_test(qos_classes),
        cmocka_unit_test(job_selector_comes_from_the_uid),
        cmocka_unit_test(match_keys_become_requirements),
        cmocka_unit_test(status_and_spec_keep_apart),
        cmocka_unit_test(services_keep_their_addresses),
        cmocka_unit_test(warnings_name_the_place),
        cmocka_unit_test(long_lists_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

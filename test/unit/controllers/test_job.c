/* controllers/batch/job*.c on virtual time. */
#include <stdio.h>

#include "bench.h"
#include "controllers/batch/job_int.h"
#include "controllers/table_int.h"

static const struct controller *const controllers[] = {&controller_job, &controller_job_ttl,
                                                       &controller_garbage, NULL};

static void make(struct bench *bench, const char *spec, const char *restart)
{
    fake_createf(bench->api, JOBS,
                 "{'apiVersion':'batch/v1','kind':'Job','metadata':{'name':'work','namespace':"
                 "'default'},'spec':{%s'selector':{'matchLabels':{'job':'work'}},'template':{"
                 "'metadata':{'labels':{'job':'work'}},'spec':{'restartPolicy':'%s','containers':[{"
                 "'name':'c','image':'v1'}]}}}}",
                 spec, restart);
}

struct act {
    struct bench *bench;
    int left; /* how many to end */
    const char *phase;
    int exit_code;
    int64_t index; /* -1: any */
    size_t count;
};

static bool is_open(struct bench *bench, struct object *object, struct val *pod)
{
    struct str phase = val_text(val_path(pod, "status.phase"));
    return !object->deleting && !str_is(phase, "Succeeded") && !str_is(phase, "Failed");
}

static void end_pod(void *ctx, struct object *object)
{
    struct act *act = ctx;
    struct val *pod = fake_val(act->bench->api, object);
    char name[128], now[TIME_TEXT_SIZE];
    int64_t index = -1;
    str_i64(val_text(val_get(val_path(pod, "metadata.annotations"), JOB_INDEX)), &index);
    if (act->left == 0 || !is_open(act->bench, object, pod) ||
        (act->index >= 0 && index != act->index)) {
        return;
    }
    act->left--;
    time_format(clock_wall(loop_clock(act->bench->loop)), now);
    snprintf(name, sizeof name, "%.*s", STR_ARG(object->name));
    fake_patchf(
        act->bench->api, PODS, "default", name, "status",
        "{'status':{'phase':'%s','containerStatuses':[{'name':'c','image':'v1','imageID':'',"
        "'ready':false,'restartCount':0,'state':{'terminated':{'exitCode':%d,"
        "'finishedAt':'%s'}}}]}}",
        act->phase, act->exit_code, now);
}

static void end_pods(struct bench *bench, int count, const char *phase, int code, int64_t index)
{
    struct act act = {bench, count, phase, code, index, 0};
    fake_each(bench->api, PODS, end_pod, &act);
    assert_int_equal(act.left, 0);
}

static void count_open(void *ctx, struct object *object)
{
    struct act *act = ctx;
    act->count += is_open(act->bench, object, fake_val(act->bench->api, object));
}

static size_t open_pods(struct bench *bench)
{
    struct act act = {.bench = bench};
    fake_each(bench->api, PODS, count_open, &act);
    return act.count;
}

static int64_t status(struct bench *bench, const char *path)
{
    return number_at(bench, JOBS, "work", path);
}
static const char *condition(struct bench *bench, const char *type, const char *member)
{
    return condition_at(bench, JOBS, "work", type, member);
}

static void no_finalizer(void *ctx, struct object *object)
{
    assert_int_equal(
        val_count(val_path(fake_val(((struct bench *)ctx)->api, object), "metadata.finalizers")),
        0);
}

static void runs_to_completion(void **state)
{
    struct bench bench;
    bench_init(&bench, 1, controllers);
    make(&bench, "'completions':5,'parallelism':2,", "Never");
    bench_run(&bench, 2);
    assert_int_equal(open_pods(&bench), 2);
    assert_int_equal(status(&bench, "status.active"), 2);
    assert_true(text_at(&bench, JOBS, "work", "status.startTime")[0] != '\0');
    for (int i = 0; i < 5; i++) {
        end_pods(&bench, 1, "Succeeded", 0, -1);
        bench_run(&bench, 2);
        assert_int_equal(status(&bench, "status.succeeded"), i + 1);
    }
    assert_string_equal(condition(&bench, "Complete", "reason"), "CompletionsReached");
    assert_string_equal(condition(&bench, "SuccessCriteriaMet", "status"), "True");
    assert_true(text_at(&bench, JOBS, "work", "status.completionTime")[0] != '\0');
    assert_int_equal(fake_count(bench.api, PODS), 5);
    fake_each(bench.api, PODS, no_finalizer, &bench);
    assert_int_equal(count_events(&bench, "Completed"), 1);
    bench_quiet(&bench, 3600);
    bench_done(&bench);
}

static void gives_up_after_the_backoff_limit(void **state)
{
    struct bench bench;
    bench_init(&bench, 2, controllers);
    make(&bench, "'backoffLimit':2,", "Never");
    bench_run(&bench, 2);
    end_pods(&bench, 1, "Failed", 1, -1);
    bench_run(&bench, 5);
    assert_int_equal(open_pods(&bench), 0); /* 10 s of back-off */
    bench_run(&bench, 7);
    assert_int_equal(open_pods(&bench), 1);
    end_pods(&bench, 1, "Failed", 1, -1);
    bench_run(&bench, 15);
    assert_int_equal(open_pods(&bench), 0); /* 20 s */
    bench_run(&bench, 7);
    end_pods(&bench, 1, "Failed", 1, -1);
    bench_run(&bench, 60);
    assert_int_equal(open_pods(&bench), 0);
    assert_int_equal(status(&bench, "status.failed"), 3);
    assert_string_equal(condition(&bench, "Failed", "reason"), "BackoffLimitExceeded");
    assert_string_equal(condition(&bench, "FailureTarget", "status"), "True");
    bench_quiet(&bench, 3600);
    bench_done(&bench);
}

static void indexes_each_once(void **state)
{
    struct bench bench;
    bench_init(&bench, 3, controllers);
    make(&bench, "'completions':4,'parallelism':4,'completionMode':'Indexed',", "Never");
    bench_run(&bench, 2);
    assert_int_equal(open_pods(&bench), 4);
    struct val *pod = fake_val(bench.api, nth(&bench, PODS, 0));
    struct val *env = val_get(val_at(val_path(pod, "spec.containers"), 0), "env");
    assert_non_null(val_find(env, "name", STR("JOB_COMPLETION_INDEX")));
    assert_true(str_starts(val_text(val_path(pod, "spec.hostname")), STR("work-")));
    end_pods(&bench, 1, "Succeeded", 0, 0);
    end_pods(&bench, 1, "Succeeded", 0, 2);
    end_pods(&bench, 1, "Failed", 1, 3);
    bench_run(&bench, 5);
    assert_string_equal(text_at(&bench, JOBS, "work", "status.completedIndexes"), "0,2");
    assert_int_equal(status(&bench, "status.succeeded"), 2);
    bench_run(&bench, 10);
    end_pods(&bench, 1, "Succeeded", 0, 1);
    end_pods(&bench, 1, "Succeeded", 0, 3);
    bench_run(&bench, 5);
    assert_string_equal(text_at(&bench, JOBS, "work", "status.completedIndexes"), "0-3");
    assert_string_equal(condition(&bench, "Complete", "status"), "True");
    fake_each(bench.api, PODS, no_finalizer, &bench);
    bench_quiet(&bench, 3600);
    bench_done(&bench);
}

static void a_limit_for_each_index(void **state)
{
    struct bench bench;
    bench_init(&bench, 4, controllers);
    make(&bench,
         "'completions':2,'parallelism':2,'completionMode':'Indexed','backoffLimitPerIndex':1,",
         "Never");
    bench_run(&bench, 2);
    end_pods(&bench, 1, "Failed", 1, 0);
    bench_run(&bench, 12);
    assert_int_equal(open_pods(&bench), 2);
    end_pods(&bench, 1, "Failed", 1, 0);
    bench_run(&bench, 30);
    assert_string_equal(text_at(&bench, JOBS, "work", "status.failedIndexes"), "0");
    assert_int_equal(open_pods(&bench), 1);
    end_pods(&bench, 1, "Succeeded", 0, 1);
    bench_run(&bench, 5);
    assert_string_equal(condition(&bench, "Failed", "reason"), "FailedIndexes");
    assert_int_equal(status(&bench, "status.failed"), 2);
    fake_each(bench.api, PODS, no_finalizer, &bench);
    bench_quiet(&bench, 3600);
    bench_done(&bench);
}

static void a_failure_policy_ends_or_ignores(void **state)
{
    struct bench bench;
    bench_init(&bench, 5, controllers);
    make(
        &bench,
        "'backoffLimit':0,'podFailurePolicy':{'rules':[{'action':'Ignore','onExitCodes':{'operator'"
        ":'In','values':[7]}},{'action':'FailJob','onExitCodes':{'operator':'In','values':[42]}}]"
        "},",
        "Never");
    bench_run(&bench, 2);
    end_pods(&bench, 1, "Failed", 7, -1);
    bench_run(&bench, 20);
    assert_int_equal(open_pods(&bench), 1);
    assert_int_equal(status(&bench, "status.failed"), 0);
    end_pods(&bench, 1, "Failed", 42, -1);
    bench_run(&bench, 5);
    assert_string_equal(condition(&bench, "Failed", "reason"), "PodFailurePolicy");
    assert_non_null(strstr(condition(&bench, "Failed", "message"),
                           "failed with exit code 42 matching FailJob rule at index 1"));
    bench_quiet(&bench, 3600);
    bench_done(&bench);
}

static void a_deadline_ends_it(void **state)
{
    struct bench bench;
    bench_init(&bench, 6, controllers);
    fake_kubelet_start(bench.api, "node-a", NS_PER_S);
    make(&bench, "'activeDeadlineSeconds':60,'parallelism':3,'completions':3,", "Never");
    bench_run(&bench, 55);
    assert_int_equal(status(&bench, "status.active"), 3);
    assert_int_equal(status(&bench, "status.ready"), 3);
    bench_run(&bench, 20);
    assert_string_equal(condition(&bench, "Failed", "reason"), "DeadlineExceeded");
    assert_int_equal(status(&bench, "status.active"), 0);
    assert_int_equal(status(&bench, "status.failed"), 3);
    assert_int_equal(fake_count(bench.api, PODS), 0);
    bench_quiet(&bench, 3600);
    bench_done(&bench);
}

static void suspends_and_resumes(void **state)
{
    struct bench bench;
    bench_init(&bench, 7, controllers);
    fake_kubelet_start(bench.api, "node-a", NS_PER_S);
    make(&bench, "'suspend':true,'parallelism':2,'completions':2,", "Never");
    bench_run(&bench, 3);
    assert_int_equal(fake_count(bench.api, PODS), 0);
    assert_string_equal(condition(&bench, "Suspended", "status"), "True");
    fake_patchf(bench.api, JOBS, "default", "work", "", "{'spec':{'suspend':false}}");
    bench_run(&bench, 5);
    assert_int_equal(open_pods(&bench), 2);
    assert_string_equal(condition(&bench, "Suspended", "reason"), "JobResumed");
    fake_patchf(bench.api, JOBS, "default", "work", "", "{'spec':{'suspend':true}}");
    bench_run(&bench, 10);
    assert_int_equal(fake_count(bench.api, PODS), 0);
    assert_int_equal(status(&bench, "status.failed"), 0); /* nobody's failure */
    fake_patchf(bench.api, JOBS, "default", "work", "", "{'spec':{'suspend':false}}");
    bench_run(&bench, 5);
    end_pods(&bench, 2, "Succeeded", 0, -1);
    bench_run(&bench, 5);
    assert_string_equal(condition(&bench, "Complete", "status"), "True");
    bench_quiet(&bench, 3600);
    bench_done(&bench);
}

static void finished_ones_are_removed(void **state)
{
    struct bench bench;
    bench_init(&bench, 8, controllers);
    make(&bench, "'ttlSecondsAfterFinished':100,", "Never");
    bench_run(&bench, 2);
    end_pods(&bench, 1, "Succeeded", 0, -1);
    bench_run(&bench, 90);
    assert_int_equal(fake_count(bench.api, JOBS), 1);
    bench_run(&bench, 20);
    assert_int_equal(fake_count(bench.api, JOBS), 0);
    assert_int_equal(fake_count(bench.api, PODS), 0);
    bench_quiet(&bench, 3600);
    bench_done(&bench);
}

static void a_deleted_job_leaves_nothing(void **state)
{
    struct bench bench;
    bench_init(&bench, 9, controllers);
    fake_kubelet_start(bench.api, "node-a", NS_PER_S);
    make(&bench, "'parallelism':3,'completions':9,", "Never");
    bench_run(&bench, 5);
    fake_delete(bench.api, JOBS, "default", "work", "{'propagationPolicy':'Background'}");
    bench_run(&bench, 10);
    assert_int_equal(fake_count(bench.api, PODS), 0);
    bench_quiet(&bench, 3600);
    bench_done(&bench);
}

static bool lose_some(void *ctx, const struct client_request *request, struct object *object)
{
    int *left = ctx;
    return --*left != 0; /* one answer is lost, and the controllers crash */
}

/* Crash after each write: no pod's end is lost or counted twice. */
static void counts_exactly_through_crashes(void **state)
{
    for (int at = 1; at < 40; at++) {
        struct bench bench;
        int left = at;
        bench_init(&bench, 100 + (uint64_t)at, controllers);
        fake_api_hooks(bench.api, NULL, lose_some, &left);
        make(&bench, "'completions':3,'parallelism':3,'backoffLimit':10,", "Never");
        for (int round = 0; round < 40; round++) {
            bool was = left > 0;
            loop_run_for(bench.loop, NS_PER_S / 2);
            if (was && left <= 0) {
                bench_stop(&bench);
                bench_start(&bench);
                bench_run(&bench, 30);
            }
            if (open_pods(&bench) > 0) {
                end_pods(&bench, 1, round == 0 ? "Failed" : "Succeeded", round == 0, -1);
            }
            bench_run(&bench, 30);
        }
        assert_int_equal(status(&bench, "status.succeeded"), 3);
        assert_int_equal(status(&bench, "status.failed"), 1);
        assert_string_equal(condition(&bench, "Complete", "status"), "True");
        fake_each(bench.api, PODS, no_finalizer, &bench);
        bench_quiet(&bench, 600);
        bench_done(&bench);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_to_completion),
        cmocka_unit_test(gives_up_after_the_backoff_limit),
        cmocka_unit_test(indexes_each_once),
        cmocka_unit_test(a_limit_for_each_index),
        cmocka_unit_test(a_failure_policy_ends_or_ignores),
        cmocka_unit_test(a_deadline_ends_it),
        cmocka_unit_test(suspends_and_resumes),
        cmocka_unit_test(finished_ones_are_removed),
        cmocka_unit_test(a_deleted_job_leaves_nothing),
        cmocka_unit_test(counts_exactly_through_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

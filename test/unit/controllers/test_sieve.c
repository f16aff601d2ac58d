/* Sieve's patterns (reliability.md K1) on the Deployment and ReplicaSet controllers: a crash after
 * each write, a failure of each write, a lost answer of each write, and gaps in which events are
 * dropped and merged, must all end where the undisturbed run ends, and then nobody writes any more.
 */
#include <stdio.h>

#include "bench.h"
#include "controllers/table_int.h"

static const struct controller *const controllers[] = {
    &controller_deployment, &controller_replicaset, &controller_endpointslice,
    &controller_endpoints,  &controller_garbage,    NULL};

enum trouble { NONE, CRASH, FAIL, CONFLICT, LOSE, GAP };

struct run {
    struct bench bench;
    enum trouble trouble;
    uint64_t at; /* number of the write; GAP: tenths of a second */
    const struct api_resource *gap_resource;
    uint64_t seen; /* requests that write */
    bool crash_now, lose_now;
    char state[4096];
};

/* ---- trouble ---- */

static enum err_code before(void *ctx, const struct client_request *request, uint64_t writes)
{
    struct run *run = ctx;
    if (request->verb == CLIENT_GET || request->resource == EVENTS) {
        return ERR_OK;
    }
    run->seen++;
    if (run->seen != run->at) {
        return ERR_OK;
    }
    run->lose_now = run->trouble == LOSE;
    return run->trouble == FAIL       ? ERR_UNAVAILABLE
           : run->trouble == CONFLICT ? ERR_CONFLICT
                                      : ERR_OK;
}

static bool after(void *ctx, const struct client_request *request, struct object *object)
{
    struct run *run = ctx;
    if (run->trouble == CRASH && run->seen == run->at && request->resource != EVENTS) {
        run->crash_now = true;
        loop_stop(run->bench.loop);
    }
    bool lost = run->lose_now;
    run->lose_now = false;
    return !lost;
}

/* Virtual time passes; a crash that is due happens at once. */
static void pass_time(struct run *run, int64_t ns)
{
    for (int64_t left = ns; left > 0; left -= 10 * NS_PER_MS) {
        loop_run_for(run->bench.loop, 10 * NS_PER_MS);
        if (run->crash_now) {
            run->crash_now = false;
            bench_stop(&run->bench);
            loop_run_for(run->bench.loop, 200 * NS_PER_MS);
            bench_start(&run->bench);
        }
    }
}

/* ---- what is compared ---- */

__attribute__((format(printf, 2, 3))) static void add(struct run *run, const char *format, ...)
{
    size_t n = strlen(run->state);
    va_list ap;
    va_start(ap, format);
    vsnprintf(run->state + n, sizeof run->state - n, format, ap);
    va_end(ap);
}

static const char *const counts[] = {"replicas", "updatedReplicas", "readyReplicas",
                                     "availableReplicas", "unavailableReplicas"};

static void add_status(struct run *run, struct val *object)
{
    struct val *status = val_get(object, "status");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        add(run, " %s=%d", counts[i], (int)val_int(val_get_str(status, str_of(counts[i])), 0));
    }
    VAL_EACH (it, val_get(status, "conditions")) {
        add(run, " %.*s=%.*s/%.*s", STR_ARG(val_text(val_get(it, "type"))),
            STR_ARG(val_text(val_get(it, "status"))), STR_ARG(val_text(val_get(it, "reason"))));
    }
    add(run, "\n");
}

static struct str image_of(struct val *spec)
{
    return val_text(val_get(val_at(val_get(spec, "containers"), 0), "image"));
}

static void add_set(void *ctx, struct object *object)
{
    struct run *run = ctx;
    struct val *set = fake_val(run->bench.api, object);
    add(run, "set %.*s revision %.*s spec %d",
        STR_ARG(image_of(val_path(set, "spec.template.spec"))),
        STR_ARG(val_text(
            val_get(val_path(set, "metadata.annotations"), "deployment.kubernetes.io/revision"))),
        (int)val_int(val_path(set, "spec.replicas"), 0));
    add_status(run, set);
}

struct tally {
    struct run *run;
    const char *image;
    int count;
};

static void count_image(void *ctx, struct object *object)
{
    struct tally *tally = ctx;
    struct val *pod = fake_val(tally->run->bench.api, object);
    assert_int_equal(val_count(val_path(pod, "metadata.ownerReferences")), 1);
    tally->count += str_is(image_of(val_get(pod, "spec")), tally->image);
}

static void describe(struct run *run)
{
    run->state[0] = '\0';
    add_status(run, value_of(&run->bench, DEPLOYMENTS, "web"));
    fake_each(run->bench.api, REPLICASETS, add_set, run);
    static const char *const images[] = {"v1", "v2", "v3"};
    for (size_t i = 0; i < 3; i++) {
        struct tally tally = {run, images[i], 0};
        fake_each(run->bench.api, PODS, count_image, &tally);
        add(run, "%s: %d pods\n", images[i], tally.count);
    }
    struct val *slice = fake_val(run->bench.api, nth(&run->bench, SLICES, 0));
    add(run, "%d slices, %d endpoints", (int)fake_count(run->bench.api, SLICES),
        (int)val_count(val_get(slice, "endpoints")));
}

/* ---- the story ---- */

static void story(struct run *run)
{
    struct fake_api *api = run->bench.api;
    fake_createf(api, SERVICES,
                 "{'apiVersion':'v1','kind':'Service','metadata':{'name':'web','namespace':"
                 "'default'},'spec':{'selector':{'app':'web'},'ipFamilies':['IPv4'],'clusterIP':"
                 "'10.96.0.9','ports':[{'port':80,'targetPort':80}]}}");
    fake_createf(
        api, DEPLOYMENTS,
        "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web','namespace':"
        "'default'},'spec':{'replicas':4,'selector':{'matchLabels':{'app':'web'}},"
        "'template':{'metadata':{'labels':{'app':'web'}},'spec':{'containers':[{'name':'c',"
        "'image':'v1'}]}}}}");
    pass_time(run, 3 * NS_PER_S);
    fake_patchf(api, DEPLOYMENTS, "default", "web", "",
                "{'spec':{'template':{'spec':{'containers':[{'name':'c','image':'v2'}]}}}}");
    pass_time(run, NS_PER_S); /* in the middle of it */
    fake_patchf(api, DEPLOYMENTS, "default", "web", "", "{'spec':{'replicas':6}}");
    pass_time(run, 6 * NS_PER_S);
    fake_patchf(api, DEPLOYMENTS, "default", "web", "",
                "{'spec':{'replicas':3,'template':{'spec':{'containers':[{'name':'c','image':'v3'}"
                "]}}}}");
    pass_time(run, 60 * NS_PER_S);
}

static void perform(struct run *run, uint64_t seed)
{
    bench_init(&run->bench, seed, controllers);
    fake_kubelet_start(run->bench.api, "node-a", NS_PER_S / 2);
    fake_api_hooks(run->bench.api, before, after, run);
    run->seen = 0;
    story(run);
    describe(run);
    fake_api_hooks(run->bench.api, NULL, NULL, NULL);
    bench_quiet(&run->bench, 1800);
    bench_done(&run->bench);
}

static void compare(struct run *run, const struct run *plain, const char *what)
{
    if (strcmp(run->state, plain->state) != 0) {
        print_error("%s at %d:\n%s\nbut undisturbed:\n%s\n", what, (int)run->at, run->state,
                    plain->state);
    }
    assert_string_equal(run->state, plain->state);
}

static void every_write(enum trouble trouble, const char *what)
{
    static struct run plain, run;
    plain = (struct run){.trouble = NONE};
    perform(&plain, 1);
    uint64_t writes = plain.seen;
    assert_true(writes > 30);
    for (uint64_t at = 1; at <= writes; at++) {
        run = (struct run){.trouble = trouble, .at = at};
        perform(&run, 1);
        compare(&run, &plain, what);
    }
}

static void a_crash_after_each_write(void **state)
{
    every_write(CRASH, "crash");
}
static void each_write_fails_once(void **state)
{
    every_write(FAIL, "failure");
}
static void each_write_conflicts_once(void **state)
{
    every_write(CONFLICT, "conflict");
}
static void each_answer_is_lost_once(void **state)
{
    every_write(LOSE, "lost answer");
}

/* ---- gaps ---- */

struct gap {
    struct timer timer;
    struct run *run;
    int64_t length;
};

static void open_gap(struct timer *timer)
{
    struct gap *gap = container_of(timer, struct gap, timer);
    fake_api_gap(gap->run->bench.api, gap->run->gap_resource, gap->length);
}

static void perform_with_gap(struct run *run, int64_t at, int64_t length)
{
    struct gap gap = {.run = run, .length = length};
    bench_init(&run->bench, 1, controllers);
    fake_kubelet_start(run->bench.api, "node-a", NS_PER_S / 2);
    timer_start(run->bench.loop, &gap.timer, at, open_gap);
    story(run);
    describe(run);
    bench_quiet(&run->bench, 1800);
    bench_done(&run->bench);
}

static void events_are_dropped_and_merged(void **state)
{
    static struct run plain, run;
    const struct api_resource *resources[] = {PODS, REPLICASETS, DEPLOYMENTS, SERVICES, NULL};
    const int64_t lengths[] = {50 * NS_PER_MS, NS_PER_S, 5 * NS_PER_S / 2};
    plain = (struct run){.trouble = NONE};
    perform(&plain, 1);
    for (size_t i = 0; i < 5; i++) {
        for (size_t j = 0; j < 3; j++) {
            for (int64_t at = 0; at < 100; at += 7) {
                run = (struct run){.trouble = GAP, .at = (uint64_t)at};
                run.gap_resource = resources[i];
                perform_with_gap(&run, at * 100 * NS_PER_MS, lengths[j]);
                compare(&run, &plain, "gap");
            }
        }
    }
}

static void every_seed_ends_alike(void **state)
{
    static struct run plain, run;
    plain = (struct run){.trouble = NONE};
    perform(&plain, 1);
    for (uint64_t seed = 2; seed < 40; seed++) {
        run = (struct run){.trouble = NONE, .at = seed};
        perform(&run, seed);
        compare(&run, &plain, "seed");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_seed_ends_alike),    cmocka_unit_test(a_crash_after_each_write),
        cmocka_unit_test(each_write_fails_once),    cmocka_unit_test(each_write_conflicts_once),
        cmocka_unit_test(each_answer_is_lost_once), cmocka_unit_test(events_are_dropped_and_merged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

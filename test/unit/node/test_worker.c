/* The pod worker on virtual time, with a runtime made of timers: order, back-off, grace, phases. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "../cmocka_all.h"
#include "base/mem.h"
#include "node/pod/worker.h"

/* One fake container run: what it will do. */
struct script {
    const char *name;
    int64_t runs_ns; /* 0: until it is told */
    int exit_code;
    bool ignores_term;
    const char *pull_fails, *start_fails;
    int starts, signals;
    int64_t started_at[16], ended_at[16];
};
struct world {
    struct loop *loop;
    struct pod_ops ops;
    struct pod_worker *worker;
    struct script scripts[8];
    size_t count;
    struct buf events, order;
    int prepares, teardowns, finalizes, settles;
    bool prepare_fails;
    struct timer tick[8], prepared, torn;
};
static struct world *w;

static struct script *script_of(struct container *c)
{
    for (size_t i = 0; i < w->count; i++) {
        if (strcmp(w->scripts[i].name, c->name) == 0) {
            return &w->scripts[i];
        }
    }
    abort();
}

static void end_container(struct container *c, int code)
{
    struct script *s = script_of(c);
    struct container_end end = {.exit_code = code,
                                .started_ns = c->started_ns,
                                .finished_ns = clock_wall(loop_clock(w->loop))};
    if (!container_live(c)) {
        return;
    }
    s->ended_at[s->starts - 1] = loop_mono(w->loop);
    buf_printf(&w->order, "-%s ", c->name);
    snprintf(end.id, sizeof end.id, "%s", c->id);
    container_ended(c, &end);
}

struct later {
    struct timer timer;
    struct container *c;
    uint32_t attempt;
    int what; /* 0 pulled, 1 started, 2 ended by itself, 3 ended by a signal, 4 hook */
    enum hook_kind hook;
};

static void on_later(struct timer *timer)
{
    struct later *l = container_of(timer, struct later, timer);
    struct later copy = *l;
    struct container *c = copy.c;
    struct script *s = script_of(c);
    free(l);
    if (copy.what == 0) {
        container_pulled(c, copy.attempt, s->pull_fails,
                         s->pull_fails != NULL ? "no such image" : NULL);
    } else if (copy.what == 1 && s->start_fails != NULL) {
        container_failed(c, copy.attempt, s->start_fails, "it does not start");
    } else if (copy.what == 1) {
        char id[65];
        snprintf(id, sizeof id, "%s-%d", c->name, s->starts);
        s->started_at[s->starts++] = loop_mono(w->loop);
        buf_printf(&w->order, "+%s ", c->name);
        container_started(c, copy.attempt, id, clock_wall(loop_clock(w->loop)));
    } else if (copy.what == 4) {
        container_hook_done(c, copy.attempt, copy.hook, NULL);
    } else {
        if (copy.what == 2 && c->attempt != copy.attempt) {
            return;
        }
        end_container(c, copy.what == 2 ? s->exit_code : 143);
    }
}

static void later(struct container *c, int what, int64_t ns, uint32_t attempt, enum hook_kind hook)
{
    struct later *l = mem_new(struct later);
    l->c = c;
    l->what = what;
    l->attempt = attempt;
    l->hook = hook;
    timer_start(w->loop, &l->timer, ns, on_later);
}

static void on_prepared(struct timer *timer)
{
    struct err err = ERR_INIT;
    if (w->prepare_fails) {
        err_set(&err, ERR_IO, "no disk");
    }
    pod_worker_prepared(w->worker, "10.0.0.5", &err);
}

static void op_prepare(struct pod_worker *worker)
{
    w->prepares++;
    timer_start(w->loop, &w->prepared, NS_PER_MS, on_prepared);
}
static void op_pull(struct container *c)
{
    later(c, 0, NS_PER_MS, c->attempt, 0);
}
static int64_t place(const struct container *c)
{
    size_t i = 0;
    while (c->worker->containers[i] != c) {
        i++;
    }
    return (int64_t)i;
}

static void op_start(struct container *c)
{
    later(c, 1, (5 + place(c)) * NS_PER_MS, c->attempt, 0);
}
static void op_signal(struct container *c, int number)
{
    struct script *s = script_of(c);
    s->signals++;
    buf_printf(&w->order, "%s(%s) ", number == SIGKILL ? "KILL" : "TERM", c->name);
    if (number == SIGKILL || !s->ignores_term) {
        later(c, 3, (1 + place(c)) * NS_PER_MS, 0, 0);
    }
}
static void op_hook(struct container *c, enum hook_kind kind, int64_t timeout_ns)
{
    buf_printf(&w->order, "%s(%s) ", kind == HOOK_PRE_STOP ? "preStop" : "postStart", c->name);
    later(c, 4, NS_PER_S, c->attempt, kind);
}
static void op_forget(struct container *c)
{
}
static void op_probes(struct container *c, bool on)
{
    struct script *s = script_of(c);
    if (on && s->runs_ns > 0) {
        later(c, 2, s->runs_ns, c->attempt, 0);
    }
}
static void op_settle(struct pod_worker *worker)
{
    w->settles++;
}
static void on_torn(struct timer *timer)
{
    struct err err = ERR_INIT;
    pod_worker_torn_down(w->worker, &err);
}
static void op_teardown(struct pod_worker *worker)
{
    w->teardowns++;
    timer_start(w->loop, &w->torn, NS_PER_MS, on_torn);
}
static void op_finalize(struct pod_worker *worker)
{
    w->finalizes++;
}
static void op_changed(struct pod_worker *worker)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    assert_non_null(pod_status_build(worker, &arena)); /* in every state */
}
static void op_event(struct pod_worker *worker, struct container *c, const char *type,
                     const char *reason, const char *message)
{
    buf_printf(&w->events, "%s ", reason);
}

static struct pod_view *view_of(struct arena *arena, const char *json)
{
    struct val *pod;
    char *text = str_dup_in(arena, str_of(json));
    for (char *c = text; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    struct err err = ERR_INIT;
    if (val_parse_json(arena, str_of(text), &pod, &err) != 0) {
        fail_msg("%s: %s", err.message, text);
    }
    return pod_view_of(pod);
}

static void begin(const char *spec, const struct script *scripts, size_t count)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    w = mem_new(struct world);
    w->loop = loop_new_sim(1, 1000000000LL * NS_PER_S);
    memcpy(w->scripts, scripts, count * sizeof *scripts);
    w->count = count;
    w->ops = (struct pod_ops){.prepare = op_prepare,
                              .pull = op_pull,
                              .start = op_start,
                              .signal = op_signal,
                              .hook = op_hook,
                              .forget = op_forget,
                              .probes = op_probes,
                              .settle = op_settle,
                              .teardown = op_teardown,
                              .finalize = op_finalize,
                              .changed = op_changed,
                              .event = op_event};
    char *json = arena_printf(
        &arena, "{'metadata':{'name':'p','namespace':'n','uid':'u'},'spec':{%s}}", spec);
    struct pod_view *view = view_of(&arena, json);
    w->worker = pod_worker_new(w->loop, &w->ops, view);
    pod_view_unref(view);
}

static void finish(void)
{
    pod_worker_free(w->worker);
    loop_free(w->loop);
    buf_done(&w->events);
    buf_done(&w->order);
    free(w);
}

static void delete_pod(int64_t grace)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *pod = val_copy(&arena, w->worker->view->pod);
    struct val *meta = val_get(pod, "metadata");
    val_set_text(&arena, meta, STR("deletionTimestamp"), STR("2030-01-01T00:00:00Z"));
    val_set_int(&arena, meta, STR("deletionGracePeriodSeconds"), grace);
    struct pod_view *view = pod_view_of(pod);
    pod_worker_update(w->worker, view);
    pod_view_unref(view);
}

static void test_init_order(void **state)
{
    const struct script scripts[] = {{.name = "i1", .runs_ns = NS_PER_S},
                                     {.name = "side"},
                                     {.name = "i2", .runs_ns = NS_PER_S},
                                     {.name = "a"},
                                     {.name = "b"}};
    begin("'initContainers':[{'name':'i1'},{'name':'side','restartPolicy':'Always'},{'name':'i2'}],"
          "'containers':[{'name':'a'},{'name':'b'}]",
          scripts, 5);
    pod_worker_start(w->worker);
    assert_string_equal(pod_worker_phase(w->worker), "Pending");
    loop_run_for(w->loop, 10 * NS_PER_S);
    assert_string_equal(w->order.p, "+i1 -i1 +side +i2 -i2 +a +b ");
    assert_string_equal(pod_worker_phase(w->worker), "Running");
    delete_pod(30);
    loop_run_for(w->loop, 5 * NS_PER_S);
    assert_string_equal(str_from(buf_view(&w->order), 28).p,
                        "TERM(a) TERM(b) -a -b TERM(side) -side ");
    assert_int_equal(w->teardowns, 1);
    assert_int_equal(w->finalizes, 1);
    finish();
}

static void test_back_off(void **state)
{
    const struct script scripts[] = {{.name = "a", .runs_ns = NS_PER_S, .exit_code = 1}};
    begin("'containers':[{'name':'a'}]", scripts, 1);
    pod_worker_start(w->worker);
    loop_run_for(w->loop, 2000 * NS_PER_S);
    struct script *s = &w->scripts[0];
    const int64_t waits[] = {0, 10, 20, 40, 80, 160, 300, 300};
    for (int i = 0; i < 8; i++) {
        int64_t wait = (s->started_at[i + 1] - s->ended_at[i]) / NS_PER_S;
        assert_int_equal(wait, waits[i]);
    }
    assert_true(w->worker->containers[0]->restarts >= 8);
    finish();
}

/* A container's own policy and its rules go before the pod's. */
static void test_container_policies(void **state)
{
    static const struct {
        const char *container, *pod;
        int exit_code;
        bool again;
    } cases[] = {
        {"'restartPolicy':'Always'", "Never", 0, true},
        {"'restartPolicy':'Never'", "Always", 1, false},
        {"'restartPolicy':'OnFailure'", "Never", 1, true},
        {"'restartPolicy':'OnFailure'", "Always", 0, false},
        {"'restartPolicy':'Never','restartPolicyRules':[{'action':'Restart','exitCodes':{"
         "'operator':'In','values':[3,42]}}]",
         "Always", 42, true},
        {"'restartPolicy':'Never','restartPolicyRules':[{'action':'Restart','exitCodes':{"
         "'operator':'In','values':[3,42]}}]",
         "Always", 4, false},
        {"'restartPolicy':'Never','restartPolicyRules':[{'action':'Restart','exitCodes':{"
         "'operator':'NotIn','values':[0]}}]",
         "Always", 4, true},
        {"'restartPolicy':'Never','restartPolicyRules':[{'action':'Restart','exitCodes':{"
         "'operator':'NotIn','values':[0]}}]",
         "Always", 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct script script = {
            .name = "a", .runs_ns = NS_PER_S, .exit_code = cases[i].exit_code};
        char *spec MEM_CLEANUP = mem_printf("'restartPolicy':'%s','containers':[{'name':'a',%s}]",
                                            cases[i].pod, cases[i].container);
        begin(spec, &script, 1);
        pod_worker_start(w->worker);
        loop_run_for(w->loop, 15 * NS_PER_S);
        assert_int_equal(w->scripts[0].starts > 1, cases[i].again);
        assert_string_equal(pod_worker_phase(w->worker), cases[i].again            ? "Running"
                                                         : cases[i].exit_code == 0 ? "Succeeded"
                                                                                   : "Failed");
        finish();
    }
}

/* One that has to restart for its new resources does, whatever its policy says. */
static void test_restart_for_resize(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct script script = {.name = "a"};
    begin(
        "'restartPolicy':'Never','containers':[{'name':'a','resources':{'requests':{'cpu':'1'}}}]",
        &script, 1);
    pod_worker_start(w->worker);
    loop_run_for(w->loop, 5 * NS_PER_S);
    const struct val *list = val_get(pod_status_build(w->worker, &arena), "containerStatuses");
    assert_true(str_is(val_text(val_path(val_at(list, 0), "allocatedResources.cpu")), "1"));
    container_restart_for_resize(w->worker->containers[0]);
    container_restart_for_resize(w->worker->containers[0]);
    loop_run_for(w->loop, 5 * NS_PER_S);
    assert_string_equal(w->order.p, "+a TERM(a) -a +a ");
    assert_int_equal(w->worker->containers[0]->restarts, 1);
    assert_string_equal(pod_worker_phase(w->worker), "Running");
    finish();
}

static void add_ephemeral(const char *json)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *pod = val_copy(&arena, w->worker->view->pod), *list = NULL;
    char *text = str_dup_in(&arena, str_of(json));
    for (char *c = text; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    assert_int_equal(val_parse_json(&arena, str_of(text), &list, NULL), 0);
    val_set(val_get(pod, "spec"), STR("ephemeralContainers"), list);
    struct pod_view *view = pod_view_of(pod);
    pod_worker_update(w->worker, view);
    pod_view_unref(view);
}

/* They come while the pod runs, run once, keep nothing from ending, and end with the pod. */
static void test_ephemeral(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct script scripts[] = {{.name = "a", .runs_ns = 20 * NS_PER_S},
                                     {.name = "d1", .runs_ns = NS_PER_S, .exit_code = 3},
                                     {.name = "d2"}};
    begin("'restartPolicy':'Never','containers':[{'name':'a'}]", scripts, 3);
    pod_worker_start(w->worker);
    loop_run_for(w->loop, 5 * NS_PER_S);
    add_ephemeral("[{'name':'d1'}]");
    loop_run_for(w->loop, 5 * NS_PER_S);
    add_ephemeral("[{'name':'d1'},{'name':'d2'}]");
    loop_run_for(w->loop, 2 * NS_PER_S);
    assert_string_equal(pod_worker_phase(w->worker), "Running");
    const struct val *status = pod_status_build(w->worker, &arena);
    const struct val *list = val_get(status, "ephemeralContainerStatuses");
    assert_int_equal(val_count(list), 2);
    assert_int_equal(val_int(val_path(val_at(list, 0), "state.terminated.exitCode"), -1), 3);
    assert_non_null(val_path(val_at(list, 1), "state.running"));
    assert_int_equal(val_count(val_get(status, "containerStatuses")), 1);
    loop_run_for(w->loop, 20 * NS_PER_S);
    assert_string_equal(w->order.p, "+a +d1 -d1 +d2 -a TERM(d2) -d2 ");
    assert_string_equal(pod_worker_phase(w->worker), "Succeeded");
    assert_int_equal(w->settles, 1);
    finish();
}

static void test_policies(void **state)
{
    const struct script ok[] = {{.name = "a", .runs_ns = NS_PER_S}};
    begin("'restartPolicy':'OnFailure','containers':[{'name':'a'}]", ok, 1);
    pod_worker_start(w->worker);
    loop_run_for(w->loop, 60 * NS_PER_S);
    assert_string_equal(pod_worker_phase(w->worker), "Succeeded");
    assert_int_equal(w->scripts[0].starts, 1);
    assert_int_equal(w->settles, 1);
    delete_pod(30);
    loop_run_for(w->loop, NS_PER_S);
    assert_int_equal(w->finalizes, 1);
    finish();
    const struct script bad[] = {{.name = "a", .runs_ns = NS_PER_S, .exit_code = 2}};
    begin("'restartPolicy':'Never','containers':[{'name':'a'}]", bad, 1);
    pod_worker_start(w->worker);
    loop_run_for(w->loop, 60 * NS_PER_S);
    assert_string_equal(pod_worker_phase(w->worker), "Failed");
    assert_int_equal(w->scripts[0].starts, 1);
    finish();
}

static void test_grace(void **state)
{
    const struct script scripts[] = {{.name = "a", .ignores_term = true}};
    begin("'containers':[{'name':'a','lifecycle':{'preStop':{'exec':{}},'postStart':{'exec':{}}}}]",
          scripts, 1);
    pod_worker_start(w->worker);
    loop_run_for(w->loop, 5 * NS_PER_S);
    int64_t asked = loop_mono(w->loop);
    delete_pod(10);
    loop_run_for(w->loop, 20 * NS_PER_S);
    assert_string_equal(w->order.p, "+a postStart(a) preStop(a) TERM(a) KILL(a) -a ");
    int64_t took = w->scripts[0].ended_at[0] - asked;
    assert_true(took >= 10 * NS_PER_S && took < 11 * NS_PER_S);
    finish();
    /* a second delete with less grace counts */
    begin("'containers':[{'name':'a'}]", scripts, 1);
    pod_worker_start(w->worker);
    loop_run_for(w->loop, 5 * NS_PER_S);
    delete_pod(100);
    loop_run_for(w->loop, NS_PER_S);
    asked = loop_mono(w->loop);
    delete_pod(1);
    loop_run_for(w->loop, 20 * NS_PER_S);
    assert_true(w->scripts[0].ended_at[0] - asked < 2 * NS_PER_S);
    finish();
}

static void test_failures(void **state)
{
    const struct script pull[] = {{.name = "a", .pull_fails = "ErrImagePull"}};
    begin("'containers':[{'name':'a','image':'x'}]", pull, 1);
    pod_worker_start(w->worker);
    loop_run_for(w->loop, 5 * NS_PER_S);
    assert_string_equal(w->worker->containers[0]->reason, "ImagePullBackOff");
    w->scripts[0].pull_fails = NULL;
    loop_run_for(w->loop, 20 * NS_PER_S);
    assert_string_equal(pod_worker_phase(w->worker), "Running");
    finish();
    const struct script start[] = {{.name = "a", .start_fails = "RunContainerError"}};
    begin("'containers':[{'name':'a','image':'x'}]", start, 1);
    pod_worker_start(w->worker);
    loop_run_for(w->loop, 5 * NS_PER_S);
    assert_string_equal(w->worker->containers[0]->reason, "CrashLoopBackOff");
    assert_string_equal(w->worker->containers[0]->last.reason, "StartError");
    delete_pod(30);
    loop_run_for(w->loop, 5 * NS_PER_S);
    assert_int_equal(w->finalizes, 1);
    finish();
    begin("'containers':[{'name':'a'}]", start, 1);
    w->prepare_fails = true;
    pod_worker_start(w->worker);
    loop_run_for(w->loop, 10 * NS_PER_S);
    assert_true(w->prepares > 2);
    delete_pod(1);
    loop_run_for(w->loop, 5 * NS_PER_S);
    assert_int_equal(w->finalizes, 1);
    finish();
}

static void test_deadline_and_init_failure(void **state)
{
    const struct script forever[] = {{.name = "a"}};
    begin("'activeDeadlineSeconds':5,'containers':[{'name':'a'}]", forever, 1);
    pod_worker_start(w->worker);
    loop_run_for(w->loop, 20 * NS_PER_S);
    assert_string_equal(pod_worker_phase(w->worker), "Failed");
    assert_string_equal(w->worker->reason, "DeadlineExceeded");
    finish();
    const struct script init[] = {{.name = "i", .runs_ns = NS_PER_S, .exit_code = 1},
                                  {.name = "a"}};
    begin("'restartPolicy':'Never','initContainers':[{'name':'i'}],'containers':[{'name':'a'}]",
          init, 2);
    pod_worker_start(w->worker);
    loop_run_for(w->loop, 20 * NS_PER_S);
    assert_string_equal(pod_worker_phase(w->worker), "Failed");
    assert_int_equal(w->scripts[1].starts, 0);
    finish();
}

static void test_probes(void **state)
{
    const struct script scripts[] = {{.name = "a"}};
    begin("'containers':[{'name':'a','readinessProbe':{},'startupProbe':{},'livenessProbe':{}}]",
          scripts, 1);
    pod_worker_start(w->worker);
    loop_run_for(w->loop, NS_PER_S);
    struct container *c = w->worker->containers[0];
    assert_false(c->ready);
    container_probe_result(c, PROBE_READINESS, true);
    assert_false(c->ready); /* not before it has started */
    container_probe_result(c, PROBE_STARTUP, true);
    container_probe_result(c, PROBE_READINESS, true);
    assert_true(c->ready);
    container_probe_result(c, PROBE_LIVENESS, false);
    loop_run_for(w->loop, NS_PER_S);
    assert_int_equal(c->restarts, 1);
    assert_false(c->ready);
    finish();
}

static void test_recovered(void **state)
{
    const struct script scripts[] = {{.name = "i"}, {.name = "a"}, {.name = "b", .exit_code = 0}};
    begin("'initContainers':[{'name':'i'}],'containers':[{'name':'a'},{'name':'b'}]", scripts, 3);
    struct container_end end = {.exit_code = 1, .started_ns = 1, .finished_ns = 2};
    container_restore_running(w->worker->containers[1], "id", 3, 5, true, true);
    container_restore_ended(w->worker->containers[2], 0, &end);
    pod_worker_start(w->worker);
    loop_run_for(w->loop, NS_PER_S);
    assert_int_equal(w->scripts[0].starts, 0); /* init is behind us */
    assert_int_equal(w->scripts[1].starts, 0);
    assert_int_equal(w->worker->containers[1]->restarts, 3);
    assert_int_equal(w->scripts[2].starts, 1);
    assert_int_equal(w->worker->containers[2]->restarts, 1);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init_order),
        cmocka_unit_test(test_back_off),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_container_policies),
        cmocka_unit_test(test_restart_for_resize),
        cmocka_unit_test(test_ephemeral),
        cmocka_unit_test(test_grace),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_deadline_and_init_failure),
        cmocka_unit_test(test_probes),
        cmocka_unit_test(test_recovered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

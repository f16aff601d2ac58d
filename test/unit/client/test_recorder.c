/* client/recorder.h against the fake API server on virtual time. */
#include <stdio.h>

#include "../cmocka_all.h"
#include "client/recorder.h"
#include "fake_client.h"

struct rig {
    struct loop *loop;
    struct fake_api *api;
    struct client *client;
    struct recorder *recorder;
    struct object *about;
    bool refuse;
};

static const struct api_resource *events(void)
{
    return schema_resource(STR(""), STR("v1"), STR("events"));
}

static enum err_code before(void *ctx, const struct client_request *request, uint64_t writes)
{
    return ((struct rig *)ctx)->refuse ? ERR_UNAVAILABLE : ERR_OK;
}

static void begin(struct rig *rig)
{
    const struct api_resource *maps = schema_resource(STR(""), STR("v1"), STR("configmaps"));
    *rig = (struct rig){0};
    rig->loop = loop_new_sim(1, 1800000000LL * NS_PER_S);
    rig->api = fake_api_new(rig->loop);
    fake_api_hooks(rig->api, before, NULL, rig);
    rig->client = fake_client_new(rig->api, "tester");
    rig->recorder = recorder_new(rig->client, "test-controller", "host-a");
    rig->about = object_ref(fake_createf(
        rig->api, maps,
        "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'x','namespace':'a'}}"));
}

static void end(struct rig *rig)
{
    recorder_free(rig->recorder);
    fake_api_cancel(rig->api);
    client_free(rig->client);
    fake_api_free(rig->api);
    object_unref(rig->about);
    loop_free(rig->loop);
}

struct found {
    struct rig *rig;
    struct val *event;
    size_t count;
};

static void take(void *ctx, struct object *object)
{
    struct found *found = ctx;
    found->event = fake_val(found->rig->api, object);
    found->count++;
}

static struct val *only_event(struct rig *rig)
{
    struct found found = {.rig = rig};
    fake_each(rig->api, events(), take, &found);
    assert_int_equal(found.count, 1);
    return found.event;
}

static void says_what_about_whom(void **state)
{
    struct rig rig;
    begin(&rig);
    recorder_event(rig.recorder, rig.about, "Warning", "Odd", "something %d", 7);
    loop_run_for(rig.loop, NS_PER_S);
    struct val *event = only_event(&rig);
    assert_true(str_is(val_text(val_get(event, "reason")), "Odd"));
    assert_true(str_is(val_text(val_get(event, "message")), "something 7"));
    assert_true(str_is(val_text(val_get(event, "type")), "Warning"));
    assert_true(str_is(val_text(val_path(event, "involvedObject.kind")), "ConfigMap"));
    assert_true(str_is(val_text(val_path(event, "involvedObject.apiVersion")), "v1"));
    assert_true(str_eq(val_text(val_path(event, "involvedObject.uid")), rig.about->uid));
    assert_true(str_is(val_text(val_path(event, "source.component")), "test-controller"));
    assert_true(str_is(val_text(val_path(event, "metadata.namespace")), "a"));
    assert_int_equal(val_int(val_get(event, "count"), 0), 1);
    end(&rig);
}

static void repetitions_are_counted(void **state)
{
    struct rig rig;
    begin(&rig);
    for (int i = 0; i < 20; i++) {
        recorder_event(rig.recorder, rig.about, "Normal", "Again", "the same");
        loop_run_for(rig.loop, i % 3 == 0 ? 20 * NS_PER_MS : 0);
    }
    loop_run_for(rig.loop, NS_PER_S);
    assert_int_equal(val_int(val_get(only_event(&rig), "count"), 0), 20);
    end(&rig);
}

static void floods_are_cut(void **state)
{
    struct rig rig;
    begin(&rig);
    for (int i = 0; i < 1000; i++) {
        recorder_event(rig.recorder, rig.about, "Normal", "Flood", "number %d", i);
    }
    loop_run_for(rig.loop, NS_PER_S);
    size_t count = fake_count(rig.api, events());
    assert_true(count >= 10 && count <= 11); /* ten, and one for all the others */
    assert_true(fake_api_writes(rig.api) <= 30);
    end(&rig);
}

static void a_server_away_costs_no_event(void **state)
{
    struct rig rig;
    begin(&rig);
    rig.refuse = true;
    recorder_event(rig.recorder, rig.about, "Normal", "Late", "but there");
    loop_run_for(rig.loop, 25 * NS_PER_S);
    assert_int_equal(fake_count(rig.api, events()), 0);
    rig.refuse = false;
    loop_run_for(rig.loop, 25 * NS_PER_S);
    assert_int_equal(val_int(val_get(only_event(&rig), "count"), 0), 1);
    end(&rig);
}

static void an_expired_event_is_made_anew(void **state)
{
    struct rig rig;
    begin(&rig);
    recorder_event(rig.recorder, rig.about, "Normal", "Again", "the same");
    loop_run_for(rig.loop, NS_PER_S);
    char name[256];
    snprintf(name, sizeof name, "%.*s", STR_ARG(val_name(only_event(&rig))));
    fake_delete(rig.api, events(), "a", name, NULL);
    recorder_event(rig.recorder, rig.about, "Normal", "Again", "the same");
    loop_run_for(rig.loop, NS_PER_S);
    assert_int_equal(val_int(val_get(only_event(&rig), "count"), 0), 1);
    end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_about_whom),
        cmocka_unit_test(repetitions_are_counted),
        cmocka_unit_test(floods_are_cut),
        cmocka_unit_test(a_server_away_costs_no_event),
        cmocka_unit_test(an_expired_event_is_made_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

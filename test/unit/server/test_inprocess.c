/* test_inprocess.c: the client in the same process: order of callbacks, watches that see the state
 * and then changes, selectors, and clients that stop or go in the middle. */
#include "../cmocka_all.h"

#include <stdlib.h>

#include "core.h"

struct log {
    struct buf text;
    struct client *client;
    struct client_watch *watch;
    bool stop_at_event;
    int results;
    enum err_code code;
};

static void sync_begin(void *ctx)
{
    buf_addz(&((struct log *)ctx)->text, "[");
}
static void sync_end(void *ctx, uint64_t revision)
{
    buf_addz(&((struct log *)ctx)->text, "]");
}
static void on_event(void *ctx, int type, struct object *object)
{
    struct log *log = ctx;
    buf_printf(&log->text, " %c%.*s", "+~-"[type], STR_ARG(object->name));
    if (log->stop_at_event) {
        log->client->ops->watch_stop(log->client, log->watch);
        log->stop_at_event = false;
    }
}
static void on_bookmark(void *ctx, uint64_t revision)
{
    buf_addz(&((struct log *)ctx)->text, " b");
}
static const struct client_watch_ops ops = {
    .sync_begin = sync_begin, .event = on_event, .sync_end = sync_end, .bookmark = on_bookmark};

static void on_done(void *ctx, const struct client_result *result)
{
    struct log *log = ctx;
    log->results++;
    log->code = result->code;
}

static const struct api_resource *config_maps(void)
{
    return schema_resource(STR(""), STR("v1"), STR("configmaps"));
}

static void send(struct client *client, struct log *log, enum client_verb verb, const char *name,
                 const char *body)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *value = NULL;
    if (body != NULL) {
        assert_int_equal(val_parse_json(&arena, str_of(body), &value, NULL), 0);
    }
    struct client_request request = {.verb = verb,
                                     .resource = config_maps(),
                                     .ns = STR("default"),
                                     .name = str_of(name),
                                     .body = value,
                                     .patch = CLIENT_PATCH_MERGE};
    client_send(client, &request, on_done, log);
}

static void expect(struct core *core, struct log *log, const char *wanted)
{
    loop_run_for(core->loop, 20 * NS_PER_MS);
    assert_string_equal(log->text.p != NULL ? log->text.p : "", wanted);
    buf_clear(&log->text);
    buf_addz(&log->text, "");
}

static struct client *client_for(struct core *core, const char *user, const char *group)
{
    struct str groups[] = {str_of(group)};
    struct identity *identity = identity_new(str_of(user), STR_NONE, groups, 1);
    struct client *client = server_client_new(core->server, core->loop, identity, "test");
    identity_unref(identity);
    return client;
}

static void test_watch(void **state)
{
    struct core core;
    struct log log = {0}, picked = {0}, results = {0};
    core_start(&core, 3);
    struct client *client = client_for(&core, "admin", "system:masters");
    log.client = client;
    send(client, &results, CLIENT_CREATE, "a", "{\"metadata\":{\"name\":\"a\"}}");
    assert_int_equal(results.results, 0); /* never inside the call */
    loop_run_for(core.loop, 20 * NS_PER_MS);
    assert_int_equal(results.results, 1);
    struct client_watch_options options = {.resource = config_maps(), .ns = STR("default")};
    log.watch = client_watch(client, &options, &ops, &log);
    options.label_selector = STR("app=x");
    picked.watch = client_watch(client, &options, &ops, &picked);
    expect(&core, &log, "[ +a]");
    expect(&core, &picked, "[]");
    send(client, &results, CLIENT_CREATE, "b",
         "{\"metadata\":{\"name\":\"b\",\"labels\":{\"app\":\"x\"}}}");
    expect(&core, &log, " +b");
    expect(&core, &picked, " +b");
    send(client, &results, CLIENT_PATCH, "b", "{\"metadata\":{\"labels\":{\"app\":\"y\"}}}");
    expect(&core, &log, " ~b");
    expect(&core, &picked, " -b");
    send(client, &results, CLIENT_DELETE, "b", NULL);
    expect(&core, &log, " -b");
    loop_run_for(core.loop, 61 * NS_PER_S);
    expect(&core, &log, " b");
    log.stop_at_event = true;
    send(client, &results, CLIENT_CREATE, "c", "{\"metadata\":{\"name\":\"c\"}}");
    expect(&core, &log, " +c");
    send(client, &results, CLIENT_CREATE, "d", "{\"metadata\":{\"name\":\"d\"}}");
    expect(&core, &log, "");
    send(client, &results, CLIENT_GET, "nope", NULL);
    loop_run_for(core.loop, 20 * NS_PER_MS);
    assert_int_equal(results.code, ERR_NOT_FOUND);
    /* A client that goes with a request and a watch under way is not called back. */
    int before = results.results;
    send(client, &results, CLIENT_CREATE, "e", "{\"metadata\":{\"name\":\"e\"}}");
    send(client, &results, CLIENT_GET, "a", NULL);
    client->ops->free(client);
    loop_run_for(core.loop, 20 * NS_PER_MS);
    assert_int_equal(results.results, before);
    buf_done(&log.text);
    buf_done(&picked.text);
    core_stop(&core);
}

static void test_forbidden(void **state)
{
    struct core core;
    struct log log = {0}, results = {0};
    core_start(&core, 4);
    struct client *jane = client_for(&core, "jane", "dev");
    struct client *admin = client_for(&core, "admin", "system:masters");
    send(jane, &results, CLIENT_GET, "a", NULL);
    loop_run_for(core.loop, 20 * NS_PER_MS);
    assert_int_equal(results.code, ERR_FORBIDDEN);
    struct client_watch_options options = {.resource = config_maps(), .ns = STR("default")};
    client_watch(jane, &options, &ops, &log);
    expect(&core, &log, "");
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *body = NULL;
    val_parse_json(&arena,
                   STR("{\"metadata\":{\"name\":\"j\"},\"roleRef\":{\"apiGroup\":"
                       "\"rbac.authorization.k8s.io\",\"kind\":\"ClusterRole\",\"name\":\"view\"},"
                       "\"subjects\":[{\"kind\":\"User\",\"name\":\"jane\",\"apiGroup\":"
                       "\"rbac.authorization.k8s.io\"}]}"),
                   &body, NULL);
    struct client_request request = {.verb = CLIENT_CREATE,
                                     .resource = schema_resource(STR("rbac.authorization.k8s.io"),
                                                                 STR("v1"), STR("rolebindings")),
                                     .ns = STR("default"),
                                     .body = body};
    client_send(admin, &request, on_done, &results);
    loop_run_for(core.loop, 2 * NS_PER_S);
    expect(&core, &log, "[]"); /* a role that comes later lets a waiting watch in */
    jane->ops->free(jane);
    admin->ops->free(admin);
    buf_done(&log.text);
    core_stop(&core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_watch),
                                       cmocka_unit_test(test_forbidden)};
    return cmocka_run_group_tests_name("server-inprocess", tests, NULL, NULL);
}

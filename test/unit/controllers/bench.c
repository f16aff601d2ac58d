/* The bench of controllers on virtual time (bench.h). */
#include "bench.h"

#include <stdio.h>

#define START_NS (1800000000LL * NS_PER_S)

void bench_start(struct bench *bench)
{
    bench->client = fake_client_new(bench->api, "controllers");
    bench->informers = informers_new(bench->client);
    bench->env = (struct controller_env){.loop = bench->loop,
                                         .informers = bench->informers,
                                         .client = bench->client,
                                         .options = &bench->options};
    for (size_t i = 0; bench->controllers[i] != NULL; i++) {
        bench->states[i] = bench->controllers[i]->start(&bench->env);
    }
    bench->running = true;
}

void bench_stop(struct bench *bench)
{
    if (!bench->running) {
        return;
    }
    for (size_t i = 0; bench->controllers[i] != NULL; i++) {
        bench->controllers[i]->stop(bench->states[i]);
    }
    informers_free(bench->informers);
    fake_api_cancel(bench->api);
    client_free(bench->client);
    bench->running = false;
}

void bench_init(struct bench *bench, uint64_t seed, const struct controller *const *controllers)
{
    *bench = (struct bench){.controllers = controllers};
    bench->options = (struct controllers_options){.ca_pem = STR("CA"),
                                                  .node_grace_ns = 50 * NS_PER_S,
                                                  .node_period_ns = 5 * NS_PER_S,
                                                  .terminated_pod_limit = 500};
    bench->loop = loop_new_sim(seed, START_NS);
    bench->api = fake_api_new(bench->loop);
    bench_start(bench);
}

void bench_done(struct bench *bench)
{
    bench_stop(bench);
    fake_api_free(bench->api);
    loop_free(bench->loop);
}

void bench_run(struct bench *bench, int64_t seconds)
{
    loop_run_for(bench->loop, seconds * NS_PER_S);
}

void bench_quiet(struct bench *bench, int64_t seconds)
{
    uint64_t before = fake_api_writes(bench->api);
    bench_run(bench, seconds);
    assert_int_equal(fake_api_writes(bench->api), before);
}

const struct api_resource *kind(const char *group, const char *plural)
{
    const struct api_resource *resource = schema_resource(str_of(group), STR("v1"), str_of(plural));
    assert_non_null(resource);
    return resource;
}

struct val *value_of(struct bench *bench, const struct api_resource *resource, const char *name)
{
    struct object *object =
        fake_get(bench->api, resource, resource->namespaced ? "default" : "", name);
    if (object == NULL) {
        print_error("no %s %s\n", resource->plural, name);
    }
    assert_non_null(object);
    return fake_val(bench->api, object);
}

int64_t number_at(struct bench *bench, const struct api_resource *resource, const char *name,
                  const char *path)
{
    return val_int(val_path(value_of(bench, resource, name), path), 0);
}

static const char *text_of(struct val *value)
{
    static char text[4][1024];
    static int turn;
    turn = (turn + 1) % 4;
    struct str s = val_text(value);
    snprintf(text[turn], sizeof text[turn], "%.*s", STR_ARG(s));
    return text[turn];
}

const char *text_at(struct bench *bench, const struct api_resource *resource, const char *name,
                    const char *path)
{
    return text_of(val_path(value_of(bench, resource, name), path));
}

const char *condition_at(struct bench *bench, const struct api_resource *resource, const char *name,
                         const char *type, const char *member)
{
    struct val *conditions = val_path(value_of(bench, resource, name), "status.conditions");
    return text_of(val_get_str(val_find(conditions, "type", str_of(type)), str_of(member)));
}

struct search {
    size_t left;
    struct object *found;
    const char *reason;
    size_t count;
    struct bench *bench;
};

static void find_nth(void *ctx, struct object *object)
{
    struct search *search = ctx;
    if (search->left-- == 0) {
        search->found = object;
    }
}

struct object *nth(struct bench *bench, const struct api_resource *resource, size_t i)
{
    struct search search = {.left = i};
    fake_each(bench->api, resource, find_nth, &search);
    assert_non_null(search.found);
    return search.found;
}

static void count_reason(void *ctx, struct object *object)
{
    struct search *search = ctx;
    struct val *event = fake_val(search->bench->api, object);
    if (str_is(val_text(val_get(event, "reason")), search->reason)) {
        search->count += (size_t)val_int(val_get(event, "count"), 1);
    }
}

size_t count_events(struct bench *bench, const char *reason)
{
    struct search search = {.reason = reason, .bench = bench};
    fake_each(bench->api, EVENTS, count_reason, &search);
    return search.count;
}

/* sim_cluster.c: see sim_cluster.h.
 *
 * The trace is taken where the store commits, so it has every write in the order it became durable.
 * Hashes are FNV-1a: the same in every process.
 */
#include "sim_cluster.h"

#include <stdio.h>
#include <stdlib.h>

static const int64_t START_WALL = 1764000000LL * NS_PER_S;
static const uint64_t FNV_START = 0xcbf29ce484222325ULL;
const char *const sim_node_names[SIM_NODES] = {"node-a", "node-b"};

/* ---- trace ---- */

static uint64_t fnv(uint64_t hash, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        hash = (hash ^ (unsigned char)s.p[i]) * 0x100000001b3ULL;
    }
    return hash;
}

static void trace_write(struct sim_trace *trace, const struct store_write *write)
{
    size_t from = trace->text.n;
    assert_true(write->revision > trace->revision);
    trace->revision = write->revision;
    buf_printf(&trace->text, "%llu %s %.*s/%.*s/%.*s %016llx\n",
               (unsigned long long)write->revision,
               write->deleted   ? "delete"
               : write->created ? "create"
                                : "update",
               STR_ARG(write->resource), STR_ARG(write->ns), STR_ARG(write->name),
               (unsigned long long)fnv(FNV_START, write->value));
    struct str line = str_from(buf_view(&trace->text), from);
    trace->hash = fnv(trace->hash, line);
    trace->writes++;
    bool node = str_is(write->resource, "nodes") && !write->created && !write->deleted;
    if (!node && !str_is(write->resource, "leases.coordination.k8s.io")) {
        trace->others++;
        snprintf(trace->last_other, sizeof trace->last_other, "%.*s", (int)line.n - 1, line.p);
    }
    if (trace->keeps_objects) {
        buf_printf(&trace->text, "  %.*s\n", STR_ARG(write->value));
    }
}

/* A failed sync: nobody knows whether the commit is on the disk, and nothing more goes there. */
static int fail_store(struct store *store, struct sim_trace *trace,
                      const struct store_write *writes, size_t count, struct err *err)
{
    bool durable = random_below(&trace->random, 2) == 0;
    trace->failed = true;
    trace->failures++;
    if (durable && trace->inner->commit(store, writes, count, err) == 0) {
        for (size_t i = 0; i < count; i++) {
            trace_write(trace, &writes[i]);
        }
    }
    return err_set(err, ERR_STORAGE, "the sync failed");
}

static int traced_commit(struct store *store, const struct store_write *writes, size_t count,
                         struct err *err)
{
    struct sim_trace *trace = container_of(store->ops, struct sim_trace, ops);
    uint64_t luck = trace->faults ? random_below(&trace->random, 1000) : 1000;
    if (trace->failed) {
        return err_set(err, ERR_STORAGE, "the store failed before");
    }
    if (luck < 30) {
        trace->full++;
        return err_set(err, ERR_STORAGE, "the disk is full");
    }
    if (luck < 35) {
        return fail_store(store, trace, writes, count, err);
    }
    int rc = trace->inner->commit(store, writes, count, err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        trace_write(trace, &writes[i]);
    }
    return rc;
}

static int traced_status(struct store *store, struct store_status *ret_status, struct err *err)
{
    struct sim_trace *trace = container_of(store->ops, struct sim_trace, ops);
    int rc = trace->inner->status(store, ret_status, err);
    ret_status->failed |= trace->failed;
    return rc;
}

static void on_store_failed(void *ctx)
{
    ((struct sim *)ctx)->broken = true;
}

static void open_store(struct sim *sim)
{
    struct err err = ERR_INIT;
    struct store_options options = {
        .path = "memory", .history_ns = 3600 * NS_PER_S, .clock = loop_clock(sim->loop)};
    assert_int_equal(store_memory.open(&options, &sim->store, &err), 0);
    sim->trace.inner = sim->store->ops;
    sim->trace.ops = *sim->store->ops;
    sim->trace.ops.commit = traced_commit;
    sim->trace.ops.status = traced_status;
    sim->trace.hash = FNV_START;
    random_seeded_init(&sim->trace.random, sim->seed + 2);
    sim->trace.keeps_objects = getenv("COX_SIM_TRACE") != NULL;
    sim->store->ops = &sim->trace.ops;
}

/* ---- life ---- */

static struct client *client_as(struct sim *sim, struct identity *identity, const char *name)
{
    struct client *client = server_client_new(sim->server, sim->loop, identity, name);
    identity_unref(identity);
    return client;
}

static struct client *client_for(void *ctx, const char *controller)
{
    struct sim *sim = ctx;
    struct identity *identity =
        identity_new_account(STR("kube-system"), str_of(controller), STR_NONE);
    return *vec_push(&sim->identities) = client_as(sim, identity, controller);
}

static struct client *user_client(struct sim *sim, const char *user, const char *group,
                                  const char *name)
{
    struct str groups[] = {str_of(group)};
    return client_as(sim, identity_new(str_of(user), STR_NONE, groups, group != NULL ? 1 : 0),
                     name);
}

static void on_ready(void *ctx, const struct err *err)
{
    if (err->code != 0) {
        fail_msg("bootstrap: %s", err->message);
    }
    *(bool *)ctx = true;
}

static void start_server(struct sim *sim)
{
    struct err err = ERR_INIT;
    bool ready = false;
    bool faults = sim->trace.faults;
    sim->trace.faults = false; /* a server that cannot make its first objects gives up */
    sim->trace.failed = sim->broken = false;
    sim->cache = cache_new(0);
    assert_int_equal(sequencer_new(sim->loop, sim->store, sim->cache, &sim->sequencer, &err), 0);
    sequencer_on_failed(sim->sequencer, on_store_failed, sim);
    struct server_options options = {.loops = &sim->loop,
                                     .loop_count = 1,
                                     .cache = sim->cache,
                                     .sequencer = sim->sequencer,
                                     .advertise_address = STR("10.0.0.1")};
    if (server_new(&options, &sim->server, &err) < 0) {
        fail_msg("%s", err.message);
    }
    server_start(sim->server, on_ready, &ready);
    for (int i = 0; i < 10000 && !ready; i++) {
        loop_run_for(sim->loop, NS_PER_MS);
    }
    assert_true(ready);
    sim->trace.faults = faults;
    sim->user = user_client(sim, "admin", "system:masters", "user");
}

static void stop_server(struct sim *sim)
{
    client_free(sim->user);
    loop_run_for(sim->loop, 100 * NS_PER_MS); /* requests under way */
    server_free(sim->server);
    sequencer_free(sim->sequencer);
    cache_free(sim->cache);
}

static void start_controllers(struct sim *sim)
{
    sim->controllers_client =
        user_client(sim, "system:kube-controller-manager", NULL, "kube-controller-manager");
    sim->controllers_informers = informers_new(sim->controllers_client);
    struct controllers_options options = {.ca_pem = STR("no certificate"),
                                          .node_grace_ns = 50 * NS_PER_S,
                                          .node_period_ns = 5 * NS_PER_S,
                                          .terminated_pod_limit = 500,
                                          .client_for = client_for,
                                          .client_ctx = sim};
    sim->controllers = controllers_start(sim->loop, sim->controllers_informers, &options);
}

static void stop_controllers(struct sim *sim)
{
    controllers_stop(sim->controllers);
    informers_free(sim->controllers_informers);
    client_free(sim->controllers_client);
    VEC_EACH (it, &sim->identities) {
        client_free(*it);
    }
    vec_done(&sim->identities);
}

static void start_scheduler(struct sim *sim)
{
    sim->scheduler_client = user_client(sim, "system:kube-scheduler", NULL, "kube-scheduler");
    sim->scheduler_informers = informers_new(sim->scheduler_client);
    sim->scheduler = scheduler_start(sim->loop, sim->scheduler_informers, "default-scheduler");
}

static void stop_scheduler(struct sim *sim)
{
    scheduler_stop(sim->scheduler);
    informers_free(sim->scheduler_informers);
    client_free(sim->scheduler_client);
}

void sim_start(struct sim *sim, uint64_t seed)
{
    *sim = (struct sim){.seed = seed, .loop = loop_new_sim(seed, START_WALL)};
    open_store(sim);
    start_server(sim);
    start_controllers(sim);
    start_scheduler(sim);
    for (int i = 0; i < SIM_NODES; i++) {
        sim_node_start(sim, i);
    }
}

void sim_stop(struct sim *sim)
{
    for (int i = 0; i < SIM_NODES; i++) {
        sim_node_kill(sim, i);
    }
    stop_scheduler(sim);
    stop_controllers(sim);
    stop_server(sim);
    sim->trace.inner->close(sim->store);
    loop_free(sim->loop);
    sim_ledger_done(&sim->ledger);
    buf_done(&sim->trace.text);
}

/* ---- nodes and faults ---- */

void sim_node_start(struct sim *sim, int node)
{
    struct sim_agent_options options = {.loop = sim->loop,
                                        .name = sim_node_names[node],
                                        .number = node + 1,
                                        .ledger = &sim->ledger};
    sim->agents[node] = sim_agent_new(&options);
    sim_node_join(sim, node);
}

void sim_node_kill(struct sim *sim, int node)
{
    sim_agent_free(sim->agents[node]);
    sim->agents[node] = NULL;
    sim->joined[node] = false;
}

void sim_node_join(struct sim *sim, int node)
{
    char *user MEM_CLEANUP = mem_printf("system:node:%s", sim_node_names[node]);
    sim_agent_connect(sim->agents[node], user_client(sim, user, "system:nodes", "kubelet"));
    sim->joined[node] = true;
}

void sim_node_cut(struct sim *sim, int node)
{
    sim_agent_disconnect(sim->agents[node]);
    sim->joined[node] = false;
}

void sim_controllers_restart(struct sim *sim)
{
    stop_controllers(sim);
    start_controllers(sim);
}

void sim_scheduler_restart(struct sim *sim)
{
    stop_scheduler(sim);
    start_scheduler(sim);
}

void sim_server_restart(struct sim *sim, int64_t away_ns)
{
    for (int i = 0; i < SIM_NODES; i++) {
        if (sim->joined[i]) {
            sim_agent_disconnect(sim->agents[i]);
        }
    }
    stop_scheduler(sim);
    stop_controllers(sim);
    stop_server(sim);
    loop_run_for(sim->loop, away_ns);
    start_server(sim);
    start_controllers(sim);
    start_scheduler(sim);
    for (int i = 0; i < SIM_NODES; i++) {
        if (sim->joined[i]) {
            sim_node_join(sim, i);
        }
    }
}

double sim_seconds(struct sim *sim)
{
    return (double)(clock_wall(loop_clock(sim->loop)) - START_WALL) / (double)NS_PER_S;
}

/* ---- the user ---- */

const struct api_resource *sim_resource(const char *group, const char *plural)
{
    const struct api_resource *resource = schema_resource(str_of(group), STR("v1"), str_of(plural));
    assert_non_null(resource);
    return resource;
}

struct outcome {
    bool done;
    enum err_code code;
    char message[512];
};

static void on_outcome(void *ctx, const struct client_result *result)
{
    struct outcome *outcome = ctx;
    outcome->done = true;
    outcome->code = result->code;
    snprintf(outcome->message, sizeof outcome->message, "%s", result->error.message);
}

static struct val *parse(struct arena *arena, const char *json)
{
    struct val *value = NULL;
    struct err err = ERR_INIT;
    char *text = str_dup_in(arena, str_of(json));
    for (char *c = text; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    if (val_parse_json(arena, str_of(text), &value, &err) != 0) {
        fail_msg("%s: %s", err.message, text);
    }
    return value;
}

enum err_code sim_request(struct sim *sim, enum client_verb verb,
                          const struct api_resource *resource, const char *name,
                          const char *subresource, const char *json)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct outcome outcome = {0};
    struct client_request request = {.verb = verb,
                                     .resource = resource,
                                     .ns = STR("default"),
                                     .name = str_of(name),
                                     .subresource = subresource,
                                     .body = json != NULL ? parse(&arena, json) : NULL,
                                     .patch = CLIENT_PATCH_MERGE};
    client_send(sim->user, &request, on_outcome, &outcome);
    for (int i = 0; i < 1000 && !outcome.done; i++) {
        loop_run_for(sim->loop, NS_PER_MS);
    }
    assert_true(outcome.done);
    return outcome.code;
}

size_t sim_list(struct sim *sim, const struct api_resource *resource, struct arena *arena,
                struct val ***ret_items)
{
    struct snapshot *snapshot = snapshot_take(sim->cache, resource);
    struct snapshot_iter iter;
    const struct object *object;
    size_t count = 0;
    *ret_items = arena_array(arena, struct val *, snapshot_count(snapshot) + 1);
    snapshot_iter_init(&iter, snapshot, STR("default"), NULL, NULL, STR_NONE, STR_NONE);
    while ((object = snapshot_next(&iter)) != NULL) {
        (*ret_items)[count++] = val_copy(arena, object_decode(object, arena));
    }
    snapshot_release(snapshot);
    return count;
}

struct val *sim_get(struct sim *sim, const struct api_resource *resource, const char *ns,
                    const char *name, struct arena *arena)
{
    struct object *object = cache_get(sim->cache, resource, str_of(ns), str_of(name));
    if (object == NULL) {
        return NULL;
    }
    struct val *value = val_copy(arena, object_decode(object, arena));
    object_unref(object);
    return value;
}

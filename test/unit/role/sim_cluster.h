/* sim_cluster.h: a whole cluster in one thread on virtual time: memory store, cache, sequencer,
 * server, controllers, scheduler and hollow nodes on one simulated loop, and a trace of every
 * committed write.
 */
#pragma once
#include "../cmocka_all.h"
#include "base/vec.h"
#include "controllers/controller.h"
#include "scheduler/scheduler.h"
#include "server/server.h"
#include "sim_agent.h"
#include "store/store.h"

enum { SIM_NODES = 2 };
extern const char *const sim_node_names[SIM_NODES];

struct sim_trace {
    struct store_ops ops; /* the store's own, but for commit */
    const struct store_ops *inner;
    struct buf text; /* "revision verb resource/ns/name hash-of-object\n" a write */
    uint64_t revision, hash;
    size_t writes, others; /* others: but leases and the status of nodes */
    char last_other[512];
    bool faults; /* commits fail: a full disk, or a store that takes no writes any more */
    bool failed; /* the latter: the server must start again */
    size_t full, failures;
    struct random random;
    bool keeps_objects; /* whole objects into the text, for looking at differences */
};

struct sim {
    uint64_t seed;
    struct loop *loop;
    struct sim_trace trace;
    struct store *store;
    struct cache *cache;
    struct sequencer *sequencer;
    struct server *server;
    struct client *user; /* of system:masters */
    struct client *controllers_client, *scheduler_client;
    struct {
        VEC_OF(struct client *);
    } identities; /* of the controllers, one each */
    struct informers *controllers_informers, *scheduler_informers;
    struct controllers *controllers;
    struct scheduler *scheduler;
    struct sim_ledger ledger;
    struct sim_agent *agents[SIM_NODES];
    bool joined[SIM_NODES]; /* to the API */
    bool broken;            /* the sequencer says that the store has failed */
};
void sim_start(struct sim *sim, uint64_t seed);
void sim_stop(struct sim *sim);
void sim_node_start(struct sim *sim, int node);
void sim_node_kill(struct sim *sim, int node);
void sim_node_cut(struct sim *sim, int node); /* off the network; containers go on */
void sim_node_join(struct sim *sim, int node);
/* The process dies and another one takes its place: answers under way are lost, what is known comes
 * from the store or the API again. */
void sim_controllers_restart(struct sim *sim);
void sim_scheduler_restart(struct sim *sim);
/* The whole server, and the two above: away for so long. Nodes that were connected are again. */
void sim_server_restart(struct sim *sim, int64_t away_ns);
double sim_seconds(struct sim *sim); /* of virtual time since the start */

const struct api_resource *sim_resource(const char *group, const char *plural); /* version v1 */
/* One request of the user's in namespace default, run to its end; `json` with ' for ", or NULL.
 * Returns the code. */
enum err_code sim_request(struct sim *sim, enum client_verb verb,
                          const struct api_resource *resource, const char *name,
                          const char *subresource, const char *json);
/* The objects of a resource in namespace default, decoded into the arena. */
size_t sim_list(struct sim *sim, const struct api_resource *resource, struct arena *arena,
                struct val ***ret_items);
/* NULL when it is not there. */
struct val *sim_get(struct sim *sim, const struct api_resource *resource, const char *ns,
                    const char *name, struct arena *arena);

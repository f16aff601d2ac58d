/* sim_scenario.h: a user on a simulated cluster: what must hold at any time, harm, settling. */
#pragma once
#include <inttypes.h>

#include "sim_cluster.h"

enum { SETTLE_S = 300, QUIET_S = 60, REPLICAS = 6, NODE_GRACE_S = 50, TOLERATION_S = 300 };

#define PODS        sim_resource("", "pods")
#define NODES       sim_resource("", "nodes")
#define SERVICES    sim_resource("", "services")
#define SLICES      sim_resource("discovery.k8s.io", "endpointslices")
#define ENDPOINTS   sim_resource("", "endpoints")
#define DEPLOYMENTS sim_resource("apps", "deployments")
#define REPLICASETS sim_resource("apps", "replicasets")
#define JOBS        sim_resource("batch", "jobs")

struct scenario {
    struct sim sim;
    struct random random; /* the user's */
    bool recreates;       /* deletes the pod "solo" and makes it again */
    bool rolling;         /* the rollout's bounds hold */
    bool chaos;           /* processes die, links are cut */
    int away[SIM_NODES];  /* seconds until the node's link is back */
    int solos, solo_deletes, restarts, cuts;
};

#define FAIL(s, format, ...)                                                                       \
    fail_msg("at %.3f s, seed %" PRIu64 ": " format, sim_seconds(&(s)->sim), (s)->sim.seed,        \
             ##__VA_ARGS__)

/* The pods of the Deployment "web". */
struct census {
    int pods, deleting, ready, on_node[SIM_NODES];
};
struct census scenario_count(struct scenario *s);
/* status.conditions has one of that type and status. */
bool scenario_condition(const struct val *object, const char *type, const char *status);

/* Each second of it: the user's doing, harm, and then what must always hold. */
void scenario_run(struct scenario *s, int seconds);
/* Everything fails at times: containers, disk, processes, links. */
void scenario_harm(struct scenario *s, bool on);
/* Until "web" has so many pods, all ready, and so many that wait for a node that is away. */
void scenario_settle(struct scenario *s, int replicas, int deleting);
void scenario_settle_job(struct scenario *s, const char *name);
/* A while for what comes after, then a minute in which nobody writes but the nodes. */
void scenario_quiet(struct scenario *s);
/* EndpointSlices name exactly the ready pods. */
void scenario_check_slices(struct scenario *s);

/* sim_int.h: the parts of a hollow node: sim_agent.c (node, pods, API), sim_runtime.c (containers).
 */
#pragma once
#include "base/list.h"
#include "client/informer.h"
#include "client/recorder.h"
#include "node/pod/worker.h"
#include "sim_agent.h"

struct sim_agent {
    struct loop *loop;
    struct client *client; /* NULL, as the next two: not connected */
    struct informers *informers;
    struct recorder *recorder;
    struct informer *watched;
    struct sim_ledger *ledger;
    const char *name;
    int number, addresses;
    struct map pods; /* uid -> struct sim_pod */
    struct pod_ops ops;
    struct timer lease, status, flush;
    char ip[16];
};

struct sim_pod {
    struct sim_agent *agent;
    struct pod_worker *worker;
    char *uid, *key; /* key: "ns/name" */
    char ip[46];
    int live; /* containers */
    struct list delayed;
    struct timer retry;
    struct buf sent; /* the status the API has accepted */
    bool dirty, busy, finalizing, delete_sent;
};

/* sim_agent.c */
void sim_pod_changed(struct pod_worker *worker);
/* sim_runtime.c: fills in what a runtime does; the rest is the agent's */
void sim_runtime_ops(struct pod_ops *ops);
void sim_pod_stop(struct sim_pod *pod); /* drops what is under way, containers included */

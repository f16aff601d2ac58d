/* sim_agent.h: a hollow node for the simulator: the real pod worker on a runtime that only
 * pretends.
 *
 * It does what the real agent does with the API (registration, lease, status of node and pods,
 * events, the last delete of a pod), on any loop. Its containers pull, start, become ready and end
 * after delays drawn from the loop's random source, and fail at random while faults are on.
 */
#pragma once
#include "base/map.h"
#include "client/client.h"
#include "io/loop.h"

/* What the whole cluster runs at this moment: one for all nodes. */
struct sim_ledger {
    struct map running; /* "ns/name" -> int, number of pods of that name with a live container */
    int running_max;    /* the most that ever were of one name */
    int starts, failures;
    int left_behind; /* containers of pods that the API has forgotten */
    bool faults;     /* containers fail to pull, to start, and exit */
};
void sim_ledger_done(struct sim_ledger *ledger);

struct sim_agent_options {
    struct loop *loop;
    const char *name; /* outlives the agent */
    int number;       /* of its pod addresses, 10.244.NUMBER.x */
    struct sim_ledger *ledger;
};
struct sim_agent;
struct sim_agent *sim_agent_new(const struct sim_agent_options *options); /* not connected yet */
/* To the API, with a client of system:node:NAME, which becomes the agent's. */
void sim_agent_connect(struct sim_agent *agent, struct client *client);
/* As when the link is cut: no answer comes any more, containers go on. Not from inside the loop. */
void sim_agent_disconnect(struct sim_agent *agent);
/* As when the power is cut: containers are gone, nothing is reported. Not from inside the loop. */
void sim_agent_free(struct sim_agent *agent);

/* preempt.h: making room for a pod by removing pods of lower priority. */
#pragma once
#include "scheduler/cycle.h"

struct preemption {
    int node; /* -1: no */
    struct pod_list victims;
};
/* Finds where the fewest and least important pods would have to go (DefaultPreemption). The cluster
 * is changed while it tries and is as before when it returns. `cycle` is of the pod, and failed. */
void preempt_find(struct cycle *cycle, struct random *random, struct preemption *ret_preemption);

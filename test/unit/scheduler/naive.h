/* naive.h: the default profile's filters and scores a second time: slow, simple, straight from
 * decoded objects, sharing nothing with src/scheduler. */
#pragma once
#include "api/val.h"

struct naive_pod {
    const struct val *value;
    int node; /* -1: none */
};
struct naive {
    const struct val *nodes[32];
    int node_count;
    struct naive_pod pods[256];
    int pod_count;
    const struct val *services[8];
    int service_count;
    const struct val *namespaces[4];
    int namespace_count;
};
/* ret_scores[i]: -1 when node i does not pass, else the weighted total. */
void naive_decide(const struct naive *naive, const struct val *pod, long ret_scores[32]);

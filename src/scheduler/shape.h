/* shape.h: what a pod asks of a node, read once and shared by all pods that ask the same (pods of
 * one template). Immutable; counted; one thread. */
#pragma once
#include "base/map.h"
#include "scheduler/labels.h"

struct amount { /* of a resource other than cpu and memory */
    struct str name;
    int64_t value;
    int column; /* cluster's; set when the cluster first sees the shape */
};
struct host_port {
    struct str ip;    /* "0.0.0.0" for all */
    uint8_t protocol; /* 0 TCP, 1 UDP, 2 SCTP */
    int32_t port;
};
struct toleration {
    struct str key, value;
    bool exists;
    bool any_key;
    uint8_t effect; /* enum taint_effect, or TAINT_ANY */
};
enum taint_effect { TAINT_NO_SCHEDULE, TAINT_PREFER_NO_SCHEDULE, TAINT_NO_EXECUTE, TAINT_ANY };
struct taint {
    struct str key, value;
    uint8_t effect;
};
struct node_term {
    int32_t weight;
    struct requirements match;
};
struct spread {
    int32_t max_skew, min_domains;
    struct str key;
    uint64_t key_hash;
    bool hard, honor_affinity, honor_taints;
    struct requirements selector;
};
struct affinity_term {
    int32_t weight;
    struct str key;
    uint64_t key_hash;
    struct requirements selector;
    struct str *namespaces; /* with the pod's own when neither list nor selector was given */
    uint32_t namespace_count;
    bool by_namespace_labels;
    struct requirements namespace_selector;
};
struct affinity_terms {
    struct affinity_term *items;
    uint32_t count;
};

struct shape {
    uint32_t refs;
    struct arena arena;
    /* scratch of one decision: see plugins/inter_pod_affinity.c */
    uint64_t stamp;
    uint32_t answers;
    struct str key; /* in the table of shapes */
    struct local *local;
    struct str ns, owner_uid;
    struct labels labels;
    int32_t priority;
    bool never_preempts;
    int64_t cpu, memory;                 /* milli, bytes: requests, overhead included */
    int64_t nonzero_cpu, nonzero_memory; /* with 100m and 200 MiB where a container says nothing */
    struct amount *amounts;
    uint32_t amount_count;
    bool asks_something; /* any request at all */
    struct host_port *ports;
    uint32_t port_count;
    struct requirements node_selector;
    bool has_node_terms;
    struct node_term *node_terms; /* required: one of them */
    uint32_t node_term_count;
    struct node_term *preferred_nodes;
    uint32_t preferred_node_count;
    struct toleration *tolerations;
    uint32_t toleration_count;
    struct spread *spreads;
    uint32_t spread_count;
    struct affinity_terms near, far, prefer_near, prefer_far;
    bool has_affinity;  /* any of the four */
    bool wants_devices; /* resource claims */
    struct str *images; /* one a container, normalised */
    uint32_t image_count;
    struct str *claims; /* PersistentVolumeClaims */
    uint32_t claim_count;
    struct str *ephemerals; /* volumes with a claim of the pod's own, named after it */
    uint32_t ephemeral_count;
};

/* What a node's own state alone is held against: requests, ports, images, node affinity,
 * tolerations, priority. Shapes that differ in labels only have one. */
struct local {
    uint32_t refs;
    uint64_t id; /* never used again */
    char *key;
};
struct shapes {
    struct map table, locals;
    uint64_t next_id;
};
void shapes_done(struct shapes *shapes);
/* The shape of a decoded pod; a new reference. */
struct shape *shape_of(struct shapes *shapes, const struct val *pod);
struct shape *shape_ref(struct shape *shape);
void shape_unref(struct shapes *shapes, struct shape *shape);

bool taint_tolerated(const struct shape *shape, const struct taint *taint);
uint8_t taint_effect_of(struct str text);

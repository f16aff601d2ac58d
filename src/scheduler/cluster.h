/* cluster.h: the cluster as the scheduler counts it: nodes with what is free on them, and the pods
 * that hold it. Kept up to date by events; a decision reads it and changes nothing.
 *
 * Node numbers are dense and stable while the node exists; `nodes[i]` is NULL for a free number.
 * One thread.
 */
#pragma once
#include "base/vec.h"
#include "scheduler/shape.h"
#include "scheduler/volumes.h"

struct label_set { /* labels of pods in one namespace, shared by all pods that have them */
    uint32_t refs;
    struct str key, ns;
    struct labels labels;
    struct arena arena;
    /* scratch of one decision */
    uint64_t stamp;
    uint64_t answers; /* bit i: matches the i-th question of the decision */
};

struct pod {
    struct str key; /* "ns/name", owned */
    struct str uid; /* owned */
    struct shape *shape;
    struct label_set *label_set;
    int node;      /* number; -1: none */
    int nominated; /* node that is being cleared for it; -1: none */
    bool terminating;
    int64_t started;        /* wall ns: which of two pods is younger, for preemption */
    void *owner;            /* the scheduler's */
    size_t at, affinity_at; /* in the lists of node and cluster */
};

struct pod_list {
    VEC_OF(struct pod *);
};

struct label_count { /* how many pods of a node have these labels */
    struct label_set *label_set;
    uint32_t count, leaving; /* leaving: those of them that are terminating */
};

struct image {
    struct str name;
    int64_t size;
};

struct room {            /* one cache line: what most decisions look at */
    int64_t cpu, memory; /* allocatable */
    int64_t cpu_used, memory_used;
    int64_t nonzero_cpu, nonzero_memory; /* used, for scores */
    int32_t pods, pods_used;
    uint32_t nominated; /* pods for which the node is being cleared */
    uint32_t taints;
};

struct node {
    struct str name;
    int number;
    uint64_t digest;    /* of what was read from the Node */
    struct arena arena; /* of what follows, anew at each update */
    struct labels labels;
    struct taint *taints;
    uint32_t taint_count;
    bool unschedulable;
    struct image *images;
    uint32_t image_count;
    /* counted */
    struct {
        VEC_OF(int64_t);
    } amounts, amounts_used; /* by column */
    struct {
        VEC_OF(struct host_port);
    } ports;
    struct pod_list pods;
    struct {
        VEC_OF(struct label_count);
    } label_counts;
    struct pod_list nominated;
};

struct priority_count {
    int32_t priority;
    size_t pods;
};

struct selector_source { /* a Service, or the owner of pods: whose pods are spread by default */
    struct str ns;
    struct arena arena;
    struct requirements selector;
};

struct topology {
    uint64_t key_hash, layout;
    uint64_t *domains; /* by node: which domain of the key it is in; 0: none */
};

struct cluster {
    struct shapes shapes;
    struct map by_name; /* node name -> struct node */
    struct node **nodes;
    struct room *rooms;
    size_t node_cap; /* numbers are below it */
    size_t node_count;
    struct {
        VEC_OF(int);
    } free_numbers;
    struct map label_sets;
    struct map columns;            /* resource name -> column + 1 */
    struct map images;             /* image name -> nodes that have it (count + 1) */
    struct pod_list affinity_pods; /* pods on nodes that have affinity terms */
    size_t preferring_taints;      /* PreferNoSchedule taints of all nodes */
    struct {
        VEC_OF(struct priority_count);
    } priorities;          /* of the pods on nodes */
    struct map services;   /* "ns/name" -> struct selector_source */
    struct map owners;     /* uid -> struct selector_source */
    struct map namespaces; /* name -> its labels */
    struct volumes volumes;
    uint64_t layout; /* changes when anything but pods changed */
    struct {
        VEC_OF(struct topology *);
    } topologies;
    /* Numbers of nodes in the order in which they changed: what a cached answer has to look at. */
    uint32_t *changed;
    uint64_t changes;
    uint64_t stamp;
};
enum { CHANGES_KEPT = 1 << 14 };

struct cluster *cluster_new(void);
void cluster_free(struct cluster *cluster);

/* From a decoded Node; adds or updates. False: nothing that matters here has changed. */
bool cluster_set_node(struct cluster *cluster, const struct val *value);
void cluster_remove_node(struct cluster *cluster, struct str name);
struct node *cluster_node(const struct cluster *cluster, struct str name);

struct pod *cluster_pod_new(struct cluster *cluster, struct str ns, struct str name,
                            const struct val *value);
void cluster_pod_free(struct cluster *cluster, struct pod *pod); /* not on a node any more */
/* The pod takes (gives back) what it asks for. */
void cluster_place(struct cluster *cluster, struct pod *pod, int node);
void cluster_take_off(struct cluster *cluster, struct pod *pod);
/* A pod for which the node is being cleared: counts against pods of lower priority. */
void cluster_nominate(struct cluster *cluster, struct pod *pod, int node); /* -1: not any more */
/* Whether any pod on a node has a lower priority. */
bool cluster_has_below(const struct cluster *cluster, int32_t priority);
void cluster_set_terminating(struct cluster *cluster, struct pod *pod);

/* Sources of the default spreading; selector NULL: removed. `key` "ns/name" or a uid. */
void cluster_set_service(struct cluster *cluster, struct str ns, struct str key,
                         const struct val *selector_map);
void cluster_set_owner(struct cluster *cluster, struct str uid, const struct val *selector);
void cluster_set_namespace(struct cluster *cluster, struct str name, const struct val *labels,
                           bool gone);

/* By node number: the domain (tally.h) that a node label puts it in, 0 without the label. Valid
 * until the cluster's layout changes or cluster_trim(). */
const uint64_t *cluster_domains(struct cluster *cluster, struct str key, uint64_t key_hash);
void cluster_trim(struct cluster *cluster); /* between decisions: bounds what is kept */
/* NULL: no such namespace. */
const struct labels *cluster_namespace_labels(const struct cluster *cluster, struct str name);

int cluster_column(struct cluster *cluster, struct str resource); /* made on first use */
static inline int64_t node_amount(const struct node *node, int column)
{
    return (size_t)column < node->amounts.count ? node->amounts.items[column] : 0;
}
static inline int64_t node_amount_used(const struct node *node, int column)
{
    return (size_t)column < node->amounts_used.count ? node->amounts_used.items[column] : 0;
}
const struct label *node_label(const struct node *node, struct str key, uint64_t key_hash);
void cluster_note_change(struct cluster *cluster, int node);

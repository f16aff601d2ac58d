/* cycle.h: one decision: which node for this pod. A pure function of cluster and pod (and of the
 * random source where several nodes are equally good), so it can be asked without acting on it.
 *
 * A plugin is one file and one row in plugins/table.c. It looks at the pod once (prepare), then at
 * nodes.
 */
#pragma once
#include "base/random.h"
#include "scheduler/cluster.h"

enum { PLUGINS_MAX = 16, SCORE_MAX = 100 };

enum { /* what prepare answers */
       PLUGIN_NOTHING = 0,
       PLUGIN_FILTERS = 1 << 0,
       PLUGIN_SCORES = 1 << 1,
       PLUGIN_GLOBAL = 1 << 2,   /* what it says of a node depends on other nodes or their pods */
       PLUGIN_RELATIVE = 1 << 3, /* its scores do (they are normalised), its filter does not */
       PLUGIN_REFUSES = 1 << 4,  /* no node will do: cycle->refusal says why */
};

struct reasons;
struct cycle {
    struct cluster *cluster; /* scratch fields of it are written */
    const struct pod *pod;
    const struct shape *shape;
    struct arena *arena;
    struct stage { /* plugins that have something to say, and their states */
        const struct plugin *plugin;
        void *state;
        bool global; /* not of the node's own state alone */
    } filters[PLUGINS_MAX], scorers[PLUGINS_MAX];
    size_t filter_count, scorer_count;
    bool global;             /* any of them */
    const char *refusal;     /* in the arena */
    unsigned refusal_events; /* that may change it */
    unsigned events;         /* after cycle_explain: of the plugins that refused nodes */
};

enum {                           /* what may make a pod fit that did not */
       EVENT_NODE = 1 << 0,      /* a node came or changed */
       EVENT_POD_GONE = 1 << 1,  /* a pod left a node */
       EVENT_POD_THERE = 1 << 2, /* a pod came to a node, or its labels changed */
       EVENT_OTHER = 1 << 3,     /* namespaces, services */
};

struct plugin {
    const char *name;
    int weight;      /* of its score */
    unsigned events; /* that may change what its filter says */
    /* *state is passed to the others; memory from cycle->arena. */
    int (*prepare)(struct cycle *cycle, void **state);
    bool (*filter)(const struct cycle *cycle, void *state, const struct node *node);
    /* Why the filter refuses: one reason_add for each. */
    void (*explain)(const struct cycle *cycle, void *state, const struct node *node,
                    struct reasons *reasons);
    int64_t (*score)(const struct cycle *cycle, void *state, const struct node *node);
    /* Brings scores of the nodes that passed to 0..SCORE_MAX. NULL: they are. */
    void (*normalize)(const struct cycle *cycle, void *state, const struct node *const *nodes,
                      int64_t *scores, size_t count);
    const char
        *change; /* what makes a node fit that the filter refuses, in words; NULL: reasons say */
};
extern const struct plugin *const plugins_table[]; /* in order of filtering; NULL ended */

/* The usual normalisation: the largest becomes SCORE_MAX; reverse: the smallest does. */
void scores_normalize(int64_t *scores, size_t count, bool reverse);

/* ---- reasons ---- */
struct reason {
    const char *text; /* "Insufficient cpu" */
    size_t nodes;
};
struct reasons {
    struct arena *arena;
    struct {
        VEC_OF(struct reason);
    } list;
    bool hopeless; /* of the node being explained: no pod that could leave would help */
    size_t hopeless_nodes;
    /* The node that needs the least to change. */
    double nearest_lack; /* the larger of lack / allocatable; < 0: none yet */
    const char *nearest; /* "node n1 lacks 500m cpu" */
};
/* `hopeless`: removing pods does not help. */
void reason_add(struct reasons *reasons, bool hopeless, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- deciding ---- */
/* Whether any node may do (false: cycle->refusal). */
bool cycle_prepare(struct cycle *cycle, struct cluster *cluster, const struct pod *pod,
                   struct arena *arena);
bool cycle_passes(const struct cycle *cycle, const struct node *node);
/* The node with the best score, or -1. `ret_best` (may be NULL): all that have it. */
struct node_numbers {
    VEC_OF(int);
};
int cycle_choose(struct cycle *cycle, struct random *random, struct node_numbers *ret_best);
/* Of one node, the global plugins left out: -1 when it does not pass, else the weighted score. */
int64_t cycle_judge_alone(const struct cycle *cycle, const struct node *node);
/* The rest: `alone[n]` is what cycle_judge_alone says of node number n. */
int cycle_choose_from(struct cycle *cycle, const int16_t *alone, struct random *random,
                      struct node_numbers *ret_best);
/* "0/5 nodes are available: 3 Insufficient cpu, 2 node(s) were unschedulable." and the nearest
 * miss apart (NULL: none). In the arena. */
const char *cycle_explain(struct cycle *cycle, const char **ret_nearest, size_t *ret_hopeless);

/* Every plugin that refuses the node adds its reasons (an event names the first one only);
 * `change`: what on that node would have to be otherwise, one line a plugin. Returns how many
 * refuse. */
size_t cycle_explain_node(struct cycle *cycle, const struct node *node, struct reasons *reasons,
                          const char **ret_change);

/* Answers of earlier decisions, kept for pods that ask the same of a node's own state. */
struct rankings;
struct rankings *rankings_new(void);
void rankings_free(struct rankings *rankings);
/* As cycle_choose. Not for a pod for which a node is being cleared: its answers are its own. */
int rankings_choose(struct rankings *rankings, struct cycle *cycle, struct random *random);

/* Whether a pod for which its node is being cleared comes before this one. */
bool cycle_counts(const struct cycle *cycle, const struct pod *nominated);

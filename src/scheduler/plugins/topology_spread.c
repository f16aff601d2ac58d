/* topology_spread.c: PodTopologySpread: pods that a selector matches are spread over the
 * values of a node label. Hard constraints filter: with this pod, the domain may have at most
 * maxSkew more than the emptiest one. Soft constraints score: the fewer in the domain, the better.
 *
 * A pod without constraints of its own is spread softly over hosts (skew 3) and zones (skew 5) with
 * the pods of its Services and its owner, as the default profile does.
 */
#include <math.h>

#include "scheduler/plugins/plugins.h"
#include "scheduler/tally.h"

#define HOSTNAME "kubernetes.io/hostname"
#define ZONE     "topology.kubernetes.io/zone"

struct constraint {
    const struct spread *spread;
    const uint64_t *domains; /* by node; 0: it lacks the label */
    bool per_host;           /* counted on the node itself when scoring */
    int own;                 /* 1: the pod itself matches */
    struct tally counts;
    int64_t least;     /* of the domains; hard only */
    double weight;     /* soft only */
    unsigned question; /* bit in label_set.answers */
};

struct spreading {
    struct constraint *items;
    size_t count;
    bool need_all; /* nodes without all the keys do not take part */
    bool *ignored; /* scoring: by node number */
    uint64_t stamp;
};

/* ---- which constraints ---- */

static struct requirements default_selector(const struct cycle *cycle)
{
    struct arena *arena = cycle->arena;
    const struct shape *shape = cycle->shape;
    struct requirements all = {0};
    MAP_EACH (it, &cycle->cluster->services) {
        const struct selector_source *service = it->value;
        if (str_eq(service->ns, shape->ns) &&
            requirements_match(&service->selector, &shape->labels, STR_NONE)) {
            all = requirements_join(arena, all, service->selector);
        }
    }
    const struct selector_source *owner =
        shape->owner_uid.n > 0 ? map_get(&cycle->cluster->owners, shape->owner_uid) : NULL;
    return owner != NULL ? requirements_join(arena, all, owner->selector) : all;
}

static const struct spread *default_spreads(const struct cycle *cycle, size_t *ret_count)
{
    struct requirements selector = default_selector(cycle);
    if (selector.count == 0 || selector.nothing) {
        *ret_count = 0;
        return NULL;
    }
    struct spread *spreads = arena_array(cycle->arena, struct spread, 2);
    spreads[0] = (struct spread){.max_skew = 3, .key = STR(HOSTNAME)};
    spreads[1] = (struct spread){.max_skew = 5, .key = STR(ZONE)};
    for (int i = 0; i < 2; i++) {
        spreads[i].min_domains = 1;
        spreads[i].key_hash = str_hash(spreads[i].key);
        spreads[i].honor_affinity = true;
        spreads[i].selector = selector;
    }
    *ret_count = 2;
    return spreads;
}

static struct spreading *spreading_new(struct cycle *cycle, bool hard)
{
    size_t count = cycle->shape->spread_count;
    const struct spread *spreads = cycle->shape->spreads;
    bool own = count > 0;
    if (!own && !hard) {
        spreads = default_spreads(cycle, &count);
    }
    struct spreading *spreading = arena_new(cycle->arena, struct spreading);
    spreading->items = arena_array(cycle->arena, struct constraint, count + 1);
    spreading->need_all = own;
    spreading->stamp = ++cycle->cluster->stamp;
    for (size_t i = 0; i < count && spreading->count < 64; i++) {
        if (spreads[i].hard != hard) {
            continue;
        }
        struct constraint *made = &spreading->items[spreading->count];
        made->spread = &spreads[i];
        made->domains = cluster_domains(cycle->cluster, spreads[i].key, spreads[i].key_hash);
        made->per_host = !hard && str_is(spreads[i].key, HOSTNAME);
        made->question = (unsigned)spreading->count++;
        made->own =
            requirements_match(&spreads[i].selector, &cycle->shape->labels, STR_NONE) ? 1 : 0;
    }
    return spreading;
}

/* ---- counting ---- */

static bool has_all_keys(const struct spreading *spreading, const struct node *node)
{
    for (size_t i = 0; i < spreading->count; i++) {
        if (spreading->items[i].domains[node->number] == 0) {
            return false;
        }
    }
    return true;
}

static bool takes_part(const struct cycle *cycle, const struct constraint *constraint,
                       const struct node *node)
{
    const struct spread *spread = constraint->spread;
    return (!spread->honor_affinity || node_affinity_matches(cycle->shape, node)) &&
           (!spread->honor_taints || node_keeps_away(cycle->shape, node) == NULL);
}

/* Which constraints' selectors the labels match; asked once a decision. */
static uint64_t answers_of(const struct spreading *spreading, struct label_set *set)
{
    if (set->stamp != spreading->stamp) {
        set->stamp = spreading->stamp;
        set->answers = 0;
        for (size_t i = 0; i < spreading->count; i++) {
            if (requirements_match(&spreading->items[i].spread->selector, &set->labels, STR_NONE)) {
                set->answers |= 1ULL << i;
            }
        }
    }
    return set->answers;
}

static int64_t count_on(const struct cycle *cycle, const struct spreading *spreading,
                        const struct constraint *constraint, const struct node *node)
{
    int64_t count = 0;
    VEC_EACH (it, &node->label_counts) {
        if (str_eq(it->label_set->ns, cycle->shape->ns) &&
            (answers_of(spreading, it->label_set) >> constraint->question & 1) != 0) {
            count += it->count - it->leaving;
        }
    }
    return count;
}

#define NODES_EACH(it, cluster)                                                                    \
    for (size_t it##_i = 0; it##_i < (cluster)->node_cap; it##_i++)                                \
        for (const struct node *it = (cluster)->nodes[it##_i]; it != NULL; it = NULL)

/* ---- hard ---- */

static struct spreading *count_hard(struct cycle *cycle, struct spreading *spreading)
{
    NODES_EACH(node, cycle->cluster)
    {
        if (!has_all_keys(spreading, node)) {
            continue;
        }
        for (size_t i = 0; i < spreading->count; i++) {
            struct constraint *it = &spreading->items[i];
            if (takes_part(cycle, it, node)) {
                *tally_get(&it->counts, cycle->arena, it->domains[node->number]) +=
                    count_on(cycle, spreading, it, node);
            }
        }
    }
    for (size_t i = 0; i < spreading->count; i++) {
        struct constraint *it = &spreading->items[i];
        it->least = INT64_MAX;
        TALLY_EACH(slot, &it->counts)
        {
            it->least = slot->count < it->least ? slot->count : it->least;
        }
        if (it->counts.used < (size_t)it->spread->min_domains) {
            it->least = 0;
        }
    }
    return spreading;
}

/* 0: fits; 1: too many there; 2: the node lacks the label. */
static int misfit(const struct spreading *spreading, const struct node *node)
{
    for (size_t i = 0; i < spreading->count; i++) {
        const struct constraint *it = &spreading->items[i];
        uint64_t domain = it->domains[node->number];
        if (domain == 0) {
            return 2;
        }
        const int64_t *found = tally_find(&it->counts, domain);
        int64_t there = found != NULL ? *found : 0;
        int64_t least = it->least == INT64_MAX ? 0 : it->least;
        if (there + it->own - least > it->spread->max_skew) {
            return 1;
        }
    }
    return 0;
}

/* One state for both halves: filter looks at `hard`, score at `soft`. */
struct both {
    struct spreading *hard, *soft;
};

static bool filter(const struct cycle *cycle, void *state, const struct node *node)
{
    return misfit(((struct both *)state)->hard, node) == 0;
}

static void explain(const struct cycle *cycle, void *state, const struct node *node,
                    struct reasons *reasons)
{
    if (misfit(((struct both *)state)->hard, node) == 2) {
        reason_add(reasons, true,
                   "node(s) didn't match pod topology spread constraints (missing required label)");
    } else {
        reason_add(reasons, false, "node(s) didn't match pod topology spread constraints");
    }
}

/* ---- soft ---- */

/* Nodes without the label are a domain of their own here. */
static uint64_t own_or_none(const struct constraint *constraint, const struct node *node)
{
    uint64_t domain = constraint->domains[node->number];
    return domain != 0 ? domain : 1;
}

/* Needs the nodes that passed. */
static void count_soft(const struct cycle *cycle, struct spreading *spreading,
                       const struct node *const *nodes, size_t count)
{
    struct arena *arena = cycle->arena;
    size_t taking_part = 0;
    spreading->ignored = arena_array(arena, bool, cycle->cluster->node_cap + 1);
    for (size_t n = 0; n < count; n++) {
        if (spreading->need_all && !has_all_keys(spreading, nodes[n])) {
            spreading->ignored[nodes[n]->number] = true;
            continue;
        }
        taking_part++;
        for (size_t i = 0; i < spreading->count; i++) {
            struct constraint *it = &spreading->items[i];
            if (!it->per_host) {
                tally_get(&it->counts, arena, own_or_none(it, nodes[n]));
            }
        }
    }
    for (size_t i = 0; i < spreading->count; i++) {
        struct constraint *it = &spreading->items[i];
        it->weight = log((double)(it->per_host ? taking_part : it->counts.used) + 2);
    }
    NODES_EACH(node, cycle->cluster)
    {
        if (spreading->need_all && !has_all_keys(spreading, node)) {
            continue;
        }
        for (size_t i = 0; i < spreading->count; i++) {
            struct constraint *it = &spreading->items[i];
            int64_t *domain = it->per_host ? NULL : tally_find(&it->counts, own_or_none(it, node));
            if (domain != NULL && takes_part(cycle, it, node)) {
                *domain += count_on(cycle, spreading, it, node);
            }
        }
    }
}

static int64_t score_of(const struct cycle *cycle, const struct spreading *spreading,
                        const struct node *node)
{
    double sum = 0;
    for (size_t i = 0; i < spreading->count; i++) {
        const struct constraint *it = &spreading->items[i];
        uint64_t domain = it->domains[node->number];
        if (domain == 0) {
            continue;
        }
        int64_t count = 0;
        if (it->per_host) {
            count = count_on(cycle, spreading, it, node);
        } else {
            count = *tally_find(&it->counts, domain);
        }
        sum += (double)count * it->weight + (double)(it->spread->max_skew - 1);
    }
    return (int64_t)round(sum);
}

/* Scores only make sense over all nodes that passed: they are made here. */
static void normalize(const struct cycle *cycle, void *state, const struct node *const *nodes,
                      int64_t *scores, size_t count)
{
    struct spreading *spreading = ((struct both *)state)->soft;
    int64_t least = INT64_MAX, most = 0;
    count_soft(cycle, spreading, nodes, count);
    for (size_t i = 0; i < count; i++) {
        if (spreading->ignored[nodes[i]->number]) {
            continue;
        }
        scores[i] = score_of(cycle, spreading, nodes[i]);
        least = scores[i] < least ? scores[i] : least;
        most = scores[i] > most ? scores[i] : most;
    }
    for (size_t i = 0; i < count; i++) {
        if (spreading->ignored[nodes[i]->number]) {
            scores[i] = 0;
        } else if (most == 0) {
            scores[i] = SCORE_MAX;
        } else {
            scores[i] = SCORE_MAX * (most + least - scores[i]) / most;
        }
    }
}

static int64_t score(const struct cycle *cycle, void *state, const struct node *node)
{
    return 0;
}

static int prepare(struct cycle *cycle, void **state)
{
    struct both *both = arena_new(cycle->arena, struct both);
    int does = PLUGIN_NOTHING;
    *state = both;
    both->hard = spreading_new(cycle, true);
    if (both->hard->count > 0) {
        count_hard(cycle, both->hard);
        does |= PLUGIN_FILTERS | PLUGIN_GLOBAL;
    }
    both->soft = spreading_new(cycle, false);
    if (both->soft->count > 0) {
        does |= PLUGIN_SCORES | PLUGIN_GLOBAL;
    }
    return does;
}

const struct plugin plugin_topology_spread = {
    .name = "PodTopologySpread",
    .weight = 2,
    .events = EVENT_NODE | EVENT_POD_GONE | EVENT_POD_THERE,
    .prepare = prepare,
    .change = "allow a larger skew, or free a place in another domain",
    .filter = filter,
    .explain = explain,
    .score = score,
    .normalize = normalize};

/* inter_pod_affinity.c: InterPodAffinity: a pod wants to be near pods, or far from them, by
 * the value of a node label; pods that are there may want to be far from it. Required terms filter;
 * preferred terms, and required affinity of the others, score.
 *
 * Pods are asked by their labels (one question a set of labels) or by their shape (one question a
 * template), never one by one.
 */
#include "scheduler/plugins/plugins.h"
#include "scheduler/tally.h"

struct affinity {
    struct tally near, far, kept_away, scores;
    bool nobody_near; /* no pod anywhere matches all terms of `near` */
    bool own_near;    /* the pod itself does */
    struct affinity_terms kept_away_keys, score_keys; /* only their keys matter */
    bool any_score;
    uint64_t stamp;
};

/* ---- questions ---- */

static bool covers(const struct cluster *cluster, const struct affinity_term *term, struct str ns)
{
    for (uint32_t i = 0; i < term->namespace_count; i++) {
        if (str_eq(term->namespaces[i], ns)) {
            return true;
        }
    }
    if (!term->by_namespace_labels) {
        return false;
    }
    const struct labels *labels = cluster_namespace_labels(cluster, ns);
    return labels != NULL && requirements_match(&term->namespace_selector, labels, STR_NONE);
}

static bool wants(const struct cluster *cluster, const struct affinity_term *term, struct str ns,
                  const struct labels *labels)
{
    return requirements_match(&term->selector, labels, STR_NONE) && covers(cluster, term, ns);
}

static bool wants_all(const struct cluster *cluster, const struct affinity_terms *terms,
                      struct str ns, const struct labels *labels)
{
    for (uint32_t i = 0; i < terms->count; i++) {
        if (!wants(cluster, &terms->items[i], ns, labels)) {
            return false;
        }
    }
    return terms->count > 0;
}

/* Bits of label_set.answers: 0 matches all `near` terms; then one a term of far, prefer_near,
 * prefer_far. */
static uint64_t ask_labels(const struct cycle *cycle, const struct affinity *affinity,
                           struct label_set *set)
{
    if (set->stamp == affinity->stamp) {
        return set->answers;
    }
    const struct shape *shape = cycle->shape;
    const struct affinity_terms *const lists[] = {&shape->far, &shape->prefer_near,
                                                  &shape->prefer_far};
    unsigned bit = 1;
    set->stamp = affinity->stamp;
    set->answers = wants_all(cycle->cluster, &shape->near, set->ns, &set->labels) ? 1 : 0;
    for (int list = 0; list < 3; list++) {
        for (uint32_t i = 0; i < lists[list]->count && bit < 64; i++, bit++) {
            if (wants(cycle->cluster, &lists[list]->items[i], set->ns, &set->labels)) {
                set->answers |= 1ULL << bit;
            }
        }
    }
    return set->answers;
}

/* ---- counting ---- */

/* The domain of the term's key that the node is in; 0: it lacks the label. */
static uint64_t domain_of(const struct cycle *cycle, const struct node *node,
                          const struct affinity_term *term)
{
    return cluster_domains(cycle->cluster, term->key, term->key_hash)[node->number];
}

static void add(const struct cycle *cycle, struct tally *tally, const struct node *node,
                const struct affinity_term *term, int64_t amount)
{
    uint64_t domain = domain_of(cycle, node, term);
    if (domain != 0) {
        *tally_get(tally, cycle->arena, domain) += amount;
    }
}

/* Remembers the key of a term; there are few different ones. */
static void note_key(const struct cycle *cycle, struct affinity_terms *keys,
                     const struct affinity_term *term)
{
    for (uint32_t i = 0; i < keys->count; i++) {
        if (keys->items[i].key_hash == term->key_hash) {
            return;
        }
    }
    struct affinity_term *more = arena_array(cycle->arena, struct affinity_term, keys->count + 1);
    if (keys->count > 0) {
        memcpy(more, keys->items, keys->count * sizeof *more);
    }
    more[keys->count] = *term;
    *keys = (struct affinity_terms){more, keys->count + 1};
}

static void add_score(const struct cycle *cycle, struct affinity *affinity, const struct node *node,
                      const struct affinity_term *term, int64_t weight)
{
    if (domain_of(cycle, node, term) != 0) {
        affinity->any_score = true;
        note_key(cycle, &affinity->score_keys, term);
        add(cycle, &affinity->scores, node, term, weight);
    }
}

/* What the pod wants of the pods of one node. */
static void count_node(const struct cycle *cycle, struct affinity *affinity,
                       const struct node *node)
{
    const struct shape *shape = cycle->shape;
    VEC_EACH (it, &node->label_counts) {
        uint64_t answers = ask_labels(cycle, affinity, it->label_set);
        int64_t count = it->count;
        unsigned bit = 1;
        for (uint32_t i = 0; (answers & 1) != 0 && i < shape->near.count; i++) {
            affinity->nobody_near =
                affinity->nobody_near && domain_of(cycle, node, &shape->near.items[i]) == 0;
            add(cycle, &affinity->near, node, &shape->near.items[i], count);
        }
        for (uint32_t i = 0; i < shape->far.count; i++, bit++) {
            if ((answers >> bit & 1) != 0) {
                add(cycle, &affinity->far, node, &shape->far.items[i], count);
            }
        }
        for (uint32_t i = 0; i < shape->prefer_near.count; i++, bit++) {
            const struct affinity_term *term = &shape->prefer_near.items[i];
            if ((answers >> bit & 1) != 0) {
                add_score(cycle, affinity, node, term, count * term->weight);
            }
        }
        for (uint32_t i = 0; i < shape->prefer_far.count; i++, bit++) {
            const struct affinity_term *term = &shape->prefer_far.items[i];
            if ((answers >> bit & 1) != 0) {
                add_score(cycle, affinity, node, term, -count * term->weight);
            }
        }
    }
}

/* Whether any term of the shape wants this pod, asked once a shape: bit 0 yes or no. */
static bool shape_cares(const struct cycle *cycle, const struct affinity *affinity,
                        struct shape *shape)
{
    if (shape->stamp != affinity->stamp) {
        const struct affinity_terms *const lists[] = {&shape->far, &shape->near,
                                                      &shape->prefer_near, &shape->prefer_far};
        shape->stamp = affinity->stamp;
        shape->answers = 0;
        for (int list = 0; list < 4; list++) {
            for (uint32_t i = 0; i < lists[list]->count; i++) {
                shape->answers |= wants(cycle->cluster, &lists[list]->items[i], cycle->shape->ns,
                                        &cycle->shape->labels);
            }
        }
    }
    return shape->answers != 0;
}

/* What a pod that is there wants of this one. */
static void count_other(const struct cycle *cycle, struct affinity *affinity,
                        const struct pod *other)
{
    struct shape *shape = other->shape;
    if (!shape_cares(cycle, affinity, shape)) {
        return;
    }
    const struct node *node = cycle->cluster->nodes[other->node];
    const struct affinity_terms *const lists[] = {&shape->far, &shape->near, &shape->prefer_near,
                                                  &shape->prefer_far};
    for (int list = 0; list < 4; list++) {
        for (uint32_t i = 0; i < lists[list]->count; i++) {
            const struct affinity_term *term = &lists[list]->items[i];
            if (!wants(cycle->cluster, term, cycle->shape->ns, &cycle->shape->labels)) {
                continue;
            }
            if (list == 0) {
                note_key(cycle, &affinity->kept_away_keys, term);
                add(cycle, &affinity->kept_away, node, term, 1);
            } else {
                add_score(cycle, affinity, node, term, list == 3 ? -term->weight : term->weight);
            }
        }
    }
}

static int prepare(struct cycle *cycle, void **state)
{
    struct cluster *cluster = cycle->cluster;
    const struct shape *shape = cycle->shape;
    if (!shape->has_affinity && cluster->affinity_pods.count == 0) {
        return PLUGIN_NOTHING;
    }
    struct affinity *affinity = arena_new(cycle->arena, struct affinity);
    *state = affinity;
    affinity->stamp = ++cluster->stamp;
    affinity->nobody_near = true;
    VEC_EACH (it, &cluster->affinity_pods) {
        count_other(cycle, affinity, *it);
    }
    for (size_t i = 0; shape->has_affinity && i < cluster->node_cap; i++) {
        if (cluster->nodes[i] != NULL) {
            count_node(cycle, affinity, cluster->nodes[i]);
        }
    }
    affinity->own_near = wants_all(cluster, &shape->near, shape->ns, &shape->labels);
    int does = PLUGIN_NOTHING;
    if (shape->near.count + shape->far.count > 0 || affinity->kept_away.used > 0) {
        does |= PLUGIN_FILTERS | PLUGIN_GLOBAL;
    }
    return affinity->any_score ? does | PLUGIN_SCORES | PLUGIN_GLOBAL : does;
}

/* ---- filter ---- */

static bool is_near(const struct cycle *cycle, const struct affinity *affinity,
                    const struct node *node)
{
    const struct affinity_terms *near = &cycle->shape->near;
    bool all = true;
    for (uint32_t i = 0; i < near->count; i++) {
        const struct affinity_term *term = &near->items[i];
        uint64_t domain = domain_of(cycle, node, term);
        if (domain == 0) {
            return false;
        }
        const int64_t *found = tally_find(&affinity->near, domain);
        all = all && found != NULL && *found > 0;
    }
    /* The first pod of a group that wants to be together may go anywhere. */
    return all || (affinity->nobody_near && affinity->own_near);
}

/* Whether the node is in a domain that was counted, of any of the keys. */
static bool in_tally(const struct cycle *cycle, const struct tally *tally,
                     const struct affinity_terms *terms, const struct node *node)
{
    for (uint32_t i = 0; i < terms->count; i++) {
        uint64_t domain = domain_of(cycle, node, &terms->items[i]);
        const int64_t *found = domain != 0 ? tally_find(tally, domain) : NULL;
        if (found != NULL && *found > 0) {
            return true;
        }
    }
    return false;
}

static bool kept_away(const struct cycle *cycle, const struct affinity *affinity,
                      const struct node *node)
{
    return affinity->kept_away.used > 0 &&
           in_tally(cycle, &affinity->kept_away, &affinity->kept_away_keys, node);
}

static bool filter(const struct cycle *cycle, void *state, const struct node *node)
{
    const struct affinity *affinity = state;
    return is_near(cycle, affinity, node) &&
           !in_tally(cycle, &affinity->far, &cycle->shape->far, node) &&
           !kept_away(cycle, affinity, node);
}

static void explain(const struct cycle *cycle, void *state, const struct node *node,
                    struct reasons *reasons)
{
    const struct affinity *affinity = state;
    if (!is_near(cycle, affinity, node)) {
        reason_add(reasons, true, "node(s) didn't match pod affinity rules");
    } else if (in_tally(cycle, &affinity->far, &cycle->shape->far, node)) {
        reason_add(reasons, false, "node(s) didn't match pod anti-affinity rules");
    } else {
        reason_add(reasons, false, "node(s) didn't satisfy existing pods anti-affinity rules");
    }
}

/* ---- score ---- */

static int64_t score(const struct cycle *cycle, void *state, const struct node *node)
{
    const struct affinity *affinity = state;
    int64_t sum = 0;
    for (uint32_t i = 0; i < affinity->score_keys.count; i++) {
        uint64_t domain = domain_of(cycle, node, &affinity->score_keys.items[i]);
        const int64_t *found = domain != 0 ? tally_find(&affinity->scores, domain) : NULL;
        sum += found != NULL ? *found : 0;
    }
    return sum;
}

static void normalize(const struct cycle *cycle, void *state, const struct node *const *nodes,
                      int64_t *scores, size_t count)
{
    int64_t least = INT64_MAX, most = INT64_MIN;
    for (size_t i = 0; i < count; i++) {
        least = scores[i] < least ? scores[i] : least;
        most = scores[i] > most ? scores[i] : most;
    }
    for (size_t i = 0; i < count; i++) {
        scores[i] =
            most == least
                ? 0
                : (int64_t)(SCORE_MAX * ((double)(scores[i] - least) / (double)(most - least)));
    }
}

const struct plugin plugin_inter_pod_affinity = {
    .name = "InterPodAffinity",
    .weight = 2,
    .events = EVENT_NODE | EVENT_POD_GONE | EVENT_POD_THERE | EVENT_OTHER,
    .prepare = prepare,
    .change = "change the pod affinity rules, of this pod or of those that refuse it",
    .filter = filter,
    .explain = explain,
    .score = score,
    .normalize = normalize};

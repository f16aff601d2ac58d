/* plugin_inter_pod_affinity.c: InterPodAffinity: a pod wants to be near pods, or far from them, by
 * the value of a node label; pods that are there may want to be far from it. Required terms filter;
 * preferred terms, and required affinity of the others, score.
 *
 * Pods are asked by their labels (one question a set of labels) or by their shape (one question a
 * template), never one by one.
 */
#include "scheduler/plugins.h"
#include "scheduler/tally.h"

struct affinity {
    struct tally near, far, kept_away, scores;
    bool nobody_near; /* no pod anywhere matches all terms of `near` */
    bool own_near;    /* the pod itself does */
    struct {
        uint64_t key_hash;
        struct str key;
    } keys[64];
    size_t key_count;
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

static void add(const struct cycle *cycle, struct tally *tally, const struct node *node,
                const struct affinity_term *term, int64_t amount)
{
    const struct label *label = node_label(node, term->key, term->key_hash);
    if (label != NULL) {
        *tally_get(tally, cycle->arena, tally_domain(term->key_hash, label->value_hash)) += amount;
    }
}

static void add_score(const struct cycle *cycle, struct affinity *affinity, const struct node *node,
                      const struct affinity_term *term, int64_t weight)
{
    size_t i = 0;
    while (i < affinity->key_count && affinity->keys[i].key_hash != term->key_hash) {
        i++;
    }
    if (i == affinity->key_count && i < sizeof affinity->keys / sizeof affinity->keys[0]) {
        affinity->keys[i].key_hash = term->key_hash;
        affinity->keys[i].key = term->key;
        affinity->key_count++;
    }
    if (node_label(node, term->key, term->key_hash) != NULL) {
        affinity->any_score = true;
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
                affinity->nobody_near &&
                node_label(node, shape->near.items[i].key, shape->near.items[i].key_hash) == NULL;
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
        const struct label *label = node_label(node, term->key, term->key_hash);
        if (label == NULL) {
            return false;
        }
        const int64_t *found =
            tally_find(&affinity->near, tally_domain(term->key_hash, label->value_hash));
        all = all && found != NULL && *found > 0;
    }
    /* The first pod of a group that wants to be together may go anywhere. */
    return all || (affinity->nobody_near && affinity->own_near);
}

static bool in_tally(const struct tally *tally, const struct affinity_terms *terms,
                     const struct node *node)
{
    for (uint32_t i = 0; i < terms->count; i++) {
        const struct label *label = node_label(node, terms->items[i].key, terms->items[i].key_hash);
        const int64_t *found =
            label != NULL
                ? tally_find(tally, tally_domain(terms->items[i].key_hash, label->value_hash))
                : NULL;
        if (found != NULL && *found > 0) {
            return true;
        }
    }
    return false;
}

static bool kept_away(const struct affinity *affinity, const struct node *node)
{
    for (uint32_t i = 0; affinity->kept_away.used > 0 && i < node->labels.count; i++) {
        const struct label *label = &node->labels.items[i];
        const int64_t *found =
            tally_find(&affinity->kept_away, tally_domain(label->key_hash, label->value_hash));
        if (found != NULL && *found > 0) {
            return true;
        }
    }
    return false;
}

static bool filter(const struct cycle *cycle, void *state, const struct node *node)
{
    const struct affinity *affinity = state;
    return is_near(cycle, affinity, node) && !in_tally(&affinity->far, &cycle->shape->far, node) &&
           !kept_away(affinity, node);
}

static void explain(const struct cycle *cycle, void *state, const struct node *node,
                    struct reasons *reasons)
{
    const struct affinity *affinity = state;
    if (!is_near(cycle, affinity, node)) {
        reason_add(reasons, true, "node(s) didn't match pod affinity rules");
    } else if (in_tally(&affinity->far, &cycle->shape->far, node)) {
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
    for (size_t i = 0; i < affinity->key_count; i++) {
        const struct label *label =
            node_label(node, affinity->keys[i].key, affinity->keys[i].key_hash);
        const int64_t *found =
            label != NULL
                ? tally_find(&affinity->scores, tally_domain(label->key_hash, label->value_hash))
                : NULL;
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

const struct plugin plugin_inter_pod_affinity = {.name = "InterPodAffinity",
                                                 .weight = 2,
                                                 .events = EVENT_NODE | EVENT_POD_GONE |
                                                           EVENT_POD_THERE | EVENT_OTHER,
                                                 .prepare = prepare,
                                                 .filter = filter,
                                                 .explain = explain,
                                                 .score = score,
                                                 .normalize = normalize};

/* ranking.c: what depends on nothing but a node's own state, remembered.
 *
 * For each set of such wishes the nodes are kept in buckets by score. A decision brings the ranking
 * up to date (only nodes that changed since are looked at again, usually the one of the last
 * decision) and takes any node of the best bucket. A change of anything but pods builds it anew.
 * Where a pod also has wishes that concern other nodes, the ranking saves the rest of the work.
 */
#include "scheduler/cycle.h"

enum { RANKINGS = 64, BUCKETS = 1024 };

struct bucket {
    VEC_OF(int);
};
struct ranking {
    uint64_t id; /* of the wishes; 0: free */
    uint64_t layout, changes, used;
    size_t node_cap;
    int16_t *scores; /* by node; -1: does not pass */
    uint32_t *at;    /* place in its bucket */
    struct bucket buckets[BUCKETS];
    int top; /* no bucket above it has any */
};
struct rankings {
    struct ranking *items[RANKINGS];
    uint64_t clock;
};

struct rankings *rankings_new(void)
{
    return mem_new(struct rankings);
}

static void ranking_free(struct ranking *ranking)
{
    if (ranking == NULL) {
        return;
    }
    for (int i = 0; i < BUCKETS; i++) {
        vec_done(&ranking->buckets[i]);
    }
    free(ranking->scores);
    free(ranking->at);
    free(ranking);
}

void rankings_free(struct rankings *rankings)
{
    for (int i = 0; rankings != NULL && i < RANKINGS; i++) {
        ranking_free(rankings->items[i]);
    }
    free(rankings);
}

static struct ranking *find(struct rankings *rankings, uint64_t id)
{
    int oldest = 0;
    for (int i = 0; i < RANKINGS; i++) {
        struct ranking *ranking = rankings->items[i];
        if (ranking != NULL && ranking->id == id) {
            return ranking;
        }
        if (ranking == NULL ||
            (rankings->items[oldest] != NULL && ranking->used < rankings->items[oldest]->used)) {
            oldest = i;
        }
    }
    ranking_free(rankings->items[oldest]);
    struct ranking *ranking = rankings->items[oldest] = mem_new(struct ranking);
    ranking->id = id;
    ranking->layout = UINT64_MAX;
    return ranking;
}

static int judge(const struct cycle *cycle, const struct node *node)
{
    int64_t total = cycle_judge_alone(cycle, node);
    return total >= BUCKETS ? BUCKETS - 1 : (int)total; /* it is below: three weights of 100 */
}

static void take_out(struct ranking *ranking, int node)
{
    int score = ranking->scores[node];
    if (score < 0) {
        return;
    }
    struct bucket *bucket = &ranking->buckets[score];
    uint32_t at = ranking->at[node];
    int last = bucket->items[--bucket->count];
    bucket->items[at] = last;
    ranking->at[last] = at;
    ranking->scores[node] = -1;
}

static void put_in(struct ranking *ranking, int node, int score)
{
    ranking->scores[node] = (int16_t)score;
    if (score >= 0) {
        ranking->at[node] = (uint32_t)ranking->buckets[score].count;
        *vec_push(&ranking->buckets[score]) = node;
        ranking->top = score > ranking->top ? score : ranking->top;
    }
}

static void build(struct ranking *ranking, const struct cycle *cycle)
{
    const struct cluster *cluster = cycle->cluster;
    for (int i = 0; i < BUCKETS; i++) {
        vec_clear(&ranking->buckets[i]);
    }
    ranking->node_cap = cluster->node_cap;
    ranking->scores =
        mem_realloc(ranking->scores, (cluster->node_cap + 1) * sizeof *ranking->scores);
    ranking->at = mem_realloc(ranking->at, (cluster->node_cap + 1) * sizeof *ranking->at);
    ranking->top = -1;
    for (size_t i = 0; i < cluster->node_cap; i++) {
        put_in(ranking, (int)i, judge(cycle, cluster->nodes[i]));
    }
}

static void bring_up_to_date(struct ranking *ranking, const struct cycle *cycle)
{
    const struct cluster *cluster = cycle->cluster;
    uint64_t behind = cluster->changes - ranking->changes;
    if (ranking->layout != cluster->layout || behind > CHANGES_KEPT ||
        behind > cluster->node_count) {
        build(ranking, cycle);
    } else {
        for (; behind > 0; behind--) {
            int node = (int)cluster->changed[(cluster->changes - behind) % CHANGES_KEPT];
            take_out(ranking, node);
            put_in(ranking, node, judge(cycle, cluster->nodes[node]));
        }
    }
    ranking->layout = cluster->layout;
    ranking->changes = cluster->changes;
}

int rankings_choose(struct rankings *rankings, struct cycle *cycle, struct random *random)
{
    struct ranking *ranking = find(rankings, cycle->shape->local->id);
    ranking->used = ++rankings->clock;
    bring_up_to_date(ranking, cycle);
    if (cycle->global) {
        return cycle_choose_from(cycle, ranking->scores, random, NULL);
    }
    while (ranking->top >= 0 && ranking->buckets[ranking->top].count == 0) {
        ranking->top--;
    }
    if (ranking->top < 0) {
        return -1;
    }
    const struct bucket *best = &ranking->buckets[ranking->top];
    return best->items[random_below(random, best->count)];
}

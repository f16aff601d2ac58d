/* cycle.c: filtering, scoring, choosing, and saying why not. */
#include "scheduler/cycle.h"

#include <stdio.h>

#include "scheduler/plugins/plugins.h"

void scores_normalize(int64_t *scores, size_t count, bool reverse)
{
    int64_t most = 0;
    for (size_t i = 0; i < count; i++) {
        most = scores[i] > most ? scores[i] : most;
    }
    for (size_t i = 0; i < count; i++) {
        int64_t part = most == 0 ? 0 : SCORE_MAX * scores[i] / most;
        scores[i] = reverse ? SCORE_MAX - part : part;
    }
}

bool cycle_counts(const struct cycle *cycle, const struct pod *nominated)
{
    return nominated != cycle->pod && nominated->shape->priority >= cycle->shape->priority;
}

static void add_stage(struct stage *stages, size_t *count, const struct plugin *plugin, void *state,
                      bool global)
{
    stages[(*count)++] = (struct stage){plugin, state, global};
}

bool cycle_prepare(struct cycle *cycle, struct cluster *cluster, const struct pod *pod,
                   struct arena *arena)
{
    *cycle = (struct cycle){.cluster = cluster, .pod = pod, .shape = pod->shape, .arena = arena};
    cluster_trim(cluster);
    for (const struct plugin *const *it = plugins_table; *it != NULL; it++) {
        void *state = NULL;
        int does = (*it)->prepare(cycle, &state);
        if ((does & PLUGIN_REFUSES) != 0) {
            cycle->refusal_events = (*it)->events;
            return false;
        }
        bool global = (does & PLUGIN_GLOBAL) != 0;
        bool relative = global || (does & PLUGIN_RELATIVE) != 0;
        if ((does & PLUGIN_FILTERS) != 0) {
            add_stage(cycle->filters, &cycle->filter_count, *it, state, global);
        }
        if ((does & PLUGIN_SCORES) != 0) {
            add_stage(cycle->scorers, &cycle->scorer_count, *it, state, relative);
        }
        cycle->global = cycle->global || relative;
    }
    return true;
}

static bool passes(const struct cycle *cycle, const struct node *node, bool own, bool global)
{
    for (size_t i = 0; i < cycle->filter_count; i++) {
        const struct stage *it = &cycle->filters[i];
        if ((it->global ? global : own) && !it->plugin->filter(cycle, it->state, node)) {
            return false;
        }
    }
    return true;
}

bool cycle_passes(const struct cycle *cycle, const struct node *node)
{
    return passes(cycle, node, true, true);
}

int64_t cycle_judge_alone(const struct cycle *cycle, const struct node *node)
{
    int64_t total = 0;
    if (node == NULL || !passes(cycle, node, true, false)) {
        return -1;
    }
    for (size_t i = 0; i < cycle->scorer_count; i++) {
        const struct stage *it = &cycle->scorers[i];
        total += it->global ? 0 : it->plugin->weight * it->plugin->score(cycle, it->state, node);
    }
    return total;
}

/* Adds to the totals what the stages with (without) `global` say. */
static void add_scores(const struct cycle *cycle, const struct node *const *nodes, size_t count,
                       int64_t *totals, bool global)
{
    int64_t *scores = arena_array(cycle->arena, int64_t, count + 1);
    for (size_t i = 0; i < cycle->scorer_count; i++) {
        const struct stage *it = &cycle->scorers[i];
        if (it->global != global) {
            continue;
        }
        for (size_t n = 0; n < count; n++) {
            scores[n] = it->plugin->score(cycle, it->state, nodes[n]);
        }
        if (it->plugin->normalize != NULL) {
            it->plugin->normalize(cycle, it->state, nodes, scores, count);
        }
        for (size_t n = 0; n < count; n++) {
            totals[n] += it->plugin->weight * scores[n];
        }
    }
}

static int pick(const struct node *const *nodes, const int64_t *totals, size_t count,
                struct random *random, struct node_numbers *ret_best)
{
    int64_t best = INT64_MIN;
    uint64_t equals = 0;
    int chosen = -1;
    for (size_t n = 0; n < count; n++) {
        if (totals[n] > best) {
            best = totals[n];
            equals = 0;
        }
        if (totals[n] == best && random_below(random, ++equals) == 0) {
            chosen = nodes[n]->number;
        }
    }
    for (size_t n = 0; ret_best != NULL && n < count; n++) {
        if (totals[n] == best) {
            *vec_push(ret_best) = nodes[n]->number;
        }
    }
    return chosen;
}

static int choose_among(struct cycle *cycle, const struct node *const *nodes, int64_t *totals,
                        size_t count, bool own, struct random *random,
                        struct node_numbers *ret_best)
{
    if (count > 1 && own) {
        add_scores(cycle, nodes, count, totals, false);
    }
    if (count > 1) {
        add_scores(cycle, nodes, count, totals, true);
    }
    return pick(nodes, totals, count, random, ret_best);
}

int cycle_choose(struct cycle *cycle, struct random *random, struct node_numbers *ret_best)
{
    struct cluster *cluster = cycle->cluster;
    size_t count = 0, cap = cluster->node_count + 1;
    const struct node **nodes = arena_array(cycle->arena, const struct node *, cap);
    for (size_t i = 0; i < cluster->node_cap; i++) {
        if (cluster->nodes[i] != NULL && cycle_passes(cycle, cluster->nodes[i])) {
            nodes[count++] = cluster->nodes[i];
        }
    }
    return choose_among(cycle, nodes, arena_array(cycle->arena, int64_t, cap), count, true, random,
                        ret_best);
}

int cycle_choose_from(struct cycle *cycle, const int16_t *alone, struct random *random,
                      struct node_numbers *ret_best)
{
    struct cluster *cluster = cycle->cluster;
    size_t count = 0, cap = cluster->node_count + 1;
    const struct node **nodes = arena_array(cycle->arena, const struct node *, cap);
    int64_t *totals = arena_array(cycle->arena, int64_t, cap);
    for (size_t i = 0; i < cluster->node_cap; i++) {
        if (alone[i] >= 0 && passes(cycle, cluster->nodes[i], false, true)) {
            totals[count] = alone[i];
            nodes[count++] = cluster->nodes[i];
        }
    }
    return choose_among(cycle, nodes, totals, count, false, random, ret_best);
}

/* ---- why not ---- */

void reason_add(struct reasons *reasons, bool hopeless, const char *format, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    reasons->hopeless = reasons->hopeless || hopeless;
    VEC_EACH (it, &reasons->list) {
        if (str_is(str_of(it->text), text)) {
            it->nodes++;
            return;
        }
    }
    *vec_push(&reasons->list) = (struct reason){arena_dup(reasons->arena, text, strlen(text)), 1};
}

static void explain_node(struct cycle *cycle, const struct node *node, struct reasons *reasons)
{
    reasons->hopeless = false;
    for (size_t i = 0; i < cycle->filter_count; i++) {
        const struct stage *it = &cycle->filters[i];
        if (!it->plugin->filter(cycle, it->state, node)) {
            it->plugin->explain(cycle, it->state, node, reasons);
            cycle->events |= it->plugin->events;
            break; /* the first one that refuses says why, as upstream */
        }
    }
    reasons->hopeless_nodes += reasons->hopeless ? 1 : 0;
}

/* Adds what this plugin would have changed to what others would. */
static const char *and_change(struct arena *arena, const char *before, const char *change)
{
    return before == NULL ? change : arena_printf(arena, "%s; and %s", before, change);
}

size_t cycle_explain_node(struct cycle *cycle, const struct node *node, struct reasons *reasons,
                          const char **ret_change)
{
    size_t refusing = 0;
    const char *all = NULL;
    for (size_t i = 0; i < cycle->filter_count; i++) {
        const struct stage *it = &cycle->filters[i];
        const char *change = it->plugin->change;
        if (it->plugin->filter(cycle, it->state, node)) {
            continue;
        }
        it->plugin->explain(cycle, it->state, node, reasons);
        if (change == NULL && reasons->nearest != NULL) {
            change =
                arena_printf(cycle->arena, "%s: free that much, or ask for less", reasons->nearest);
        }
        if (change != NULL) {
            all = and_change(cycle->arena, all, change);
        }
        refusing++;
    }
    *ret_change = all;
    return refusing;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *join_reasons(const struct cycle *cycle, const struct reasons *reasons)
{
    struct arena *arena = cycle->arena;
    const char **lines = arena_array(arena, const char *, reasons->list.count + 1);
    for (size_t i = 0; i < reasons->list.count; i++) {
        lines[i] = arena_printf(arena, "%zu %s", reasons->list.items[i].nodes,
                                reasons->list.items[i].text);
    }
    if (reasons->list.count > 0) {
        qsort(lines, reasons->list.count, sizeof *lines, by_text);
    }
    struct buf text BUF_CLEANUP = BUF_INIT;
    for (size_t i = 0; i < reasons->list.count; i++) {
        buf_addz(&text, i > 0 ? ", " : " ");
        buf_addz(&text, lines[i]);
    }
    return arena_dup(arena, text.n > 0 ? text.p : "", text.n);
}

const char *cycle_explain(struct cycle *cycle, const char **ret_nearest, size_t *ret_hopeless)
{
    struct cluster *cluster = cycle->cluster;
    struct reasons reasons = {.arena = cycle->arena, .nearest_lack = -1};
    *ret_nearest = NULL;
    *ret_hopeless = cluster->node_count;
    cycle->events = EVENT_NODE;
    if (cluster->node_count == 0) {
        return "no nodes available to schedule pods";
    }
    if (cycle->refusal != NULL) {
        cycle->events |= cycle->refusal_events;
        return arena_printf(cycle->arena, "0/%zu nodes are available: %s.", cluster->node_count,
                            cycle->refusal);
    }
    for (size_t i = 0; i < cluster->node_cap; i++) {
        if (cluster->nodes[i] != NULL) {
            explain_node(cycle, cluster->nodes[i], &reasons);
        }
    }
    const char *text = join_reasons(cycle, &reasons);
    *ret_nearest = reasons.nearest;
    *ret_hopeless = reasons.hopeless_nodes;
    vec_done(&reasons.list);
    return arena_printf(cycle->arena, "0/%zu nodes are available:%s.", cluster->node_count, text);
}

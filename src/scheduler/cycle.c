/* cycle.c: filtering, scoring, choosing, and saying why not. */
#include "scheduler/cycle.h"

#include <stdio.h>

#include "scheduler/plugins.h"

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

bool cycle_prepare(struct cycle *cycle, struct cluster *cluster, const struct pod *pod,
                   struct arena *arena)
{
    *cycle = (struct cycle){.cluster = cluster, .pod = pod, .shape = pod->shape, .arena = arena};
    for (const struct plugin *const *it = plugins_table; *it != NULL; it++) {
        void *state = NULL;
        int does = (*it)->prepare(cycle, &state);
        if ((does & PLUGIN_REFUSES) != 0) {
            return false;
        }
        if ((does & PLUGIN_FILTERS) != 0) {
            cycle->filter_states[cycle->filter_count] = state;
            cycle->filters[cycle->filter_count++] = *it;
        }
        if ((does & PLUGIN_SCORES) != 0) {
            cycle->score_states[cycle->scorer_count] = state;
            cycle->scorers[cycle->scorer_count++] = *it;
        }
        cycle->global = cycle->global || (does & PLUGIN_GLOBAL) != 0;
    }
    return true;
}

bool cycle_passes(const struct cycle *cycle, const struct node *node)
{
    for (size_t i = 0; i < cycle->filter_count; i++) {
        if (!cycle->filters[i]->filter(cycle, cycle->filter_states[i], node)) {
            return false;
        }
    }
    return true;
}

static int64_t *score_all(const struct cycle *cycle, const struct node *const *nodes, size_t count)
{
    int64_t *totals = arena_array(cycle->arena, int64_t, count + 1);
    int64_t *scores = arena_array(cycle->arena, int64_t, count + 1);
    for (size_t i = 0; i < cycle->scorer_count; i++) {
        const struct plugin *plugin = cycle->scorers[i];
        void *state = cycle->score_states[i];
        for (size_t n = 0; n < count; n++) {
            scores[n] = plugin->score(cycle, state, nodes[n]);
        }
        if (plugin->normalize != NULL) {
            plugin->normalize(cycle, state, nodes, scores, count);
        }
        for (size_t n = 0; n < count; n++) {
            totals[n] += plugin->weight * scores[n];
        }
    }
    return totals;
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

int cycle_choose(struct cycle *cycle, struct random *random, struct node_numbers *ret_best)
{
    struct cluster *cluster = cycle->cluster;
    const struct node **nodes =
        arena_array(cycle->arena, const struct node *, cluster->node_count + 1);
    size_t count = 0;
    for (size_t i = 0; i < cluster->node_cap; i++) {
        if (cluster->nodes[i] != NULL && cycle_passes(cycle, cluster->nodes[i])) {
            nodes[count++] = cluster->nodes[i];
        }
    }
    if (count <= 1) {
        if (count == 1 && ret_best != NULL) {
            *vec_push(ret_best) = nodes[0]->number;
        }
        return count == 0 ? -1 : nodes[0]->number;
    }
    return pick(nodes, score_all(cycle, nodes, count), count, random, ret_best);
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
        const struct plugin *plugin = cycle->filters[i];
        if (!plugin->filter(cycle, cycle->filter_states[i], node)) {
            plugin->explain(cycle, cycle->filter_states[i], node, reasons);
            cycle->events |= plugin->events;
            break; /* the first one that refuses says why, as upstream */
        }
    }
    reasons->hopeless_nodes += reasons->hopeless ? 1 : 0;
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

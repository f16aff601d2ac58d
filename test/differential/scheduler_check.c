/* scheduler_check.c: replays a record of a real kube-scheduler (scheduler_record.py) on stdin: each
 * node it chose must be among our best ones, and our best ones those of the naive reference. Prints
 * one line a difference and a summary; the exit status is 1 when there was any. */
#include <stdio.h>
#include <stdlib.h>

#include "../unit/scheduler/naive.h"
#include "base/mem.h"
#include "scheduler/cycle.h"

struct replay {
    struct arena arena;
    struct cluster *cluster;
    struct naive naive;
    int decisions, differences;
};

static const struct val *parse(struct replay *replay, const char *text)
{
    struct val *value = NULL;
    struct err err = ERR_INIT;
    char *kept = arena_dup(&replay->arena, text, strlen(text));
    if (val_parse_json(&replay->arena, str_of(kept), &value, &err) != 0) {
        fprintf(stderr, "%s\n", err.message);
        exit(2);
    }
    return value;
}

static int index_of(const struct replay *replay, struct str name)
{
    for (int i = 0; i < replay->naive.node_count; i++) {
        if (str_eq(val_name(replay->naive.nodes[i]), name)) {
            return i;
        }
    }
    return -1;
}

static void check_pod(struct replay *replay, struct str node, const struct val *value)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct random dice;
    struct cycle cycle;
    struct node_numbers best = {0};
    long scores[32], most = -1;
    struct pod *pod =
        cluster_pod_new(replay->cluster, val_namespace(value), val_name(value), value);
    random_seeded_init(&dice, 1);
    naive_decide(&replay->naive, value, scores);
    for (int i = 0; i < replay->naive.node_count; i++) {
        most = scores[i] > most ? scores[i] : most;
    }
    int chosen = index_of(replay, node);
    bool ours = cycle_prepare(&cycle, replay->cluster, pod, &arena) &&
                cycle_choose(&cycle, &dice, &best) >= 0;
    bool same = chosen < 0 ? !ours : false;
    VEC_EACH (it, &best) {
        same = same || str_eq(replay->cluster->nodes[*it]->name, node);
    }
    replay->decisions++;
    if (!same || (chosen < 0 ? most >= 0 : scores[chosen] != most)) {
        replay->differences++;
        printf("%.*s: theirs %.*s (%ld by the naive reference), best %ld on",
               STR_ARG(val_name(value)), STR_ARG(node), chosen < 0 ? -1 : scores[chosen], most);
        VEC_EACH (it, &best) {
            printf(" %.*s", STR_ARG(replay->cluster->nodes[*it]->name));
        }
        printf("\n");
    }
    vec_done(&best);
    if (chosen >= 0) {
        cluster_place(replay->cluster, pod, cluster_node(replay->cluster, node)->number);
        replay->naive.pods[replay->naive.pod_count++] = (struct naive_pod){value, chosen};
    }
}

int main(void)
{
    struct replay *replay = mem_new(struct replay);
    char *line = NULL;
    size_t cap = 0;
    replay->cluster = cluster_new();
    while (getline(&line, &cap, stdin) > 0) {
        if (line[0] == 'N') {
            const struct val *value = parse(replay, line + 2);
            replay->naive.nodes[replay->naive.node_count++] = value;
            cluster_set_node(replay->cluster, value);
        } else if (line[0] == 'S') {
            const struct val *value = parse(replay, line + 2);
            replay->naive.services[replay->naive.service_count++] = value;
            cluster_set_service(replay->cluster, val_namespace(value), STR("default/s"),
                                val_path(value, "spec.selector"));
        } else if (line[0] == 'P') {
            struct str rest, node = str_cut(str_of(line + 2), ' ', &rest);
            struct str kept = str_copy_in(&replay->arena, node);
            check_pod(replay, kept, parse(replay, rest.p));
        }
    }
    printf("%d decisions, %d differences\n", replay->decisions, replay->differences);
    free(line);
    return replay->differences > 0;
}

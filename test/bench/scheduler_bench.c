/* scheduler_bench.c: decisions alone, on 5,000 nodes: plain pods, the first of a kind, pods of a
 * Service (spread softly), pods that keep away from each other, a pod that fits nowhere. Prints one
 * line a row: name | value | unit. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "scheduler/preempt.h"

enum { NODES = 5000 };

static double now_us(void) /* of CPU: others may run beside us */
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static const struct val *parse(struct arena *arena, const char *format, ...)
{
    struct buf text = BUF_INIT;
    struct val *value = NULL;
    struct err err = ERR_INIT;
    va_list ap;
    va_start(ap, format);
    buf_vprintf(&text, format, ap);
    va_end(ap);
    for (size_t i = 0; i < text.n; i++) {
        text.p[i] = text.p[i] == '\'' ? '"' : text.p[i];
    }
    char *kept = arena_dup(arena, text.p, text.n);
    if (val_parse_json(arena, str_at(kept, text.n), &value, &err) != 0) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    buf_done(&text);
    return value;
}

static void add_nodes(struct cluster *cluster)
{
    for (int i = 0; i < NODES; i++) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        cluster_set_node(
            cluster,
            parse(&arena,
                  "{'metadata':{'name':'n%d','labels':{'kubernetes.io/hostname':'n%d',"
                  "'topology.kubernetes.io/zone':'z%d'}},'status':{'allocatable':{'cpu':'4',"
                  "'memory':'32Gi','pods':'110'}}}",
                  i, i, i % 3));
    }
}

static void bench(const char *what, const char *spec, const char *labels, bool served, int count)
{
    struct cluster *cluster = cluster_new();
    struct rankings *rankings = rankings_new();
    struct random random;
    struct arena arena ARENA_CLEANUP = ARENA_INIT, texts ARENA_CLEANUP = ARENA_INIT;
    random_seeded_init(&random, 1);
    add_nodes(cluster);
    if (served) {
        cluster_set_service(cluster, STR("x"), STR("x/s"), parse(&texts, "{'app':'a'}"));
    }
    struct pod **pods = mem_array(struct pod *, count);
    double read = 0, decide = 0, first = 0;
    int placed = 0;
    for (int i = 0; i < count; i++) {
        arena_reset(&arena);
        const struct val *value = parse(
            &arena, "{'metadata':{'name':'p%d','namespace':'x','uid':'u%d','labels':{%s}},%s}", i,
            i, labels, spec);
        double start = now_us();
        pods[i] = cluster_pod_new(cluster, STR("x"), val_name(value), value);
        double middle = now_us();
        struct cycle cycle;
        int node = -1;
        if (cycle_prepare(&cycle, cluster, pods[i], &arena)) {
            node = rankings_choose(rankings, &cycle, &random);
        }
        if (node >= 0) {
            cluster_place(cluster, pods[i], node);
            placed++;
        }
        double end = now_us();
        read += middle - start;
        decide += i == 0 ? 0 : end - middle;
        first = i == 0 ? end - middle : first;
    }
    printf("%-44s | %10.2f | us a decision (first %.0f, reading %.2f; %d placed)\n", what,
           decide / (count - 1), first, read / count, placed);
    for (int i = 0; i < count; i++) {
        cluster_take_off(cluster, pods[i]);
        cluster_pod_free(cluster, pods[i]);
    }
    free(pods);
    rankings_free(rankings);
    cluster_free(cluster);
}

#define CONTAINER                                                                                  \
    "'containers':[{'image':'i','resources':{'requests':{'cpu':'100m','memory':'128Mi'}}}]"

int main(void)
{
    bench("plain pods", "'spec':{" CONTAINER "}", "'app':'a'", false, 10000);
    bench("pods of a Service", "'spec':{" CONTAINER "}", "'app':'a'", true, 10000);
    bench("pods that keep away from each other",
          "'spec':{" CONTAINER ",'affinity':{'podAntiAffinity':{"
          "'requiredDuringSchedulingIgnoredDuringExecution':[{'topologyKey':"
          "'kubernetes.io/hostname','labelSelector':{'matchLabels':{'app':'a'}}}]}}}",
          "'app':'a'", false, 4000);
    bench("hard spread over zones",
          "'spec':{" CONTAINER ",'topologySpreadConstraints':[{'maxSkew':1,'topologyKey':"
          "'topology.kubernetes.io/zone','whenUnsatisfiable':'DoNotSchedule','labelSelector':{"
          "'matchLabels':{'app':'a'}}}]}",
          "'app':'a'", false, 4000);
    bench("pods that fit nowhere",
          "'spec':{'containers':[{'image':'i','resources':{'requests':{'cpu':'5'}}}]}", "'a':'b'",
          false, 2000);
    return 0;
}

/* test_reference.c: reliability K3 in small: thousands of random clusters and pods; every decision
 * is among the best of the naive reference, and there is none exactly when the reference has none.
 * Pods are placed and removed in between, so that what is kept from decision to decision is tried.
 *
 * COX_CASES=N runs N decisions; COX_SEED=N replays. */
#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "naive.h"
#include "scheduler/preempt.h"

static struct random dice;

static bool chance(unsigned percent)
{
    return random_below(&dice, 100) < percent;
}

static int below(int bound)
{
    return (int)random_below(&dice, (uint64_t)bound);
}

static const char *one_of(const char *const *list, int count)
{
    return list[below(count)];
}

#define ONE_OF(...)                                                                                \
    one_of((const char *const[]){__VA_ARGS__},                                                     \
           (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)))

/* ' stands for ". */
static const struct val *parse(struct arena *arena, struct buf *text)
{
    struct val *value = NULL;
    struct err err = ERR_INIT;
    for (size_t i = 0; i < text->n; i++) {
        text->p[i] = text->p[i] == '\'' ? '"' : text->p[i];
    }
    char *kept = arena_dup(arena, text->p, text->n);
    if (val_parse_json(arena, str_at(kept, text->n), &value, &err) != 0) {
        fail_msg("%s in %s", err.message, kept);
    }
    buf_done(text);
    return value;
}

static const struct val *random_node(struct arena *arena, int number)
{
    struct buf out = BUF_INIT;
    buf_printf(&out, "{'metadata':{'name':'n%d','labels':{'n':'%d'", number, number);
    if (chance(90)) {
        buf_printf(&out, ",'kubernetes.io/hostname':'n%d'", number);
    }
    if (chance(80)) {
        buf_printf(&out, ",'topology.kubernetes.io/zone':'%s'", ONE_OF("a", "b", "c"));
    }
    buf_printf(&out, ",'disk':'%s'}},'spec':{'x':0", ONE_OF("ssd", "hdd"));
    if (chance(8)) {
        buf_addz(&out, ",'unschedulable':true");
    }
    if (chance(25)) {
        buf_printf(&out, ",'taints':[{'key':'%s','value':'%s','effect':'%s'}", ONE_OF("k", "l"),
                   ONE_OF("v", "w"), ONE_OF("NoSchedule", "PreferNoSchedule", "NoExecute"));
        if (chance(50)) {
            buf_addz(&out, ",{'key':'m','effect':'PreferNoSchedule'}");
        }
        buf_char(&out, ']');
    }
    buf_printf(&out, "},'status':{'allocatable':{'cpu':'%d','memory':'%dGi','pods':'%d'",
               1 + below(8), 1 + below(16), 2 + below(10));
    if (chance(40)) {
        buf_printf(&out, ",'nvidia.com/gpu':'%d'", 1 + below(3));
    }
    buf_addz(&out, "},'images':[{'names':['other:1'],'sizeBytes':5}");
    if (chance(50)) {
        buf_printf(&out, ",{'names':['big:1','big@sha256:1'],'sizeBytes':%d}", 300000000);
    }
    buf_addz(&out, "]}}");
    return parse(arena, &out);
}

static void random_selector(struct buf *out)
{
    switch (below(4)) {
    case 0:
        buf_printf(out, "{'matchLabels':{'app':'%s'}}", ONE_OF("a", "b", "c"));
        break;
    case 1:
        buf_printf(out, "{'matchExpressions':[{'key':'app','operator':'%s','values':['a','%s']}]}",
                   ONE_OF("In", "NotIn"), ONE_OF("b", "c"));
        break;
    case 2:
        buf_printf(out, "{'matchExpressions':[{'key':'tier','operator':'%s'}]}",
                   ONE_OF("Exists", "DoesNotExist"));
        break;
    default:
        buf_addz(out, "{}");
    }
}

static void random_term(struct buf *out)
{
    buf_printf(out, "{'topologyKey':'%s','labelSelector':",
               ONE_OF("kubernetes.io/hostname", "topology.kubernetes.io/zone", "disk"));
    random_selector(out);
    if (chance(20)) {
        buf_addz(out, ",'namespaces':['y']");
    }
    if (chance(20)) {
        buf_printf(out, ",'namespaceSelector':{'matchLabels':{'team':'%s'}}", ONE_OF("t", "u"));
    }
    buf_char(out, '}');
}

static void random_terms(struct buf *out, const char *kind)
{
    buf_printf(out, ",'%s':{'x':0", kind);
    if (chance(60)) {
        buf_addz(out, ",'requiredDuringSchedulingIgnoredDuringExecution':[");
        random_term(out);
        if (chance(30)) {
            buf_char(out, ',');
            random_term(out);
        }
        buf_char(out, ']');
    }
    if (chance(60)) {
        buf_printf(out,
                   ",'preferredDuringSchedulingIgnoredDuringExecution':[{'weight':%d,"
                   "'podAffinityTerm':",
                   1 + below(100));
        random_term(out);
        buf_addz(out, "}]");
    }
    buf_char(out, '}');
}

static void random_node_term(struct buf *out)
{
    switch (below(4)) {
    case 0:
        buf_printf(out, "{'matchExpressions':[{'key':'disk','operator':'In','values':['%s']}]}",
                   ONE_OF("ssd", "hdd"));
        break;
    case 1:
        buf_printf(out, "{'matchExpressions':[{'key':'n','operator':'%s','values':['%d']}]}",
                   ONE_OF("Gt", "Lt"), below(12));
        break;
    case 2:
        buf_printf(out,
                   "{'matchFields':[{'key':'metadata.name','operator':'%s','values':['n%d']}]}",
                   ONE_OF("In", "NotIn"), below(12));
        break;
    default:
        buf_printf(out,
                   "{'matchExpressions':[{'key':'topology.kubernetes.io/zone','operator':'%s'}]}",
                   ONE_OF("Exists", "DoesNotExist"));
    }
}

static void random_affinity(struct buf *out, bool plain)
{
    buf_addz(out, ",'affinity':{'x':0");
    if (chance(20)) {
        buf_addz(out, ",'nodeAffinity':{'x':0");
        if (chance(60)) {
            buf_addz(out, ",'requiredDuringSchedulingIgnoredDuringExecution':{"
                          "'nodeSelectorTerms':[");
            random_node_term(out);
            buf_char(out, ',');
            random_node_term(out);
            buf_addz(out, "]}");
        }
        if (chance(60)) {
            buf_printf(out,
                       ",'preferredDuringSchedulingIgnoredDuringExecution':[{'weight':%d,"
                       "'preference':",
                       1 + below(100));
            random_node_term(out);
            buf_addz(out, "}]");
        }
        buf_char(out, '}');
    }
    if (!plain && chance(25)) {
        random_terms(out, "podAffinity");
    }
    if (!plain && chance(25)) {
        random_terms(out, "podAntiAffinity");
    }
    buf_char(out, '}');
}

static void random_spread(struct buf *out)
{
    buf_addz(out, ",'topologySpreadConstraints':[");
    int count = 1 + below(2);
    for (int i = 0; i < count; i++) {
        buf_printf(out,
                   "%s{'maxSkew':%d,'topologyKey':'%s','whenUnsatisfiable':'%s',"
                   "'labelSelector':",
                   i > 0 ? "," : "", 1 + below(3),
                   i == 0 ? "topology.kubernetes.io/zone" : "kubernetes.io/hostname",
                   ONE_OF("DoNotSchedule", "ScheduleAnyway"));
        random_selector(out);
        if (chance(20)) {
            buf_addz(out, ",'nodeAffinityPolicy':'Ignore'");
        }
        if (chance(20)) {
            buf_addz(out, ",'nodeTaintsPolicy':'Honor'");
        }
        buf_char(out, '}');
    }
    buf_char(out, ']');
}

static const struct val *random_pod(struct arena *arena, int number, bool plain)
{
    struct buf out = BUF_INIT;
    buf_printf(&out, "{'metadata':{'name':'p%d','namespace':'%s','uid':'u%d'", number,
               ONE_OF("x", "x", "y"), number);
    if (chance(10)) {
        buf_addz(&out, ",'deletionTimestamp':'2026-01-01T00:00:00Z'");
    }
    buf_printf(&out,
               ",'labels':{'app':'%s'%s}},'spec':{'containers':[{'image':'%s',"
               "'resources':{'requests':{",
               ONE_OF("a", "b", "c"), chance(50) ? ",'tier':'t'" : "", ONE_OF("big:1", "small:1"));
    const char *comma = "";
    if (chance(70)) {
        buf_printf(&out, "'cpu':'%d00m'", 1 + below(20));
        comma = ",";
    }
    if (chance(60)) {
        buf_printf(&out, "%s'memory':'%dMi'", comma, 100 * (1 + below(20)));
        comma = ",";
    }
    if (chance(10)) {
        buf_printf(&out, "%s'nvidia.com/gpu':'1'", comma);
    }
    buf_addz(&out, "}}");
    if (chance(10)) {
        buf_printf(&out, ",'ports':[{'hostPort':%d,'protocol':'TCP'%s}]", 80 + below(2),
                   chance(50) ? ",'hostIP':'10.0.0.1'" : "");
    }
    buf_printf(&out, "}],'priority':%d", 10 * below(5));
    if (chance(15)) {
        buf_printf(&out, ",'nodeSelector':{'disk':'%s'}", ONE_OF("ssd", "hdd"));
    }
    if (chance(25)) {
        buf_printf(&out, ",'tolerations':[{'key':'%s','operator':'%s','value':'v'}]",
                   ONE_OF("k", "l", "node.kubernetes.io/unschedulable"), ONE_OF("Exists", "Equal"));
    }
    random_affinity(&out, plain);
    if (!plain && chance(25)) {
        random_spread(&out);
    }
    buf_addz(&out, "}}");
    return parse(arena, &out);
}

struct world {
    struct arena arena;
    struct cluster *cluster;
    struct rankings *rankings;
    struct naive naive;
    struct pod *placed[256]; /* beside naive.pods */
    int next;
};

static void world_init(struct world *world, bool served)
{
    world->cluster = cluster_new();
    world->rankings = rankings_new();
    struct naive *naive = &world->naive;
    for (const char *const *ns = (const char *const[]){"x", "y", NULL}; *ns != NULL; ns++) {
        struct buf out = BUF_INIT;
        buf_printf(&out, "{'metadata':{'name':'%s','labels':{'team':'%s'}}}", *ns,
                   ONE_OF("t", "u"));
        const struct val *value = parse(&world->arena, &out);
        naive->namespaces[naive->namespace_count++] = value;
        cluster_set_namespace(world->cluster, str_of(*ns), val_path(value, "metadata.labels"),
                              false);
    }
    if (served) {
        struct buf out = BUF_INIT;
        buf_printf(&out,
                   "{'metadata':{'name':'s','namespace':'x'},'spec':{'selector':{'app':'%s'"
                   "}}}",
                   ONE_OF("a", "b"));
        const struct val *value = parse(&world->arena, &out);
        naive->services[naive->service_count++] = value;
        cluster_set_service(world->cluster, STR("x"), STR("x/s"), val_path(value, "spec.selector"));
    }
    naive->node_count = 1 + below(12);
    for (int i = 0; i < naive->node_count; i++) {
        naive->nodes[i] = random_node(&world->arena, i);
        cluster_set_node(world->cluster, naive->nodes[i]);
    }
}

static void world_done(struct world *world)
{
    for (int i = 0; i < world->naive.pod_count; i++) {
        cluster_take_off(world->cluster, world->placed[i]);
        cluster_pod_free(world->cluster, world->placed[i]);
    }
    rankings_free(world->rankings);
    cluster_free(world->cluster);
    arena_done(&world->arena);
}

static int number_in_naive(const struct world *world, int number)
{
    for (int i = 0; i < world->naive.node_count; i++) {
        if (str_eq(val_name(world->naive.nodes[i]), world->cluster->nodes[number]->name)) {
            return i;
        }
    }
    return -1;
}

static struct pod *pod_new(struct world *world, const struct val *value)
{
    struct pod *pod = cluster_pod_new(world->cluster, val_namespace(value), val_name(value), value);
    if (val_path(value, "metadata.deletionTimestamp") != NULL) {
        cluster_set_terminating(world->cluster, pod);
    }
    return pod;
}

static void place(struct world *world, struct pod *pod, const struct val *value, int number)
{
    struct naive *naive = &world->naive;
    cluster_place(world->cluster, pod, number);
    world->placed[naive->pod_count] = pod;
    naive->pods[naive->pod_count++] = (struct naive_pod){value, number_in_naive(world, number)};
}

static void remove_one(struct world *world)
{
    struct naive *naive = &world->naive;
    int i = below(naive->pod_count);
    cluster_take_off(world->cluster, world->placed[i]);
    cluster_pod_free(world->cluster, world->placed[i]);
    world->placed[i] = world->placed[--naive->pod_count];
    naive->pods[i] = naive->pods[naive->pod_count];
}

static void check(struct world *world, uint64_t seed, const struct val *value, struct pod *pod,
                  int *ret_node)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct cycle cycle;
    struct node_numbers best = {0};
    long scores[32];
    naive_decide(&world->naive, value, scores);
    long most = -1;
    size_t equals = 0;
    for (int i = 0; i < world->naive.node_count; i++) {
        if (scores[i] > most) {
            most = scores[i];
            equals = 0;
        }
        equals += most >= 0 && scores[i] == most;
    }
    assert_true(cycle_prepare(&cycle, world->cluster, pod, &arena));
    int node = cycle_choose(&cycle, &dice, &best);
    bool good = node < 0 ? most < 0 : scores[number_in_naive(world, node)] == most;
    VEC_EACH (it, &best) {
        good = good && scores[number_in_naive(world, *it)] == most;
    }
    good = good && best.count == equals;
    {
        struct cycle again; /* some states count once */
        assert_true(cycle_prepare(&again, world->cluster, pod, &arena));
        int ranked = rankings_choose(world->rankings, &again, &dice);
        good = good && (ranked < 0 ? most < 0 : scores[number_in_naive(world, ranked)] == most);
    }
    const char *nearest = NULL;
    size_t hopeless = 0;
    if (node < 0) {
        assert_non_null(cycle_explain(&cycle, &nearest, &hopeless));
    }
    if (!good) {
        struct buf text BUF_CLEANUP = BUF_INIT;
        val_write_json(value, &text);
        print_message("seed %llu: chose %d, best of the reference %ld, %zu of %zu\n%s\n",
                      (unsigned long long)seed, node, most, best.count, equals, text.p);
        for (int i = 0; i < world->naive.node_count; i++) {
            buf_clear(&text);
            val_write_json(world->naive.nodes[i], &text);
            print_message("%ld %s\n", scores[i], text.p);
        }
        fail();
    }
    vec_done(&best);
    *ret_node = node;
}

/* One cluster, some dozens of decisions. */
static int run(uint64_t seed)
{
    struct world *world = mem_new(struct world);
    random_seeded_init(&dice, seed);
    world_init(world, chance(50));
    bool plain = chance(40);
    int decisions = 0, kinds = 0;
    const struct val *templates[60];
    for (int i = 0; i < 60; i++) {
        if (kinds == 0 || chance(40)) { /* else another pod of a template, as most are */
            templates[kinds++] = random_pod(&world->arena, world->next++, plain);
        }
        const struct val *value = templates[below(kinds)];
        struct pod *pod = pod_new(world, value);
        int node = -1;
        check(world, seed, value, pod, &node);
        decisions++;
        if (node >= 0) {
            place(world, pod, value, node);
        } else {
            cluster_pod_free(world->cluster, pod);
        }
        if (world->naive.pod_count > 0 && chance(25)) {
            remove_one(world);
        }
        if (chance(5)) { /* the node changes under its pods */
            int which = below(world->naive.node_count);
            int number;
            struct str rest = str_from(val_name(world->naive.nodes[which]), 1);
            uint64_t name = 0;
            assert_true(str_u64(rest, &name));
            number = (int)name;
            world->naive.nodes[which] = random_node(&world->arena, number);
            cluster_set_node(world->cluster, world->naive.nodes[which]);
        }
    }
    world_done(world);
    free(world);
    return decisions;
}

/* ---- preemption ---- */

static int priority_of(const struct val *pod)
{
    return (int)val_int(val_path(pod, "spec.priority"), 0);
}

/* Whether the pod passes on the node when its pods with a priority up to `upto` are gone. */
static bool passes_without(const struct world *world, const struct val *value, int node, int upto)
{
    struct naive without = world->naive;
    long scores[32];
    for (int i = 0; i < without.pod_count; i++) {
        if (without.pods[i].node == node && priority_of(without.pods[i].value) <= upto) {
            without.pods[i].node = -1;
        }
    }
    naive_decide(&without, value, scores);
    return scores[node] >= 0;
}

static void check_victims(struct world *world, const struct val *value,
                          const struct preemption *found)
{
    struct naive after = world->naive;
    int chosen = number_in_naive(world, found->node), highest = -1;
    int places[64];
    long scores[32];
    for (size_t v = 0; v < found->victims.count; v++) {
        int i = 0;
        while (world->placed[i] != found->victims.items[v]) {
            i++;
        }
        assert_true(after.pods[i].node == chosen);
        assert_true(priority_of(after.pods[i].value) < priority_of(value));
        highest =
            priority_of(after.pods[i].value) > highest ? priority_of(after.pods[i].value) : highest;
        after.pods[i].node = -1;
        places[v] = i;
    }
    naive_decide(&after, value, scores);
    assert_true(scores[chosen] >= 0);
    for (size_t v = 0; v < found->victims.count; v++) { /* none could have stayed */
        after.pods[places[v]].node = chosen;
        naive_decide(&after, value, scores);
        assert_true(scores[chosen] < 0);
        after.pods[places[v]].node = -1;
    }
    for (int n = 0; n < world->naive.node_count; n++) { /* nowhere do lesser ones suffice */
        assert_false(passes_without(world, value, n, highest - 1));
    }
}

static bool run_preemption(uint64_t seed, int *ret_found)
{
    struct world *world = mem_new(struct world);
    random_seeded_init(&dice, seed);
    world_init(world, false);
    for (int i = 0; i < 60; i++) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        const struct val *value = random_pod(&world->arena, world->next++, true);
        struct pod *pod = pod_new(world, value);
        struct cycle cycle;
        int node = -1;
        check(world, seed, value, pod, &node);
        if (node >= 0) {
            place(world, pod, value, node);
            continue;
        }
        struct preemption found;
        assert_true(cycle_prepare(&cycle, world->cluster, pod, &arena));
        preempt_find(&cycle, &dice, &found);
        check(world, seed, value, pod, &node); /* nothing has changed */
        assert_int_equal(node, -1);
        if (found.node >= 0) {
            check_victims(world, value, &found);
            (*ret_found)++;
        }
        for (int n = 0; n < world->naive.node_count && found.node < 0; n++) {
            assert_false(passes_without(world, value, n, priority_of(value) - 1));
        }
        vec_done(&found.victims);
        cluster_pod_free(world->cluster, pod);
    }
    world_done(world);
    free(world);
    return true;
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t value = otherwise;
    return text != NULL && str_u64(str_of(text), &value) ? value : otherwise;
}

static void decides_as_the_reference(void **state)
{
    uint64_t seed = number_from("COX_SEED", 1), cases = number_from("COX_CASES", 6000);
    for (uint64_t done = 0; done < cases; seed++) {
        done += (uint64_t)run(seed);
    }
}

static void preempts_as_few_and_as_unimportant_as_possible(void **state)
{
    uint64_t seed = number_from("COX_SEED", 1);
    int found = 0;
    for (uint64_t i = 0; i < 60; i++) {
        run_preemption(seed + i, &found);
    }
    assert_true(found > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decides_as_the_reference),
        cmocka_unit_test(preempts_as_few_and_as_unimportant_as_possible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

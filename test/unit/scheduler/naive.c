/* naive.c: see naive.h. */
#include "naive.h"

#include <math.h>
#include <stdlib.h>

#include "api/quantity.h"

/* ---- small questions ---- */

static struct str text(const struct val *object, const char *path)
{
    return val_text(val_path(object, path));
}

static struct val *member(const struct val *object, const char *name)
{
    return val_get_str(object, str_of(name));
}

static const struct val *label_of(const struct val *object, struct str key)
{
    return val_get_str(val_path(object, "metadata.labels"), key);
}

static bool expression_holds(const struct val *expression, const struct val *value)
{
    struct str op = text(expression, "operator");
    bool in = false;
    VAL_EACH (it, member(expression, "values")) {
        in = in || (value != NULL && str_eq(val_text(it), val_text(value)));
    }
    if (str_is(op, "In")) {
        return in;
    }
    if (str_is(op, "NotIn")) {
        return !in;
    }
    if (str_is(op, "Exists")) {
        return value != NULL;
    }
    if (str_is(op, "DoesNotExist")) {
        return value == NULL;
    }
    int64_t a = 0, b = 0;
    if (value == NULL || !str_i64(val_text(value), &a) ||
        !str_i64(val_text(val_at(member(expression, "values"), 0)), &b)) {
        return false;
    }
    return str_is(op, "Gt") ? a > b : a < b;
}

/* metav1.LabelSelector; absent matches nothing. */
static bool selector_holds(const struct val *selector, const struct val *object)
{
    if (val_absent(selector)) {
        return false;
    }
    VAL_EACH (it, member(selector, "matchLabels")) {
        const struct val *value = label_of(object, it->key);
        if (value == NULL || !str_eq(val_text(value), val_text(it))) {
            return false;
        }
    }
    VAL_EACH (it, member(selector, "matchExpressions")) {
        if (!expression_holds(it, label_of(object, text(it, "key")))) {
            return false;
        }
    }
    return true;
}

static bool node_term_holds(const struct val *term, const struct val *node)
{
    if (val_count(member(term, "matchExpressions")) + val_count(member(term, "matchFields")) == 0) {
        return false;
    }
    VAL_EACH (it, member(term, "matchExpressions")) {
        if (!expression_holds(it, label_of(node, text(it, "key")))) {
            return false;
        }
    }
    VAL_EACH (it, member(term, "matchFields")) {
        if (!expression_holds(it, val_path(node, "metadata.name"))) {
            return false;
        }
    }
    return true;
}

static bool node_affinity_holds(const struct val *pod, const struct val *node)
{
    VAL_EACH (it, val_path(pod, "spec.nodeSelector")) {
        const struct val *value = label_of(node, it->key);
        if (value == NULL || !str_eq(val_text(value), val_text(it))) {
            return false;
        }
    }
    const struct val *required =
        val_path(pod, "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution");
    if (required == NULL) {
        return true;
    }
    VAL_EACH (it, member(required, "nodeSelectorTerms")) {
        if (node_term_holds(it, node)) {
            return true;
        }
    }
    return false;
}

static bool tolerates(const struct val *pod, struct str key, struct str value, struct str effect)
{
    VAL_EACH (it, val_path(pod, "spec.tolerations")) {
        bool exists = str_is(text(it, "operator"), "Exists");
        struct str own_effect = text(it, "effect"), own_key = text(it, "key");
        if (own_effect.n > 0 && !str_eq(own_effect, effect)) {
            continue;
        }
        if (own_key.n == 0 ? exists
                           : str_eq(own_key, key) && (exists || str_eq(text(it, "value"), value))) {
            return true;
        }
    }
    return false;
}

static int untolerated(const struct val *pod, const struct val *node, bool soft)
{
    int count = 0;
    VAL_EACH (it, val_path(node, "spec.taints")) {
        bool prefers = str_is(text(it, "effect"), "PreferNoSchedule");
        if (prefers == soft &&
            !tolerates(pod, text(it, "key"), text(it, "value"), text(it, "effect"))) {
            count++;
        }
    }
    return count;
}

static int64_t request_of(const struct val *pod, const char *resource, int64_t otherwise)
{
    int64_t sum = 0;
    bool milli = str_is(str_of(resource), "cpu");
    VAL_EACH (it, val_path(pod, "spec.containers")) {
        const struct val *value = member(val_path(it, "resources.requests"), resource);
        struct quantity quantity;
        if (value != NULL && quantity_parse(val_text(value), &quantity)) {
            sum += milli ? quantity_milli(quantity) : quantity_value(quantity);
        } else {
            sum += otherwise;
        }
    }
    return sum;
}

static int64_t allocatable(const struct val *node, const char *resource)
{
    struct quantity quantity;
    const struct val *value = member(val_path(node, "status.allocatable"), resource);
    if (value == NULL || !quantity_parse(val_text(value), &quantity)) {
        return 0;
    }
    return str_is(str_of(resource), "cpu") ? quantity_milli(quantity) : quantity_value(quantity);
}

static int64_t used_on(const struct naive *naive, int node, const char *resource, int64_t otherwise)
{
    int64_t sum = 0;
    for (int i = 0; i < naive->pod_count; i++) {
        if (naive->pods[i].node == node) {
            sum += request_of(naive->pods[i].value, resource, otherwise);
        }
    }
    return sum;
}

/* ---- filters ---- */

static bool fits(const struct naive *naive, const struct val *pod, int node)
{
    static const char *const all[] = {"cpu", "memory", "nvidia.com/gpu"};
    int64_t there = 0;
    for (int i = 0; i < naive->pod_count; i++) {
        there += naive->pods[i].node == node;
    }
    if (there + 1 > allocatable(naive->nodes[node], "pods")) {
        return false;
    }
    for (int i = 0; i < 3; i++) {
        int64_t wanted = request_of(pod, all[i], 0);
        if (wanted > 0 &&
            wanted > allocatable(naive->nodes[node], all[i]) - used_on(naive, node, all[i], 0)) {
            return false;
        }
    }
    return true;
}

static bool ports_clash(const struct val *a, const struct val *b)
{
    VAL_EACH (left, val_path(val_at(val_path(a, "spec.containers"), 0), "ports")) {
        VAL_EACH (right, val_path(val_at(val_path(b, "spec.containers"), 0), "ports")) {
            struct str x = text(left, "hostIP"), y = text(right, "hostIP");
            bool any = x.n == 0 || y.n == 0 || str_is(x, "0.0.0.0") || str_is(y, "0.0.0.0");
            if (val_int(member(left, "hostPort"), 0) == val_int(member(right, "hostPort"), 0) &&
                str_eq(text(left, "protocol"), text(right, "protocol")) && (any || str_eq(x, y))) {
                return true;
            }
        }
    }
    return false;
}

static bool ports_free(const struct naive *naive, const struct val *pod, int node)
{
    for (int i = 0; i < naive->pod_count; i++) {
        if (naive->pods[i].node == node && ports_clash(pod, naive->pods[i].value)) {
            return false;
        }
    }
    return true;
}

/* ---- spreading ---- */

static int spread_matches(const struct naive *naive, const struct val *pod,
                          const struct val *constraint, int node)
{
    int count = 0;
    for (int i = 0; i < naive->pod_count; i++) {
        const struct val *other = naive->pods[i].value;
        count += naive->pods[i].node == node &&
                 val_path(other, "metadata.deletionTimestamp") == NULL &&
                 str_eq(val_namespace(other), val_namespace(pod)) &&
                 selector_holds(member(constraint, "labelSelector"), other);
    }
    return count;
}

static bool spread_includes(const struct val *pod, const struct val *constraint,
                            const struct val *node)
{
    return (str_is(text(constraint, "nodeAffinityPolicy"), "Ignore") ||
            node_affinity_holds(pod, node)) &&
           (!str_is(text(constraint, "nodeTaintsPolicy"), "Honor") ||
            untolerated(pod, node, false) == 0);
}

static bool has_keys(const struct val *constraints, bool hard, const struct val *node)
{
    VAL_EACH (it, constraints) {
        if (str_is(text(it, "whenUnsatisfiable"), "DoNotSchedule") == hard &&
            label_of(node, text(it, "topologyKey")) == NULL) {
            return false;
        }
    }
    return true;
}

static int domain_count(const struct naive *naive, const struct val *pod,
                        const struct val *constraints, const struct val *constraint, bool hard,
                        struct str value, bool *ret_exists)
{
    int count = 0;
    *ret_exists = false;
    for (int n = 0; n < naive->node_count; n++) {
        const struct val *label = label_of(naive->nodes[n], text(constraint, "topologyKey"));
        if (label != NULL && str_eq(val_text(label), value) &&
            has_keys(constraints, hard, naive->nodes[n]) &&
            spread_includes(pod, constraint, naive->nodes[n])) {
            *ret_exists = true;
            count += spread_matches(naive, pod, constraint, n);
        }
    }
    return count;
}

static bool spread_allows(const struct naive *naive, const struct val *pod, int node)
{
    const struct val *constraints = val_path(pod, "spec.topologySpreadConstraints");
    VAL_EACH (it, constraints) {
        if (!str_is(text(it, "whenUnsatisfiable"), "DoNotSchedule")) {
            continue;
        }
        const struct val *own = label_of(naive->nodes[node], text(it, "topologyKey"));
        if (own == NULL) {
            return false;
        }
        int least = INT32_MAX, domains = 0;
        bool exists;
        for (int n = 0; n < naive->node_count; n++) {
            const struct val *label = label_of(naive->nodes[n], text(it, "topologyKey"));
            bool seen = false;
            for (int m = 0; m < n; m++) { /* each domain once, for counting them */
                const struct val *other = label_of(naive->nodes[m], text(it, "topologyKey"));
                bool ex = false;
                if (label != NULL && other != NULL && str_eq(val_text(label), val_text(other))) {
                    ex = true;
                }
                seen = seen || ex;
            }
            if (label == NULL || seen) {
                continue;
            }
            int count = domain_count(naive, pod, constraints, it, true, val_text(label), &exists);
            if (exists) {
                domains++;
                least = count < least ? count : least;
            }
        }
        if (least == INT32_MAX || domains < val_int(member(it, "minDomains"), 1)) {
            least = 0;
        }
        int there = domain_count(naive, pod, constraints, it, true, val_text(own), &exists);
        int self = selector_holds(member(it, "labelSelector"), pod) ? 1 : 0;
        if (there + self - least > val_int(member(it, "maxSkew"), 1)) {
            return false;
        }
    }
    return true;
}

/* ---- affinity ---- */

#define REQUIRED  "requiredDuringSchedulingIgnoredDuringExecution"
#define PREFERRED "preferredDuringSchedulingIgnoredDuringExecution"

static const struct val *terms_of(const struct val *pod, const char *kind, const char *when)
{
    return member(member(val_path(pod, "spec.affinity"), kind), when);
}

static bool term_wants(const struct naive *naive, const struct val *owner, const struct val *term,
                       const struct val *pod)
{
    const struct val *list = member(term, "namespaces");
    const struct val *selector = member(term, "namespaceSelector");
    bool covered =
        list == NULL && selector == NULL && str_eq(val_namespace(owner), val_namespace(pod));
    VAL_EACH (it, list) {
        covered = covered || str_eq(val_text(it), val_namespace(pod));
    }
    for (int i = 0; i < naive->namespace_count && selector != NULL; i++) {
        covered = covered || (str_eq(val_name(naive->namespaces[i]), val_namespace(pod)) &&
                              selector_holds(selector, naive->namespaces[i]));
    }
    return covered && selector_holds(member(term, "labelSelector"), pod);
}

static bool same_domain(const struct naive *naive, int a, int b, struct str key)
{
    const struct val *left = label_of(naive->nodes[a], key),
                     *right = label_of(naive->nodes[b], key);
    return left != NULL && right != NULL && str_eq(val_text(left), val_text(right));
}

static bool wants_all(const struct naive *naive, const struct val *pod, const struct val *terms,
                      const struct val *other)
{
    VAL_EACH (it, terms) {
        if (!term_wants(naive, pod, it, other)) {
            return false;
        }
    }
    return val_count(terms) > 0;
}

static bool near_holds(const struct naive *naive, const struct val *pod, int node)
{
    const struct val *near = terms_of(pod, "podAffinity", REQUIRED);
    bool all = true, somebody = false;
    VAL_EACH (it, near) {
        if (label_of(naive->nodes[node], text(it, "topologyKey")) == NULL) {
            return false;
        }
        bool found = false;
        for (int i = 0; i < naive->pod_count; i++) {
            const struct naive_pod *other = &naive->pods[i];
            if (other->node < 0 || !wants_all(naive, pod, near, other->value)) {
                continue;
            }
            somebody =
                somebody || label_of(naive->nodes[other->node], text(it, "topologyKey")) != NULL;
            found = found || same_domain(naive, node, other->node, text(it, "topologyKey"));
        }
        all = all && found;
    }
    return all || (!somebody && wants_all(naive, pod, near, pod));
}

static bool affinity_allows(const struct naive *naive, const struct val *pod, int node)
{
    for (int i = 0; i < naive->pod_count; i++) {
        const struct naive_pod *other = &naive->pods[i];
        if (other->node < 0) {
            continue;
        }
        VAL_EACH (it, terms_of(other->value, "podAntiAffinity", REQUIRED)) {
            if (term_wants(naive, other->value, it, pod) &&
                same_domain(naive, node, other->node, text(it, "topologyKey"))) {
                return false;
            }
        }
        VAL_EACH (it, terms_of(pod, "podAntiAffinity", REQUIRED)) {
            if (term_wants(naive, pod, it, other->value) &&
                same_domain(naive, node, other->node, text(it, "topologyKey"))) {
                return false;
            }
        }
    }
    return near_holds(naive, pod, node);
}

static long affinity_score(const struct naive *naive, const struct val *pod, int node)
{
    static const struct {
        const char *kind;
        int sign;
    } kinds[] = {{"podAffinity", 1}, {"podAntiAffinity", -1}};
    long sum = 0;
    for (int i = 0; i < naive->pod_count; i++) {
        const struct naive_pod *other = &naive->pods[i];
        for (int k = 0; k < 2 && other->node >= 0; k++) {
            VAL_EACH (it, terms_of(pod, kinds[k].kind, PREFERRED)) {
                const struct val *term = member(it, "podAffinityTerm");
                if (term_wants(naive, pod, term, other->value) &&
                    same_domain(naive, node, other->node, text(term, "topologyKey"))) {
                    sum += kinds[k].sign * val_int(member(it, "weight"), 0);
                }
            }
            VAL_EACH (it, terms_of(other->value, kinds[k].kind, PREFERRED)) {
                const struct val *term = member(it, "podAffinityTerm");
                if (term_wants(naive, other->value, term, pod) &&
                    same_domain(naive, node, other->node, text(term, "topologyKey"))) {
                    sum += kinds[k].sign * val_int(member(it, "weight"), 0);
                }
            }
        }
        VAL_EACH (it, other->node >= 0 ? terms_of(other->value, "podAffinity", REQUIRED) : NULL) {
            if (term_wants(naive, other->value, it, pod) &&
                same_domain(naive, node, other->node, text(it, "topologyKey"))) {
                sum += 1;
            }
        }
    }
    return sum;
}

/* ---- scores ---- */

static long least_allocated(const struct naive *naive, const struct val *pod, int node)
{
    static const struct {
        const char *name;
        int64_t otherwise;
    } all[] = {{"cpu", 100}, {"memory", 200 * 1024 * 1024}};
    long sum = 0, count = 0;
    for (int i = 0; i < 2; i++) {
        int64_t has = allocatable(naive->nodes[node], all[i].name);
        int64_t used = used_on(naive, node, all[i].name, all[i].otherwise) +
                       request_of(pod, all[i].name, all[i].otherwise);
        if (has > 0) {
            sum += used > has ? 0 : (long)((has - used) * 100 / has);
            count++;
        }
    }
    return count > 0 ? sum / count : 0;
}

static long balance(const struct naive *naive, int node, int64_t cpu, int64_t memory)
{
    double has_cpu = (double)allocatable(naive->nodes[node], "cpu");
    double has_memory = (double)allocatable(naive->nodes[node], "memory");
    if (has_cpu == 0 || has_memory == 0) {
        return 100;
    }
    double a = fmin(1, (double)(cpu + used_on(naive, node, "cpu", 0)) / has_cpu);
    double b = fmin(1, (double)(memory + used_on(naive, node, "memory", 0)) / has_memory);
    return (long)((1 - fabs((a - b) / 2)) * 100);
}

static long balanced(const struct naive *naive, const struct val *pod, int node)
{
    int64_t cpu = request_of(pod, "cpu", 0), memory = request_of(pod, "memory", 0);
    if (cpu == 0 && memory == 0) {
        return 0;
    }
    return 50 + (50 + balance(naive, node, cpu, memory) - balance(naive, node, 0, 0)) / 2;
}

static int64_t image_size(const struct val *node, struct str image)
{
    VAL_EACH (it, val_path(node, "status.images")) {
        VAL_EACH (name, member(it, "names")) {
            if (str_eq(val_text(name), image)) {
                return val_int(member(it, "sizeBytes"), 0);
            }
        }
    }
    return -1;
}

static long image_locality(const struct naive *naive, const struct val *pod, int node)
{
    int64_t sum = 0, mb = 1024 * 1024;
    int containers = 0;
    VAL_EACH (it, val_path(pod, "spec.containers")) {
        int nodes = 0;
        containers++;
        for (int n = 0; n < naive->node_count; n++) {
            nodes += image_size(naive->nodes[n], text(it, "image")) >= 0;
        }
        int64_t size = image_size(naive->nodes[node], text(it, "image"));
        if (size >= 0) {
            sum += (int64_t)((double)size * ((double)nodes / naive->node_count));
        }
    }
    int64_t low = 23 * mb, high = 1000 * mb * containers;
    sum = sum < low ? low : sum > high ? high : sum;
    return (long)(100 * (sum - low) / (high - low));
}

static long node_preference(const struct val *pod, const struct val *node)
{
    long sum = 0;
    VAL_EACH (it, val_path(pod, "spec.affinity.nodeAffinity." PREFERRED)) {
        if (node_term_holds(member(it, "preference"), node)) {
            sum += val_int(member(it, "weight"), 0);
        }
    }
    return sum;
}

struct soft {
    struct str key;
    int skew;
    const struct val *constraint; /* NULL: the defaults, by `services` */
};

static bool service_selects(const struct val *service, const struct val *pod)
{
    const struct val *selector = val_path(service, "spec.selector");
    VAL_EACH (it, selector) {
        const struct val *value = label_of(pod, it->key);
        if (value == NULL || !str_eq(val_text(value), val_text(it))) {
            return false;
        }
    }
    return val_count(selector) > 0;
}

/* Pods of the node that count for the constraint. */
static int soft_count(const struct naive *naive, const struct val *pod, const struct soft *soft,
                      int node)
{
    if (soft->constraint != NULL) {
        return spread_matches(naive, pod, soft->constraint, node);
    }
    int count = 0;
    for (int i = 0; i < naive->pod_count; i++) {
        const struct val *other = naive->pods[i].value;
        bool all = naive->pods[i].node == node &&
                   val_path(other, "metadata.deletionTimestamp") == NULL &&
                   str_eq(val_namespace(other), val_namespace(pod));
        for (int s = 0; s < naive->service_count && all; s++) {
            if (str_eq(val_namespace(naive->services[s]), val_namespace(pod)) &&
                service_selects(naive->services[s], pod)) {
                all = service_selects(naive->services[s], other);
            }
        }
        count += all;
    }
    return count;
}

static int softs_of(const struct naive *naive, const struct val *pod, struct soft softs[8])
{
    int count = 0;
    const struct val *constraints = val_path(pod, "spec.topologySpreadConstraints");
    VAL_EACH (it, constraints) {
        if (!str_is(text(it, "whenUnsatisfiable"), "DoNotSchedule")) {
            softs[count++] =
                (struct soft){text(it, "topologyKey"), (int)val_int(member(it, "maxSkew"), 1), it};
        }
    }
    bool served = false;
    for (int s = 0; s < naive->service_count; s++) {
        served = served || (str_eq(val_namespace(naive->services[s]), val_namespace(pod)) &&
                            service_selects(naive->services[s], pod));
    }
    if (val_count(constraints) == 0 && served) {
        softs[count++] = (struct soft){STR("kubernetes.io/hostname"), 3, NULL};
        softs[count++] = (struct soft){STR("topology.kubernetes.io/zone"), 5, NULL};
    }
    return count;
}

static struct str label_text(const struct val *node, struct str key)
{
    return val_text(label_of(node, key));
}

static bool soft_node(const struct val *pod, const struct val *node)
{
    const struct val *constraints = val_path(pod, "spec.topologySpreadConstraints");
    return val_count(constraints) == 0 || has_keys(constraints, false, node);
}

static void spread_scores(const struct naive *naive, const struct val *pod, const bool *passes,
                          long ret_scores[32])
{
    struct soft softs[8];
    int count = softs_of(naive, pod, softs);
    long least = INT64_MAX, most = 0;
    for (int n = 0; n < naive->node_count; n++) {
        ret_scores[n] = 0;
        if (!passes[n] || !soft_node(pod, naive->nodes[n])) {
            continue;
        }
        double sum = 0;
        for (int i = 0; i < count; i++) {
            struct str key = softs[i].key, value = label_text(naive->nodes[n], key);
            if (label_of(naive->nodes[n], key) == NULL) {
                continue;
            }
            int there = 0, domains = 0;
            bool host = str_is(key, "kubernetes.io/hostname");
            for (int m = 0; m < naive->node_count; m++) {
                bool counted = passes[m] && soft_node(pod, naive->nodes[m]);
                bool first = counted;
                for (int o = 0; o < m && first && !host; o++) {
                    first = !(
                        passes[o] && soft_node(pod, naive->nodes[o]) &&
                        str_eq(label_text(naive->nodes[o], key), label_text(naive->nodes[m], key)));
                }
                domains += first;
                bool includes = softs[i].constraint == NULL
                                    ? node_affinity_holds(pod, naive->nodes[m])
                                    : spread_includes(pod, softs[i].constraint, naive->nodes[m]);
                if (!host && soft_node(pod, naive->nodes[m]) && includes &&
                    label_of(naive->nodes[m], key) != NULL &&
                    str_eq(label_text(naive->nodes[m], key), value)) {
                    there += soft_count(naive, pod, &softs[i], m);
                }
            }
            there = host ? soft_count(naive, pod, &softs[i], n) : there;
            sum += there * log(domains + 2) + (softs[i].skew - 1);
        }
        ret_scores[n] = (long)round(sum);
        least = ret_scores[n] < least ? ret_scores[n] : least;
        most = ret_scores[n] > most ? ret_scores[n] : most;
    }
    for (int n = 0; n < naive->node_count; n++) {
        if (passes[n] && soft_node(pod, naive->nodes[n])) {
            ret_scores[n] = most == 0 ? 100 : 100 * (most + least - ret_scores[n]) / most;
        }
    }
    for (int n = 0; n < naive->node_count && count == 0; n++) {
        ret_scores[n] = 0;
    }
}

static long largest(const long *values, const bool *passes, int count)
{
    long most = 0;
    for (int n = 0; n < count; n++) {
        most = passes[n] && values[n] > most ? values[n] : most;
    }
    return most;
}

static void add_normal(const struct naive *naive, const struct val *pod, const bool *passes,
                       long ret_scores[32])
{
    long taints[32] = {0}, prefers[32] = {0}, affinity[32] = {0};
    long low = INT64_MAX, high = INT64_MIN;
    for (int n = 0; n < naive->node_count; n++) {
        taints[n] = untolerated(pod, naive->nodes[n], true);
        prefers[n] = node_preference(pod, naive->nodes[n]);
        affinity[n] = affinity_score(naive, pod, n);
        if (passes[n]) {
            low = affinity[n] < low ? affinity[n] : low;
            high = affinity[n] > high ? affinity[n] : high;
        }
    }
    long most_taints = largest(taints, passes, naive->node_count);
    long most_prefers = largest(prefers, passes, naive->node_count);
    for (int n = 0; n < naive->node_count; n++) {
        if (passes[n]) {
            ret_scores[n] += 3 * (most_taints == 0 ? 100 : 100 - 100 * taints[n] / most_taints);
            ret_scores[n] += 2 * (most_prefers == 0 ? 0 : 100 * prefers[n] / most_prefers);
            ret_scores[n] +=
                2 * (high == low
                         ? 0
                         : (long)(100 * ((double)(affinity[n] - low) / (double)(high - low))));
        }
    }
}

void naive_decide(const struct naive *naive, const struct val *pod, long ret_scores[32])
{
    bool passes[32];
    long spread[32];
    for (int n = 0; n < naive->node_count; n++) {
        const struct val *node = naive->nodes[n];
        passes[n] =
            (!val_bool(val_path(node, "spec.unschedulable"), false) ||
             tolerates(pod, STR("node.kubernetes.io/unschedulable"), STR(""), STR("NoSchedule"))) &&
            untolerated(pod, node, false) == 0 && node_affinity_holds(pod, node) &&
            ports_free(naive, pod, n) && fits(naive, pod, n) && spread_allows(naive, pod, n) &&
            affinity_allows(naive, pod, n);
        ret_scores[n] = passes[n] ? least_allocated(naive, pod, n) + balanced(naive, pod, n) +
                                        image_locality(naive, pod, n)
                                  : -1;
    }
    spread_scores(naive, pod, passes, spread);
    for (int n = 0; n < naive->node_count; n++) {
        ret_scores[n] += passes[n] ? 2 * spread[n] : 0;
    }
    add_normal(naive, pod, passes, ret_scores);
}

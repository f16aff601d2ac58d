/* shape.c: reading a pod's wishes. The key of a shape is the text of everything that is read here,
 * so two pods with one key get the same answers.
 *
 * Requests follow the rule of k8s.io/component-helpers/resource: containers add up; init containers
 * run one after the other, beside the sidecars that were started before them; the larger of both
 * counts; overhead comes on top; requests of the pod as a whole, where given, replace the sum.
 */
#include "scheduler/shape.h"

#include "api/quantity.h"
#include "base/mem.h"
#include "base/vec.h"

enum { NONZERO_CPU = 100 };
static const int64_t nonzero_memory = 200LL * 1024 * 1024;

/* ---- the key ---- */

static void key_part(struct buf *key, const struct val *value)
{
    buf_char(key, '\n');
    if (!val_absent(value)) {
        val_write_json(value, key);
    }
}

static void key_containers(struct buf *key, const struct val *containers)
{
    VAL_EACH (it, containers) {
        buf_char(key, ';');
        buf_str(key, val_text(val_get(it, "image")));
        key_part(key, val_path(it, "resources.requests"));
        key_part(key, val_path(it, "resources.limits"));
        key_part(key, val_get(it, "restartPolicy"));
        VAL_EACH (port, val_get(it, "ports")) {
            if (val_int(val_get(port, "hostPort"), 0) > 0) {
                key_part(key, port);
            }
        }
    }
}

static const struct val *controller_of(const struct val *pod)
{
    VAL_EACH (it, val_path(pod, "metadata.ownerReferences")) {
        if (val_bool(val_get(it, "controller"), false)) {
            return it;
        }
    }
    return NULL;
}

static void key_parts(struct buf *key, const struct val *spec, const char *const *parts)
{
    for (size_t i = 0; parts[i] != NULL; i++) {
        key_part(key, val_get_str(spec, str_of(parts[i])));
    }
}

/* The part that a node alone is held against comes first; its length is returned. */
static size_t key_make(struct buf *key, const struct val *pod)
{
    static const char *const local[] = {"nodeSelector", "tolerations", "priority",
                                        "overhead",     "resources",   NULL};
    static const char *const others[] = {"affinity", "topologySpreadConstraints",
                                         "preemptionPolicy", "resourceClaims", NULL};
    const struct val *spec = val_get(pod, "spec");
    key_parts(key, spec, local);
    key_part(key, val_path(spec, "affinity.nodeAffinity"));
    key_containers(key, val_get(spec, "containers"));
    buf_char(key, '|');
    key_containers(key, val_get(spec, "initContainers"));
    size_t n = key->n;
    key_parts(key, spec, others);
    key_part(key, val_path(pod, "metadata.labels"));
    key_part(key, val_get(controller_of(pod), "uid"));
    buf_char(key, '\n');
    buf_str(key, val_namespace(pod));
    VAL_EACH (it, val_get(spec, "volumes")) {
        key_part(key, val_path(it, "persistentVolumeClaim.claimName"));
        key_part(key, val_absent(val_get(it, "ephemeral")) ? NULL : val_get(it, "name"));
    }
    return n;
}

/* ---- requests ---- */

struct requests {
    int64_t cpu, memory, nonzero_cpu, nonzero_memory;
    struct {
        VEC_OF(struct amount);
    } others;
};

static int64_t *other_of(struct requests *requests, struct str name)
{
    for (size_t i = 0; i < requests->others.count; i++) {
        if (str_eq(requests->others.items[i].name, name)) {
            return &requests->others.items[i].value;
        }
    }
    struct amount *amount = vec_push(&requests->others);
    amount->name = name;
    return &amount->value;
}

static int64_t amount_of(const struct val *value, bool milli)
{
    struct quantity quantity;
    if (!quantity_parse(val_text(value), &quantity)) {
        return 0;
    }
    return milli ? quantity_milli(quantity) : quantity_value(quantity);
}

static void read_list(struct requests *requests, const struct val *list)
{
    bool cpu = false, memory = false;
    VAL_EACH (it, list) {
        if (str_is(it->key, "cpu")) {
            requests->cpu = requests->nonzero_cpu = amount_of(it, true);
            cpu = true;
        } else if (str_is(it->key, "memory")) {
            requests->memory = requests->nonzero_memory = amount_of(it, false);
            memory = true;
        } else {
            *other_of(requests, it->key) = amount_of(it, false);
        }
    }
    requests->nonzero_cpu = cpu ? requests->nonzero_cpu : NONZERO_CPU;
    requests->nonzero_memory = memory ? requests->nonzero_memory : nonzero_memory;
}

static void add(struct requests *to, const struct requests *from)
{
    to->cpu += from->cpu;
    to->memory += from->memory;
    to->nonzero_cpu += from->nonzero_cpu;
    to->nonzero_memory += from->nonzero_memory;
    VEC_EACH (it, &from->others) {
        *other_of(to, it->name) += it->value;
    }
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void grow_to(struct requests *to, const struct requests *from)
{
    to->cpu = larger(to->cpu, from->cpu);
    to->memory = larger(to->memory, from->memory);
    to->nonzero_cpu = larger(to->nonzero_cpu, from->nonzero_cpu);
    to->nonzero_memory = larger(to->nonzero_memory, from->nonzero_memory);
    VEC_EACH (it, &from->others) {
        int64_t *other = other_of(to, it->name);
        *other = larger(*other, it->value);
    }
}

static void read_init(struct requests *total, const struct val *containers)
{
    struct requests sidecars = {0}, most = {0};
    VAL_EACH (it, containers) {
        struct requests one = {0};
        read_list(&one, val_path(it, "resources.requests"));
        if (str_is(val_text(val_get(it, "restartPolicy")), "Always")) {
            add(total, &one);
            add(&sidecars, &one);
            grow_to(&most, &sidecars);
        } else {
            add(&one, &sidecars);
            grow_to(&most, &one);
        }
        vec_done(&one.others);
    }
    grow_to(total, &most);
    vec_done(&sidecars.others);
    vec_done(&most.others);
}

/* Requests of the pod as a whole, for the resources they name. */
static void replace_by_pod_level(struct requests *total, const struct val *list)
{
    VAL_EACH (it, list) {
        if (str_is(it->key, "cpu")) {
            total->cpu = total->nonzero_cpu = amount_of(it, true);
        } else if (str_is(it->key, "memory")) {
            total->memory = total->nonzero_memory = amount_of(it, false);
        } else {
            *other_of(total, it->key) = amount_of(it, false);
        }
    }
}

static void read_requests(struct shape *shape, const struct val *spec)
{
    struct requests total = {0};
    VAL_EACH (it, val_get(spec, "containers")) {
        struct requests one = {0};
        read_list(&one, val_path(it, "resources.requests"));
        add(&total, &one);
        vec_done(&one.others);
    }
    read_init(&total, val_get(spec, "initContainers"));
    replace_by_pod_level(&total, val_path(spec, "resources.requests"));
    VAL_EACH (it, val_get(spec, "overhead")) {
        bool cpu = str_is(it->key, "cpu");
        int64_t value = amount_of(it, cpu);
        if (cpu) {
            total.cpu += value;
            total.nonzero_cpu += value;
        } else if (str_is(it->key, "memory")) {
            total.memory += value;
            total.nonzero_memory += value;
        } else {
            *other_of(&total, it->key) += value;
        }
    }
    shape->cpu = total.cpu;
    shape->memory = total.memory;
    shape->nonzero_cpu = total.nonzero_cpu;
    shape->nonzero_memory = total.nonzero_memory;
    shape->asks_something = total.cpu > 0 || total.memory > 0;
    shape->amounts = arena_array(&shape->arena, struct amount, total.others.count + 1);
    VEC_EACH (it, &total.others) {
        if (it->value > 0) {
            shape->amounts[shape->amount_count++] =
                (struct amount){str_copy_in(&shape->arena, it->name), it->value, -1};
            shape->asks_something = true;
        }
    }
    vec_done(&total.others);
}

/* ---- the rest ---- */

static uint8_t protocol_of(struct str text)
{
    return str_is(text, "UDP") ? 1 : str_is(text, "SCTP") ? 2 : 0;
}

/* Host ports of ordinary containers and of sidecars. */
static void read_ports(struct shape *shape, const struct val *containers, bool sidecars_only)
{
    VAL_EACH (it, containers) {
        if (sidecars_only && !str_is(val_text(val_get(it, "restartPolicy")), "Always")) {
            continue;
        }
        VAL_EACH (port, val_get(it, "ports")) {
            int64_t number = val_int(val_get(port, "hostPort"), 0);
            if (number <= 0) {
                continue;
            }
            struct str ip = val_text(val_get(port, "hostIP"));
            shape->ports[shape->port_count++] = (struct host_port){
                ip.n > 0 ? str_copy_in(&shape->arena, ip) : STR("0.0.0.0"),
                protocol_of(val_text(val_get(port, "protocol"))), (int32_t)number};
        }
    }
}

static size_t count_ports(const struct val *containers)
{
    size_t count = 0;
    VAL_EACH (it, containers) {
        count += val_count(val_get(it, "ports"));
    }
    return count;
}

/* "nginx" and "nginx:latest" are one image (images are listed by nodes with their tag). */
static struct str image_name(struct arena *arena, struct str name)
{
    struct str tail = name, rest = STR_NONE;
    while (tail.p != NULL) {
        rest = tail;
        str_cut(tail, '/', &tail);
    }
    if (memchr(rest.p != NULL ? rest.p : "", ':', rest.n) == NULL) {
        return str_of(arena_printf(arena, "%.*s:latest", STR_ARG(name)));
    }
    return str_copy_in(arena, name);
}

static void read_images(struct shape *shape, const struct val *containers)
{
    VAL_EACH (it, containers) {
        shape->images[shape->image_count++] =
            image_name(&shape->arena, val_text(val_get(it, "image")));
    }
}

uint8_t taint_effect_of(struct str text)
{
    return str_is(text, "NoSchedule")         ? TAINT_NO_SCHEDULE
           : str_is(text, "PreferNoSchedule") ? TAINT_PREFER_NO_SCHEDULE
           : str_is(text, "NoExecute")        ? TAINT_NO_EXECUTE
                                              : TAINT_ANY;
}

static void read_tolerations(struct shape *shape, const struct val *list)
{
    struct arena *arena = &shape->arena;
    shape->tolerations = arena_array(arena, struct toleration, val_count(list) + 1);
    VAL_EACH (it, list) {
        struct str key = val_text(val_get(it, "key"));
        shape->tolerations[shape->toleration_count++] =
            (struct toleration){.key = str_copy_in(arena, key),
                                .value = str_copy_in(arena, val_text(val_get(it, "value"))),
                                .exists = str_is(val_text(val_get(it, "operator")), "Exists"),
                                .any_key = key.n == 0,
                                .effect = taint_effect_of(val_text(val_get(it, "effect")))};
    }
}

bool taint_tolerated(const struct shape *shape, const struct taint *taint)
{
    for (uint32_t i = 0; i < shape->toleration_count; i++) {
        const struct toleration *it = &shape->tolerations[i];
        if ((it->effect == TAINT_ANY || it->effect == taint->effect) &&
            (it->any_key || str_eq(it->key, taint->key)) &&
            (it->exists || (!it->any_key && str_eq(it->value, taint->value)))) {
            return true;
        }
    }
    return false;
}

static struct node_term *read_preferred(struct arena *arena, const struct val *list,
                                        uint32_t *ret_count)
{
    struct node_term *terms = arena_array(arena, struct node_term, val_count(list) + 1);
    VAL_EACH (it, list) {
        const struct val *term = val_get(it, "preference");
        struct node_term *made = &terms[(*ret_count)++];
        made->weight = (int32_t)val_int(val_get(it, "weight"), 0);
        made->match = requirements_from_term(arena, term != NULL ? term : it);
    }
    return terms;
}

static void read_node_affinity(struct shape *shape, const struct val *spec)
{
    struct arena *arena = &shape->arena;
    const struct val *affinity = val_path(spec, "affinity.nodeAffinity");
    const struct val *required =
        val_get(affinity, "requiredDuringSchedulingIgnoredDuringExecution");
    shape->node_selector = requirements_from_map(arena, val_get(spec, "nodeSelector"));
    shape->has_node_terms = !val_absent(required);
    shape->node_terms =
        read_preferred(arena, val_get(required, "nodeSelectorTerms"), &shape->node_term_count);
    shape->preferred_nodes =
        read_preferred(arena, val_get(affinity, "preferredDuringSchedulingIgnoredDuringExecution"),
                       &shape->preferred_node_count);
}

/* matchLabelKeys: the pod's own values of these labels are required too. */
static struct requirements with_keys(struct shape *shape, struct requirements selector,
                                     const struct val *keys, enum requirement_op op)
{
    VAL_EACH (it, keys) {
        const struct label *own = labels_find(&shape->labels, val_text(it), str_hash(val_text(it)));
        if (own != NULL) {
            selector = requirements_with(&shape->arena, selector, op, own->key, own->value);
        }
    }
    return selector;
}

static void read_spreads(struct shape *shape, const struct val *list)
{
    struct arena *arena = &shape->arena;
    shape->spreads = arena_array(arena, struct spread, val_count(list) + 1);
    VAL_EACH (it, list) {
        struct spread *spread = &shape->spreads[shape->spread_count++];
        spread->key = str_copy_in(arena, val_text(val_get(it, "topologyKey")));
        spread->key_hash = str_hash(spread->key);
        spread->max_skew = (int32_t)val_int(val_get(it, "maxSkew"), 1);
        spread->min_domains = (int32_t)val_int(val_get(it, "minDomains"), 1);
        spread->hard = str_is(val_text(val_get(it, "whenUnsatisfiable")), "DoNotSchedule");
        spread->honor_affinity = !str_is(val_text(val_get(it, "nodeAffinityPolicy")), "Ignore");
        spread->honor_taints = str_is(val_text(val_get(it, "nodeTaintsPolicy")), "Honor");
        spread->selector =
            with_keys(shape, requirements_from_selector(arena, val_get(it, "labelSelector")),
                      val_get(it, "matchLabelKeys"), REQUIREMENT_IN);
    }
}

static void read_term(struct shape *shape, const struct val *term, struct affinity_term *ret_term)
{
    struct arena *arena = &shape->arena;
    const struct val *list = val_get(term, "namespaces");
    const struct val *by_labels = val_get(term, "namespaceSelector");
    ret_term->key = str_copy_in(arena, val_text(val_get(term, "topologyKey")));
    ret_term->key_hash = str_hash(ret_term->key);
    struct requirements selector =
        requirements_from_selector(arena, val_get(term, "labelSelector"));
    selector = with_keys(shape, selector, val_get(term, "matchLabelKeys"), REQUIREMENT_IN);
    ret_term->selector =
        with_keys(shape, selector, val_get(term, "mismatchLabelKeys"), REQUIREMENT_NOT_IN);
    ret_term->namespaces = arena_array(arena, struct str, val_count(list) + 1);
    VAL_EACH (it, list) {
        ret_term->namespaces[ret_term->namespace_count++] = str_copy_in(arena, val_text(it));
    }
    ret_term->by_namespace_labels = !val_absent(by_labels);
    ret_term->namespace_selector = requirements_from_selector(arena, by_labels);
    if (ret_term->namespace_count == 0 && !ret_term->by_namespace_labels) {
        ret_term->namespaces[ret_term->namespace_count++] = shape->ns;
    }
}

static struct affinity_terms read_terms(struct shape *shape, const struct val *list, bool weighted)
{
    struct affinity_terms terms = {
        arena_array(&shape->arena, struct affinity_term, val_count(list) + 1), 0};
    VAL_EACH (it, list) {
        struct affinity_term *made = &terms.items[terms.count++];
        made->weight = weighted ? (int32_t)val_int(val_get(it, "weight"), 0) : 1;
        read_term(shape, weighted ? val_get(it, "podAffinityTerm") : it, made);
    }
    shape->has_affinity = shape->has_affinity || terms.count > 0;
    return terms;
}

#define REQUIRED  "requiredDuringSchedulingIgnoredDuringExecution"
#define PREFERRED "preferredDuringSchedulingIgnoredDuringExecution"

static void read_affinity(struct shape *shape, const struct val *affinity)
{
    const struct val *near = val_get(affinity, "podAffinity");
    const struct val *far = val_get(affinity, "podAntiAffinity");
    shape->near = read_terms(shape, val_get(near, REQUIRED), false);
    shape->far = read_terms(shape, val_get(far, REQUIRED), false);
    shape->prefer_near = read_terms(shape, val_get(near, PREFERRED), true);
    shape->prefer_far = read_terms(shape, val_get(far, PREFERRED), true);
}

static void read_claims(struct shape *shape, const struct val *volumes)
{
    shape->claims = arena_array(&shape->arena, struct str, val_count(volumes) + 1);
    shape->ephemerals = arena_array(&shape->arena, struct str, val_count(volumes) + 1);
    VAL_EACH (it, volumes) {
        struct str claim = val_text(val_path(it, "persistentVolumeClaim.claimName"));
        if (claim.n > 0) {
            shape->claims[shape->claim_count++] = str_copy_in(&shape->arena, claim);
        } else if (!val_absent(val_get(it, "ephemeral"))) {
            shape->ephemerals[shape->ephemeral_count++] =
                str_copy_in(&shape->arena, val_text(val_get(it, "name")));
        }
    }
}

static struct shape *shape_read(const struct val *pod, struct str key)
{
    struct shape *shape = mem_new(struct shape);
    struct arena *arena = &shape->arena;
    const struct val *spec = val_get(pod, "spec");
    const struct val *containers = val_get(spec, "containers");
    const struct val *inits = val_get(spec, "initContainers");
    arena_init(arena, 0);
    shape->refs = 1;
    shape->key = str_copy_in(arena, key);
    shape->ns = str_copy_in(arena, val_namespace(pod));
    shape->owner_uid = str_copy_in(arena, val_text(val_get(controller_of(pod), "uid")));
    shape->labels = labels_read(arena, val_path(pod, "metadata.labels"));
    shape->priority = (int32_t)val_int(val_get(spec, "priority"), 0);
    shape->never_preempts = str_is(val_text(val_get(spec, "preemptionPolicy")), "Never");
    read_requests(shape, spec);
    shape->ports =
        arena_array(arena, struct host_port, count_ports(containers) + count_ports(inits) + 1);
    read_ports(shape, containers, false);
    read_ports(shape, inits, true);
    read_node_affinity(shape, spec);
    read_tolerations(shape, val_get(spec, "tolerations"));
    read_spreads(shape, val_get(spec, "topologySpreadConstraints"));
    read_affinity(shape, val_get(spec, "affinity"));
    shape->images = arena_array(arena, struct str, val_count(containers) + val_count(inits) + 1);
    read_images(shape, inits);
    read_images(shape, containers);
    read_claims(shape, val_get(spec, "volumes"));
    shape->wants_devices = val_count(val_get(spec, "resourceClaims")) > 0;
    return shape;
}

static struct local *local_of(struct shapes *shapes, struct str key)
{
    struct local *local = map_get(&shapes->locals, key);
    if (local == NULL) {
        local = mem_new(struct local);
        local->id = ++shapes->next_id;
        local->key = str_dup(key);
        map_set(&shapes->locals, key, local);
    }
    local->refs++;
    return local;
}

struct shape *shape_of(struct shapes *shapes, const struct val *pod)
{
    struct buf key BUF_CLEANUP = BUF_INIT;
    size_t local = key_make(&key, pod);
    struct shape *shape = map_get(&shapes->table, buf_view(&key));
    if (shape != NULL) {
        return shape_ref(shape);
    }
    shape = shape_read(pod, buf_view(&key));
    shape->local = local_of(shapes, str_at(key.p, local));
    map_set(&shapes->table, shape->key, shape);
    return shape;
}

struct shape *shape_ref(struct shape *shape)
{
    shape->refs++;
    return shape;
}

void shape_unref(struct shapes *shapes, struct shape *shape)
{
    if (shape == NULL || --shape->refs > 0) {
        return;
    }
    struct local *local = shape->local;
    if (--local->refs == 0) {
        map_remove(&shapes->locals, str_of(local->key));
        free(local->key);
        free(local);
    }
    map_remove(&shapes->table, shape->key);
    arena_done(&shape->arena);
    free(shape);
}

void shapes_done(struct shapes *shapes)
{
    map_done(&shapes->table); /* every shape was given back */
    map_done(&shapes->locals);
}

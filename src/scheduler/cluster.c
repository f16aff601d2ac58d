/* cluster.c: nodes and the pods on them, counted. See cluster.h.
 *
 * Invariants: a node's used columns are the sums of its pods; a pod is in at most one node's list;
 * label_counts are the pods of a node by their labels.
 */
#include "scheduler/cluster.h"

#include "api/quantity.h"
#include "scheduler/tally.h"

enum { TOPOLOGIES_KEPT = 32 };

struct cluster *cluster_new(void)
{
    struct cluster *cluster = mem_new(struct cluster);
    cluster->changed = mem_array(uint32_t, CHANGES_KEPT);
    return cluster;
}

void cluster_note_change(struct cluster *cluster, int node)
{
    cluster->changed[cluster->changes++ % CHANGES_KEPT] = (uint32_t)node;
}

int cluster_column(struct cluster *cluster, struct str resource)
{
    uintptr_t column = (uintptr_t)map_get(&cluster->columns, resource);
    if (column == 0) {
        column = cluster->columns.count + 1;
        map_set(&cluster->columns, resource, (void *)column);
    }
    return (int)column - 1;
}

/* ---- label sets ---- */

static struct label_set *label_set_of(struct cluster *cluster, const struct val *pod)
{
    struct buf key BUF_CLEANUP = BUF_INIT;
    const struct val *labels = val_path(pod, "metadata.labels");
    buf_str(&key, val_namespace(pod));
    buf_char(&key, '\n');
    if (!val_absent(labels)) {
        val_write_json(labels, &key);
    }
    struct label_set *set = map_get(&cluster->label_sets, buf_view(&key));
    if (set == NULL) {
        set = mem_new(struct label_set);
        arena_init(&set->arena, 0);
        set->key = str_copy_in(&set->arena, buf_view(&key));
        set->ns = str_copy_in(&set->arena, val_namespace(pod));
        set->labels = labels_read(&set->arena, labels);
        map_set(&cluster->label_sets, set->key, set);
    }
    set->refs++;
    return set;
}

static void label_set_unref(struct cluster *cluster, struct label_set *set)
{
    if (--set->refs == 0) {
        map_remove(&cluster->label_sets, set->key);
        arena_done(&set->arena);
        free(set);
    }
}

/* ---- nodes ---- */

const struct label *node_label(const struct node *node, struct str key, uint64_t key_hash)
{
    return labels_find(&node->labels, key, key_hash);
}

struct node *cluster_node(const struct cluster *cluster, struct str name)
{
    return map_get(&cluster->by_name, name);
}

static int number_new(struct cluster *cluster)
{
    if (cluster->free_numbers.count > 0) {
        return cluster->free_numbers.items[--cluster->free_numbers.count];
    }
    if (cluster->node_cap == cluster->node_count) {
        size_t cap = cluster->node_cap == 0 ? 16 : cluster->node_cap * 2;
        cluster->nodes = mem_realloc(cluster->nodes, cap * sizeof *cluster->nodes);
        cluster->rooms = mem_realloc(cluster->rooms, cap * sizeof *cluster->rooms);
        for (size_t i = cap; i > cluster->node_cap; i--) {
            cluster->nodes[i - 1] = NULL;
            cluster->rooms[i - 1] = (struct room){0};
            *vec_push(&cluster->free_numbers) = (int)i - 1;
        }
        cluster->node_cap = cap;
    }
    return cluster->free_numbers.items[--cluster->free_numbers.count];
}

static struct node *node_new(struct cluster *cluster, struct str name)
{
    struct node *node = mem_new(struct node);
    node->name = str_at(str_dup(name), name.n);
    node->number = number_new(cluster);
    cluster->nodes[node->number] = node;
    cluster->rooms[node->number] = (struct room){0};
    cluster->node_count++;
    map_set(&cluster->by_name, node->name, node);
    return node;
}

static void count_images(struct cluster *cluster, const struct node *node, int change)
{
    for (uint32_t i = 0; i < node->image_count; i++) {
        struct str name = node->images[i].name;
        uintptr_t count = (uintptr_t)map_get(&cluster->images, name) + (uintptr_t)change;
        if (count == 0) {
            map_remove(&cluster->images, name);
        } else {
            map_set(&cluster->images, name, (void *)count);
        }
    }
}

static void count_taints(struct cluster *cluster, const struct node *node, int change)
{
    for (uint32_t i = 0; i < node->taint_count; i++) {
        if (node->taints[i].effect == TAINT_PREFER_NO_SCHEDULE) {
            cluster->preferring_taints += (size_t)change;
        }
    }
}

static void read_taints(struct node *node, const struct val *list)
{
    struct arena *arena = &node->arena;
    node->taint_count = 0;
    node->taints = arena_array(arena, struct taint, val_count(list) + 1);
    VAL_EACH (it, list) {
        node->taints[node->taint_count++] =
            (struct taint){str_copy_in(arena, val_text(val_get(it, "key"))),
                           str_copy_in(arena, val_text(val_get(it, "value"))),
                           taint_effect_of(val_text(val_get(it, "effect")))};
    }
}

static void read_images(struct node *node, const struct val *list)
{
    struct arena *arena = &node->arena;
    size_t names = 0;
    VAL_EACH (it, list) {
        names += val_count(val_get(it, "names"));
    }
    node->image_count = 0;
    node->images = arena_array(arena, struct image, names + 1);
    VAL_EACH (it, list) {
        VAL_EACH (name, val_get(it, "names")) {
            node->images[node->image_count++] = (struct image){
                str_copy_in(arena, val_text(name)), val_int(val_get(it, "sizeBytes"), 0)};
        }
    }
}

static void read_allocatable(struct cluster *cluster, struct node *node, const struct val *list)
{
    struct room *room = &cluster->rooms[node->number];
    room->cpu = room->memory = 0;
    room->pods = 0;
    vec_clear(&node->amounts);
    VAL_EACH (it, list) {
        struct quantity quantity;
        if (!quantity_parse(val_text(it), &quantity)) {
            continue;
        }
        if (str_is(it->key, "cpu")) {
            room->cpu = quantity_milli(quantity);
        } else if (str_is(it->key, "memory")) {
            room->memory = quantity_value(quantity);
        } else if (str_is(it->key, "pods")) {
            int64_t pods = quantity_value(quantity);
            room->pods = pods > INT32_MAX ? INT32_MAX : (int32_t)pods;
        } else {
            size_t column = (size_t)cluster_column(cluster, it->key);
            while (node->amounts.count <= column) {
                *vec_push(&node->amounts) = 0;
            }
            node->amounts.items[column] = quantity_value(quantity);
        }
    }
}

/* Heartbeats change conditions and times only: they must not cost anything. */
static uint64_t digest_of(const struct val *value)
{
    static const char *const parts[] = {"metadata.labels", "spec.unschedulable",
                                        "spec.taints",     "status.allocatable",
                                        "status.capacity", "status.images"};
    struct buf text BUF_CLEANUP = BUF_INIT;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const struct val *part = val_path(value, parts[i]);
        buf_char(&text, '\n');
        if (part != NULL) {
            val_write_json(part, &text);
        }
    }
    return str_hash(buf_view(&text));
}

bool cluster_set_node(struct cluster *cluster, const struct val *value)
{
    struct node *node = cluster_node(cluster, val_name(value));
    uint64_t digest = digest_of(value);
    if (node != NULL && node->digest == digest) {
        return false;
    }
    if (node == NULL) {
        node = node_new(cluster, val_name(value));
    } else {
        count_images(cluster, node, -1);
        count_taints(cluster, node, -1);
    }
    node->digest = digest;
    arena_done(&node->arena);
    node->labels = labels_read(&node->arena, val_path(value, "metadata.labels"));
    node->unschedulable = val_bool(val_path(value, "spec.unschedulable"), false);
    read_taints(node, val_path(value, "spec.taints"));
    read_images(node, val_path(value, "status.images"));
    const struct val *allocatable = val_path(value, "status.allocatable");
    read_allocatable(cluster, node,
                     allocatable != NULL ? allocatable : val_path(value, "status.capacity"));
    cluster->rooms[node->number].taints = node->taint_count;
    count_images(cluster, node, 1);
    count_taints(cluster, node, 1);
    cluster->layout++;
    return true;
}

void cluster_remove_node(struct cluster *cluster, struct str name)
{
    struct node *node = cluster_node(cluster, name);
    if (node == NULL) {
        return;
    }
    while (node->pods.count > 0) {
        cluster_take_off(cluster, node->pods.items[node->pods.count - 1]);
    }
    while (node->nominated.count > 0) {
        cluster_nominate(cluster, node->nominated.items[0], -1);
    }
    count_images(cluster, node, -1);
    count_taints(cluster, node, -1);
    map_remove(&cluster->by_name, node->name);
    cluster->nodes[node->number] = NULL;
    cluster->rooms[node->number] = (struct room){0};
    *vec_push(&cluster->free_numbers) = node->number;
    cluster->node_count--;
    cluster->layout++;
    vec_done(&node->amounts);
    vec_done(&node->amounts_used);
    vec_done(&node->ports);
    vec_done(&node->pods);
    vec_done(&node->label_counts);
    vec_done(&node->nominated);
    arena_done(&node->arena);
    free((char *)node->name.p);
    free(node);
}

/* ---- pods ---- */

struct pod *cluster_pod_new(struct cluster *cluster, struct str ns, struct str name,
                            const struct val *value)
{
    struct pod *pod = mem_new(struct pod);
    pod->key = str_of(mem_printf("%.*s/%.*s", STR_ARG(ns), STR_ARG(name)));
    pod->uid = str_of(str_dup(val_uid(value)));
    pod->shape = shape_of(&cluster->shapes, value);
    pod->label_set = label_set_of(cluster, value);
    pod->node = pod->nominated = -1;
    for (uint32_t i = 0; i < pod->shape->amount_count; i++) {
        struct amount *amount = &pod->shape->amounts[i];
        amount->column = cluster_column(cluster, amount->name);
    }
    return pod;
}

void cluster_pod_free(struct cluster *cluster, struct pod *pod)
{
    shape_unref(&cluster->shapes, pod->shape);
    label_set_unref(cluster, pod->label_set);
    free((char *)pod->key.p);
    free((char *)pod->uid.p);
    free(pod);
}

static void count_labels(struct node *node, struct label_set *set, int change, int leaving)
{
    for (size_t i = 0; i < node->label_counts.count; i++) {
        struct label_count *count = &node->label_counts.items[i];
        if (count->label_set == set) {
            count->count += (uint32_t)change;
            count->leaving += (uint32_t)leaving;
            if (count->count == 0) {
                vec_remove_swap(&node->label_counts, i);
            }
            return;
        }
    }
    *vec_push(&node->label_counts) = (struct label_count){set, (uint32_t)change, (uint32_t)leaving};
}

/* Adds (sign 1) or takes away (-1) what the shape asks for. */
static void count_requests(struct cluster *cluster, struct node *node, const struct shape *shape,
                           int sign)
{
    struct room *room = &cluster->rooms[node->number];
    room->cpu_used += sign * shape->cpu;
    room->memory_used += sign * shape->memory;
    room->nonzero_cpu += sign * shape->nonzero_cpu;
    room->nonzero_memory += sign * shape->nonzero_memory;
    room->pods_used += sign;
    for (uint32_t i = 0; i < shape->amount_count; i++) {
        size_t column = (size_t)shape->amounts[i].column;
        while (node->amounts_used.count <= column) {
            *vec_push(&node->amounts_used) = 0;
        }
        node->amounts_used.items[column] += sign * shape->amounts[i].value;
    }
}

/* The very entry: its text belongs to the shape. */
static bool same_port(const struct host_port *a, const struct host_port *b)
{
    return a->port == b->port && a->protocol == b->protocol && a->ip.p == b->ip.p;
}

static void count_ports(struct node *node, const struct shape *shape, int sign)
{
    for (uint32_t i = 0; i < shape->port_count; i++) {
        if (sign > 0) { /* its text lives as long as the pod's shape, which is on the node */
            *vec_push(&node->ports) = shape->ports[i];
            continue;
        }
        for (size_t j = 0; j < node->ports.count; j++) {
            if (same_port(&node->ports.items[j], &shape->ports[i])) {
                vec_remove_swap(&node->ports, j);
                break;
            }
        }
    }
}

static void count_priority(struct cluster *cluster, int32_t priority, int change)
{
    VEC_EACH (it, &cluster->priorities) {
        if (it->priority == priority) {
            it->pods += (size_t)change;
            return;
        }
    }
    *vec_push(&cluster->priorities) = (struct priority_count){priority, (size_t)change};
}

bool cluster_has_below(const struct cluster *cluster, int32_t priority)
{
    VEC_EACH (it, &cluster->priorities) {
        if (it->priority < priority && it->pods > 0) {
            return true;
        }
    }
    return false;
}

void cluster_place(struct cluster *cluster, struct pod *pod, int number)
{
    struct node *node = cluster->nodes[number];
    pod->node = number;
    pod->at = node->pods.count;
    *vec_push(&node->pods) = pod;
    count_requests(cluster, node, pod->shape, 1);
    count_priority(cluster, pod->shape->priority, 1);
    count_ports(node, pod->shape, 1);
    count_labels(node, pod->label_set, 1, pod->terminating ? 1 : 0);
    if (pod->shape->has_affinity) {
        pod->affinity_at = cluster->affinity_pods.count;
        *vec_push(&cluster->affinity_pods) = pod;
    }
    cluster_note_change(cluster, number);
}

void cluster_take_off(struct cluster *cluster, struct pod *pod)
{
    if (pod->node < 0) {
        return;
    }
    struct node *node = cluster->nodes[pod->node];
    node->pods.items[pod->at] = node->pods.items[--node->pods.count];
    node->pods.items[pod->at]->at = pod->at;
    count_requests(cluster, node, pod->shape, -1);
    count_priority(cluster, pod->shape->priority, -1);
    count_ports(node, pod->shape, -1);
    count_labels(node, pod->label_set, -1, pod->terminating ? -1 : 0);
    if (pod->shape->has_affinity) {
        struct pod_list *list = &cluster->affinity_pods;
        list->items[pod->affinity_at] = list->items[--list->count];
        list->items[pod->affinity_at]->affinity_at = pod->affinity_at;
    }
    cluster_note_change(cluster, pod->node);
    pod->node = -1;
}

void cluster_set_terminating(struct cluster *cluster, struct pod *pod)
{
    if (pod->terminating) {
        return;
    }
    pod->terminating = true;
    if (pod->node >= 0) {
        count_labels(cluster->nodes[pod->node], pod->label_set, 0, 1);
        cluster_note_change(cluster, pod->node);
    }
}

void cluster_nominate(struct cluster *cluster, struct pod *pod, int number)
{
    if (pod->nominated >= 0) {
        struct pod_list *list = &cluster->nodes[pod->nominated]->nominated;
        for (size_t i = 0; i < list->count; i++) {
            if (list->items[i] == pod) {
                vec_remove_swap(list, i);
                break;
            }
        }
        cluster->rooms[pod->nominated].nominated--;
        cluster_note_change(cluster, pod->nominated);
    }
    pod->nominated = number;
    if (number >= 0) {
        *vec_push(&cluster->nodes[number]->nominated) = pod;
        cluster->rooms[number].nominated++;
        cluster_note_change(cluster, number);
    }
}

/* ---- sources of default spreading, namespaces ---- */

static void source_set(struct map *map, struct str key, struct selector_source *source)
{
    struct selector_source *old = source != NULL ? map_set(map, key, source) : map_remove(map, key);
    if (old != NULL) {
        arena_done(&old->arena);
        free(old);
    }
}

void cluster_set_service(struct cluster *cluster, struct str ns, struct str key,
                         const struct val *selector_map)
{
    struct selector_source *source = NULL;
    if (val_count(selector_map) > 0) {
        source = mem_new(struct selector_source);
        source->ns = str_copy_in(&source->arena, ns);
        source->selector = requirements_from_map(&source->arena, selector_map);
    }
    source_set(&cluster->services, key, source);
    cluster->layout++;
}

void cluster_set_owner(struct cluster *cluster, struct str uid, const struct val *selector)
{
    struct selector_source *source = NULL;
    if (!val_absent(selector)) {
        source = mem_new(struct selector_source);
        source->selector = requirements_from_selector(&source->arena, selector);
    }
    source_set(&cluster->owners, uid, source);
    cluster->layout++;
}

struct named_labels {
    struct arena arena;
    struct labels labels;
};

void cluster_set_namespace(struct cluster *cluster, struct str name, const struct val *labels,
                           bool gone)
{
    struct named_labels *made = NULL;
    if (!gone) {
        made = mem_new(struct named_labels);
        made->labels = labels_read(&made->arena, labels);
    }
    struct named_labels *old =
        gone ? map_remove(&cluster->namespaces, name) : map_set(&cluster->namespaces, name, made);
    if (old != NULL) {
        arena_done(&old->arena);
        free(old);
    }
    cluster->layout++;
}

const struct labels *cluster_namespace_labels(const struct cluster *cluster, struct str name)
{
    const struct named_labels *found = map_get(&cluster->namespaces, name);
    return found != NULL ? &found->labels : NULL;
}

const uint64_t *cluster_domains(struct cluster *cluster, struct str key, uint64_t key_hash)
{
    struct topology *found = NULL;
    for (size_t i = 0; i < cluster->topologies.count && found == NULL; i++) {
        struct topology *it = cluster->topologies.items[i];
        found = it->key_hash == key_hash ? it : NULL;
    }
    if (found != NULL && found->layout == cluster->layout) {
        return found->domains;
    }
    if (found == NULL) {
        found = mem_new(struct topology);
        *vec_push(&cluster->topologies) = found;
    }
    found->key_hash = key_hash;
    found->layout = cluster->layout;
    found->domains = mem_realloc(found->domains, (cluster->node_cap + 1) * sizeof *found->domains);
    for (size_t i = 0; i < cluster->node_cap; i++) {
        const struct label *label =
            cluster->nodes[i] != NULL ? node_label(cluster->nodes[i], key, key_hash) : NULL;
        found->domains[i] = label != NULL ? tally_domain(key_hash, label->value_hash) : 0;
    }
    return found->domains;
}

static void drop_topologies(struct cluster *cluster)
{
    VEC_EACH (it, &cluster->topologies) {
        free((*it)->domains);
        free(*it);
    }
    vec_done(&cluster->topologies);
}

void cluster_trim(struct cluster *cluster)
{
    if (cluster->topologies.count > TOPOLOGIES_KEPT) {
        drop_topologies(cluster);
    }
}

void cluster_free(struct cluster *cluster)
{
    if (cluster == NULL) {
        return;
    }
    for (size_t i = 0; i < cluster->node_cap; i++) {
        if (cluster->nodes[i] != NULL) {
            cluster_remove_node(cluster, cluster->nodes[i]->name);
        }
    }
    struct map *const sources[] = {&cluster->services, &cluster->owners};
    for (size_t i = 0; i < 2; i++) {
        MAP_EACH (it, sources[i]) {
            struct selector_source *source = it->value;
            arena_done(&source->arena);
            free(source);
        }
        map_done(sources[i]);
    }
    MAP_EACH (it, &cluster->namespaces) {
        struct named_labels *labels = it->value;
        arena_done(&labels->arena);
        free(labels);
    }
    map_done(&cluster->namespaces);
    map_done(&cluster->by_name);
    map_done(&cluster->label_sets);
    map_done(&cluster->columns);
    map_done(&cluster->images);
    shapes_done(&cluster->shapes);
    vec_done(&cluster->free_numbers);
    vec_done(&cluster->affinity_pods);
    vec_done(&cluster->priorities);
    free(cluster->nodes);
    free(cluster->rooms);
    drop_topologies(cluster);
    free(cluster->changed);
    volumes_done(&cluster->volumes);
    free(cluster);
}

/* scheduler_watch.c: what the informers tell, put into the cluster and the queue.
 *
 * A pod is decoded when it is new or its spec or labels changed; status updates, the most frequent
 * ones, cost a hash of a few bytes. Level-triggered: each event brings the entry to what the object
 * says now.
 */
#include "client/owners.h"
#include "scheduler/scheduler_int.h"

static struct str key_of(struct scheduler *scheduler, const struct object *object)
{
    arena_reset(&scheduler->arena);
    return str_of(
        arena_printf(&scheduler->arena, "%.*s/%.*s", STR_ARG(object->ns), STR_ARG(object->name)));
}

static struct str field(const struct object *object, int index)
{
    return index >= 0 && index < object->field_count ? object->fields[index] : STR_NONE;
}

static uint64_t hash_of(const struct object *object)
{
    return str_hash(object_raw(object, STR("spec"))) * 31 +
           str_hash(metadata_raw(object, STR("labels")));
}

static bool is_finished(const struct scheduler *scheduler, const struct object *object)
{
    struct str phase = field(object, scheduler->field_phase);
    return str_is(phase, "Succeeded") || str_is(phase, "Failed");
}

/* ---- waking ---- */

struct helped { /* what one node's change means to pods that ask the same of a node */
    struct scheduler *scheduler;
    const struct node *node;
    struct {
        uint64_t local;
        bool helps;
    } memo[16];
    size_t count;
};

static bool fits_now(struct helped *helped, const struct pod *pod)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct cycle cycle;
    return cycle_prepare(&cycle, helped->scheduler->cluster, pod, &arena) &&
           cycle_judge_alone(&cycle, helped->node) >= 0;
}

/* A change on one node wakes the pods that fit there now, as far as the node alone is asked; and
 * those that wait for other pods too. */
static bool helps(void *ctx, struct pending *item)
{
    struct helped *helped = ctx;
    const struct pod *pod = container_of(item, struct entry, pending)->pod;
    if ((item->events & EVENT_POD_THERE) != 0 || pod->nominated >= 0) {
        return true;
    }
    for (size_t i = 0; i < helped->count; i++) {
        if (helped->memo[i].local == pod->shape->local->id) {
            return helped->memo[i].helps;
        }
    }
    bool answer = fits_now(helped, pod);
    if (helped->count < sizeof helped->memo / sizeof helped->memo[0]) {
        helped->memo[helped->count].local = pod->shape->local->id;
        helped->memo[helped->count++].helps = answer;
    }
    return answer;
}

static void wake_for(struct scheduler *scheduler, unsigned event, int number)
{
    if (scheduler->queue.stuck_count > 0 && number >= 0) {
        struct helped helped = {.scheduler = scheduler, .node = scheduler->cluster->nodes[number]};
        pending_wake(&scheduler->queue, event, helps, &helped);
    }
}

/* ---- entries ---- */

static void leave_node(struct scheduler *scheduler, struct entry *entry)
{
    if (entry->node != NULL && entry->pod->node < 0) {
        scheduler->homeless--;
    }
    cluster_take_off(scheduler->cluster, entry->pod);
    free(entry->node);
    entry->node = NULL;
}

void scheduler_entry_free(struct scheduler *scheduler, struct entry *entry)
{
    pending_remove(&scheduler->queue, &entry->pending);
    list_remove(&entry->volume_link);
    cluster_nominate(scheduler->cluster, entry->pod, -1);
    leave_node(scheduler, entry);
    cluster_pod_free(scheduler->cluster, entry->pod);
    object_unref(entry->object);
    free(entry->message);
    free(entry);
}

static void drop(struct scheduler *scheduler, struct str key)
{
    struct entry *entry = map_remove(&scheduler->entries, key);
    if (entry == NULL) {
        return;
    }
    int there = entry->pod->node, promised = entry->pod->nominated;
    scheduler_entry_free(scheduler, entry);
    wake_for(scheduler, EVENT_POD_GONE, there);
    wake_for(scheduler, EVENT_POD_GONE, promised);
}

/* The bind did not happen: the room is free again. */
void scheduler_forget_bind(struct scheduler *scheduler, struct entry *entry)
{
    int number = entry->pod->node;
    leave_node(scheduler, entry);
    entry->state = ENTRY_WAITING;
    wake_for(scheduler, EVENT_POD_GONE, number);
}

static void settle_on(struct scheduler *scheduler, struct entry *entry, struct str name)
{
    struct node *node = cluster_node(scheduler->cluster, name);
    list_remove(&entry->volume_link);
    pending_remove(&scheduler->queue, &entry->pending);
    cluster_nominate(scheduler->cluster, entry->pod, -1);
    if (entry->pod->node >= 0 && node != NULL && entry->pod->node == node->number) {
        if (entry->node == NULL) { /* as assumed */
            entry->node = str_dup(name);
        }
        entry->state = ENTRY_BOUND;
        return;
    }
    leave_node(scheduler, entry);
    entry->node = str_dup(name);
    entry->state = ENTRY_BOUND;
    if (node != NULL) {
        cluster_place(scheduler->cluster, entry->pod, node->number);
    } else {
        scheduler->homeless++;
    }
    pending_wake(&scheduler->queue, EVENT_POD_THERE, NULL, NULL);
}

static int64_t start_of(const struct val *pod)
{
    int64_t started = 0;
    if (!time_parse(val_text(val_path(pod, "status.startTime")), &started)) {
        time_parse(val_text(val_path(pod, "metadata.creationTimestamp")), &started);
    }
    return started;
}

static bool is_ours(const struct scheduler *scheduler, const struct val *pod)
{
    struct str wanted = val_text(val_path(pod, "spec.schedulerName"));
    return (wanted.n == 0 || str_is(wanted, scheduler->name)) &&
           val_count(val_path(pod, "spec.schedulingGates")) == 0;
}

/* A pod that asks something else than before keeps its place. */
static void read_pod(struct scheduler *scheduler, struct entry *entry, const struct val *value)
{
    struct pod *old = entry->pod;
    struct pod *pod =
        cluster_pod_new(scheduler->cluster, val_namespace(value), val_name(value), value);
    pod->owner = entry;
    pod->started = start_of(value);
    entry->pod = pod;
    entry->pending.priority = pod->shape->priority;
    if (old == NULL) {
        return;
    }
    int node = old->node, nominated = old->nominated;
    pod->terminating = old->terminating;
    cluster_nominate(scheduler->cluster, old, -1);
    cluster_take_off(scheduler->cluster, old);
    if (node >= 0) {
        cluster_place(scheduler->cluster, pod, node);
        wake_for(scheduler, EVENT_POD_GONE | EVENT_POD_THERE, node);
    }
    cluster_nominate(scheduler->cluster, pod, nominated);
    cluster_pod_free(scheduler->cluster, old);
}

static void set_object(struct entry *entry, struct object *object)
{
    object_ref(object);
    object_unref(entry->object);
    entry->object = object;
}

static void decode(struct scheduler *scheduler, struct entry *entry, struct object *object)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct val *value = object_decode(object, &arena);
    read_pod(scheduler, entry, value);
    entry->spec_hash = hash_of(object);
    if (entry->state == ENTRY_IGNORED || entry->state == ENTRY_WAITING) {
        entry->state = is_ours(scheduler, value) ? ENTRY_WAITING : ENTRY_IGNORED;
        if (entry->state == ENTRY_IGNORED) {
            pending_remove(&scheduler->queue, &entry->pending);
        } else if (field(object, scheduler->field_node).n == 0) {
            pending_add(&scheduler->queue, &entry->pending); /* new, or another wish: try (again) */
        }
    }
}

static void on_pod(void *ctx, struct object *old, struct object *now)
{
    struct scheduler *scheduler = ctx;
    struct str key = key_of(scheduler, now != NULL ? now : old);
    if (now == NULL || is_finished(scheduler, now)) {
        drop(scheduler, key);
        return;
    }
    struct entry *entry = map_get(&scheduler->entries, key);
    if (entry != NULL && !str_eq(entry->pod->uid, now->uid)) { /* another pod of that name */
        drop(scheduler, key);
        entry = NULL;
    }
    struct str node = field(now, scheduler->field_node);
    bool is_new = entry == NULL;
    if (is_new) {
        entry = mem_new(struct entry);
        list_init(&entry->pending.link);
        list_init(&entry->volume_link);
        map_set(&scheduler->entries, key, entry);
    }
    set_object(entry, now);
    bool confirmed = entry->state == ENTRY_BINDING && node.n > 0;
    if (is_new || (!confirmed && entry->spec_hash != hash_of(now))) {
        decode(scheduler, entry, now);
    } else if (confirmed) {
        entry->spec_hash = hash_of(now);
    }
    if (node.n > 0 && entry->state != ENTRY_BOUND) {
        settle_on(scheduler, entry, node);
    } else if (now->deleting && node.n == 0) {
        pending_remove(&scheduler->queue, &entry->pending);
        cluster_nominate(scheduler->cluster, entry->pod, -1);
    }
    if (now->deleting) {
        cluster_set_terminating(scheduler->cluster, entry->pod);
    }
}

/* ---- nodes ---- */

static void house(struct scheduler *scheduler, struct str name)
{
    const struct node *node = cluster_node(scheduler->cluster, name);
    MAP_EACH (it, &scheduler->entries) {
        struct entry *entry = it->value;
        if (entry->node != NULL && entry->pod->node < 0 && str_is(name, entry->node)) {
            cluster_place(scheduler->cluster, entry->pod, node->number);
            scheduler->homeless--;
        }
    }
}

static void on_node(void *ctx, struct object *old, struct object *now)
{
    struct scheduler *scheduler = ctx;
    if (now == NULL) {
        MAP_EACH (it, &scheduler->entries) {
            struct entry *entry = it->value;
            scheduler->homeless += entry->node != NULL && str_is(old->name, entry->node);
        }
        cluster_remove_node(scheduler->cluster, old->name);
        return;
    }
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    if (cluster_set_node(scheduler->cluster, object_decode(now, &arena))) {
        if (scheduler->homeless > 0) {
            house(scheduler, now->name);
        }
        wake_for(scheduler, EVENT_NODE, cluster_node(scheduler->cluster, now->name)->number);
    }
}

/* ---- what spreading and affinity look at beside pods ---- */

static void on_service(void *ctx, struct object *old, struct object *now)
{
    struct scheduler *scheduler = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct str key = key_of(scheduler, now != NULL ? now : old);
    const struct val *value = now != NULL ? object_decode(now, &arena) : NULL;
    cluster_set_service(scheduler->cluster, now != NULL ? now->ns : old->ns, key,
                        val_path(value, "spec.selector"));
}

static void on_owner(void *ctx, struct object *old, struct object *now)
{
    struct scheduler *scheduler = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    if (now != NULL && old != NULL &&
        str_eq(object_raw(old, STR("spec")), object_raw(now, STR("spec")))) {
        return; /* status: every pod of it causes one */
    }
    const struct val *value = now != NULL ? object_decode(now, &arena) : NULL;
    cluster_set_owner(scheduler->cluster, now != NULL ? now->uid : old->uid,
                      val_path(value, "spec.selector"));
}

static void on_namespace(void *ctx, struct object *old, struct object *now)
{
    struct scheduler *scheduler = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct val *value = now != NULL ? object_decode(now, &arena) : NULL;
    cluster_set_namespace(scheduler->cluster, now != NULL ? now->name : old->name,
                          val_path(value, "metadata.labels"), now == NULL);
    pending_wake(&scheduler->queue, EVENT_OTHER, NULL, NULL);
}

static void on_storage(struct scheduler *scheduler, struct map *map, struct str key,
                       struct object *now)
{
    volumes_put(map, key, now);
    pending_wake(&scheduler->queue, EVENT_OTHER, NULL, NULL);
    if (!list_empty(&scheduler->volume_waiters)) {
        scheduler_check_volumes(scheduler);
    }
}

static void on_claim(void *ctx, struct object *old, struct object *now)
{
    struct scheduler *scheduler = ctx;
    struct str key = key_of(scheduler, now != NULL ? now : old);
    on_storage(scheduler, &scheduler->cluster->volumes.claims, key, now);
}

static void on_volume(void *ctx, struct object *old, struct object *now)
{
    struct scheduler *scheduler = ctx;
    on_storage(scheduler, &scheduler->cluster->volumes.volumes, (now != NULL ? now : old)->name,
               now);
}

static void on_class(void *ctx, struct object *old, struct object *now)
{
    struct scheduler *scheduler = ctx;
    on_storage(scheduler, &scheduler->cluster->volumes.classes, (now != NULL ? now : old)->name,
               now);
}

static int field_index(const struct api_resource *resource, const char *name)
{
    for (int i = 0; resource->field_selectors != NULL && resource->field_selectors[i] != NULL;
         i++) {
        if (str_is(str_of(resource->field_selectors[i]), name)) {
            return i;
        }
    }
    return -1;
}

static void watch(struct scheduler *scheduler, const char *group, const char *plural,
                  void (*on_change)(void *ctx, struct object *old, struct object *now))
{
    const struct api_resource *resource = schema_resource(str_of(group), STR("v1"), str_of(plural));
    if (resource != NULL && resource->served) {
        informer_handle(informers_get(scheduler->informers, resource),
                        (struct informer_handler){on_change, scheduler});
    }
}

void scheduler_watch(struct scheduler *scheduler)
{
    scheduler->pods = schema_resource(STR(""), STR("v1"), STR("pods"));
    scheduler->nodes = schema_resource(STR(""), STR("v1"), STR("nodes"));
    scheduler->field_node = field_index(scheduler->pods, "spec.nodeName");
    scheduler->field_phase = field_index(scheduler->pods, "status.phase");
    watch(scheduler, "", "nodes", on_node);
    watch(scheduler, "", "namespaces", on_namespace);
    watch(scheduler, "", "services", on_service);
    watch(scheduler, "apps", "replicasets", on_owner);
    watch(scheduler, "apps", "statefulsets", on_owner);
    watch(scheduler, "", "persistentvolumeclaims", on_claim);
    watch(scheduler, "", "persistentvolumes", on_volume);
    watch(scheduler, "storage.k8s.io", "storageclasses", on_class);
    watch(scheduler, "", "pods", on_pod);
}

/* The EndpointSlice controller: the addresses behind a Service, at most 100 a slice.
 *
 * A pass computes the endpoints of every address family, grouped by the ports they listen on, and
 * changes as few slices as it can: endpoints that are gone or changed are edited where they are,
 * new ones fill slices that are written anyway, then one that has room for all of them, then new
 * slices. Slices belong to the Service by owner reference, so the garbage collector removes them
 * with it.
 *
 * Left to others: Services without selector (their owner makes the slices), topology-aware hints
 * (service.kubernetes.io/topology-mode is not acted on; trafficDistribution is).
 */
#include <stdlib.h>

#include "base/mem.h"
#include "controllers/network/services.h"
#include "controllers/table_int.h"

enum { SLICE_MAX = 100, PARALLEL = 5 };
#define LABEL_SERVICE  "kubernetes.io/service-name"
#define LABEL_MANAGER  "endpointslice.kubernetes.io/managed-by"
#define LABEL_HEADLESS "service.kubernetes.io/headless"
#define MANAGER        "endpointslice-controller.k8s.io"
#define INDEX          "service"

struct endpointslices {
    struct worker *worker;
    struct services *services;
    struct informer *slices, *pods, *nodes;
    const struct api_resource *resource;
};

struct endpoint {
    struct val *value;
    struct str uid; /* of the pod */
    bool placed;
};
struct group { /* endpoints of one family with the same ports */
    struct group *next;
    struct str family;
    struct val *ports;
    struct endpoint *items;
    size_t count, cap;
};
struct slice {
    struct object *object;
    struct val *value;   /* edited in place */
    struct group *group; /* NULL: its ports are nobody's any more */
    bool dirty;
    bool placeholder; /* kept although it is empty */
};
struct slices_pass {
    struct endpointslices *all;
    struct object *object;
    struct val *service;
    struct group *groups;
    struct slice *slices;
    size_t count, kept;
};

/* ---- what should be there ---- */

static struct group *group_of(struct arena *arena, struct slices_pass *work, struct str family,
                              struct val *ports)
{
    for (struct group *it = work->groups; it != NULL; it = it->next) {
        if (str_eq(it->family, family) && val_equal(it->ports, ports)) {
            return it;
        }
    }
    struct group *group = arena_new(arena, struct group);
    group->family = family;
    group->ports = ports;
    group->next = work->groups;
    work->groups = group;
    return group;
}

static void group_add(struct arena *arena, struct group *group, struct endpoint endpoint)
{
    if (group->count == group->cap) {
        size_t cap = group->cap > 0 ? group->cap * 2 : 16;
        struct endpoint *items = arena_array(arena, struct endpoint, cap);
        if (group->count > 0) {
            memcpy(items, group->items, group->count * sizeof *items);
        }
        group->items = items;
        group->cap = cap;
    }
    group->items[group->count++] = endpoint;
}

static struct str zone_of(const struct slices_pass *work, struct str node)
{
    const struct object *object = informer_get(work->all->nodes, STR_NONE, node);
    return object != NULL ? object_label_get(object, STR("topology.kubernetes.io/zone")) : STR_NONE;
}

static void set_hints(struct arena *arena, const struct slices_pass *work, struct val *endpoint,
                      bool ready)
{
    struct str wish = val_text(val_path(work->service, "spec.trafficDistribution"));
    struct str zone = val_text(val_get(endpoint, "zone"));
    struct str node = val_text(val_get(endpoint, "nodeName"));
    bool same_node = str_is(wish, "PreferSameNode");
    if (!ready || (!same_node && !str_is(wish, "PreferClose") && !str_is(wish, "PreferSameZone"))) {
        return;
    }
    struct val *hints = val_new(arena, VAL_OBJECT);
    if (zone.n > 0) {
        struct val *one =
            val_append(val_make_array(arena, hints, STR("forZones")), val_new(arena, VAL_OBJECT));
        val_set_text(arena, one, STR("name"), zone);
    }
    if (same_node && node.n > 0) {
        struct val *one =
            val_append(val_make_array(arena, hints, STR("forNodes")), val_new(arena, VAL_OBJECT));
        val_set_text(arena, one, STR("name"), node);
    }
    if (hints->count > 0) {
        val_set(endpoint, STR("hints"), hints);
    }
}

static struct val *new_endpoint(struct arena *arena, const struct slices_pass *work,
                                const struct object *object, const struct val *pod,
                                struct str address)
{
    struct val *endpoint = val_new(arena, VAL_OBJECT);
    bool serving = pod_is_ready_val(pod);
    bool ready = val_bool(val_path(work->service, "spec.publishNotReadyAddresses"), false) ||
                 (serving && !object->deleting);
    val_append(val_make_array(arena, endpoint, STR("addresses")), val_new_text(arena, address));
    struct val *conditions = val_make_object(arena, endpoint, STR("conditions"));
    val_set_bool(arena, conditions, STR("ready"), ready);
    val_set_bool(arena, conditions, STR("serving"), serving);
    val_set_bool(arena, conditions, STR("terminating"), object->deleting);
    struct str hostname = pod_published_hostname(pod, work->service);
    if (hostname.n > 0) {
        val_set_text(arena, endpoint, STR("hostname"), hostname);
    }
    val_set(endpoint, STR("targetRef"), pod_reference(arena, object));
    struct str node = val_text(val_path(pod, "spec.nodeName"));
    if (node.n > 0) {
        val_set_text(arena, endpoint, STR("nodeName"), node);
        struct str zone = zone_of(work, node);
        if (zone.n > 0) {
            val_set_text(arena, endpoint, STR("zone"), zone);
        }
    }
    set_hints(arena, work, endpoint, ready);
    return endpoint;
}

struct gather {
    struct pass *pass;
    struct slices_pass *work;
    size_t count; /* pods looked at */
};

static void gather_family(struct gather *gather, struct object *object, const struct val *pod,
                          struct str family)
{
    struct arena *arena = gather->pass->arena;
    struct slices_pass *work = gather->work;
    struct str address = pod_address(pod, family);
    if (address.n == 0) {
        return;
    }
    struct val *ports = service_ports_on(arena, work->service, pod);
    if (ports->count == 0 && val_count(val_path(work->service, "spec.ports")) > 0) {
        return; /* none of the named ports is on this pod */
    }
    group_add(
        arena, group_of(arena, work, family, ports),
        (struct endpoint){new_endpoint(arena, work, object, pod, address), object->uid, false});
}

static bool gather_pod(void *ctx, struct object *object)
{
    struct gather *gather = ctx;
    const struct val *pod = object_decode(object, gather->pass->arena);
    gather->count++;
    if (!pod_has_endpoint(pod, object, true)) {
        return true;
    }
    pass_hold(gather->pass, object);
    const struct val *families = val_path(gather->work->service, "spec.ipFamilies");
    VAL_EACH (it, families) {
        gather_family(gather, object, pod, val_text(it));
    }
    if (val_count(families) == 0) {
        gather_family(gather, object, pod, STR("IPv4"));
        gather_family(gather, object, pod, STR("IPv6"));
    }
    return true;
}

/* ---- what is there ---- */

static bool load_slice(void *ctx, struct object *object)
{
    struct gather *gather = ctx;
    struct slices_pass *work = gather->work;
    if (!object->deleting && str_is(object_label_get(object, STR(LABEL_MANAGER)), MANAGER)) {
        work->slices[work->count].object = pass_hold(gather->pass, object);
        work->slices[work->count++].value = object_decode(object, gather->pass->arena);
    }
    return true;
}

static bool count_slice(void *ctx, struct object *object)
{
    (*(size_t *)ctx)++;
    return true;
}

static void load_slices(struct gather *gather, struct str key)
{
    size_t count = 0;
    const struct informer *informer = gather->work->all->slices;
    informer_each_in(informer, INDEX, key, count_slice, &count);
    gather->work->slices = arena_array(gather->pass->arena, struct slice, count + 1);
    informer_each_in(informer, INDEX, key, load_slice, gather);
}

/* The ports of a slice as group_of compares them. */
static struct val *plain_ports(struct arena *arena, const struct val *slice)
{
    struct val *ports = val_new(arena, VAL_ARRAY);
    VAL_EACH (it, val_get(slice, "ports")) {
        struct val *port = val_append(ports, val_new(arena, VAL_OBJECT));
        val_set_text(arena, port, STR("name"), val_text(val_get(it, "name")));
        val_set_int(arena, port, STR("port"), val_int(val_get(it, "port"), 0));
        val_set_text(arena, port, STR("protocol"), val_text(val_get(it, "protocol")));
        struct str app = val_text(val_get(it, "appProtocol"));
        if (app.n > 0) {
            val_set_text(arena, port, STR("appProtocol"), app);
        }
    }
    return ports;
}

/* ---- from one to the other ---- */

static struct endpoint *find_endpoint(struct group *group, struct str uid)
{
    for (size_t i = 0; group != NULL && i < group->count; i++) {
        if (str_eq(group->items[i].uid, uid) && !group->items[i].placed) {
            return &group->items[i];
        }
    }
    return NULL;
}

static void keep_endpoints(struct arena *arena, struct slice *slice)
{
    struct val *old = val_get(slice->value, "endpoints");
    struct val *kept = val_new(arena, VAL_ARRAY);
    for (struct val *it = old != NULL ? old->child : NULL, *next; it != NULL; it = next) {
        next = it->next;
        struct endpoint *wanted =
            find_endpoint(slice->group, val_text(val_path(it, "targetRef.uid")));
        if (wanted == NULL) {
            slice->dirty = true;
            continue;
        }
        wanted->placed = true;
        slice->dirty |= !val_equal(it, wanted->value);
        val_append(kept, wanted->value);
    }
    val_set(slice->value, STR("endpoints"), kept);
}

static struct val *wanted_labels(struct arena *arena, const struct slices_pass *work)
{
    struct val *labels = val_new(arena, VAL_OBJECT);
    VAL_EACH (it, val_path(work->service, "metadata.labels")) {
        val_set_text(arena, labels, it->key, it->text);
    }
    val_unset(labels, STR(LABEL_HEADLESS));
    if (service_is_headless(work->service)) {
        val_set_text(arena, labels, STR(LABEL_HEADLESS), STR(""));
    }
    val_set_text(arena, labels, STR(LABEL_SERVICE), work->object->name);
    val_set_text(arena, labels, STR(LABEL_MANAGER), STR(MANAGER));
    return labels;
}

static void keep_labels(struct arena *arena, const struct slices_pass *work, struct slice *slice)
{
    struct val *labels = wanted_labels(arena, work);
    struct val *meta = val_get(slice->value, "metadata");
    if (!val_equal(val_get(meta, "labels"), labels)) {
        val_set(meta, STR("labels"), labels);
        slice->dirty = true;
    }
}

static size_t fill(struct slice *slice, struct group *group, size_t left)
{
    struct val *endpoints = val_get(slice->value, "endpoints");
    for (size_t i = 0; i < group->count && left > 0 && endpoints->count < SLICE_MAX; i++) {
        if (!group->items[i].placed) {
            group->items[i].placed = true;
            val_append(endpoints, group->items[i].value);
            slice->dirty = true;
            left--;
        }
    }
    return left;
}

static size_t unplaced(const struct group *group)
{
    size_t count = 0;
    for (size_t i = 0; i < group->count; i++) {
        count += !group->items[i].placed;
    }
    return count;
}

/* The fullest slice of the group that has room for all that is left. */
static struct slice *roomy_slice(struct slices_pass *work, const struct group *group, size_t left)
{
    struct slice *best = NULL;
    for (size_t i = 0; i < work->count; i++) {
        struct slice *slice = &work->slices[i];
        size_t used = val_count(val_get(slice->value, "endpoints"));
        if (slice->group == group && used + left <= SLICE_MAX &&
            (best == NULL || used > val_count(val_get(best->value, "endpoints")))) {
            best = slice;
        }
    }
    return best;
}

static struct val *new_slice(struct pass *pass, const struct slices_pass *work, struct str family,
                             const struct val *ports)
{
    struct arena *arena = pass->arena;
    struct val *slice = val_new(arena, VAL_OBJECT);
    struct val *meta = val_make_object(arena, slice, STR("metadata"));
    val_set_text(arena, meta, STR("generateName"),
                 str_of(arena_printf(arena, "%.*s-", STR_ARG(work->object->name))));
    val_set_text(arena, meta, STR("namespace"), pass->ns);
    val_set(meta, STR("labels"), wanted_labels(arena, work));
    val_append(val_make_array(arena, meta, STR("ownerReferences")),
               owner_reference_new(arena, work->object));
    val_set_text(arena, slice, STR("addressType"), family);
    val_make_array(arena, slice, STR("endpoints"));
    struct val *list = val_make_array(arena, slice, STR("ports"));
    VAL_EACH (it, ports) {
        val_append(list, val_copy(arena, it));
    }
    return slice;
}

static void create_rest(struct pass *pass, struct slices_pass *work, struct group *group,
                        size_t left)
{
    while (left > 0) {
        struct slice slice = {.value = new_slice(pass, work, group->family, group->ports)};
        left = fill(&slice, group, left);
        pass_create(pass, work->all->resource, pass->ns, slice.value, NULL, NULL);
        work->kept++;
    }
}

static void place_new(struct pass *pass, struct slices_pass *work)
{
    for (struct group *group = work->groups; group != NULL; group = group->next) {
        size_t left = unplaced(group);
        for (size_t i = 0; i < work->count && left > 0; i++) {
            if (work->slices[i].group == group && work->slices[i].dirty &&
                val_count(val_get(work->slices[i].value, "endpoints")) > 0) {
                left = fill(&work->slices[i], group, left);
            }
        }
        struct slice *roomy = left > 0 ? roomy_slice(work, group, left) : NULL;
        if (roomy != NULL) {
            left = fill(roomy, group, left);
        }
        create_rest(pass, work, group, left);
    }
}

static bool has_family(const struct slices_pass *work, struct str family)
{
    const struct val *families = val_path(work->service, "spec.ipFamilies");
    VAL_EACH (it, families) {
        if (str_eq(val_text(it), family)) {
            return true;
        }
    }
    return val_count(families) == 0;
}

/* Every family has at least one slice, an empty one without ports when there are no endpoints, so
 * that consumers can tell "none" from "not looked at yet". */
static void keep_placeholder(struct pass *pass, struct slices_pass *work, struct str family)
{
    struct slice *empty = NULL;
    for (struct group *it = work->groups; it != NULL; it = it->next) {
        if (str_eq(it->family, family)) {
            return;
        }
    }
    for (size_t i = 0; i < work->count && empty == NULL; i++) {
        struct slice *slice = &work->slices[i];
        if (str_eq(val_text(val_get(slice->value, "addressType")), family)) {
            empty = slice;
        }
    }
    if (empty == NULL) {
        pass_create(pass, work->all->resource, pass->ns, new_slice(pass, work, family, NULL), NULL,
                    NULL);
        return;
    }
    empty->dirty |= val_count(val_get(empty->value, "ports")) > 0;
    val_set(empty->value, STR("ports"), val_new(pass->arena, VAL_ARRAY));
    empty->placeholder = true;
}

static void write_slices(struct pass *pass, struct slices_pass *work)
{
    for (size_t i = 0; i < work->count; i++) {
        struct slice *slice = &work->slices[i];
        bool is_empty = slice->group == NULL || val_count(val_get(slice->value, "endpoints")) == 0;
        if (is_empty && !slice->placeholder) {
            pass_delete(pass, slice->object, NULL, -1, NULL, NULL);
        } else if (slice->dirty) {
            pass_update(pass, work->all->resource, "", slice->value, NULL, NULL);
        }
    }
}

static void match_slices(struct pass *pass, struct slices_pass *work)
{
    for (size_t i = 0; i < work->count; i++) {
        struct slice *slice = &work->slices[i];
        struct str family = val_text(val_get(slice->value, "addressType"));
        struct val *ports = plain_ports(pass->arena, slice->value);
        for (struct group *it = work->groups; it != NULL && slice->group == NULL; it = it->next) {
            if (str_eq(it->family, family) && val_equal(it->ports, ports)) {
                slice->group = it;
            }
        }
        keep_endpoints(pass->arena, slice);
        keep_labels(pass->arena, work, slice);
    }
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct endpointslices *all = ctx;
    struct object *object = informer_get(services_informer(all->services), pass->ns, pass->name);
    if (object == NULL || object->deleting) {
        return;
    }
    struct slices_pass *work = arena_new(pass->arena, struct slices_pass);
    work->all = all;
    work->object = pass_hold(pass, object);
    work->service = object_decode(object, pass->arena);
    if (!service_has_endpoints(work->service)) {
        return;
    }
    struct gather gather = {pass, work, 0};
    struct selector selector;
    selector_from_map(pass->arena, val_path(work->service, "spec.selector"), &selector);
    informer_each(all->pods, pass->ns, &selector, gather_pod, &gather);
    pass_cost(pass, gather.count);
    load_slices(&gather, pass->key);
    match_slices(pass, work);
    place_new(pass, work);
    struct str families[] = {STR("IPv4"), STR("IPv6")};
    bool any = val_count(val_path(work->service, "spec.ipFamilies")) > 0;
    for (size_t i = 0; i < 2; i++) {
        if (any ? has_family(work, families[i]) : i == 0 && work->groups == NULL) {
            keep_placeholder(pass, work, families[i]);
        }
    }
    write_slices(pass, work);
}

/* ---- events ---- */

static void wake(void *ctx, struct str ns, struct str name)
{
    struct endpointslices *all = ctx;
    worker_add_name(all->worker, ns, name);
}

static void on_service(void *ctx, struct object *old, struct object *now)
{
    struct object *service = now != NULL ? now : old;
    wake(ctx, service->ns, service->name);
}

static void on_pod(void *ctx, struct object *old, struct object *now)
{
    struct endpointslices *all = ctx;
    services_pod_changed(all->services, old, now, wake, all);
}

static void on_slice(void *ctx, struct object *old, struct object *now)
{
    struct object *slice = now != NULL ? now : old;
    if (str_is(object_label_get(slice, STR(LABEL_MANAGER)), MANAGER)) {
        wake(ctx, slice->ns, object_label_get(slice, STR(LABEL_SERVICE)));
    }
    if (old != NULL && now != NULL) { /* its labels may have been changed under us */
        wake(ctx, old->ns, object_label_get(old, STR(LABEL_SERVICE)));
    }
}

static bool wake_service(void *ctx, struct object *service)
{
    wake(ctx, service->ns, service->name);
    return true;
}

static void on_node(void *ctx, struct object *old, struct object *now)
{
    struct endpointslices *all = ctx;
    struct str key = STR("topology.kubernetes.io/zone");
    struct str before = old != NULL ? object_label_get(old, key) : STR_NONE;
    struct str after = now != NULL ? object_label_get(now, key) : STR_NONE;
    if (!str_eq(before, after)) {
        informer_each(services_informer(all->services), STR_NONE, NULL, wake_service, all);
    }
}

static void keys_of_slice(const struct object *object, void (*emit)(void *arg, struct str key),
                          void *arg)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct str service = object_label_get(object, STR(LABEL_SERVICE));
    if (service.n > 0) {
        emit(arg, str_of(arena_printf(&arena, "%.*s/%.*s", STR_ARG(object->ns), STR_ARG(service))));
    }
}

static void *start(struct controller_env *env)
{
    struct endpointslices *all = mem_new(struct endpointslices);
    all->resource = controller_resource("discovery.k8s.io", "v1", "endpointslices");
    all->worker = worker_new(env, "endpointslice-controller", PARALLEL, reconcile, all);
    all->services = selecting_services_new(env->informers);
    all->slices = informers_get(env->informers, all->resource);
    all->pods = informers_get(env->informers, controller_resource("", "v1", "pods"));
    all->nodes = informers_get(env->informers, controller_resource("", "v1", "nodes"));
    informer_index(all->slices, INDEX, keys_of_slice);
    informer_handle(services_informer(all->services), (struct informer_handler){on_service, all});
    informer_handle(all->pods, (struct informer_handler){on_pod, all});
    informer_handle(all->slices, (struct informer_handler){on_slice, all});
    informer_handle(all->nodes, (struct informer_handler){on_node, all});
    return all;
}

static void stop(void *state)
{
    struct endpointslices *all = state;
    informer_unhandle(services_informer(all->services), all);
    informer_unhandle(all->pods, all);
    informer_unhandle(all->slices, all);
    informer_unhandle(all->nodes, all);
    worker_free(all->worker);
    selecting_services_free(all->services);
    free(all);
}

const struct controller controller_endpointslice = {
    .name = "endpointslice-controller", .start = start, .stop = stop};

/* The Endpoints controller: the older form of a Service's addresses, one object a Service, for
 * clients that still read it.
 *
 * Addresses are grouped by the ports they listen on into subsets, ready and not ready apart, in a
 * canonical order, so that an unchanged set of pods is an unchanged object. At most 1,000
 * addresses, then the annotation endpoints.kubernetes.io/over-capacity says "truncated".
 *
 * Left to others: Services without selector, whose Endpoints are someone else's.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "controllers/network/services.h"
#include "controllers/table_int.h"

enum { ADDRESSES_MAX = 1000, PARALLEL = 5 };
#define OVER_CAPACITY  "endpoints.kubernetes.io/over-capacity"
#define LABEL_MANAGER  "endpoints.kubernetes.io/managed-by"
#define LABEL_HEADLESS "service.kubernetes.io/headless"
#define MANAGER        "endpoint-controller"

struct endpoints {
    struct worker *worker;
    struct services *services;
    struct informer *endpoints, *pods;
    const struct api_resource *resource;
};

struct subset {
    struct subset *next;
    struct val *ports, *ready, *not_ready;
};
struct endpoints_pass {
    struct pass *pass;
    struct val *service;
    struct str family;
    bool with_not_ready;
    struct subset *subsets;
    int total;
    bool truncated;
    size_t count; /* pods looked at */
};

/* ---- subsets ---- */

/* Ports in order of name, then number; members without a value are absent. */
static struct val *sorted_ports(struct arena *arena, const struct val *ports)
{
    struct val *sorted = val_new(arena, VAL_ARRAY);
    VAL_EACH (it, ports) {
        struct val *port = val_copy(arena, it), *after = NULL;
        if (val_text(val_get(port, "name")).n == 0) {
            val_unset(port, STR("name"));
        }
        VAL_EACH (at, sorted) {
            int order = str_cmp(val_text(val_get(at, "name")), val_text(val_get(port, "name")));
            if (order < 0 || (order == 0 && val_int(val_get(at, "port"), 0) <=
                                                val_int(val_get(port, "port"), 0))) {
                after = at;
            }
        }
        val_insert_after(sorted, after, port);
    }
    return sorted;
}

static struct subset *subset_of(struct endpoints_pass *work, struct val *ports)
{
    struct arena *arena = work->pass->arena;
    struct subset **at = &work->subsets;
    for (; *at != NULL; at = &(*at)->next) {
        if (val_equal((*at)->ports, ports)) {
            return *at;
        }
    }
    struct subset *subset = *at = arena_new(arena, struct subset);
    subset->ports = ports;
    subset->ready = val_new(arena, VAL_ARRAY);
    subset->not_ready = val_new(arena, VAL_ARRAY);
    return subset;
}

static struct val *new_address(struct endpoints_pass *work, const struct object *object,
                               const struct val *pod, struct str ip)
{
    struct arena *arena = work->pass->arena;
    struct val *address = val_new(arena, VAL_OBJECT);
    val_set_text(arena, address, STR("ip"), ip);
    struct str hostname = pod_published_hostname(pod, work->service);
    if (hostname.n > 0) {
        val_set_text(arena, address, STR("hostname"), hostname);
    }
    struct str node = val_text(val_path(pod, "spec.nodeName"));
    if (node.n > 0) {
        val_set_text(arena, address, STR("nodeName"), node);
    }
    val_set(address, STR("targetRef"), pod_reference(arena, object));
    return address;
}

static bool take_pod(void *ctx, struct object *object)
{
    struct endpoints_pass *work = ctx;
    struct arena *arena = work->pass->arena;
    const struct val *pod = object_decode(object, arena);
    work->count++;
    struct str ip = pod_address(pod, work->family);
    if (ip.n == 0 || !pod_has_endpoint(pod, object, work->with_not_ready)) {
        return true;
    }
    struct val *ports = service_ports_on(arena, work->service, pod);
    if (ports->count == 0 && val_count(val_path(work->service, "spec.ports")) > 0) {
        return true;
    }
    if (work->total >= ADDRESSES_MAX) {
        work->truncated = true;
        return false;
    }
    work->total++;
    struct subset *subset = subset_of(work, sorted_ports(arena, ports));
    bool ready = work->with_not_ready || pod_is_ready_val(pod);
    struct val *list = ready ? subset->ready : subset->not_ready, *after = NULL;
    struct val *address = new_address(work, pass_hold(work->pass, object), pod, ip);
    VAL_EACH (it, list) { /* by address: pods come by name */
        if (str_cmp(val_text(val_get(it, "ip")), ip) <= 0) {
            after = it;
        }
    }
    val_insert_after(list, after, address);
    return true;
}

static int compare_subsets(const struct subset *a, const struct subset *b)
{
    struct buf one BUF_CLEANUP = BUF_INIT, two BUF_CLEANUP = BUF_INIT;
    val_write_json(a->ports, &one);
    val_write_json(b->ports, &two);
    return str_cmp(buf_view(&one), buf_view(&two));
}

static struct val *subsets_value(struct endpoints_pass *work)
{
    struct arena *arena = work->pass->arena;
    struct subset *sorted = NULL;
    while (work->subsets != NULL) {
        struct subset *subset = work->subsets, **at = &sorted;
        work->subsets = subset->next;
        while (*at != NULL && compare_subsets(*at, subset) <= 0) {
            at = &(*at)->next;
        }
        subset->next = *at;
        *at = subset;
    }
    struct val *list = val_new(arena, VAL_ARRAY);
    for (struct subset *it = sorted; it != NULL; it = it->next) {
        struct val *one = val_append(list, val_new(arena, VAL_OBJECT));
        if (it->ready->count > 0) {
            val_set(one, STR("addresses"), it->ready);
        }
        if (it->not_ready->count > 0) {
            val_set(one, STR("notReadyAddresses"), it->not_ready);
        }
        if (it->ports->count > 0) {
            val_set(one, STR("ports"), it->ports);
        }
    }
    return list;
}

/* ---- the object ---- */

static struct val *wanted_labels(struct arena *arena, const struct val *service)
{
    struct val *labels = val_new(arena, VAL_OBJECT);
    VAL_EACH (it, val_path(service, "metadata.labels")) {
        val_set_text(arena, labels, it->key, it->text);
    }
    val_unset(labels, STR(LABEL_HEADLESS));
    if (service_is_headless(service)) {
        val_set_text(arena, labels, STR(LABEL_HEADLESS), STR(""));
    }
    val_set_text(arena, labels, STR(LABEL_MANAGER), STR(MANAGER));
    return labels;
}

static bool is_same_list(const struct val *a, const struct val *b)
{
    return val_count(a) == val_count(b) && (val_count(a) == 0 || val_equal(a, b));
}

static void set_capacity(struct arena *arena, struct val *meta, bool truncated)
{
    struct val *annotations = val_get(meta, "annotations");
    if (truncated) {
        annotations = val_make_object(arena, meta, STR("annotations"));
        val_set_text(arena, annotations, STR(OVER_CAPACITY), STR("truncated"));
    } else if (annotations != NULL && val_unset(annotations, STR(OVER_CAPACITY)) &&
               annotations->count == 0) {
        val_unset(meta, STR("annotations"));
    }
}

static void write_endpoints(struct pass *pass, struct endpoints *all, struct endpoints_pass *work)
{
    struct arena *arena = pass->arena;
    struct object *old = informer_get(all->endpoints, pass->ns, pass->name);
    struct val *value = old != NULL ? object_decode(old, arena) : val_new(arena, VAL_OBJECT);
    struct val *meta = val_make_object(arena, value, STR("metadata"));
    struct val *before = val_copy(arena, meta);
    struct val *subsets = subsets_value(work);
    bool same = is_same_list(val_get(value, "subsets"), subsets);
    val_set(meta, STR("labels"), wanted_labels(arena, work->service));
    set_capacity(arena, meta, work->truncated);
    val_set(value, STR("subsets"), subsets);
    if (old == NULL) {
        val_set_text(arena, meta, STR("name"), pass->name);
        val_set_text(arena, meta, STR("namespace"), pass->ns);
        pass_create(pass, all->resource, pass->ns, value, NULL, NULL);
    } else if (!same || !val_equal(before, meta)) {
        pass_hold(pass, old);
        pass_update(pass, all->resource, "", value, NULL, NULL);
    }
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct endpoints *all = ctx;
    struct object *object = informer_get(services_informer(all->services), pass->ns, pass->name);
    if (object == NULL) {
        struct object *left = informer_get(all->endpoints, pass->ns, pass->name);
        if (left != NULL && str_is(object_label_get(left, STR(LABEL_MANAGER)), MANAGER)) {
            pass_delete(pass, left, NULL, -1, NULL, NULL);
        }
        return;
    }
    struct endpoints_pass *work = arena_new(pass->arena, struct endpoints_pass);
    work->pass = pass;
    work->service = object_decode(pass_hold(pass, object), pass->arena);
    if (!service_has_endpoints(work->service)) {
        return;
    }
    struct val *family = val_at(val_path(work->service, "spec.ipFamilies"), 0);
    work->family = family != NULL ? val_text(family) : STR("IPv4");
    work->with_not_ready =
        val_bool(val_path(work->service, "spec.publishNotReadyAddresses"), false);
    struct selector selector;
    selector_from_map(pass->arena, val_path(work->service, "spec.selector"), &selector);
    informer_each(all->pods, pass->ns, &selector, take_pod, work);
    pass_cost(pass, work->count);
    write_endpoints(pass, all, work);
}

/* ---- events ---- */

static void wake(void *ctx, struct str ns, struct str name)
{
    struct endpoints *all = ctx;
    worker_add_name(all->worker, ns, name);
}

static void on_named(void *ctx, struct object *old, struct object *now)
{
    struct object *object = now != NULL ? now : old;
    wake(ctx, object->ns, object->name);
}

static void on_pod(void *ctx, struct object *old, struct object *now)
{
    struct endpoints *all = ctx;
    services_pod_changed(all->services, old, now, wake, all);
}

static void *start(struct controller_env *env)
{
    struct endpoints *all = mem_new(struct endpoints);
    all->resource = controller_resource("", "v1", "endpoints");
    all->worker = worker_new(env, "endpoint-controller", PARALLEL, reconcile, all);
    all->services = selecting_services_new(env->informers);
    all->endpoints = informers_get(env->informers, all->resource);
    all->pods = informers_get(env->informers, controller_resource("", "v1", "pods"));
    informer_handle(services_informer(all->services), (struct informer_handler){on_named, all});
    informer_handle(all->endpoints, (struct informer_handler){on_named, all});
    informer_handle(all->pods, (struct informer_handler){on_pod, all});
    return all;
}

static void stop(void *state)
{
    struct endpoints *all = state;
    informer_unhandle(services_informer(all->services), all);
    informer_unhandle(all->endpoints, all);
    informer_unhandle(all->pods, all);
    worker_free(all->worker);
    selecting_services_free(all->services);
    free(all);
}

const struct controller controller_endpoints = {
    .name = "endpoint-controller", .start = start, .stop = stop};

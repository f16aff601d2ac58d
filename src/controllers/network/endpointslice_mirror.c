/* The EndpointSlice mirroring controller: Endpoints that someone made by hand for a Service without
 * selector, shown as EndpointSlices, so that whoever routes traffic reads one kind only.
 *
 * Each subset becomes slices of its ports, one a family and at most 100 addresses each, at most
 * 1,000 addresses a subset (MaxEndpointsPerSubset of KEP-1809). What is not to be mirrored says so
 * with the label endpointslice.kubernetes.io/skip-mirror or is a leader election lock. The slices
 * belong to the Endpoints object, and go with it.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "controllers/network/services.h"
#include "controllers/table_int.h"

enum { SLICE_MAX = 100, SUBSET_MAX = 1000, PARALLEL = 5 };
#define LABEL_SERVICE "kubernetes.io/service-name"
#define LABEL_MANAGER "endpointslice.kubernetes.io/managed-by"
#define LABEL_SKIP    "endpointslice.kubernetes.io/skip-mirror"
#define MANAGER       "endpointslicemirroring-controller.k8s.io"
#define INDEX         "mirrored"

struct mirrors {
    struct worker *worker;
    struct informer *services, *endpoints, *slices;
    const struct api_resource *resource;
};

struct mirror_pass {
    struct pass *pass;
    struct mirrors *all;
    struct object *object; /* the Endpoints */
    struct val *endpoints;
    struct val *wanted; /* array of whole slices, to be made or found */
    struct objects present;
};

/* ---- what should be there ---- */

static bool is_mirrored(const struct val *endpoints, const struct val *service)
{
    const struct val *meta = val_get(endpoints, "metadata");
    return service != NULL && val_count(val_path(service, "spec.selector")) == 0 &&
           !str_is(val_text(val_get_str(val_get(meta, "labels"), STR(LABEL_SKIP))), "true") &&
           val_get_str(val_get(meta, "annotations"),
                       STR("control-plane.alpha.kubernetes.io/leader")) == NULL;
}

static struct val *new_slice(struct mirror_pass *work, struct str family, const struct val *ports)
{
    struct arena *arena = work->pass->arena;
    struct val *slice = val_append(work->wanted, val_new(arena, VAL_OBJECT));
    struct val *meta = val_make_object(arena, slice, STR("metadata"));
    val_set_text(arena, meta, STR("generateName"),
                 str_of(arena_printf(arena, "%.*s-", STR_ARG(work->object->name))));
    val_set_text(arena, meta, STR("namespace"), work->object->ns);
    struct val *labels = val_make_object(arena, meta, STR("labels"));
    VAL_EACH (it, val_path(work->endpoints, "metadata.labels")) {
        val_set_text(arena, labels, it->key, it->text);
    }
    val_set_text(arena, labels, STR(LABEL_SERVICE), work->object->name);
    val_set_text(arena, labels, STR(LABEL_MANAGER), STR(MANAGER));
    val_append(val_make_array(arena, meta, STR("ownerReferences")),
               owner_reference_new(arena, work->object));
    val_set_text(arena, slice, STR("addressType"), family);
    val_make_array(arena, slice, STR("endpoints"));
    struct val *list = val_make_array(arena, slice, STR("ports"));
    VAL_EACH (it, ports) {
        struct val *port = val_append(list, val_copy(arena, it));
        if (val_absent(val_get(port, "name"))) {
            val_set_text(arena, port, STR("name"), STR(""));
        }
    }
    return slice;
}

static void add_address(struct mirror_pass *work, struct val *slice, const struct val *address,
                        bool ready)
{
    static const char *const copied[] = {"hostname", "nodeName", "targetRef"};
    struct arena *arena = work->pass->arena;
    struct val *endpoint = val_append(val_get(slice, "endpoints"), val_new(arena, VAL_OBJECT));
    val_append(val_make_array(arena, endpoint, STR("addresses")),
               val_new_text(arena, val_text(val_get(address, "ip"))));
    val_set_bool(arena, val_make_object(arena, endpoint, STR("conditions")), STR("ready"), ready);
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
        const struct val *value = val_get_str(address, str_of(copied[i]));
        if (!val_absent(value)) {
            val_set(endpoint, str_of(copied[i]), val_copy(arena, value));
        }
    }
}

static void mirror_subset(struct mirror_pass *work, const struct val *subset, struct str family)
{
    static const char *const lists[] = {"addresses", "notReadyAddresses"};
    struct val *slice = NULL;
    int count = 0;
    for (size_t i = 0; i < 2; i++) {
        VAL_EACH (it, val_get_str(subset, str_of(lists[i]))) {
            bool v6 = str_contains(val_text(val_get(it, "ip")), STR(":"));
            if (v6 != str_is(family, "IPv6") || count++ >= SUBSET_MAX) {
                continue;
            }
            if (slice == NULL || val_get(slice, "endpoints")->count >= SLICE_MAX) {
                slice = new_slice(work, family, val_get(subset, "ports"));
            }
            add_address(work, slice, it, i == 0);
        }
    }
}

/* ---- from one to the other ---- */

/* The same in all that we decide; what the server adds (name, uid ...) is left out. */
static bool is_same(const struct val *slice, const struct val *wanted)
{
    static const char *const members[] = {"addressType", "endpoints", "ports"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const struct val *a = val_get_str(slice, str_of(members[i]));
        const struct val *b = val_get_str(wanted, str_of(members[i]));
        if ((val_count(a) > 0 || val_count(b) > 0 || val_text(b).n > 0) &&
            (a == NULL || !val_equal(a, b))) {
            return false;
        }
    }
    return val_equal(val_path(slice, "metadata.labels"), val_path(wanted, "metadata.labels"));
}

static bool take_slice(void *ctx, struct object *object)
{
    struct mirror_pass *work = ctx;
    if (!object->deleting && str_is(object_label_get(object, STR(LABEL_MANAGER)), MANAGER)) {
        objects_add(work->pass->arena, &work->present, pass_hold(work->pass, object));
    }
    return true;
}

static void write_slices(struct mirror_pass *work)
{
    struct pass *pass = work->pass;
    for (size_t i = 0; i < work->present.count; i++) {
        const struct val *slice = object_decode(work->present.items[i], pass->arena);
        struct val *found = NULL;
        for (struct val *it = work->wanted->child; it != NULL && found == NULL; it = it->next) {
            found = is_same(slice, it) ? it : NULL;
        }
        if (found != NULL) {
            val_remove(work->wanted, found);
        } else {
            pass_delete(pass, work->present.items[i], NULL, -1, NULL, NULL);
        }
    }
    VAL_EACH (it, work->wanted) {
        pass_create(pass, work->all->resource, pass->ns, it, NULL, NULL);
    }
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct mirrors *all = ctx;
    struct object *service = informer_get(all->services, pass->ns, pass->name);
    struct object *object = informer_get(all->endpoints, pass->ns, pass->name);
    struct mirror_pass *work = arena_new(pass->arena, struct mirror_pass);
    work->pass = pass;
    work->all = all;
    work->wanted = val_new(pass->arena, VAL_ARRAY);
    informer_each_in(all->slices, INDEX, pass->key, take_slice, work);
    const struct val *value =
        service != NULL ? object_decode(pass_hold(pass, service), pass->arena) : NULL;
    if (object != NULL && !object->deleting) {
        work->object = pass_hold(pass, object);
        work->endpoints = object_decode(object, pass->arena);
        if (is_mirrored(work->endpoints, value)) {
            VAL_EACH (it, val_get(work->endpoints, "subsets")) {
                mirror_subset(work, it, STR("IPv4"));
                mirror_subset(work, it, STR("IPv6"));
            }
        }
    }
    write_slices(work);
}

/* ---- events ---- */

static void on_named(void *ctx, struct object *old, struct object *now)
{
    struct mirrors *all = ctx;
    worker_add(all->worker, now != NULL ? now : old);
}

static void on_slice(void *ctx, struct object *old, struct object *now)
{
    struct mirrors *all = ctx;
    struct object *slice = now != NULL ? now : old;
    if (str_is(object_label_get(slice, STR(LABEL_MANAGER)), MANAGER)) {
        worker_add_name(all->worker, slice->ns, object_label_get(slice, STR(LABEL_SERVICE)));
    }
}

static void keys_of_slice(const struct object *object, void (*emit)(void *arg, struct str key),
                          void *arg)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    if (str_is(object_label_get(object, STR(LABEL_MANAGER)), MANAGER)) {
        emit(arg, str_of(arena_printf(&arena, "%.*s/%.*s", STR_ARG(object->ns),
                                      STR_ARG(object_label_get(object, STR(LABEL_SERVICE))))));
    }
}

static void *start(struct controller_env *env)
{
    struct mirrors *all = mem_new(struct mirrors);
    all->resource = controller_resource("discovery.k8s.io", "v1", "endpointslices");
    all->worker = worker_new(env, "endpointslicemirroring-controller", PARALLEL, reconcile, all);
    all->services = informers_get(env->informers, controller_resource("", "v1", "services"));
    all->endpoints = informers_get(env->informers, controller_resource("", "v1", "endpoints"));
    all->slices = informers_get(env->informers, all->resource);
    informer_index(all->slices, INDEX, keys_of_slice);
    informer_handle(all->services, (struct informer_handler){on_named, all});
    informer_handle(all->endpoints, (struct informer_handler){on_named, all});
    informer_handle(all->slices, (struct informer_handler){on_slice, all});
    return all;
}

static void stop(void *state)
{
    struct mirrors *all = state;
    informer_unhandle(all->services, all);
    informer_unhandle(all->endpoints, all);
    informer_unhandle(all->slices, all);
    worker_free(all->worker);
    free(all);
}

const struct controller controller_endpointslice_mirror = {
    .name = "endpointslicemirroring-controller", .start = start, .stop = stop};

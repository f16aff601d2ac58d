/* view.c: decoded pods, QoS class and resource sums (upstream's pkg/apis/core/v1/helper/qos). */
#include "node/env/view.h"

#include <stdlib.h>

#include "base/mem.h"

static struct pod_view *finish(struct pod_view *view)
{
    atomic_init(&view->refs, 1);
    view->meta = val_get(view->pod, "metadata");
    view->spec = val_get(view->pod, "spec");
    view->status = val_get(view->pod, "status");
    view->ns = val_namespace(view->pod);
    view->name = val_name(view->pod);
    view->uid = val_uid(view->pod);
    return view;
}

struct pod_view *pod_view_new(struct object *object)
{
    struct pod_view *view = mem_new(struct pod_view);
    view->object = object_ref(object);
    view->pod = object_decode(object, &view->arena);
    return finish(view);
}

struct pod_view *pod_view_of(const struct val *pod)
{
    struct pod_view *view = mem_new(struct pod_view);
    view->pod = val_copy(&view->arena, pod);
    return finish(view);
}

struct pod_view *pod_view_ref(struct pod_view *view)
{
    atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
    return view;
}

void pod_view_unref(struct pod_view *view)
{
    if (view != NULL && atomic_fetch_sub_explicit(&view->refs, 1, memory_order_acq_rel) == 1) {
        if (view->object != NULL) {
            object_unref(view->object);
        }
        arena_done(&view->arena);
        free(view);
    }
}

bool pod_resource(const struct val *owner, const char *which, const char *resource,
                  struct quantity *ret_quantity)
{
    const struct val *list = val_get_str(val_get(owner, "resources"), str_of(which));
    return quantity_parse(val_text(val_get_str(list, str_of(resource))), ret_quantity);
}

static bool guaranteed(const struct val *container)
{
    static const char *const names[] = {"cpu", "memory"};
    for (size_t i = 0; i < 2; i++) {
        struct quantity limit, request;
        if (!pod_resource(container, "limits", names[i], &limit) || limit.nano == 0) {
            return false;
        }
        if (pod_resource(container, "requests", names[i], &request) &&
            quantity_cmp(request, limit) != 0) {
            return false;
        }
    }
    return true;
}

static bool asks_nothing(const struct val *container)
{
    static const char *const names[] = {"cpu", "memory"}, *const lists[] = {"limits", "requests"};
    for (size_t i = 0; i < 4; i++) {
        struct quantity quantity;
        if (pod_resource(container, lists[i / 2], names[i % 2], &quantity) && quantity.nano != 0) {
            return false;
        }
    }
    return true;
}

enum pod_qos pod_qos(const struct val *spec)
{
    const struct val *lists[] = {val_get(spec, "containers"), val_get(spec, "initContainers")};
    bool all_guaranteed = true, all_nothing = true;
    for (size_t i = 0; i < 2; i++) {
        VAL_EACH (it, lists[i]) {
            all_guaranteed &= guaranteed(it);
            all_nothing &= asks_nothing(it);
        }
    }
    if (val_get(spec, "resources") != NULL && !asks_nothing(spec)) {
        return guaranteed(spec) ? POD_QOS_GUARANTEED : POD_QOS_BURSTABLE;
    }
    return all_nothing      ? POD_QOS_BEST_EFFORT
           : all_guaranteed ? POD_QOS_GUARANTEED
                            : POD_QOS_BURSTABLE;
}

const char *pod_qos_name(enum pod_qos qos)
{
    static const char *const names[] = {"Guaranteed", "Burstable", "BestEffort"};
    return names[qos];
}

struct sum {
    int64_t cpu, memory;
    bool cpu_missing, memory_missing;
};

static void add(struct sum *sum, const struct val *container, const char *which)
{
    struct quantity quantity;
    if (pod_resource(container, which, "cpu", &quantity)) {
        sum->cpu += quantity_milli(quantity);
    } else {
        sum->cpu_missing = true;
    }
    if (pod_resource(container, which, "memory", &quantity)) {
        sum->memory += quantity_value(quantity);
    } else {
        sum->memory_missing = true;
    }
}

static int64_t max_of(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static struct sum sum_of(const struct val *spec, const char *which)
{
    struct sum main = {0}, sidecars = {0}, init = {0};
    VAL_EACH (it, val_get(spec, "containers")) {
        add(&main, it, which);
    }
    VAL_EACH (it, val_get(spec, "initContainers")) {
        if (str_is(val_text(val_get(it, "restartPolicy")), "Always")) {
            add(&sidecars, it, which);
        } else {
            struct sum one = sidecars;
            add(&one, it, which);
            init.cpu = max_of(init.cpu, one.cpu);
            init.memory = max_of(init.memory, one.memory);
        }
    }
    main.cpu = max_of(main.cpu + sidecars.cpu, init.cpu);
    main.memory = max_of(main.memory + sidecars.memory, init.memory);
    main.cpu_missing |= sidecars.cpu_missing;
    main.memory_missing |= sidecars.memory_missing;
    return main;
}

void pod_resources_sum(const struct val *spec, struct pod_resources *ret_resources)
{
    struct sum requests = sum_of(spec, "requests"), limits = sum_of(spec, "limits");
    struct quantity quantity;
    *ret_resources = (struct pod_resources){
        .cpu_request_milli = requests.cpu,
        .memory_request = requests.memory,
        .cpu_limit_milli = limits.cpu_missing ? 0 : limits.cpu,
        .memory_limit = limits.memory_missing ? 0 : limits.memory,
    };
    if (pod_resource(spec, "requests", "cpu", &quantity)) {
        ret_resources->cpu_request_milli = quantity_milli(quantity);
    }
    if (pod_resource(spec, "requests", "memory", &quantity)) {
        ret_resources->memory_request = quantity_value(quantity);
    }
    if (pod_resource(spec, "limits", "cpu", &quantity)) {
        ret_resources->cpu_limit_milli = quantity_milli(quantity);
    }
    if (pod_resource(spec, "limits", "memory", &quantity)) {
        ret_resources->memory_limit = quantity_value(quantity);
    }
}

bool pod_is_host_network(const struct val *spec)
{
    return val_bool(val_get(spec, "hostNetwork"), false);
}

const struct val *pod_container(const struct val *spec, struct str name)
{
    static const char *const lists[] = {"containers", "initContainers", "ephemeralContainers"};
    for (size_t i = 0; i < 3; i++) {
        const struct val *found = val_find(val_get_str(spec, str_of(lists[i])), "name", name);
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

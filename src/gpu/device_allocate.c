/* device_allocate.c: which devices a container gets, and the calls to the plug-in that this takes.
 *
 * Invariants: a device is counted as taken from the moment it is chosen (struct allocate_request)
 * until the pod is released; an allocation is on disk before `done` hears of it; the same container
 * asked again gets the recorded answer without asking the plug-in. Devices of init containers that
 * have run are handed on inside their pod (needs manager->pods).
 */
#include <stdlib.h>

#include "base/failpoint.h"
#include "base/mem.h"
#include "gpu/device_manager_int.h"
#include "wire/protobuf.h"

#define CALL_TIMEOUT_NS (30 * NS_PER_S)

struct strings {
    VEC_OF(char *);
};
struct allocate_request {
    struct list link;
    struct device_manager *manager;
    char *pod_uid, *container, *resource;
    size_t count;
    struct strings chosen;
    struct buf response;
    struct grpc_request *call;
    struct arena *arena;
    void (*done)(void *arg, const struct container_devices *devices, const struct err *err);
    void *arg;
};

static void strings_done(struct strings *strings)
{
    VEC_EACH (text, strings) {
        free(*text);
    }
    vec_done(strings);
}

void allocation_free(struct allocation *allocation)
{
    list_remove(&allocation->link);
    VEC_EACH (id, &allocation->ids) {
        free(*id);
    }
    vec_done(&allocation->ids);
    free(allocation->pod_uid);
    free(allocation->container);
    free(allocation->resource);
    free(allocation->response);
    free(allocation);
}

static void free_request(struct allocate_request *request)
{
    list_remove(&request->link);
    strings_done(&request->chosen);
    buf_done(&request->response);
    free(request->pod_uid);
    free(request->container);
    free(request->resource);
    free(request);
}

static void fail(struct allocate_request *request, const struct err *err)
{
    request->done(request->arg, NULL, err);
    free_request(request);
}

/* ---- who has what ---- */

static bool in_strings(char *const *items, size_t count, const char *id)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(items[i], id) == 0) {
            return true;
        }
    }
    return false;
}

struct find_pod {
    struct str uid;
    struct object *pod;
};

static bool visit_pod(void *ctx, struct object *pod)
{
    struct find_pod *find = ctx;
    find->pod = str_eq(pod->uid, find->uid) ? pod : NULL;
    return find->pod == NULL;
}

struct object *device_manager_pod(const struct device_manager *manager, struct str uid)
{
    struct find_pod find = {.uid = uid};
    if (manager->pods != NULL) {
        informer_each(manager->pods, STR_NONE, NULL, visit_pod, &find);
    }
    return find.pod;
}

/* Whether the container runs to its end before the others start (no sidecar). */
static bool is_init(const struct val *pod, struct str container)
{
    struct val *found = val_find(val_path(pod, "spec.initContainers"), "name", container);
    return found != NULL && !str_is(val_text(val_get(found, "restartPolicy")), "Always");
}

/* Devices that init containers of the pod had and nobody else in it has: to be used again. */
static void find_reusable(const struct allocate_request *request, struct strings *reusable)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct device_manager *manager = request->manager;
    struct object *object = device_manager_pod(manager, str_of(request->pod_uid));
    if (object == NULL) {
        return;
    }
    struct val *pod = object_decode(object, &arena);
    for (int pass = 0; pass < 2; pass++) { /* first collect, then take away what is in use */
        LIST_EACH (it, &manager->allocations) {
            struct allocation *allocation = container_of(it, struct allocation, link);
            if (strcmp(allocation->pod_uid, request->pod_uid) != 0 ||
                strcmp(allocation->resource, request->resource) != 0 ||
                is_init(pod, str_of(allocation->container)) != (pass == 0)) {
                continue;
            }
            for (size_t i = 0; pass == 0 && i < allocation->ids.count; i++) {
                *vec_push(reusable) = mem_dupz(allocation->ids.items[i]);
            }
            for (size_t i = 0; pass == 1 && i < reusable->count;) {
                if (in_strings(allocation->ids.items, allocation->ids.count, reusable->items[i])) {
                    free(reusable->items[i]);
                    vec_remove_swap(reusable, i);
                } else {
                    i++;
                }
            }
        }
    }
}

static bool is_taken(const struct allocate_request *request, const char *id)
{
    const struct device_manager *manager = request->manager;
    LIST_EACH (it, &manager->allocations) {
        struct allocation *allocation = container_of(it, struct allocation, link);
        if (strcmp(allocation->resource, request->resource) == 0 &&
            in_strings(allocation->ids.items, allocation->ids.count, id)) {
            return true;
        }
    }
    LIST_EACH (it, &manager->requests) {
        struct allocate_request *other = container_of(it, struct allocate_request, link);
        if (strcmp(other->resource, request->resource) == 0 &&
            in_strings(other->chosen.items, other->chosen.count, id)) {
            return true;
        }
    }
    return false;
}

/* Candidates in order: those to be used again, then free ones; `must` of them have to be in. */
static void list_candidates(const struct allocate_request *request, const struct resource *resource,
                            struct strings *candidates, size_t *ret_must)
{
    struct strings reusable = {0};
    find_reusable(request, &reusable);
    VEC_EACH (id, &reusable) {
        int at = device_manager_device(resource, str_of(*id));
        if (at >= 0 && resource->devices.items[at].healthy) {
            *vec_push(candidates) = mem_dupz(*id);
        }
    }
    *ret_must = candidates->count < request->count ? candidates->count : request->count;
    VEC_EACH (device, &resource->devices) {
        if (device->healthy && !is_taken(request, device->id)) {
            *vec_push(candidates) = mem_dupz(device->id);
        }
    }
    strings_done(&reusable);
}

/* ---- the end: recorded, then told ---- */

static int tell(const struct allocation *allocation, struct arena *arena,
                struct container_devices *ret_devices, struct err *err)
{
    bool cdi = false;
    if (!device_read_response(str_at(allocation->response, allocation->response_n), arena,
                              ret_devices, &cdi)) {
        return err_set(err, ERR_INTERNAL, "%s: the plug-in's answer cannot be used",
                       allocation->resource);
    }
    return cdi ? err_set(err, ERR_UNSUPPORTED,
                         "%s: the plug-in answers with CDI devices, which "
                         "are not supported; let it name device files",
                         allocation->resource)
               : 0;
}

static void record(struct allocate_request *request)
{
    struct container_devices devices = {0};
    struct err err = ERR_INIT;
    struct allocation *allocation = mem_new(struct allocation);
    allocation->pod_uid = mem_dupz(request->pod_uid);
    allocation->container = mem_dupz(request->container);
    allocation->resource = mem_dupz(request->resource);
    allocation->response = buf_take(&request->response, &allocation->response_n);
    VEC_EACH (id, &request->chosen) {
        *vec_push(&allocation->ids) = mem_dupz(*id);
    }
    list_append(&request->manager->allocations, &allocation->link);
    int rc = tell(allocation, request->arena, &devices, &err);
    rc = rc != 0 ? rc : device_checkpoint_save(request->manager, &err);
    FAILPOINT("gpu.allocation-saved");
    if (rc != 0) {
        allocation_free(allocation);
        fail(request, &err);
        return;
    }
    request->done(request->arg, &devices, NULL);
    free_request(request);
}

/* ---- calls ---- */

static void take_message(void *ctx, const char *message, size_t size)
{
    struct allocate_request *request = ctx;
    buf_clear(&request->response);
    buf_add(&request->response, message, size);
}

/* The call ended; false: with an error, which has been told. */
static bool went_well(struct allocate_request *request, const char *what, int status,
                      struct str message)
{
    struct err err = ERR_INIT;
    request->call = NULL;
    if (status == GRPC_OK) {
        return true;
    }
    err_set(&err, ERR_UNAVAILABLE, "%s: %s: gRPC status %d: %.*s", request->resource, what, status,
            STR_ARG(message));
    fail(request, &err);
    return false;
}

/* One message with one container request in field 1, whose field `number` lists the devices. */
static void write_ids(struct buf *out, const struct strings *ids, uint32_t number, bool nested)
{
    size_t mark = nested ? protobuf_begin(out, 1) : 0;
    VEC_EACH (id, ids) {
        protobuf_bytes(out, number, str_of(*id));
    }
    if (nested) {
        protobuf_end(out, mark);
    }
}

static void call(struct allocate_request *request, const char *path, const struct buf *message,
                 const struct grpc_reply_ops *ops)
{
    struct resource *resource = device_manager_find(request->manager, str_of(request->resource));
    if (resource == NULL || resource->client == NULL || resource->dead) {
        struct err err = ERR_INIT;
        err_set(&err, ERR_UNAVAILABLE, "%s: its plug-in is gone", request->resource);
        fail(request, &err);
        return;
    }
    request->call =
        grpc_request(resource->client, path, message->p, message->n, CALL_TIMEOUT_NS, ops, request);
}

static void pre_start_ended(void *ctx, int status, struct str message)
{
    if (went_well(ctx, "PreStartContainer", status, message)) {
        record(ctx);
    }
}

static void allocate_ended(void *ctx, int status, struct str message)
{
    static const struct grpc_reply_ops ops = {.on_end = pre_start_ended};
    struct allocate_request *request = ctx;
    if (!went_well(request, "Allocate", status, message)) {
        return;
    }
    struct resource *resource = device_manager_find(request->manager, str_of(request->resource));
    if (resource == NULL || !resource->pre_start_required) {
        record(request);
        return;
    }
    struct buf out BUF_CLEANUP = BUF_INIT;
    write_ids(&out, &request->chosen, 1, false);
    call(request, "/v1beta1.DevicePlugin/PreStartContainer", &out, &ops);
}

static void ask_allocate(struct allocate_request *request)
{
    static const struct grpc_reply_ops ops = {.on_message = take_message, .on_end = allocate_ended};
    struct buf out BUF_CLEANUP = BUF_INIT;
    write_ids(&out, &request->chosen, 1, true);
    call(request, "/v1beta1.DevicePlugin/Allocate", &out, &ops);
}

/* The plug-in's preference counts as far as it is one: `count` different devices that were offered.
 */
static void take_preference(struct allocate_request *request)
{
    struct device_strings containers = {0}, ids = {0};
    struct resource *resource = device_manager_find(request->manager, str_of(request->resource));
    struct strings own = request->chosen, next = {0}, candidates = {0};
    size_t must = 0;
    request->chosen = (struct strings){0}; /* ours do not count as taken now */
    if (resource != NULL) {
        list_candidates(request, resource, &candidates, &must);
    }
    if (device_read_strings(buf_view(&request->response), 1, &containers) &&
        containers.count == 1 && device_read_strings(containers.items[0], 1, &ids)) {
        VEC_EACH (id, &ids) {
            char *copy = str_dup(*id);
            if (in_strings(candidates.items, candidates.count, copy) &&
                !in_strings(next.items, next.count, copy) && next.count < request->count) {
                *vec_push(&next) = copy;
            } else {
                free(copy);
            }
        }
    }
    bool complete = next.count == request->count;
    for (size_t i = 0; i < must && complete; i++) {
        complete = in_strings(next.items, next.count, candidates.items[i]);
    }
    request->chosen = complete ? next : own;
    strings_done(complete ? &own : &next);
    strings_done(&candidates);
    vec_done(&containers);
    vec_done(&ids);
}

static void preference_ended(void *ctx, int status, struct str message)
{
    struct allocate_request *request = ctx;
    request->call = NULL;
    if (status == GRPC_OK) {
        take_preference(request);
    } /* otherwise our own choice stands, as upstream has it */
    buf_clear(&request->response);
    ask_allocate(request);
}

static void ask_preference(struct allocate_request *request, const struct strings *candidates,
                           size_t must)
{
    static const struct grpc_reply_ops ops = {.on_message = take_message,
                                              .on_end = preference_ended};
    struct buf out BUF_CLEANUP = BUF_INIT;
    size_t mark = protobuf_begin(&out, 1);
    write_ids(&out, candidates, 1, false);
    for (size_t i = 0; i < must; i++) {
        protobuf_bytes(&out, 2, str_of(candidates->items[i]));
    }
    protobuf_varint(&out, 3, request->count);
    protobuf_end(&out, mark);
    call(request, "/v1beta1.DevicePlugin/GetPreferredAllocation", &out, &ops);
}

/* ---- entry ---- */

static struct allocation *find_allocation(const struct device_manager *manager, struct str pod_uid,
                                          struct str container, struct str resource)
{
    LIST_EACH (it, &manager->allocations) {
        struct allocation *allocation = container_of(it, struct allocation, link);
        if (str_is(pod_uid, allocation->pod_uid) && str_is(container, allocation->container) &&
            str_is(resource, allocation->resource)) {
            return allocation;
        }
    }
    return NULL;
}

static void start(struct allocate_request *request)
{
    struct strings candidates = {0};
    struct err err = ERR_INIT;
    size_t must = 0;
    struct resource *resource = device_manager_find(request->manager, str_of(request->resource));
    if (resource == NULL) {
        err_set(&err, ERR_UNAVAILABLE, "this node has no resource %s", request->resource);
        fail(request, &err);
        return;
    }
    list_candidates(request, resource, &candidates, &must);
    if (candidates.count < request->count) {
        err_set(&err, ERR_UNAVAILABLE, "%s: requested %zu, available %zu", request->resource,
                request->count, candidates.count);
        fail(request, &err);
    } else {
        for (size_t i = 0; i < request->count; i++) {
            *vec_push(&request->chosen) = mem_dupz(candidates.items[i]);
        }
        if (resource->preferred_allocation && candidates.count > request->count) {
            ask_preference(request, &candidates, must);
        } else {
            ask_allocate(request);
        }
    }
    strings_done(&candidates);
}

void device_allocate(void *ctx, struct str pod_uid, struct str container, struct str resource,
                     int64_t count, struct arena *arena,
                     void (*done)(void *arg, const struct container_devices *devices,
                                  const struct err *err),
                     void *arg)
{
    struct device_manager *manager = ctx;
    struct allocation *known = find_allocation(manager, pod_uid, container, resource);
    if (known != NULL || count <= 0) {
        struct container_devices devices = {0};
        struct err err = ERR_INIT;
        int rc = known != NULL ? tell(known, arena, &devices, &err) : 0;
        done(arg, rc == 0 ? &devices : NULL, rc == 0 ? NULL : &err);
        return;
    }
    struct allocate_request *request = mem_new(struct allocate_request);
    request->manager = manager;
    request->pod_uid = str_dup(pod_uid);
    request->container = str_dup(container);
    request->resource = str_dup(resource);
    request->count = (size_t)count;
    request->arena = arena;
    request->done = done;
    request->arg = arg;
    list_append(&manager->requests, &request->link);
    start(request);
}

void device_allocate_cancel_all(struct device_manager *manager)
{
    LIST_EACH_SAFE (it, &manager->requests) {
        struct allocate_request *request = container_of(it, struct allocate_request, link);
        struct err err = ERR_INIT;
        err_set(&err, ERR_CANCELED, "the device manager ends");
        grpc_cancel(request->call);
        fail(request, &err);
    }
}

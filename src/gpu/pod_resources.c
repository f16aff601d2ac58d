/* pod_resources.c: kubelet's pod-resources API v1 (k8s.io/kubelet, pkg/apis/podresources/v1) on
 * <root_dir>/pod-resources/kubelet.sock: who has which device, for metrics exporters.
 *
 * CPU, memory and dynamic-resource fields are not filled: nothing here hands those out.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "gpu/device_manager_int.h"
#include "io/file.h"
#include "io/net.h"
#include "wire/protobuf.h"

/* v1.ContainerDevices of one device */
static void write_device(struct buf *out, uint32_t number, const char *resource, const char *id,
                         int64_t numa_node)
{
    size_t mark = protobuf_begin(out, number);
    protobuf_bytes(out, 1, str_of(resource));
    protobuf_bytes(out, 2, str_of(id));
    if (numa_node >= 0) {
        size_t topology = protobuf_begin(out, 3);
        size_t node = protobuf_begin(out, 1);
        protobuf_varint(out, 1, (uint64_t)numa_node);
        protobuf_end(out, node);
        protobuf_end(out, topology);
    }
    protobuf_end(out, mark);
}

static int64_t numa_of(const struct device_manager *manager, const char *name, const char *id)
{
    struct resource *resource = device_manager_find(manager, str_of(name));
    int at = resource != NULL ? device_manager_device(resource, str_of(id)) : -1;
    return at >= 0 ? resource->devices.items[at].numa_node : -1;
}

static void write_container(const struct device_manager *manager, struct str pod_uid,
                            struct str container, struct buf *out)
{
    size_t mark = protobuf_begin(out, 3);
    protobuf_bytes(out, 1, container);
    LIST_EACH (it, &manager->allocations) {
        struct allocation *allocation = container_of(it, struct allocation, link);
        if (!str_is(pod_uid, allocation->pod_uid) || !str_is(container, allocation->container)) {
            continue;
        }
        for (size_t i = 0; i < allocation->ids.count; i++) {
            const char *id = allocation->ids.items[i];
            write_device(out, 2, allocation->resource, id,
                         numa_of(manager, allocation->resource, id));
        }
    }
    protobuf_end(out, mark);
}

/* v1.PodResources: containers, and init containers that go on running. */
static void write_pod(const struct device_manager *manager, struct object *object, struct buf *out)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *spec = val_get(object_decode(object, &arena), "spec");
    size_t mark = protobuf_begin(out, 1);
    protobuf_bytes(out, 1, object->name);
    protobuf_bytes(out, 2, object->ns);
    VAL_EACH (container, val_get(spec, "initContainers")) {
        if (str_is(val_text(val_get(container, "restartPolicy")), "Always")) {
            write_container(manager, object->uid, val_text(val_get(container, "name")), out);
        }
    }
    VAL_EACH (container, val_get(spec, "containers")) {
        write_container(manager, object->uid, val_text(val_get(container, "name")), out);
    }
    protobuf_end(out, mark);
}

struct listing {
    const struct device_manager *manager;
    struct buf out;
};

static bool is_over(struct object *object)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct str phase = val_text(val_path(object_decode(object, &arena), "status.phase"));
    return str_is(phase, "Succeeded") || str_is(phase, "Failed");
}

static bool visit_pod(void *ctx, struct object *object)
{
    struct listing *listing = ctx;
    if (!is_over(object)) {
        write_pod(listing->manager, object, &listing->out);
    }
    return true;
}

static void list(void *ctx, struct grpc_call *call, const char *message, size_t size)
{
    struct listing listing = {.manager = ctx};
    if (listing.manager->pods == NULL) {
        grpc_finish(call, GRPC_UNAVAILABLE, "the node's pods are not known yet");
        return;
    }
    informer_each(listing.manager->pods, STR_NONE, NULL, visit_pod, &listing);
    grpc_send(call, listing.out.p, listing.out.n);
    grpc_finish(call, GRPC_OK, NULL);
    buf_done(&listing.out);
}

static void get(void *ctx, struct grpc_call *call, const char *message, size_t size)
{
    struct device_manager *manager = ctx;
    struct protobuf_reader reader;
    struct protobuf_field field;
    struct str name = STR_NONE, ns = STR_NONE;
    protobuf_reader_init(&reader, str_at(message, size));
    while (protobuf_next(&reader, &field)) {
        *(field.number == 1 ? &name : &ns) = field.bytes;
    }
    struct object *object = manager->pods != NULL ? informer_get(manager->pods, ns, name) : NULL;
    if (reader.failed || object == NULL) {
        grpc_finish(call, GRPC_NOT_FOUND, "no such pod on this node");
        return;
    }
    struct buf out BUF_CLEANUP = BUF_INIT;
    write_pod(manager, object, &out);
    grpc_send(call, out.p, out.n);
    grpc_finish(call, GRPC_OK, NULL);
}

static void allocatable(void *ctx, struct grpc_call *call, const char *message, size_t size)
{
    struct device_manager *manager = ctx;
    struct buf out BUF_CLEANUP = BUF_INIT;
    LIST_EACH (it, &manager->resources) {
        struct resource *resource = container_of(it, struct resource, link);
        VEC_EACH (device, &resource->devices) {
            if (device->healthy) {
                write_device(&out, 1, resource->name, device->id, device->numa_node);
            }
        }
    }
    grpc_send(call, out.p, out.n);
    grpc_finish(call, GRPC_OK, NULL);
}

static const struct grpc_method methods[] = {
    {"/v1.PodResourcesLister/List", list},
    {"/v1.PodResourcesLister/Get", get},
    {"/v1.PodResourcesLister/GetAllocatableResources", allocatable},
};

int pod_resources_serve(struct device_manager *manager, const char *root_dir, struct err *err)
{
    int fd;
    char *dir MEM_CLEANUP = mem_printf("%s/pod-resources", root_dir);
    char *address MEM_CLEANUP = mem_printf("unix:%s/kubelet.sock", dir);
    int rc = file_make_dirs(dir, 0750, err);
    if (rc != 0) {
        return rc;
    }
    unlink(address + 5);
    rc = net_bind(str_of(address), &fd, err);
    if (rc == 0) {
        manager->pod_resources =
            grpc_serve(manager->loop, fd, methods, sizeof methods / sizeof methods[0], manager);
    }
    return rc;
}

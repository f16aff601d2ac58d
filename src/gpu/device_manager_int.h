/* device_manager_int.h: the device manager's state, shared by device_manager.c (plug-ins),
 * device_allocate.c (containers), device_checkpoint.c (disk) and pod_resources.c (readers).
 */
#pragma once
#include "base/list.h"
#include "gpu/device_manager.h"
#include "gpu/device_plugin.h"
#include "io/loop.h"
#include "wire/grpc.h"

struct known_device {
    char *id;
    bool healthy;
    int64_t numa_node; /* -1: not said */
};
struct resource { /* what one plug-in offers */
    struct list link;
    struct device_manager *manager;
    char *name;
    struct grpc_client *client; /* NULL: the plug-in is gone */
    struct grpc_request *watch;
    bool pre_start_required, preferred_allocation, dead;
    struct {
        VEC_OF(struct known_device);
    } devices;
    struct timer cleanup; /* frees a dead client; later forgets a resource that did not come back */
};
struct allocation { /* devices of one resource that a container has */
    struct list link;
    char *pod_uid, *container, *resource;
    struct {
        VEC_OF(char *);
    } ids;
    char *response; /* the plug-in's AllocateResponse */
    size_t response_n;
};
struct device_manager {
    struct loop *loop;
    char *plugin_dir, *checkpoint_path;
    struct informer *pods;
    struct list resources;
    struct list allocations;
    struct list requests; /* struct allocate_request, device_allocate.c */
    struct grpc_server *registration, *pod_resources;
    struct device_ops ops;
    void (*changed)(void *arg);
    void *changed_arg;
};

struct resource *device_manager_find(const struct device_manager *manager, struct str name);
struct resource *device_manager_add(struct device_manager *manager, struct str name);
/* Index of a device, or -1. */
int device_manager_device(const struct resource *resource, struct str id);
void device_manager_tell(struct device_manager *manager); /* capacity or health changed */

void allocation_free(struct allocation *allocation);
/* device_ops.allocate; ctx: the manager */
void device_allocate(void *ctx, struct str pod_uid, struct str container, struct str resource,
                     int64_t count, struct arena *arena,
                     void (*done)(void *arg, const struct container_devices *devices,
                                  const struct err *err),
                     void *arg);
void device_allocate_cancel_all(struct device_manager *manager);
/* The pod with this uid among manager->pods, or NULL. */
struct object *device_manager_pod(const struct device_manager *manager, struct str uid);

int device_checkpoint_save(const struct device_manager *manager, struct err *err);
/* ERR_PARSE: there is one, but it is broken (it was put aside). Absent: 0. */
int device_checkpoint_load(struct device_manager *manager, struct err *err);

int pod_resources_serve(struct device_manager *manager, const char *root_dir, struct err *err);

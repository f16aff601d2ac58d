/* device_manager.c: plug-ins: registration, their list of devices, their end; what the node offers.
 *
 * Invariants: a resource belongs to the plug-in that registered last; when its stream ends all its
 * devices are unhealthy (capacity stays, allocatable is 0), and after GRACE_NS without a new
 * registration the resource is forgotten, as upstream does. A client is never freed from inside its
 * own callbacks: `cleanup` does it.
 */
#include "gpu/device_manager.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "gpu/device_manager_int.h"
#include "io/file.h"
#include "io/net.h"

enum { RESOURCES_MAX = 64, DEVICES_MAX = 4096 };
#define GRACE_NS (300 * NS_PER_S)

/* ---- resources ---- */

struct resource *device_manager_find(const struct device_manager *manager, struct str name)
{
    LIST_EACH (it, &manager->resources) {
        struct resource *resource = container_of(it, struct resource, link);
        if (str_is(name, resource->name)) {
            return resource;
        }
    }
    return NULL;
}

struct resource *device_manager_add(struct device_manager *manager, struct str name)
{
    struct resource *resource = mem_new(struct resource);
    resource->manager = manager;
    resource->name = str_dup(name);
    list_append(&manager->resources, &resource->link);
    return resource;
}

int device_manager_device(const struct resource *resource, struct str id)
{
    for (size_t i = 0; i < resource->devices.count; i++) {
        if (str_is(id, resource->devices.items[i].id)) {
            return (int)i;
        }
    }
    return -1;
}

void device_manager_tell(struct device_manager *manager)
{
    if (manager->changed != NULL) {
        manager->changed(manager->changed_arg);
    }
}

static void clear_devices(struct resource *resource)
{
    VEC_EACH (device, &resource->devices) {
        free(device->id);
    }
    vec_clear(&resource->devices);
}

static void close_plugin(struct resource *resource)
{
    struct grpc_client *client = resource->client;
    struct grpc_request *watch = resource->watch;
    resource->client = NULL;
    resource->watch = NULL;
    grpc_cancel(watch);
    grpc_client_free(client); /* open Allocate calls end here */
}

static void free_resource(struct resource *resource)
{
    timer_stop(&resource->cleanup);
    close_plugin(resource);
    clear_devices(resource);
    vec_done(&resource->devices);
    list_remove(&resource->link);
    free(resource->name);
    free(resource);
}

static void forget_resource(struct timer *timer)
{
    struct resource *resource = container_of(timer, struct resource, cleanup);
    struct device_manager *manager = resource->manager;
    LOG_INFO("gpu", "plug-in did not come back", LOG_Z("resource", resource->name));
    free_resource(resource);
    device_manager_tell(manager);
}

static void clean_up(struct timer *timer)
{
    struct resource *resource = container_of(timer, struct resource, cleanup);
    close_plugin(resource);
    timer_start(resource->manager->loop, timer, GRACE_NS, forget_resource);
}

static void plugin_lost(struct resource *resource)
{
    if (resource->dead) {
        return;
    }
    resource->dead = true;
    VEC_EACH (device, &resource->devices) {
        device->healthy = false;
    }
    timer_start(resource->manager->loop, &resource->cleanup, 0, clean_up);
    device_manager_tell(resource->manager);
}

/* ---- ListAndWatch ---- */

static bool same_devices(const struct resource *resource, const struct plugin_devices *next)
{
    if (resource->devices.count != next->count) {
        return false;
    }
    for (size_t i = 0; i < next->count; i++) {
        int at = device_manager_device(resource, next->items[i].id);
        if (at < 0 || resource->devices.items[at].healthy !=
                          str_is(next->items[i].health, DEVICE_PLUGIN_HEALTHY)) {
            return false;
        }
    }
    return true;
}

static void on_list(void *ctx, const char *message, size_t size)
{
    struct resource *resource = ctx;
    struct plugin_devices next = {0};
    if (!device_read_list(str_at(message, size), &next) || next.count > DEVICES_MAX) {
        LOG_WARN("gpu", "plug-in's list cannot be read", LOG_Z("resource", resource->name));
        vec_done(&next);
        return;
    }
    bool same = same_devices(resource, &next);
    clear_devices(resource);
    VEC_EACH (device, &next) {
        *vec_push(&resource->devices) =
            (struct known_device){.id = str_dup(device->id),
                                  .healthy = str_is(device->health, DEVICE_PLUGIN_HEALTHY),
                                  .numa_node = device->numa_node};
    }
    vec_done(&next);
    if (!same) {
        struct err err = ERR_INIT;
        if (device_checkpoint_save(resource->manager, &err) != 0) {
            LOG_ERROR("gpu", "cannot save devices", LOG_ERR(&err));
        }
        device_manager_tell(resource->manager);
    }
}

static void on_list_end(void *ctx, int status, struct str message)
{
    struct resource *resource = ctx;
    resource->watch = NULL;
    LOG_INFO("gpu", "plug-in is gone", LOG_Z("resource", resource->name), LOG_I("status", status),
             LOG_S("why", message));
    plugin_lost(resource);
}

static void on_plugin_close(void *ctx, const struct err *err)
{
    plugin_lost(ctx);
}

/* ---- v1beta1.Registration ---- */

static bool resource_name_is_sane(struct str name)
{
    struct str rest, domain = str_cut(name, '/', &rest);
    if (domain.n == 0 || rest.n == 0 || name.n > 253 || rest.n > 63 ||
        str_ends(domain, STR("kubernetes.io"))) {
        return false;
    }
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            strchr("-._/", c) == NULL) {
            return false;
        }
    }
    return memchr(rest.p, '/', rest.n) == NULL;
}

static void connect_plugin(struct device_manager *manager,
                           const struct plugin_registration *registration)
{
    static const struct grpc_reply_ops list_ops = {.on_message = on_list, .on_end = on_list_end};
    struct resource *resource = device_manager_find(manager, registration->resource);
    if (resource == NULL) {
        resource = device_manager_add(manager, registration->resource);
    }
    timer_stop(&resource->cleanup);
    close_plugin(resource);
    resource->dead = false;
    resource->pre_start_required = registration->pre_start_required;
    resource->preferred_allocation = registration->preferred_allocation;
    char *path MEM_CLEANUP =
        mem_printf("%s/%.*s", manager->plugin_dir, STR_ARG(registration->endpoint));
    resource->client = grpc_dial(manager->loop, path, on_plugin_close, resource);
    resource->watch = grpc_request(resource->client, "/v1beta1.DevicePlugin/ListAndWatch", "", 0, 0,
                                   &list_ops, resource);
    LOG_INFO("gpu", "plug-in registered", LOG_Z("resource", resource->name), LOG_Z("at", path));
}

static size_t count_resources(const struct device_manager *manager)
{
    size_t count = 0;
    LIST_EACH (it, &manager->resources) {
        count++;
    }
    return count;
}

static void on_register(void *ctx, struct grpc_call *call, const char *message, size_t size)
{
    struct device_manager *manager = ctx;
    struct plugin_registration registration = {0};
    const char *why = NULL;
    if (!device_read_registration(str_at(message, size), &registration)) {
        why = "the request cannot be read";
    } else if (!str_is(registration.version, DEVICE_PLUGIN_VERSION)) {
        why = "only device plug-in API version v1beta1 is supported";
    } else if (!resource_name_is_sane(registration.resource)) {
        why = "the resource name is no extended resource name like vendor.example/device";
    } else if (registration.endpoint.n == 0 || registration.endpoint.n > 100 ||
               str_contains(registration.endpoint, STR("/"))) {
        why = "the endpoint must be the name of a socket in the device-plugins folder";
    } else if (count_resources(manager) >= RESOURCES_MAX) {
        why = "too many resources";
    }
    if (why != NULL) {
        grpc_finish(call, GRPC_INVALID_ARGUMENT, why);
        return;
    }
    connect_plugin(manager, &registration);
    grpc_send(call, "", 0);
    grpc_finish(call, GRPC_OK, NULL);
}

static const struct grpc_method registration_methods[] = {
    {"/v1beta1.Registration/Register", on_register}};

/* ---- device_ops ---- */

static void capacity(void *ctx, struct arena *arena, struct val *total, struct val *allocatable)
{
    struct device_manager *manager = ctx;
    LIST_EACH (it, &manager->resources) {
        struct resource *resource = container_of(it, struct resource, link);
        size_t healthy = 0;
        VEC_EACH (device, &resource->devices) {
            healthy += device->healthy;
        }
        struct str key = str_copy_in(arena, str_of(resource->name));
        val_set_text(arena, total, key,
                     str_of(arena_printf(arena, "%zu", resource->devices.count)));
        val_set_text(arena, allocatable, key, str_of(arena_printf(arena, "%zu", healthy)));
    }
}

static void drop_allocations(struct device_manager *manager,
                             bool (*keep)(const void *arg, struct str uid), const void *arg)
{
    bool dropped = false;
    LIST_EACH_SAFE (it, &manager->allocations) {
        struct allocation *allocation = container_of(it, struct allocation, link);
        if (!keep(arg, str_of(allocation->pod_uid))) {
            allocation_free(allocation);
            dropped = true;
        }
    }
    struct err err = ERR_INIT;
    if (dropped && device_checkpoint_save(manager, &err) != 0) {
        LOG_ERROR("gpu", "cannot save allocations", LOG_ERR(&err));
    }
}

static bool is_another(const void *arg, struct str uid)
{
    return !str_eq(*(const struct str *)arg, uid);
}

static void release(void *ctx, struct str pod_uid)
{
    drop_allocations(ctx, is_another, &pod_uid);
}

struct uid_list {
    const struct str *uids;
    size_t count;
};

static bool is_listed(const void *arg, struct str uid)
{
    const struct uid_list *list = arg;
    for (size_t i = 0; i < list->count; i++) {
        if (str_eq(list->uids[i], uid)) {
            return true;
        }
    }
    return false;
}

static void retain(void *ctx, const struct str *uids, size_t count)
{
    struct uid_list list = {uids, count};
    drop_allocations(ctx, is_listed, &list);
}

static void on_change(void *ctx, void (*changed)(void *arg), void *arg)
{
    struct device_manager *manager = ctx;
    manager->changed = changed;
    manager->changed_arg = arg;
}

/* ---- start and end ---- */

/* Plug-ins of the run before see their socket go and register again; upstream does the same. */
static void remove_sockets(const char *dir)
{
    DIR *folder = opendir(dir);
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        struct stat info;
        char *path MEM_CLEANUP = mem_printf("%s/%s", dir, entry->d_name);
        if (lstat(path, &info) == 0 && S_ISSOCK(info.st_mode)) {
            unlink(path);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
}

static int serve_registration(struct device_manager *manager, struct err *err)
{
    int fd;
    char *address MEM_CLEANUP = mem_printf("unix:%s/kubelet.sock", manager->plugin_dir);
    int rc = file_make_dirs(manager->plugin_dir, 0750, err);
    if (rc != 0) {
        return rc;
    }
    remove_sockets(manager->plugin_dir);
    rc = net_bind(str_of(address), &fd, err);
    if (rc == 0) {
        manager->registration = grpc_serve(manager->loop, fd, registration_methods, 1, manager);
    }
    return rc;
}

int device_manager_new(const struct device_manager_options *options,
                       struct device_manager **ret_manager, struct err *err)
{
    struct device_manager *manager = mem_new(struct device_manager);
    struct err broken = ERR_INIT;
    manager->loop = options->loop;
    manager->pods = options->pods;
    manager->plugin_dir = mem_printf("%s/device-plugins", options->root_dir);
    manager->checkpoint_path = mem_printf("%s/kubelet_internal_checkpoint", manager->plugin_dir);
    list_init(&manager->resources);
    list_init(&manager->allocations);
    list_init(&manager->requests);
    manager->ops = (struct device_ops){.capacity = capacity,
                                       .allocate = device_allocate,
                                       .release = release,
                                       .retain = retain,
                                       .on_change = on_change,
                                       .ctx = manager};
    if (device_checkpoint_load(manager, &broken) != 0) {
        LOG_ERROR("gpu", "allocations of the run before are lost", LOG_ERR(&broken));
    }
    LIST_EACH (it, &manager->resources) {
        struct resource *resource = container_of(it, struct resource, link);
        resource->dead = true; /* until its plug-in registers */
        timer_start(manager->loop, &resource->cleanup, GRACE_NS, forget_resource);
    }
    int rc = serve_registration(manager, err);
    rc = rc != 0 ? rc : pod_resources_serve(manager, options->root_dir, err);
    if (rc != 0) {
        device_manager_free(manager);
        return rc;
    }
    *ret_manager = manager;
    return 0;
}

void device_manager_free(struct device_manager *manager)
{
    if (manager == NULL) {
        return;
    }
    manager->changed = NULL;
    device_allocate_cancel_all(manager);
    grpc_server_free(manager->registration);
    grpc_server_free(manager->pod_resources);
    LIST_EACH_SAFE (it, &manager->resources) {
        free_resource(container_of(it, struct resource, link));
    }
    LIST_EACH_SAFE (it, &manager->allocations) {
        allocation_free(container_of(it, struct allocation, link));
    }
    free(manager->plugin_dir);
    free(manager->checkpoint_path);
    free(manager);
}

const struct device_ops *device_manager_ops(struct device_manager *manager)
{
    return &manager->ops;
}

void device_manager_set_pods(struct device_manager *manager, struct informer *pods)
{
    manager->pods = pods;
}

/* node_interface.h: what network/ and gpu/ give to the node agent, as tables that role/ hands over.
 */
#pragma once
#include "api/val.h"
#include "io/loop.h"

/* ---- network ---- */
struct pod_network_request {
    struct str pod_ns, pod_name, pod_uid;
    struct {
        uint16_t host_port, container_port;
        const char *protocol;
        char host_ip[46];
    } host_ports[32];
    size_t host_port_count;
};
struct pod_network { /* result */
    char netns_path[128];
    char ip[46];
    char gateway[46];
};
struct pod_network_ops {
    /* A pod's network namespace with its address, from the warm pool; synchronous and quick (a few
     * netlink messages). The same uid asked again gives the same answer (found again after a
     * restart). */
    int (*attach)(void *ctx, const struct pod_network_request *request,
                  struct pod_network *ret_network, struct err *err);
    int (*detach)(void *ctx, struct str pod_uid, struct err *err); /* idempotent */
    /* After a restart: everything whose uid is not in `uids` is detached. */
    void (*retain)(void *ctx, const struct str *uids, size_t count);
    void *ctx;
    struct str dns_server; /* cluster DNS address for resolv.conf */
    struct str dns_domain; /* "cluster.local" */
};

/* ---- devices (gpu, and vendors' plug-ins through the device manager) ---- */
struct device_mapping {
    char host_path[128], container_path[128], permissions[4];
};
struct container_devices { /* what an allocation adds to a container; arena memory */
    struct device_mapping *devices;
    size_t device_count;
    struct {
        struct str name, value;
    } * env;
    size_t env_count;
    struct {
        struct str host_path, container_path;
        bool read_only;
    } * mounts;
    size_t mount_count;
};
struct device_ops {
    /* capacity and allocatable of each resource, as members of the two objects ("nvidia.com/gpu":
     * "8") */
    void (*capacity)(void *ctx, struct arena *arena, struct val *capacity, struct val *allocatable);
    /* Allocates `count` of `resource` for a container, or gives back the same devices asked for
     * before (pod uid + container). done runs on the loop. */
    void (*allocate)(void *ctx, struct str pod_uid, struct str container, struct str resource,
                     int64_t count, struct arena *arena,
                     void (*done)(void *arg, const struct container_devices *devices,
                                  const struct err *err),
                     void *arg);
    void (*release)(void *ctx, struct str pod_uid); /* all of a pod */
    void (*retain)(void *ctx, const struct str *uids, size_t count);
    void (*on_change)(void *ctx, void (*changed)(void *arg), void *arg); /* capacity changed */
    void *ctx;
};

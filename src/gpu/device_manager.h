/* device_manager.h: kubelet's side of device plug-ins: who may register, which devices there are,
 * who has which.
 *
 * Serves v1beta1.Registration on <root_dir>/device-plugins/kubelet.sock and the pod-resources API
 * v1 on <root_dir>/pod-resources/kubelet.sock; watches each plug-in's devices. Allocations are
 * written to <root_dir>/device-plugins/kubelet_internal_checkpoint (with a checksum, synced) before
 * the caller hears of them, so a device is never given twice, also across kill -9.
 *
 * Not acted upon: topology hints for NUMA alignment (reported by pod-resources only), CDI devices
 * (an answer with some is refused), annotations.
 */
#pragma once
#include "client/informer.h"
#include "node/node_interface.h"

struct device_manager;
struct device_manager_options {
    struct loop *loop;
    const char *root_dir;  /* /var/lib/kubelet */
    struct informer *pods; /* pods of this node: names for pod-resources, init containers; may be
                              NULL */
};
int device_manager_new(const struct device_manager_options *options,
                       struct device_manager **ret_manager, struct err *err);
void device_manager_free(struct device_manager *manager);
const struct device_ops *device_manager_ops(struct device_manager *manager);
/* The informer when it exists only later. */
void device_manager_set_pods(struct device_manager *manager, struct informer *pods);

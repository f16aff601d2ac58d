/* device_plugin.h: messages of kubelet's device-plug-in API v1beta1 (k8s.io/kubelet,
 * pkg/apis/deviceplugin/v1beta1), read and written. Shared by both sides. Internal to gpu/.
 */
#pragma once
#include "base/arena.h"
#include "base/vec.h"
#include "node/node_interface.h"

#define DEVICE_PLUGIN_VERSION "v1beta1"
#define DEVICE_PLUGIN_HEALTHY "Healthy"

struct device_strings {
    VEC_OF(struct str);
};
/* All texts of repeated string field `number`; views into the message. False: broken. */
bool device_read_strings(struct str message, uint32_t number, struct device_strings *ret_strings);

struct plugin_device {
    struct str id, health;
    int64_t numa_node; /* -1: not said */
};
struct plugin_devices {
    VEC_OF(struct plugin_device);
};
bool device_read_list(struct str message, struct plugin_devices *ret_devices);
void device_write(struct buf *out, const struct plugin_device *device); /* one Device, field 1 */

struct plugin_registration {
    struct str version, endpoint, resource;
    bool pre_start_required, preferred_allocation;
};
bool device_read_registration(struct str message, struct plugin_registration *ret_registration);
void device_write_registration(struct buf *out, const struct plugin_registration *registration);

/* What an AllocateResponse says of its one container; texts are copied into the arena. False:
 * broken, or not one container. *ret_cdi: it names CDI devices. */
bool device_read_response(struct str message, struct arena *arena,
                          struct container_devices *ret_devices, bool *ret_cdi);

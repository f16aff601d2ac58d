/* gpu.h: devices of a node: the device manager (kubelet's side of the device-plugin API) and
 * simulated GPUs.
 *
 * The manager listens on root_dir/device-plugins/kubelet.sock (v1beta1 Registration) and serves
 * pod-resources on root_dir/pod-resources/kubelet.sock; allocations are kept in
 * data_dir/agent/devices (checksummed), so that they survive kill -9. Simulated GPUs register there
 * as a vendor's plug-in would: ours is its first client.
 */
#pragma once
#include "io/loop.h"
#include "node/node_interface.h"

struct gpu;
struct gpu_options {
    struct loop *loop;
    const char *root_dir, *run_dir, *data_dir;
    struct str
        simulated; /* "dgx-a100,h200,t4"; empty: none. ERR_INVALID names the models there are */
    struct str node_name;
};
int gpu_new(const struct gpu_options *options, struct gpu **ret_gpu, struct err *err);
const struct device_ops *gpu_device_ops(struct gpu *gpu);
void gpu_free(struct gpu *gpu); /* allocations stay on disk */

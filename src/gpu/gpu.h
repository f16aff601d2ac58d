/* gpu.h: a node's devices: the device manager for anybody's plug-ins, and our simulated GPUs as the
 * first of them.
 */
#pragma once
#include "client/informer.h"
#include "node/node_interface.h"

struct gpu;
struct gpu_options {
    struct loop *loop;
    const char *root_dir; /* NULL: /var/lib/kubelet */
    const char *run_dir;  /* NULL: /run/cox; device files of simulated cards go below it */
    const char *data_dir; /* not used yet */
    struct str simulated; /* "dgx-a100,t4"; empty: none */
    struct str node_name;
    unsigned major; /* of simulated device files, 240..254; 0: 240 */
};
int gpu_new(const struct gpu_options *options, struct gpu **ret_gpu, struct err *err);
void gpu_free(struct gpu *gpu); /* allocations stay recorded */
const struct device_ops *gpu_device_ops(struct gpu *gpu);
/* Node labels of the simulated cards, "a=b,c=d"; empty without cards. Lives as long as the gpu. */
struct str gpu_labels(const struct gpu *gpu);
/* Pods of this node, for the pod-resources API and for devices that init containers hand on. */
void gpu_set_pods(struct gpu *gpu, struct informer *pods);
int gpu_remove(const struct gpu_options *options, struct err *err); /* device files; for reset */

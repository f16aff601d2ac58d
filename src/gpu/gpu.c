/* gpu.c: starts device manager and simulated plug-in; nothing else lives here.
 */
#include "gpu/gpu.h"

#include <stdlib.h>

#include "base/mem.h"
#include "gpu/device_manager.h"
#include "gpu/sim_plugin.h"

struct gpu {
    struct device_manager *manager;
    struct sim_plugin *plugin; /* NULL: no simulated cards */
    struct buf labels;
};

static char *device_dir(const struct gpu_options *options)
{
    return mem_printf("%s/sim-gpu", options->run_dir != NULL ? options->run_dir : "/run/cox");
}

int gpu_new(const struct gpu_options *options, struct gpu **ret_gpu, struct err *err)
{
    struct gpu *gpu = mem_new(struct gpu);
    const char *root_dir = options->root_dir != NULL ? options->root_dir : "/var/lib/kubelet";
    char *plugin_dir MEM_CLEANUP = mem_printf("%s/device-plugins", root_dir);
    char *devices MEM_CLEANUP = device_dir(options);
    struct device_manager_options manager = {.loop = options->loop, .root_dir = root_dir};
    struct sim_plugin_options plugin = {.loop = options->loop,
                                        .plugin_dir = plugin_dir,
                                        .device_dir = devices,
                                        .models = options->simulated,
                                        .node_name = options->node_name,
                                        .major = options->major};
    int rc = device_manager_new(&manager, &gpu->manager, err);
    if (rc == 0 && options->simulated.n > 0) {
        rc = sim_plugin_new(&plugin, &gpu->plugin, err);
    }
    if (rc != 0) {
        gpu_free(gpu);
        return rc;
    }
    if (gpu->plugin != NULL) {
        size_t count;
        const struct gpu_card *cards = sim_plugin_cards(gpu->plugin, &count);
        gpu_cards_labels(cards, count, &gpu->labels);
    }
    *ret_gpu = gpu;
    return 0;
}

void gpu_free(struct gpu *gpu)
{
    if (gpu != NULL) {
        sim_plugin_free(gpu->plugin);
        device_manager_free(gpu->manager);
        buf_done(&gpu->labels);
        free(gpu);
    }
}

const struct device_ops *gpu_device_ops(struct gpu *gpu)
{
    return device_manager_ops(gpu->manager);
}

struct str gpu_labels(const struct gpu *gpu)
{
    return buf_view(&gpu->labels);
}

void gpu_set_pods(struct gpu *gpu, struct informer *pods)
{
    device_manager_set_pods(gpu->manager, pods);
}

int gpu_remove(const struct gpu_options *options, struct err *err)
{
    char *devices MEM_CLEANUP = device_dir(options);
    return sim_plugin_remove_devices(devices, err);
}

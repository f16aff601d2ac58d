/* sim_plugin.h: simulated GPUs as a device plug-in (v1beta1), registered at kubelet.sock like a
 * vendor's.
 *
 * It makes the cards' device files (character devices of the local major range: opening one gives
 * ENXIO when allowed and EPERM when the device cgroup denies it), serves
 * <plugin_dir>/cox-sim-gpu.sock, registers "nvidia.com/gpu", and does so again whenever
 * kubelet.sock is made anew or its own socket is taken away.
 */
#pragma once
#include "gpu/catalogue.h"
#include "io/loop.h"

struct sim_plugin;
struct sim_plugin_options {
    struct loop *loop;
    const char *plugin_dir; /* <root-dir>/device-plugins */
    const char *device_dir; /* where device files go; made */
    struct str models;      /* "dgx-a100,t4" */
    struct str node_name;
    unsigned major; /* 240..254; 0: 240 */
};
int sim_plugin_new(const struct sim_plugin_options *options, struct sim_plugin **ret_plugin,
                   struct err *err);
void sim_plugin_free(struct sim_plugin *plugin); /* the device files stay: containers hold them */
const struct gpu_card *sim_plugin_cards(const struct sim_plugin *plugin, size_t *ret_count);
/* A card falls ill or recovers: told to kubelet at once. False: no such card. */
bool sim_plugin_set_healthy(struct sim_plugin *plugin, unsigned index, bool healthy);
int sim_plugin_remove_devices(const char *device_dir, struct err *err); /* for reset */

/* catalogue.h: models of simulated GPUs: what a card of each kind is called and has.
 */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct gpu_model {
    const char *name;    /* of the option: "dgx-a100" */
    const char *product; /* as NVML says it */
    const char *label;   /* nvidia.com/gpu.product */
    const char *family;  /* nvidia.com/gpu.family */
    uint32_t memory_mib;
    uint8_t compute_major, compute_minor;
    uint8_t count; /* cards of one machine of this kind */
    uint8_t per_numa_node;
};
const struct gpu_model *gpu_model_find(struct str name); /* NULL: no such model */
void gpu_models_list(struct buf *out);                   /* "dgx-a100, h200, t4", for messages */

enum { GPU_CARDS_MAX = 64, GPU_UUID_SIZE = 41 };
struct gpu_card {
    const struct gpu_model *model;
    unsigned index;           /* N of nvidiaN */
    char uuid[GPU_UUID_SIZE]; /* "GPU-...", the same for a node and index in every run */
    unsigned numa_node;
};
/* "dgx-a100,t4": the cards of a node, in order. ERR_INVALID: unknown model, too many. */
int gpu_cards_make(struct str models, struct str node_name, struct gpu_card ret_cards[],
                   size_t *ret_count, struct err *err);
/* The node labels that GPU feature discovery gives these cards: "nvidia.com/gpu.count=8,...". With
 * cards of several models the first one's product counts, as upstream. */
void gpu_cards_labels(const struct gpu_card *cards, size_t count, struct buf *out);

/* catalogue.c: the table of models. One more is one more row.
 *
 * Names, memory and compute capability are those that the real card reports, so that selectors and
 * dashboards made for it work.
 */
#include "gpu/catalogue.h"

#include <stdio.h>

static const struct gpu_model models[] = {
    {.name = "dgx-a100",
     .product = "NVIDIA A100-SXM4-40GB",
     .label = "NVIDIA-A100-SXM4-40GB",
     .family = "ampere",
     .memory_mib = 40960,
     .compute_major = 8,
     .compute_minor = 0,
     .count = 8,
     .per_numa_node = 4},
    {.name = "dgx-h100",
     .product = "NVIDIA H100 80GB HBM3",
     .label = "NVIDIA-H100-80GB-HBM3",
     .family = "hopper",
     .memory_mib = 81559,
     .compute_major = 9,
     .compute_minor = 0,
     .count = 8,
     .per_numa_node = 4},
    {.name = "h200",
     .product = "NVIDIA H200",
     .label = "NVIDIA-H200",
     .family = "hopper",
     .memory_mib = 143771,
     .compute_major = 9,
     .compute_minor = 0,
     .count = 8,
     .per_numa_node = 4},
    {.name = "t4",
     .product = "Tesla T4",
     .label = "Tesla-T4",
     .family = "turing",
     .memory_mib = 15360,
     .compute_major = 7,
     .compute_minor = 5,
     .count = 1,
     .per_numa_node = 1},
};
enum { MODEL_COUNT = sizeof models / sizeof models[0] };

const struct gpu_model *gpu_model_find(struct str name)
{
    for (size_t i = 0; i < MODEL_COUNT; i++) {
        if (str_is(name, models[i].name)) {
            return &models[i];
        }
    }
    return NULL;
}

void gpu_models_list(struct buf *out)
{
    for (size_t i = 0; i < MODEL_COUNT; i++) {
        buf_printf(out, "%s%s", i > 0 ? ", " : "", models[i].name);
    }
}

/* FNV-1a: the same in every process, unlike str_hash. */
static uint64_t hash(uint64_t seed, struct str text)
{
    uint64_t value = seed ^ 0xcbf29ce484222325u;
    for (size_t i = 0; i < text.n; i++) {
        value = (value ^ (uint8_t)text.p[i]) * 0x100000001b3u;
    }
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u; /* spreads it over all bits */
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

static void make_uuid(struct str node_name, unsigned index, char ret_uuid[GPU_UUID_SIZE])
{
    uint64_t high = hash(index * 2 + 1, node_name), low = hash(high, node_name);
    snprintf(ret_uuid, GPU_UUID_SIZE, "GPU-%08x-%04x-5%03x-%04x-%012llx", (unsigned)(high >> 32),
             (unsigned)(high >> 16 & 0xFFFF), (unsigned)(high & 0xFFF),
             (unsigned)(low >> 48 & 0x3FFF) | 0x8000, (unsigned long long)(low & 0xFFFFFFFFFFFFu));
}

int gpu_cards_make(struct str model_names, struct str node_name, struct gpu_card ret_cards[],
                   size_t *ret_count, struct err *err)
{
    size_t count = 0;
    for (struct str rest = model_names; rest.p != NULL && rest.n > 0;) {
        struct str name = str_trim(str_cut(rest, ',', &rest));
        const struct gpu_model *model = gpu_model_find(name);
        if (model == NULL) {
            struct buf known BUF_CLEANUP = BUF_INIT;
            gpu_models_list(&known);
            return err_set(err, ERR_INVALID, "no simulated GPU \"%.*s\"; there are: %s",
                           STR_ARG(name), known.p);
        }
        if (count + model->count > GPU_CARDS_MAX) {
            return err_set(err, ERR_INVALID, "more than %d simulated GPUs", GPU_CARDS_MAX);
        }
        for (unsigned i = 0; i < model->count; i++) {
            struct gpu_card *card = &ret_cards[count];
            *card = (struct gpu_card){
                .model = model, .index = (unsigned)count, .numa_node = i / model->per_numa_node};
            make_uuid(node_name, card->index, card->uuid);
            count++;
        }
    }
    *ret_count = count;
    return 0;
}

void gpu_cards_labels(const struct gpu_card *cards, size_t count, struct buf *out)
{
    if (count == 0) {
        return;
    }
    const struct gpu_model *model = cards[0].model;
    buf_printf(out,
               "nvidia.com/gpu.present=true,nvidia.com/gpu.count=%zu,nvidia.com/gpu.product=%s,"
               "nvidia.com/gpu.family=%s,nvidia.com/gpu.memory=%u,"
               "nvidia.com/gpu.compute.major=%u,nvidia.com/gpu.compute.minor=%u,"
               "nvidia.com/gpu.replicas=1,nvidia.com/gpu.sharing-strategy=none,"
               "nvidia.com/mig.strategy=none",
               count, model->label, model->family, model->memory_mib, model->compute_major,
               model->compute_minor);
}

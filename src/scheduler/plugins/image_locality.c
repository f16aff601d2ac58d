/* image_locality.c: ImageLocality: nodes that have the pod's images; an image counts by its
 * size and by the share of nodes that have it, so that one node is not flooded. */
#include "scheduler/plugins/plugins.h"

static const int64_t least = 23LL << 20, most = 1000LL << 20; /* most: a container */

static int prepare(struct cycle *cycle, void **state)
{
    for (uint32_t i = 0; i < cycle->shape->image_count; i++) {
        if (map_get(&cycle->cluster->images, cycle->shape->images[i]) != NULL) {
            return PLUGIN_SCORES;
        }
    }
    return PLUGIN_NOTHING; /* no node has any: all score 0 */
}

static int64_t size_on(const struct node *node, struct str name)
{
    for (uint32_t i = 0; i < node->image_count; i++) {
        if (str_eq(node->images[i].name, name)) {
            return node->images[i].size;
        }
    }
    return -1;
}

static int64_t score(const struct cycle *cycle, void *state, const struct node *node)
{
    const struct cluster *cluster = cycle->cluster;
    int64_t sum = 0, top = most * cycle->shape->image_count;
    for (uint32_t i = 0; i < cycle->shape->image_count; i++) {
        int64_t size = size_on(node, cycle->shape->images[i]);
        if (size >= 0) {
            uintptr_t nodes = (uintptr_t)map_get(&cluster->images, cycle->shape->images[i]);
            sum += (int64_t)((double)size * ((double)nodes / (double)cluster->node_count));
        }
    }
    sum = sum < least ? least : sum > top ? top : sum;
    return SCORE_MAX * (sum - least) / (top - least);
}

const struct plugin plugin_image_locality = {
    .name = "ImageLocality", .weight = 1, .prepare = prepare, .score = score};

/* snapshot.c: reading a tree that was published: single objects, and ordered walks with filters.
 *
 * A snapshot is a counted tree and the revision at which it is exact: the cache's revision, read
 * before the tree was taken, or the tree's own newest change when that is newer. (The writer
 * publishes trees before the revision, so every change up to the one read is in the tree.)
 */
#include "server/cache_int.h"

struct snapshot *snapshot_take(struct cache *cache, const struct api_resource *resource)
{
    struct snapshot *snapshot = mem_new(struct snapshot);
    uint64_t revision = cache_revision(cache);
    struct index *index = cache_index(cache, resource);
    snapshot->tree = container_of(head_take(&index->tree), struct tree, shared);
    snapshot->revision = snapshot->tree->revision > revision ? snapshot->tree->revision : revision;
    return snapshot;
}

void snapshot_release(struct snapshot *snapshot)
{
    if (snapshot != NULL) {
        shared_unref(&snapshot->tree->shared);
        free(snapshot);
    }
}

uint64_t snapshot_revision(const struct snapshot *snapshot)
{
    return snapshot->revision;
}

size_t snapshot_count(const struct snapshot *snapshot)
{
    return snapshot->tree->count;
}

struct object *snapshot_get(const struct snapshot *snapshot, struct str ns, struct str name)
{
    struct object *object = tree_get(snapshot->tree, (struct tree_key){ns, name});
    return object != NULL ? object_ref(object) : NULL;
}

struct object *cache_get(struct cache *cache, const struct api_resource *resource, struct str ns,
                         struct str name)
{
    struct index *index = cache_index(cache, resource);
    struct shared *shared = head_take(&index->tree);
    struct object *object =
        tree_get(container_of(shared, struct tree, shared), (struct tree_key){ns, name});
    object = object != NULL ? object_ref(object) : NULL;
    shared_unref(shared);
    return object;
}

/* ---- walks ---- */

static const struct node *child_at(const struct node *node, int at)
{
    return ((const struct inner *)node)->children[at];
}

struct bound {
    struct tree_key key;
    bool after_ns; /* after everything in key.ns */
    bool after;    /* after the key itself */
};

/* Whether the object lies before the bound. */
static bool is_before(const struct object *object, const struct bound *bound)
{
    if (bound->after_ns) {
        return str_cmp(object->ns, bound->key.ns) <= 0;
    }
    int order = tree_key_cmp(tree_key_of(object), bound->key);
    return bound->after ? order <= 0 : order < 0;
}

/* Path to the first object that is not before the bound (possibly one past a leaf's end). */
static uint8_t seek(const struct tree *tree, const struct bound *bound,
                    const void *path[TREE_DEPTH], uint16_t at[TREE_DEPTH])
{
    const struct node *node = tree->root;
    uint8_t depth = 0;
    while (node != NULL) {
        int low = node->leaf ? 0 : 1, high = node->count;
        while (low < high) {
            int middle = (low + high) / 2;
            const struct object *first = node->leaf ? ((const struct leaf *)node)->objects[middle]
                                                    : ((const struct inner *)node)->firsts[middle];
            if (is_before(first, bound)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        path[depth] = node;
        at[depth++] = (uint16_t)(node->leaf ? low : low - 1);
        node = node->leaf ? NULL : child_at(node, low - 1);
    }
    return depth;
}

static void need_bits(struct snapshot_iter *iter)
{
    for (size_t i = 0; iter->labels != NULL && i < iter->labels->count; i++) {
        iter->label_bits |= iter->labels->terms[i].bloom;
    }
    bool fixed = iter->fields != NULL && iter->fields->custom == NULL; /* which field is which */
    for (size_t i = 0; fixed && i < iter->fields->count; i++) {
        const struct field_term *term = &iter->fields->terms[i];
        if (term->field >= 0 && !term->negate) {
            iter->field_bits |= tree_field_bits(term->field, term->value);
        }
    }
    iter->done = iter->labels != NULL && iter->labels->nothing;
}

/* metadata.name=x in one namespace is one object. */
static struct str only_name(const struct snapshot_iter *iter)
{
    for (size_t i = 0; iter->fields != NULL && i < iter->fields->count; i++) {
        const struct field_term *term = &iter->fields->terms[i];
        if (term->field == -1 && !term->negate) {
            return term->value;
        }
    }
    return STR_NONE;
}

void snapshot_iter_init(struct snapshot_iter *iter, const struct snapshot *snapshot, struct str ns,
                        const struct selector *labels, const struct field_selector *fields,
                        struct str start_ns, struct str start_name)
{
    *iter =
        (struct snapshot_iter){.snapshot = snapshot, .ns = ns, .labels = labels, .fields = fields};
    need_bits(iter);
    struct bound begin = {.key = {ns, STR_NONE}}, end = {.key = {ns, STR_NONE}, .after_ns = true};
    bool bounded = ns.n > 0;
    struct str name = bounded ? only_name(iter) : STR_NONE;
    if (name.n > 0) {
        begin.key.name = name;
        end = (struct bound){.key = begin.key, .after = true};
    }
    if (start_name.n > 0) {
        struct tree_key start = {start_ns, start_name};
        if (tree_key_cmp(start, begin.key) >= 0) {
            begin = (struct bound){.key = start, .after = true};
        }
    }
    if (bounded) {
        const void *path[TREE_DEPTH];
        uint16_t at[TREE_DEPTH];
        uint8_t depth = seek(snapshot->tree, &end, path, at);
        if (depth > 0) {
            iter->end_leaf = path[depth - 1];
            iter->end_at = at[depth - 1];
        }
    }
    iter->depth = seek(snapshot->tree, &begin, iter->path, iter->at);
    iter->done = iter->done || iter->depth == 0;
}

/* To the next leaf; false at the end. */
static bool step_leaf(struct snapshot_iter *iter)
{
    int level = iter->depth - 2;
    while (level >= 0) {
        const struct node *node = iter->path[level];
        if (++iter->at[level] < node->count) {
            break;
        }
        level--;
    }
    if (level < 0) {
        return false;
    }
    for (; level < iter->depth - 1; level++) {
        iter->path[level + 1] = child_at(iter->path[level], iter->at[level]);
        iter->at[level + 1] = 0;
    }
    return true;
}

const struct object *snapshot_next(struct snapshot_iter *iter)
{
    while (!iter->done) {
        const struct leaf *leaf = iter->path[iter->depth - 1];
        bool last = (const void *)leaf == iter->end_leaf;
        int end = last ? iter->end_at : leaf->node.count;
        uint16_t *at = &iter->at[iter->depth - 1];
        while (*at < end) {
            int i = (*at)++;
            if ((leaf->label_bits[i] & iter->label_bits) != iter->label_bits ||
                (leaf->field_bits[i] & iter->field_bits) != iter->field_bits) {
                continue;
            }
            const struct object *object = leaf->objects[i];
            if ((iter->labels == NULL || selector_matches(iter->labels, object)) &&
                (iter->fields == NULL || field_selector_matches(iter->fields, object))) {
                return object;
            }
        }
        iter->done = last || !step_leaf(iter);
    }
    return NULL;
}

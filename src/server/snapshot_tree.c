/* snapshot_tree.c: the copy-on-write B+tree of one resource, ordered by namespace and name.
 *
 * A change copies the nodes from the root to its leaf, once a batch: a node that the running batch
 * made is seen by nobody else and changed in place. Old nodes live as long as a snapshot holds
 * them. Each leaf counts on its objects, each inner node on its children. Beside each object lie
 * the bits that selectors ask for, so that a scan which matches nothing reads 16 bytes an object.
 */
#include "server/cache_int.h"

enum { MERGE_BELOW = TREE_FANOUT / 4, MERGE_UPTO = TREE_FANOUT * 3 / 4 };

static struct leaf *leaf_of(const struct node *node)
{
    return (struct leaf *)(uintptr_t)node;
}

static struct inner *inner_of(const struct node *node)
{
    return (struct inner *)(uintptr_t)node;
}

int tree_key_cmp(struct tree_key a, struct tree_key b)
{
    int order = str_cmp(a.ns, b.ns);
    return order != 0 ? order : str_cmp(a.name, b.name);
}

uint64_t tree_field_bits(int field, struct str value)
{
    uint64_t hash = (str_hash(value) + (uint64_t)field) * 0x9e3779b97f4a7c15ULL;
    return 1ULL << (hash >> 58) | 1ULL << (hash >> 52 & 63);
}

static uint64_t object_field_bits(const struct object *object)
{
    uint64_t bits = 0;
    for (int i = 0; i < object->field_count; i++) {
        bits |= tree_field_bits(i, object->fields[i]);
    }
    return bits;
}

static void node_unref(struct node *node)
{
    if (node == NULL || atomic_fetch_sub_explicit(&node->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (int i = 0; i < node->count; i++) { /* as deep as the tree: TREE_DEPTH at most */
        if (node->leaf) {
            object_unref(leaf_of(node)->objects[i]);
        } else {
            node_unref(inner_of(node)->children[i]);
        }
    }
    free(node);
}

static struct node *node_new(bool leaf, uint64_t batch)
{
    struct node *node = mem_zalloc(leaf ? sizeof(struct leaf) : sizeof(struct inner));
    atomic_init(&node->refs, 1);
    node->leaf = leaf;
    node->batch = batch;
    return node;
}

/* Takes the reference; returns a node with the same content that `batch` may change. */
static struct node *node_writable(struct node *node, uint64_t batch)
{
    if (node->batch == batch) {
        return node;
    }
    struct node *copy = node_new(node->leaf, batch);
    copy->count = node->count;
    if (node->leaf) {
        struct leaf *from = leaf_of(node), *to = leaf_of(copy);
        for (int i = 0; i < node->count; i++) {
            __builtin_prefetch(from->objects[i], 1);
        }
        for (int i = 0; i < node->count; i++) {
            to->objects[i] = object_ref(from->objects[i]);
        }
        memcpy(to->label_bits, from->label_bits, sizeof to->label_bits);
        memcpy(to->field_bits, from->field_bits, sizeof to->field_bits);
    } else {
        struct inner *from = inner_of(node), *to = inner_of(copy);
        for (int i = 0; i < node->count; i++) {
            to->children[i] = from->children[i];
            to->firsts[i] = from->firsts[i];
            atomic_fetch_add_explicit(&to->children[i]->refs, 1, memory_order_relaxed);
        }
    }
    node_unref(node);
    return copy;
}

static const struct object *node_first(const struct node *node)
{
    return node->leaf ? leaf_of(node)->objects[0] : inner_of(node)->firsts[0];
}

/* Index of the first entry whose key is not below `key`. */
static int leaf_find(const struct leaf *leaf, struct tree_key key, bool *ret_equal)
{
    int low = 0, high = leaf->node.count;
    *ret_equal = false;
    while (low < high) {
        int middle = (low + high) / 2;
        int order = tree_key_cmp(tree_key_of(leaf->objects[middle]), key);
        if (order == 0) {
            *ret_equal = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The child in which `key` is or belongs. */
static int inner_find(const struct inner *inner, struct tree_key key)
{
    int low = 1, high = inner->node.count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (tree_key_cmp(tree_key_of(inner->firsts[middle]), key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low - 1;
}

/* Moves entries [from, end) of `a` to `to` in `b`, which has room; counts are the caller's. */
static void entries_move(struct node *b, int to, struct node *a, int from, int n)
{
    if (a->leaf) {
        struct leaf *x = leaf_of(a), *y = leaf_of(b);
        memmove(&y->objects[to], &x->objects[from], (size_t)n * sizeof x->objects[0]);
        memmove(&y->label_bits[to], &x->label_bits[from], (size_t)n * sizeof x->label_bits[0]);
        memmove(&y->field_bits[to], &x->field_bits[from], (size_t)n * sizeof x->field_bits[0]);
    } else {
        struct inner *x = inner_of(a), *y = inner_of(b);
        memmove(&y->children[to], &x->children[from], (size_t)n * sizeof x->children[0]);
        memmove(&y->firsts[to], &x->firsts[from], (size_t)n * sizeof x->firsts[0]);
    }
}

/* Makes room at `at`; a full node is split first. Returns the node and index to fill. */
static struct node *make_room(struct node *node, int *at, uint64_t batch, struct node **ret_split)
{
    if (node->count == TREE_FANOUT) {
        /* Keys that come in order leave full nodes behind. */
        int keep = *at == TREE_FANOUT ? TREE_FANOUT - 1 : TREE_FANOUT / 2;
        struct node *right = node_new(node->leaf, batch);
        entries_move(right, 0, node, keep, TREE_FANOUT - keep);
        right->count = (uint16_t)(TREE_FANOUT - keep);
        node->count = (uint16_t)keep;
        *ret_split = right;
        if (*at > keep) {
            *at -= keep;
            node = right;
        }
    }
    entries_move(node, *at + 1, node, *at, node->count - *at);
    node->count++;
    return node;
}

static void leaf_set(struct leaf *leaf, int at, struct object *object)
{
    leaf->objects[at] = object;
    leaf->label_bits[at] = object->label_bloom;
    leaf->field_bits[at] = object_field_bits(object);
}

static void inner_set(struct inner *inner, int at, struct node *child)
{
    inner->children[at] = child;
    inner->firsts[at] = node_first(child);
}

static struct node *put(struct node *node, uint64_t batch, struct object *object,
                        struct object **ret_old, struct node **ret_split)
{
    node = node_writable(node, batch);
    if (node->leaf) {
        bool equal = false;
        int at = leaf_find(leaf_of(node), tree_key_of(object), &equal);
        struct node *into = node;
        if (equal) {
            *ret_old = leaf_of(node)->objects[at];
        } else {
            into = make_room(node, &at, batch, ret_split);
        }
        leaf_set(leaf_of(into), at, object);
        return node;
    }
    struct inner *inner = inner_of(node);
    struct node *split = NULL;
    int at = inner_find(inner, tree_key_of(object));
    inner_set(inner, at, put(inner->children[at], batch, object, ret_old, &split));
    if (split != NULL) {
        int right = at + 1;
        struct node *into = make_room(node, &right, batch, ret_split);
        inner_set(inner_of(into), right, split);
    }
    return node;
}

static void merge(struct inner *inner, int left, uint64_t batch)
{
    struct node *a = inner->children[left], *b = inner->children[left + 1];
    if (a->count + b->count > MERGE_UPTO) {
        return;
    }
    a = node_writable(a, batch);
    b = node_writable(b, batch); /* so that its entries can be moved out */
    entries_move(a, a->count, b, 0, b->count);
    a->count = (uint16_t)(a->count + b->count);
    b->count = 0;
    node_unref(b);
    inner_set(inner, left, a);
    entries_move(&inner->node, left + 1, &inner->node, left + 2, inner->node.count - left - 2);
    inner->node.count--;
}

/* The key is in it. Returns NULL when nothing is left. */
static struct node *take_out(struct node *node, uint64_t batch, struct tree_key key,
                             struct object **ret_old)
{
    node = node_writable(node, batch);
    int at;
    if (node->leaf) {
        bool equal = false;
        at = leaf_find(leaf_of(node), key, &equal);
        *ret_old = leaf_of(node)->objects[at];
        entries_move(node, at, node, at + 1, node->count - at - 1);
        node->count--;
    } else {
        struct inner *inner = inner_of(node);
        at = inner_find(inner, key);
        struct node *child = take_out(inner->children[at], batch, key, ret_old);
        if (child == NULL) {
            entries_move(node, at, node, at + 1, node->count - at - 1);
            node->count--;
        } else {
            inner_set(inner, at, child);
            if (child->count < MERGE_BELOW && node->count > 1) {
                merge(inner, at + 1 < node->count ? at : at - 1, batch);
            }
        }
    }
    if (node->count == 0) {
        node_unref(node);
        return NULL;
    }
    return node;
}

static void tree_drop(struct shared *shared)
{
    struct tree *tree = container_of(shared, struct tree, shared);
    node_unref(tree->root);
    free(tree);
}

struct tree *tree_new(void)
{
    struct tree *tree = mem_new(struct tree);
    shared_init(&tree->shared, tree_drop);
    return tree;
}

struct tree *tree_fork(const struct tree *tree)
{
    struct tree *fork = tree_new();
    fork->root = tree->root;
    fork->count = tree->count;
    fork->revision = tree->revision;
    if (fork->root != NULL) {
        atomic_fetch_add_explicit(&fork->root->refs, 1, memory_order_relaxed);
    }
    return fork;
}

struct object *tree_put(struct tree *tree, uint64_t batch, struct object *object)
{
    struct object *old = NULL;
    struct node *split = NULL;
    if (tree->root == NULL) {
        tree->root = node_new(true, batch);
    }
    tree->root = put(tree->root, batch, object, &old, &split);
    if (split != NULL) {
        struct node *root = node_new(false, batch);
        root->count = 2;
        inner_set(inner_of(root), 0, tree->root);
        inner_set(inner_of(root), 1, split);
        tree->root = root;
    }
    tree->count += old == NULL ? 1 : 0;
    return old;
}

struct object *tree_remove(struct tree *tree, uint64_t batch, struct tree_key key)
{
    struct object *old = NULL;
    if (tree_get(tree, key) == NULL) {
        return NULL;
    }
    tree->root = take_out(tree->root, batch, key, &old);
    while (tree->root != NULL && !tree->root->leaf && tree->root->count == 1) {
        struct node *root = node_writable(tree->root, batch);
        tree->root = inner_of(root)->children[0];
        root->count = 0; /* its reference to the child moves up */
        node_unref(root);
    }
    tree->count--;
    return old;
}

struct object *tree_get(const struct tree *tree, struct tree_key key)
{
    const struct node *node = tree->root;
    if (node == NULL) {
        return NULL;
    }
    while (!node->leaf) {
        node = inner_of(node)->children[inner_find(inner_of(node), key)];
    }
    bool equal = false;
    int at = leaf_find(leaf_of(node), key, &equal);
    return equal ? leaf_of(node)->objects[at] : NULL;
}

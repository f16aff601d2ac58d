/* cache_int.h: the parts of the cache: shared heads, the tree of a resource, its ring, its cursors.
 *
 * Threads: the writer (the sequencer's thread) changes trees and rings; everybody else reads what
 * was published. Nobody waits for anybody: a published thing is immutable but for a ring chunk that
 * grows at its end, and lives as long as somebody counts on it.
 */
#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "base/head.h"
#include "base/list.h"
#include "base/vec.h"
#include "server/cache.h"

/* ---- tree (snapshot_tree.c) ---- */
enum { TREE_FANOUT = 32, TREE_DEPTH = 12 };
struct node {
    _Atomic uint32_t refs;
    uint16_t count;
    bool leaf;
    uint64_t batch; /* the batch that made it may still change it */
};
struct leaf {
    struct node node;
    struct object *objects[TREE_FANOUT];
    uint64_t label_bits[TREE_FANOUT]; /* copies: a scan need not touch the objects */
    uint64_t field_bits[TREE_FANOUT];
};
struct inner {
    struct node node;
    struct node *children[TREE_FANOUT];
    const struct object *firsts[TREE_FANOUT]; /* smallest key below; lives as long as the child */
};
struct tree {
    struct shared shared;
    struct node *root; /* NULL: empty */
    size_t count;
    uint64_t revision; /* of the newest change in it */
};
struct tree_key {
    struct str ns, name;
};
struct tree *tree_new(void);
struct tree *tree_fork(const struct tree *tree); /* shares all nodes */
/* Takes the reference; returns the object that had the key (a reference), or NULL. */
struct object *tree_put(struct tree *tree, uint64_t batch, struct object *object);
struct object *tree_remove(struct tree *tree, uint64_t batch, struct tree_key key);
struct object *tree_get(const struct tree *tree, struct tree_key key); /* borrowed */
int tree_key_cmp(struct tree_key a, struct tree_key b);
static inline struct tree_key tree_key_of(const struct object *object)
{
    return (struct tree_key){object->ns, object->name};
}
uint64_t tree_field_bits(int field, struct str value); /* bits of one field's value */

/* ---- ring (ring.c) ---- */
enum { CHUNK_EVENTS = 64, CHUNK_BYTES = 65536 };
struct chunk {
    _Atomic uint32_t refs;
    _Atomic uint32_t count; /* entries below it are readable for ever */
    uint64_t first_revision;
    size_t bytes;
    struct cache_event events[CHUNK_EVENTS];
};
struct ring_view {
    struct shared shared;
    uint64_t floor; /* all events after it are in the chunks */
    size_t count;
    struct chunk *chunks[];
};
struct ring {
    struct head view;
    size_t bytes, limit; /* writer's */
};
void ring_init(struct ring *ring, uint64_t floor, size_t limit);
void ring_done(struct ring *ring);
/* Takes the references of object and previous. */
void ring_append(struct ring *ring, const struct cache_event *event);
void chunk_unref(struct chunk *chunk);
uint64_t ring_floor(struct ring *ring);
/* The first event after `after`: 1 and a reference to its chunk; 0 when there is none yet;
 * ERR_EXPIRED when events between were dropped. */
int ring_seek(struct ring *ring, uint64_t after, struct chunk **ret_chunk, uint32_t *ret_at);

/* ---- indexes and hubs (cache.c, cursor.c) ---- */
enum { HUB_MAX = 32, RESOURCE_MAX = 4096 };
struct seat { /* of one loop at one resource */
    _Atomic uint32_t parked;
    struct list cursors; /* parked ones; that loop only */
};
struct index {
    unsigned id; /* of its resource */
    struct head tree;
    struct ring ring;
    struct seat seats[HUB_MAX];
    /* writer's, during a batch: */
    struct tree *next;
    bool touched;
};
struct hub { /* wakes one loop, once for all that is new */
    struct loop *loop;
    struct cache *cache;
    struct task task;
    _Atomic bool posted;
    _Atomic uint64_t dirty[RESOURCE_MAX / 64]; /* resources with something new for parked cursors */
};
struct cache {
    _Atomic uint64_t revision, compacted;
    uint64_t base; /* revision at start: floor of every ring */
    uint64_t batch;
    size_t ring_limit;
    struct registry *registry;
    _Atomic(struct index *) *_Atomic pages[RESOURCE_MAX / 64];
    pthread_mutex_t lock; /* only for making hubs */
    _Atomic(struct hub *) hubs[HUB_MAX];
    _Atomic int hub_count;
    void (*history)(void *ctx, struct history_read *read);
    void *history_ctx;
    struct {
        VEC_OF(struct cache_event);
    } batch_events;
    struct {
        VEC_OF(struct index *);
    } batch_indexes;
};
struct index *cache_index(struct cache *cache, const struct api_resource *resource);
struct index *cache_index_at(struct cache *cache, unsigned id); /* NULL: not made yet */
int cache_hub(struct cache *cache, struct loop *loop);          /* its number; made on first use */
void hub_run(struct task *task);                                /* cursor.c */

struct snapshot {
    struct tree *tree;
    uint64_t revision;
};

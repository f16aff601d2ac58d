/* cache.h: one cache, no second truth (design.md, idea 3): per resource an ordered, copy-on-write
 * index of objects and a ring of recent events. Only the sequencer's thread writes. Readers on any
 * thread take a snapshot, or hold a cursor.
 *
 * Invariants: what is visible here is durable. Events of a resource are in revision order, each
 * once. A snapshot never changes. All resources share one revision counter; cache_revision() is the
 * newest published one.
 */
#pragma once
#include "api/object.h"
#include "api/registry.h"
#include "api/selector.h"
#include "io/loop.h"

struct cache;
struct cache *cache_new(size_t ring_bytes_per_resource); /* bound of a ring, 0: 16 MiB */
void cache_free(struct cache *cache);
uint64_t cache_revision(const struct cache *cache); /* any thread */
/* The kinds whose objects it holds; lives as long as the cache. */
struct registry *cache_registry(struct cache *cache);

/* ---- reading: any thread ---- */
struct snapshot;
struct snapshot *snapshot_take(struct cache *cache, const struct api_resource *resource);
void snapshot_release(struct snapshot *snapshot);
uint64_t snapshot_revision(const struct snapshot *snapshot); /* the cache's when it was taken */
size_t snapshot_count(const struct snapshot *snapshot);
/* New reference, or NULL. `ns` STR_NONE for cluster-scoped kinds. */
struct object *snapshot_get(const struct snapshot *snapshot, struct str ns, struct str name);
/* Shortcut without keeping a snapshot. */
struct object *cache_get(struct cache *cache, const struct api_resource *resource, struct str ns,
                         struct str name);

/* Ordered by namespace, then name. Filters are applied inside, on interned columns first. */
struct snapshot_iter {
    const struct snapshot *snapshot;
    struct str ns;                       /* n 0: all namespaces */
    const struct selector *labels;       /* may be NULL */
    const struct field_selector *fields; /* may be NULL */
    /* private: */
    const void *path[12]; /* nodes from the root to a leaf */
    uint16_t at[12];
    uint8_t depth;
    bool done;
    const void *end_leaf; /* where the range ends; NULL: at the end of the tree */
    uint16_t end_at;
    uint64_t label_bits, field_bits; /* that a matching object must have */
};
/* Starts after (start_ns, start_name) when start_name.n > 0. */
void snapshot_iter_init(struct snapshot_iter *iter, const struct snapshot *snapshot, struct str ns,
                        const struct selector *labels, const struct field_selector *fields,
                        struct str start_ns, struct str start_name);
const struct object *
snapshot_next(struct snapshot_iter *iter); /* borrowed from the snapshot; NULL at the end */

/* ---- watching: one loop a cursor ---- */
enum event_type { EVENT_ADDED, EVENT_MODIFIED, EVENT_DELETED };
struct cache_event {
    uint64_t revision;
    enum event_type type;
    struct object *object;   /* for a delete: the last state, with the revision of the delete */
    struct object *previous; /* NULL for an add */
};
struct cursor;
/* Events with revision > after. on_ready runs on `loop`, once each time there is something new
 * after cursor_next said "nothing" (a commit wakes a loop once, not each watcher). ERR_EXPIRED when
 * `after` has left the ring and the history; ERR_TOO_LARGE_REVISION when it is ahead. */
int cursor_open(struct cache *cache, const struct api_resource *resource, uint64_t after,
                struct loop *loop, void (*on_ready)(void *ctx, struct cursor *cursor), void *ctx,
                struct cursor **ret_cursor, struct err *err);
void cursor_close(struct cursor *cursor);
/* Lets go of what the cursor holds of the ring (objects of up to 64 events) while its reader is
 * stalled; cursor_next goes on where it was, or says ERR_EXPIRED. References given out are no
 * longer borrowed. */
void cursor_park(struct cursor *cursor);
/* 1: *ret_event is filled (references borrowed until the next call on this cursor); 0: nothing now;
 * ERR_EXPIRED: the ring has passed it. */
int cursor_next(struct cursor *cursor, struct cache_event *ret_event, struct err *err);
/* Everything up to this revision has been returned (for bookmarks): at least the last event's,
 * often newer. */
uint64_t cursor_revision(const struct cursor *cursor);

/* ---- writing: the sequencer's thread only ---- */
void cache_load(struct cache *cache, struct object *object); /* at start; takes the reference */
void cache_set_revision(struct cache *cache, uint64_t revision, uint64_t compacted); /* at start */
struct object *cache_tip(struct cache *cache, const struct api_resource *resource, struct str ns,
                         struct str name); /* borrowed */
struct cache_change {
    const struct api_resource *resource;
    enum event_type type;
    struct object *object; /* with its revision; the cache takes references of its own */
};
/* Publishes a committed batch: indexes, rings, revision, then wakes the loops. */
void cache_publish(struct cache *cache, const struct cache_change *changes, size_t count);
/* Brings up to `limit` objects of a custom kind that were written under an earlier definition to
 * this one, in order, from after the key (name n 0: from the first): bytes, not revisions or
 * events. Returns the last object that it looked at, borrowed; NULL: the end was reached. */
const struct object *cache_renew(struct cache *cache, const struct api_resource *storage,
                                 struct str after_ns, struct str after_name, size_t limit);
/* Events up to `compacted` can no longer be read from the history. */
void cache_set_compacted(struct cache *cache, uint64_t compacted);
/* Where cursors older than the ring read from; set once at start (the sequencer answers from the
 * store). `read` is called on the cursor's loop; see sequencer_read_history(). */
struct history_read;
void cache_set_history(struct cache *cache, void (*read)(void *ctx, struct history_read *read),
                       void *ctx);

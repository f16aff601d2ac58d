/* pages.c: a small table behind a mutex. A snapshot has one owner: whoever reads a page takes it
 * out and puts it back. */
#include "server/verb/pages.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"

struct page {
    unsigned id;               /* of the resource */
    struct snapshot *snapshot; /* NULL: free */
    uint64_t revision;
    int64_t put_ns;
};
struct pages {
    pthread_mutex_t mutex;
    struct page items[PAGES_MAX];
};

struct pages *pages_new(void)
{
    struct pages *pages = mem_new(struct pages);
    pthread_mutex_init(&pages->mutex, NULL);
    return pages;
}

void pages_free(struct pages *pages)
{
    if (pages == NULL) {
        return;
    }
    for (size_t i = 0; i < PAGES_MAX; i++) {
        if (pages->items[i].snapshot != NULL) {
            snapshot_release(pages->items[i].snapshot);
        }
    }
    pthread_mutex_destroy(&pages->mutex);
    free(pages);
}

void pages_put(struct pages *pages, const struct api_resource *resource, struct snapshot *snapshot,
               int64_t now_mono_ns)
{
    pthread_mutex_lock(&pages->mutex);
    struct page *place = &pages->items[0];
    for (size_t i = 0; i < PAGES_MAX && place->snapshot != NULL; i++) {
        struct page *it = &pages->items[i];
        if (it->snapshot == NULL || it->put_ns < place->put_ns) {
            place = it;
        }
    }
    struct snapshot *old = place->snapshot;
    *place = (struct page){resource->id, snapshot, snapshot_revision(snapshot), now_mono_ns};
    pthread_mutex_unlock(&pages->mutex);
    if (old != NULL) {
        snapshot_release(old);
    }
}

struct snapshot *pages_take(struct pages *pages, const struct api_resource *resource,
                            uint64_t revision)
{
    struct snapshot *found = NULL;
    pthread_mutex_lock(&pages->mutex);
    for (size_t i = 0; i < PAGES_MAX && found == NULL; i++) {
        struct page *it = &pages->items[i];
        if (it->snapshot != NULL && it->id == resource->id && it->revision == revision) {
            found = it->snapshot;
            it->snapshot = NULL;
        }
    }
    pthread_mutex_unlock(&pages->mutex);
    return found;
}

void pages_expire(struct pages *pages, int64_t now_mono_ns)
{
    for (size_t i = 0; i < PAGES_MAX; i++) {
        struct snapshot *old = NULL;
        pthread_mutex_lock(&pages->mutex);
        struct page *it = &pages->items[i];
        if (it->snapshot != NULL && now_mono_ns - it->put_ns > PAGES_AGE_NS) {
            old = it->snapshot;
            it->snapshot = NULL;
        }
        pthread_mutex_unlock(&pages->mutex);
        if (old != NULL) {
            snapshot_release(old);
        }
    }
}

/* arena.c: chunks of growing size in a list, newest first. See arena.h for the contract. */
#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct arena_chunk {
    struct arena_chunk *next;
    size_t size;
    char data[] __attribute__((aligned(16)));
};

/* Many arenas live long and hold little (one a pod, say); others hold a request: small, then
 * quickly larger. */
enum { FIRST_CHUNK = 512 - 48, GROWTH = 4, LARGEST_STEP = 1 << 20 };

void arena_init(struct arena *arena, size_t limit)
{
    *arena = (struct arena){.limit = limit};
}

void arena_done(struct arena *arena)
{
    while (arena->chunks != NULL) {
        struct arena_chunk *next = arena->chunks->next;
        free(arena->chunks);
        arena->chunks = next;
    }
    arena->at = arena->end = NULL;
    arena->used = 0;
}

void arena_reset(struct arena *arena)
{
    struct arena_chunk *keep = arena->chunks;
    if (keep == NULL || keep->size > LARGEST_STEP) {
        arena_done(arena);
        return;
    }
    arena->chunks = keep->next;
    arena_done(arena);
    keep->next = NULL;
    arena->chunks = keep;
    arena->at = keep->data;
    arena->end = keep->data + keep->size;
    arena->used = keep->size;
}

int arena_room(const struct arena *arena, size_t size)
{
    return arena->limit == 0 || (size <= arena->limit && arena->used <= arena->limit - size);
}

static void chunk_add(struct arena *arena, size_t size)
{
    size_t want = arena->chunks == NULL ? FIRST_CHUNK : arena->chunks->size * GROWTH;
    if (want > LARGEST_STEP) {
        want = LARGEST_STEP;
    }
    if (want < size) {
        want = size;
    }
    struct arena_chunk *chunk = mem_alloc(sizeof *chunk + want);
    chunk->next = arena->chunks;
    chunk->size = want;
    arena->chunks = chunk;
    arena->at = chunk->data;
    arena->end = chunk->data + want;
    arena->used += want;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size = size == 0 ? 16 : (size + 15) & ~(size_t)15; /* also nothing has an address */
    if ((size_t)(arena->end - arena->at) < size) {
        chunk_add(arena, size);
    }
    void *at = arena->at;
    arena->at += size;
    return memset(at, 0, size);
}

char *arena_dup(struct arena *arena, const char *bytes, size_t size)
{
    char *copy = arena_alloc(arena, size + 1);
    if (size > 0) {
        memcpy(copy, bytes, size);
    }
    return copy;
}

char *arena_vprintf(struct arena *arena, const char *format, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int size = vsnprintf(NULL, 0, format, ap);
    char *text = arena_alloc(arena, (size_t)size + 1);
    vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    return text;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    char *text = arena_vprintf(arena, format, ap);
    va_end(ap);
    return text;
}

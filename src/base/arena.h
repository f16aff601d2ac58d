/* arena.h: bump allocation for one request or one pass.
 *
 * An arena hands out memory that is given back all at once. Memory is zeroed, aligned to 16 bytes,
 * and never moves. An arena belongs to one thread. Out of memory aborts; a `limit` (bytes, 0 =
 * none) bounds what untrusted input can make us allocate: arena_alloc aborts past it only if nobody
 * asked first with arena_room(), so decoders must ask.
 */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct arena_chunk;
struct arena {
    struct arena_chunk *chunks; /* newest first */
    char *at, *end;             /* free part of the newest chunk */
    size_t used;                /* bytes taken from malloc */
    size_t limit;               /* 0: none */
};

#define ARENA_INIT                                                                                 \
    {                                                                                              \
        0                                                                                          \
    }
void arena_init(struct arena *arena, size_t limit);
void arena_done(struct arena *arena);  /* frees everything; the arena may be used again */
void arena_reset(struct arena *arena); /* as done, but keeps one chunk for the next pass */

void *arena_alloc(struct arena *arena, size_t size);
char *arena_dup(struct arena *arena, const char *bytes, size_t size); /* adds a NUL */
char *arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *arena, const char *format, va_list ap)
    __attribute__((format(printf, 2, 0)));
/* Whether `size` more bytes stay within the limit. */
int arena_room(const struct arena *arena, size_t size);

#define arena_new(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define arena_array(arena, type, count)                                                            \
    ((type *)arena_alloc((arena), sizeof(type) * (size_t)(count)))
#define ARENA_CLEANUP __attribute__((cleanup(arena_done)))

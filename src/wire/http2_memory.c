/* http2_memory.c: keeps idle HTTP/2 connections small.
 *
 * Each nghttp2 session holds a frame buffer of 16 KiB, of which we use the first few hundred bytes
 * (bodies do not go through it: http2.c). From malloc it would often be memory that is already in
 * core; as a mapping of its own only the pages that are touched are. Everything else is malloc's.
 */
#include "wire/http2_memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LARGE = 16384, LARGE_MAX = 65536 };

static void *large_alloc(struct http2_memory *memory, size_t size)
{
    for (size_t i = 0; i < HTTP2_LARGE_BLOCKS; i++) {
        if (memory->large[i].at == NULL) {
            void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (at == MAP_FAILED) {
                break;
            }
            memory->large[i].at = at;
            memory->large[i].size = size;
            return at;
        }
    }
    return malloc(size);
}

/* The index of a mapped block, or -1. */
static int large_find(const struct http2_memory *memory, const void *at)
{
    for (int i = 0; i < HTTP2_LARGE_BLOCKS && ((uintptr_t)at & 4095) == 0; i++) {
        if (memory->large[i].at == at) {
            return i;
        }
    }
    return -1;
}

static void *mem_malloc(size_t size, void *user_data)
{
    return size >= LARGE && size <= LARGE_MAX ? large_alloc(user_data, size) : malloc(size);
}

static void *mem_calloc(size_t count, size_t size, void *user_data)
{
    return calloc(count, size);
}

static void mem_free(void *at, void *user_data)
{
    struct http2_memory *memory = user_data;
    int i = at != NULL ? large_find(memory, at) : -1;
    if (i < 0) {
        free(at);
    } else {
        munmap(at, memory->large[i].size);
        memory->large[i].at = NULL;
    }
}

static void *mem_realloc_block(void *at, size_t size, void *user_data)
{
    struct http2_memory *memory = user_data;
    if (at == NULL) {
        return mem_malloc(size, user_data);
    }
    int i = large_find(memory, at);
    if (i < 0) {
        return realloc(at, size);
    }
    void *grown = malloc(size);
    if (grown != NULL) {
        memcpy(grown, at, size < memory->large[i].size ? size : memory->large[i].size);
        mem_free(at, user_data);
    }
    return grown;
}

nghttp2_mem http2_memory(struct http2_memory *memory)
{
    return (nghttp2_mem){memory, mem_malloc, mem_free, mem_calloc, mem_realloc_block};
}

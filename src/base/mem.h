/* mem.h: heap memory that aborts when there is none (style.md: out of memory aborts; sizes that a
 * user controls are bounded at the edge, never here). mem_alloc does not zero; mem_zalloc does.
 * Free with free(). */
#pragma once
#include <stddef.h>

void *mem_alloc(size_t size);
void *mem_zalloc(size_t size);
void *mem_realloc(void *old, size_t size);
char *mem_dup(const void *bytes, size_t size); /* adds a NUL */
char *mem_dupz(const char *text);              /* NULL gives NULL */
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define mem_new(type)          ((type *)mem_zalloc(sizeof(type)))
#define mem_array(type, count) ((type *)mem_zalloc(sizeof(type) * (size_t)(count)))

/* For locals: char *path MEM_CLEANUP = mem_printf(...); */
void mem_cleanup(void *pointer_to_pointer);
#define MEM_CLEANUP __attribute__((cleanup(mem_cleanup)))

/* The struct that holds `member` at address `ptr`. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

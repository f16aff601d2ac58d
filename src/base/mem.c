/* mem.c: the heap with one policy: abort when there is none. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *got)
{
    if (got == NULL) {
        fputs("cox: out of memory\n", stderr);
        abort();
    }
    return got;
}

void *mem_alloc(size_t size)
{
    return checked(malloc(size > 0 ? size : 1));
}

void *mem_zalloc(size_t size)
{
    return checked(calloc(1, size > 0 ? size : 1));
}

void *mem_realloc(void *old, size_t size)
{
    return checked(realloc(old, size > 0 ? size : 1));
}

char *mem_dup(const void *bytes, size_t size)
{
    char *copy = mem_alloc(size + 1);
    if (size > 0) {
        memcpy(copy, bytes, size);
    }
    copy[size] = '\0';
    return copy;
}

char *mem_dupz(const char *text)
{
    return text == NULL ? NULL : mem_dup(text, strlen(text));
}

char *mem_printf(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    char *text = NULL;
    if (vasprintf(&text, format, ap) < 0) {
        text = NULL;
    }
    va_end(ap);
    return checked(text);
}

void mem_cleanup(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

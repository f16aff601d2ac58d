/* vec.c: the growth step of vec.h. */
#include "base/vec.h"

void vec_grow_(void **items, size_t *cap, size_t count, size_t size)
{
    *cap = count < 4 ? 8 : count * 2;
    *items = mem_realloc(*items, *cap * size);
}

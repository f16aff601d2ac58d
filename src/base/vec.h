/* vec.h: a growing array of any element type, owned by the struct that holds it.
 *
 *   struct { VEC_OF(struct pod *); } pods = {0};      // or a named struct
 *   *vec_push(&pods) = pod;   VEC_EACH(it, &pods) use(*it);   vec_done(&pods);
 */
#pragma once
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define VEC_OF(type)                                                                               \
    type *items;                                                                                   \
    size_t count, cap

void vec_grow_(void **items, size_t *cap, size_t count, size_t size);

/* A pointer to the new, zeroed last element. */
#define vec_push(vec)                                                                              \
    ((vec)->count == (vec)->cap ? vec_grow_((void **)(void *)&(vec)->items, &(vec)->cap,           \
                                            (vec)->count, sizeof *(vec)->items)                    \
                                : (void)0,                                                         \
     memset(&(vec)->items[(vec)->count], 0, sizeof *(vec)->items), &(vec)->items[(vec)->count++])
#define vec_done(vec)  (free((vec)->items), (vec)->items = NULL, (vec)->count = (vec)->cap = 0)
#define vec_clear(vec) ((void)((vec)->count = 0))
/* Removes element i by moving the last one into its place (order is lost). */
#define vec_remove_swap(vec, i) ((void)((vec)->items[i] = (vec)->items[--(vec)->count]))
#define VEC_EACH(it, vec)                                                                          \
    for (__typeof__((vec)->items + 0) it = (vec)->items;                                           \
         it != NULL && it != (vec)->items + (vec)->count; it++)

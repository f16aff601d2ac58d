/* head.h: a pointer that a writer swaps while readers on any thread take references, without a
 * lock.
 *
 * What is behind it is immutable and counted; a reader's reference keeps it alive. One writer at a
 * time. The upper 16 bits of the word count readers that are between reading the pointer and
 * counting themselves.
 */
#pragma once
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct shared {
    _Atomic int64_t refs;
    void (*drop)(struct shared *shared); /* when the last reference went */
};
struct head {
    _Atomic uint64_t word;
};
void shared_init(struct shared *shared, void (*drop)(struct shared *shared));
void shared_unref(struct shared *shared);               /* NULL is harmless */
struct shared *head_take(struct head *head);            /* a new reference; any thread */
struct shared *head_peek(const struct head *head);      /* borrowed; the writer only */
void head_swap(struct head *head, struct shared *next); /* takes the reference; the writer only */

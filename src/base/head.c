/* head.c: how readers take a reference to what the writer may swap at any moment, without
 * a lock: the pointer and a count of readers in passing share one word (user addresses have 47
 * bits).
 *
 * A reader adds itself to the word, counts itself in the thing, and takes itself out of the word
 * again; when the writer swapped the word in between, the writer has moved the count of readers in
 * passing into the thing, and the reader takes itself out there. So the thing cannot go away
 * between reading its address and counting on it, and the count in the word stays at the number of
 * readers that are in passing at one moment (65,535 at most).
 */
#include "base/head.h"

static const uint64_t one_reader = 1ULL << 48, pointer_mask = (1ULL << 48) - 1;

static struct shared *pointer_of(uint64_t word)
{
    return (struct shared *)(uintptr_t)(word & pointer_mask);
}

void shared_init(struct shared *shared, void (*drop)(struct shared *shared))
{
    atomic_init(&shared->refs, 1);
    shared->drop = drop;
}

void shared_unref(struct shared *shared)
{
    if (shared != NULL && atomic_fetch_sub_explicit(&shared->refs, 1, memory_order_acq_rel) == 1) {
        shared->drop(shared);
    }
}

struct shared *head_take(struct head *head)
{
    uint64_t word = atomic_fetch_add(&head->word, one_reader);
    struct shared *shared = pointer_of(word);
    atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    word = atomic_load(&head->word);
    while (pointer_of(word) == shared) {
        if (atomic_compare_exchange_weak(&head->word, &word, word - one_reader)) {
            return shared;
        }
    }
    /* Swapped: the writer counted us in the thing. */
    atomic_fetch_sub_explicit(&shared->refs, 1, memory_order_relaxed);
    return shared;
}

struct shared *head_peek(const struct head *head)
{
    return pointer_of(atomic_load_explicit(&head->word, memory_order_relaxed));
}

void head_swap(struct head *head, struct shared *next)
{
    uint64_t old = atomic_exchange(&head->word, (uint64_t)(uintptr_t)next);
    struct shared *shared = pointer_of(old);
    if (shared != NULL) {
        atomic_fetch_add_explicit(&shared->refs, (int64_t)(old >> 48), memory_order_relaxed);
        shared_unref(shared);
    }
}

/* list.h: an intrusive, circular, doubly linked list. A head and each member hold a struct list;
 * list_init both. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *list)
{
    list->next = list->prev = list;
}
static inline bool list_empty(const struct list *list)
{
    return list->next == list;
}
static inline void list_append(struct list *head, struct list *item) /* at the end */
{
    item->prev = head->prev;
    item->next = head;
    head->prev->next = item;
    head->prev = item;
}
static inline void list_prepend(struct list *head, struct list *item)
{
    list_append(head->next, item);
}
static inline void list_remove(struct list *item) /* harmless on an item that is in no list */
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}
static inline struct list *list_pop(struct list *head) /* NULL when empty */
{
    struct list *item = head->next;
    if (item == head) {
        return NULL;
    }
    list_remove(item);
    return item;
}

/* The loop body may remove `it` with LIST_EACH_SAFE, not with LIST_EACH. */
#define LIST_EACH(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
#define LIST_EACH_SAFE(it, head)                                                                   \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)

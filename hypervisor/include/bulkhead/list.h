// SPDX-License-Identifier: Apache-2.0
// Circular doubly linked list with a head node. No locking: the owner of the head provides it.
#ifndef BULKHEAD_LIST_H
#define BULKHEAD_LIST_H

#include <bulkhead/types.h>

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_insert_between(struct list *node, struct list *prev, struct list *next)
{
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}

static inline void list_add_head(struct list *head, struct list *node)
{
    list_insert_between(node, head, head->next);
}

static inline void list_add_tail(struct list *head, struct list *node)
{
    list_insert_between(node, head->prev, head);
}

// Unlinks node and leaves it an empty list, so that removing twice is harmless.
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

#define list_entry(node, type, member) container_of(node, type, member)
#define list_for_each(pos, head, member)                                                           \
    for (pos = list_entry((head)->next, typeof(*pos), member); &pos->member != (head);             \
         pos = list_entry(pos->member.next, typeof(*pos), member))
// As list_for_each, but pos may be removed in the body; tmp is a second cursor.
#define list_for_each_safe(pos, tmp, head, member)                                                 \
    for (pos = list_entry((head)->next, typeof(*pos), member),                                     \
        tmp = list_entry(pos->member.next, typeof(*pos), member);                                  \
         &pos->member != (head);                                                                   \
         pos = tmp, tmp = list_entry(tmp->member.next, typeof(*tmp), member))

#endif

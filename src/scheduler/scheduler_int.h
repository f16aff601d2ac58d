/* scheduler_int.h: the scheduler's parts that act: what it watches, what it writes. */
#pragma once
#include "client/recorder.h"
#include "scheduler/cycle.h"
#include "scheduler/pending.h"
#include "scheduler/preempt.h"
#include "scheduler/scheduler.h"

enum entry_state { ENTRY_IGNORED, ENTRY_WAITING, ENTRY_BINDING, ENTRY_BOUND };

struct entry { /* a pod that is not finished */
    struct pod *pod;
    struct object *object; /* the newest */
    enum entry_state state;
    struct pending pending;
    char *node; /* it is bound to; known or not */
    uint64_t spec_hash;
    char *message;           /* of the condition that was written last */
    int64_t said_ns;         /* when the event was */
    struct list volume_link; /* while its claims are being bound */
    int64_t wait_ends_ns;
    bool wait_chosen; /* all its claims have been seen with the node that was chosen */
};

struct explanation { /* of the last pods that fit nowhere; many ask the same */
    uint64_t local, layout, changes;
    char *message, *nearest;
    size_t hopeless;
    unsigned events;
};
enum { EXPLANATIONS = 4 };

struct scheduler {
    struct loop *loop;
    struct informers *informers;
    struct client *client;
    struct recorder *recorder;
    const char *name;
    struct cluster *cluster;
    struct rankings *rankings;
    struct map entries; /* "ns/name" -> entry */
    size_t homeless;    /* bound to a node that is not known (yet) */
    struct pending_queue queue;
    struct list volume_waiters;
    struct timer volume_timer;
    struct explanation explanations[EXPLANATIONS];
    unsigned next_explanation;
    struct task turn;
    bool turning, synced, stopped;
    size_t in_flight; /* requests */
    struct arena arena;
    const struct api_resource *pods, *nodes;
    int field_node, field_phase; /* indexes of pods' selectable fields */
};

/* scheduler.c */
void scheduler_wake(struct scheduler *scheduler);
/* scheduler_watch.c: informers to cluster and queue. */
void scheduler_watch(struct scheduler *scheduler);
void scheduler_entry_free(struct scheduler *scheduler, struct entry *entry);
void scheduler_forget_bind(struct scheduler *scheduler, struct entry *entry);
/* scheduler_write.c: bindings, conditions, events, evictions. */
void scheduler_bind(struct scheduler *scheduler, struct entry *entry);
void scheduler_say_no(struct scheduler *scheduler, struct entry *entry, const char *message,
                      const char *nearest);
void scheduler_evict(struct scheduler *scheduler, struct entry *entry, struct pod *victim);
void scheduler_finished(struct scheduler *scheduler); /* a request was answered */
void scheduler_free(struct scheduler *scheduler);
/* scheduler_volumes.c. True: the pod's claims are being bound first; it is bound when they are. */
bool scheduler_choose_volumes(struct scheduler *scheduler, struct entry *entry);
void scheduler_check_volumes(struct scheduler *scheduler); /* something about them has changed */
void scheduler_check_volumes_later(struct scheduler *scheduler);

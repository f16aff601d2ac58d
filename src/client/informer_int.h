/* informer_int.h: what informer.c (one copy) and informers.c (the set of a loop, writes) share. */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "base/vec.h"
#include "client/informer.h"
#include "client/ordered.h"

struct index {
    const char *name;
    informer_keys_fn *keys;
    struct map buckets; /* key -> struct bucket */
};

struct informer {
    struct informers *set;
    const struct api_resource *resource;
    char *ns, *label_selector, *field_selector; /* "" for none */
    struct client_watch *watch;
    struct ordered objects;
    struct {
        VEC_OF(struct informer_handler);
    } handlers;
    struct {
        VEC_OF(struct index *);
    } indexes;
    struct map gone; /* uid -> struct gone */
    uint64_t shown;  /* the watch has shown everything up to this revision */
    uint32_t epoch;  /* of the sync in progress or the last one */
    bool in_sync, synced;
};

struct informers {
    struct client *client;
    struct {
        VEC_OF(struct informer *);
    } all;
    struct list writes; /* in flight */
    struct list waiters;
    struct timer wake;
};

struct informer *informer_new(struct informers *set, const struct client_watch_options *options);
void informer_free(struct informer *informer);
bool informer_is(const struct informer *informer, const struct client_watch_options *options);
/* One's own answer: the object as it is now. Ignored when older than what is there. */
void informer_take_answer(struct informer *informer, struct object *object);
/* One's own answer: the object of this uid is deleted. */
void informer_take_deletion(struct informer *informer, struct str ns, struct str name,
                            struct str uid);
/* An informer has become whole; tells the waiters when all are. */
void informers_synced_changed(struct informers *set);

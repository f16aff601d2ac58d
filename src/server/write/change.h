/* change.h: one write of one object: read, plan, commit, and plan again after a conflict.
 *
 * Every write of the server is a struct change: verbs, subresources, first-start objects, upkeep. A
 * plan is a pure function of the newest state; the engine does the rest. A change lives on one
 * loop.
 */
#pragma once
#include "server/request.h"

enum plan_kind { PLAN_NOTHING, PLAN_CREATE, PLAN_UPDATE, PLAN_DELETE };
enum { CHANGE_TRIES = 16 };

struct change;
struct reservation;

/* A companion of the write (sequencer.h), with what its refusal means to the client. */
struct change_companion {
    struct companion companion;
    void (*explain)(struct change_companion *companion, struct change *change,
                    struct failure *failure);
};

struct plan {
    enum plan_kind kind;
    struct val *value; /* create, update: a tape of change->resource->type in change->arena;
                          delete: NULL, or the last state to record */
};

struct change {
    /* set by the owner */
    struct server *server;
    struct loop *loop;
    const struct api_resource *resource; /* the version in which values are written */
    struct str ns, name;                 /* name may be set by the plan of a create */
    bool create;                         /* no current object is read */
    bool dry_run;
    bool tracked; /* the plan writes managedFields itself */
    /* `current` is borrowed, NULL when there is none. 0, or failure->code (then done() follows). */
    int (*plan)(struct change *change, struct object *current, struct plan *ret_plan,
                struct failure *failure);
    /* A create met an object of that name: true to plan again (a generated name). May be NULL. */
    bool (*retry_exists)(struct change *change);
    /* After each try: whether it is durable now. For what a plan reserved. May be NULL. */
    void (*settle)(struct change *change, bool committed);
    void (*done)(struct change *change);
    void *ctx;
    /* the engine's; zero at start, valid in done() */
    struct arena arena;
    struct failure failure; /* code 0: done */
    enum plan_kind did;
    struct object *result; /* reference, dropped by change_done: the object as it is now; after a
                              delete the last state */
    struct reservation *reserved; /* addresses.h */
    struct companion *companions; /* of this try: a plan adds with change_accompany() */
    /* private */
    struct object *current;
    struct object *last; /* of an update that ends the object: what is answered, while watchers see
                            the state before it */
    struct write write;
    int tries;
};

/* From a plan: this object changes with the planned write. The companion lives in change->arena. At
 * most WRITE_COMPANIONS_MAX; false when there are more. */
bool change_accompany(struct change *change, struct change_companion *companion);
void change_start(struct change *change); /* done() may run before this returns */
void change_done(struct change *change);  /* drops what the engine holds; in done() or later */
/* The usual end: answers the request with the result (or the failure) and drops what the change
 * holds, even when the change lives in the request's arena. */
void change_answer(struct change *change, struct request *request, int status);
/* In done(): admission wants to be asked again (request->retry_ns). True: the change is dropped,
 * and `again` runs by request->timer after that time; at most 12 times a request. */
bool change_asked_again(struct change *change, struct request *request,
                        void (*again)(struct timer *timer));
/* The same for a failure only. */
void change_fail(struct change *change, struct request *request);

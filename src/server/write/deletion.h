/* deletion.h: what DELETE does to an object: preconditions, grace, finalizers, propagation. */
#pragma once
#include "server/write/change.h"

struct deletion { /* change.ctx may point at more; plans take this */
    struct change change;
    struct request *request; /* NULL: the server itself; no admission then */
    int64_t grace_s;         /* -1: the kind's own */
    struct str propagation;  /* "", Background, Foreground, Orphan */
    struct str uid;          /* precondition; n 0: none */
    uint64_t version;        /* precondition; 0: none */
    bool marked; /* result: it is dying (or was already), not gone: answer with the object */
    void *owner;
};

/* A plan for struct change embedded in a struct deletion. */
int deletion_plan(struct change *change, struct object *current, struct plan *ret_plan,
                  struct failure *failure);
/* DeleteOptions of a request: query, then body (kind DeleteOptions, may be absent). */
int deletion_options(struct request *request, struct deletion *ret_deletion,
                     struct failure *failure);
/* A dying object that nothing holds any more: no finalizers and no grace left. */
bool deletion_is_due(const struct api_resource *resource, const struct val *object);

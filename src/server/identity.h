/* identity.h: who makes a request: user name, groups, extra attributes.
 *
 * Immutable and counted; any thread may hold one. The group system:authenticated (or, for anonymous
 * requests, system:unauthenticated) is added by whoever makes it: identity_new adds the first one
 * for every name but system:anonymous.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

struct identity_extra {
    struct str key;
    const struct str *values;
    size_t count;
};

/* What a service-account token is bound to; checked against the cache on each use. */
struct identity_binding {
    struct str account_ns, account_name, account_uid;
    struct str pod_name, pod_uid;       /* empty: not bound to a pod */
    struct str secret_name, secret_uid; /* empty: not bound to a secret */
    struct str node_name, node_uid;     /* of the pod, or bound to a node */
    bool bound_to_node;
    bool legacy;                             /* kept in secret_name, whose uid does not matter */
    unsigned char legacy_hash[32];           /* SHA-256 of the token */
    int64_t starts_wall_ns, expires_wall_ns; /* 0: always, never */
};

struct identity {
    _Atomic uint32_t refs;
    struct arena arena;
    struct str name, uid;
    struct str *groups;
    size_t group_count;
    struct identity_extra *extra;
    size_t extra_count;
    struct str node;    /* NAME of system:node:NAME in group system:nodes; else empty */
    bool masters;       /* in group system:masters: everything is allowed */
    bool authenticated; /* false: anonymous */
    struct identity_binding *binding; /* service-account token; NULL otherwise */
};

/* Copies everything. Reference count 1. */
struct identity *identity_new(struct str name, struct str uid, const struct str *groups,
                              size_t group_count);
/* system:serviceaccount:NS:NAME with its three groups. */
struct identity *identity_new_account(struct str ns, struct str name, struct str uid);
struct identity *identity_new_anonymous(void);
/* While nobody else has a reference. */
void identity_add_extra(struct identity *identity, const char *key, const struct str *values,
                        size_t count);
struct identity *identity_ref(struct identity *identity);
void identity_unref(struct identity *identity);
bool identity_in_group(const struct identity *identity, struct str group);

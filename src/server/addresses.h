/* addresses.h: who has which ClusterIP and node port: exact, in memory, rebuilt from the cache.
 *
 * Invariants: an address or port has one owner, a Service by namespace, name and uid; it is
 * reserved before the Service is committed and given back when the commit fails, or when the home
 * loop sees the Service gone or changed. An owner that no longer exists may be taken over at once.
 * Any thread.
 */
#pragma once
#include "server/write/change.h"

struct addresses;
int addresses_new(struct server *server, struct addresses **ret_addresses, struct err *err);
void addresses_free(struct addresses *addresses);
/* Fills from the cache and follows it; home loop. */
int addresses_start(struct addresses *addresses, struct err *err);

/* First address of the range: the Service kubernetes. */
struct str addresses_first(struct addresses *addresses, struct arena *arena);

struct reservation { /* of one change; in its arena */
    struct reservation *next;
    struct str key; /* "10.96.0.1" or "30080" */
};
struct owner {
    struct str ns, name, uid;
};
/* Whose it is, when its Service is committed. */
bool addresses_owner(struct addresses *addresses, struct arena *arena, struct str key,
                     struct owner *ret_owner);
/* Reserves this one, or (text n 0) a free one. 0; ERR_EXISTS: somebody has it; ERR_INVALID: out of
 * range; ERR_INTERNAL: none free. */
int addresses_take_ip(struct addresses *addresses, struct change *change, const struct owner *owner,
                      struct str text, struct str *ret_text);
int addresses_take_port(struct addresses *addresses, struct change *change,
                        const struct owner *owner, int64_t port, int64_t *ret_port);
/* For change->settle: gives back what was reserved when it did not become durable. */
void addresses_settle(struct change *change, bool committed);

/* address_objects.h: the IPAddress of every ClusterIP.
 *
 * Invariants: level-triggered on the home loop after the Service is committed, so creating a
 * Service waits for nothing; an IPAddress that somebody else made is left alone, and its address is
 * not given out. Home loop, but for address_object_is_foreign().
 */
#pragma once
#include "base/arena.h"
#include "base/str.h"

struct server;
struct val;
/* The IPAddress of this name becomes what the table of owners says: it is made, or deleted. */
void address_object_settle(struct server *server, struct str ip);
/* Settles those whose Service is gone. */
void address_objects_sweep(struct server *server);
/* Any thread: an IPAddress is there that is not one of ours. */
bool address_object_is_foreign(struct server *server, struct str ip);
/* Its labels, and what it has besides metadata, as JSON. */
void address_object_label(struct arena *arena, struct val *meta);
const char *address_object_text(struct arena *arena, struct str ns, struct str name);

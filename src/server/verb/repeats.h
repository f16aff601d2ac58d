/* repeats.h: applies that changed nothing, remembered by a digest of all that decided so.
 *
 * Controllers apply the same configuration again and again. Whether an apply changes anything is a
 * function of the object's revision, the configuration's bytes, the manager and the options; so
 * what changed nothing changes nothing again, and is answered without looking. Digests are 64 bits
 * with the process's own seed, and stand in a table of fixed size in which newer ones replace older
 * ones. Any thread may use it.
 */
#pragma once
#include "server/request.h"

struct object;
struct repeats;

struct repeats *repeats_new(struct arena *arena);
/* Of an apply of the request's body to this object. Never 0. */
uint64_t repeats_digest(const struct request *request, const struct object *object);
bool repeats_has(const struct repeats *repeats, uint64_t digest);
void repeats_add(struct repeats *repeats, uint64_t digest);

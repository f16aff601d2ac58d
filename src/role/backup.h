/* backup.h: the server's side of `cox backup`: POST /cox/v1/backup copies the database while writes
 * go on, into the server's own folder, and answers with the file's path, the revision it holds and
 * the id of the key that it needs. */
#pragma once
#include "base/str.h"

struct server;
struct sequencer;
struct cache;
/* Adds the endpoint; before server_start. Everything is borrowed; `key_id` names the storage key.
 */
void backup_serve(struct server *server, struct sequencer *sequencer, struct cache *cache,
                  const char *folder, struct str key_id);

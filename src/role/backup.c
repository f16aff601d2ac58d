/* backup.c: one endpoint; the copy itself is the store's, in steps between batches. See backup.h.
 */
#include "role/backup.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "server/sequencer.h"
#include "server/server.h"

struct backup_server {
    struct sequencer *sequencer;
    struct cache *cache;
    char *folder, *key_id;
};

struct backup { /* one under way */
    struct backup_server *server;
    struct endpoint_call *call;
    char *path;
    uint64_t revision;
};

static void answer(struct backup *backup, int status, const char *key, const char *text)
{
    struct arena *arena = backup->call->arena;
    struct val *body = val_new(arena, VAL_OBJECT);
    struct buf json BUF_CLEANUP = BUF_INIT;
    val_set_text(arena, body, str_of(key), str_of(text));
    if (status == 200) {
        val_set_text(arena, body, STR("revision"),
                     str_of(arena_printf(arena, "%llu", (unsigned long long)backup->revision)));
        val_set_text(arena, body, STR("keyID"), str_of(backup->server->key_id));
    } else {
        val_set_text(arena, body, STR("kind"), STR("Status"));
        val_set_text(arena, body, STR("reason"), STR("InternalError"));
    }
    val_write_json(body, &json);
    endpoint_answer(backup->call, status, "application/json", buf_view(&json));
    free(backup->path);
    free(backup);
}

static void on_done(void *ctx, const struct err *err)
{
    struct backup *backup = ctx;
    if (err != NULL && err->code != 0) {
        answer(backup, err_http_status(err->code), "message", err->message);
    } else {
        answer(backup, 200, "path", backup->path);
    }
}

static void on_backup(void *ctx, struct endpoint_call *call)
{
    struct backup_server *server = ctx;
    struct backup *backup = mem_new(struct backup);
    *backup =
        (struct backup){.server = server, .call = call, .revision = cache_revision(server->cache)};
    backup->path =
        mem_printf("%s/backup-%llu.db", server->folder, (unsigned long long)backup->revision);
    if (!str_is(call->method, "POST")) {
        answer(backup, 405, "message", "POST makes a backup");
        return;
    }
    sequencer_backup(server->sequencer, backup->path, call->loop, on_done, backup);
}

void backup_serve(struct server *server, struct sequencer *sequencer, struct cache *cache,
                  const char *folder, struct str key_id)
{
    struct backup_server *backup = mem_new(struct backup_server);
    *backup = (struct backup_server){.sequencer = sequencer,
                                     .cache = cache,
                                     .folder = mem_dupz(folder),
                                     .key_id = str_dup(key_id)};
    server_add_endpoint(server, "/cox/v1/backup", false, on_backup, backup);
}

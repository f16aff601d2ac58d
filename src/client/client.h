/* client.h: how controllers, the scheduler, the agent and the CLI speak to the API: one interface,
 * two transports.
 *
 * In process (server/inprocess.c): requests go through the whole request path under the caller's
 * identity, without sockets. HTTP (client/http.c): the wire. Both are asynchronous; callbacks run
 * on the client's loop, never from inside client_send() or client_watch(). A client belongs to one
 * loop. Responses arrive as objects at rest: in process they are the cache's own, shared.
 */
#pragma once
#include "api/object.h"
#include "api/selector.h"
#include "io/loop.h"

enum client_verb { CLIENT_GET, CLIENT_CREATE, CLIENT_UPDATE, CLIENT_PATCH, CLIENT_DELETE };
enum client_patch {
    CLIENT_PATCH_JSON,
    CLIENT_PATCH_MERGE,
    CLIENT_PATCH_STRATEGIC,
    CLIENT_PATCH_APPLY
};

struct client_request {
    enum client_verb verb;
    const struct api_resource *resource;
    struct str ns, name;     /* copied */
    const char *subresource; /* "" or "status", "binding", "token" ... */
    struct val *body; /* create, update, patch; delete: DeleteOptions or NULL. Serialised before the
                         call returns */
    enum client_patch patch;
    const char *field_manager; /* NULL: the client's name */
};
struct client_result {
    enum err_code code; /* 0 or why not */
    struct err error;
    struct object *object; /* the answer (borrowed during the callback), or NULL. For virtual kinds
                              and subresources whose answer is no stored object, see body */
    struct str
        body; /* raw JSON of the answer when it is no stored object (Status, TokenRequest ...) */
};
typedef void client_done_fn(void *ctx, const struct client_result *result);

struct client_watch_ops {
    /* The whole state first (sync_begin, added..., sync_end), then changes; after a gap (410,
     * reconnect) the whole state again: whoever keeps a copy forgets what was not named between
     * sync_begin and sync_end. Objects are borrowed. */
    void (*sync_begin)(void *ctx);
    void (*event)(void *ctx, int type /* 0 added 1 modified 2 deleted */, struct object *object);
    void (*sync_end)(void *ctx, uint64_t revision);
    void (*bookmark)(void *ctx, uint64_t revision); /* may be NULL */
};
struct client_watch_options {
    const struct api_resource *resource;
    struct str ns;                             /* n 0: all */
    struct str label_selector, field_selector; /* text; n 0: none */
};

struct client;
struct client_watch;
struct client_ops {
    void (*send)(struct client *client, const struct client_request *request, client_done_fn *done,
                 void *ctx);
    struct client_watch *(*watch)(struct client *client, const struct client_watch_options *options,
                                  const struct client_watch_ops *ops, void *ctx);
    void (*watch_stop)(struct client *client, struct client_watch *watch);
    void (*free)(struct client *client); /* requests under way are answered with ERR_CANCELED */
};
struct client { /* first member of every transport */
    const struct client_ops *ops;
    struct loop *loop;
    const char *name; /* field manager */
};
static inline void client_send(struct client *client, const struct client_request *request,
                               client_done_fn *done, void *ctx)
{
    client->ops->send(client, request, done, ctx);
}
static inline struct client_watch *client_watch(struct client *client,
                                                const struct client_watch_options *options,
                                                const struct client_watch_ops *ops, void *ctx)
{
    return client->ops->watch(client, options, ops, ctx);
}
static inline void client_free(struct client *client)
{
    if (client != NULL) {
        client->ops->free(client);
    }
}

struct tls_context;
struct client_http_options {
    struct str address; /* "10.1.2.3:6443" */
    struct tls_context *tls;
    struct str token; /* bearer token, or none (client certificate in tls) */
    const char *name;
};
/* Keeps one HTTP/2 connection, redials with back-off (100 ms doubling to 5 s, with jitter), resumes
 * watches. */
struct client *client_http_new(struct loop *loop, const struct client_http_options *options);

/* informer.h: a live copy of one resource on one loop, with indexes and handlers; controllers,
 * scheduler and agent share it.
 *
 * Fed by client_watch and by the answers to one's own writes (informer_write): after a write's
 * answer the informer already shows it, so there is nothing to be stale against one's own doing;
 * older events that arrive later are ignored by revision, and an object whose
 * deletion was seen (its uid) never comes back. Objects are references, in process shared
 * with the server's cache.
 */
#pragma once
#include "client/client.h"

struct informer;
struct informer_handler {
    /* old NULL: added; now NULL: deleted. Runs for each change; during the first sync as adds. */
    void (*on_change)(void *ctx, struct object *old, struct object *now);
    void *ctx;
};
struct informers; /* the set of a loop: at most one informer a (resource, ns, selectors) */
struct informers *informers_new(struct client *client);
void informers_free(struct informers *informers);
/* Made and started on first use. */
struct informer *informers_get(struct informers *informers, const struct api_resource *resource);
struct informer *informers_get_filtered(struct informers *informers,
                                        const struct client_watch_options *options);
bool informers_synced(const struct informers *informers); /* all of them */
void informers_on_synced(struct informers *informers, void (*fn)(void *ctx),
                         void *ctx); /* once, when all started so far are */
/* Whoever waits with this ctx is not told any more. */
void informers_forget_waiter(struct informers *informers, void *ctx);
/* Ends the informer, unless somebody handles it still. */
void informers_drop(struct informers *informers, struct informer *informer);
struct client *informers_client(struct informers *informers);

void informer_handle(struct informer *informer,
                     struct informer_handler handler); /* existing objects are replayed as adds */
bool informer_synced(const struct informer *informer);
struct object *informer_get(const struct informer *informer, struct str ns,
                            struct str name); /* borrowed, or NULL */
size_t informer_count(const struct informer *informer);
/* Visits borrowed objects, ordered by namespace and name; ns n 0: all; selector may be NULL. visit
 * returning false stops. */
void informer_each(const struct informer *informer, struct str ns, const struct selector *selector,
                   bool (*visit)(void *ctx, struct object *object), void *ctx);
/* Index: objects by keys that `keys` computes (owner uid, node name ...). Kept up to date. */
typedef void informer_keys_fn(const struct object *object, void (*emit)(void *arg, struct str key),
                              void *arg);
void informer_index(struct informer *informer, const char *index, informer_keys_fn *keys);
void informer_each_in(const struct informer *informer, const char *index, struct str key,
                      bool (*visit)(void *ctx, struct object *object), void *ctx);
void informer_keys_controller(const struct object *object, void (*emit)(void *arg, struct str key),
                              void *arg); /* uid of the controller owner */
/* A write whose answer is put into the informer of its resource (if there is one) before `done`
 * runs. */
void informer_write(struct informers *informers, const struct client_request *request,
                    client_done_fn *done, void *ctx);
/* The same, sent through another client of the same loop (a controller's own identity). */
void informer_write_as(struct informers *informers, struct client *client,
                       const struct client_request *request, client_done_fn *done, void *ctx);
/* Visits every informer of the set (garbage collector, state dump). */
void informers_each(struct informers *informers,
                    void (*visit)(void *ctx, struct informer *informer), void *ctx);
const struct api_resource *informer_resource(const struct informer *informer);
/* Takes the handlers with this ctx away (a controller stops). */
void informer_unhandle(struct informer *informer, void *ctx);

/* fake_client.h: an API server made of one map, for tests of controllers and the scheduler on
 * virtual time.
 *
 * One struct fake_api holds the objects, counts revisions and feeds watches; any number of clients
 * speak to it. Requests arrive and answers and events travel with random delays of the loop's seed,
 * each road in order. What a real server does and controllers lean on is here: codec (strict),
 * static and computed defaults, generation, status apart from spec, resourceVersion conflicts,
 * preconditions, generateName, finalizers, propagation policies, graceful deletion of bound pods,
 * the finalize subresource of namespaces, the binding subresource of pods, and create refused in a
 * terminating namespace. Validation, admission and authorization are not.
 */
#pragma once
#include "client/client.h"

struct fake_api;
struct fake_api *fake_api_new(struct loop *loop);
void fake_api_free(struct fake_api *api); /* after its clients */
/* Round trips between `min` and `max` ns (default 0.2 to 3 ms), for requests, answers and events.
 */
void fake_api_delays(struct fake_api *api, int64_t min_ns, int64_t max_ns);
/* All requests under way end with ERR_CANCELED, without having been looked at. */
void fake_api_cancel(struct fake_api *api);
struct client *fake_client_new(struct fake_api *api, const char *name);

/* Called when a request arrives, before it is looked at: 0 lets it pass, else it fails with that
 * code. `writes_done` counts the successful writes of clients so far. */
typedef enum err_code fake_before_fn(void *ctx, const struct client_request *request,
                                     uint64_t writes_done);
/* Called after a successful write of a client, before its answer travels. False: the answer is lost
 * (the client hears ERR_TIMEOUT). */
typedef bool fake_after_fn(void *ctx, const struct client_request *request, struct object *object);
void fake_api_hooks(struct fake_api *api, fake_before_fn *before, fake_after_fn *after, void *ctx);
/* All watches of the resource (NULL: all) are cut for `ns`: what happens meanwhile is not shown as
 * events, then they sync anew (so events are dropped or merged). */
void fake_api_gap(struct fake_api *api, const struct api_resource *resource, int64_t ns);
uint64_t fake_api_writes(const struct fake_api *api); /* successful ones, of clients */
uint64_t fake_api_revision(const struct fake_api *api);

/* ---- the test's own hand: no delays, no hooks, not counted; failures fail the test (abort) ----
 */
struct object *fake_create(struct fake_api *api, const struct api_resource *resource,
                           const char *json); /* borrowed */
/* As above with printf's arguments; ' stands for ". */
struct object *fake_createf(struct fake_api *api, const struct api_resource *resource,
                            const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A merge patch; subresource "" or "status"; ' stands for ". Borrowed. */
struct object *fake_patchf(struct fake_api *api, const struct api_resource *resource,
                           const char *ns, const char *name, const char *subresource,
                           const char *format, ...) __attribute__((format(printf, 6, 7)));
struct object *fake_get(const struct fake_api *api, const struct api_resource *resource,
                        const char *ns, const char *name); /* borrowed, or NULL */
/* A delete with the given options (JSON, ' for ", or NULL). */
void fake_delete(struct fake_api *api, const struct api_resource *resource, const char *ns,
                 const char *name, const char *options);
size_t fake_count(const struct fake_api *api, const struct api_resource *resource);
/* Visits in order of namespace and name; the body may change anything. */
void fake_each(struct fake_api *api, const struct api_resource *resource,
               void (*visit)(void *ctx, struct object *object), void *ctx);
/* A decoded tape of an object, in an arena of the api that lives as long as the api. */
struct val *fake_val(struct fake_api *api, const struct object *object);

/* ---- a stand-in for scheduler and kubelets ---- */
/* From now on pods are bound to `node` (NULL: left unbound), get an address, become Running and
 * Ready after random delays up to `max_ns`, and vanish that long after a graceful delete. Pods
 * whose image is "broken" never become ready. */
void fake_kubelet_start(struct fake_api *api, const char *node, int64_t max_ns);

/* pass.h: reconciling keys: a queue, an identity to write with, and one pass over one key at a
 * time.
 *
 * A reconcile function looks at the informers, sends what writes are missing (they travel in
 * parallel) and returns. The pass ends when all of them are answered; their answers are in the
 * informers by then, so a following pass sees what this one did. A failed write fails the pass: the
 * key comes again after its back-off.
 */
#pragma once
#include "controllers/controller.h"

struct pass;
typedef void pass_fn(void *ctx, struct pass *pass);
/* How an answer is taken; without one, any failure but a missing object of a delete fails the pass.
 * With one, what it does not report by pass_fail() is taken as dealt with. */
typedef void pass_answer_fn(struct pass *pass, void *arg, const struct client_result *result);

struct worker {
    struct controller_env env;
    const char *name;
    struct queue *queue; /* keys are "namespace/name" or "name"; or the controller's own */
    void *ctx;
    pass_fn *reconcile;
    struct life *life; /* private: outlives the worker while answers are under way */
};
struct pass {
    struct worker *worker;
    struct arena *arena; /* dies with the pass */
    struct str key, ns, name;
    int64_t now; /* wall time at its start */
    /* private */
    void (*then)(struct pass *pass, void *arg);
    void *then_arg;
    int pending;
    bool failed, retry, again;
    struct held *held;
    struct pass_listing *listings;
    struct arena arena_;
    struct life *life;
};

/* The queue starts when all informers of the set are synced. `parallel` keys at a time. */
struct worker *worker_new(const struct controller_env *env, const char *name, int parallel,
                          pass_fn *reconcile, void *ctx);
void worker_free(struct worker *worker); /* answers still under way are then ignored */
void worker_add(struct worker *worker, const struct object *object);
void worker_add_name(struct worker *worker, struct str ns, struct str name);
void worker_add_name_after(struct worker *worker, struct str ns, struct str name, int64_t ns_delay);

void pass_write(struct pass *pass, const struct client_request *request, pass_answer_fn *answer,
                void *arg);
/* Goes on with fn when everything sent so far is answered (and nothing failed); may be called again
 * from there. */
void pass_then(struct pass *pass, void (*fn)(struct pass *pass, void *arg), void *arg);
/* A create that failed because its namespace is being deleted: nothing to complain about. */
bool pass_namespace_ends(const struct client_result *result);
void pass_fail(struct pass *pass);
/* The pass goes on, and the key comes again after its back-off all the same. */
void pass_retry(struct pass *pass);
/* Keeps the object alive until the pass ends (an informer may drop it while writes are under way).
 */
struct object *pass_hold(struct pass *pass, struct object *object);
void pass_again(struct pass *pass); /* the same key once more, at once */
void pass_after(struct pass *pass, int64_t delay_ns);
/* The pass looked inside `count` objects: above 50 the key rests for 0.1 ms an object, so that a
 * burst of events about a big set costs a share of a core, not all of it. */
void pass_cost(struct pass *pass, size_t count);

/* The newest state of a resource (ns n 0: everywhere), read from the server rather than from an
 * informer: for decisions that must not be older than an object that was just read. Filled when
 * pass_then goes on. */
struct pass_listing {
    struct object **objects; /* held until the pass ends; ordered by namespace and name */
    size_t count;
    uint64_t revision; /* nothing newer was seen by this list, nothing older is missing */
    /* private */
    struct pass_listing *next;
    struct pass *pass;
    struct client *client;
    struct client_watch *watch;
    size_t cap;
};
struct pass_listing *pass_list(struct pass *pass, const struct api_resource *resource,
                               struct str ns);

/* ---- common writes; `answer` may be NULL ---- */
void pass_create(struct pass *pass, const struct api_resource *resource, struct str ns,
                 struct val *body, pass_answer_fn *answer, void *arg);
/* `body` is the whole object as decoded and changed: its resourceVersion guards the write. */
void pass_update(struct pass *pass, const struct api_resource *resource, const char *subresource,
                 struct val *body, pass_answer_fn *answer, void *arg);
void pass_patch(struct pass *pass, const struct object *object, enum client_patch kind,
                const char *subresource, struct val *body, pass_answer_fn *answer, void *arg);
/* With the object's uid as precondition. `policy` "Background", "Foreground", "Orphan" or NULL. */
void pass_delete(struct pass *pass, const struct object *object, const char *policy,
                 int64_t grace_seconds /* -1: the object's own */, pass_answer_fn *answer,
                 void *arg);
/* {"metadata":{"uid":...}} to fill: the uid makes a patch of another incarnation fail. */
struct val *pass_patch_body(struct pass *pass, const struct object *object, struct val **ret_meta);

/* The resource, which must exist in the built-in tables (aborts: a mistake of the code). */
const struct api_resource *controller_resource(const char *group, const char *version,
                                               const char *plural);

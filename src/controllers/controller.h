/* controller.h: one file per controller, one row in controllers/table.c.
 *
 * A controller is a core without I/O: it reads informers, writes through informer_write, waits by
 * its queue's timers, takes the time from its loop. Level-triggered: a reconcile looks at the whole
 * state of one key, a missed event heals.
 */
#pragma once
#include "api/registry.h"
#include "client/informer.h"
#include "client/queue.h"

struct certificate;
struct key;

struct controllers_options {
    struct str ca_pem;            /* root CA publisher */
    const struct certificate *ca; /* signs certificates; NULL: none are signed. Both outlive us */
    const struct key *ca_key;
    const struct key *token_key; /* signs tokens kept in Secrets; NULL: none are made */
    int64_t node_grace_ns;       /* 50 s */
    int64_t node_period_ns;      /* 5 s */
    int terminated_pod_limit;    /* pod GC; 500 */
    /* a client for a controller's own identity, system:serviceaccount:kube-system:NAME (CIS 1.3.3)
     */
    struct client *(*client_for)(void *ctx, const char *controller);
    void *client_ctx;
    struct registry *registry; /* of custom kinds; NULL: the built-in ones only */
};
struct controller_env {
    struct loop *loop;
    struct informers *informers; /* shared: reads */
    struct client *client;       /* own identity: writes */
    const struct controllers_options *options;
};
struct controller {   /* row */
    const char *name; /* "deployment-controller" */
    void *(*start)(struct controller_env *env);
    void (*stop)(void *state);
};
extern const struct controller *const controllers_table[]; /* NULL ended */

struct controllers;
struct controllers *controllers_start(struct loop *loop, struct informers *informers,
                                      const struct controllers_options *options);
void controllers_stop(struct controllers *controllers);

/* http_int.h: the HTTP transport's parts: http.c (connection, requests), http_watch.c (list and
 * watch). */
#pragma once
#include "base/list.h"
#include "client/client.h"
#include "wire/http.h"

struct client_http {
    struct client client;
    char *address, *token;
    struct tls_context *tls;
    struct http_link *link; /* the connection that new requests take; NULL: none */
    struct list links;      /* it, and those that drain */
    struct timer redial;
    struct timer pulse; /* looks for connections that died silently */
    unsigned failures;  /* dials in a row */
    int64_t heard_ns;   /* mono: last bytes from the server */
    bool probing;
    struct list calls;   /* under way */
    struct list waiting; /* for the next dial */
    struct list watches;
};

/* "/api/v1/namespaces/NS/pods/NAME/status", without a query. */
void http_query(struct buf *out, const char *key,
                struct str value); /* as path_query; an empty value is left out */

struct http_call;
/* One exchange with headers of our own. on_data for each piece of a 2xx answer (NULL: it is
 * collected), on_end once. `body` is taken (heap) or NULL. The call is gone after on_end. */
struct http_call_ops {
    void (*on_data)(void *ctx, const char *bytes, size_t size);
    /* status 0: no answer, err says why. body: what was collected. */
    void (*on_end)(void *ctx, int status, struct str body, const struct err *err);
};
struct http_call *wire_call_start(struct client_http *http, const char *method, struct str path,
                                  const char *content_type, char *body, size_t body_size,
                                  int64_t timeout_ns /* 0: none */, const struct http_call_ops *ops,
                                  void *ctx);
void http_call_cancel(struct http_call *call); /* no callback afterwards */

/* An error of a Status body and the HTTP status. */
void http_status_error(int status, struct str body, struct err *err);

struct client_watch *http_watch_start(struct client *client,
                                      const struct client_watch_options *options,
                                      const struct client_watch_ops *ops, void *ctx);
void http_watch_stop(struct client *client, struct client_watch *watch);
void http_watch_free_all(struct client_http *http);

/* An object of the resource from a schemaless tape; NULL when it is something else or broken. */
struct object *http_object(struct arena *arena, const struct api_resource *resource,
                           struct val *value);

/* watch.h: what a watcher with selectors sees of an event; shared by HTTP and the client in
 * process. And the other way that events leave: over a WebSocket.
 */
#pragma once
#include "server/cache.h"
#include "server/request.h"

struct watch_filter {
    struct str ns;                       /* n 0: all */
    const struct selector *labels;       /* NULL: all */
    const struct field_selector *fields; /* NULL: all */
};

bool watch_matches(const struct watch_filter *filter, const struct object *object);
/* False: not to be seen. An object that comes into (leaves) the selection is ADDED (DELETED, in its
 * last state that was seen, with the revision of the event). *ret_object is a new reference. */
bool watch_translate(const struct watch_filter *filter, const struct cache_event *event,
                     enum event_type *ret_type, struct object **ret_object);

/* The request asks for a WebSocket. */
bool watch_socket_wanted(const struct request *request);
/* Accepts it and sends the body's events as messages; the body, and with it the request, ends with
 * the socket. Answers the request (400 when the handshake is none that can be accepted). */
void watch_socket_serve(struct request *request, struct http_body *body);

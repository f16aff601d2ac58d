/* watch.h: what a watcher with selectors sees of an event; shared by HTTP and the client in
 * process.
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

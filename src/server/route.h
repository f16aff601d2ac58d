/* route.h: from method, path and query to one typed tuple, once, strictly (security.md, "scope and
 * path"). Authorization, storage key and answer all use this tuple; nobody looks at the path again.
 *
 * Rules: the path is percent-decoded once, segment by segment. Empty segments, "." and "..", and
 * segments in which a '/', '%' or NUL appears after decoding are refused, as are namespaces that
 * are no DNS label. A namespaced URL for a cluster-scoped resource, or the other way round, has no
 * route. Only the tail of a proxy request is kept raw.
 */
#pragma once
#include "api/registry.h"
#include "base/err.h"

enum request_verb {
    VERB_NONE,
    VERB_GET,
    VERB_LIST,
    VERB_WATCH,
    VERB_CREATE,
    VERB_UPDATE,
    VERB_PATCH,
    VERB_DELETE,
    VERB_DELETE_COLLECTION,
    VERB_COUNT,
};
const char *verb_name(enum request_verb verb); /* "deletecollection" */

enum http_method {
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_PATCH,
    METHOD_DELETE,
    METHOD_OPTIONS,
    METHOD_UNKNOWN
};

struct route {
    enum http_method method;
    enum request_verb verb;
    /* an API object or collection */
    const struct api_resource *resource;       /* a reference; NULL: a non-resource path */
    struct str ns;                             /* n 0: all namespaces, or cluster-scoped */
    struct str name;                           /* n 0: the collection */
    const struct api_subresource *subresource; /* NULL: the object itself */
    struct str tail;                           /* proxy: what follows, raw, with its first '/' */
    /* anything else */
    struct str path; /* decoded, always there */
};

/* Kinds are those of the registry (NULL: the built-in ones). `query` tells a list from a watch
 * (watch=1). Texts live in the arena or in path. ERR_NOT_FOUND: nothing is served there;
 * ERR_BAD_REQUEST: the path itself is broken; ERR_METHOD. */
int route_parse(struct arena *arena, struct registry *registry, struct str method, struct str path,
                struct str query, struct route *ret_route, struct err *err);
struct str route_subresource(const struct route *route); /* name, or empty */

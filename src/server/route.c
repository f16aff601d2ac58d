/* route.c: the path grammar of the API.
 *
 *   /api/v1/[namespaces/NS/]RESOURCE[/NAME[/SUBRESOURCE[/TAIL]]]
 *   /apis/GROUP/VERSION/[namespaces/NS/]RESOURCE[/NAME[/SUBRESOURCE]]
 *   anything else: a non-resource path
 *
 * No state, no allocation outside the request's arena. Segments are bounded by SEGMENTS_MAX.
 */
#include "server/route.h"

#include "api/names.h"
#include "wire/http.h"

enum { SEGMENTS_MAX = 12, PATH_MAX_BYTES = 8 * 1024 };

static const char *const verb_names[VERB_COUNT] = {
    [VERB_NONE] = "",       [VERB_GET] = "get",       [VERB_LIST] = "list",
    [VERB_WATCH] = "watch", [VERB_CREATE] = "create", [VERB_UPDATE] = "update",
    [VERB_PATCH] = "patch", [VERB_DELETE] = "delete", [VERB_DELETE_COLLECTION] = "deletecollection",
};

const char *verb_name(enum request_verb verb)
{
    return verb_names[verb];
}

struct str route_subresource(const struct route *route)
{
    return route->subresource != NULL ? str_of(route->subresource->name) : STR_NONE;
}

static enum http_method method_parse(struct str method)
{
    static const struct {
        const char *name;
        enum http_method method;
    } table[] = {{"GET", METHOD_GET},        {"HEAD", METHOD_HEAD},   {"POST", METHOD_POST},
                 {"PUT", METHOD_PUT},        {"PATCH", METHOD_PATCH}, {"DELETE", METHOD_DELETE},
                 {"OPTIONS", METHOD_OPTIONS}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (str_is(method, table[i].name)) {
            return table[i].method;
        }
    }
    return METHOD_UNKNOWN;
}

struct segments {
    struct str items[SEGMENTS_MAX];
    const char *ends[SEGMENTS_MAX]; /* where each ends in the raw path */
    size_t count;
    bool more; /* there was a tail beyond the last */
};

static bool segment_good(struct str s)
{
    if (s.n == 0 || str_is(s, ".") || str_is(s, "..")) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '/' || c == '%' || c < 0x20 || c == 0x7f) {
            return false;
        }
    }
    return true;
}

/* Where a proxy's raw tail begins, segments may be anything: stop after the word "proxy" where it
 * is a subresource (an object may have that name). */
static bool is_proxy_word(const struct segments *segments)
{
    if (segments->count < 5 || !str_is(segments->items[segments->count - 1], "proxy")) {
        return false;
    }
    size_t kinds = str_is(segments->items[0], "api") ? 2 : 3;
    bool namespaced = str_is(segments->items[kinds], "namespaces");
    return segments->count == kinds + (namespaced ? 5 : 3);
}

static bool split(struct arena *arena, struct str path, struct segments *ret)
{
    struct str rest = str_from(path, 1);
    while (rest.p != NULL && rest.n > 0) {
        if (ret->count == SEGMENTS_MAX || is_proxy_word(ret)) {
            ret->more = true;
            return is_proxy_word(ret);
        }
        struct str raw = str_cut(rest, '/', &rest);
        struct str decoded;
        if (!url_decode(arena, raw, false, &decoded) || !segment_good(decoded)) {
            return false;
        }
        ret->ends[ret->count] = raw.p + raw.n;
        ret->items[ret->count++] = decoded;
        if (rest.p != NULL && rest.n == 0) {
            ret->more = true; /* ends in a slash */
        }
    }
    return true;
}

/* A boolean parameter is false when absent, "false" or "0", and true for everything else. */
static bool query_wants_watch(struct str query)
{
    struct str rest = query;
    while (rest.p != NULL) {
        struct str pair = str_cut(rest, '&', &rest);
        struct str value = STR_NONE;
        struct str key = str_cut(pair, '=', &value);
        if (str_is(key, "watch")) {
            return !str_is(value, "false") && !str_is(value, "0");
        }
    }
    return false;
}

static int verb_of(struct route *route, struct str query, struct err *err)
{
    bool one = route->name.n > 0;
    switch (route->method) {
    case METHOD_GET:
    case METHOD_HEAD:
        route->verb = one ? VERB_GET : query_wants_watch(query) ? VERB_WATCH : VERB_LIST;
        return 0;
    case METHOD_POST:
        route->verb = VERB_CREATE;
        return 0;
    case METHOD_PUT:
        route->verb = VERB_UPDATE;
        return 0;
    case METHOD_PATCH:
        route->verb = VERB_PATCH;
        return 0;
    case METHOD_DELETE:
        route->verb = one ? VERB_DELETE : VERB_DELETE_COLLECTION;
        return 0;
    default:
        return err_set(err, ERR_METHOD,
                       "the server does not allow this method on the requested "
                       "resource");
    }
}

/* Which enum api_verb bit a verb needs of a resource or subresource. */
static uint16_t verb_bit(enum request_verb verb)
{
    static const uint16_t bits[VERB_COUNT] = {
        [VERB_GET] = API_VERB_GET,       [VERB_LIST] = API_VERB_LIST,
        [VERB_WATCH] = API_VERB_WATCH,   [VERB_CREATE] = API_VERB_CREATE,
        [VERB_UPDATE] = API_VERB_UPDATE, [VERB_PATCH] = API_VERB_PATCH,
        [VERB_DELETE] = API_VERB_DELETE, [VERB_DELETE_COLLECTION] = API_VERB_DELETE_COLLECTION,
    };
    return bits[verb];
}

static int not_found(struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "the server could not find the requested resource");
}

static int check_verb(struct route *route, struct err *err)
{
    uint16_t verbs =
        route->subresource != NULL ? route->subresource->verbs : route->resource->verbs;
    bool proxied = route->subresource != NULL && str_is(str_of(route->subresource->name), "proxy");
    bool one = route->name.n > 0;
    bool collection_verb = route->verb == VERB_LIST || route->verb == VERB_WATCH;
    /* What a path is about must fit the method: no PUT of a collection, no POST to an object, and
     * across namespaces only reading. */
    bool fits = route->subresource != NULL ||
                (route->verb == VERB_CREATE ? !one
                 : route->verb == VERB_UPDATE || route->verb == VERB_PATCH
                     ? one
                     : !(route->resource->namespaced && route->ns.n == 0) || collection_verb);
    if (route->verb == VERB_CREATE && !one && route->resource->namespaced && route->ns.n == 0) {
        fits = false;
    }
    if (route->method == METHOD_HEAD && !proxied) {
        fits = false; /* upstream has no HEAD of objects */
    }
    if (one && route->subresource == NULL && route->resource->verbs == API_VERB_CREATE) {
        return not_found(err); /* reviews have no names */
    }
    if (fits && (proxied || (verbs & verb_bit(route->verb)) != 0)) {
        return 0;
    }
    /* A POST to an object, a PUT to a collection and the like: the path exists, the method does
     * not. */
    return err_set(err, ERR_METHOD,
                   "the server does not allow this method on the requested resource");
}

/* items: everything after group and version. */
static int parse_object(struct route *route, struct registry *registry, struct str group,
                        struct str version, const struct str *items, size_t count, struct err *err)
{
    size_t at = 0;
    /* /namespaces/NS/RESOURCE...; /namespaces/NAME[/status|/finalize] is the Namespace itself. */
    bool scoped = count >= 3 && str_is(items[0], "namespaces") &&
                  !(count == 3 && group.n == 0 &&
                    (str_is(items[2], "status") || str_is(items[2], "finalize")));
    if (scoped) {
        if (!name_is(NAME_LABEL, items[1])) {
            return not_found(err);
        }
        route->ns = items[1];
        at = 2;
    }
    const struct api_resource *resource = registry_resource(registry, group, version, items[at]);
    route->resource = resource;
    if (resource == NULL || !resource->served || (scoped && !resource->namespaced)) {
        return not_found(err);
    }
    if (count > at + 1) {
        route->name = items[at + 1];
    }
    if (route->name.n > 0 && resource->namespaced && route->ns.n == 0) {
        return not_found(err);
    }
    if (count > at + 2) {
        route->subresource = schema_subresource(resource, items[at + 2]);
        if (route->subresource == NULL || count > at + 3) {
            return not_found(err);
        }
    }
    return 0;
}

static bool is_api_root(const struct segments *s, size_t *ret_skip, struct str *ret_group,
                        struct str *ret_version)
{
    if (s->count >= 3 && str_is(s->items[0], "api")) {
        *ret_skip = 2;
        *ret_group = STR("");
        *ret_version = s->items[1];
        return true;
    }
    if (s->count >= 4 && str_is(s->items[0], "apis")) {
        *ret_skip = 3;
        *ret_group = s->items[1];
        *ret_version = s->items[2];
        return true;
    }
    return false;
}

static struct str joined(struct arena *arena, const struct segments *s)
{
    size_t size = 1;
    for (size_t i = 0; i < s->count; i++) {
        size += s->items[i].n + 1;
    }
    char *text = arena_alloc(arena, size + 1);
    size_t n = 0;
    for (size_t i = 0; i < s->count; i++) {
        text[n++] = '/';
        memcpy(text + n, s->items[i].p, s->items[i].n);
        n += s->items[i].n;
    }
    if (s->count == 0 || s->more) {
        text[n++] = '/';
    }
    return str_at(text, n);
}

static int finish(struct route *route, const struct segments *segments, struct str path,
                  struct str query, struct err *err)
{
    bool proxied = route->subresource != NULL && str_is(str_of(route->subresource->name), "proxy");
    if (proxied) {
        const char *end = segments->ends[segments->count - 1];
        route->tail = str_at(end, (size_t)(path.p + path.n - end));
    } else if (segments->more) {
        return not_found(err);
    }
    int code = verb_of(route, query, err);
    return code == 0 ? check_verb(route, err) : code;
}

int route_parse(struct arena *arena, struct registry *registry, struct str method, struct str path,
                struct str query, struct route *ret_route, struct err *err)
{
    struct route route = {.method = method_parse(method)};
    struct segments segments = {0};
    if (path.n == 0 || path.p[0] != '/' || path.n > PATH_MAX_BYTES ||
        !split(arena, path, &segments)) {
        return err_set(err, ERR_BAD_REQUEST, "the path of the request is malformed");
    }
    size_t skip = 0;
    struct str group, version;
    route.path = joined(arena, &segments);
    if (!is_api_root(&segments, &skip, &group, &version)) {
        *ret_route = route;
        return 0;
    }
    int code = parse_object(&route, registry, group, version, segments.items + skip,
                            segments.count - skip, err);
    code = code == 0 ? finish(&route, &segments, path, query, err) : code;
    if (code < 0) {
        schema_unref(route.resource);
        return code;
    }
    *ret_route = route;
    return 0;
}

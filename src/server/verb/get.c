/* get.c: one object from the cache. Whatever resourceVersion asks for, the cache is the newest
 * durable state, so only a version ahead of it cannot be served. */
#include "server/server_int.h"
#include "server/verb/verb.h"

void verb_get(struct request *request)
{
    const struct route *route = &request->route;
    struct cache *cache = request->server->cache;
    struct failure failure;
    uint64_t now = cache_revision(cache);
    if (request->options.version > now) {
        struct err err = ERR_INIT;
        err_set(&err, ERR_TOO_LARGE_REVISION, "Too large resource version: %llu, current: %llu",
                (unsigned long long)request->options.version, (unsigned long long)now);
        failure_from_err(&failure, &request->arena, &err);
        request_fail(request, &failure);
        return;
    }
    struct object *object = cache_get(cache, route->resource->storage, route->ns, route->name);
    if (object == NULL) {
        failure_not_found(&failure, &request->arena, route->resource, route->name);
        request_fail(request, &failure);
        return;
    }
    request_answer_object(request, 200, object);
}

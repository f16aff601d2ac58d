/* discovery.c: discovery and OpenAPI documents over HTTP.
 *
 * A document is made when first asked for, and kept with the stamp of what it was made from: the
 * definitions of custom kinds that it can mention (none for most groups). When the stamp is another
 * one, it is made anew; whoever is still sending the old bytes holds them by a reference.
 */
#include "api/discovery.h"

#include <stdlib.h>

#include "api/custom/custom.h"
#include "api/openapi.h"
#include "server/http/accept.h"
#include "server/info/etag.h"
#include "server/info/info.h"
#include "server/server_int.h"

struct documents {
    pthread_mutex_t mutex;
    struct map made;   /* key -> struct document */
    struct map hashes; /* "GROUP/VERSION" of built-in kinds alone -> hex text, heap */
};
struct document {
    struct shared shared;
    char *bytes;
    size_t size;
    uint64_t stamp;
    char hash[OPENAPI_HASH_SIZE];
};

static void document_drop(struct shared *shared)
{
    struct document *document = container_of(shared, struct document, shared);
    free(document->bytes);
    free(document);
}

struct documents *documents_new(void)
{
    struct documents *documents = mem_new(struct documents);
    pthread_mutex_init(&documents->mutex, NULL);
    return documents;
}

void documents_free(struct documents *documents)
{
    if (documents == NULL) {
        return;
    }
    MAP_EACH (it, &documents->made) {
        shared_unref(&((struct document *)it->value)->shared);
    }
    MAP_EACH (it, &documents->hashes) {
        free(it->value);
    }
    map_done(&documents->made);
    map_done(&documents->hashes);
    pthread_mutex_destroy(&documents->mutex);
    free(documents);
}

struct making { /* of one document */
    const struct request *request;
    const struct registry_view *view;
    struct api_catalog catalog;
};
typedef int make_fn(const struct making *making, struct buf *out, struct err *err);

/* Of the definitions in a group, or of all when there is none. */
static uint64_t stamp_of(const struct registry_view *view, struct str group)
{
    uint64_t stamp = 0;
    for (size_t i = 0; i < view->definition_count; i++) {
        const struct definition *it = view->definitions[i];
        if (group.p == NULL || str_is(group, it->storage->group)) {
            stamp += (it->digest | 1) * 0x9e3779b97f4a7c15ULL;
        }
    }
    return stamp;
}

/* The group that a path is about: /apis/GROUP..., /openapi/v3/apis/GROUP/VERSION; the core group;
 * STR_NONE: all of them. */
static struct str group_of(struct str path)
{
    struct str rest = str_starts(path, STR("/openapi/v3/")) ? str_from(path, 11) : path;
    if (str_starts(rest, STR("/api/")) && rest.n > 5) {
        return STR("");
    }
    if (str_starts(rest, STR("/apis/")) && rest.n > 6) {
        struct str ignored;
        return str_cut(str_from(rest, 6), '/', &ignored);
    }
    return STR_NONE;
}

/* The hash that the index has for a document below /openapi/v3/ (hash_of()), else of the content.
 */
static void name_document(const struct making *making, struct document *document)
{
    struct str path = making->request->route.path;
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct str named = str_at(document->bytes, document->size);
    if (document->stamp != 0 && str_starts(path, STR("/openapi/v3/apis/"))) {
        buf_printf(&text, "%.*s %llx", STR_ARG(str_from(path, 17)),
                   (unsigned long long)document->stamp);
        named = buf_view(&text);
    }
    openapi_hash(named, document->hash);
}

/* A reference; the mutex is held while a document is made, so that it is made once. */
static struct document *document_get(const struct making *making, struct str key, make_fn *make,
                                     struct err *err)
{
    struct documents *documents = making->request->server->documents;
    uint64_t stamp = stamp_of(making->view, group_of(making->request->route.path));
    pthread_mutex_lock(&documents->mutex);
    struct document *found = map_get(&documents->made, key);
    if (found == NULL || found->stamp != stamp) {
        struct buf out BUF_CLEANUP = BUF_INIT;
        struct document *old = found;
        if (make(making, &out, err) < 0) {
            pthread_mutex_unlock(&documents->mutex);
            return NULL;
        }
        found = mem_new(struct document);
        shared_init(&found->shared, document_drop);
        found->bytes = buf_take(&out, &found->size);
        found->stamp = stamp;
        name_document(making, found);
        map_set(&documents->made, key, found);
        shared_unref(old != NULL ? &old->shared : NULL);
    }
    atomic_fetch_add(&found->shared.refs, 1);
    pthread_mutex_unlock(&documents->mutex);
    return found;
}

enum { PLAIN, TAGGED }; /* whether a client may keep it and ask whether it is still the same */

static void serve(struct request *request, const char *variant, const char *content_type,
                  make_fn *make, int tagged)
{
    struct err err = ERR_INIT;
    struct failure failure;
    char *key = arena_printf(&request->arena, "%s%.*s", variant, STR_ARG(request->route.path));
    struct registry_view *view = registry_view(cache_registry(request->server->cache));
    struct making making = {request, view, view->catalog};
    struct document *document = document_get(&making, str_of(key), make, &err);
    registry_view_unref(view);
    if (document == NULL) {
        failure_set(&failure, &request->arena, ERR_NOT_FOUND,
                    "the server could not find the requested resource");
        request_fail(request, &failure);
        return;
    }
    char *hash = arena_printf(&request->arena, "%s", document->hash);
    if (tagged &&
        etag_answer(request, str_of(hash), str_starts(request->route.path, STR("/openapi/v3/")))) {
        shared_unref(&document->shared);
        return;
    }
    struct buf bytes = BUF_INIT;
    buf_str(&bytes, str_at(document->bytes, document->size));
    shared_unref(&document->shared);
    request_answer_bytes(request, 200, content_type, &bytes);
    buf_done(&bytes);
}

/* ---- discovery ---- */

static int make_root(const struct making *making, struct buf *out, struct err *err)
{
    size_t count = catalog_versions(making->catalog, NULL, 0);
    struct api_group_version *versions MEM_CLEANUP = mem_array(struct api_group_version, count + 1);
    catalog_versions(making->catalog, versions, count);
    buf_addz(out, "{\"paths\":[\"/api\",\"/api/v1\",\"/apis\"");
    for (size_t i = 0; i < count; i++) {
        if (versions[i].group[0] != '\0') {
            buf_printf(out, ",\"/apis/%s/%s\"", versions[i].group, versions[i].version);
        }
    }
    buf_addz(out, ",\"/healthz\",\"/livez\",\"/metrics\",\"/openapi/v2\",\"/openapi/v3\","
                  "\"/readyz\",\"/version\"]}");
    return 0;
}

static int make_aggregated(const struct making *making, struct buf *out, struct err *err)
{
    bool core = str_starts(making->request->route.path, STR("/api")) &&
                !str_starts(making->request->route.path, STR("/apis"));
    discovery_aggregated(making->catalog, core, out);
    return 0;
}

static int make_legacy(const struct making *making, struct buf *out, struct err *err)
{
    struct str rest = STR_NONE;
    const struct request *request = making->request;
    struct str path = request->route.path;
    if (path.p[path.n - 1] == '/') {
        path.n--;
    }
    if (str_is(path, "/api")) {
        struct str address = request->server->options.advertise_address;
        char text[80];
        struct buf at = {.p = text, .n = 0, .cap = sizeof text};
        buf_printf(&at, "%.*s:%u", (int)(address.n > 45 ? 45 : address.n), address.p,
                   request->server->options.advertise_port);
        discovery_core_versions(buf_view(&at), out);
        return 0;
    }
    if (str_is(path, "/apis")) {
        discovery_groups(making->catalog, out);
        return 0;
    }
    if (str_starts(path, STR("/api/"))) {
        return discovery_resources(making->catalog, STR(""), str_from(path, 5), out, err);
    }
    struct str group = str_cut(str_from(path, 6), '/', &rest);
    return rest.p == NULL ? discovery_group(making->catalog, group, out, err)
                          : discovery_resources(making->catalog, group, rest, out, err);
}

void info_discovery(struct request *request)
{
    struct str path = request->route.path;
    bool top = str_is(path, "/api") || str_is(path, "/apis") || str_is(path, "/api/") ||
               str_is(path, "/apis/");
    if (request->accept.bad && !str_is(path, "/")) {
        info_refuse(request, accept_types(request));
    } else if (str_is(path, "/")) {
        request->accept.format = FORMAT_JSON;
        serve(request, "", "application/json", make_root, PLAIN);
    } else if (top && str_is(request->accept.as, "APIGroupDiscoveryList") &&
               str_is(request->accept.v, "v2")) {
        request->cache_control = "public";
        serve(request, "aggregated",
              "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
              make_aggregated, TAGGED);
    } else {
        serve(request, "", "application/json", make_legacy, PLAIN);
    }
}

/* ---- OpenAPI ---- */

static int make_v2(const struct making *making, struct buf *out, struct err *err)
{
    openapi_v2(making->catalog, out);
    return 0;
}

static int make_v2_protobuf(const struct making *making, struct buf *out, struct err *err)
{
    openapi_v2_protobuf(making->catalog, out);
    return 0;
}

/* Documents of groups with custom kinds are named by what they are made from: to make them all for
 * an index would take long. */
static bool hash_of(void *ctx, const struct api_group_version *version,
                    char ret_hex[OPENAPI_HASH_SIZE])
{
    const struct making *making = ctx;
    struct map *hashes = &making->request->server->documents->hashes;
    uint64_t stamp = stamp_of(making->view, str_of(version->group));
    struct buf text BUF_CLEANUP = BUF_INIT;
    char *name MEM_CLEANUP = mem_printf("%s/%s", version->group, version->version);
    const char *known = stamp == 0 ? map_get(hashes, str_of(name)) : NULL;
    if (known != NULL) {
        memcpy(ret_hex, known, OPENAPI_HASH_SIZE);
        return true;
    }
    if (stamp == 0 && openapi_v3(making->catalog, str_of(version->group), str_of(version->version),
                                 &text, NULL) != 0) {
        return false;
    }
    if (stamp != 0) {
        buf_printf(&text, "%s %llx", name, (unsigned long long)stamp);
    }
    openapi_hash(buf_view(&text), ret_hex);
    if (stamp == 0) {
        map_set(hashes, str_of(name), mem_dupz(ret_hex));
    }
    return true;
}

static int make_v3_index(const struct making *making, struct buf *out, struct err *err)
{
    openapi_v3_index(making->catalog, hash_of, (void *)(uintptr_t)making, out);
    return 0;
}

static int make_v3(const struct making *making, struct buf *out, struct err *err)
{
    struct str rest = str_from(making->request->route.path, strlen("/openapi/v3/"));
    struct str version = STR_NONE;
    struct str root = str_cut(rest, '/', &version);
    if (str_is(root, "api")) {
        return openapi_v3(making->catalog, STR(""), version, out, err);
    }
    if (!str_is(root, "apis")) {
        return err_set(err, ERR_NOT_FOUND, "no such document");
    }
    struct str group = str_cut(version, '/', &version);
    return openapi_v3(making->catalog, group, version, out, err);
}

void info_openapi(struct request *request)
{
    struct str path = request->route.path;
    bool index = str_is(path, "/openapi/v3") || str_is(path, "/openapi/v3/");
    request->accept.format = FORMAT_JSON; /* they have no other form */
    if (!index && !request->accept.json && !request->accept.openapi_protobuf) {
        info_refuse(request, "application/json");
    } else if (str_is(path, "/openapi/v2") && request->accept.openapi_protobuf) {
        serve(request, "protobuf", "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
              make_v2_protobuf, TAGGED);
    } else if (str_is(path, "/openapi/v2")) {
        serve(request, "", "application/json", make_v2, TAGGED);
    } else if (index) {
        serve(request, "", "application/json", make_v3_index, PLAIN);
    } else {
        serve(request, "", "application/json", make_v3, TAGGED);
    }
}

/* discovery.c: discovery and OpenAPI documents over HTTP. Documents of the built-in kinds never
 * change: each is made once, when first asked for, and kept. */
#include "api/discovery.h"

#include <stdlib.h>

#include "api/openapi.h"
#include "server/http/accept.h"
#include "server/info/info.h"
#include "server/server_int.h"

struct documents {
    pthread_mutex_t mutex;
    struct map made; /* key -> struct document */
};
struct document {
    char *bytes;
    size_t size;
};

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
        struct document *document = it->value;
        free(document->bytes);
        free(document);
    }
    map_done(&documents->made);
    pthread_mutex_destroy(&documents->mutex);
    free(documents);
}

typedef int make_fn(const struct request *request, struct buf *out, struct err *err);

/* Documents live as long as the server, so the view stays good. */
static int document_get(struct request *request, struct str key, make_fn *make,
                        struct str *ret_text, struct err *err)
{
    struct documents *documents = request->server->documents;
    pthread_mutex_lock(&documents->mutex);
    struct document *found = map_get(&documents->made, key);
    if (found == NULL) {
        struct buf out BUF_CLEANUP = BUF_INIT;
        int code = make(request, &out, err);
        if (code < 0) {
            pthread_mutex_unlock(&documents->mutex);
            return code;
        }
        found = mem_new(struct document);
        found->bytes = buf_take(&out, &found->size);
        map_set(&documents->made, key, found);
    }
    pthread_mutex_unlock(&documents->mutex);
    *ret_text = str_at(found->bytes, found->size);
    return 0;
}

static void serve(struct request *request, const char *variant, const char *content_type,
                  make_fn *make)
{
    struct err err = ERR_INIT;
    struct failure failure;
    struct str text = STR_NONE;
    char *key = arena_printf(&request->arena, "%s%.*s", variant, STR_ARG(request->route.path));
    if (document_get(request, str_of(key), make, &text, &err) < 0) {
        failure_set(&failure, &request->arena, ERR_NOT_FOUND,
                    "the server could not find the requested resource");
        request_fail(request, &failure);
        return;
    }
    struct buf bytes = BUF_INIT;
    buf_str(&bytes, text);
    request_answer_bytes(request, 200, content_type, &bytes);
    buf_done(&bytes);
}

/* ---- discovery ---- */

static int make_root(const struct request *request, struct buf *out, struct err *err)
{
    struct api_group_version versions[128];
    size_t count = catalog_versions(catalog_builtin(), versions, 128);
    buf_addz(out, "{\"paths\":[\"/api\",\"/api/v1\",\"/apis\"");
    for (size_t i = 0; i < count && i < 128; i++) {
        if (versions[i].group[0] != '\0') {
            buf_printf(out, ",\"/apis/%s/%s\"", versions[i].group, versions[i].version);
        }
    }
    buf_addz(out, ",\"/healthz\",\"/livez\",\"/metrics\",\"/openapi/v2\",\"/openapi/v3\","
                  "\"/readyz\",\"/version\"]}");
    return 0;
}

static int make_aggregated(const struct request *request, struct buf *out, struct err *err)
{
    bool core = str_starts(request->route.path, STR("/api")) &&
                !str_starts(request->route.path, STR("/apis"));
    discovery_aggregated(catalog_builtin(), core, out);
    return 0;
}

static int make_legacy(const struct request *request, struct buf *out, struct err *err)
{
    struct str rest = STR_NONE;
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
        discovery_groups(catalog_builtin(), out);
        return 0;
    }
    if (str_starts(path, STR("/api/"))) {
        return discovery_resources(catalog_builtin(), STR(""), str_from(path, 5), out, err);
    }
    struct str group = str_cut(str_from(path, 6), '/', &rest);
    return rest.p == NULL ? discovery_group(catalog_builtin(), group, out, err)
                          : discovery_resources(catalog_builtin(), group, rest, out, err);
}

void info_discovery(struct request *request)
{
    struct str path = request->route.path;
    bool top = str_is(path, "/api") || str_is(path, "/apis") || str_is(path, "/api/") ||
               str_is(path, "/apis/");
    if (request->accept.bad && !str_is(path, "/")) {
        info_refuse(request, accept_types(request));
    } else if (str_is(path, "/")) {
        serve(request, "", "application/json", make_root);
    } else if (top && str_is(request->accept.as, "APIGroupDiscoveryList") &&
               str_is(request->accept.v, "v2")) {
        serve(request, "aggregated",
              "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
              make_aggregated);
    } else {
        serve(request, "", "application/json", make_legacy);
    }
}

/* ---- OpenAPI ---- */

static int make_v2(const struct request *request, struct buf *out, struct err *err)
{
    openapi_v2(catalog_builtin(), out);
    return 0;
}

static int make_v2_protobuf(const struct request *request, struct buf *out, struct err *err)
{
    openapi_v2_protobuf(catalog_builtin(), out);
    return 0;
}

static int make_v3_index(const struct request *request, struct buf *out, struct err *err)
{
    openapi_v3_index(catalog_builtin(), out);
    return 0;
}

static int make_v3(const struct request *request, struct buf *out, struct err *err)
{
    struct str rest = str_from(request->route.path, strlen("/openapi/v3/"));
    struct str version = STR_NONE;
    struct str root = str_cut(rest, '/', &version);
    if (str_is(root, "api")) {
        return openapi_v3(catalog_builtin(), STR(""), version, out, err);
    }
    if (!str_is(root, "apis")) {
        return err_set(err, ERR_NOT_FOUND, "no such document");
    }
    struct str group = str_cut(version, '/', &version);
    return openapi_v3(catalog_builtin(), group, version, out, err);
}

void info_openapi(struct request *request)
{
    struct str path = request->route.path;
    if (str_is(path, "/openapi/v2") && request->accept.openapi_protobuf) {
        serve(request, "protobuf", "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
              make_v2_protobuf);
    } else if (str_is(path, "/openapi/v2")) {
        serve(request, "", "application/json", make_v2);
    } else if (str_is(path, "/openapi/v3") || str_is(path, "/openapi/v3/")) {
        serve(request, "", "application/json", make_v3_index);
    } else {
        serve(request, "", "application/json", make_v3);
    }
}

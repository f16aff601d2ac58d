/* info.c: the table of non-resource paths, health, version, metrics and keys. */
#include "server/info/info.h"

#include <sys/utsname.h>

#include "base/metrics.h"
#include "pki/jwt.h"
#include "server/server_int.h"
#include "server/subresource/reverse.h"

struct info_path {
    const char *path; /* exact; ends in '/': a prefix */
    bool open;        /* without authentication */
    handler_fn *handler;
};

static const struct info_path table[] = {
    {"/livez", true, info_health},
    {"/livez/", true, info_health},
    {"/readyz", true, info_health},
    {"/readyz/", true, info_health},
    {"/healthz", true, info_health},
    {"/healthz/", true, info_health},
    {"/version", true, info_version},
    {"/metrics", false, info_metrics},
    {"/api", false, info_discovery},
    {"/api/", false, info_discovery},
    {"/apis", false, info_discovery},
    {"/apis/", false, info_discovery},
    {"/", false, info_discovery},
    {"/openapi/v2", false, info_openapi},
    {"/openapi/v3", false, info_openapi},
    {"/openapi/v3/", false, info_openapi},
    {"/.well-known/openid-configuration", false, info_token_keys},
    {"/openid/v1/jwks", false, info_token_keys},
    {"/cox/v1/reverse", false, reverse_accept},
};

static const struct info_path *find(struct str path)
{
    /* "/version/" is "/version": the Python client asks so. */
    struct str bare = path.n > 1 && path.p[path.n - 1] == '/' ? str_at(path.p, path.n - 1) : path;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct str p = str_of(table[i].path);
        bool prefix = p.n > 1 && p.p[p.n - 1] == '/';
        if (str_eq(p, path) || str_eq(p, bare) || (prefix && str_starts(path, p))) {
            return &table[i];
        }
    }
    return NULL;
}

const struct endpoint *info_endpoint_of(struct server *server, struct str path)
{
    VEC_EACH (it, &server->endpoints) {
        bool prefix = it->path.n > 0 && it->path.p[it->path.n - 1] == '/';
        if (str_eq(it->path, path) || (prefix && str_starts(path, it->path))) {
            return it;
        }
    }
    return NULL;
}

bool info_needs_nobody(const struct request *request)
{
    const struct info_path *found = find(request->route.path);
    if (found != NULL) {
        return found->open;
    }
    const struct endpoint *endpoint = info_endpoint_of(request->server, request->route.path);
    return endpoint != NULL && endpoint->anonymous;
}

handler_fn *info_handler(const struct request *request)
{
    const struct info_path *found = find(request->route.path);
    if (found != NULL) {
        bool reads = request->route.method == METHOD_GET || request->route.method == METHOD_HEAD;
        return reads ? found->handler : NULL;
    }
    return info_endpoint_of(request->server, request->route.path) != NULL ? info_endpoint : NULL;
}

static void answer_text(struct request *request, int status, struct buf *text)
{
    request_answer_bytes(request, status, "text/plain; charset=utf-8", text);
    buf_done(text);
}

/* The single checks that can be asked for: /readyz/ping. */
static bool is_check(struct str path)
{
    static const char *const names[] = {"",      "ping",    "log", "poststarthook/bootstrap",
                                        "store", "shutdown"};
    struct str name = STR_NONE;
    str_cut(str_from(path, 1), '/', &name);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (str_is(name, names[i])) {
            return true;
        }
    }
    return false;
}

/* /readyz says no until the first-start objects are there, while the disk takes no writes, and
 * again while draining. Details of a failure are for those who are known. */
void info_health(struct request *request)
{
    struct server *server = request->server;
    if (!is_check(request->route.path)) {
        struct failure failure;
        failure_set(&failure, &request->arena, ERR_NOT_FOUND, "no such health check");
        request_fail(request, &failure);
        return;
    }
    bool ready_asked = str_starts(request->route.path, STR("/readyz"));
    bool started = atomic_load(&server->ready);
    bool draining = atomic_load(&server->draining);
    struct err disk = ERR_INIT;
    bool writes = !ready_asked || sequencer_health(server->sequencer, &disk) == 0;
    bool good = !ready_asked || (started && !draining && writes);
    struct buf text = BUF_INIT;
    if (query_get(&request->options, "verbose").p != NULL || !good) {
        struct str name = str_from(request->route.path, 1);
        struct str check = str_cut(name, '/', &name);
        buf_addz(&text, "[+]ping ok\n[+]log ok\n");
        if (ready_asked) {
            buf_printf(&text, "[%c]poststarthook/bootstrap %s\n", started ? '+' : '-',
                       started ? "ok" : "failed: not finished");
            buf_printf(&text, "[%c]store %s%s\n", writes ? '+' : '-', writes ? "ok" : "failed: ",
                       !writes && request->identity->authenticated ? disk.message : "");
            buf_printf(&text, "[%c]shutdown %s\n", draining ? '-' : '+',
                       draining ? "failed: process is shutting down" : "ok");
        }
        buf_printf(&text, "%.*s check %s\n", STR_ARG(check), good ? "passed" : "failed");
    } else {
        buf_addz(&text, "ok");
    }
    answer_text(request, good ? 200 : 500, &text);
}

void info_refuse(struct request *request, const char *types)
{
    struct failure failure;
    failure_set(&failure, &request->arena, ERR_NOT_ACCEPTABLE,
                "only the following media types are accepted: %s", types);
    request_fail(request, &failure);
}

void info_version(struct request *request)
{
    if (!request->accept.json) {
        info_refuse(request, "application/json");
        return;
    }
    const struct server_options *o = &request->server->options;
    struct utsname machine;
    const char *arch = "unknown";
    if (uname(&machine) == 0) {
        arch = str_is(str_of(machine.machine), "x86_64")    ? "amd64"
               : str_is(str_of(machine.machine), "aarch64") ? "arm64"
                                                            : machine.machine;
    }
    struct buf text = BUF_INIT;
    buf_printf(&text,
               "{\n  \"major\": \"1\",\n  \"minor\": \"37\",\n  \"gitVersion\": \"v1.37.2+cox.%s\","
               "\n  \"gitCommit\": \"%s\",\n  \"gitTreeState\": \"clean\",\n  \"buildDate\": "
               "\"%s\",\n  \"goVersion\": \"none\",\n  \"compiler\": \"%s\",\n  \"platform\": "
               "\"linux/%s\"\n}",
               COX_VERSION, o->git_commit != NULL ? o->git_commit : "",
               o->build_date != NULL ? o->build_date : "1970-01-01T00:00:00Z", "gcc", arch);
    request_answer_bytes(request, 200, "application/json", &text);
    buf_done(&text);
}

void info_metrics(struct request *request)
{
    struct buf text = BUF_INIT;
    metrics_write(&text);
    request_answer_bytes(request, 200, "text/plain; version=0.0.4; charset=utf-8", &text);
    buf_done(&text);
}

void info_token_keys(struct request *request)
{
    const struct server_options *o = &request->server->options;
    struct buf text = BUF_INIT;
    struct failure failure;
    struct err err = ERR_INIT;
    if (str_is(request->route.path, "/openid/v1/jwks")) {
        if (jwt_write_keys(o->token_keys, o->token_key_count, &text, &err) < 0) {
            failure_from_err(&failure, &request->arena, &err);
            request_fail(request, &failure);
            return;
        }
        request_answer_bytes(request, 200, "application/jwk-set+json", &text);
    } else {
        buf_addz(&text, "{\"issuer\":");
        json_text(&text, o->issuer);
        buf_addz(&text, ",\"jwks_uri\":");
        char *uri = arena_printf(&request->arena, "%.*s/openid/v1/jwks", STR_ARG(o->issuer));
        json_text(&text, str_of(uri));
        buf_addz(&text, ",\"response_types_supported\":[\"id_token\"],\"subject_types_supported\":"
                        "[\"public\"],\"id_token_signing_alg_values_supported\":[\"ES256\"]}");
        request_answer_bytes(request, 200, "application/json", &text);
    }
    buf_done(&text);
}

/* ---- endpoints of other rooms ---- */

struct endpoint_request {
    struct endpoint_call call;
    struct request *request;
};

void info_endpoint(struct request *request)
{
    static const char *const methods[] = {"GET",   "HEAD",   "POST",    "PUT",
                                          "PATCH", "DELETE", "OPTIONS", ""};
    const struct endpoint *endpoint = info_endpoint_of(request->server, request->route.path);
    struct endpoint_request *er = arena_new(&request->arena, struct endpoint_request);
    struct buf query BUF_CLEANUP = BUF_INIT;
    for (size_t i = 0; i < request->options.pair_count; i++) {
        buf_addz(&query, i > 0 ? "&" : "");
        url_encode(&query, request->options.pairs[i].key);
        buf_char(&query, '=');
        url_encode(&query, request->options.pairs[i].value);
    }
    er->request = request;
    er->call = (struct endpoint_call){.method = str_of(methods[request->route.method]),
                                      .path = request->route.path,
                                      .query = str_copy_in(&request->arena, buf_view(&query)),
                                      .body = request->body,
                                      .identity = request->identity,
                                      .loop = request->loop,
                                      .arena = &request->arena};
    endpoint->fn(endpoint->ctx, &er->call);
}

void endpoint_answer(struct endpoint_call *call, int status, const char *content_type,
                     struct str body)
{
    struct endpoint_request *er = container_of(call, struct endpoint_request, call);
    struct buf bytes = BUF_INIT;
    buf_str(&bytes, body);
    request_answer_bytes(er->request, status, content_type, &bytes);
    buf_done(&bytes);
}

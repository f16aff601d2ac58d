/* connection.c: kubeconfig (v1 Config: data or files of CA, client certificate and key, or a
 * token), dialling, blocking requests. See connection.h. */
#include "cli/connection.h"

#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/tls.h"

struct connection {
    struct arena arena;
    struct loop *loop;
    struct tls_context *tls; /* for HTTP/2 */
    char *path;
    struct str address, host, token, ns;
    struct http_client *client;
    bool closed;
};

/* ---- kubeconfig ---- */

static char *config_path(const struct connection_options *options)
{
    const char *env = getenv("KUBECONFIG"), *home = getenv("HOME");
    if (options->kubeconfig != NULL) {
        return mem_dupz(options->kubeconfig);
    }
    if (env != NULL && env[0] != '\0') {
        struct str rest;
        return str_dup(str_cut(str_of(env), ':', &rest));
    }
    char *path = mem_printf("%s/.kube/config", home != NULL ? home : "/root");
    if (file_exists(path)) {
        return path;
    }
    free(path);
    return mem_dupz("/etc/cox/admin.kubeconfig");
}

/* Bytes of KEY-data (base64) or of the file KEY, which is relative to the kubeconfig's folder. */
static int config_bytes(struct connection *c, const struct val *from, const char *key,
                        struct str *ret_bytes, struct err *err)
{
    char *data_key MEM_CLEANUP = mem_printf("%s-data", key);
    const struct val *data = val_get_str(from, str_of(data_key)),
                     *file = val_get_str(from, str_of(key));
    struct buf bytes BUF_CLEANUP = BUF_INIT;
    if (!val_absent(data)) {
        if (!base64_decode(&bytes, val_text(data))) {
            return err_set(err, ERR_INVALID, "%s: %s is not base64", c->path, data_key);
        }
    } else if (!val_absent(file)) {
        struct str rest, folder = str_cut_last(str_of(c->path), '/', &rest);
        struct str name = val_text(file);
        bool absolute = str_starts(name, STR("/")) || rest.p == NULL;
        char *path MEM_CLEANUP =
            absolute ? str_dup(name) : mem_printf("%.*s/%.*s", STR_ARG(folder), STR_ARG(name));
        int rc = file_read(path, 1 << 20, &bytes, err);
        if (rc != 0) {
            return rc;
        }
    }
    *ret_bytes = bytes.n > 0 ? str_copy_in(&c->arena, buf_view(&bytes)) : STR_NONE;
    return 0;
}

static int config_server(struct connection *c, const struct val *cluster, struct err *err)
{
    struct str server = val_text(val_get(cluster, "server")), rest;
    if (!str_starts(server, STR("https://"))) {
        return err_set(err, ERR_INVALID, "%s: server \"%.*s\" must start with https://", c->path,
                       STR_ARG(server));
    }
    struct str authority = str_cut(str_from(server, 8), '/', &rest);
    bool port = authority.n > 0 && memrchr(authority.p, ':', authority.n) != NULL &&
                authority.p[authority.n - 1] != ']';
    c->address = port ? str_copy_in(&c->arena, authority)
                      : str_of(arena_printf(&c->arena, "%.*s:443", STR_ARG(authority)));
    c->host = c->address;
    return 0;
}

static const struct val *named(const struct val *list, struct str name, const char *member)
{
    return val_get_str(val_find(list, "name", name), str_of(member));
}

static int config_read(struct connection *c, const struct connection_options *options,
                       struct err *err)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct val *root = NULL;
    int rc = file_read(c->path, 1 << 20, &text, err);
    if (rc != 0) {
        err_wrap(err, "no cluster to talk to (is it running? `cox up` writes this file)");
        return rc;
    }
    rc = val_parse_yaml(&c->arena, str_copy_in(&c->arena, buf_view(&text)), &root, err);
    if (rc != 0) {
        err_wrap(err, "%s", c->path);
        return rc;
    }
    struct str name = options->context != NULL ? str_of(options->context)
                                               : val_text(val_get(root, "current-context"));
    const struct val *context = named(val_get(root, "contexts"), name, "context");
    const struct val *cluster =
        named(val_get(root, "clusters"), val_text(val_get(context, "cluster")), "cluster");
    const struct val *user =
        named(val_get(root, "users"), val_text(val_get(context, "user")), "user");
    if (cluster == NULL) {
        return err_set(err, ERR_INVALID, "%s: context \"%.*s\" names no cluster", c->path,
                       STR_ARG(name));
    }
    struct tls_options tls = {.alpn = STR("h2,http/1.1"),
                              .insecure =
                                  val_bool(val_get(cluster, "insecure-skip-tls-verify"), false)};
    rc = config_server(c, cluster, err);
    rc = rc != 0 ? rc : config_bytes(c, cluster, "certificate-authority", &tls.ca_pem, err);
    rc = rc != 0 ? rc : config_bytes(c, user, "client-certificate", &tls.certificate_pem, err);
    rc = rc != 0 ? rc : config_bytes(c, user, "client-key", &tls.key_pem, err);
    if (rc != 0) {
        return rc;
    }
    c->token = val_text(val_get(user, "token"));
    c->ns = val_text(val_get(context, "namespace"));
    c->tls = tls_client_new(&tls, err);
    return c->tls == NULL ? err->code : 0;
}

int connection_open(const struct connection_options *options, struct connection **ret_connection,
                    struct err *err)
{
    struct connection *c = mem_new(struct connection);
    c->path = config_path(options);
    int rc = config_read(c, options, err);
    if (rc != 0) {
        connection_close(c);
        return rc;
    }
    c->loop = loop_new();
    *ret_connection = c;
    return 0;
}

struct connection *connection_open_to(struct str address, struct tls_context *tls)
{
    struct connection *c = mem_new(struct connection);
    c->path = mem_dupz("");
    c->address = c->host = str_copy_in(&c->arena, address);
    c->tls = tls_ref(tls);
    c->loop = loop_new();
    return c;
}

void connection_close(struct connection *c)
{
    if (c == NULL) {
        return;
    }
    if (c->client != NULL) {
        http_client_free(c->client);
    }
    if (c->loop != NULL) {
        loop_free(c->loop);
    }
    tls_unref(c->tls);
    arena_done(&c->arena);
    free(c->path);
    free(c);
}

struct loop *connection_loop(struct connection *c)
{
    return c->loop;
}

struct str connection_namespace(const struct connection *c)
{
    return c->ns.n > 0 ? c->ns : STR("default");
}

const char *connection_kubeconfig(const struct connection *c)
{
    return c->path;
}

/* ---- requests ---- */

struct waiting { /* one request under way */
    struct connection *connection;
    struct http_exchange *exchange;
    struct timer timer;
    struct buf body;
    bool (*on_data)(void *ctx, struct str bytes);
    void *ctx;
    int status;
    bool done, stopped, timed_out;
    struct err err;
};

static void finish(struct waiting *w)
{
    w->done = true;
    timer_stop(&w->timer);
    loop_stop(w->connection->loop);
}

static void on_headers(void *ctx, struct http_exchange *exchange, int status,
                       const struct http_header *headers, size_t count)
{
    ((struct waiting *)ctx)->status = status;
}

static void on_data(void *ctx, struct http_exchange *exchange, const char *bytes, size_t size)
{
    struct waiting *w = ctx;
    if (w->on_data == NULL || w->status / 100 != 2) {
        buf_add(&w->body, bytes, size);
    } else if (!w->stopped && !w->on_data(w->ctx, str_at(bytes, size))) {
        w->stopped = true;
        finish(w);
    }
}

static void on_end(void *ctx, struct http_exchange *exchange, const struct err *err)
{
    struct waiting *w = ctx;
    w->exchange = NULL;
    w->err = *err;
    finish(w);
}

static const struct http_client_ops answer_ops = {
    .on_headers = on_headers, .on_data = on_data, .on_end = on_end};

static void on_timeout(struct timer *timer)
{
    struct waiting *w = container_of(timer, struct waiting, timer);
    w->timed_out = true;
    finish(w);
}

static void on_client_close(void *ctx, const struct err *err)
{
    ((struct connection *)ctx)->closed = true;
}

static struct http_client *dial(struct connection *c,
                                void (*on_close)(void *ctx, const struct err *err))
{
    static const struct stream_ops opening = {0}; /* the client puts its own in */
    struct dial_options options = {
        .address = c->address, .tls = c->tls, .alpn = STR("h2,http/1.1")};
    return http_client_new(stream_dial(c->loop, &options, &opening, NULL), 0, on_close, c);
}

static void client_open(struct connection *c)
{
    if (c->client != NULL && !c->closed) {
        return;
    }
    if (c->client != NULL) {
        http_client_free(c->client);
    }
    c->closed = false;
    c->client = dial(c, on_client_close);
}

static void on_other_close(void *ctx, const struct err *err)
{
}

struct http_client *connection_another(struct connection *c)
{
    return dial(c, on_other_close);
}

struct http_client *connection_client(struct connection *c)
{
    client_open(c);
    return c->client;
}

struct str connection_authority(const struct connection *c)
{
    return c->host;
}

struct str connection_token(const struct connection *c)
{
    return c->token;
}

/* A Status (or any other body) as an error. */
static int failure(int status, struct str body, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *parsed = NULL;
    if (val_parse_json(&arena, body, &parsed, NULL) == 0 &&
        val_text(val_get(parsed, "message")).n > 0) {
        char *reason MEM_CLEANUP = str_dup(val_text(val_get(parsed, "reason")));
        return err_set(err, err_from_reason(reason, status), "%.*s",
                       STR_ARG(val_text(val_get(parsed, "message"))));
    }
    return err_set(err, err_from_reason(NULL, status), "the server answered %d: %.*s", status,
                   STR_ARG(str_trim(body)));
}

static int send_and_wait(struct connection *c, const struct connection_request *request,
                         struct waiting *w, struct err *err)
{
    char *bearer MEM_CLEANUP = mem_printf("Bearer %.*s", STR_ARG(c->token));
    struct http_header headers[4];
    size_t n = 0;
    headers[n++] = (struct http_header){
        STR("accept"), str_of(request->accept != NULL ? request->accept : "application/json")};
    if (request->body.n > 0) {
        headers[n++] = (struct http_header){
            STR("content-type"),
            str_of(request->content_type != NULL ? request->content_type : "application/json")};
    }
    if (c->token.n > 0) {
        headers[n++] = (struct http_header){STR("authorization"), str_of(bearer)};
    }
    headers[n++] = (struct http_header){STR("user-agent"), STR("cox/" COX_VERSION)};
    struct http_client_request wire = {.method = str_of(request->method),
                                       .path = request->path,
                                       .authority = c->host,
                                       .headers = headers,
                                       .header_count = n,
                                       .body = request->body.n > 0 ? http_body_copy(request->body)
                                                                   : NULL};
    client_open(c);
    w->connection = c;
    w->exchange = http_send(c->client, &wire, &answer_ops, w);
    int64_t timeout = request->timeout_ns == 0 ? 60 * NS_PER_S : request->timeout_ns;
    if (timeout > 0) {
        timer_start(c->loop, &w->timer, timeout, on_timeout);
    }
    while (!w->done) {
        loop_run(c->loop);
    }
    if (w->exchange != NULL) {
        http_cancel(w->exchange);
    }
    if (w->timed_out) {
        return err_set(err, ERR_TIMEOUT, "no answer in time from %.*s", STR_ARG(c->address));
    }
    if (w->err.code != 0 && w->status == 0) {
        *err = w->err;
        err_wrap(err, "%.*s", STR_ARG(c->address));
        return err->code;
    }
    return w->status / 100 == 2 ? 0 : failure(w->status, buf_view(&w->body), err);
}

int connection_send(struct connection *c, const struct connection_request *request,
                    struct buf *ret_body, struct err *err)
{
    struct waiting w = {0};
    int rc = send_and_wait(c, request, &w, err);
    if (rc == 0 && w.err.code != 0) {
        *err = w.err;
        rc = err->code;
    }
    if (rc == 0) {
        buf_str(ret_body, buf_view(&w.body));
    }
    buf_done(&w.body);
    return rc;
}

int connection_send_json(struct connection *c, const struct connection_request *request,
                         struct arena *arena, struct val **ret_value, struct err *err)
{
    struct buf body BUF_CLEANUP = BUF_INIT;
    int rc = connection_send(c, request, &body, err);
    return rc != 0 ? rc
                   : val_parse_json(arena, str_copy_in(arena, buf_view(&body)), ret_value, err);
}

int connection_stream(struct connection *c, const struct connection_request *request,
                      bool (*on_bytes)(void *ctx, struct str bytes), void *ctx, struct err *err)
{
    struct waiting w = {.on_data = on_bytes, .ctx = ctx};
    int rc = send_and_wait(c, request, &w, err);
    buf_done(&w.body);
    return rc;
}

/* ---- WebSocket ---- */

struct upgrading {
    struct connection *connection;
    const struct websocket_ops *ops;
    void *ctx;
    struct websocket *socket;
    bool done;
    int status;
    struct err err;
};

static void on_upgraded(void *ctx, struct stream *stream, int status,
                        const struct http_header *headers, size_t count, const struct err *err)
{
    struct upgrading *u = ctx;
    u->done = true;
    u->status = status;
    if (stream != NULL) {
        u->socket = websocket_from_stream(stream, u->ops, u->ctx);
    } else {
        u->err = *err;
    }
    loop_stop(u->connection->loop);
}

int connection_websocket(struct connection *c, struct str path, const char *protocols,
                         const struct websocket_ops *ops, void *ctx, struct websocket **ret_socket,
                         struct err *err)
{
    static const struct stream_ops opening = {0};
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct http_header headers[6];
    size_t n = websocket_client_headers(&arena, str_of(protocols), headers);
    if (c->token.n > 0) {
        headers[n++] = (struct http_header){
            STR("authorization"), str_of(arena_printf(&arena, "Bearer %.*s", STR_ARG(c->token)))};
    }
    struct http_client_request request = {.method = STR("GET"),
                                          .path = path,
                                          .authority = c->host,
                                          .headers = headers,
                                          .header_count = n};
    struct dial_options dial = {.address = c->address, .tls = c->tls, .alpn = STR("http/1.1")};
    struct upgrading u = {.connection = c, .ops = ops, .ctx = ctx};
    http_client_upgrade(stream_dial(c->loop, &dial, &opening, NULL), &request, STR("websocket"),
                        on_upgraded, &u);
    while (!u.done) {
        loop_run(c->loop);
    }
    if (u.socket == NULL) {
        return err_set(err, u.err.code != 0 ? u.err.code : ERR_INTERNAL, "%s",
                       u.err.message[0] != '\0' ? u.err.message
                                                : "the server did not upgrade the connection");
    }
    *ret_socket = u.socket;
    return 0;
}

struct pause {
    struct timer timer;
    struct loop *loop;
    bool over;
};

static void on_pause_over(struct timer *timer)
{
    struct pause *pause = container_of(timer, struct pause, timer);
    pause->over = true;
    loop_stop(pause->loop);
}

void connection_pause(struct connection *c, int64_t ns)
{
    struct pause pause = {.loop = c->loop};
    timer_start(c->loop, &pause.timer, ns, on_pause_over);
    while (!pause.over) {
        loop_run(c->loop);
    }
}

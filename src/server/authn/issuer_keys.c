/* issuer_keys.c: fetching the keys of an issuer: its discovery document, then its key set.
 *
 * On the home loop, one request at a time for an issuer, bounded in time (10 s) and size (1 MiB),
 * to https URLs only and without following redirects. A failure keeps the keys that are there and
 * is tried again, later and later up to a minute.
 */
#include <stdlib.h>

#include "base/log.h"
#include "server/authn/issuers_int.h"
#include "server/server_int.h"

enum { TIMEOUT_S = 10, REFRESH_S = 3600, RETRY_MAX_S = 60, WANTED_S = 10 };

struct fetch {
    struct issuer *issuer;
    struct http_client *client;
    struct http_exchange *exchange;
    struct timer timer;
    struct task again; /* what comes next, out of the callbacks */
    struct buf body;
    char *url;
    bool keys; /* second step: the key set */
    int status;
    struct err err;
    bool ended;
};

static void begin(struct timer *timer);

/* ---- keys in use ---- */

struct key_list *issuer_keys(struct issuer *issuer)
{
    pthread_mutex_lock(&issuer->issuers->mutex);
    struct key_list *list = issuer->keys;
    if (list != NULL) {
        atomic_fetch_add(&list->refs, 1);
    }
    pthread_mutex_unlock(&issuer->issuers->mutex);
    return list;
}

void key_list_unref(struct key_list *list)
{
    if (list == NULL || atomic_fetch_sub(&list->refs, 1) != 1) {
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        jwk_unref(list->items[i]);
    }
    free(list);
}

static void publish(struct issuer *issuer, struct key_list *list)
{
    pthread_mutex_lock(&issuer->issuers->mutex);
    struct key_list *old = issuer->keys;
    issuer->keys = list;
    pthread_mutex_unlock(&issuer->issuers->mutex);
    key_list_unref(old);
}

static struct jwk_members members_of(const struct val *v)
{
    return (struct jwk_members){.kty = val_text(val_get(v, "kty")),
                                .kid = val_text(val_get(v, "kid")),
                                .alg = val_text(val_get(v, "alg")),
                                .use = val_text(val_get(v, "use")),
                                .n = val_text(val_get(v, "n")),
                                .e = val_text(val_get(v, "e")),
                                .crv = val_text(val_get(v, "crv")),
                                .x = val_text(val_get(v, "x")),
                                .y = val_text(val_get(v, "y"))};
}

/* Keys of other types and uses are left out; a set without any usable key is an error. */
static int take_keys(struct issuer *issuer, struct str json, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *root = NULL;
    if (val_parse_json(&arena, json, &root, err) < 0) {
        return err_wrap(err, "the key set");
    }
    struct key_list *list = mem_new(struct key_list);
    struct err why = ERR_INIT;
    atomic_init(&list->refs, 1);
    VAL_EACH (it, val_get(root, "keys")) {
        struct jwk_members members = members_of(it);
        if (list->count < ISSUER_KEYS_MAX &&
            jwk_new(&members, &list->items[list->count], &why) == 0) {
            list->count++;
        }
    }
    if (list->count == 0) {
        key_list_unref(list);
        return err_set(err, ERR_INVALID, "the key set has no key that signs tokens%s%s",
                       why.message[0] != '\0' ? ": " : "", why.message);
    }
    publish(issuer, list);
    return 0;
}

/* ---- one fetch ---- */

static void free_fetch(struct fetch *fetch)
{
    timer_stop(&fetch->timer);
    if (fetch->client != NULL) {
        http_client_free(fetch->client);
    }
    buf_done(&fetch->body);
    free(fetch->url);
    free(fetch);
}

static void plan_next(struct issuer *issuer, bool good)
{
    int64_t seconds = REFRESH_S;
    if (!good) {
        issuer->failures = issuer->failures < 6 ? issuer->failures + 1 : 6;
        seconds = 1LL << issuer->failures;
        seconds = seconds > RETRY_MAX_S ? RETRY_MAX_S : seconds;
    } else {
        issuer->failures = 0;
    }
    timer_start(issuer->issuers->server->home, &issuer->timer, seconds * NS_PER_S, begin);
}

static void start(struct issuer *issuer, const char *url, bool keys);

static int read_discovery(struct fetch *fetch, char **ret_url, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *root = NULL;
    if (val_parse_json(&arena, buf_view(&fetch->body), &root, err) < 0) {
        return err_wrap(err, "the discovery document");
    }
    struct str issuer = val_text(val_get(root, "issuer"));
    struct str uri = val_text(val_get(root, "jwks_uri"));
    if (!str_eq(issuer, fetch->issuer->url)) {
        return err_set(err, ERR_INVALID, "the discovery document is of issuer \"%.*s\"",
                       STR_ARG(issuer));
    }
    if (!str_starts(uri, STR("https://"))) {
        return err_set(err, ERR_INVALID, "jwks_uri \"%.*s\" is no https URL", STR_ARG(uri));
    }
    *ret_url = str_dup(uri);
    return 0;
}

static void finished(struct task *task)
{
    struct fetch *fetch = container_of(task, struct fetch, again);
    struct issuer *issuer = fetch->issuer;
    struct err err = fetch->err;
    char *next = NULL;
    if (err.code == 0 && fetch->status != 200) {
        err_set(&err, ERR_IO, "answered %d", fetch->status);
    }
    if (err.code == 0) {
        if (fetch->keys) {
            take_keys(issuer, buf_view(&fetch->body), &err);
        } else {
            read_discovery(fetch, &next, &err);
        }
    }
    if (err.code != 0) {
        LOG_WARN("server", "keys of an issuer", LOG_S("url", str_of(fetch->url)), LOG_ERR(&err));
    }
    issuer->fetch = NULL;
    free_fetch(fetch);
    if (next != NULL) {
        start(issuer, next, true);
        free(next);
    } else {
        plan_next(issuer, err.code == 0);
    }
}

static void end(struct fetch *fetch, const struct err *err)
{
    if (fetch->ended) {
        return;
    }
    fetch->ended = true;
    if (err != NULL && err->code != 0 && fetch->err.code == 0) {
        fetch->err = *err;
    }
    list_init(&fetch->again.link);
    fetch->again.run = finished;
    loop_defer(fetch->issuer->issuers->server->home, &fetch->again);
}

static void on_headers(void *ctx, struct http_exchange *exchange, int status,
                       const struct http_header *headers, size_t count)
{
    ((struct fetch *)ctx)->status = status;
}

static void on_data(void *ctx, struct http_exchange *exchange, const char *bytes, size_t size)
{
    struct fetch *fetch = ctx;
    if (fetch->body.n + size > ISSUER_BODY_MAX) {
        struct err err = ERR_INIT;
        err_set(&err, ERR_TOO_LARGE, "the answer is larger than %d bytes", ISSUER_BODY_MAX);
        end(fetch, &err);
        return;
    }
    buf_add(&fetch->body, bytes, size);
}

static void on_end(void *ctx, struct http_exchange *exchange, const struct err *err)
{
    struct fetch *fetch = ctx;
    fetch->exchange = NULL;
    end(fetch, err);
}

static void on_close(void *ctx, const struct err *err)
{
    struct err closed = ERR_INIT;
    err_set(&closed, ERR_CLOSED, "%s", err != NULL && err->code != 0 ? err->message : "closed");
    end(ctx, &closed);
}

static void on_timeout(struct timer *timer)
{
    struct err err = ERR_INIT;
    err_set(&err, ERR_TIMEOUT, "no answer within %d s", TIMEOUT_S);
    end(container_of(timer, struct fetch, timer), &err);
}

static void ignore_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
}
static void ignore_close(void *ctx, struct stream *stream, const struct err *err)
{
}
static const struct stream_ops opening = {.on_read = ignore_read, .on_close = ignore_close};
static const struct http_client_ops ops = {
    .on_headers = on_headers, .on_data = on_data, .on_end = on_end};

static void start(struct issuer *issuer, const char *url, bool keys)
{
    struct fetch *fetch = mem_new(struct fetch);
    struct loop *home = issuer->issuers->server->home;
    struct str path = STR_NONE;
    struct str host = str_cut(str_from(str_of(url), 8), '/', &path);
    fetch->issuer = issuer;
    fetch->url = mem_dupz(url);
    fetch->keys = keys;
    issuer->fetch = fetch;
    issuer->fetched_mono_ns = loop_mono(home);
    bool has_port = memchr(host.p, ':', host.n) != NULL && host.p[host.n - 1] != ']';
    char *address MEM_CLEANUP = mem_printf("%.*s%s", STR_ARG(host), has_port ? "" : ":443");
    char *target MEM_CLEANUP = mem_printf("/%.*s", STR_ARG(path));
    struct dial_options dial = {.address = str_of(address),
                                .tls = issuer->tls,
                                .alpn = STR("http/1.1"),
                                .timeout_ns = TIMEOUT_S * NS_PER_S};
    fetch->client = http_client_new(stream_dial(home, &dial, &opening, NULL), 1, on_close, fetch);
    struct http_header headers[] = {{STR("accept"), STR("application/json")}};
    struct http_client_request request = {.method = STR("GET"),
                                          .path = str_of(target),
                                          .authority = host,
                                          .headers = headers,
                                          .header_count = 1};
    timer_start(home, &fetch->timer, TIMEOUT_S * NS_PER_S, on_timeout);
    fetch->exchange = http_send(fetch->client, &request, &ops, fetch);
}

static void begin(struct timer *timer)
{
    struct issuer *issuer = container_of(timer, struct issuer, timer);
    static const char suffix[] = "/.well-known/openid-configuration";
    if (issuer->fetch != NULL) {
        return;
    }
    struct str url = issuer->url;
    while (url.n > 0 && url.p[url.n - 1] == '/') {
        url.n--;
    }
    char *discovery MEM_CLEANUP = issuer->discovery_url.n > 0
                                      ? str_dup(issuer->discovery_url)
                                      : mem_printf("%.*s%s", STR_ARG(url), suffix);
    start(issuer, discovery, false);
}

/* ---- when ---- */

static void on_wanted(struct task *task)
{
    struct issuer *issuer = container_of(task, struct issuer, want);
    struct loop *home = issuer->issuers->server->home;
    atomic_store(&issuer->wanted, false);
    if (issuer->fetch == NULL && loop_mono(home) - issuer->fetched_mono_ns >= WANTED_S * NS_PER_S) {
        timer_start(home, &issuer->timer, 0, begin);
    }
}

void issuer_keys_want(struct issuer *issuer)
{
    if (!atomic_exchange(&issuer->wanted, true)) {
        list_init(&issuer->want.link);
        issuer->want.run = on_wanted;
        loop_post(issuer->issuers->server->home, &issuer->want);
    }
}

void issuer_keys_start(struct issuer *issuer)
{
    timer_start(issuer->issuers->server->home, &issuer->timer, 0, begin);
}

void issuer_keys_stop(struct issuer *issuer)
{
    timer_stop(&issuer->timer);
    if (issuer->fetch != NULL) {
        free_fetch(issuer->fetch);
        issuer->fetch = NULL;
    }
    key_list_unref(issuer->keys);
    issuer->keys = NULL;
    tls_unref(issuer->tls);
}

/* registry.c: requests to a registry with libcurl: redirects (never from https to http, credentials
 * only to the first host), basic and bearer-token authentication (RFC 6750; distribution's token
 * endpoint), limits on every answer, blobs that resume with Range.
 */
#include "node/image/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "pki/digest.h"

enum { DOCUMENT_MAX = 8 * 1024 * 1024, BLOB_TRIES = 6, CHUNK = 128 * 1024 };

static const char ACCEPT[] = "Accept: application/vnd.oci.image.index.v1+json, "
                             "application/vnd.oci.image.manifest.v1+json, "
                             "application/vnd.docker.distribution.manifest.list.v2+json, "
                             "application/vnd.docker.distribution.manifest.v2+json";

struct sink {
    struct buf *text; /* a document, or: */
    int fd;
    void (*progress)(void *ctx, uint64_t bytes);
    void *ctx;
    struct registry *registry;
    bool checked, failed; /* of a blob: the status was looked at */
};
struct answer {
    long status;
    struct str challenge; /* WWW-Authenticate */
};

static size_t on_body(char *bytes, size_t one, size_t count, void *ctx)
{
    struct sink *sink = ctx;
    size_t size = one * count;
    if (sink->text != NULL) {
        if (sink->text->n + size > DOCUMENT_MAX) {
            return 0;
        }
        buf_add(sink->text, bytes, size);
        return size;
    }
    if (!sink->checked) {
        long status = 0;
        sink->registry->lib.easy_getinfo(sink->registry->curl, CURLINFO_RESPONSE_CODE, &status);
        sink->checked = true;
        sink->failed = status != 200 && status != 206;
        if (status == 200 && ftruncate(sink->fd, 0) == 0) {
            lseek(sink->fd, 0, SEEK_SET); /* the server does not resume */
        }
    }
    if (sink->failed) {
        return size;
    }
    if (write(sink->fd, bytes, size) != (ssize_t)size) {
        return 0;
    }
    sink->progress(sink->ctx, size);
    return size;
}

static size_t on_header(char *bytes, size_t one, size_t count, void *ctx)
{
    struct answer *answer = ctx;
    size_t size = one * count, n = strlen("www-authenticate:");
    if (size > n && strncasecmp(bytes, "www-authenticate:", n) == 0 && answer->challenge.n == 0) {
        answer->challenge = str_of(str_dup(str_trim(str_at(bytes + n, size - n))));
    }
    return size;
}

static bool loopback_like(struct str host)
{
    struct str name = str_cut(host, ':', &(struct str){0});
    return str_starts(host, STR("127.")) || str_is(name, "localhost") ||
           str_starts(host, STR("[::1]")) || str_ends(name, STR(".local")) ||
           str_ends(name, STR(".test"));
}

static struct str find_mirror(struct str mirrors, struct str host)
{
    while (mirrors.p != NULL) {
        struct str url, item = str_cut(mirrors, ',', &mirrors);
        if (str_eq(str_trim(str_cut(item, '=', &url)), host)) {
            return str_trim(url);
        }
    }
    return STR_NONE;
}

int registry_open(struct registry *r, struct str canonical, struct str mirrors,
                  bool insecure_loopback, struct err *err)
{
    int rc = curl_lib_load(&r->lib, err);
    if (rc != 0) {
        return rc;
    }
    r->lib.global_init(CURL_GLOBAL_DEFAULT);
    r->curl = r->lib.easy_init();
    struct str rest, host = str_cut(canonical, '/', &rest);
    struct str mirror = find_mirror(mirrors, host);
    struct str name = str_cut(rest, '@', &(struct str){0});
    struct str tag;
    r->host = host;
    r->repository = str_cut_last(name, ':', &tag);
    const char *scheme = insecure_loopback && loopback_like(host) ? "http" : "https";
    r->base = mirror.n > 0
                  ? mirror
                  : str_of(arena_printf(
                        &r->arena, "%s://%.*s", scheme,
                        STR_ARG(str_is(host, "docker.io") ? STR("registry-1.docker.io") : host)));
    return r->curl != NULL ? 0 : err_set(err, ERR_INTERNAL, "libcurl does not start");
}

static int perform(struct registry *r, const char *url, const char *accept,
                   struct str user_password, struct str authorization, int64_t offset,
                   struct sink *sink, struct answer *answer, struct err *err)
{
    struct curl_lib *c = &r->lib;
    struct curl_slist *headers = NULL;
    char range[64];
    c->easy_reset(r->curl);
    c->easy_setopt(r->curl, CURLOPT_URL, url);
    c->easy_setopt(r->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    c->easy_setopt(r->curl, CURLOPT_FOLLOWLOCATION, 1L);
    c->easy_setopt(r->curl, CURLOPT_MAXREDIRS, 5L);
    c->easy_setopt(r->curl, CURLOPT_REDIR_PROTOCOLS_STR,
                   strncmp(url, "https", 5) == 0 ? "https" : "http,https");
    c->easy_setopt(r->curl, CURLOPT_CONNECTTIMEOUT, 15L);
    c->easy_setopt(r->curl, CURLOPT_LOW_SPEED_LIMIT, 1024L);
    c->easy_setopt(r->curl, CURLOPT_LOW_SPEED_TIME, 30L);
    c->easy_setopt(r->curl, CURLOPT_NOSIGNAL, 1L);
    c->easy_setopt(r->curl, CURLOPT_USERAGENT, "cox/" COX_VERSION);
    c->easy_setopt(r->curl, CURLOPT_WRITEFUNCTION, on_body);
    c->easy_setopt(r->curl, CURLOPT_WRITEDATA, sink);
    c->easy_setopt(r->curl, CURLOPT_HEADERFUNCTION, on_header);
    c->easy_setopt(r->curl, CURLOPT_HEADERDATA, answer);
    if (accept != NULL) {
        headers = c->slist_append(headers, accept);
    }
    if (authorization.n > 0) {
        headers = c->slist_append(
            headers, arena_printf(&r->arena, "Authorization: %.*s", STR_ARG(authorization)));
    }
    if (user_password.n > 0) {
        c->easy_setopt(r->curl, CURLOPT_USERPWD, str_dup_in(&r->arena, user_password));
    }
    if (offset > 0) {
        snprintf(range, sizeof range, "%lld-", (long long)offset);
        c->easy_setopt(r->curl, CURLOPT_RANGE, range);
    }
    c->easy_setopt(r->curl, CURLOPT_HTTPHEADER, headers);
    CURLcode code = c->easy_perform(r->curl);
    c->easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &answer->status);
    c->slist_free_all(headers);
    if (code != CURLE_OK) {
        return err_set(err, ERR_UNAVAILABLE, "%.200s: %s", url, c->easy_strerror(code));
    }
    return 0;
}

/* ---- credentials ---- */

/* "user:password" for the host, from a dockerconfigjson's auths. */
static struct str credentials(struct registry *r)
{
    VAL_EACH (it, r->auths) {
        struct str key = it->key;
        struct str rest = str_starts(key, STR("https://"))  ? str_from(key, 8)
                          : str_starts(key, STR("http://")) ? str_from(key, 7)
                                                            : key;
        struct str host = str_cut(rest, '/', &(struct str){0});
        bool docker = str_is(r->host, "docker.io") &&
                      (str_is(host, "index.docker.io") || str_is(host, "registry-1.docker.io"));
        if (!str_eq(host, r->host) && !docker) {
            continue;
        }
        struct str user = val_text(val_get(it, "username"));
        struct buf decoded BUF_CLEANUP = BUF_INIT;
        if (user.n > 0) {
            return str_of(arena_printf(&r->arena, "%.*s:%.*s", STR_ARG(user),
                                       STR_ARG(val_text(val_get(it, "password")))));
        }
        if (base64_decode(&decoded, val_text(val_get(it, "auth")))) {
            return str_copy_in(&r->arena, buf_view(&decoded));
        }
    }
    return STR_NONE;
}

/* key="value" of a challenge. */
static struct str parameter(struct str challenge, const char *key)
{
    char pattern[32];
    int n = snprintf(pattern, sizeof pattern, "%s=\"", key);
    for (size_t i = 0; i + (size_t)n <= challenge.n; i++) {
        if (memcmp(challenge.p + i, pattern, (size_t)n) == 0) {
            return str_cut(str_from(challenge, i + (size_t)n), '"', &(struct str){0});
        }
    }
    return STR_NONE;
}

static void encode(struct buf *out, struct str text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            c == '-' || c == '_' || c == '.' || c == '~') {
            buf_char(out, (char)c);
        } else {
            buf_char(out, '%');
            buf_char(out, hex[c >> 4]);
            buf_char(out, hex[c & 15]);
        }
    }
}

static int fetch_token(struct registry *r, struct str challenge, struct err *err)
{
    struct str realm = parameter(challenge, "realm"), service = parameter(challenge, "service");
    struct buf url BUF_CLEANUP = BUF_INIT, text BUF_CLEANUP = BUF_INIT;
    struct answer answer = {0};
    struct sink sink = {.text = &text, .registry = r};
    struct val *document;
    if (!str_starts(realm, STR("http"))) {
        return err_set(err, ERR_UNAUTHORIZED, "the registry asks for unknown credentials");
    }
    buf_str(&url, realm);
    buf_addz(&url, str_contains(realm, STR("?")) ? "&scope=" : "?scope=");
    struct str scope =
        str_of(arena_printf(&r->arena, "repository:%.*s:pull", STR_ARG(r->repository)));
    encode(&url, scope);
    if (service.n > 0) {
        buf_addz(&url, "&service=");
        encode(&url, service);
    }
    int rc = perform(r, url.p, NULL, credentials(r), STR_NONE, 0, &sink, &answer, err);
    if (rc != 0) {
        return rc;
    }
    if (answer.status != 200 ||
        val_parse_json(&r->arena, str_copy_in(&r->arena, buf_view(&text)), &document, NULL) != 0) {
        return err_set(err, ERR_UNAUTHORIZED,
                       "pull access denied for %.*s, repository does not exist or may require "
                       "authorization",
                       STR_ARG(r->repository));
    }
    struct str token = val_text(val_get(document, "token"));
    if (token.n == 0) {
        token = val_text(val_get(document, "access_token"));
    }
    r->authorization = str_of(arena_printf(&r->arena, "Bearer %.*s", STR_ARG(token)));
    return 0;
}

static int authenticate(struct registry *r, struct str challenge, struct err *err)
{
    if (challenge.n > 6 && strncasecmp(challenge.p, "bearer", 6) == 0) {
        return fetch_token(r, challenge, err);
    }
    struct str user_password = credentials(r);
    if (user_password.n == 0) {
        return err_set(err, ERR_UNAUTHORIZED, "%.*s asks for credentials: no pull secret has them",
                       STR_ARG(r->host));
    }
    struct buf out BUF_CLEANUP = BUF_INIT;
    base64_encode(&out, user_password.p, user_password.n);
    r->authorization = str_of(arena_printf(&r->arena, "Basic %.*s", STR_ARG(buf_view(&out))));
    return 0;
}

static int get(struct registry *r, const char *url, const char *accept, int64_t offset,
               struct sink *sink, long *ret_status, struct err *err)
{
    for (int attempt = 0;; attempt++) {
        struct answer answer = {0};
        sink->checked = sink->failed = false;
        int rc = perform(r, url, accept, STR_NONE, r->authorization, offset, sink, &answer, err);
        struct str challenge = str_copy_in(&r->arena, answer.challenge);
        free((char *)(uintptr_t)answer.challenge.p);
        if (rc == 0 && answer.status == 401 && attempt == 0) {
            if (sink->text != NULL) {
                buf_clear(sink->text);
            }
            r->authorization = STR_NONE;
            rc = authenticate(r, challenge, err);
            if (rc == 0) {
                continue;
            }
        }
        *ret_status = answer.status;
        return rc;
    }
}

static int judge(struct registry *r, long status, struct str what, struct err *err)
{
    if (status == 200 || status == 206) {
        return 0;
    }
    if (status == 404) {
        return err_set(err, ERR_NOT_FOUND, "%.*s/%.*s:%.*s: not found", STR_ARG(r->host),
                       STR_ARG(r->repository), STR_ARG(what));
    }
    if (status == 401 || status == 403) {
        return err_set(err, ERR_UNAUTHORIZED,
                       "pull access denied for %.*s, repository does not exist or may require "
                       "authorization",
                       STR_ARG(r->repository));
    }
    return err_set(err, ERR_UNAVAILABLE, "%.*s answered %ld", STR_ARG(r->host), status);
}

int registry_manifest(struct registry *r, struct str reference, struct buf *ret_text,
                      struct err *err)
{
    char *url = arena_printf(&r->arena, "%.*s/v2/%.*s/manifests/%.*s", STR_ARG(r->base),
                             STR_ARG(r->repository), STR_ARG(reference));
    struct sink sink = {.text = ret_text, .registry = r};
    long status = 0;
    int rc = get(r, url, ACCEPT, 0, &sink, &status, err);
    if (rc != 0 || (rc = judge(r, status, reference, err)) != 0) {
        return rc;
    }
    if (str_starts(reference, STR("sha256:"))) {
        char hex[DIGEST_HEX_SIZE];
        digest_sha256_hex(buf_view(ret_text), hex);
        if (!str_is(str_from(reference, 7), hex)) {
            return err_set(err, ERR_INVALID, "a manifest does not match its digest %.*s",
                           STR_ARG(reference));
        }
    }
    return 0;
}

static bool file_matches(int fd, struct str digest)
{
    static char chunk[CHUNK];
    unsigned char bytes[EVP_MAX_MD_SIZE];
    char hex[65];
    ssize_t n;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
    lseek(fd, 0, SEEK_SET);
    while ((n = read(fd, chunk, sizeof chunk)) > 0) {
        EVP_DigestUpdate(ctx, chunk, (size_t)n);
    }
    EVP_DigestFinal_ex(ctx, bytes, NULL);
    EVP_MD_CTX_free(ctx);
    hex_encode(bytes, 32, hex);
    return n == 0 && str_is(str_from(digest, 7), hex);
}

int registry_blob(struct registry *r, struct str digest, int64_t size, const char *path,
                  void (*progress)(void *ctx, uint64_t bytes), void *ctx, struct err *err)
{
    char *url = arena_printf(&r->arena, "%.*s/v2/%.*s/blobs/%.*s", STR_ARG(r->base),
                             STR_ARG(r->repository), STR_ARG(digest));
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_os(err, errno, "create %s", path);
    }
    int rc = ERR_UNAVAILABLE;
    for (int attempt = 0; attempt < BLOB_TRIES; attempt++) {
        off_t have = lseek(fd, 0, SEEK_END);
        if (have >= size && file_matches(fd, digest)) {
            rc = 0;
            break;
        }
        if (have >= size && (ftruncate(fd, 0) != 0 || (have = lseek(fd, 0, SEEK_SET)) != 0)) {
            rc = err_os(err, errno, "truncate %s", path);
            break;
        }
        struct sink sink = {.fd = fd, .progress = progress, .ctx = ctx, .registry = r};
        long status = 0;
        rc = get(r, url, NULL, have, &sink, &status, err);
        if (rc == 0 && (rc = judge(r, status, digest, err)) == 0) {
            if (file_matches(fd, digest)) {
                break;
            }
            rc = err_set(err, ERR_INVALID, "a layer does not match its digest %.*s",
                         STR_ARG(digest));
            (void)!ftruncate(fd, 0);
        }
        if (rc == ERR_NOT_FOUND || rc == ERR_UNAUTHORIZED) {
            break;
        }
        sleep(attempt < 3 ? 1 : 2);
    }
    close(fd);
    return rc;
}

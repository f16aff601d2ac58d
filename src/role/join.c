/* join.c: the agent's side of joining. See join.h. */
#include "role/join.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/connection.h"
#include "io/file.h"
#include "io/tls.h"
#include "network/namespace.h"

struct token {
    struct str address, id, secret, ca_hash;
};

static int token_parse(struct str text, struct token *ret_token, struct err *err)
{
    struct token t = {0};
    struct str words, rest, slash;
    struct str url = str_cut(text, '#', &words);
    t.id = str_cut(words, '.', &rest);
    struct str hash = STR_NONE;
    t.secret = str_cut(rest, '.', &hash);
    t.ca_hash = hash;
    if (!str_starts(url, STR("https://")) || t.id.n == 0 || t.secret.n == 0 || t.ca_hash.n != 64) {
        return err_set(err, ERR_INVALID,
                       "--join wants https://HOST:6443#ID.SECRET.CAHASH: `cox token create` on the "
                       "server prints it");
    }
    t.address = str_cut(str_from(url, 8), '/', &slash);
    *ret_token = t;
    return 0;
}

/* The CA of the server, if its key is the one that the token pins. */
static int fetch_ca(const struct token *token, struct buf *ret_pem, struct err *err)
{
    struct tls_options options = {
        .insecure = true,
        .alpn = STR("h2,http/1.1")}; /* nothing is told or believed on this connection but the CA */
    struct tls_context *tls = tls_client_new(&options, err);
    struct certificate *ca = NULL;
    if (tls == NULL) {
        return err->code;
    }
    struct connection *connection = connection_open_to(token->address, tls);
    struct connection_request request = {
        .method = "GET", .path = STR("/cox/v1/ca"), .accept = "*/*"};
    int rc = connection_send(connection, &request, ret_pem, err);
    rc = rc != 0 ? rc : certificate_parse_pem(buf_view(ret_pem), &ca, err);
    if (rc == 0 && !str_eq(certificate_key_hash(ca), token->ca_hash)) {
        rc = err_set(err, ERR_UNAUTHORIZED,
                     "the server at %.*s has another CA than the token names: it is not the one "
                     "that made it",
                     STR_ARG(token->address));
    }
    certificate_unref(ca);
    connection_close(connection);
    tls_unref(tls);
    return rc;
}

int join_signing_request(const struct certificate_options *wanted, struct buf *ret_key_pem,
                         struct buf *ret_csr, struct err *err)
{
    struct key *key = NULL;
    int rc = key_generate(&key, err);
    rc = rc != 0 ? rc : signing_request_new(key, wanted, ret_csr, err);
    rc = rc != 0 ? rc : key_write_pem(key, ret_key_pem, err);
    key_unref(key);
    return rc;
}

static int request_for(const struct options *o, struct buf *ret_key_pem, struct buf *ret_csr,
                       struct err *err)
{
    struct str names[] = {str_of(o->node_name)},
               addresses[] = {STR("127.0.0.1"), str_of(o->node_ip)}, group = STR("system:nodes");
    char *name MEM_CLEANUP = mem_printf("system:node:%s", o->node_name);
    struct certificate_options wanted = {.common_name = str_of(name),
                                         .organizations = &group,
                                         .organization_count = 1,
                                         .dns_names = names,
                                         .dns_count = 1,
                                         .addresses = addresses,
                                         .address_count = o->node_ip[0] != '\0' ? 2 : 1};
    return join_signing_request(&wanted, ret_key_pem, ret_csr, err);
}

static int ask(const struct token *token, const struct options *o, struct join_result *out,
               struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf csr BUF_CLEANUP = BUF_INIT, body BUF_CLEANUP = BUF_INIT;
    struct val *request = val_new(&arena, VAL_OBJECT), *answer = NULL;
    int rc = request_for(o, &out->key_pem, &csr, err);
    struct tls_options tls_options = {.ca_pem = buf_view(&out->ca_pem), .alpn = STR("h2,http/1.1")};
    struct tls_context *tls = rc == 0 ? tls_client_new(&tls_options, err) : NULL;
    if (tls == NULL) {
        return rc != 0 ? rc : err->code;
    }
    val_set_text(&arena, request, STR("id"), token->id);
    val_set_text(&arena, request, STR("secret"), token->secret);
    val_set_text(&arena, request, STR("node"), str_of(o->node_name));
    val_set_text(&arena, request, STR("request"), buf_view(&csr));
    val_write_json(request, &body);
    struct connection *connection = connection_open_to(token->address, tls);
    struct connection_request post = {
        .method = "POST", .path = STR("/cox/v1/join"), .body = buf_view(&body)};
    rc = connection_send_json(connection, &post, &arena, &answer, err);
    if (rc == 0) {
        buf_str(&out->certificate_pem, val_text(val_get(answer, "certificate")));
        buf_str(&out->pod_cidr, val_text(val_get(answer, "podCIDR")));
    }
    connection_close(connection);
    tls_unref(tls);
    return rc;
}

static const char *const file_names[] = {"ca.crt", "node.cidr", "node.api"};
enum { FILE_COUNT = 3, PART_COUNT = FILE_COUNT + 2 };
#define IDENTITY_FILE "node.pem"

/* The files in their order, then certificate and key. */
static void parts_of(struct join_result *result, struct buf *ret_parts[PART_COUNT])
{
    ret_parts[0] = &result->ca_pem;
    ret_parts[1] = &result->pod_cidr;
    ret_parts[2] = &result->address;
    ret_parts[3] = &result->certificate_pem;
    ret_parts[4] = &result->key_pem;
}

int join_keep_identity(const char *config_dir, struct str certificate_pem, struct str key_pem,
                       struct err *err)
{
    char *path MEM_CLEANUP = mem_printf("%s/" IDENTITY_FILE, config_dir);
    struct buf both BUF_CLEANUP = BUF_INIT;
    buf_str(&both, certificate_pem);
    buf_str(&both, key_pem);
    int rc = file_write_atomic(path, buf_view(&both), 0600, err);
    explicit_bzero(both.p, both.n);
    return rc;
}

/* node.pem is written last: it means that the set is whole. */
static int keep(const char *dir, struct join_result *result, struct err *err)
{
    struct buf *parts[PART_COUNT];
    parts_of(result, parts);
    int rc = file_make_dirs(dir, 0700, err);
    for (int i = 0; i < FILE_COUNT && rc == 0; i++) {
        char *path MEM_CLEANUP = mem_printf("%s/%s", dir, file_names[i]);
        rc = file_write_atomic(path, buf_view(parts[i]), 0600, err);
    }
    return rc != 0 ? rc
                   : join_keep_identity(dir, buf_view(&result->certificate_pem),
                                        buf_view(&result->key_pem), err);
}

static int read_identity(const char *dir, struct join_result *result, struct err *err)
{
    static const char end[] = "-----END CERTIFICATE-----\n";
    char *path MEM_CLEANUP = mem_printf("%s/" IDENTITY_FILE, dir);
    struct buf both BUF_CLEANUP = BUF_INIT;
    int rc = file_read(path, 1 << 16, &both, err);
    if (rc != 0) {
        return rc;
    }
    const char *at = strstr(both.p, end);
    if (at == NULL) {
        return err_set(err, ERR_INVALID, "%s must hold a certificate and its key", path);
    }
    size_t n = (size_t)(at - both.p) + sizeof end - 1;
    buf_add(&result->certificate_pem, both.p, n);
    buf_add(&result->key_pem, both.p + n, both.n - n);
    explicit_bzero(both.p, both.n);
    return 0;
}

static int find_kept(const char *dir, struct join_result *ret_result, struct err *err)
{
    struct buf *parts[PART_COUNT];
    parts_of(ret_result, parts);
    int rc = read_identity(dir, ret_result, err);
    for (int i = 0; i < FILE_COUNT && rc == 0; i++) {
        char *path MEM_CLEANUP = mem_printf("%s/%s", dir, file_names[i]);
        rc = file_read(path, 1 << 16, parts[i], err);
    }
    return rc;
}

void join_reread(const struct options *options, struct join_result *result)
{
    struct join_result now = {0};
    if (find_kept(options->config_dir, &now, NULL) == 0) {
        join_result_done(result);
        *result = now;
    } else {
        join_result_done(&now);
    }
}

/* Too old to be renewed: it opens nothing any more. */
static bool has_ended(const struct join_result *result)
{
    struct certificate *certificate = NULL;
    if (certificate_parse_pem(buf_view(&result->certificate_pem), &certificate, NULL) != 0) {
        return true;
    }
    bool ended = certificate_subject(certificate)->not_after_ns <= clock_wall(clock_real());
    certificate_unref(certificate);
    return ended;
}

/* The server is reached from where the node will live: joining runs inside --netns. */
static int join_inside(const struct token *token, const struct options *options,
                       struct join_result *out, struct err *err)
{
    int fd = -1, back = -1, rc = 0;
    if (options->netns[0] != '\0') {
        rc = namespace_open(options->netns, &fd, err);
        rc = rc != 0 ? rc : namespace_enter(fd, &back, err);
    }
    rc = rc != 0 ? rc : fetch_ca(token, &out->ca_pem, err);
    rc = rc != 0 ? rc : ask(token, options, out, err);
    if (back >= 0) {
        namespace_leave(back);
    }
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

int join_cluster(const struct options *options, struct join_result *ret_result, struct err *err)
{
    struct join_result out = {0};
    struct token token = {0};
    bool kept = find_kept(options->config_dir, &out, err) == 0;
    bool ended = kept && has_ended(&out);
    if (kept && !ended) {
        *ret_result = out;
        return 0;
    }
    join_result_done(&out);
    if (ended && options->join[0] == '\0') {
        return err_set(err, ERR_INVALID,
                       "the certificate in %s/" IDENTITY_FILE " is no longer valid (the node was "
                       "off for too long to renew it): join again with --join",
                       options->config_dir);
    }
    if (options->join[0] == '\0') {
        return err_set(err, ERR_INVALID,
                       "this node is in no cluster yet: --join https://HOST:6443#ID.SECRET.CAHASH "
                       "(from `cox token create`)");
    }
    int rc = token_parse(str_of(options->join), &token, err);
    rc = rc != 0 ? rc : join_inside(&token, options, &out, err);
    if (rc == 0) {
        buf_str(&out.address, token.address);
        rc = keep(options->config_dir, &out, err);
    }
    if (rc != 0) {
        join_result_done(&out);
        err_wrap(err, "joining");
        return rc;
    }
    *ret_result = out;
    return 0;
}

void join_result_done(struct join_result *result)
{
    struct buf *parts[PART_COUNT];
    parts_of(result, parts);
    for (int i = 0; i < PART_COUNT; i++) {
        if (parts[i]->p != NULL) {
            explicit_bzero(parts[i]->p, parts[i]->n);
        }
        buf_done(parts[i]);
    }
}

/* test_issuers.c: tokens of another issuer: a small one on loopback with TLS of its own serves its
 * keys; every algorithm, wrong claims, keys that change, and configurations that are refused. */
#include "../cmocka_all.h"

#include <netinet/in.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/net.h"
#include "io/tls.h"
#include "pki/jwk.h"
#include "server/authn/authn.h"
#include "server/authn/issuers.h"
#include "server/server_int.h"
#include "store/store.h"
#include "wire/http.h"

static struct world {
    struct loop *loop;
    struct server *server;
    struct sequencer *sequencer;
    struct cache *cache;
    struct store *store;
    struct tls_context *tls;
    struct buf ca;
    int port, asked;
    char url[64];
    struct buf keys; /* what the issuer serves */
    const char *issuer_claim;
    EVP_PKEY *rsa, *p256, *p384, *p521;
} w;

/* ---- the issuer ---- */

static void on_request(void *ctx, struct http_exchange *exchange)
{
    struct buf body BUF_CLEANUP = BUF_INIT;
    const struct http_request *request = http_request(exchange);
    w.asked++;
    if (str_is(request->path, "/.well-known/openid-configuration")) {
        buf_printf(&body, "{\"issuer\":\"%s\",\"jwks_uri\":\"%s/keys\"}", w.issuer_claim, w.url);
    } else {
        buf_str(&body, buf_view(&w.keys));
    }
    http_respond(exchange, 200, NULL, 0, http_body_copy(buf_view(&body)));
}
static void on_abort(void *ctx, struct http_exchange *exchange)
{
}
static const struct http_server_ops server_ops = {.on_request = on_request, .on_abort = on_abort};

static void on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    static const struct http_server_options options = {0};
    http_serve(stream, &options, &server_ops, NULL);
}
static const struct listener_ops listener_ops = {.on_accept = on_accept};

static void b64(struct buf *out, EVP_PKEY *key, const char *param, size_t size)
{
    BIGNUM *number = NULL;
    unsigned char bytes[512];
    assert_int_equal(EVP_PKEY_get_bn_param(key, param, &number), 1);
    size_t n = size > 0 ? size : (size_t)BN_num_bytes(number);
    BN_bn2binpad(number, bytes, (int)n);
    base64url_encode(out, bytes, n);
    BN_free(number);
}

static void add_ec(struct buf *out, EVP_PKEY *key, const char *kid, const char *curve, size_t half)
{
    buf_printf(out, ",{\"kty\":\"EC\",\"kid\":\"%s\",\"crv\":\"%s\",\"x\":\"", kid, curve);
    b64(out, key, OSSL_PKEY_PARAM_EC_PUB_X, half);
    buf_addz(out, "\",\"y\":\"");
    b64(out, key, OSSL_PKEY_PARAM_EC_PUB_Y, half);
    buf_addz(out, "\"}");
}

static void publish_keys(const char *rsa_kid)
{
    buf_clear(&w.keys);
    buf_printf(&w.keys,
               "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"},{\"kty\":\"RSA\",\"use\":"
               "\"sig\",\"kid\":\"%s\",\"n\":\"",
               rsa_kid);
    b64(&w.keys, w.rsa, OSSL_PKEY_PARAM_RSA_N, 0);
    buf_addz(&w.keys, "\",\"e\":\"");
    b64(&w.keys, w.rsa, OSSL_PKEY_PARAM_RSA_E, 0);
    buf_addz(&w.keys, "\"}");
    add_ec(&w.keys, w.p256, "e256", "P-256", 32);
    add_ec(&w.keys, w.p384, "e384", "P-384", 48);
    add_ec(&w.keys, w.p521, "e512", "P-521", 66);
    buf_addz(&w.keys, "]}");
}

/* ---- tokens ---- */

static size_t raw_signature(const unsigned char *der, size_t n, size_t half, unsigned char *out)
{
    const unsigned char *at = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)n);
    BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, (int)half);
    BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + half, (int)half);
    ECDSA_SIG_free(sig);
    return 2 * half;
}

static void sign(struct buf *token, EVP_PKEY *key, const char *alg, const char *kid,
                 const char *claims)
{
    struct buf header BUF_CLEANUP = BUF_INIT;
    unsigned char signature[1024], raw[256];
    size_t n = sizeof signature;
    const char *digest = strstr(alg, "384") ? "SHA384" : strstr(alg, "512") ? "SHA512" : "SHA256";
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey = NULL;
    buf_printf(&header, "{\"alg\":\"%s\",\"kid\":\"%s\"}", alg, kid);
    base64url_encode(token, header.p, header.n);
    buf_char(token, '.');
    base64url_encode(token, claims, strlen(claims));
    assert_int_equal(EVP_DigestSignInit_ex(ctx, &pkey, digest, NULL, NULL, key, NULL), 1);
    if (alg[0] == 'P') {
        EVP_PKEY_CTX_set_rsa_padding(pkey, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey, RSA_PSS_SALTLEN_DIGEST);
    }
    assert_int_equal(EVP_DigestSign(ctx, signature, &n, (unsigned char *)token->p, token->n), 1);
    EVP_MD_CTX_free(ctx);
    const unsigned char *bytes = signature;
    if (alg[0] == 'E') {
        n = raw_signature(signature, n,
                          strstr(alg, "384")   ? 48
                          : strstr(alg, "512") ? 66
                                               : 32,
                          raw);
        bytes = raw;
    }
    buf_char(token, '.');
    base64url_encode(token, bytes, n);
}

static char *claims_with(const char *more)
{
    int64_t now = clock_wall(clock_real()) / NS_PER_S;
    return mem_printf("{\"iss\":\"%s\",\"aud\":[\"other\",\"cox\"],\"exp\":%lld,\"sub\":\"jane\","
                      "\"groups\":[\"dev\",\"ops\"],\"id\":\"u-1\",\"jti\":\"t1\",\"team\":\"blue\""
                      "%s}",
                      w.url, (long long)now + 600, more);
}

static int check(EVP_PKEY *key, const char *alg, const char *kid, const char *claims,
                 struct identity **ret, struct err *err)
{
    struct buf token BUF_CLEANUP = BUF_INIT;
    sign(&token, key, alg, kid, claims);
    return authn_token(w.server, buf_view(&token), NULL, 0, clock_wall(clock_real()), ret, err);
}

/* ---- setting up ---- */

static void stop_timer(struct timer *timer)
{
    loop_stop(w.loop);
}

static void run_for(int ms)
{
    struct timer timer = {0};
    timer_start(w.loop, &timer, ms * NS_PER_MS, stop_timer);
    loop_run(w.loop);
}

static int configure(const char *config, struct err *err)
{
    struct server_options options = {.loops = &w.loop,
                                     .loop_count = 1,
                                     .cache = w.cache,
                                     .sequencer = w.sequencer,
                                     .authentication_config = str_of(config)};
    return server_new(&options, &w.server, err);
}

static char *good_config(void)
{
    struct buf ca BUF_CLEANUP = BUF_INIT;
    struct str rest = buf_view(&w.ca);
    while (rest.p != NULL && rest.n > 0) {
        struct str line = str_cut(rest, '\n', &rest);
        buf_printf(&ca, "      %.*s\n", STR_ARG(line));
    }
    return mem_printf("kind: AuthenticationConfiguration\n"
                      "apiVersion: apiserver.config.k8s.io/v1\n"
                      "anonymous: {enabled: true, conditions: [{path: /livez}]}\n"
                      "jwt:\n"
                      "- issuer:\n"
                      "    url: %s\n"
                      "    audiences: [cox]\n"
                      "    certificateAuthority: |\n%.*s"
                      "  claimValidationRules: [{claim: team, requiredValue: blue}]\n"
                      "  claimMappings:\n"
                      "    username: {claim: sub, prefix: 'oidc:'}\n"
                      "    groups: {claim: groups, prefix: 'g:'}\n"
                      "    uid: {claim: id}\n",
                      w.url, STR_ARG(buf_view(&ca)));
}

static void make_tls(void)
{
    struct err err = ERR_INIT;
    struct key *ca_key = NULL, *key = NULL;
    struct certificate *ca = NULL, *certificate = NULL;
    struct buf cert BUF_CLEANUP = BUF_INIT, pem BUF_CLEANUP = BUF_INIT;
    int64_t now = clock_wall(clock_real());
    struct str address = STR("127.0.0.1");
    assert_int_equal(key_generate(&ca_key, &err), 0);
    assert_int_equal(key_generate(&key, &err), 0);
    assert_int_equal(certificate_new_ca(ca_key, STR("issuer-ca"), now - 60 * NS_PER_S,
                                        now + 3600 * NS_PER_S, random_real(), &ca, &err),
                     0);
    struct certificate_options options = {.common_name = STR("issuer"),
                                          .addresses = &address,
                                          .address_count = 1,
                                          .usage = CERTIFICATE_SERVER,
                                          .not_before_ns = now - 60 * NS_PER_S,
                                          .not_after_ns = now + 3600 * NS_PER_S};
    assert_int_equal(
        certificate_issue(ca, ca_key, key, &options, random_real(), &certificate, &err), 0);
    certificate_write_pem(ca, &w.ca, &err);
    certificate_write_pem(certificate, &cert, &err);
    key_write_pem(key, &pem, &err);
    struct tls_options tls = {.certificate_pem = buf_view(&cert), .key_pem = buf_view(&pem)};
    w.tls = tls_server_new(&tls, &err);
    assert_non_null(w.tls);
    certificate_unref(ca);
    certificate_unref(certificate);
    key_unref(ca_key);
    key_unref(key);
}

static int set_up(void **state)
{
    struct err err = ERR_INIT;
    struct sockaddr_in at = {0};
    socklen_t size = sizeof at;
    int fd = -1;
    w.loop = loop_new();
    make_tls();
    w.rsa = EVP_RSA_gen(2048);
    w.p256 = EVP_EC_gen("P-256");
    w.p384 = EVP_EC_gen("P-384");
    w.p521 = EVP_EC_gen("P-521");
    assert_int_equal(net_bind(STR("127.0.0.1:0"), &fd, &err), 0);
    getsockname(fd, (struct sockaddr *)&at, &size);
    w.port = ntohs(at.sin_port);
    snprintf(w.url, sizeof w.url, "https://127.0.0.1:%d", w.port);
    w.issuer_claim = w.url;
    *state = listener_new(w.loop, fd, w.tls, &listener_ops, NULL);
    w.cache = cache_new(0);
    struct store_options store = {.path = "m", .history_ns = 60 * NS_PER_S, .clock = clock_real()};
    assert_int_equal(store_memory.open(&store, &w.store, &err), 0);
    assert_int_equal(sequencer_new(w.loop, w.store, w.cache, &w.sequencer, &err), 0);
    publish_keys("r1");
    return 0;
}

static int tear_down(void **state)
{
    listener_free(*state);
    run_for(50);
    sequencer_free(w.sequencer);
    cache_free(w.cache);
    w.store->ops->close(w.store);
    tls_unref(w.tls);
    EVP_PKEY_free(w.rsa);
    EVP_PKEY_free(w.p256);
    EVP_PKEY_free(w.p384);
    EVP_PKEY_free(w.p521);
    buf_done(&w.ca);
    buf_done(&w.keys);
    loop_free(w.loop);
    return 0;
}

static void wait_for_keys(void)
{
    for (int i = 0; i < 100 && issuers_key_count(w.server->issuers, 0) == 0; i++) {
        run_for(20);
    }
    assert_int_equal(issuers_key_count(w.server->issuers, 0), 4);
}

static void start_server(void)
{
    struct err err = ERR_INIT;
    char *config MEM_CLEANUP = good_config();
    if (configure(config, &err) != 0) {
        fail_msg("%s", err.message);
    }
    issuers_start(w.server->issuers);
    wait_for_keys();
}

/* ---- tests ---- */

static void test_algorithms(void **state)
{
    const struct {
        EVP_PKEY *key;
        const char *alg, *kid;
    } rows[] = {{w.rsa, "RS256", "r1"},    {w.rsa, "RS384", "r1"},    {w.rsa, "RS512", "r1"},
                {w.rsa, "PS256", "r1"},    {w.rsa, "PS384", "r1"},    {w.rsa, "PS512", "r1"},
                {w.p256, "ES256", "e256"}, {w.p384, "ES384", "e384"}, {w.p521, "ES512", "e512"}};
    start_server();
    char *claims MEM_CLEANUP = claims_with("");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct identity *identity = NULL;
        struct err err = ERR_INIT;
        if (check(rows[i].key, rows[i].alg, rows[i].kid, claims, &identity, &err) != 0) {
            fail_msg("%s: %s", rows[i].alg, err.message);
        }
        assert_true(str_is(identity->name, "oidc:jane"));
        assert_true(str_is(identity->uid, "u-1"));
        assert_true(identity_in_group(identity, STR("g:ops")));
        assert_true(identity_in_group(identity, STR("system:authenticated")));
        identity_unref(identity);
        /* The right key, named as another one's, or for another algorithm. */
        identity = NULL;
        assert_int_not_equal(
            check(rows[i].key, rows[i].alg, i < 6 ? "e256" : "r1", claims, &identity, &err), 0);
        assert_null(identity);
    }
    server_free(w.server);
}

static void refused(const char *claims, const char *why)
{
    struct identity *identity = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(check(w.rsa, "RS256", "r1", claims, &identity, &err), ERR_UNAUTHORIZED);
    if (strstr(err.message, why) == NULL) {
        fail_msg("%s: %s", claims, err.message);
    }
}

static void test_claims(void **state)
{
    start_server();
    char *base MEM_CLEANUP = claims_with("");
    static const struct {
        const char *from, *to, *why;
    } rows[] = {
        {"\"aud\":[\"other\",\"cox\"]", "\"aud\":\"other\"", "expected audience"},
        {"\"team\":\"blue\"", "\"team\":\"red\"", "value does not match"},
        {"\"team\":\"blue\"", "\"t\":1", "required claim team not present"},
        {"\"sub\":\"jane\"", "\"sub\":5", "username claim"},
        {"\"groups\":[\"dev\",\"ops\"]", "\"groups\":[1]", "groups claim"},
        {"\"id\":\"u-1\"", "\"id\":null", "uid claim"},
        {"\"exp\":", "\"nbf\":99999999999,\"exp\":", "not valid yet"},
        {"\"exp\":", "\"exp\":1,\"was\":", "token is expired"},
        {"\"exp\":", "\"never\":", "no expiry"},
        {"\"iss\":\"https", "\"iss\":\"http", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *at = strstr(base, rows[i].from);
        assert_non_null(at);
        char *claims MEM_CLEANUP =
            mem_printf("%.*s%s%s", (int)(at - base), base, rows[i].to, at + strlen(rows[i].from));
        refused(claims, rows[i].why);
    }
    server_free(w.server);
}

/* A token signed by a key that came later is refused, and accepted soon after. */
static void test_rotation(void **state)
{
    struct identity *identity = NULL;
    struct err err = ERR_INIT;
    start_server();
    char *claims MEM_CLEANUP = claims_with(",\"n\":2");
    publish_keys("r2");
    assert_int_equal(check(w.rsa, "RS256", "r2", claims, &identity, &err), ERR_UNAUTHORIZED);
    int asked = w.asked;
    run_for(100); /* the last fetch is younger than 10 s: nobody is asked */
    assert_int_equal(w.asked, asked);
    publish_keys("r1");
    server_free(w.server);
}

static void test_wrong_issuer(void **state)
{
    struct err err = ERR_INIT;
    char *config MEM_CLEANUP = good_config();
    w.issuer_claim = "https://somebody.else";
    assert_int_equal(configure(config, &err), 0);
    issuers_start(w.server->issuers);
    run_for(300);
    assert_int_equal(issuers_key_count(w.server->issuers, 0), 0);
    w.issuer_claim = w.url;
    server_free(w.server);
}

static void test_anonymous(void **state)
{
    start_server();
    assert_int_equal(issuers_anonymous(w.server->issuers, STR("/livez")), ANONYMOUS_ANYWHERE);
    assert_int_equal(issuers_anonymous(w.server->issuers, STR("/version")), ANONYMOUS_NOWHERE);
    server_free(w.server);
}

static void test_bad_configurations(void **state)
{
    static const struct {
        const char *from, *to, *why;
    } rows[] = {
        {"apiserver.config.k8s.io/v1", "v9", "must be an AuthenticationConfiguration"},
        {"url: https:", "url: http:", "jwt[0].issuer.url: Invalid value"},
        {"audiences: [cox]", "audiences: []", "jwt[0].issuer.audiences: Required value"},
        {"audiences: [cox]", "audiences: [a, b]", "audienceMatchPolicy must be MatchAny"},
        {"audiences: [cox]", "audience: [cox]", "unknown field \"audience\""},
        {"{claim: sub, prefix: 'oidc:'}", "{claim: sub}", "username.prefix: Required value"},
        {"{claim: sub, prefix: 'oidc:'}", "{expression: claims.sub}",
         "jwt[0].claimMappings.username.expression: Forbidden: CEL"},
        {"{claim: team, requiredValue: blue}", "{expression: 'true'}",
         "claimValidationRules[0].expression: Forbidden: CEL"},
        {"-----BEGIN CERTIFICATE-----", "-----BEGIN NOTHING-----", "certificateAuthority"},
        {"enabled: true", "enabled: false", "enabled should be set to true"},
    };
    char *base MEM_CLEANUP = good_config();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err = ERR_INIT;
        const char *at = strstr(base, rows[i].from);
        assert_non_null(at);
        char *config MEM_CLEANUP =
            mem_printf("%.*s%s%s", (int)(at - base), base, rows[i].to, at + strlen(rows[i].from));
        assert_int_equal(configure(config, &err), ERR_INVALID);
        if (strstr(err.message, rows[i].why) == NULL ||
            strstr(err.message, "--authentication-config") == NULL) {
            fail_msg("%s: %s", rows[i].to, err.message);
        }
    }
}

static void test_bad_keys(void **state)
{
    static const struct jwk_members rows[] = {
        {.kty = STR("oct")},
        {.kty = STR("RSA"), .use = STR("enc")},
        {.kty = STR("RSA"), .n = STR("AQAB"), .e = STR("AQAB")},
        {.kty = STR("EC"), .crv = STR("P-256"), .x = STR("AA"), .y = STR("AA")},
        {.kty = STR("EC"), .crv = STR("secp256k1")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct jwk *jwk = NULL;
        struct err err = ERR_INIT;
        assert_int_not_equal(jwk_new(&rows[i], &jwk, &err), 0);
        assert_null(jwk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_algorithms), cmocka_unit_test(test_claims),
        cmocka_unit_test(test_rotation),   cmocka_unit_test(test_wrong_issuer),
        cmocka_unit_test(test_anonymous),  cmocka_unit_test(test_bad_configurations),
        cmocka_unit_test(test_bad_keys),
    };
    return cmocka_run_group_tests_name("server-issuers", tests, set_up, tear_down);
}

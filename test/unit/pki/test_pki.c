/* test_pki.c: keys, certificates, requests, tokens and sealing, each with what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "pki/certificate.h"
#include "pki/digest.h"
#include "pki/jwt.h"
#include "pki/key.h"
#include "pki/seal.h"

static const int64_t now = 1764000000LL * NS_PER_S;
static const int64_t day = 24 * 3600 * NS_PER_S;

static struct key *new_key(void)
{
    struct key *key = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(key_generate(&key, &err), 0);
    return key;
}

static void test_key_round_trip(void **state)
{
    struct key *key = new_key(), *again = NULL, *public = NULL;
    struct buf pem BUF_CLEANUP = BUF_INIT;
    struct buf public_pem BUF_CLEANUP = BUF_INIT;
    assert_int_equal(key_write_pem(key, &pem, NULL), 0);
    assert_int_equal(key_parse_pem(buf_view(&pem), &again, NULL), 0);
    assert_true(str_eq(key_id(key), key_id(again)));
    assert_int_equal(key_write_public_pem(key, &public_pem, NULL), 0);
    assert_int_equal(key_parse_pem(buf_view(&public_pem), &public, NULL), 0);
    assert_false(key_is_private(public));
    unsigned char signature[64];
    assert_int_equal(key_sign(again, STR("hello"), signature, NULL), 0);
    assert_true(key_verify(public, STR("hello"), signature));
    assert_false(key_verify(public, STR("hellp"), signature));
    assert_true(key_sign(public, STR("hello"), signature, NULL) < 0);
    assert_int_equal(key_parse_pem(STR("junk"), &public, NULL), ERR_PARSE);
    key_unref(key);
    key_unref(again);
    key_unref(public);
}

static struct certificate *new_ca(struct key *key)
{
    struct certificate *ca = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(
        certificate_new_ca(key, STR("test-ca"), now, now + 3650 * day, random_real(), &ca, &err),
        0);
    return ca;
}

static void test_certificate_issue(void **state)
{
    struct key *ca_key = new_key(), *key = new_key(), *other_key = new_key();
    struct certificate *ca = new_ca(ca_key), *other = new_ca(other_key), *leaf = NULL;
    struct str groups[] = {STR("system:nodes"), STR("x")};
    struct str dns[] = {STR("node-1"), STR("localhost")};
    struct str addresses[] = {STR("10.0.0.1"), STR("fd00::1")};
    struct certificate_options options = {
        .common_name = STR("system:node:node-1"),
        .organizations = groups,
        .organization_count = 2,
        .dns_names = dns,
        .dns_count = 2,
        .addresses = addresses,
        .address_count = 2,
        .usage = CERTIFICATE_CLIENT,
        .not_before_ns = now,
        .not_after_ns = now + day,
    };
    assert_int_equal(certificate_issue(ca, ca_key, key, &options, random_real(), &leaf, NULL), 0);
    struct buf pem BUF_CLEANUP = BUF_INIT;
    assert_int_equal(certificate_write_pem(leaf, &pem, NULL), 0);
    struct certificate *read = NULL;
    assert_int_equal(certificate_parse_pem(buf_view(&pem), &read, NULL), 0);
    const struct certificate_subject *s = certificate_subject(read);
    assert_true(str_is(s->common_name, "system:node:node-1"));
    assert_int_equal(s->organization_count, 2);
    assert_true(str_is(s->organizations[0], "system:nodes"));
    assert_int_equal(s->dns_count, 2);
    assert_true(str_is(s->addresses[1], "fd00::1"));
    assert_int_equal(s->not_after_ns, now + day);
    assert_int_equal(s->fingerprint.n, 64);
    assert_true(str_eq(s->fingerprint, certificate_subject(leaf)->fingerprint));
    assert_false(s->is_ca);
    assert_true(certificate_verify(read, ca, now + 1, CERTIFICATE_CLIENT));
    assert_false(certificate_verify(read, ca, now + 1, CERTIFICATE_SERVER));
    assert_false(certificate_verify(read, ca, now + 2 * day, CERTIFICATE_CLIENT));
    assert_false(certificate_verify(read, ca, now - day, CERTIFICATE_CLIENT));
    assert_false(certificate_verify(read, other, now + 1, CERTIFICATE_CLIENT));
    options.addresses = dns;
    struct certificate *bad = NULL;
    assert_true(certificate_issue(ca, ca_key, key, &options, random_real(), &bad, NULL) < 0);
    certificate_unref(leaf);
    certificate_unref(read);
    certificate_unref(ca);
    certificate_unref(other);
    key_unref(key);
    key_unref(ca_key);
    key_unref(other_key);
}

static void test_signing_request(void **state)
{
    struct key *ca_key = new_key(), *key = new_key();
    struct certificate *ca = new_ca(ca_key), *leaf = NULL;
    struct str groups[] = {STR("system:nodes")};
    struct str dns[] = {STR("n1")};
    struct certificate_options options = {.common_name = STR("system:node:n1"),
                                          .organizations = groups,
                                          .organization_count = 1,
                                          .dns_names = dns,
                                          .dns_count = 1};
    struct buf pem BUF_CLEANUP = BUF_INIT;
    assert_int_equal(signing_request_new(key, &options, &pem, NULL), 0);
    struct signing_request *request = NULL;
    assert_int_equal(signing_request_parse(buf_view(&pem), &request, NULL), 0);
    struct certificate_options asked = signing_request_options(request);
    assert_true(str_is(asked.common_name, "system:node:n1"));
    assert_int_equal(asked.dns_count, 1);
    assert_true(str_eq(key_id(signing_request_key(request)), key_id(key)));
    asked.usage = CERTIFICATE_CLIENT | CERTIFICATE_SERVER;
    asked.not_before_ns = now;
    asked.not_after_ns = now + day;
    assert_int_equal(certificate_issue(ca, ca_key, signing_request_key(request), &asked,
                                       random_real(), &leaf, NULL),
                     0);
    assert_true(certificate_verify(leaf, ca, now, CERTIFICATE_CLIENT | CERTIFICATE_SERVER));
    pem.p[pem.n / 2] ^= 1; /* a changed request must not pass its own signature */
    struct signing_request *changed = NULL;
    assert_true(signing_request_parse(buf_view(&pem), &changed, NULL) < 0);
    certificate_unref(leaf);
    certificate_unref(ca);
    signing_request_free(request);
    key_unref(key);
    key_unref(ca_key);
}

static void test_jwt(void **state)
{
    struct key *key = new_key(), *other = new_key();
    struct buf token BUF_CLEANUP = BUF_INIT;
    struct buf claims BUF_CLEANUP = BUF_INIT;
    assert_int_equal(jwt_sign(key, STR("{\"sub\":\"a\"}"), &token, NULL), 0);
    assert_int_equal(jwt_verify(&key, 1, buf_view(&token), &claims, NULL), 0);
    assert_true(str_is(buf_view(&claims), "{\"sub\":\"a\"}"));
    assert_int_equal(jwt_verify(&other, 1, buf_view(&token), &claims, NULL), ERR_UNAUTHORIZED);
    struct key *both[] = {other, key};
    assert_int_equal(jwt_verify(both, 2, buf_view(&token), &claims, NULL), 0);
    for (size_t i = 0; i < token.n; i += 7) {
        char kept = token.p[i];
        token.p[i] = kept == 'A' ? 'B' : 'A';
        assert_int_equal(jwt_verify(&key, 1, buf_view(&token), &claims, NULL), ERR_UNAUTHORIZED);
        token.p[i] = kept;
    }
    assert_int_equal(jwt_verify(&key, 1, STR("a.b"), &claims, NULL), ERR_UNAUTHORIZED);
    assert_int_equal(jwt_verify(&key, 1, STR("eyJhbGciOiJub25lIn0.e30."), &claims, NULL),
                     ERR_UNAUTHORIZED);
    struct buf keys BUF_CLEANUP = BUF_INIT;
    assert_int_equal(jwt_write_keys(both, 2, &keys, NULL), 0);
    assert_true(str_contains(buf_view(&keys), key_id(key)));
    key_unref(key);
    key_unref(other);
}

static void test_seal(void **state)
{
    char key[SEAL_KEY_SIZE] = "0123456789abcdef0123456789abcde";
    struct seal *seal = NULL, *other = NULL;
    assert_int_equal(seal_new(str_at(key, sizeof key), random_real(), &seal, NULL), 0);
    key[0] = 'x';
    assert_int_equal(seal_new(str_at(key, sizeof key), random_real(), &other, NULL), 0);
    assert_int_equal(seal_new(STR("short"), random_real(), &other, NULL), ERR_PARSE);
    assert_false(str_eq(seal_id(seal), seal_id(other)));
    struct buf sealed BUF_CLEANUP = BUF_INIT;
    struct buf plain BUF_CLEANUP = BUF_INIT;
    assert_int_equal(seal_close(seal, STR("secrets/a/b"), STR("canary"), &sealed, NULL), 0);
    assert_false(str_contains(buf_view(&sealed), STR("canary")));
    assert_int_equal(seal_open(seal, STR("secrets/a/b"), buf_view(&sealed), &plain, NULL), 0);
    assert_true(str_is(buf_view(&plain), "canary"));
    assert_true(seal_open(seal, STR("secrets/a/c"), buf_view(&sealed), &plain, NULL) < 0);
    assert_true(seal_open(other, STR("secrets/a/b"), buf_view(&sealed), &plain, NULL) < 0);
    for (size_t i = 0; i < sealed.n; i++) {
        sealed.p[i] ^= 1;
        assert_true(seal_open(seal, STR("secrets/a/b"), buf_view(&sealed), &plain, NULL) < 0);
        sealed.p[i] ^= 1;
    }
    assert_true(str_is(buf_view(&plain), "canary"));
    buf_clear(&sealed);
    assert_int_equal(seal_close(seal, STR(""), STR(""), &sealed, NULL), 0);
    assert_int_equal(seal_open(seal, STR(""), buf_view(&sealed), &plain, NULL), 0);
    seal_free(seal);
    seal_free(other);
}

static void test_digest(void **state)
{
    char hex[DIGEST_HEX_SIZE];
    digest_sha256_hex(STR("abc"), hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    unsigned char mac[DIGEST_SIZE];
    digest_hmac(STR("Jefe"), STR("what do ya want for nothing?"), mac); /* RFC 4231, case 2 */
    hex_encode(mac, sizeof mac, hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_true(digest_equal(STR("a"), STR("a")));
    assert_false(digest_equal(STR("a"), STR("b")));
    assert_false(digest_equal(STR("a"), STR("ab")));
    char a[TOKEN_TEXT_SIZE], b[TOKEN_TEXT_SIZE];
    token_random(random_real(), a);
    token_random(random_real(), b);
    assert_string_not_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_round_trip),
        cmocka_unit_test(test_certificate_issue),
        cmocka_unit_test(test_signing_request),
        cmocka_unit_test(test_jwt),
        cmocka_unit_test(test_seal),
        cmocka_unit_test(test_digest),
    };
    return cmocka_run_group_tests_name("pki", tests, NULL, NULL);
}

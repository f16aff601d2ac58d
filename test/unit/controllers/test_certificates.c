/* controllers/certificates on virtual time: what is signed, for how long, what fails, and when
 * requests go. */
#include <stdio.h>

#include "base/mem.h"
#include "bench.h"
#include "controllers/table_int.h"
#include "pki/signing.h"

static const struct controller *const controllers[] = {&controller_certificate_signer,
                                                       &controller_certificate_cleaner, NULL};
#define BUNDLES  kind("certificates.k8s.io", "clustertrustbundles")
#define REQUESTS kind("certificates.k8s.io", "certificatesigningrequests")

static struct key *ca_key, *key;
static struct certificate *ca;

static void make_ca(int64_t now)
{
    struct err err = ERR_INIT;
    assert_int_equal(key_generate(&ca_key, &err), 0);
    assert_int_equal(key_generate(&key, &err), 0);
    assert_int_equal(certificate_new_ca(ca_key, STR("ca"), now - NS_PER_S,
                                        now + 4000LL * 86400 * NS_PER_S, random_real(), &ca, &err),
                     0);
}

static void make_request(struct bench *bench, const char *name, const char *signer,
                         const char *organization, const char *usages, const char *more)
{
    struct buf pem BUF_CLEANUP = BUF_INIT, text BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    struct str o = str_of(organization);
    struct certificate_options options = {
        .common_name = STR("system:node:n1"), .organizations = &o, .organization_count = 1};
    assert_int_equal(signing_request_new(key, &options, &pem, &err), 0);
    base64_encode(&text, pem.p, pem.n);
    fake_createf(bench->api, REQUESTS,
                 "{'apiVersion':'certificates.k8s.io/v1','kind':'CertificateSigningRequest',"
                 "'metadata':{'name':'%s'},'spec':{'signerName':'kubernetes.io/%s','usages':[%s],"
                 "'username':'system:node:n1','request':'%s'%s}}",
                 name, signer, usages, text.p, more);
}

static void approve(struct bench *bench, const char *name)
{
    char time[TIME_TEXT_SIZE];
    time_format(clock_wall(loop_clock(bench->loop)), time);
    fake_patchf(bench->api, REQUESTS, NULL, name, "status",
                "{'status':{'conditions':[{'type':'Approved','status':'True','lastUpdateTime':"
                "'%s'}]}}",
                time);
}

static struct certificate *certificate_of(struct bench *bench, const char *name)
{
    struct buf pem BUF_CLEANUP = BUF_INIT;
    struct certificate *certificate = NULL;
    struct object *object = fake_get(bench->api, REQUESTS, NULL, name);
    struct str text = val_text(val_path(fake_val(bench->api, object), "status.certificate"));
    if (text.n == 0) {
        return NULL;
    }
    assert_true(base64_decode(&pem, text));
    assert_int_equal(certificate_parse_pem(buf_view(&pem), &certificate, NULL), 0);
    return certificate;
}

static const char *last_message(struct bench *bench, const char *name)
{
    struct object *object = fake_get(bench->api, REQUESTS, NULL, name);
    const struct val *list = val_path(fake_val(bench->api, object), "status.conditions");
    const struct val *last = val_count(list) > 0 ? val_at(list, val_count(list) - 1) : NULL;
    static char text[200];
    struct str message = val_text(val_get(last, "message"));
    snprintf(text, sizeof text, "%.*s", STR_ARG(message));
    return text;
}

static void start(struct bench *bench, uint64_t seed)
{
    bench_init(bench, seed, controllers);
    int64_t now = clock_wall(loop_clock(bench->loop));
    make_ca(now);
    bench->options.ca = ca;
    bench->options.ca_key = ca_key;
    bench_stop(bench);
    bench_start(bench);
}

static void stop(struct bench *bench)
{
    bench_done(bench);
    certificate_unref(ca);
    key_unref(ca_key);
    key_unref(key);
}

#define CLIENT "'client auth','digital signature'"

static void signs(void **state)
{
    struct bench bench;
    start(&bench, 1);
    make_request(&bench, "node", "kube-apiserver-client-kubelet", "system:nodes", CLIENT,
                 ",'expirationSeconds':3600");
    make_request(&bench, "long", "kube-apiserver-client", "dev", CLIENT, "");
    make_request(&bench, "other", "kubelet-serving", "system:nodes",
                 "'server auth','digital signature'", "");
    make_request(&bench, "wrong", "kube-apiserver-client-kubelet", "dev", CLIENT, "");
    make_request(&bench, "foreign", "else", "dev", CLIENT, "");
    bench_run(&bench, 5);
    assert_null(certificate_of(&bench, "node")); /* nobody approved */
    const char *const all[] = {"node", "long", "other", "wrong", "foreign"};
    for (size_t i = 0; i < 5; i++) {
        approve(&bench, all[i]);
    }
    bench_run(&bench, 5);
    struct certificate *c = certificate_of(&bench, "node");
    assert_non_null(c);
    const struct certificate_subject *s = certificate_subject(c);
    int64_t now = clock_wall(loop_clock(bench.loop));
    assert_true(str_is(s->common_name, "system:node:n1"));
    assert_true(str_is(s->organizations[0], "system:nodes"));
    assert_int_equal(s->usage, CERTIFICATE_CLIENT);
    assert_false(s->is_ca);
    assert_true(certificate_verify(c, ca, now, CERTIFICATE_CLIENT));
    assert_in_range(s->not_after_ns, now + 3590 * NS_PER_S, now + 3600 * NS_PER_S);
    certificate_unref(c);
    c = certificate_of(&bench, "long");
    assert_in_range(certificate_subject(c)->not_after_ns, now + 364LL * 86400 * NS_PER_S,
                    now + 365LL * 86400 * NS_PER_S);
    certificate_unref(c);
    assert_null(certificate_of(&bench, "other"));
    assert_string_equal(last_message(&bench, "other"), "DNS or IP subjectAltName is required");
    assert_null(certificate_of(&bench, "wrong"));
    assert_string_equal(last_message(&bench, "wrong"), "subject organization is not system:nodes");
    assert_null(certificate_of(&bench, "foreign")); /* another signer's */
    bench_quiet(&bench, 60);
    stop(&bench);
}

static void cleans(void **state)
{
    struct bench bench;
    start(&bench, 2);
    make_request(&bench, "pending", "kube-apiserver-client", "dev", CLIENT, "");
    make_request(&bench, "signed", "kube-apiserver-client", "dev", CLIENT, "");
    make_request(&bench, "foreign", "else", "dev", CLIENT, "");
    approve(&bench, "signed");
    approve(&bench, "foreign");
    bench_run(&bench, 3000);
    assert_int_equal(fake_count(bench.api, REQUESTS), 3);
    bench_run(&bench, 700);
    assert_null(fake_get(bench.api, REQUESTS, NULL, "signed"));
    assert_int_equal(fake_count(bench.api, REQUESTS), 2);
    bench_run(&bench, 23 * 3600 + 60);
    assert_int_equal(fake_count(bench.api, REQUESTS), 0);
    stop(&bench);
}

static void publishes(void **state)
{
    static const struct controller *const publisher[] = {&controller_trust_bundle, NULL};
    struct bench bench;
    bench_init(&bench, 3, publisher);
    bench_stop(&bench);
    bench.options.ca_pem = STR("PEM one");
    bench_start(&bench);
    bench_run(&bench, 3);
    assert_int_equal(fake_count(bench.api, BUNDLES), 1);
    assert_true(
        str_starts(nth(&bench, BUNDLES, 0)->name, STR("kubernetes.io:kube-apiserver-serving:")));
    bench_quiet(&bench, 30);
    bench_stop(&bench);
    bench.options.ca_pem = STR("PEM two");
    bench_start(&bench);
    bench_run(&bench, 3);
    assert_int_equal(fake_count(bench.api, BUNDLES), 1);
    struct val *bundle = fake_val(bench.api, nth(&bench, BUNDLES, 0));
    assert_true(str_is(val_text(val_path(bundle, "spec.trustBundle")), "PEM two"));
    bench_done(&bench);
}

/* What the pki makes of requests that are not what they should be. */
static void refuses(void **state)
{
    struct buf pem BUF_CLEANUP = BUF_INIT, out BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    make_ca(clock_wall(clock_real()));
    struct certificate_options asked = {.common_name = STR("x")};
    assert_int_equal(signing_request_new(key, &asked, &pem, &err), 0);
    struct str usage = STR("flying");
    struct signing_options options = {&usage, 1, 0, INT64_MAX};
    assert_int_equal(
        signing_request_sign(buf_view(&pem), ca, ca_key, &options, random_real(), &out, &err),
        ERR_INVALID);
    usage = STR("client auth");
    assert_int_equal(
        signing_request_sign(STR("nothing"), ca, ca_key, &options, random_real(), &out, &err),
        ERR_PARSE);
    pem.p[pem.n / 2] = pem.p[pem.n / 2] == 'A' ? 'B' : 'A';
    assert_int_equal(
        signing_request_sign(buf_view(&pem), ca, ca_key, &options, random_real(), &out, &err),
        ERR_PARSE);
    assert_int_equal(out.n, 0);
    certificate_unref(ca);
    key_unref(ca_key);
    key_unref(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(signs), cmocka_unit_test(cleans),
                                       cmocka_unit_test(publishes), cmocka_unit_test(refuses)};
    return cmocka_run_group_tests_name("controllers-certificates", tests, NULL, NULL);
}

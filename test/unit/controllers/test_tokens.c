/* controllers/tokens.c on virtual time: Secrets of accounts are filled and go with them; expired
 * bootstrap tokens go. */
#include "base/mem.h"
#include "bench.h"
#include "controllers/table_int.h"
#include "pki/jwt.h"

static const struct controller *const controllers[] = {&controller_account_tokens,
                                                       &controller_token_cleaner, NULL};
#define SECRETS  kind("", "secrets")
#define ACCOUNTS kind("", "serviceaccounts")

static void make_secret(struct bench *bench, const char *name, const char *account)
{
    fake_createf(bench->api, SECRETS,
                 "{'apiVersion':'v1','kind':'Secret','metadata':{'name':'%s','namespace':"
                 "'default','annotations':{'kubernetes.io/service-account.name':'%s'}},'type':"
                 "'kubernetes.io/service-account-token'}",
                 name, account);
}

static void accounts(void **state)
{
    struct bench bench;
    struct key *key = NULL;
    struct buf token BUF_CLEANUP = BUF_INIT, claims BUF_CLEANUP = BUF_INIT;
    bench_init(&bench, 1, controllers);
    assert_int_equal(key_generate(&key, NULL), 0);
    bench.options.token_key = key;
    bench.options.ca_pem = STR("PEM");
    bench_stop(&bench);
    bench_start(&bench);
    fake_createf(bench.api, ACCOUNTS,
                 "{'apiVersion':'v1','kind':'ServiceAccount','metadata':{'name':'robot',"
                 "'namespace':'default'}}");
    bench_run(&bench, 2);
    make_secret(&bench, "s", "robot");
    make_secret(&bench, "nobodys", "ghost");
    bench_run(&bench, 5);
    assert_null(fake_get(bench.api, SECRETS, "default", "nobodys"));
    assert_true(base64_decode(&token, str_of(text_at(&bench, SECRETS, "s", "data.token"))));
    assert_int_equal(jwt_verify(&key, 1, buf_view(&token), &claims, NULL), 0);
    assert_true(
        str_contains(buf_view(&claims), STR("\"kubernetes.io/serviceaccount/secret.name\":\"s\"")));
    assert_string_equal(text_at(&bench, SECRETS, "s", "data.namespace"), "ZGVmYXVsdA==");
    bench_quiet(&bench, 30);
    fake_delete(bench.api, ACCOUNTS, "default", "robot", NULL);
    bench_run(&bench, 5);
    assert_int_equal(fake_count(bench.api, SECRETS), 0);
    bench_done(&bench);
    key_unref(key);
}

static void bootstrap(void **state)
{
    struct bench bench;
    struct buf text BUF_CLEANUP = BUF_INIT;
    char time[TIME_TEXT_SIZE];
    bench_init(&bench, 2, controllers);
    size_t n = time_format(clock_wall(loop_clock(bench.loop)) + 100 * NS_PER_S, time);
    base64_encode(&text, time, n);
    fake_createf(bench.api, SECRETS,
                 "{'apiVersion':'v1','kind':'Secret','metadata':{'name':'bootstrap-token-abcdef',"
                 "'namespace':'kube-system'},'type':'bootstrap.kubernetes.io/token','data':{"
                 "'expiration':'%s'}}",
                 text.p);
    bench_run(&bench, 90);
    assert_int_equal(fake_count(bench.api, SECRETS), 1);
    bench_run(&bench, 20);
    assert_int_equal(fake_count(bench.api, SECRETS), 0);
    bench_done(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(accounts), cmocka_unit_test(bootstrap)};
    return cmocka_run_group_tests_name("controllers-tokens", tests, NULL, NULL);
}

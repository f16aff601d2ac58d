/* test_url.c: percent-encoding and queries. */
#include "../cmocka_all.h"

#include "wire/http.h"

static void test_decode(void **state)
{
    static const struct {
        const char *in, *out;
        bool query;
    } good[] = {{"a%2Fb", "a/b", false},
                {"a+b", "a+b", false},
                {"a+b%20c", "a b c", true},
                {"", "", false},
                {"%e2%82%ac", "\xe2\x82\xac", false}};
    static const char *const bad[] = {"%", "%1", "%zz", "a%00b", "%2"};
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct str text = STR_NONE;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(url_decode(&arena, str_of(good[i].in), good[i].query, &text));
        assert_true(str_is(text, good[i].out));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(url_decode(&arena, str_of(bad[i]), false, &text));
    }
}

static void test_encode(void **state)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    url_encode(&out, STR("a b/c~\xe2"));
    assert_string_equal(out.p, "a%20b%2Fc~%E2");
}

static void test_query(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct url_query *pairs;
    size_t count;
    assert_true(url_query_parse(&arena, STR("labelSelector=a%3Db,c&watch&&x=1=2&watch=true"),
                                &pairs, &count));
    assert_int_equal(count, 4);
    assert_true(str_is(pairs[0].value, "a=b,c"));
    assert_true(str_is(pairs[1].key, "watch") && pairs[1].value.n == 0);
    assert_true(str_is(pairs[2].value, "1=2"));
    assert_true(url_query_parse(&arena, STR_NONE, &pairs, &count));
    assert_int_equal(count, 0);
    assert_false(url_query_parse(&arena, STR("a=%"), &pairs, &count));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

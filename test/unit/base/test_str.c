/* test_str.c: views, buffers, checked numbers, encodings, errors. */
#include "../cmocka_all.h"

#include "base/err.h"
#include "base/str.h"

static void numbers_are_checked(void **state)
{
    uint64_t u = 7;
    int64_t i = 7;
    assert_true(str_u64(STR("18446744073709551615"), &u));
    assert_true(u == UINT64_MAX);
    assert_false(str_u64(STR("18446744073709551616"), &u));
    assert_false(str_u64(STR(""), &u));
    assert_false(str_u64(STR("+1"), &u));
    assert_false(str_u64(STR("1 "), &u));
    assert_true(u == UINT64_MAX); /* untouched */
    assert_true(str_i64(STR("-9223372036854775808"), &i));
    assert_true(i == INT64_MIN);
    assert_false(str_i64(STR("9223372036854775808"), &i));
    assert_false(str_i64(STR("-"), &i));
}

static void cut_walks_a_list(void **state)
{
    struct str rest = STR("a,,b");
    assert_true(str_is(str_cut(rest, ',', &rest), "a"));
    assert_true(str_is(str_cut(rest, ',', &rest), ""));
    assert_true(str_is(str_cut(rest, ',', &rest), "b"));
    assert_null(rest.p);
    assert_true(str_is(str_cut_last(STR("/a/b/c"), '/', &rest), "/a/b"));
    assert_true(str_is(rest, "c"));
}

static void trim_and_compare(void **state)
{
    assert_true(str_is(str_trim(STR(" \t x y\n")), "x y"));
    assert_true(str_cmp(STR("a"), STR("ab")) < 0);
    assert_true(str_cmp(STR("b"), STR("ab")) > 0);
    assert_true(str_eq(STR_NONE, STR("")));
    assert_true(str_starts(STR("abc"), STR("ab")) && str_ends(STR("abc"), STR("bc")) &&
                str_contains(STR("abc"), STR("b")));
    assert_false(str_contains(STR(""), STR("b")));
}

static void buffers_grow_and_stay_terminated(void **state)
{
    struct buf buf BUF_CLEANUP = BUF_INIT;
    for (int i = 0; i < 1000; i++) {
        buf_printf(&buf, "%d,", i);
        assert_int_equal(strlen(buf.p), buf.n);
    }
    buf_drop_front(&buf, 2);
    assert_memory_equal(buf.p, "1,2,", 4);
    buf_clear(&buf);
    buf_i64(&buf, INT64_MIN);
    assert_string_equal(buf.p, "-9223372036854775808");
}

static void base64_is_strict(void **state)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    const char *texts[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
    const char *codes[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (size_t i = 0; i < 7; i++) { /* RFC 4648 section 10 */
        buf_clear(&out);
        base64_encode(&out, texts[i], strlen(texts[i]));
        assert_string_equal(out.p, codes[i]);
        buf_clear(&out);
        assert_true(base64_decode(&out, str_of(codes[i])));
        assert_true(str_is(buf_view(&out), texts[i]));
    }
    const char *bad[] = {"Zg", "Zg=", "Zg===", "Z===", "Zh==", "Z g=", "Zg==Zg==", "Zm9v\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buf_clear(&out);
        assert_false(base64_decode(&out, str_of(bad[i])));
        assert_int_equal(out.n, 0);
    }
    buf_clear(&out);
    base64url_encode(&out, "\xfb\xff", 2);
    assert_string_equal(out.p, "-_8");
    buf_clear(&out);
    assert_true(base64url_decode(&out, STR("-_8")));
    assert_memory_equal(out.p, "\xfb\xff", 2);
}

static void hex_round_trip(void **state)
{
    char text[9];
    unsigned char bytes[4];
    hex_encode("\x00\xa5\xff\x10", 4, text);
    assert_string_equal(text, "00a5ff10");
    assert_true(hex_decode(STR("00A5ff10"), bytes));
    assert_memory_equal(bytes, "\x00\xa5\xff\x10", 4);
    assert_false(hex_decode(STR("0"), bytes));
    assert_false(hex_decode(STR("0g"), bytes));
}

static void errors_wrap_and_map(void **state)
{
    struct err err = ERR_INIT;
    assert_int_equal(err_set(&err, ERR_NOT_FOUND, "pods \"%s\" not found", "x"), ERR_NOT_FOUND);
    assert_int_equal(err_wrap(&err, "reading %s", "y"), ERR_NOT_FOUND);
    assert_string_equal(err.message, "reading y: pods \"x\" not found");
    assert_int_equal(err_http_status(ERR_NOT_FOUND), 404);
    assert_string_equal(err_reason(ERR_CONFLICT), "Conflict");
    assert_int_equal(err_from_reason("AlreadyExists", 409), ERR_EXISTS);
    assert_int_equal(err_from_reason("Conflict", 409), ERR_CONFLICT);
    assert_int_equal(err_from_reason(NULL, 418), ERR_INTERNAL);
    err_os(&err, 2, "open %s", "/x");
    assert_string_equal(err.message, "open /x: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_checked), cmocka_unit_test(cut_walks_a_list),
        cmocka_unit_test(trim_and_compare),    cmocka_unit_test(buffers_grow_and_stay_terminated),
        cmocka_unit_test(base64_is_strict),    cmocka_unit_test(hex_round_trip),
        cmocka_unit_test(errors_wrap_and_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The tape: reading, editing, and schemaless JSON both ways. */
#include "../cmocka_all.h"

#include "api/val.h"

static struct val *parse(struct arena *arena, const char *text)
{
    struct val *v = NULL;
    struct err err = ERR_INIT;
    if (val_parse_json(arena, str_of(text), &v, &err) != 0) {
        fail_msg("%s: %s", text, err.message);
    }
    return v;
}

static void expect_json(const struct val *v, const char *text)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    val_write_json(v, &out);
    assert_string_equal(out.p, text);
}

static void reads_paths(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *v =
        parse(&arena, "{\"metadata\":{\"name\":\"a\",\"namespace\":\"b\",\"uid\":\"c\"},"
                      "\"spec\":{\"n\":-12,\"big\":1.5,\"on\":true,"
                      "\"list\":[{\"name\":\"x\"},{\"name\":\"y\",\"v\":2}]}}");
    assert_true(str_is(val_name(v), "a"));
    assert_true(str_is(val_namespace(v), "b"));
    assert_true(str_is(val_uid(v), "c"));
    assert_int_equal(val_int(val_path(v, "spec.n"), 7), -12);
    assert_int_equal(val_int(val_path(v, "spec.big"), 7), 7);
    assert_int_equal(val_int(val_path(v, "spec.none.n"), 7), 7);
    assert_true(val_bool(val_path(v, "spec.on"), false));
    struct val *list = val_path(v, "spec.list");
    assert_int_equal(val_count(list), 2);
    assert_int_equal(val_int(val_get(val_find(list, "name", STR("y")), "v"), 0), 2);
    assert_null(val_find(list, "name", STR("z")));
    assert_null(val_at(list, 2));
    assert_int_equal(val_depth(v), 5);
}

static void edits_keep_order(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *v = parse(&arena, "{\"a\":1,\"b\":2,\"c\":3}");
    val_set_text(&arena, v, STR("b"), STR("two"));
    val_set_int(&arena, v, STR("d"), INT64_MIN);
    expect_json(v, "{\"a\":1,\"b\":\"two\",\"c\":3,\"d\":-9223372036854775808}");
    assert_true(val_unset(v, STR("a")));
    assert_false(val_unset(v, STR("a")));
    assert_true(val_unset(v, STR("d")));
    val_append(val_make_array(&arena, v, STR("e")), val_new_bool(&arena, true));
    val_set_int(&arena, val_make_object(&arena, v, STR("f")), STR("g"), 0);
    expect_json(v, "{\"b\":\"two\",\"c\":3,\"e\":[true],\"f\":{\"g\":0}}");
    val_insert_after(v, NULL, val_new_int(&arena, 9));
    v->child->key = STR("z");
    val_remove(v, v->last);
    val_append(v, val_new(&arena, VAL_NULL))->key = STR("n");
    expect_json(v, "{\"z\":9,\"b\":\"two\",\"c\":3,\"e\":[true],\"n\":null}");
    assert_int_equal(v->count, 5);
}

static void compares_and_copies(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *a = parse(&arena, "{\"x\":[1,{\"y\":\"s\"}],\"z\":{}}");
    struct val *b = parse(&arena, " { \"z\" : { } , \"x\" : [ 1 , {\"y\":\"\\u0073\"} ] } ");
    struct val *c = val_copy(&arena, a);
    assert_true(val_equal(a, b));
    assert_true(val_equal(a, c));
    assert_true(val_equal(NULL, NULL));
    assert_false(val_equal(a, NULL));
    val_set_int(&arena, val_at(val_get(c, "x"), 1), STR("y"), 1);
    assert_false(val_equal(a, c));
}

static void sorts_deep(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *v =
        parse(&arena, "{\"b\":[{\"d\":1,\"c\":2}],\"a\":{\"y\":{},\"x\":{\"n\":1,\"m\":2}}}");
    val_sort(v);
    expect_json(v, "{\"a\":{\"x\":{\"m\":2,\"n\":1},\"y\":{}},\"b\":[{\"c\":2,\"d\":1}]}");
    assert_int_equal(val_count(v), 2);
}

static void writes_escapes(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *v = parse(&arena, "[\"\\u0000\\u001f\\\"\\\\\\/\\b\\f\\n\\r\\t\\u2028\\u2029\\ud83d"
                                  "\\ude00\\ud800x<>&\xc3\xa9\"]");
    expect_json(v, "[\"\\u0000\\u001f\\\"\\\\/\\b\\f\\n\\r\\t\\u2028\\u2029\xf0\x9f\x98\x80\xef\xbf"
                   "\xbdx<>&\xc3\xa9\"]");
}

static void writes_pretty(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf out BUF_CLEANUP = BUF_INIT;
    val_write_json_pretty(parse(&arena, "{\"a\":{},\"b\":[1,{\"c\":null}]}"), &out);
    assert_string_equal(out.p, "{\n  \"a\": {},\n  \"b\": [\n    1,\n    {\n      \"c\": null\n"
                               "    }\n  ]\n}");
}

static void bounds_depth_and_memory(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf deep BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    struct val *v = NULL;
    for (int i = 0; i < 128; i++) {
        buf_char(&deep, '[');
    }
    for (int i = 0; i < 128; i++) {
        buf_char(&deep, ']');
    }
    assert_int_equal(val_parse_json(&arena, buf_view(&deep), &v, &err), 0);
    for (int i = 0; i < 100000; i++) {
        buf_char(&deep, '[');
    }
    assert_int_equal(val_parse_json(&arena, str_from(buf_view(&deep), 256), &v, &err),
                     ERR_BAD_REQUEST);
    assert_non_null(strstr(err.message, "too deep"));
    struct arena small ARENA_CLEANUP = {.limit = 8192};
    buf_clear(&deep);
    buf_addz(&deep, "[0");
    for (int i = 0; i < 1000; i++) {
        buf_addz(&deep, ",0");
    }
    buf_char(&deep, ']');
    assert_int_not_equal(val_parse_json(&small, buf_view(&deep), &v, &err), 0);
}

static void bounds_yaml(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    struct val *v = NULL;
    for (int i = 0; i < 100000; i++) {
        buf_printf(&text, "%%TAG !a%d! x\r", i);
    }
    assert_int_equal(val_parse_yaml(&arena, buf_view(&text), &v, &err), ERR_BAD_REQUEST);
    buf_clear(&text);
    for (int i = 0; i < 100000; i++) {
        buf_addz(&text, "- ");
    }
    assert_int_equal(val_parse_yaml(&arena, buf_view(&text), &v, &err), ERR_BAD_REQUEST);
    buf_clear(&text);
    while (text.n < 9 << 20) {
        buf_addz(&text, "                ");
    }
    assert_int_equal(val_parse_yaml(&arena, buf_view(&text), &v, &err), ERR_TOO_LARGE);
}

static void finds_duplicates(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    struct val *v = NULL;
    buf_char(&text, '{');
    for (int i = 0; i < 1000; i++) {
        buf_printf(&text, "\"k%d\":0,", i);
    }
    buf_addz(&text, "\"k77\":0}");
    assert_int_equal(val_parse_json(&arena, buf_view(&text), &v, &err), ERR_BAD_REQUEST);
    assert_int_equal(val_parse_json(&arena, STR("{\"a\":1,\"\\u0061\":2}"), &v, &err),
                     ERR_BAD_REQUEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_paths),
        cmocka_unit_test(edits_keep_order),
        cmocka_unit_test(compares_and_copies),
        cmocka_unit_test(writes_escapes),
        cmocka_unit_test(sorts_deep),
        cmocka_unit_test(writes_pretty),
        cmocka_unit_test(bounds_depth_and_memory),
        cmocka_unit_test(bounds_yaml),
        cmocka_unit_test(finds_duplicates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_patch.c: the cases of test/case/patch: {"name", "kind": "json", "merge" or "strategic",
 * "type": a definition name (strategic), "target", "patch", and "result" or "error": a reason}. */
#include "api/patch.h"
#include "cases.h"

static int apply(struct arena *arena, const struct val *test, struct val **ret, struct err *err)
{
    struct str kind = val_text(val_get(test, "kind"));
    const struct val *target = val_get(test, "target"), *patch = val_get(test, "patch");
    const struct api_struct *type = schema_struct(val_text(val_get(test, "type")));
    if (str_is(kind, "json")) {
        return patch_json(arena, target, patch, ret, err);
    }
    if (str_is(kind, "merge")) {
        return patch_merge(arena, target, patch, ret, err);
    }
    assert_non_null(type);
    return patch_strategic(arena, type, target, patch, ret, err);
}

static int check(struct arena *arena, const char *file, const struct val *test)
{
    struct val *result = NULL;
    struct err err = ERR_INIT;
    const struct val *before = val_copy(arena, val_get(test, "target"));
    int rc = apply(arena, test, &result, &err);
    struct str wanted = val_text(val_get(test, "error"));
    int failed = cases_differ(file, test, "the target changed", before, val_get(test, "target"));
    if (rc != 0 || wanted.n > 0) {
        struct val *want = val_new_text(arena, wanted);
        struct val *got = val_new_text(arena, str_of(rc != 0 ? err_reason(err.code) : ""));
        return failed + cases_differ(file, test, err.message, want, got);
    }
    return failed + cases_differ(file, test, "result", val_get(test, "result"), result);
}

static const char *folder;

static void all_cases(void **state)
{
    cases_run(folder, check);
}

static void too_many_operations(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *target = val_new(&arena, VAL_OBJECT), *patch = val_new(&arena, VAL_ARRAY);
    struct val *result = NULL;
    for (int i = 0; i < 10001; i++) {
        struct val *operation = val_append(patch, val_new(&arena, VAL_OBJECT));
        val_set_text(&arena, operation, STR("op"), STR("test"));
        val_set_text(&arena, operation, STR("path"), STR("/x"));
    }
    assert_int_equal(patch_json(&arena, target, patch, &result, NULL), ERR_TOO_LARGE);
    val_remove(patch, patch->child);
    assert_int_equal(patch_json(&arena, target, patch, &result, NULL), 0);
}

static void copies_do_not_double_for_ever(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *target = NULL, *patch = val_new(&arena, VAL_ARRAY), *result = NULL;
    assert_int_equal(val_parse_json(&arena, STR("{\"a\":[\"0123456789\"]}"), &target, NULL), 0);
    for (int i = 0; i < 60; i++) {
        struct val *operation = val_append(patch, val_new(&arena, VAL_OBJECT));
        val_set_text(&arena, operation, STR("op"), STR("copy"));
        val_set_text(&arena, operation, STR("from"), STR("/a"));
        val_set_text(&arena, operation, STR("path"), STR("/a/-"));
    }
    assert_int_equal(patch_json(&arena, target, patch, &result, NULL), ERR_TOO_LARGE);
}

int main(int argc, char **argv)
{
    folder = argc == 2 ? argv[1] : ".";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_cases),
        cmocka_unit_test(too_many_operations),
        cmocka_unit_test(copies_do_not_double_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_kinds.c: the cases of test/case/kinds: objects through defaults, preparation, validation and
 * columns, as a request goes.
 *
 * A case file is an array of {"name", "resource": "apps/v1/deployments", "object", "old",
 * "subresource", "stored", "errors": [{"type", "field", "detail"}], "has": {"dotted.path": value},
 * "columns": [...]}. "detail" may be the beginning. Without a file: prints what each case gives,
 * for comparing with something else (test-api-kinds --print FILE).
 */
#include "api/ops.h"
#include "base/clock.h"
#include "cases.h"

struct outcome {
    struct val *object, *cells;
    struct field_errors errors;
};

static void run(struct arena *arena, const struct val *test, struct outcome *outcome)
{
    const struct api_resource *resource = cases_resource(val_text(val_get(test, "resource")));
    struct api_context ctx = {.arena = arena, .subresource = ""};
    struct str sub = val_text(val_get(test, "subresource"));
    ctx.subresource = sub.n > 0 ? str_dup_in(arena, sub) : "";
    time_parse(STR("2026-11-25T12:00:00Z"), &ctx.now_wall_ns);
    *outcome = (struct outcome){.errors = {.arena = arena}};
    assert_non_null(resource);
    struct val *object = cases_decode(arena, resource->type, val_get(test, "object"));
    struct val *old = cases_decode(arena, resource->type, val_get(test, "old"));
    assert_non_null(object);
    if (old != NULL) {
        api_default(arena, resource, old);
    }
    api_default(arena, resource, object);
    if (!val_bool(val_get(test, "stored"), false)) {
        api_prepare(&ctx, resource, object, old);
        api_validate(&ctx, resource, object, old, &outcome->errors);
    }
    outcome->object = object;
    outcome->cells = val_new(arena, VAL_ARRAY);
    api_columns(&ctx, resource, object, outcome->cells);
    struct buf text BUF_CLEANUP = BUF_INIT;
    codec_write(resource->type, object, &text);
    assert_int_equal(
        val_parse_json(arena, str_copy_in(arena, buf_view(&text)), &outcome->object, NULL), 0);
}

static void print_errors(const struct field_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        fprintf(stderr, "  got %s %.*s: %.*s\n", errors->items[i].type,
                STR_ARG(errors->items[i].field), STR_ARG(errors->items[i].detail));
    }
}

static bool error_matches(const struct val *expected, const struct field_error *got)
{
    return str_is(val_text(val_get(expected, "type")), got->type) &&
           str_eq(val_text(val_get(expected, "field")), got->field) &&
           str_starts(got->detail, val_text(val_get(expected, "detail")));
}

/* Each expected error is there once, and no other; in which order does not matter. */
static bool errors_match(const struct val *expected, const struct field_errors *errors)
{
    bool used[256] = {false};
    if (val_count(expected) != errors->count || errors->count > sizeof used) {
        return false;
    }
    VAL_EACH (it, expected) {
        size_t i = 0;
        while (i < errors->count && (used[i] || !error_matches(it, &errors->items[i]))) {
            i++;
        }
        if (i == errors->count) {
            return false;
        }
        used[i] = true;
    }
    return true;
}

/* "spec.containers.0.image" */
static const struct val *at_path(const struct val *value, struct str path)
{
    while (path.p != NULL && value != NULL) {
        struct str name = str_cut(path, '.', &path);
        uint64_t index;
        value = val_is(value, VAL_ARRAY) && str_u64(name, &index) ? val_at(value, (uint32_t)index)
                                                                  : val_get_str(value, name);
    }
    return value;
}

static int check(struct arena *arena, const char *file, const struct val *test)
{
    struct outcome outcome;
    int failed = 0;
    struct str name = val_text(val_get(test, "name"));
    run(arena, test, &outcome);
    if (!errors_match(val_get(test, "errors"), &outcome.errors)) {
        fprintf(stderr, "%s: %.*s: other errors\n", file, STR_ARG(name));
        print_errors(&outcome.errors);
        failed++;
    }
    VAL_EACH (it, val_get(test, "has")) {
        const struct val *got = at_path(outcome.object, it->key);
        bool same = it->type == VAL_NULL ? got == NULL : val_equal(got, it);
        if (!same) {
            struct buf text BUF_CLEANUP = BUF_INIT;
            val_write_json(got != NULL ? got : val_new(arena, VAL_NULL), &text);
            fprintf(stderr, "%s: %.*s: %.*s is %.*s\n", file, STR_ARG(name), STR_ARG(it->key),
                    STR_ARG(buf_view(&text)));
            failed++;
        }
    }
    const struct val *columns = val_get(test, "columns");
    if (columns != NULL && !val_equal(columns, outcome.cells)) {
        struct buf text BUF_CLEANUP = BUF_INIT;
        val_write_json(outcome.cells, &text);
        fprintf(stderr, "%s: %.*s: columns are %.*s\n", file, STR_ARG(name),
                STR_ARG(buf_view(&text)));
        failed++;
    }
    return failed;
}

static int print_all(const char *path)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf out BUF_CLEANUP = BUF_INIT;
    VAL_EACH (test, cases_load(&arena, path)) {
        struct outcome outcome;
        run(&arena, test, &outcome);
        struct val *line = val_new(&arena, VAL_OBJECT);
        val_set_text(&arena, line, STR("name"), val_text(val_get(test, "name")));
        struct val *errors = val_make_array(&arena, line, STR("errors"));
        for (size_t i = 0; i < outcome.errors.count; i++) {
            struct val *error = val_append(errors, val_new(&arena, VAL_OBJECT));
            val_set_text(&arena, error, STR("type"), str_of(outcome.errors.items[i].type));
            val_set_text(&arena, error, STR("field"), outcome.errors.items[i].field);
            val_set_text(&arena, error, STR("detail"), outcome.errors.items[i].detail);
        }
        val_set(line, STR("object"), outcome.object);
        val_set(line, STR("columns"), outcome.cells);
        val_write_json(line, &out);
        buf_char(&out, '\n');
    }
    fwrite(out.p, 1, out.n, stdout);
    return 0;
}

static const char *folder;

static void all_cases(void **state)
{
    cases_run(folder, check);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--print") == 0) {
        return print_all(argv[2]);
    }
    folder = argc == 2 ? argv[1] : ".";
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

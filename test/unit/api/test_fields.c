/* test_fields.c: the cases of test/case/fields: {"name", "resource", "steps": [{"object",
 * "manager", "subresource"}], "managedFields"}: objects that follow each other, and who owns what
 * in the end. Step N happens at 00:0N:00. */
#include "api/defaults.h"
#include "api/fields.h"
#include "api/managed/reset.h"
#include "base/clock.h"
#include "cases.h"

static int check(struct arena *arena, const char *file, const struct val *test)
{
    const struct api_resource *resource = cases_resource(val_text(val_get(test, "resource")));
    struct val *live = NULL;
    int64_t now = 0;
    assert_non_null(resource);
    assert_true(time_parse(STR("2026-11-25T00:00:00Z"), &now));
    VAL_EACH (step, val_get(test, "steps")) {
        struct val *next = cases_decode(arena, resource->type, val_get(step, "object"));
        struct str version = val_text(val_get(next, "apiVersion"));
        assert_non_null(next);
        now += 60 * NS_PER_S;
        api_default(arena, resource, next);
        struct str subresource = val_text(val_get(step, "subresource"));
        struct fields_writer writer = {.type = resource->type,
                                       .manager = val_text(val_get(step, "manager")),
                                       .api_version = version,
                                       .subresource = subresource,
                                       .reset = reset_paths(resource, subresource),
                                       .now_wall_ns = now};
        fields_track_update(arena, &writer, live, next);
        struct buf text BUF_CLEANUP = BUF_INIT;
        codec_write(resource->type, next, &text);
        assert_int_equal(codec_decode(arena, resource->type, CODEC_JSON,
                                      str_copy_in(arena, buf_view(&text)), CODEC_STRICT, NULL,
                                      &live, NULL),
                         0);
    }
    return cases_differ(file, test, "managedFields", val_get(test, "managedFields"),
                        val_path(live, "metadata.managedFields"));
}

static const char *folder;

static void all_cases(void **state)
{
    cases_run(folder, check);
}

int main(int argc, char **argv)
{
    folder = argc == 2 ? argv[1] : ".";
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

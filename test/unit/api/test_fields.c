/* test_fields.c: the cases of test/case/fields: {"name", "resource", "steps": [{"object",
 * "manager", "subresource"}], "managedFields"}: objects that follow each other, and who owns what
 * in the end. Step N happens at 00:0N:00. A step with "apply" (and "force") applies instead;
 * "result" has paths and what is there in the end, "refused" what the last apply is refused with.
 */
#include "api/defaults.h"
#include "api/fields.h"
#include "api/managed/apply.h"
#include "api/managed/reset.h"
#include "base/clock.h"
#include "cases.h"

struct scene {
    struct arena *arena;
    const struct api_resource *resource;
    struct val *live;
    int64_t now;
    struct str refused; /* what the last apply was refused with */
};

static struct fields_writer writer_of(const struct scene *scene, const struct val *step)
{
    const struct api_resource *of = scene->resource;
    bool core = of->group[0] == '\0';
    struct str version =
        str_of(arena_printf(scene->arena, "%s%s%s", of->group, core ? "" : "/", of->version));
    struct str subresource = val_text(val_get(step, "subresource"));
    return (struct fields_writer){.type = scene->resource->type,
                                  .manager = val_text(val_get(step, "manager")),
                                  .api_version = version,
                                  .subresource = subresource,
                                  .reset = reset_paths(scene->resource, subresource),
                                  .now_wall_ns = scene->now};
}

/* What is stored is read again, as a server does. */
static void keep(struct scene *scene, const struct val *next)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    codec_write(scene->resource->type, next, &text);
    assert_int_equal(codec_decode(scene->arena, scene->resource->type, CODEC_JSON,
                                  str_copy_in(scene->arena, buf_view(&text)), CODEC_STRICT, NULL,
                                  &scene->live, NULL),
                     0);
}

static void update(struct scene *scene, const struct val *step)
{
    struct val *next = cases_decode(scene->arena, scene->resource->type, val_get(step, "object"));
    assert_non_null(next);
    struct fields_writer writer = writer_of(scene, step);
    api_default(scene->arena, scene->resource, next);
    fields_track_update(scene->arena, &writer, scene->live, next);
    keep(scene, next);
}

static void apply(struct scene *scene, const struct val *step)
{
    const struct val *config = val_get(step, "apply");
    struct fields_writer writer = writer_of(scene, step);
    struct apply apply = {.writer = &writer,
                          .kind = scene->resource->kind,
                          .live = scene->live,
                          .config = config,
                          .force = val_bool(val_get(step, "force"), false)};
    struct apply_result result;
    struct apply_refusal refusal;
    scene->refused = STR("");
    if (fields_apply(scene->arena, &apply, &result, &refusal) < 0) {
        scene->refused = refusal.message;
        return;
    }
    if (result.unchanged) {
        assert_ptr_equal(result.object, scene->live);
        return;
    }
    assert_int_equal(codec_apply_schema(scene->arena, scene->resource->type, result.object,
                                        CODEC_STRICT, NULL, NULL),
                     0);
    api_default(scene->arena, scene->resource, result.object);
    keep(scene, result.object);
}

static int check(struct arena *arena, const char *file, const struct val *test)
{
    struct scene scene = {.arena = arena,
                          .resource = cases_resource(val_text(val_get(test, "resource"))),
                          .refused = STR("")};
    int failed = 0;
    assert_non_null(scene.resource);
    assert_true(time_parse(STR("2026-11-25T00:00:00Z"), &scene.now));
    VAL_EACH (step, val_get(test, "steps")) {
        scene.now += 60 * NS_PER_S;
        if (val_get(step, "apply") != NULL) {
            apply(&scene, step);
        } else {
            update(&scene, step);
        }
    }
    VAL_EACH (want, val_get(test, "result")) {
        failed += cases_differ(file, test, str_dup_in(arena, want->key), want,
                               val_path(scene.live, str_dup_in(arena, want->key)));
    }
    struct val *refused = val_new_text(arena, scene.refused);
    const struct val *refusal = val_get(test, "refused");
    failed += cases_differ(file, test, "refused",
                           refusal != NULL ? refusal : val_new_text(arena, STR("")), refused);
    if (val_get(test, "managedFields") == NULL && val_get(test, "result") != NULL) {
        return failed > 0;
    }
    failed += cases_differ(file, test, "managedFields", val_get(test, "managedFields"),
                           val_path(scene.live, "metadata.managedFields"));
    return failed > 0;
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

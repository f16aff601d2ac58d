/* Canonical bytes of every kind: the pairs of test/case/canonical. */
#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/codec.h"
#include "api/object.h"

static const char *path;

static void check_pair(struct str text, struct str want)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf out BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    struct val *free_ = NULL, *v = NULL;
    assert_int_equal(val_parse_json(&arena, text, &free_, &err), 0);
    struct str group, version, kind = val_text(val_get(free_, "kind"));
    schema_split_version(val_text(val_get(free_, "apiVersion")), &group, &version);
    const struct api_struct *type = schema_object_type(group, version, kind);
    assert_non_null(type);
    if (codec_decode(&arena, type, CODEC_JSON, text, CODEC_STRICT, NULL, &v, &err) != 0) {
        fail_msg("%.*s: %s", STR_ARG(kind), err.message);
    }
    codec_write(type, v, &out);
    assert_string_equal(out.p, str_dup_in(&arena, want));
    assert_int_equal(codec_apply_schema(&arena, type, free_, CODEC_STRICT, NULL, &err), 0);
    buf_clear(&out);
    codec_write(type, free_, &out);
    assert_string_equal(out.p, str_dup_in(&arena, want));
    const struct api_resource *resource = schema_kind(group, version, kind);
    if (resource != NULL && resource->storage == resource) {
        struct object *object = object_new(resource, v, 1);
        assert_true(object_written_size(object, true) > object->n);
        object_unref(object);
    }
}

static void every_kind(void **state)
{
    FILE *cases = fopen(path, "re");
    char *text = NULL, *want = NULL;
    size_t text_room = 0, want_room = 0;
    int count = 0;
    assert_non_null(cases);
    for (ssize_t n; (n = getline(&text, &text_room, cases)) > 0;) {
        if (text[0] == '#') {
            continue;
        }
        ssize_t wanted = getline(&want, &want_room, cases);
        assert_true(wanted > 0);
        check_pair(str_at(text, (size_t)n), str_at(want, (size_t)wanted - 1));
        count++;
    }
    assert_true(count >= 70);
    free(text);
    free(want);
    fclose(cases);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_kind)};
    path = argc > 1 ? argv[1] : "test/case/canonical/objects.cases";
    return cmocka_run_group_tests(tests, NULL, NULL);
}

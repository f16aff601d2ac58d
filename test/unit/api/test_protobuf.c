/* Protobuf both ways: every kind of test/case/canonical comes back the same; exact bytes of the
 * shapes that matter. */
#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/codec.h"
#include "api/protobuf.h"

static const char *path;

static const struct api_struct *type_of(const char *version, const char *kind)
{
    struct str group, rest;
    schema_split_version(str_of(version), &group, &rest);
    const struct api_struct *type = schema_object_type(group, rest, str_of(kind));
    assert_non_null(type);
    return type;
}

/* Protobuf has no empty lists: what is always written comes back as null. */
static void without_empty_lists(struct str json, struct buf *out)
{
    for (size_t i = 0; i < json.n; i++) {
        if (str_starts(str_from(json, i), STR(":[]"))) {
            buf_addz(out, ":null");
            i += 2;
        } else {
            buf_char(out, json.p[i]);
        }
    }
}

/* JSON to protobuf to the tape to JSON. */
static void round_trip(struct str json, struct str want)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct protobuf_writer writer = {0};
    struct buf wire BUF_CLEANUP = BUF_INIT, back BUF_CLEANUP = BUF_INIT,
                    wanted BUF_CLEANUP = BUF_INIT, whole BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    struct val *v = NULL, *head = NULL;
    assert_int_equal(val_parse_json(&arena, json, &head, &err), 0);
    struct str group, version, kind = val_text(val_get(head, "kind"));
    schema_split_version(val_text(val_get(head, "apiVersion")), &group, &version);
    const struct api_struct *type = schema_object_type(group, version, kind);
    if (!protobuf_write_document(&writer, json, &wire)) {
        fail_msg("%.*s has no protobuf form: %.*s", STR_ARG(kind), STR_ARG(json));
    }
    if (codec_decode(&arena, type, CODEC_PROTOBUF, buf_view(&wire), CODEC_STRICT, NULL, &v, &err) !=
        0) {
        fail_msg("%.*s: %s %.*s", STR_ARG(kind), err.message, STR_ARG(json));
    }
    codec_write(type, v, &whole);
    without_empty_lists(buf_view(&whole), &back);
    without_empty_lists(want, &wanted);
    if (!str_eq(buf_view(&back), buf_view(&wanted))) {
        fail_msg("%s\n came back as\n%s", wanted.p, back.p);
    }
    protobuf_writer_done(&writer);
}

/* The same from the object at rest, which lacks its resourceVersion. */
static void from_rest(struct str json)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct protobuf_writer writer = {0};
    struct buf text BUF_CLEANUP = BUF_INIT, one BUF_CLEANUP = BUF_INIT, two BUF_CLEANUP = BUF_INIT;
    struct val *head = NULL, *v = NULL;
    struct err err = ERR_INIT;
    struct str group, version;
    val_parse_json(&arena, json, &head, &err);
    schema_split_version(val_text(val_get(head, "apiVersion")), &group, &version);
    const struct api_resource *resource =
        schema_kind(group, version, val_text(val_get(head, "kind")));
    if (resource == NULL || resource->storage != resource) {
        return;
    }
    assert_int_equal(
        codec_decode(&arena, resource->type, CODEC_JSON, json, CODEC_STRICT, NULL, &v, &err), 0);
    struct object *object = object_new(resource, v, 98765432109876543);
    object_write(object, true, &text);
    assert_true(protobuf_write(&writer, resource->type, buf_view(&text), &one));
    assert_true(protobuf_write_object(&writer, resource->type, object, &two));
    assert_int_equal(one.n, two.n);
    assert_memory_equal(one.p, two.p, one.n);
    object_unref(object);
    protobuf_writer_done(&writer);
}

static void every_kind_comes_back(void **state)
{
    FILE *cases = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    int count = 0, at = 0;
    assert_non_null(cases);
    for (ssize_t n; (n = getline(&line, &room, cases)) > 0;) {
        if (line[0] == '#' || at++ % 2 == 0) {
            continue;
        }
        struct str json = str_trim(str_at(line, (size_t)n));
        round_trip(json, json);
        from_rest(json);
        count++;
    }
    assert_true(count >= 70);
    free(line);
    fclose(cases);
}

static void expect(const char *version, const char *kind, const char *json, const char *hex)
{
    struct protobuf_writer writer = {0};
    struct buf out BUF_CLEANUP = BUF_INIT;
    char got[4096];
    assert_true(protobuf_write(&writer, type_of(version, kind), str_of(json), &out));
    assert_true(out.n * 2 < sizeof got);
    hex_encode(out.p, out.n, got);
    assert_string_equal(got, hex);
    protobuf_writer_done(&writer);
}

/* ObjectMeta {} as upstream writes it: six texts, a generation, a time. */
#define NO_META "0a0012001a0022002a00320038004200"

static void writes_what_upstream_writes(void **state)
{
    expect("v1", "ConfigMap", "{\"metadata\":{\"name\":\"x\"},\"data\":{\"a\":\"1\",\"b\":\"\"}}",
           "0a110a017812001a0022002a00320038004200"
           "12060a0161120131"
           "12050a01621200");
    /* Members out of their numbers' order, null, escapes, unknown members. */
    expect("v1", "ConfigMap",
           "{\"immutable\":true,\"data\":{\"a\":\"q\\\"\"},\"gone\":{\"x\":[\"]}\"]},"
           "\"binaryData\":{\"b\":\"AAE=\"},\"metadata\":{\"creationTimestamp\":null}}",
           "0a10" NO_META "12070a016112027122"
           "1a070a016212020001"
           "2001");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_kind_comes_back),
                                       cmocka_unit_test(writes_what_upstream_writes)};
    path = argc > 1 ? argv[1] : "test/case/canonical/objects.cases";
    return cmocka_run_group_tests(tests, NULL, NULL);
}

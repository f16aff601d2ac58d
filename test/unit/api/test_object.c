/* Objects at rest: bytes, header, what clients see, round trips. */
#include "../cmocka_all.h"

#include "api/codec.h"
#include "api/object.h"

static const struct api_resource *resource_of(const char *group, const char *plural)
{
    const struct api_resource *resource = schema_resource(str_of(group), STR("v1"), str_of(plural));
    assert_non_null(resource);
    return resource;
}

static struct object *make(const struct api_resource *resource, const char *text, uint64_t revision)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *v = NULL;
    struct err err = ERR_INIT;
    if (codec_decode(&arena, resource->type, CODEC_JSON, str_of(text), CODEC_STRICT, NULL, &v,
                     &err) != 0) {
        fail_msg("%s", err.message);
    }
    return object_new(resource, v, revision);
}

static void expect_written(const struct object *object, bool with_type, const char *want)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    object_write(object, with_type, &out);
    assert_string_equal(out.p, want);
    assert_int_equal(object_written_size(object, with_type), out.n);
}

#define POD                                                                                        \
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\",\"uid\":\"u\",\"resourceVersion\":\"3\","   \
    "\"creationTimestamp\":\"2026-01-02T03:04:05Z\",\"labels\":{\"b\":\"2\",\"a\":\"1\"}},"        \
    "\"spec\":{\"containers\":[{\"name\":\"c\",\"args\":[\"}\\\\\\\"\"]}],\"nodeName\":\"w\","     \
    "\"hostNetwork\":true},\"status\":{\"phase\":\"Running\"}}"

static void is_written_with_its_revision(void **state)
{
    struct object *object = make(resource_of("", "pods"), POD, 42);
    assert_null(strstr(object->json, "resourceVersion"));
    expect_written(object, true,
                   "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"p\","
                   "\"namespace\":\"n\",\"uid\":\"u\",\"resourceVersion\":\"42\","
                   "\"creationTimestamp\":\"2026-01-02T03:04:05Z\",\"labels\":{\"a\":\"1\",\"b\":"
                   "\"2\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"args\":[\"}\\\\\\\"\"],"
                   "\"resources\":{}}],\"nodeName\":\"w\",\"hostNetwork\":true},\"status\":"
                   "{\"phase\":\"Running\"}}");
    expect_written(
        object, false,
        "{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\",\"uid\":\"u\","
        "\"resourceVersion\":\"42\",\"creationTimestamp\":\"2026-01-02T03:04:05Z\","
        "\"labels\":{\"a\":\"1\",\"b\":\"2\"}},\"spec\":{\"containers\":[{\"name\":\"c\","
        "\"args\":[\"}\\\\\\\"\"],\"resources\":{}}],\"nodeName\":\"w\",\"hostNetwork\":"
        "true},\"status\":{\"phase\":\"Running\"}}");
    object_unref(object);
}

static struct str field_value(const struct object *object, const char *selector)
{
    for (size_t i = 0; i < object->field_count; i++) {
        if (strcmp(object->resource->field_selectors[i], selector) == 0) {
            return object->fields[i];
        }
    }
    fail_msg("no selector %s", selector);
    return STR_NONE;
}

static void has_a_header(void **state)
{
    struct object *object = make(resource_of("", "pods"), POD, 1);
    assert_true(str_is(object->name, "p"));
    assert_true(str_is(object->ns, "n"));
    assert_true(str_is(object->uid, "u"));
    assert_int_equal(object->label_count, 2);
    assert_true(str_is(object_label_get(object, STR("a")), "1"));
    assert_true(str_is(object_label_get(object, STR("b")), "2"));
    assert_null(object_label_get(object, STR("c")).p);
    uint64_t bits = object_label_bloom(STR("a"), STR("1"));
    assert_true((object->label_bloom & bits) == bits);
    assert_true(str_is(field_value(object, "spec.nodeName"), "w"));
    assert_true(str_is(field_value(object, "status.phase"), "Running"));
    assert_true(str_is(field_value(object, "spec.hostNetwork"), "true"));
    assert_true(str_is(field_value(object, "status.podIP"), ""));
    assert_false(object->deleting);
    object_unref(object);
    object = make(resource_of("batch", "jobs"),
                  "{\"metadata\":{\"name\":\"j\",\"deletionTimestamp\":\"2026-01-02T03:04:05Z\"},"
                  "\"status\":{\"succeeded\":3}}",
                  1);
    assert_true(object->deleting);
    assert_null(object->ns.p);
    assert_true(str_is(field_value(object, "status.successful"), "3"));
    object_unref(object);
    object = make(resource_of("", "events"),
                  "{\"metadata\":{\"name\":\"e\"},\"source\":{\"component\":\"k\"},\"reason\":"
                  "\"a\\n\\\"b\",\"involvedObject\":{\"kind\":\"Pod\"}}",
                  1);
    assert_true(str_is(field_value(object, "source"), "k"));
    assert_true(str_is(field_value(object, "reason"), "a\n\"b"));
    assert_true(str_is(field_value(object, "involvedObject.kind"), "Pod"));
    object_unref(object);
    object = make(resource_of("", "events"),
                  "{\"metadata\":{\"name\":\"e\"},\"reportingComponent\":\"r\"}", 1);
    assert_true(str_is(field_value(object, "source"), "r"));
    object_unref(object);
    object = make(resource_of("", "nodes"), "{\"metadata\":{\"name\":\"e\"}}", 1);
    assert_true(str_is(field_value(object, "spec.unschedulable"), "false"));
    object_unref(object);
}

static void goes_through_the_store_and_back(void **state)
{
    struct object *object = make(resource_of("", "pods"), POD, 7), *again = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(
        object_load(object->resource, str_at(object->json, object->n), 8, &again, &err), 0);
    assert_string_equal(object->json, again->json);
    assert_int_equal(again->label_bloom, object->label_bloom);
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf out BUF_CLEANUP = BUF_INIT, want BUF_CLEANUP = BUF_INIT;
    struct val *v = object_decode(again, &arena);
    assert_true(str_is(val_text(val_path(v, "metadata.resourceVersion")), "8"));
    codec_write(object->resource->type, v, &out);
    object_write(again, true, &want);
    assert_string_equal(out.p, want.p);
    struct object *third = object_new(object->resource, v, 8);
    assert_string_equal(third->json, object->json);
    for (uint32_t n = 0; n < object->n; n++) { /* cut anywhere, it is not whole */
        struct object *none = NULL;
        assert_int_equal(object_load(object->resource, str_at(object->json, n), 8, &none, &err),
                         ERR_PARSE);
    }
    assert_int_equal(
        object_load(resource_of("", "nodes"), str_at(object->json, object->n), 8, &third, &err),
        ERR_PARSE);
    object_unref(third);
    object_unref(object);
    object_unref(again);
    object_unref(NULL);
}

static void changes_revision(void **state)
{
    struct object *object = make(resource_of("", "pods"), POD, 7);
    assert_ptr_equal(object_with_revision(object, 8), object);
    struct object *other = object_with_revision(object_ref(object), 9);
    assert_ptr_not_equal(other, object);
    assert_int_equal(object->revision, 8);
    assert_int_equal(other->revision, 9);
    assert_true(other->name.p > other->json && other->name.p < other->json + other->n);
    object_unref(object);
    object_unref(other);
}

static void odd_labels_do_no_harm(void **state)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    buf_addz(&text, "{\"metadata\":{\"name\":\"m\",\"labels\":{\"long\":\"");
    for (int i = 0; i < 70000; i++) {
        buf_char(&text, 'x');
    }
    buf_addz(&text, "\"");
    for (int i = 0; i < 70000; i++) {
        buf_printf(&text, ",\"k%d\":\"v\"", i);
    }
    buf_addz(&text, "}}}");
    struct object *object = make(resource_of("", "configmaps"), text.p, 5);
    assert_int_equal(object->label_count, 70000);
    assert_true(str_is(object_label_get(object, STR("k69999")), "v"));
    struct arena small ARENA_CLEANUP = {.limit = 4096};
    struct val *v = object_decode(object, &small);
    assert_int_equal(val_count(val_path(v, "metadata.labels")), 70001);
    assert_int_equal(small.limit, 4096);
    object_unref(object);
}

static void metadata_may_be_nearly_empty(void **state)
{
    struct object *object = make(resource_of("", "configmaps"), "{\"metadata\":{}}", 5);
    expect_written(object, true,
                   "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{"
                   "\"resourceVersion\":\"5\"}}");
    object_unref(object);
    object = make(resource_of("apps", "replicasets"), "{\"metadata\":{\"generation\":2}}", 5);
    expect_written(object, false,
                   "{\"metadata\":{\"resourceVersion\":\"5\",\"generation\":2},\"spec\":{"
                   "\"selector\":null,\"template\":{\"metadata\":{},\"spec\":{\"containers\":null}}"
                   "},\"status\":{\"replicas\":0}}");
    object_unref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_written_with_its_revision),
        cmocka_unit_test(has_a_header),
        cmocka_unit_test(goes_through_the_store_and_back),
        cmocka_unit_test(changes_revision),
        cmocka_unit_test(odd_labels_do_no_harm),
        cmocka_unit_test(metadata_may_be_nearly_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

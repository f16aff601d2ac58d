/* The codec: typed decoding, complaints, canonical bytes, YAML as a front end. */
#include "../cmocka_all.h"

#include "api/codec.h"

static const struct api_struct *type_of(const char *api_version, const char *kind)
{
    struct str group, version;
    schema_split_version(str_of(api_version), &group, &version);
    const struct api_struct *type = schema_object_type(group, version, str_of(kind));
    assert_non_null(type);
    return type;
}

static struct val *decode(struct arena *arena, const struct api_struct *type, const char *text)
{
    struct val *v = NULL;
    struct err err = ERR_INIT;
    if (codec_decode(arena, type, CODEC_JSON, str_of(text), CODEC_STRICT, NULL, &v, &err) != 0) {
        fail_msg("%s: %s", text, err.message);
    }
    return v;
}

/* Decodes, writes, compares; then once more from the canonical bytes; then by way of the
 * schemaless parser, which must agree. */
static void expect_canonical(const struct api_struct *type, const char *text, const char *want)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf out BUF_CLEANUP = BUF_INIT, again BUF_CLEANUP = BUF_INIT,
                   free_ BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    codec_write(type, decode(&arena, type, text), &out);
    assert_string_equal(out.p, want);
    codec_write(type, decode(&arena, type, out.p), &again);
    assert_string_equal(again.p, want);
    struct val *v = NULL;
    assert_int_equal(val_parse_json(&arena, str_of(text), &v, &err), 0);
    assert_int_equal(codec_apply_schema(&arena, type, v, CODEC_STRICT, NULL, &err), 0);
    codec_write(type, v, &free_);
    assert_string_equal(free_.p, want);
}

static void writes_canonical_objects(void **state)
{
    expect_canonical(
        type_of("v1", "ConfigMap"),
        "{\"data\":{\"b\":\"1\",\"a\":\"2\"},\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\","
        "\"metadata\":{\"labels\":{},\"name\":\"x\",\"creationTimestamp\":null}}",
        "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"x\"},"
        "\"data\":{\"a\":\"2\",\"b\":\"1\"}}");
    expect_canonical(
        type_of("v1", "Pod"),
        "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"spec\":{\"containers\":[{\"image\":\"i\","
        "\"name\":"
        "\"c\",\"resources\":{\"limits\":{\"memory\":\"1024Mi\",\"cpu\":1.5}},\"stdin\":false,"
        "\"readinessProbe\":{}}],\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}],"
        "\"activeDeadlineSeconds\":0,\"hostNetwork\":false,\"shareProcessNamespace\":false,"
        "\"securityContext\":{}}}",
        "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{},\"spec\":{\"volumes\":[{\"name\":"
        "\"v\",\"emptyDir\":{}}],\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":"
        "{\"limits\":{\"cpu\":\"1500m\",\"memory\":\"1Gi\"}},\"readinessProbe\":{}}],"
        "\"activeDeadlineSeconds\":0,\"shareProcessNamespace\":false,\"securityContext\":{}},"
        "\"status\":{}}");
    expect_canonical(
        type_of("v1", "Event"),
        "{\"metadata\":{\"name\":\"e\"},\"involvedObject\":{\"resourceVersion\":\"7\"},"
        "\"eventTime\":\"2026-01-02T03:04:05.500000+01:00\","
        "\"lastTimestamp\":\"2026-01-02T03:04:05+01:00\"}",
        "{\"metadata\":{\"name\":\"e\"},\"involvedObject\":{\"resourceVersion\":\"7\"},"
        "\"source\":{},\"firstTimestamp\":null,"
        "\"lastTimestamp\":\"2026-01-02T02:04:05Z\","
        "\"eventTime\":\"2026-01-02T02:04:05.500000Z\",\"reportingComponent\":\"\","
        "\"reportingInstance\":\"\"}");
    expect_canonical(type_of("v1", "Node"),
                     "{\"metadata\":{\"creationTimestamp\":\"0001-01-01T00:00:00Z\","
                     "\"deletionTimestamp\":\"9999-12-31T23:59:59Z\"},\"status\":{\"capacity\":"
                     "{\"cpu\":\" 2 \"},\"nodeInfo\":null}}",
                     "{\"metadata\":{\"deletionTimestamp\":\"9999-12-31T23:59:59Z\"},\"spec\":{},"
                     "\"status\":{\"capacity\":{\"cpu\":\"2\"},\"daemonEndpoints\":{"
                     "\"kubeletEndpoint\":{\"Port\":0}},\"nodeInfo\":{\"machineID\":\"\","
                     "\"systemUUID\":\"\",\"bootID\":\"\",\"kernelVersion\":\"\",\"osImage\":"
                     "\"\",\"containerRuntimeVersion\":\"\",\"kubeletVersion\":\"\","
                     "\"kubeProxyVersion\":\"\",\"operatingSystem\":\"\",\"architecture\":\"\"}}"
                     "}");
    expect_canonical(type_of("v1", "Secret"),
                     "{\"data\":{\"a\":\"aGk=\",\"b\":\"aG\\nk=\",\"c\":null}}",
                     "{\"metadata\":{},\"data\":{\"a\":\"aGk=\",\"b\":\"aGk=\",\"c\":\"\"}}");
    expect_canonical(
        type_of("authorization.k8s.io/v1", "SubjectAccessReview"),
        "{\"spec\":{\"user\":\"u\",\"extra\":{\"b\":[\"1\",\"2\"],\"a\":[]}}}",
        "{\"metadata\":{},\"spec\":{\"user\":\"u\",\"extra\":{\"a\":[],\"b\":[\"1\",\"2\"]}},"
        "\"status\":{\"allowed\":false}}");
}

static void expect_error(const char *api_version, const char *kind, const char *text,
                         enum codec_strictness strictness, const char *want)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *v = NULL;
    struct err err = ERR_INIT;
    const struct api_struct *type = type_of(api_version, kind);
    assert_int_equal(
        codec_decode(&arena, type, CODEC_JSON, str_of(text), strictness, NULL, &v, &err),
        ERR_BAD_REQUEST);
    assert_string_equal(err.message, want);
    struct err other = ERR_INIT;
    if (val_parse_json(&arena, str_of(text), &v, &other) == 0) {
        assert_int_equal(codec_apply_schema(&arena, type, v, strictness, NULL, &other),
                         ERR_BAD_REQUEST);
        assert_string_equal(other.message, want);
    }
}

static void names_wrong_types(void **state)
{
    expect_error("apps/v1", "Deployment", "{\"spec\":{\"replicas\":\"3\"}}", CODEC_IGNORE,
                 "spec.replicas must be a 32 bit integer, not a string \"3\"");
    expect_error("apps/v1", "Deployment", "{\"spec\":{\"replicas\":3000000000}}", CODEC_IGNORE,
                 "spec.replicas must be a 32 bit integer, not a number 3000000000");
    expect_error("v1", "Pod", "{\"spec\":{\"containers\":[{},{\"args\":[\"a\",true]}]}}",
                 CODEC_IGNORE, "spec.containers[1].args[1] must be a string, not a boolean");
    expect_error("v1", "Pod", "{\"metadata\":{\"labels\":{\"a\":1}}}", CODEC_IGNORE,
                 "metadata.labels.a must be a string, not a number 1");
    expect_error("v1", "Pod", "{\"metadata\":{\"labels\":[]}}", CODEC_IGNORE,
                 "metadata.labels must be an object, not a list");
    expect_error("v1", "Pod", "[]", CODEC_IGNORE, "the document must be an object, not a list");
    expect_error("v1", "Pod", "null", CODEC_IGNORE, "the document must be an object, not null");
    expect_error(
        "v1", "Pod", "{\"spec\":{\"containers\":[{\"resources\":{\"limits\":{\"cpu\":\"1x\"}}}]}}",
        CODEC_IGNORE,
        "spec.containers[0].resources.limits.cpu must be a quantity (100m, 1.5, 64Mi), not "
        "a string \"1x\"");
    expect_error("v1", "Secret", "{\"data\":{\"a\":\"%%\"}}", CODEC_IGNORE,
                 "data.a must be base64 text, not a string \"%%\"");
    expect_error("v1", "Pod", "{\"metadata\":{\"creationTimestamp\":\"yesterday\"}}", CODEC_IGNORE,
                 "metadata.creationTimestamp must be a time as RFC 3339 has it "
                 "(2006-01-02T15:04:05Z), not a string \"yesterday\"");
}

static void strict_names_unknown_and_duplicate(void **state)
{
    expect_error(
        "apps/v1", "Deployment",
        "{\"spec\":{\"foo\":{\"x\":[1]},\"template\":{\"spec\":{\"containers\":[{\"nam\":1}]}}}}",
        CODEC_STRICT,
        "strict decoding error: unknown field \"spec.foo\", unknown field "
        "\"spec.template.spec.containers[0].nam\"");
    expect_error("apps/v1", "Deployment",
                 "{\"spec\":{\"replicas\":1,\"paused\":true,\"replicas\":2}}", CODEC_STRICT,
                 "strict decoding error: duplicate field \"spec.replicas\"");
    expect_error("v1", "Pod", "{\"metadata\":{\"labels\":{\"a\":\"1\",\"b\":\"\",\"a\":\"2\"}}}",
                 CODEC_STRICT, "strict decoding error: duplicate field \"metadata.labels.a\"");
}

static void warns_and_drops(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct codec_warnings warnings = {0};
    struct val *v = NULL;
    struct err err = ERR_INIT;
    const struct api_struct *type = type_of("v1", "Pod");
    const char *text = "{\"x\":{\"y\":[{}]},\"metadata\":{\"labels\":{\"a\":\"1\",\"b\":\"\",\"a\":"
                       "\"2\"},\"name\":\"n\",\"name\":\"m\"},\"kind\":null}";
    struct buf out BUF_CLEANUP = BUF_INIT;
    assert_int_equal(
        codec_decode(&arena, type, CODEC_JSON, str_of(text), CODEC_WARN, &warnings, &v, &err), 0);
    assert_int_equal(warnings.count, 3);
    assert_true(str_is(warnings.items[0], "unknown field \"x\""));
    assert_true(str_is(warnings.items[1], "duplicate field \"metadata.labels.a\""));
    assert_true(str_is(warnings.items[2], "duplicate field \"metadata.name\""));
    val_write_json(v, &out);
    assert_string_equal(out.p,
                        "{\"metadata\":{\"labels\":{\"b\":\"\",\"a\":\"2\"},\"name\":\"m\"}}");
    assert_int_equal(
        codec_decode(&arena, type, CODEC_JSON, str_of(text), CODEC_IGNORE, &warnings, &v, &err), 0);
    assert_int_equal(warnings.count, 3);
}

static void reads_yaml_bodies(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *v = NULL;
    struct err err = ERR_INIT;
    struct buf out BUF_CLEANUP = BUF_INIT;
    const struct api_struct *type = type_of("v1", "Service");
    struct str text =
        STR("apiVersion: v1\nkind: Service\nmetadata:\n  name: s\nspec:\n  ports:\n"
            "  - port: 80\n    targetPort: http\n  - port: 0x51\n    targetPort: 81\n");
    assert_int_equal(codec_decode(&arena, type, CODEC_YAML, text, CODEC_STRICT, NULL, &v, &err), 0);
    codec_write(type, v, &out);
    assert_string_equal(
        out.p,
        "{\"kind\":\"Service\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"s\"},\"spec\":"
        "{\"ports\":[{\"port\":80,\"targetPort\":\"http\"},{\"port\":81,\"targetPort\":81}]},"
        "\"status\":{\"loadBalancer\":{}}}");
    assert_int_equal(codec_decode(&arena, type, CODEC_YAML, STR("spec: {clusterIP: yes}"),
                                  CODEC_STRICT, NULL, &v, &err),
                     ERR_BAD_REQUEST);
    assert_string_equal(err.message, "spec.clusterIP must be a string, not a boolean");
}

static void edited_tapes_are_written_by_name(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct api_struct *type = type_of("apps/v1", "ReplicaSet");
    struct val *v =
        decode(&arena, type,
               "{\"metadata\":{\"name\":\"r\"},\"spec\":{\"selector\":{\"matchLabels\":"
               "{\"a\":\"b\"}},\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}}}}}");
    struct val *labels = val_copy(&arena, val_path(v, "spec.selector.matchLabels"));
    val_set(val_get(v, "metadata"), STR("labels"), labels);
    val_set_int(&arena, val_make_object(&arena, v, STR("status")), STR("replicas"), 2);
    val_set_text(&arena, v, STR("nonsense"), STR("x"));
    struct buf out BUF_CLEANUP = BUF_INIT;
    codec_write(type, v, &out);
    assert_string_equal(
        out.p,
        "{\"metadata\":{\"name\":\"r\",\"labels\":{\"a\":\"b\"}},\"spec\":{\"selector\":"
        "{\"matchLabels\":{\"a\":\"b\"}},\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},"
        "\"spec\":{\"containers\":null}}},\"status\":{\"replicas\":2}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_canonical_objects),
        cmocka_unit_test(names_wrong_types),
        cmocka_unit_test(strict_names_unknown_and_duplicate),
        cmocka_unit_test(warns_and_drops),
        cmocka_unit_test(reads_yaml_bodies),
        cmocka_unit_test(edited_tapes_are_written_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

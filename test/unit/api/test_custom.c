/* test_custom.c: custom kinds below the server: schemas, pruning, defaults, validation, patterns,
 * JSONPath, loading. */
#include "../cmocka_all.h"

#include "api/codec.h"
#include "api/custom/jsonpath.h"
#include "api/custom/schema_check.h"

static struct val *json(struct arena *arena, const char *text)
{
    struct val *value = NULL;
    struct err err = ERR_INIT;
    if (val_parse_json(arena, str_of(text), &value, &err) != 0) {
        fail_msg("%s: %s", text, err.message);
    }
    return value;
}

/* A definition of one version with this schema of the whole object. */
static struct definition *define(struct arena *arena, const char *schema)
{
    static const char around[] = "{\"metadata\":{\"name\":\"things.example.com\",\"uid\":\"u\"},"
                                 "\"spec\":{\"group\":\"example.com\","
                                 "\"scope\":\"Namespaced\",\"names\":{\"plural\":\"things\","
                                 "\"kind\":\"Thing\",\"listKind\":\"ThingList\"},"
                                 "\"versions\":[{\"name\":\"v1\",\"served\":true,\"storage\":true,"
                                 "\"schema\":{\"openAPIV3Schema\":%s}}]}}";
    struct val *crd = json(arena, arena_printf(arena, around, schema));
    struct definition *definition = NULL;
    struct err err = ERR_INIT;
    if (definition_new(crd, val_path(crd, "spec.names"), true, 3000, &definition, &err) != 0) {
        fail_msg("%s: %s", schema, err.message);
    }
    return definition;
}

/* ---- schemas ---- */

static void schemas_are_judged(void **state)
{
    /* the schema of the object, then "TYPE FIELD" of the only error, or NULL */
    static const char *const rows[][2] = {
        {"{\"type\":\"object\"}", NULL},
        {"{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true}", NULL},
        {"{}", "FieldValueRequired type"},
        {"{\"type\":\"string\"}", "FieldValueInvalid type"},
        {"{\"type\":\"object\",\"nullable\":true}", "FieldValueForbidden nullable"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{}}}",
         "FieldValueRequired properties[a].type"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"int\"}}}",
         "FieldValueNotSupported properties[a].type"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\"}}}",
         "FieldValueRequired properties[a].items"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{}}}}",
         "FieldValueRequired properties[a].items.type"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"pattern\":\"(?=x)\"}}}",
         "FieldValueInvalid properties[a].pattern"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"$ref\":\"x\"}}}",
         "FieldValueForbidden properties[a].$ref"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"object\",\"properties\":{\"b\":{"
         "\"type\":\"string\"}},"
         "\"additionalProperties\":{\"type\":\"string\"}}}}",
         "FieldValueForbidden properties[a].additionalProperties"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"x-kubernetes-int-or-"
         "string\":true}}}",
         NULL},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"x-kubernetes-int-or-string\":true,"
         "\"anyOf\":[{\"type\":\"integer\"},"
         "{\"type\":\"string\"}]}}}",
         NULL},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"anyOf\":[{\"type\":"
         "\"string\"}]}}}",
         "FieldValueForbidden properties[a].anyOf[0].type"},
        {"{\"type\":\"object\",\"allOf\":[{\"properties\":{\"b\":{\"minLength\":1}}}]}",
         "FieldValueRequired properties[b]"},
        {"{\"type\":\"object\",\"properties\":{\"b\":{\"type\":\"string\"}},\"allOf\":[{"
         "\"properties\":{\"b\":{\"minLength\":1}}}]}",
         NULL},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"x-kubernetes-list-"
         "type\":\"map\",\"x-kubernetes-list-map-keys\":"
         "[\"k\"],\"items\":{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"}}}}}}",
         "FieldValueRequired properties[a].items.properties[k].default"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"x-kubernetes-list-"
         "type\":\"set\",\"items\":{\"type\":\"object\"}}}}",
         "FieldValueInvalid properties[a].items.x-kubernetes-map-type"},
        {"{\"type\":\"object\",\"properties\":{\"metadata\":{\"type\":\"object\",\"properties\":{"
         "\"labels\":{\"type\":\"object\"}}}}}",
         "FieldValueForbidden properties[metadata]"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"x-kubernetes-preserve-"
         "unknown-fields\":false}}}",
         "FieldValueInvalid properties[a].x-kubernetes-preserve-unknown-fields"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        struct field_errors errors = {.arena = &arena};
        schema_check(&errors, NULL, json(&arena, rows[i][0]));
        struct buf all BUF_CLEANUP = BUF_INIT;
        for (size_t k = 0; k < errors.count; k++) {
            buf_printf(&all, "%s%s %.*s", k > 0 ? "; " : "", errors.items[k].type,
                       STR_ARG(errors.items[k].field));
        }
        if (!str_is(buf_view(&all), rows[i][1] != NULL ? rows[i][1] : "")) {
            fail_msg("%s\n gives %s\n not   %s", rows[i][0], all.p, rows[i][1]);
        }
    }
}

static void defaults_of_schemas_are_judged(void **state)
{
    static const char *const rows[][2] = {
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"default\":1}}}", ""},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"default\":\"x\"}}}",
         "properties[a].default"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"object\",\"default\":{\"b\":1}}}}",
         "properties[a].default"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"type\":"
         "\"string\",\"maxLength\":1,\"default\":\"xy\"}}}}",
         "properties[a].items.default"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        struct field_errors errors = {.arena = &arena};
        struct definition *definition = define(&arena, rows[i][0]);
        schema_check_defaults(&errors, NULL, json(&arena, rows[i][0]),
                              definition->storage->custom->schema);
        struct str field = errors.count > 0 ? errors.items[0].field : STR("");
        assert_true(str_is(field, rows[i][1]));
        definition_unref(definition);
    }
}

/* ---- objects ---- */

static const char thing[] =
    "{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\",\"properties\":{"
    "\"n\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":5,\"default\":2},"
    "\"d\":{\"type\":\"number\",\"multipleOf\":0.5},"
    "\"s\":{\"type\":\"string\",\"minLength\":2,\"maxLength\":4,\"nullable\":true},"
    "\"e\":{\"type\":\"string\",\"enum\":[\"a\",\"b\"]},"
    "\"f\":{\"type\":\"string\",\"format\":\"date-time\"},"
    "\"set\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"set\",\"maxItems\":3,\"items\":{"
    "\"type\":\"string\"}},"
    "\"inner\":{\"type\":\"object\",\"default\":{},\"properties\":{\"x\":{\"type\":\"string\","
    "\"default\":\"y\"}}},"
    "\"map\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"object\",\"properties\":{"
    "\"v\":{\"type\":\"integer\",\"default\":7}}}},"
    "\"free\":{\"x-kubernetes-preserve-unknown-fields\":true},"
    "\"pod\":{\"type\":\"object\",\"x-kubernetes-embedded-resource\":true,\"x-kubernetes-preserve-"
    "unknown-fields\":true},"
    "\"one\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"type\":"
    "\"string\"}},"
    "\"oneOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}}}}}";

static struct val *decode(struct arena *arena, const struct api_resource *resource,
                          const char *spec)
{
    struct val *value = NULL;
    struct err err = ERR_INIT;
    char *text = arena_printf(arena,
                              "{\"kind\":\"Thing\",\"apiVersion\":\"example.com/v1\",\"metadata\":{"
                              "\"name\":\"t\",\"namespace\":\"default\"},\"spec\":%s}",
                              spec);
    if (codec_decode(arena, resource->type, CODEC_JSON, str_of(text), CODEC_IGNORE, NULL, &value,
                     &err) != 0) {
        fail_msg("%s: %s", spec, err.message);
    }
    api_default(arena, resource, value);
    return value;
}

static void objects_are_pruned_and_defaulted(void **state)
{
    static const char *const rows[][2] = {
        {"{}", "{\"inner\":{\"x\":\"y\"},\"n\":2}"},
        {"{\"n\":null,\"s\":null,\"zzz\":1}", "{\"inner\":{\"x\":\"y\"},\"n\":2,\"s\":null}"},
        {"{\"inner\":{\"x\":\"z\",\"q\":1},\"map\":{\"b\":{},\"a\":{\"v\":1,\"w\":2}}}",
         "{\"inner\":{\"x\":\"z\"},\"map\":{\"a\":{\"v\":1},\"b\":{\"v\":7}},\"n\":2}"},
        {"{\"free\":{\"b\":[{\"d\":1,\"c\":null}],\"a\":1},\"inner\":{},\"n\":1}",
         "{\"free\":{\"a\":1,\"b\":[{\"c\":null,\"d\":1}]},\"inner\":{\"x\":\"y\"},\"n\":1}"},
        {"{\"n\":\"text\",\"map\":5,\"set\":{}}",
         "{\"inner\":{\"x\":\"y\"},\"map\":5,\"n\":\"text\",\"set\":{}}"},
    };
    struct arena made ARENA_CLEANUP = ARENA_INIT;
    struct definition *definition = define(&made, thing);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        struct buf text BUF_CLEANUP = BUF_INIT;
        const struct api_resource *resource = definition->storage;
        struct val *value = decode(&arena, resource, rows[i][0]);
        struct object *object = object_new(resource, value, 1), *again = NULL;
        struct val *back = object_decode(object, &arena);
        val_write_json(val_get(back, "spec"), &text);
        if (!str_is(buf_view(&text), rows[i][1])) {
            fail_msg("%s\n gives %s\n not   %s", rows[i][0], text.p, rows[i][1]);
        }
        /* What is at rest stays what it is when it is loaded. */
        assert_int_equal(object_load(resource, str_at(object->json, object->n), 1, &again, NULL),
                         0);
        assert_true(str_eq(str_at(object->json, object->n), str_at(again->json, again->n)));
        object_unref(object);
        object_unref(again);
    }
    definition_unref(definition);
}

static void objects_are_judged(void **state)
{
    /* the spec, the spec before (or NULL), and "TYPE FIELD" of all errors */
    static const char *const rows[][3] = {
        {"{\"n\":1}", NULL, ""},
        {"{\"n\":1.0}", NULL, ""},
        {"{\"n\":1.5}", NULL, "FieldValueTypeInvalid spec.n; FieldValueInvalid <nil>"},
        {"{\"n\":0}", NULL, "FieldValueInvalid spec.n"},
        {"{\"n\":9}", "{\"n\":9}", ""},
        {"{\"n\":9,\"e\":\"a\"}", "{\"n\":9}", ""},
        {"{\"n\":8}", "{\"n\":9}", "FieldValueInvalid spec.n"},
        {"{\"d\":1.5}", NULL, ""},
        {"{\"d\":1.25}", NULL, "FieldValueInvalid spec.d"},
        {"{\"s\":\"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\"}", NULL, ""},
        {"{\"s\":\"a\"}", NULL, "FieldValueInvalid spec.s"},
        {"{\"s\":\"abcde\"}", NULL, "FieldValueTooLong spec.s"},
        {"{\"e\":\"c\"}", NULL, "FieldValueNotSupported spec.e"},
        {"{\"e\":null,\"map\":{\"k\":null}}", NULL, ""},
        {"{\"f\":\"2026-01-02T03:04:05Z\"}", NULL, ""},
        {"{\"f\":\"yesterday\"}", NULL, "FieldValueTypeInvalid spec.f"},
        {"{\"set\":[\"a\",\"b\",\"a\"]}", NULL, "FieldValueDuplicate spec.set[2]"},
        {"{\"set\":[\"a\",\"b\",\"c\",\"d\"]}", NULL, "FieldValueTooMany spec.set"},
        {"{\"set\":[1]}", NULL, "FieldValueTypeInvalid spec.set[0]"},
        {"{\"map\":{\"k\":{\"v\":\"x\"}}}", NULL, "FieldValueTypeInvalid spec.map.k.v"},
        {"{\"pod\":{\"kind\":\"Pod\"}}", NULL, "FieldValueRequired spec.pod.apiVersion"},
        {"{\"one\":{\"a\":\"\"}}", NULL, ""},
        {"{\"one\":{\"a\":\"\",\"b\":\"\"}}", NULL, "FieldValueInvalid <nil>"},
    };
    struct arena made ARENA_CLEANUP = ARENA_INIT;
    struct definition *definition = define(&made, thing);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        struct buf all BUF_CLEANUP = BUF_INIT;
        struct api_context ctx = {.arena = &arena, .subresource = ""};
        struct field_errors errors = {.arena = &arena};
        const struct api_resource *resource = definition->storage;
        const struct val *old = rows[i][1] != NULL ? decode(&arena, resource, rows[i][1]) : NULL;
        custom_validate(&ctx, resource->custom, decode(&arena, resource, rows[i][0]), old, &errors);
        for (size_t k = 0; k < errors.count; k++) {
            buf_printf(&all, "%s%s %.*s", k > 0 ? "; " : "", errors.items[k].type,
                       STR_ARG(errors.items[k].field));
        }
        if (!str_is(buf_view(&all), rows[i][2])) {
            fail_msg("%s\n gives %s\n not   %s", rows[i][0], all.p, rows[i][2]);
        }
    }
    definition_unref(definition);
}

/* ---- patterns ---- */

static void patterns_are_those_of_re2(void **state)
{
    /* pattern, a text that matches (NULL: refused), one that does not */
    static const char *const rows[][3] = {
        {"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "foo-bar", "foo\n"},
        {"^\\d{1,3}$", "12", "1234"},
        {"\\p{Greek}", "\xce\xb1", "a"},
        {"(?i)ABC", "xabc", "ab"},
        {"(?P<n>x)(?<m>y)", "xy", "x"},
        {"[[:alpha:]]+[^[:alpha:]]", "a1", "1a"},
        {"x{,3}", "x{,3}", "xx"},
        {"\\Qa.b\\E", "a.b", "axb"},
        {"^\\s$", "\t", "\v"},
        {"\\x{41}\\101\\x42", "AAB", "AB"},
        {"(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"},
        {"(?=a)", NULL, NULL},
        {"(?<=a)b", NULL, NULL},
        {"(?!a)", NULL, NULL},
        {"(a)\\1", NULL, NULL},
        {"\\k<a>", NULL, NULL},
        {"a++", NULL, NULL},
        {"a*+", NULL, NULL},
        {"(?>a)", NULL, NULL},
        {"(?R)", NULL, NULL},
        {"(?1)", NULL, NULL},
        {"(?(1)a|b)", NULL, NULL},
        {"(*ACCEPT)", NULL, NULL},
        {"(?C1)", NULL, NULL},
        {"\\h", NULL, NULL},
        {"\\K", NULL, NULL},
        {"\\R", NULL, NULL},
        {"\\Z", NULL, NULL},
        {"\\C", NULL, NULL},
        {"\\X", NULL, NULL},
        {"a{1001}", NULL, NULL},
        {"(a{100}){100}", NULL, NULL},
        {"a**", NULL, NULL},
        {"(", NULL, NULL},
        {")", NULL, NULL},
        {"[z-a]", NULL, NULL},
        {"[", NULL, NULL},
        {"\\", NULL, NULL},
        {"[[:nope:]]", NULL, NULL},
        {"\\p{Nope}", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pattern *pattern = NULL;
        struct err err = ERR_INIT;
        int code = pattern_new(str_of(rows[i][0]), &pattern, &err);
        if ((code == 0) != (rows[i][1] != NULL)) {
            fail_msg("%s: %d %s", rows[i][0], code, err.message);
        }
        if (code == 0 && (pattern_match(pattern, str_of(rows[i][1])) != 1 ||
                          pattern_match(pattern, str_of(rows[i][2])) != 0)) {
            fail_msg("%s matches otherwise", rows[i][0]);
        }
        pattern_free(pattern);
    }
}

static void matching_is_bounded(void **state)
{
    struct pattern *pattern = NULL;
    struct buf text BUF_CLEANUP = BUF_INIT;
    assert_int_equal(pattern_new(STR("^(([a-z])+.)+[A-Z]([a-z])+$"), &pattern, NULL), 0);
    for (int i = 0; i < 100000; i++) {
        buf_char(&text, 'a');
    }
    assert_true(pattern_match(pattern, buf_view(&text)) < 0);
    pattern_free(pattern);
}

/* ---- paths ---- */

static void jsonpaths_lead_somewhere(void **state)
{
    static const char *const rows[][2] = {
        {".a.b", "1"},
        {"{.a.b}", "1"},
        {".a.nothing", NULL},
        {".list[1].n", "\"y\""},
        {".list[-1].v", "3"},
        {".list[*].n", "\"x\""},
        {".list[?(@.n==\"y\")].v", "2"},
        {".list[?(@.v>2)].n", "\"z\""},
        {".list[?(@.missing)].n", NULL},
        {".list[0:2].n", "\"x\""},
        {"..deep", "true"},
        {"['a']['b']", "1"},
        {".dotted\\.name", "5"},
        {"['dotted.name']", "5"},
        {".list", "[{\"n\":\"x\",\"v\":1},{\"n\":\"y\",\"v\":2},{\"n\":\"z\",\"v\":3}]"},
    };
    static const char *const bad[] = {"",      "a",  ".a[",  ".a[x]", ".a[?(@.b==]",
                                      ".a[?(", "..", ".a['b"};
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct val *value = json(&arena, "{\"a\":{\"b\":1},\"list\":[{\"n\":\"x\",\"v\":1},{"
                                           "\"n\":\"y\",\"v\":2},{\"n\":\"z\",\"v\":3}],"
                                           "\"o\":{\"p\":{\"deep\":true}},\"dotted.name\":5}");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err = ERR_INIT;
        struct buf text BUF_CLEANUP = BUF_INIT;
        const struct jsonpath *path = jsonpath_new(&arena, str_of(rows[i][0]), &err);
        if (path == NULL) {
            fail_msg("%s: %s", rows[i][0], err.message);
        }
        const struct val *found = jsonpath_first(&arena, path, value);
        if (found != NULL) {
            val_write_json(found, &text);
        }
        if ((found == NULL) != (rows[i][1] == NULL) ||
            (found != NULL && !str_is(buf_view(&text), rows[i][1]))) {
            fail_msg("%s gives %s", rows[i][0], found != NULL ? text.p : "nothing");
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (jsonpath_new(&arena, str_of(bad[i]), NULL) != NULL) {
            fail_msg("%s is taken", bad[i]);
        }
    }
    assert_null(jsonpath_members(&arena, STR(".a[0]"), NULL));
    assert_non_null(jsonpath_members(&arena, STR(".a.b"), NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schemas_are_judged),
        cmocka_unit_test(defaults_of_schemas_are_judged),
        cmocka_unit_test(objects_are_pruned_and_defaulted),
        cmocka_unit_test(objects_are_judged),
        cmocka_unit_test(patterns_are_those_of_re2),
        cmocka_unit_test(matching_is_bounded),
        cmocka_unit_test(jsonpaths_lead_somewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

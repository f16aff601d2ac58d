/* test_selector.c: label and field selectors: grammar, matching, refusals. */
#include "../cmocka_all.h"

#include "api/selector.h"

static bool matches(const char *selector, const char *labels)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct selector parsed;
    struct val *value = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(val_parse_json(&arena, str_of(labels), &value, &err), 0);
    assert_int_equal(selector_parse(&arena, str_of(selector), &parsed, &err), 0);
    return selector_matches_val(&parsed, value);
}

static void label_terms(void **state)
{
    const char *labels = "{\"app\":\"web\",\"tier\":\"\",\"n\":\"5\",\"x.io/y\":\"z\"}";
    static const char *const yes[] = {
        "",
        "app=web",
        "app==web",
        "app",
        "!db",
        "tier=",
        "tier in (,a)",
        "app in (db, web)",
        "app notin (db)",
        "db!=1",
        "db notin (a)",
        "n>4",
        "n<6",
        "x.io/y=z,app=web",
        " app = web , tier ",
        "app!=db",
        "in!=a",
        "!in",
    };
    static const char *const no[] = {
        "app=db",          "app!=web", "!app",  "db",     "app in (a,b)",
        "app notin (web)", "n>5",      "app>1", "tier=x",
    };
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        assert_true(matches(yes[i], labels));
    }
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        assert_false(matches(no[i], labels));
    }
}

static void label_refusals(void **state)
{
    static const char *const bad[] = {
        "a=b=c", "a,",         ",a",  "a in",      "a in (", "a in (b", "a in ()",
        "a b",   "!a=b",       "a>x", "-a=b",      "a=b c",  "a=-b",    "a/b/c",
        "=b",    "a in (b c)", "(a)", "a notin b", "!",      "!!a",
    };
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct selector parsed;
        struct err err = ERR_INIT;
        assert_int_equal(selector_parse(&arena, str_of(bad[i]), &parsed, &err), ERR_BAD_REQUEST);
        assert_true(err.message[0] != '\0');
    }
}

static struct selector from_json(struct arena *arena, const char *text)
{
    struct val *value = NULL;
    struct selector parsed;
    assert_int_equal(val_parse_json(arena, str_of(text), &value, NULL), 0);
    assert_int_equal(selector_from_val(arena, value, &parsed, NULL), 0);
    return parsed;
}

static void label_selector_objects(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *labels = NULL;
    assert_int_equal(val_parse_json(&arena, STR("{\"a\":\"1\",\"b\":\"2\"}"), &labels, NULL), 0);
    struct selector s = from_json(&arena, "{}");
    assert_true(selector_empty(&s) && selector_matches_val(&s, labels));
    s = from_json(&arena, "null");
    assert_false(selector_empty(&s));
    assert_false(selector_matches_val(&s, labels));
    s = from_json(&arena,
                  "{\"matchLabels\":{\"a\":\"1\"},\"matchExpressions\":[{\"key\":\"b\","
                  "\"operator\":\"In\",\"values\":[\"2\",\"3\"]},{\"key\":\"c\",\"operator\":"
                  "\"DoesNotExist\"}]}");
    assert_true(selector_matches_val(&s, labels));
    struct selector map;
    selector_from_map(&arena, labels, &map);
    assert_true(selector_matches_val(&map, labels));
    selector_from_map(&arena, NULL, &map);
    assert_false(selector_matches_val(&map, labels));
}

static void field_terms(void **state)
{
    static const char *const names[] = {"spec.nodeName", "status.phase", NULL};
    struct api_resource pods = {.field_selectors = names}, others = {0};
    struct str values[] = {STR("n1"), STR("Run,ning")};
    struct object object = {.name = STR("p"), .ns = STR("d"), .fields = values, .field_count = 2};
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    static const struct {
        const char *text;
        bool match;
    } cases[] = {
        {"", true},
        {"metadata.name=p", true},
        {"metadata.name==q", false},
        {"metadata.namespace!=d", false},
        {"spec.nodeName=n1,status.phase=Run\\,ning", true},
        {"spec.nodeName=", false},
        {",,spec.nodeName!=n2", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct field_selector parsed;
        assert_int_equal(field_selector_parse(&arena, &pods, str_of(cases[i].text), &parsed, NULL),
                         0);
        assert_int_equal(field_selector_matches(&parsed, &object), cases[i].match);
    }
    static const char *const bad[] = {"spec.host=x", "a", "spec.nodeName=a=b",
                                      "spec.nodeName=a\\b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct field_selector parsed;
        assert_int_equal(field_selector_parse(&arena, &pods, str_of(bad[i]), &parsed, NULL),
                         ERR_BAD_REQUEST);
    }
    struct field_selector parsed;
    assert_int_equal(field_selector_parse(&arena, &others, STR("spec.x=1"), &parsed, NULL),
                     ERR_BAD_REQUEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(label_terms),
        cmocka_unit_test(label_refusals),
        cmocka_unit_test(label_selector_objects),
        cmocka_unit_test(field_terms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

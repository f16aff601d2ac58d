/* Discovery: every document is JSON, and says what clients look for. */
#include "../cmocka_all.h"

#include "api/discovery.h"
#include "api/val.h"

static struct val *parsed(struct arena *arena, const struct buf *text)
{
    struct val *v = NULL;
    struct err err = ERR_INIT;
    if (val_parse_json(arena, buf_view(text), &v, &err) != 0) {
        fail_msg("%s\n%s", err.message, text->p);
    }
    return v;
}

static void aggregated_core(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf out BUF_CLEANUP = BUF_INIT;
    discovery_aggregated(catalog_builtin(), true, &out);
    struct val *v = parsed(&arena, &out), *items = val_get(v, "items");
    assert_int_equal(val_count(items), 1);
    struct val *version = val_at(val_get(val_at(items, 0), "versions"), 0);
    assert_true(str_is(val_text(val_get(version, "version")), "v1"));
    struct val *pods = val_find(val_get(version, "resources"), "resource", STR("pods"));
    assert_true(str_is(val_text(val_path(pods, "responseKind.kind")), "Pod"));
    assert_true(str_is(val_text(val_at(val_get(pods, "shortNames"), 0)), "po"));
    struct val *eviction = val_find(val_get(pods, "subresources"), "subresource", STR("eviction"));
    assert_true(str_is(val_text(val_path(eviction, "responseKind.group")), "policy"));
    assert_non_null(val_find(val_get(version, "resources"), "resource", STR("podtemplates")));
}

static void aggregated_groups(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf out BUF_CLEANUP = BUF_INIT;
    discovery_aggregated(catalog_builtin(), false, &out);
    struct val *items = val_get(parsed(&arena, &out), "items");
    assert_true(val_count(items) > 8);
    assert_true(
        str_is(val_text(val_path(val_at(items, 0), "metadata.name")), "apiregistration.k8s.io"));
    assert_true(str_is(val_text(val_path(val_at(items, 1), "metadata.name")), "apps"));
    struct val *apps = val_at(val_get(val_at(items, 1), "versions"), 0);
    struct val *deployments = val_find(val_get(apps, "resources"), "resource", STR("deployments"));
    struct val *scale = val_find(val_get(deployments, "subresources"), "subresource", STR("scale"));
    assert_true(str_is(val_text(val_path(scale, "responseKind.group")), "autoscaling"));
}

static void legacy(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf out BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    discovery_core_versions(STR("127.0.0.1:6443"), &out);
    assert_true(str_is(val_text(val_get(parsed(&arena, &out), "kind")), "APIVersions"));
    buf_clear(&out);
    discovery_groups(catalog_builtin(), &out);
    struct val *apps = val_find(val_get(parsed(&arena, &out), "groups"), "name", STR("apps"));
    assert_true(str_is(val_text(val_path(apps, "preferredVersion.groupVersion")), "apps/v1"));
    buf_clear(&out);
    assert_int_equal(discovery_group(catalog_builtin(), STR("apps"), &out, &err), 0);
    assert_true(str_is(val_text(val_get(parsed(&arena, &out), "name")), "apps"));
    assert_int_equal(discovery_group(catalog_builtin(), STR("app"), &out, &err), ERR_NOT_FOUND);
    buf_clear(&out);
    assert_int_equal(discovery_resources(catalog_builtin(), STR(""), STR("v1"), &out, &err), 0);
    struct val *v = parsed(&arena, &out);
    assert_true(str_is(val_text(val_get(v, "groupVersion")), "v1"));
    struct val *token = val_find(val_get(v, "resources"), "name", STR("serviceaccounts/token"));
    assert_true(str_is(val_text(val_get(token, "kind")), "TokenRequest"));
    assert_true(str_is(val_text(val_get(token, "group")), "authentication.k8s.io"));
    assert_int_equal(discovery_resources(catalog_builtin(), STR("apps"), STR("v2"), &out, &err),
                     ERR_NOT_FOUND);
    struct api_group_version rows[64];
    size_t count = catalog_versions(catalog_builtin(), rows, 64);
    assert_true(count > 8 && count < 64);
    assert_string_equal(rows[0].group, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aggregated_core),
        cmocka_unit_test(aggregated_groups),
        cmocka_unit_test(legacy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

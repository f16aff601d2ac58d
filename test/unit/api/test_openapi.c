/* OpenAPI: every document is JSON, every reference has its target, and kubectl finds what it needs.
 */
#include "../cmocka_all.h"

#include "api/openapi.h"
#include "api/val.h"
#include "base/vec.h"
#include "wire/protobuf.h"

static struct val *parsed(struct arena *arena, const struct buf *text)
{
    struct val *v = NULL;
    struct err err = ERR_INIT;
    if (val_parse_json(arena, buf_view(text), &v, &err) != 0) {
        fail_msg("%s", err.message);
    }
    return v;
}

struct members {
    VEC_OF(const struct val *);
};

/* Every $ref below `v` names a member of `targets`; returns how many there are. */
static size_t check_references(const struct val *v, const struct val *targets, const char *prefix)
{
    struct members todo = {0};
    size_t count = 0;
    *vec_push(&todo) = v;
    while (todo.count > 0) {
        const struct val *top = todo.items[--todo.count];
        VAL_EACH (it, top) {
            *vec_push(&todo) = it;
            if (str_is(it->key, "$ref") && it->type == VAL_STRING) {
                assert_true(str_starts(it->text, str_of(prefix)));
                if (val_get_str(targets, str_from(it->text, strlen(prefix))) == NULL) {
                    fail_msg("no target: %.*s", STR_ARG(it->text));
                }
                count++;
            }
        }
    }
    vec_done(&todo);
    return count;
}

static void version_3(void **state)
{
    struct api_group_version rows[64];
    size_t count = catalog_versions(catalog_builtin(), rows, 64);
    struct err err = ERR_INIT;
    for (size_t i = 0; i < count; i++) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        struct buf out BUF_CLEANUP = BUF_INIT;
        assert_int_equal(openapi_v3(catalog_builtin(), str_of(rows[i].group),
                                    str_of(rows[i].version), &out, &err),
                         0);
        struct val *v = parsed(&arena, &out);
        struct val *schemas = val_path(v, "components.schemas");
        assert_true(check_references(v, schemas, "#/components/schemas/") > 10);
    }
    struct buf out BUF_CLEANUP = BUF_INIT;
    assert_int_equal(openapi_v3(catalog_builtin(), STR("apps"), STR("v9"), &out, &err),
                     ERR_NOT_FOUND);
    assert_int_equal(out.n, 0);
}

static void says_how_to_merge(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf out BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    assert_int_equal(openapi_v3(catalog_builtin(), STR(""), STR("v1"), &out, &err), 0);
    struct val *v = parsed(&arena, &out);
    struct val *spec = val_get(val_path(v, "components.schemas"), "io.k8s.api.core.v1.PodSpec");
    struct val *containers = val_path(spec, "properties.containers");
    assert_true(str_is(val_text(val_get(containers, "x-kubernetes-patch-merge-key")), "name"));
    assert_true(str_is(val_text(val_get(containers, "x-kubernetes-patch-strategy")), "merge"));
    assert_true(str_is(val_text(val_get(containers, "x-kubernetes-list-type")), "map"));
    struct val *volumes = val_path(spec, "properties.volumes");
    assert_true(
        str_is(val_text(val_get(volumes, "x-kubernetes-patch-strategy")), "merge,retainKeys"));
    struct val *volume =
        val_get(val_path(v, "components.schemas"), "io.k8s.api.core.v1.PersistentVolumeSpec");
    struct val *claim = val_path(volume, "properties.claimRef");
    assert_true(str_is(val_text(val_get(claim, "x-kubernetes-map-type")), "granular"));
    struct val *path = val_get(val_get(v, "paths"), "/api/v1/namespaces/{namespace}/pods/{name}");
    struct val *patch = val_get(path, "patch");
    assert_non_null(val_find(val_get(patch, "parameters"), "name", STR("fieldValidation")));
    assert_true(str_is(val_text(val_get(val_get(patch, "x-kubernetes-group-version-kind"), "kind")),
                       "Pod"));
    struct val *pod = val_get(val_path(v, "components.schemas"), "io.k8s.api.core.v1.Pod");
    struct val *gvk = val_at(val_get(pod, "x-kubernetes-group-version-kind"), 0);
    assert_true(str_is(val_text(val_get(gvk, "kind")), "Pod"));
}

static void index_names_all_documents(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf out BUF_CLEANUP = BUF_INIT, again BUF_CLEANUP = BUF_INIT;
    openapi_v3_index(catalog_builtin(), NULL, NULL, &out);
    openapi_v3_index(catalog_builtin(), NULL, NULL, &again);
    assert_string_equal(out.p, again.p);
    struct val *paths = val_get(parsed(&arena, &out), "paths");
    struct str url = val_text(val_get(val_get(paths, "apis/apps/v1"), "serverRelativeURL"));
    assert_true(str_starts(url, STR("/openapi/v3/apis/apps/v1?hash=")));
    assert_non_null(val_get(paths, "api/v1"));
}

static void version_2(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf out BUF_CLEANUP = BUF_INIT, binary BUF_CLEANUP = BUF_INIT;
    openapi_v2(catalog_builtin(), &out);
    struct val *v = parsed(&arena, &out);
    assert_true(check_references(v, val_get(v, "definitions"), "#/definitions/") > 100);
    openapi_v2_protobuf(catalog_builtin(), &binary);
    struct protobuf_reader reader;
    struct protobuf_field field;
    size_t paths = 0, definitions = 0;
    protobuf_reader_init(&reader, buf_view(&binary));
    while (protobuf_next(&reader, &field)) {
        struct protobuf_reader inner;
        struct protobuf_field entry;
        if (field.number == 8 || field.number == 9) {
            protobuf_reader_init(&inner, field.bytes);
            while (protobuf_next(&inner, &entry)) {
                (field.number == 8 ? &paths : &definitions)[0]++;
            }
            assert_false(inner.failed);
        }
    }
    assert_false(reader.failed);
    assert_int_equal(paths, val_count(val_get(v, "paths")));
    assert_int_equal(definitions, val_count(val_get(v, "definitions")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_3),
        cmocka_unit_test(says_how_to_merge),
        cmocka_unit_test(index_names_all_documents),
        cmocka_unit_test(version_2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

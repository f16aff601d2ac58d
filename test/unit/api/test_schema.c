/* The tables made from schema/: look-ups, and what they must say about well-known kinds. */
#include "../cmocka_all.h"

#include "api/ops.h"
#include "api/schema.h"

static void finds_resources(void **state)
{
    const struct api_resource *pods = schema_resource(STR(""), STR("v1"), STR("pods"));
    assert_non_null(pods);
    assert_string_equal(pods->kind, "Pod");
    assert_string_equal(pods->list_kind, "PodList");
    assert_string_equal(pods->short_names[0], "po");
    assert_true(pods->namespaced && pods->served && pods->stored);
    assert_ptr_equal(pods->storage, pods);
    assert_ptr_equal(schema_kind_of(STR("v1"), STR("Pod")), pods);
    assert_string_equal(schema_subresource(pods, STR("eviction"))->kind, "Eviction");
    assert_string_equal(schema_subresource(pods, STR("eviction"))->group, "policy");
    assert_null(schema_subresource(pods, STR("scale")));
    assert_non_null(schema_resource(STR("apps"), STR("v1"), STR("deployments")));
    assert_null(schema_resource(STR("apps"), STR("v1beta1"), STR("deployments")));
    const struct api_resource *events =
        schema_resource(STR("events.k8s.io"), STR("v1"), STR("events"));
    assert_ptr_equal(events->storage, schema_resource(STR(""), STR("v1"), STR("events")));
    size_t count = 0;
    const struct api_resource *const *all = schema_resources(&count);
    assert_true(count > 60);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(all[i]->id, i);
        assert_non_null(all[i]->ops);
        assert_ptr_equal(
            schema_resource(str_of(all[i]->group), str_of(all[i]->version), str_of(all[i]->plural)),
            all[i]);
    }
}

static void finds_fields(void **state)
{
    const struct api_struct *spec = schema_struct(STR("io.k8s.api.core.v1.PodSpec"));
    assert_non_null(spec);
    assert_null(schema_struct(STR("io.k8s.api.core.v1.Nothing")));
    for (uint16_t i = 0; i < spec->count; i++) {
        assert_ptr_equal(schema_field(spec, str_of(spec->fields[i].name)), &spec->fields[i]);
        assert_int_equal(spec->fields[i].index, i);
    }
    const struct api_field *containers = schema_field(spec, STR("containers"));
    assert_int_equal(containers->number, 2);
    assert_int_equal(containers->list, API_LIST_MAP);
    assert_string_equal(containers->list_keys[0], "name");
    assert_string_equal(containers->merge_key, "name");
    assert_true((containers->flags & API_REQUIRED) != 0);
    assert_true((containers->flags & API_OMIT_EMPTY) == 0);
    assert_string_equal(containers->type_struct->name, "io.k8s.api.core.v1.Container");
    assert_string_equal(schema_field(spec, STR("restartPolicy"))->default_json, "\"Always\"");
    assert_null(schema_field(spec, STR("nope")));
    assert_null(schema_field(spec, STR("")));
    const struct api_struct *pod = schema_object_type(STR(""), STR("v1"), STR("Pod"));
    assert_string_equal(pod->fields[0].name, "kind");
    assert_string_equal(pod->fields[1].name, "apiVersion");
    assert_string_equal(pod->zero,
                        "{\"metadata\":{},\"spec\":{\"containers\":null},\"status\":{}}");
}

static void finds_object_types(void **state)
{
    assert_non_null(schema_object_type(STR(""), STR("v1"), STR("DeleteOptions")));
    assert_non_null(schema_object_type(STR("autoscaling"), STR("v1"), STR("Scale")));
    assert_non_null(
        schema_object_type(STR("authentication.k8s.io"), STR("v1"), STR("TokenRequest")));
    assert_non_null(schema_object_type(STR("policy"), STR("v1"), STR("Eviction")));
    assert_non_null(schema_object_type(STR("apps"), STR("v1"), STR("DeploymentList")));
    assert_null(schema_object_type(STR("apps"), STR("v1"), STR("DeploymentSpec")));
}

static void flattened_messages_keep_their_numbers(void **state)
{
    const struct api_struct *volume = schema_struct(STR("io.k8s.api.core.v1.Volume"));
    const struct api_field *field = schema_field(volume, STR("emptyDir"));
    assert_int_equal(field->outer, 2);
    assert_int_equal(field->number, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_resources),
        cmocka_unit_test(finds_fields),
        cmocka_unit_test(finds_object_types),
        cmocka_unit_test(flattened_messages_keep_their_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

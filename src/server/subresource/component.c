/* component.c: ComponentStatuses, which old tools ask for: the parts of a control plane. They live
 * in this process together with what answers here, so who hears an answer hears that they are well.
 */
#include "server/render.h"
#include "server/server_int.h"
#include "server/subresource/subresource.h"
#include "server/verb/list.h"

static const char *const components[] = {"controller-manager", "etcd-0", "scheduler"};
enum { COMPONENTS = sizeof components / sizeof components[0] };

static struct object *object_of(struct request *request, const char *name)
{
    struct arena *arena = &request->arena;
    struct val *value = val_new(arena, VAL_OBJECT);
    val_set_text(arena, value, STR("kind"), STR("ComponentStatus"));
    val_set_text(arena, value, STR("apiVersion"), STR("v1"));
    val_set_text(arena, val_make_object(arena, value, STR("metadata")), STR("name"), str_of(name));
    struct val *condition =
        val_append(val_make_array(arena, value, STR("conditions")), val_new(arena, VAL_OBJECT));
    val_set_text(arena, condition, STR("type"), STR("Healthy"));
    val_set_text(arena, condition, STR("status"), STR("True"));
    val_set_text(arena, condition, STR("message"), STR("ok"));
    return object_new(request->route.resource, value, 0);
}

static void get(struct request *request)
{
    struct failure failure;
    for (size_t i = 0; i < COMPONENTS; i++) {
        if (str_is(request->route.name, components[i])) {
            request_answer_object(request, 200, object_of(request, components[i]));
            return;
        }
    }
    failure_not_found(&failure, &request->arena, request->route.resource, request->route.name);
    request_fail(request, &failure);
}

static bool is_asked_for(const struct object *object, const struct selector *labels,
                         const struct field_selector *fields)
{
    return (labels == NULL || selector_matches(labels, object)) &&
           (fields == NULL || field_selector_matches(fields, object));
}

static void list(struct request *request)
{
    const struct selector *labels;
    const struct field_selector *fields;
    struct failure failure;
    if (listing_selectors(request, &labels, &fields, &failure) < 0) {
        request_fail(request, &failure);
        return;
    }
    struct render render;
    struct buf out = BUF_INIT;
    bool first = true;
    render_init(&render, request);
    render.protobuf = false;
    render_list_head(&render, &out);
    buf_addz(&out, "{}");
    render_list_open(&render, &out);
    for (size_t i = 0; i < COMPONENTS; i++) {
        struct object *object = object_of(request, components[i]);
        if (is_asked_for(object, labels, fields)) {
            buf_addz(&out, first ? "" : ",");
            render_item(&render, object, &out);
            first = false;
        }
        object_unref(object);
    }
    buf_addz(&out, "]}\n");
    render_done(&render);
    request_answer_bytes(request, 200, "application/json", &out);
    buf_done(&out);
}

void subresource_component(struct request *request)
{
    if (request->route.verb == VERB_LIST) {
        list(request);
    } else {
        get(request);
    }
}

/* fake_object.c: stands in for api/object.c until it is there: as much as the cache's tests need.
 * Reads only what specimen.c writes. */
#include "api/object.h"

#include "base/mem.h"

static struct str text_after(struct str json, const char *mark)
{
    const char *at = strstr(json.p, mark);
    struct str rest = at != NULL ? str_of(at + strlen(mark)) : STR_NONE;
    return at != NULL ? str_cut(rest, '"', &rest) : STR_NONE;
}

int object_load(const struct api_resource *resource, struct str json, uint64_t revision,
                struct object **ret_object, struct err *err)
{
    struct object *object = mem_zalloc(sizeof *object + json.n + 1);
    memcpy(object->json, json.p, json.n);
    object->n = (uint32_t)json.n;
    atomic_init(&object->refs, 1);
    object->resource = resource;
    object->revision = revision;
    struct str bytes = {object->json, json.n};
    object->ns = text_after(bytes, "\"namespace\":\"");
    object->name = text_after(bytes, "\"name\":\"");
    object->uid = text_after(bytes, "\"uid\":\"");
    struct str label = text_after(bytes, "\"app\":\"");
    object->labels = mem_array(struct object_label, 1);
    object->fields = mem_array(struct str, 1);
    if (label.n > 0) {
        object->label_count = 1;
        object->label_bloom = object_label_bloom(STR("app"), label);
        object->labels[0] = (struct object_label){
            (uint32_t)(label.p - 6 - object->json), (uint32_t)(label.p - object->json), 3,
            (uint16_t)label.n, object_label_hash(STR("app"), label)};
    }
    object->field_count = 1;
    object->fields[0] = text_after(bytes, "\"nodeName\":\"");
    *ret_object = object;
    return 0;
}

struct object *object_ref(struct object *object)
{
    atomic_fetch_add_explicit(&object->refs, 1, memory_order_relaxed);
    return object;
}

void object_unref(struct object *object)
{
    if (object != NULL && atomic_fetch_sub_explicit(&object->refs, 1, memory_order_acq_rel) == 1) {
        free(object->labels);
        free(object->fields);
        free(object);
    }
}

struct object *object_with_revision(struct object *object, uint64_t revision)
{
    struct object *copy = NULL;
    object_load(object->resource, str_at(object->json, object->n), revision, &copy, NULL);
    object_unref(object);
    return copy;
}

struct str object_label_get(const struct object *object, struct str key)
{
    const struct object_label *label = object->labels;
    return object->label_count > 0 && str_is(key, "app")
               ? str_at(object->json + label->value_at, label->value_n)
               : STR_NONE;
}

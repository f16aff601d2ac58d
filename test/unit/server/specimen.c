/* specimen.c: see specimen.h. The bytes are canonical, as the codec writes them. */
#include "specimen.h"

#include "../cmocka_all.h"

const struct api_resource *specimen_pods(void)
{
    return schema_resource(STR(""), STR("v1"), STR("pods"));
}

const struct api_resource *specimen_configmaps(void)
{
    return schema_resource(STR(""), STR("v1"), STR("configmaps"));
}

static void begin(struct buf *json, const char *kind, struct str ns, struct str name,
                  uint64_t number)
{
    buf_printf(json,
               "{\"kind\":\"%s\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"%.*s\","
               "\"namespace\":\"%.*s\",\"uid\":\"u%llu\"",
               kind, STR_ARG(name), STR_ARG(ns), (unsigned long long)number);
}

static void annotate(struct buf *json, uint64_t number, size_t size)
{
    buf_printf(json, ",\"annotations\":{\"number\":\"%llu\",\"pad\":\"",
               (unsigned long long)number);
    while (json->n + 80 < size) {
        buf_char(json, 'x');
    }
    buf_addz(json, "\"}}");
}

static struct object *load(const struct api_resource *resource, const struct buf *json)
{
    struct object *object = NULL;
    struct err err = ERR_INIT;
    if (object_load(resource, buf_view(json), 0, &object, &err) != 0) {
        fail_msg("%s", err.message);
    }
    return object;
}

struct object *specimen_pod(struct str ns, struct str name, struct str app, struct str node,
                            uint64_t number, size_t size)
{
    struct buf json BUF_CLEANUP = BUF_INIT;
    begin(&json, "Pod", ns, name, number);
    if (app.n > 0) {
        buf_printf(&json, ",\"labels\":{\"app\":\"%.*s\"}", STR_ARG(app));
    }
    annotate(&json, number, size);
    buf_addz(&json, ",\"spec\":{");
    if (node.n > 0) {
        buf_printf(&json, "\"nodeName\":\"%.*s\"", STR_ARG(node));
    }
    buf_addz(&json, "},\"status\":{}}");
    return load(specimen_pods(), &json);
}

struct object *specimen_configmap(struct str ns, struct str name, uint64_t number, size_t size)
{
    struct buf json BUF_CLEANUP = BUF_INIT;
    begin(&json, "ConfigMap", ns, name, number);
    annotate(&json, number, size);
    buf_char(&json, '}');
    return load(specimen_configmaps(), &json);
}

uint64_t specimen_number(const struct object *object)
{
    const char *at = strstr(object->json, "\"number\":\"");
    uint64_t number = 0;
    struct str rest = str_of(at + 10);
    assert_true(str_u64(str_cut(rest, '"', &rest), &number));
    return number;
}

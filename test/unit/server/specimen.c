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

struct object *specimen_pod(struct str ns, struct str name, struct str app, struct str node,
                            uint64_t number, size_t size)
{
    struct buf json BUF_CLEANUP = BUF_INIT;
    struct object *object = NULL;
    struct err err = ERR_INIT;
    buf_printf(&json,
               "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"%.*s\","
               "\"namespace\":\"%.*s\",\"uid\":\"u%llu\"",
               STR_ARG(name), STR_ARG(ns), (unsigned long long)number);
    if (app.n > 0) {
        buf_printf(&json, ",\"labels\":{\"app\":\"%.*s\"}", STR_ARG(app));
    }
    buf_printf(&json, ",\"annotations\":{\"number\":\"%llu\",\"pad\":\"",
               (unsigned long long)number);
    while (json.n + 80 < size) {
        buf_char(&json, 'x');
    }
    buf_addz(&json, "\"}},\"spec\":{");
    if (node.n > 0) {
        buf_printf(&json, "\"nodeName\":\"%.*s\"", STR_ARG(node));
    }
    buf_addz(&json, "},\"status\":{}}");
    if (object_load(specimen_pods(), buf_view(&json), 0, &object, &err) != 0) {
        fail_msg("%s", err.message);
    }
    return object;
}

uint64_t specimen_number(const struct object *object)
{
    const char *at = strstr(object->json, "\"number\":\"");
    uint64_t number = 0;
    struct str rest = str_of(at + 10);
    assert_true(str_u64(str_cut(rest, '"', &rest), &number));
    return number;
}

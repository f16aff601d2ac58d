/* table.c: which handler serves which subresource or virtual kind. "*" is any resource that has the
 * subresource in its schema. */
#include "server/subresource/subresource.h"
#include "server/verb/verb.h"

struct row {
    const char *resource, *subresource;
    handler_fn *get, *create, *update, *patch, *remove;
};

static const struct row rows[] = {
    {"*", "status", verb_get, NULL, verb_update, verb_patch, NULL},
    {"*", "scale", subresource_scale, NULL, subresource_scale, subresource_scale, NULL},
    {"namespaces", "finalize", NULL, NULL, verb_update, NULL, NULL},
    {"pods", "ephemeralcontainers", verb_get, NULL, verb_update, verb_patch, NULL},
    {"pods", "resize", verb_get, NULL, verb_update, verb_patch, NULL},
    {"pods", "binding", NULL, subresource_binding, NULL, NULL, NULL},
    {"pods", "eviction", NULL, subresource_eviction, NULL, NULL, NULL},
    {"pods", "log", subresource_node_proxy, NULL, NULL, NULL, NULL},
    {"pods", "exec", subresource_node_proxy, subresource_node_proxy, NULL, NULL, NULL},
    {"pods", "attach", subresource_node_proxy, subresource_node_proxy, NULL, NULL, NULL},
    {"pods", "portforward", subresource_node_proxy, subresource_node_proxy, NULL, NULL, NULL},
    {"*", "proxy", subresource_node_proxy, subresource_node_proxy, subresource_node_proxy,
     subresource_node_proxy, subresource_node_proxy},
    {"serviceaccounts", "token", NULL, subresource_token, NULL, NULL, NULL},
    {"certificatesigningrequests", "approval", verb_get, NULL, verb_update, verb_patch, NULL},
    {"bindings", "", NULL, subresource_binding, NULL, NULL, NULL},
    {"componentstatuses", "", subresource_component, NULL, NULL, NULL, NULL},
    {"tokenreviews", "", NULL, subresource_token_review, NULL, NULL, NULL},
    {"subjectaccessreviews", "", NULL, subresource_access_review, NULL, NULL, NULL},
    {"localsubjectaccessreviews", "", NULL, subresource_access_review, NULL, NULL, NULL},
    {"selfsubjectaccessreviews", "", NULL, subresource_access_review, NULL, NULL, NULL},
    {"selfsubjectrulesreviews", "", NULL, subresource_rules_review, NULL, NULL, NULL},
    {"selfsubjectreviews", "", NULL, subresource_self_review, NULL, NULL, NULL},
};

static handler_fn *of_row(const struct row *row, enum request_verb verb)
{
    switch (verb) {
    case VERB_GET:
    case VERB_LIST:
        return row->get;
    case VERB_CREATE:
        return row->create;
    case VERB_UPDATE:
        return row->update;
    case VERB_PATCH:
        return row->patch;
    case VERB_DELETE:
        return row->remove;
    default:
        return NULL;
    }
}

handler_fn *subresource_handler(const struct route *route)
{
    struct str plural = str_of(route->resource->plural);
    struct str sub = route_subresource(route);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool any = str_is(STR("*"), rows[i].resource);
        if (str_is(sub, rows[i].subresource) && (any || str_is(plural, rows[i].resource))) {
            return of_row(&rows[i], route->verb);
        }
    }
    return NULL;
}

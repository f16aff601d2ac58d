/* discovery.c: see discovery.h. Sorted as Kubernetes sorts: groups by their fixed rank, unknown
 * ones after them by name, versions by maturity, resources and subresources by name.
 */
#include "api/discovery.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/json_emit.h"
#include "base/vec.h"
#include "pki/digest.h"

struct api_catalog catalog_builtin(void)
{
    struct api_catalog catalog = {0};
    catalog.resources = schema_resources(&catalog.count);
    return catalog;
}

static int group_rank(const char *group)
{
    static const char *const order[] = {
        "",
        "apiregistration.k8s.io",
        "apps",
        "events.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "networking.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "storage.k8s.io",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "scheduling.k8s.io",
        "coordination.k8s.io",
        "node.k8s.io",
        "discovery.k8s.io",
        "resource.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "storagemigration.k8s.io",
    };
    int count = (int)(sizeof order / sizeof *order);
    for (int i = 0; i < count; i++) {
        if (strcmp(group, order[i]) == 0) {
            return i;
        }
    }
    return count;
}

/* "v2" > "v1" > "v1beta2" > "v1beta1" > "v1alpha1" > anything else. */
static uint64_t version_rank(const char *version)
{
    struct str rest = str_of(version);
    uint64_t major = 0, minor = 0, stage = 3;
    size_t digits = 0;
    if (rest.n < 2 || rest.p[0] != 'v') {
        return 0;
    }
    rest = str_from(rest, 1);
    digits = strspn(rest.p, "0123456789");
    if (!str_u64(str_at(rest.p, digits), &major) || major > 10000) {
        return 0;
    }
    rest = str_from(rest, digits);
    if (rest.n > 0) {
        stage = str_starts(rest, STR("beta")) ? 2 : str_starts(rest, STR("alpha")) ? 1 : 0;
        size_t word = stage == 2 ? 4 : stage == 1 ? 5 : rest.n;
        if (stage == 0 || !str_u64(str_from(rest, word), &minor) || minor > 10000) {
            return 0;
        }
    }
    return stage << 48 | major << 24 | minor;
}

static int by_group_version(const void *a, const void *b)
{
    const struct api_group_version *x = a, *y = b;
    int order = group_rank(x->group) - group_rank(y->group);
    if (order == 0) {
        order = strcmp(x->group, y->group);
    }
    if (order != 0) {
        return order;
    }
    uint64_t rx = version_rank(x->version), ry = version_rank(y->version);
    return rx != ry ? (rx < ry) - (rx > ry) : strcmp(x->version, y->version);
}

static int by_plural(const void *a, const void *b)
{
    return strcmp((*(const struct api_resource *const *)a)->plural,
                  (*(const struct api_resource *const *)b)->plural);
}

struct versions {
    VEC_OF(struct api_group_version);
};
struct resources {
    VEC_OF(const struct api_resource *);
};

static void collect_versions(struct api_catalog catalog, struct versions *versions)
{
    for (size_t i = 0; i < catalog.count; i++) {
        const struct api_resource *it = catalog.resources[i];
        bool there = !it->served;
        for (size_t k = 0; k < versions->count && !there; k++) {
            there = strcmp(versions->items[k].group, it->group) == 0 &&
                    strcmp(versions->items[k].version, it->version) == 0;
        }
        if (!there) {
            *vec_push(versions) = (struct api_group_version){it->group, it->version};
        }
    }
    if (versions->count > 0) {
        qsort(versions->items, versions->count, sizeof *versions->items, by_group_version);
    }
}

size_t catalog_versions(struct api_catalog catalog, struct api_group_version *ret_rows, size_t cap)
{
    struct versions versions = {0};
    collect_versions(catalog, &versions);
    size_t count = versions.count;
    for (size_t i = 0; i < count && i < cap; i++) {
        ret_rows[i] = versions.items[i];
    }
    vec_done(&versions);
    return count;
}

static void collect_resources(struct api_catalog catalog, struct str group, struct str version,
                              struct resources *resources)
{
    for (size_t i = 0; i < catalog.count; i++) {
        const struct api_resource *it = catalog.resources[i];
        if (it->served && str_is(group, it->group) && str_is(version, it->version)) {
            *vec_push(resources) = it;
        }
    }
    if (resources->count > 0) {
        qsort(resources->items, resources->count, sizeof *resources->items, by_plural);
    }
}

static void emit_verbs(struct emit *e, uint16_t verbs, bool custom)
{
    static const struct {
        uint16_t bit;
        const char *name;
    } names[] = {
        {API_VERB_CREATE, "create"},
        {API_VERB_DELETE, "delete"},
        {API_VERB_DELETE_COLLECTION, "deletecollection"},
        {API_VERB_GET, "get"},
        {API_VERB_LIST, "list"},
        {API_VERB_PATCH, "patch"},
        {API_VERB_UPDATE, "update"},
        {API_VERB_WATCH, "watch"},
    };
    emit_key(e, "verbs");
    emit_open(e, '[');
    /* Custom kinds have "create" behind "patch". */
    static const uint8_t custom_order[] = {1, 2, 3, 4, 5, 0, 6, 7};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t at = custom ? custom_order[i] : i;
        if ((verbs & names[at].bit) != 0) {
            emit_text(e, names[at].name);
        }
    }
    emit_close(e, ']');
}

static bool has_any(const char *const *texts)
{
    return texts != NULL && *texts != NULL;
}

/* ---- aggregated ---- */

static void emit_kind(struct emit *e, const char *group, const char *version, const char *kind)
{
    emit_key(e, "responseKind");
    emit_open(e, '{');
    emit_member(e, "group", group);
    emit_member(e, "version", version);
    emit_member(e, "kind", kind);
    emit_close(e, '}');
}

static void emit_resource(struct emit *e, const struct api_resource *resource)
{
    emit_open(e, '{');
    emit_member(e, "resource", resource->plural);
    emit_kind(e, resource->group, resource->version, resource->kind);
    emit_member(e, "scope", resource->namespaced ? "Namespaced" : "Cluster");
    emit_member(e, "singularResource", resource->singular);
    emit_verbs(e, resource->verbs, resource->custom != NULL);
    if (has_any(resource->short_names)) {
        emit_texts(e, "shortNames", resource->short_names);
    }
    if (has_any(resource->categories)) {
        emit_texts(e, "categories", resource->categories);
    }
    if (resource->subresource_count > 0) {
        emit_key(e, "subresources");
        emit_open(e, '[');
        for (size_t i = 0; i < resource->subresource_count; i++) {
            const struct api_subresource *sub = &resource->subresources[i];
            bool own = sub->version[0] == '\0';
            emit_open(e, '{');
            emit_member(e, "subresource", sub->name);
            emit_kind(e, own ? resource->group : sub->group, own ? resource->version : sub->version,
                      sub->kind);
            emit_verbs(e, sub->verbs, false);
            emit_close(e, '}');
        }
        emit_close(e, ']');
    }
    emit_close(e, '}');
}

static void emit_version(struct emit *e, struct api_catalog catalog,
                         const struct api_group_version *row)
{
    struct resources resources = {0};
    collect_resources(catalog, str_of(row->group), str_of(row->version), &resources);
    emit_open(e, '{');
    emit_member(e, "version", row->version);
    emit_key(e, "resources");
    emit_open(e, '[');
    VEC_EACH (it, &resources) {
        emit_resource(e, *it);
    }
    emit_close(e, ']');
    emit_member(e, "freshness", "Current");
    emit_close(e, '}');
    vec_done(&resources);
}

void discovery_aggregated(struct api_catalog catalog, bool core, struct buf *out)
{
    struct emit e = {.out = out};
    struct versions versions = {0};
    collect_versions(catalog, &versions);
    buf_addz(out, "{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/v2\","
                  "\"metadata\":{},\"items\":[");
    const char *open = NULL;
    VEC_EACH (row, &versions) {
        if ((row->group[0] == '\0') != core) {
            continue;
        }
        if (open == NULL || strcmp(open, row->group) != 0) {
            if (open != NULL) {
                emit_close(&e, ']');
                emit_close(&e, '}');
            }
            open = row->group;
            emit_open(&e, '{');
            emit_key(&e, "metadata");
            emit_open(&e, '{');
            if (!core) {
                emit_member(&e, "name", open);
            }
            emit_close(&e, '}');
            emit_key(&e, "versions");
            emit_open(&e, '[');
        }
        emit_version(&e, catalog, row);
    }
    buf_addz(out, open != NULL ? "]}]}" : "]}");
    vec_done(&versions);
}

/* ---- legacy ---- */

void discovery_core_versions(struct str server_address, struct buf *out)
{
    struct emit e = {.out = out};
    buf_addz(out,
             "{\"kind\":\"APIVersions\",\"versions\":[\"v1\"],\"serverAddressByClientCIDRs\":[{"
             "\"clientCIDR\":\"0.0.0.0/0\",\"serverAddress\":");
    emit_str(&e, server_address);
    buf_addz(out, "}]}");
}

static void emit_group_version(struct emit *e, const struct api_group_version *row)
{
    char text[256];
    snprintf(text, sizeof text, "%s/%s", row->group, row->version);
    emit_open(e, '{');
    emit_member(e, "groupVersion", row->group[0] != '\0' ? text : row->version);
    emit_member(e, "version", row->version);
    emit_close(e, '}');
}

/* The members of an APIGroup; `rows` are its versions, best first. */
static void emit_group(struct emit *e, const struct api_group_version *rows, size_t count)
{
    emit_member(e, "name", rows->group);
    emit_key(e, "versions");
    emit_open(e, '[');
    for (size_t i = 0; i < count; i++) {
        emit_group_version(e, &rows[i]);
    }
    emit_close(e, ']');
    emit_key(e, "preferredVersion");
    emit_group_version(e, rows);
}

static size_t group_length(const struct versions *versions, size_t at)
{
    size_t n = 1;
    while (at + n < versions->count &&
           strcmp(versions->items[at].group, versions->items[at + n].group) == 0) {
        n++;
    }
    return n;
}

void discovery_groups(struct api_catalog catalog, struct buf *out)
{
    struct emit e = {.out = out};
    struct versions versions = {0};
    collect_versions(catalog, &versions);
    buf_addz(out, "{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":[");
    for (size_t i = 0, n = 0; i < versions.count; i += n) {
        n = group_length(&versions, i);
        if (versions.items[i].group[0] != '\0') {
            emit_open(&e, '{');
            emit_group(&e, &versions.items[i], n);
            emit_close(&e, '}');
        }
    }
    buf_addz(out, "]}");
    vec_done(&versions);
}

int discovery_group(struct api_catalog catalog, struct str group, struct buf *out, struct err *err)
{
    struct emit e = {.out = out, .comma = true};
    struct versions versions = {0};
    int code = ERR_NOT_FOUND;
    collect_versions(catalog, &versions);
    for (size_t i = 0; i < versions.count && code != 0; i++) {
        if (group.n > 0 && str_is(group, versions.items[i].group)) {
            buf_addz(out, "{\"kind\":\"APIGroup\",\"apiVersion\":\"v1\"");
            emit_group(&e, &versions.items[i], group_length(&versions, i));
            buf_char(out, '}');
            code = 0;
        }
    }
    vec_done(&versions);
    return code == 0 ? 0 : err_set(err, code, "no API group %.*s is served", STR_ARG(group));
}

/* A name for the version that is written to the store, by which clients see that it changed: the
 * first eight bytes of SHA-256 over GROUP/VERSION/KIND, in base64. */
static void emit_storage(struct emit *e, const struct api_resource *stored)
{
    unsigned char digest[DIGEST_SIZE];
    struct buf name BUF_CLEANUP = BUF_INIT, text BUF_CLEANUP = BUF_INIT;
    buf_printf(&name, "%s/%s/%s", stored->group, stored->version, stored->kind);
    digest_sha256(buf_view(&name), digest);
    base64_encode(&text, digest, 8);
    emit_member(e, "storageVersionHash", text.p);
}

static void emit_legacy(struct emit *e, const struct api_resource *resource,
                        const struct api_subresource *sub)
{
    char name[256];
    snprintf(name, sizeof name, "%s%s%s", resource->plural, sub != NULL ? "/" : "",
             sub != NULL ? sub->name : "");
    emit_open(e, '{');
    emit_member(e, "name", name);
    emit_member(e, "singularName", sub != NULL ? "" : resource->singular);
    emit_key(e, "namespaced");
    emit_raw(e, resource->namespaced ? "true" : "false");
    if (sub != NULL && sub->version[0] != '\0' &&
        (strcmp(sub->group, resource->group) != 0 ||
         strcmp(sub->version, resource->version) != 0)) {
        emit_member(e, "group", sub->group);
        emit_member(e, "version", sub->version);
    }
    emit_member(e, "kind", sub != NULL ? sub->kind : resource->kind);
    emit_verbs(e, sub != NULL ? sub->verbs : resource->verbs,
               sub == NULL && resource->custom != NULL);
    if (sub == NULL && has_any(resource->short_names)) {
        emit_texts(e, "shortNames", resource->short_names);
    }
    if (sub == NULL && has_any(resource->categories)) {
        emit_texts(e, "categories", resource->categories);
    }
    if (sub == NULL && resource->stored) {
        emit_storage(e, resource->storage);
    }
    emit_close(e, '}');
}

int discovery_resources(struct api_catalog catalog, struct str group, struct str version,
                        struct buf *out, struct err *err)
{
    struct emit e = {.out = out};
    struct resources resources = {0};
    collect_resources(catalog, group, version, &resources);
    if (resources.count == 0) {
        vec_done(&resources);
        return err_set(err, ERR_NOT_FOUND, "nothing of %.*s/%.*s is served", STR_ARG(group),
                       STR_ARG(version));
    }
    buf_printf(
        out, "{\"kind\":\"APIResourceList\",%s\"groupVersion\":\"%.*s%s%.*s\",\"resources\":[",
        group.n > 0 ? "\"apiVersion\":\"v1\"," : "", /* as upstream: the core group has none */
        STR_ARG(group), group.n > 0 ? "/" : "", STR_ARG(version));
    VEC_EACH (it, &resources) {
        emit_legacy(&e, *it, NULL);
        for (size_t i = 0; i < (*it)->subresource_count; i++) {
            emit_legacy(&e, *it, &(*it)->subresources[i]);
        }
    }
    buf_addz(out, "]}");
    vec_done(&resources);
    return 0;
}

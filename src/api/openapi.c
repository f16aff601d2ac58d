/* openapi.c: whole documents: the index and the documents of version 3, and version 2 as JSON. See
 * openapi.h.
 */
#include "api/openapi_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#define INFO "\"info\":{\"title\":\"Kubernetes\",\"version\":\"v1.37.2\"}"
#define BEARER                                                                                     \
    "{\"BearerToken\":{\"description\":\"Bearer token\",\"type\":\"apiKey\",\"name\":"             \
    "\"authorization\",\"in\":\"header\"}}"

static const char *const always[] = {"Status", "WatchEvent", "DeleteOptions", "APIResourceList"};

/* Paths of the resources that are served in this version, or of all when `version` is absent. */
static size_t all_paths(struct openapi_doc *doc, struct api_catalog catalog, struct str group,
                        struct str version)
{
    size_t count = 0;
    emit_key(&doc->e, "paths");
    emit_open(&doc->e, '{');
    for (size_t i = 0; i < catalog.count; i++) {
        const struct api_resource *it = catalog.resources[i];
        if (it->served &&
            (version.p == NULL || (str_is(group, it->group) && str_is(version, it->version)))) {
            openapi_paths(doc, it);
            count++;
        }
    }
    emit_close(&doc->e, '}');
    return count;
}

/* Meta types that clients look for even where no operation names them. */
static void note_always(struct openapi_doc *doc)
{
    struct buf nowhere BUF_CLEANUP = BUF_INIT;
    struct emit real = doc->e;
    doc->e.out = &nowhere;
    for (size_t i = 0; i < sizeof always / sizeof *always; i++) {
        const struct api_struct *type = schema_object_type(STR(""), STR("v1"), str_of(always[i]));
        if (type != NULL) {
            openapi_ref(doc, type);
        }
    }
    doc->e = real;
}

int openapi_v3(struct api_catalog catalog, struct str group, struct str version, struct buf *out,
               struct err *err)
{
    struct openapi_doc doc = {.e = {.out = out}, .v3 = true};
    size_t start = out->n;
    buf_addz(out, "{\"openapi\":\"3.0.0\"," INFO);
    doc.e.comma = true;
    size_t count = all_paths(&doc, catalog, group, version);
    note_always(&doc);
    emit_key(&doc.e, "components");
    emit_open(&doc.e, '{');
    emit_key(&doc.e, "schemas");
    emit_open(&doc.e, '{');
    openapi_schemas(&doc, catalog);
    emit_close(&doc.e, '}');
    emit_key(&doc.e, "securitySchemes");
    emit_raw(&doc.e, BEARER);
    emit_close(&doc.e, '}');
    buf_char(out, '}');
    vec_done(&doc.types);
    if (count == 0) {
        out->n = start;
        return err_set(err, ERR_NOT_FOUND, "nothing of %.*s/%.*s is served", STR_ARG(group),
                       STR_ARG(version));
    }
    return 0;
}

void openapi_v2(struct api_catalog catalog, struct buf *out)
{
    struct openapi_doc doc = {.e = {.out = out}};
    buf_addz(out, "{\"swagger\":\"2.0\"," INFO);
    doc.e.comma = true;
    all_paths(&doc, catalog, STR_NONE, STR_NONE);
    note_always(&doc);
    emit_key(&doc.e, "definitions");
    emit_open(&doc.e, '{');
    openapi_schemas(&doc, catalog);
    emit_close(&doc.e, '}');
    buf_addz(out, ",\"securityDefinitions\":" BEARER ",\"security\":[{\"BearerToken\":[]}]}");
    vec_done(&doc.types);
}

/* FNV-1a with two offsets: names content, protects nothing. */
void openapi_hash(struct str document, char ret_hex[OPENAPI_HASH_SIZE])
{
    uint64_t a = 0xcbf29ce484222325ULL, b = 0x84222325cbf29ce4ULL;
    for (size_t i = 0; i < document.n; i++) {
        unsigned char c = (unsigned char)document.p[i];
        a = (a ^ c) * 0x100000001b3ULL;
        b = (b ^ c) * 0x100000001b3ULL + (b >> 47);
    }
    snprintf(ret_hex, OPENAPI_HASH_SIZE, "%016llX%016llX", (unsigned long long)a,
             (unsigned long long)b);
}

/* Without a caller that keeps documents: made and dropped. */
static bool hash_made(void *ctx, const struct api_group_version *version,
                      char ret_hex[OPENAPI_HASH_SIZE])
{
    const struct api_catalog *catalog = ctx;
    struct buf document BUF_CLEANUP = BUF_INIT;
    if (openapi_v3(*catalog, str_of(version->group), str_of(version->version), &document, NULL) !=
        0) {
        return false;
    }
    openapi_hash(buf_view(&document), ret_hex);
    return true;
}

void openapi_v3_index(struct api_catalog catalog, openapi_hash_fn *hash, void *ctx, struct buf *out)
{
    size_t count = catalog_versions(catalog, NULL, 0);
    struct api_group_version *rows MEM_CLEANUP = mem_array(struct api_group_version, count + 1);
    catalog_versions(catalog, rows, count);
    ctx = hash != NULL ? ctx : &catalog;
    hash = hash != NULL ? hash : hash_made;
    buf_addz(out, "{\"paths\":{");
    for (size_t i = 0, n = 0; i < count; i++) {
        char hex[OPENAPI_HASH_SIZE];
        if (!hash(ctx, &rows[i], hex)) {
            continue;
        }
        const char *slash = rows[i].group[0] != '\0' ? "apis/" : "api";
        buf_printf(out, "%s\"%s%s/%s\":{\"serverRelativeURL\":\"/openapi/v3/%s%s/%s?hash=%s\"}",
                   n++ > 0 ? "," : "", slash, rows[i].group, rows[i].version, slash, rows[i].group,
                   rows[i].version, hex);
    }
    buf_addz(out, "}}");
}

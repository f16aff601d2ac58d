/* path.c: one writer of API paths for the HTTP transport and the command line. */
#include "client/path.h"

#include "wire/http.h"

void path_write(struct buf *out, const struct api_resource *resource, struct str ns,
                struct str name, const char *subresource)
{
    if (resource->group[0] == '\0') {
        buf_printf(out, "/api/%s", resource->version);
    } else {
        buf_printf(out, "/apis/%s/%s", resource->group, resource->version);
    }
    if (resource->namespaced && ns.n > 0) {
        buf_addz(out, "/namespaces/");
        url_encode(out, ns);
    }
    buf_printf(out, "/%s", resource->plural);
    if (name.n > 0) {
        buf_char(out, '/');
        url_encode(out, name);
    }
    if (subresource != NULL && subresource[0] != '\0') {
        buf_printf(out, "/%s", subresource);
    }
}

void path_query(struct buf *out, const char *key, struct str value)
{
    buf_char(out, out->n > 0 && memchr(out->p, '?', out->n) != NULL ? '&' : '?');
    buf_printf(out, "%s=", key);
    url_encode(out, value);
}

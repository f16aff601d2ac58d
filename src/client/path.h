/* path.h: URL paths of the API, for whoever asks over the wire. */
#pragma once
#include "api/schema.h"

/* Appends "/api/v1/namespaces/x/pods/y/log" or "/apis/apps/v1/...". ns n 0: all namespaces or
 * cluster scope; name n 0: the collection; subresource NULL or "": none. Names are percent-encoded.
 */
void path_write(struct buf *out, const struct api_resource *resource, struct str ns,
                struct str name, const char *subresource);
/* Appends ?key=value or &key=value, the value encoded; also an empty one. */
void path_query(struct buf *out, const char *key, struct str value);

/* openapi.h: OpenAPI documents of what is served, made from the tables when asked. The caller keeps
 * them (they change only when a custom resource comes or goes). Rules: the published formats of
 * Kubernetes 1.37; texts are ours. Compact output is appended to `out`.
 */
#pragma once
#include "api/discovery.h"

/* /openapi/v3: {"paths":{"api/v1":{"serverRelativeURL":"/openapi/v3/api/v1?hash=..."},...}}. `hash`
 * says what the document of a version hashes to; false leaves it out. NULL: every document is made
 * once to take its hash. */
enum { OPENAPI_HASH_SIZE = 33 };
typedef bool openapi_hash_fn(void *ctx, const struct api_group_version *version,
                             char ret_hex[OPENAPI_HASH_SIZE]);
void openapi_v3_index(struct api_catalog catalog, openapi_hash_fn *hash, void *ctx,
                      struct buf *out);
/* /openapi/v3/api/v1 and /openapi/v3/apis/GROUP/VERSION. ERR_NOT_FOUND. */
int openapi_v3(struct api_catalog catalog, struct str group, struct str version, struct buf *out,
               struct err *err);
/* The hash in the index, also good as ETag (128 bits in upper-case hex). */
void openapi_hash(struct str document, char ret_hex[OPENAPI_HASH_SIZE]);

/* /openapi/v2 as JSON. */
void openapi_v2(struct api_catalog catalog, struct buf *out);
/* The same as a gnostic openapi.v2.Document in protobuf, which kubectl asks for:
 * application/com.github.proto-openapi.spec.v2@v1.0+protobuf (sent as ...v2.v1.0+protobuf). */
void openapi_v2_protobuf(struct api_catalog catalog, struct buf *out);

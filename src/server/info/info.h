/* info.h: what is served beside objects: health, version, metrics, discovery, OpenAPI, token keys,
 * and the endpoints of other rooms under /cox/. */
#pragma once
#include "server/request.h"

/* NULL: nothing is served at request->route.path. */
handler_fn *info_handler(const struct request *request);
/* Paths that need no identity: health, version, and endpoints that said so. */
bool info_needs_nobody(const struct request *request);

struct documents; /* made once and kept; thread-safe */
struct documents *documents_new(void);
void documents_free(struct documents *documents);

/* 406. */
void info_refuse(struct request *request, const char *types);
void info_health(struct request *request);
void info_version(struct request *request);
void info_metrics(struct request *request);
void info_discovery(struct request *request);
void info_openapi(struct request *request);
void info_token_keys(
    struct request *request); /* /.well-known/openid-configuration, /openid/v1/jwks */
void info_endpoint(struct request *request);
const struct endpoint *info_endpoint_of(struct server *server, struct str path);

/* registry.h: the OCI distribution protocol (spec v1.1) as far as pulling goes, for the child. */
#pragma once
#include "api/val.h"
#include "node/image/curl_lib.h"

struct registry {
    struct curl_lib lib;
    CURL *curl;
    struct arena arena;
    struct str base;       /* "https://registry-1.docker.io" */
    struct str host;       /* as in the reference: key of the credentials */
    struct str repository; /* "library/busybox" */
    const struct val *auths;
    struct str authorization; /* "Bearer ...", "Basic ..." or none */
};
/* reference canonical. */
int registry_open(struct registry *registry, struct str canonical, struct str mirrors,
                  bool insecure_loopback, struct err *err);
/* A manifest or index by tag or digest, verified when by digest. */
int registry_manifest(struct registry *registry, struct str reference, struct buf *ret_text,
                      struct err *err);
/* A blob into a file, verified; goes on where an earlier attempt stopped. */
int registry_blob(struct registry *registry, struct str digest, int64_t size, const char *path,
                  void (*progress)(void *ctx, uint64_t bytes), void *ctx, struct err *err);

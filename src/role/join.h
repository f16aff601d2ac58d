/* join.h: how a node gets into a cluster: `cox agent --join https://HOST:6443#ID.SECRET.CAHASH`.
 *
 * The agent's side asks GET /cox/v1/ca without trust, checks that the certificate's key has the
 * hash of the token, then dials again trusting only that CA and sends the token and a signing
 * request to POST /cox/v1/join. The answer is its certificate (system:node:NAME) and pod range. All
 * of it is kept in config_dir (ca.crt, node.pem, node.cidr, node.api), so that later starts need no
 * token. node.pem is certificate and key in one file: they change together (renewal.h).
 *
 * The server's side: tokens are join_tokens.h's. A name that a Ready node has is refused; one whose
 * node is NotReady or gone is given to whoever has a token.
 */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include "pki/certificate.h"
#include "role/options.h"
#include "server/cache.h"

struct join_result {
    struct buf ca_pem, certificate_pem, key_pem, pod_cidr, address;
};
/* Blocking. ERR_INVALID (a token that is none), ERR_UNAUTHORIZED (wrong, used or old token; another
 * CA), ERR_UNAVAILABLE. */
int join_cluster(const struct options *options, struct join_result *ret_result, struct err *err);
void join_result_done(struct join_result *result);
/* What is kept may be newer than what was read at the start: the agent renews it. */
void join_reread(const struct options *options, struct join_result *result);
/* A new key and a signing request of it. */
int join_signing_request(const struct certificate_options *wanted, struct buf *ret_key_pem,
                         struct buf *ret_csr, struct err *err);
int join_keep_identity(const char *config_dir, struct str certificate_pem, struct str key_pem,
                       struct err *err);

struct server;
struct join_server;
/* Adds the endpoints; before server_start. Borrows everything. */
struct join_server *join_serve(struct server *server, struct cache *cache,
                               const struct certificate *ca, const struct key *ca_key,
                               const struct options *options);

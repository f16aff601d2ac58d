/* join.h: how a node gets into a cluster: `cox agent --join https://HOST:6443#ID.SECRET.CAHASH`.
 *
 * The agent's side asks GET /cox/v1/ca without trust, checks that the certificate's key has the
 * hash of the token, then dials again trusting only that CA and sends the token and a signing
 * request to POST /cox/v1/join. The answer is its certificate (system:node:NAME) and pod range. All
 * of it is kept in config_dir (node.crt, node.key, ca.crt, join.json), so that later starts need no
 * token.
 *
 * The server's side keeps hashes of tokens: single use, 1 h, compared in constant time. They live
 * in memory: a restarted server knows none of them.
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

struct server;
struct join_server;
/* Adds the endpoints; before server_start. Borrows everything. */
struct join_server *join_serve(struct server *server, struct cache *cache,
                               const struct certificate *ca, const struct key *ca_key,
                               const struct options *options);

/* join_tokens.h: tokens that let a node join, as Secrets of kube-system (type cox/join-token), so
 * that they outlive the server. A Secret has the SHA-256 of the token's secret and when it ends,
 * never the token. Each works once: using one is deleting the very version of the Secret that was
 * checked, and whoever's delete is committed has used it. */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include "server/cache.h"

enum { JOIN_TOKEN_SECONDS = 3600 };

struct server;
struct loop;
struct join_tokens;
struct join_tokens *join_tokens_new(struct server *server, struct cache *cache);

/* token: ID.SECRET; NULL: err says why not. On `loop`. */
typedef void join_token_made_fn(void *ctx, const char *token, const struct err *err);
void join_token_make(struct join_tokens *tokens, struct loop *loop, join_token_made_fn *done,
                     void *ctx);

struct join_token { /* one that is right */
    char id[16], uid[64], version[24];
};
/* ERR_UNAUTHORIZED: wrong, used or too old. Uses nothing up. */
int join_token_check(struct join_tokens *tokens, struct str id, struct str secret,
                     struct join_token *ret_token, struct err *err);
typedef void join_token_used_fn(void *ctx, const struct err *err);
/* err->code 0: it was used, by this call alone. On `loop`. */
void join_token_use(struct join_tokens *tokens, struct loop *loop, const struct join_token *token,
                    join_token_used_fn *done, void *ctx);

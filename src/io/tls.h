/* tls.h: TLS contexts (OpenSSL 3). 1.3, and 1.2 with ECDHE and AEAD only; no renegotiation, no
 * compression; sessions resume. */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct tls_context;
struct tls_options {
    struct str certificate_pem,
        key_pem; /* server's (or client's) own; empty for a client without one */
    struct str
        ca_pem; /* who may sign the peer; empty on a server: no client certificates asked for */
    bool require_peer; /* server: refuse clients without a certificate */
    bool insecure;     /* client, tests only: do not verify */
    struct str alpn;   /* server: offered in order, "h2,http/1.1" */
};
struct tls_context *tls_server_new(const struct tls_options *options,
                                   struct err *err); /* NULL on failure */
struct tls_context *tls_client_new(const struct tls_options *options, struct err *err);
struct tls_context *tls_ref(struct tls_context *tls);
void tls_unref(struct tls_context *tls);
/* Swaps certificate and key in a running context: new handshakes use them (renewal without a
 * restart). */
int tls_set_certificate(struct tls_context *tls, struct str certificate_pem, struct str key_pem,
                        struct err *err);

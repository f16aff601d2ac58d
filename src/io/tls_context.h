/* tls_context.h: inside of a TLS context, for tls.c and tls_session.c. */
#pragma once
#include <openssl/ssl.h>
#include <pthread.h>

#include "base/map.h"
#include "io/tls.h"

struct tls_context {
    _Atomic unsigned refs;
    bool server, require_peer, insecure;
    pthread_mutex_t lock;
    SSL_CTX *ssl;        /* under lock: replaced by tls_set_certificate */
    struct map sessions; /* under lock; client: server name to SSL_SESSION */
    char *alpn_wire;     /* server: length-prefixed */
    size_t alpn_wire_size;
    char *ca_pem;
    size_t ca_pem_size;
};

SSL_CTX *tls_context_ssl(struct tls_context *tls); /* a reference of the current one */
void tls_context_keep_session(struct tls_context *tls, struct str name, SSL_SESSION *session);
SSL_SESSION *tls_context_take_session(struct tls_context *tls, struct str name); /* or NULL */
/* "h2,http/1.1" to its wire form; heap. */
char *tls_alpn_wire(struct str list, size_t *ret_size);
/* Fills err from OpenSSL's queue and empties that. Returns code. */
int tls_error(struct err *err, enum err_code code, const char *what);
int tls_session_index(void); /* SSL ex_data: struct tls_session */

/* tls.c: TLS contexts: which protocols, ciphers, certificates and authorities a side accepts.
 *
 * Rules: TLS 1.3, or 1.2 with ECDHE and an AEAD cipher; no renegotiation, no compression, security
 * level 2 (no SHA-1 signatures, no RSA below 2,048 bits), whatever the host's openssl.cnf says: it
 * is not read. Server sessions live in tickets, so a server keeps nothing a client; a client keeps
 * the newest session of each server name and uses it once.
 *
 * Invariants: an SSL_CTX is never changed once a connection was made from it; a new certificate
 * makes a new SSL_CTX with the old ticket keys, and connections hold a reference of theirs.
 */
#include "io/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include "base/mem.h"
#include "io/tls_context.h"
#include "io/tls_int.h"

enum { SESSIONS_MAX = 64, TICKET_KEYS_SIZE = 80 };
#define SESSION_SECONDS 3600

int tls_error(struct err *err, enum err_code code, const char *what)
{
    unsigned long number = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(number);
    if (number == 0) {
        err_set(err, code, "%s", what);
    } else if (reason != NULL) {
        err_set(err, code, "%s: %s", what, reason);
    } else {
        err_set(err, code, "%s: OpenSSL error %lx", what, number);
    }
    ERR_clear_error();
    return code;
}

char *tls_alpn_wire(struct str list, size_t *ret_size)
{
    struct buf wire = BUF_INIT;
    while (list.p != NULL && list.n > 0) {
        struct str name = str_cut(list, ',', &list);
        if (name.n > 0 && name.n < 256) {
            buf_char(&wire, (char)name.n);
            buf_str(&wire, name);
        }
    }
    return buf_take(&wire, ret_size);
}

static int no_passphrase(char *text, int size, int writing, void *arg)
{
    return 0; /* never ask on the terminal */
}

static int load_key(SSL_CTX *ssl, struct str pem, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    if (key == NULL) {
        return tls_error(err, ERR_INVALID, "private key");
    }
    int good = SSL_CTX_use_PrivateKey(ssl, key);
    EVP_PKEY_free(key);
    return good == 1 ? 0 : tls_error(err, ERR_INVALID, "private key");
}

/* The first certificate is ours, the others are its chain. */
static int load_chain(SSL_CTX *ssl, struct str pem, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    int good = certificate != NULL && SSL_CTX_use_certificate(ssl, certificate) == 1;
    X509_free(certificate);
    while (good && (certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
        if (SSL_CTX_add0_chain_cert(ssl, certificate) != 1) {
            X509_free(certificate);
            good = false;
        }
    }
    BIO_free(bio);
    if (!good) {
        return tls_error(err, ERR_INVALID, "certificate");
    }
    ERR_clear_error(); /* the end of the PEM text */
    return 0;
}

static int load_authorities(SSL_CTX *ssl, struct str pem, bool server, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509_STORE *store = SSL_CTX_get_cert_store(ssl);
    X509 *authority;
    size_t count = 0;
    while ((authority = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
        X509_STORE_add_cert(store, authority);
        if (server) {
            SSL_CTX_add_client_CA(ssl, authority);
        }
        X509_free(authority);
        count++;
    }
    BIO_free(bio);
    if (count == 0) {
        return tls_error(err, ERR_INVALID, "certificate authority");
    }
    ERR_clear_error();
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    return 0;
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                       const unsigned char *in, unsigned in_size, void *arg)
{
    const struct tls_context *tls = arg;
    unsigned char *chosen = NULL;
    int rc = SSL_select_next_proto(&chosen, out_size, (const unsigned char *)tls->alpn_wire,
                                   (unsigned)tls->alpn_wire_size, in, in_size);
    *out = chosen;
    return rc == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int on_new_session(SSL *ssl, SSL_SESSION *session);

static void set_rules(SSL_CTX *ssl)
{
    SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
    SSL_CTX_set_security_level(ssl, 2);
    SSL_CTX_set_cipher_list(ssl, "ECDHE+AESGCM:ECDHE+CHACHA20");
    SSL_CTX_set_ciphersuites(ssl, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                  "TLS_CHACHA20_POLY1305_SHA256");
    SSL_CTX_set1_groups_list(ssl, "X25519:P-256:P-384");
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_num_tickets(ssl, 1);
    SSL_CTX_set_timeout(ssl, SESSION_SECONDS);
}

static void set_role(SSL_CTX *ssl, struct tls_context *tls)
{
    if (!tls->server) {
        SSL_CTX_set_verify(ssl, tls->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ssl, on_new_session);
        return;
    }
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(ssl, (const unsigned char *)"cox", 3);
    if (tls->ca_pem_size > 0) {
        SSL_CTX_set_verify(
            ssl, SSL_VERIFY_PEER | (tls->require_peer ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
    }
    if (tls->alpn_wire_size > 0) {
        SSL_CTX_set_alpn_select_cb(ssl, select_alpn, tls);
    }
}

static SSL_CTX *make_ssl(struct tls_context *tls, struct str certificate_pem, struct str key_pem,
                         struct err *err)
{
    SSL_CTX *ssl = SSL_CTX_new(tls->server ? TLS_server_method() : TLS_client_method());
    if (ssl == NULL) {
        tls_error(err, ERR_INTERNAL, "TLS");
        return NULL;
    }
    set_rules(ssl);
    set_role(ssl, tls);
    int rc = 0;
    if (tls->ca_pem_size > 0) {
        rc = load_authorities(ssl, str_at(tls->ca_pem, tls->ca_pem_size), tls->server, err);
    }
    if (rc == 0 && (certificate_pem.n > 0 || tls->server)) {
        rc = load_chain(ssl, certificate_pem, err);
        rc = rc == 0 ? load_key(ssl, key_pem, err) : rc;
        if (rc == 0 && SSL_CTX_check_private_key(ssl) != 1) {
            rc = tls_error(err, ERR_INVALID, "certificate and key");
        }
    }
    if (rc != 0) {
        SSL_CTX_free(ssl);
        return NULL;
    }
    return ssl;
}

static struct tls_context *context_new(const struct tls_options *options, bool server,
                                       struct err *err)
{
    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    struct tls_context *tls = mem_new(struct tls_context);
    tls->refs = 1;
    tls->server = server;
    tls->require_peer = options->require_peer;
    tls->insecure = options->insecure;
    pthread_mutex_init(&tls->lock, NULL);
    tls->ca_pem = str_dup(options->ca_pem);
    tls->ca_pem_size = options->ca_pem.n;
    tls->alpn_wire = tls_alpn_wire(options->alpn, &tls->alpn_wire_size);
    if (server ? options->require_peer && options->ca_pem.n == 0
               : !options->insecure && options->ca_pem.n == 0) {
        err_set(err, ERR_INVALID, "TLS: no certificate authority to verify the peer with");
    } else {
        tls->ssl = make_ssl(tls, options->certificate_pem, options->key_pem, err);
    }
    if (tls->ssl == NULL) {
        tls_unref(tls);
        return NULL;
    }
    return tls;
}

struct tls_context *tls_server_new(const struct tls_options *options, struct err *err)
{
    return context_new(options, true, err);
}

struct tls_context *tls_client_new(const struct tls_options *options, struct err *err)
{
    return context_new(options, false, err);
}

struct tls_context *tls_ref(struct tls_context *tls)
{
    tls->refs++;
    return tls;
}

static void forget_sessions(struct tls_context *tls) /* under lock */
{
    MAP_EACH (entry, &tls->sessions) {
        SSL_SESSION_free(entry->value);
    }
    map_done(&tls->sessions);
    tls->sessions = (struct map)MAP_INIT;
}

void tls_unref(struct tls_context *tls)
{
    if (tls == NULL || --tls->refs > 0) {
        return;
    }
    forget_sessions(tls);
    SSL_CTX_free(tls->ssl);
    pthread_mutex_destroy(&tls->lock);
    free(tls->alpn_wire);
    free(tls->ca_pem);
    free(tls);
}

int tls_set_certificate(struct tls_context *tls, struct str certificate_pem, struct str key_pem,
                        struct err *err)
{
    SSL_CTX *ssl = make_ssl(tls, certificate_pem, key_pem, err);
    if (ssl == NULL) {
        return err != NULL ? (int)err->code : ERR_INVALID;
    }
    unsigned char keys[TICKET_KEYS_SIZE];
    pthread_mutex_lock(&tls->lock);
    if (tls->server && SSL_CTX_get_tlsext_ticket_keys(tls->ssl, keys, sizeof keys) == 1) {
        SSL_CTX_set_tlsext_ticket_keys(ssl, keys, sizeof keys);
    }
    SSL_CTX *old = tls->ssl;
    tls->ssl = ssl;
    forget_sessions(tls); /* they stand for the old identity */
    pthread_mutex_unlock(&tls->lock);
    OPENSSL_cleanse(keys, sizeof keys);
    SSL_CTX_free(old);
    return 0;
}

SSL_CTX *tls_context_ssl(struct tls_context *tls)
{
    pthread_mutex_lock(&tls->lock);
    SSL_CTX *ssl = tls->ssl;
    SSL_CTX_up_ref(ssl);
    pthread_mutex_unlock(&tls->lock);
    return ssl;
}

/* ---- sessions of a client ---- */

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_session *owner = SSL_get_ex_data(ssl, tls_session_index());
    return owner != NULL && tls_session_keep(owner, session) ? 1 : 0;
}

void tls_context_keep_session(struct tls_context *tls, struct str name, SSL_SESSION *session)
{
    pthread_mutex_lock(&tls->lock);
    if (tls->sessions.count >= SESSIONS_MAX) {
        forget_sessions(tls);
    }
    SSL_SESSION_free(map_set(&tls->sessions, name, session));
    pthread_mutex_unlock(&tls->lock);
}

SSL_SESSION *tls_context_take_session(struct tls_context *tls, struct str name)
{
    pthread_mutex_lock(&tls->lock);
    SSL_SESSION *session = map_remove(&tls->sessions, name);
    pthread_mutex_unlock(&tls->lock);
    return session;
}

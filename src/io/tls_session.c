/* tls_session.c: one TLS connection between two byte buffers, no socket.
 *
 * OpenSSL reads through a BIO of ours straight from the caller's input, and writes straight into
 * the caller's output buffer, so records are copied once. Writing never blocks.
 *
 * After the handshake the peer's certificate, if it was verified, is kept as text. A resumed
 * session brings the certificate of the original handshake; its validity is checked again, because
 * OpenSSL does not.
 */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "io/tls_context.h"
#include "io/tls_int.h"

enum { ORGANIZATIONS_MAX = 32, FINGERPRINT_SIZE = 65 };

struct tls_session {
    struct tls_context *tls;
    SSL *ssl;
    char *name; /* client: the server's */
    const char *in;
    size_t in_size;
    struct buf *out;
    bool open; /* handshake done */
    bool has_peer;
    struct peer_certificate peer;
    struct str organizations[ORGANIZATIONS_MAX];
    char *texts; /* behind the views of `peer` */
    char fingerprint[FINGERPRINT_SIZE];
};

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *out, int cap)
{
    struct tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (session->in_size == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t size = session->in_size < (size_t)cap ? session->in_size : (size_t)cap;
    memcpy(out, session->in, size);
    session->in += size;
    session->in_size -= size;
    return (int)size;
}

static int bio_write(BIO *bio, const char *bytes, int size)
{
    struct tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (session->out != NULL) {
        buf_add(session->out, bytes, (size_t)size);
    }
    return size;
}

static long bio_control(BIO *bio, int command, long number, void *arg)
{
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP ? 1 : 0;
}

static BIO_METHOD *bio_method;
static int session_index;
static pthread_once_t bio_once = PTHREAD_ONCE_INIT;

static void bio_setup(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "cox");
    BIO_meth_set_read(bio_method, bio_read);
    BIO_meth_set_write(bio_method, bio_write);
    BIO_meth_set_ctrl(bio_method, bio_control);
    session_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

int tls_session_index(void)
{
    pthread_once(&bio_once, bio_setup);
    return session_index;
}

/* ---- life ---- */

static int expect_name(struct tls_session *session, struct err *err)
{
    unsigned char address[16];
    X509_VERIFY_PARAM *param = SSL_get0_param(session->ssl);
    if (session->name[0] == 0) {
        return session->tls->insecure ? 0
                                      : err_set(err, ERR_INVALID, "TLS: no server name to verify");
    }
    bool is_address = inet_pton(AF_INET, session->name, address) == 1 ||
                      inet_pton(AF_INET6, session->name, address) == 1;
    if (!is_address) {
        SSL_set_tlsext_host_name(session->ssl, session->name);
    }
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    int good = is_address ? X509_VERIFY_PARAM_set1_ip_asc(param, session->name)
                          : X509_VERIFY_PARAM_set1_host(param, session->name, 0);
    return good == 1 ? 0 : tls_error(err, ERR_INVALID, "TLS server name");
}

static int client_setup(struct tls_session *session, struct str alpn, struct err *err)
{
    int rc = expect_name(session, err);
    if (rc != 0) {
        return rc;
    }
    size_t size;
    char *wire MEM_CLEANUP = tls_alpn_wire(alpn, &size);
    if (size > 0) {
        SSL_set_alpn_protos(session->ssl, (const unsigned char *)wire, (unsigned)size);
    }
    SSL_SESSION *old = tls_context_take_session(session->tls, str_of(session->name));
    if (old != NULL) {
        SSL_set_session(session->ssl, old);
        SSL_SESSION_free(old);
    }
    SSL_set_connect_state(session->ssl);
    return 0;
}

struct tls_session *tls_session_new(struct tls_context *tls, struct str server_name,
                                    struct str alpn, struct err *err)
{
    struct tls_session *session = mem_new(struct tls_session);
    session->tls = tls_ref(tls);
    int index = tls_session_index();
    SSL_CTX *ssl = tls_context_ssl(tls);
    session->ssl = SSL_new(ssl);
    SSL_CTX_free(ssl);
    BIO *bio = BIO_new(bio_method);
    if (session->ssl == NULL || bio == NULL) {
        abort(); /* no memory */
    }
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl, bio, bio);
    SSL_set_ex_data(session->ssl, index, session);
    session->name = str_dup(server_name);
    ERR_clear_error();
    if (tls->server) {
        SSL_set_accept_state(session->ssl);
    } else if (client_setup(session, alpn, err) != 0) {
        tls_session_free(session);
        return NULL;
    }
    return session;
}

void tls_session_free(struct tls_session *session)
{
    if (session != NULL) {
        SSL_free(session->ssl);
        tls_unref(session->tls);
        free(session->name);
        free(session->texts);
        free(session);
    }
}

bool tls_session_keep(struct tls_session *session, SSL_SESSION *kept)
{
    if (session->name[0] == 0 || !SSL_SESSION_is_resumable(kept)) {
        return false;
    }
    tls_context_keep_session(session->tls, str_of(session->name), kept);
    return true;
}

/* ---- the peer ---- */

/* Appends an attribute of the subject as UTF-8 and a NUL; false: not text. */
static bool add_text(struct buf *texts, const X509_NAME_ENTRY *entry)
{
    unsigned char *utf8 = NULL;
    int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
    bool good = size >= 0 && memchr(utf8, 0, (size_t)size) == NULL;
    if (good) {
        buf_add(texts, utf8, (size_t)size);
        buf_char(texts, 0);
    }
    OPENSSL_free(utf8);
    return good;
}

/* Common names and organizations into `texts`: each a letter, the text, a NUL. */
static bool collect_subject(const X509 *certificate, struct buf *texts)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    for (int i = 0; i < X509_NAME_entry_count(subject); i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);
        int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
        if (nid == NID_commonName || nid == NID_organizationName) {
            buf_char(texts, nid == NID_commonName ? 'C' : 'O');
            if (!add_text(texts, entry)) {
                return false;
            }
        }
    }
    return true;
}

static bool keep_peer(struct tls_session *session, const X509 *certificate)
{
    struct buf texts = BUF_INIT;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_size;
    if (!collect_subject(certificate, &texts) ||
        X509_digest(certificate, EVP_sha256(), digest, &digest_size) != 1) {
        buf_done(&texts);
        return false;
    }
    size_t size;
    session->texts = buf_take(&texts, &size);
    size_t count = 0;
    for (const char *at = session->texts; at < session->texts + size;) {
        struct str text = str_of(at + 1);
        if (*at == 'C') {
            session->peer.common_name = text; /* the last one counts, as in Go's crypto/x509 */
        } else if (count < ORGANIZATIONS_MAX) {
            session->organizations[count++] = text;
        }
        at += text.n + 2;
    }
    session->peer.organizations = session->organizations;
    session->peer.organization_count = count;
    hex_encode(digest, digest_size, session->fingerprint);
    session->peer.fingerprint = str_of(session->fingerprint);
    session->has_peer = true;
    return true;
}

static bool check_peer(struct tls_session *session, struct err *err)
{
    X509 *certificate = SSL_get0_peer_certificate(session->ssl);
    if (certificate == NULL || session->tls->insecure) {
        return true;
    }
    long verdict = SSL_get_verify_result(session->ssl);
    if (verdict != X509_V_OK) {
        err_set(err, ERR_UNAUTHORIZED, "TLS: peer's certificate: %s",
                X509_verify_cert_error_string(verdict));
        return false;
    }
    if (SSL_session_reused(session->ssl) &&
        (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0 ||
         X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)) {
        err_set(err, ERR_UNAUTHORIZED, "TLS: peer's certificate has expired");
        return false;
    }
    if (!keep_peer(session, certificate)) {
        err_set(err, ERR_UNAUTHORIZED, "TLS: peer's certificate: bad subject");
        return false;
    }
    return true;
}

/* ---- bytes ---- */

void tls_session_input(struct tls_session *session, const char *bytes, size_t size)
{
    session->in = bytes;
    session->in_size = size;
}

size_t tls_session_input_left(const struct tls_session *session, const char **ret_bytes)
{
    *ret_bytes = session->in;
    return session->in_size;
}

void tls_session_output(struct tls_session *session, struct buf *out)
{
    session->out = out;
}

static enum tls_step step_of(struct tls_session *session, int rc, const char *what, struct err *err)
{
    switch (SSL_get_error(session->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANT_INPUT;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_EOF;
    default:
        break;
    }
    long verdict = SSL_get_verify_result(session->ssl);
    if (verdict != X509_V_OK && !session->tls->insecure) {
        ERR_clear_error();
        err_set(err, ERR_UNAUTHORIZED, "%s: peer's certificate: %s", what,
                X509_verify_cert_error_string(verdict));
    } else {
        tls_error(err, ERR_CLOSED, what);
    }
    return TLS_FAILED;
}

enum tls_step tls_session_handshake(struct tls_session *session, struct err *err)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(session->ssl);
    if (rc != 1) {
        enum tls_step step = step_of(session, rc, "TLS handshake", err);
        return step == TLS_EOF ? (err_set(err, ERR_CLOSED, "TLS handshake: closed"), TLS_FAILED)
                               : step;
    }
    session->open = true;
    return check_peer(session, err) ? TLS_DONE : TLS_FAILED;
}

enum tls_step tls_session_read(struct tls_session *session, char *out, size_t cap, size_t *ret_size,
                               struct err *err)
{
    int rc = SSL_read(session->ssl, out, (int)cap);
    if (rc > 0) {
        *ret_size = (size_t)rc;
        return TLS_DONE;
    }
    return step_of(session, rc, "TLS read", err);
}

bool tls_session_write(struct tls_session *session, const char *bytes, size_t size)
{
    while (size > 0) {
        int rc = SSL_write(session->ssl, bytes, size < INT32_MAX ? (int)size : INT32_MAX);
        if (rc <= 0) {
            ERR_clear_error();
            return false;
        }
        bytes += rc;
        size -= (size_t)rc;
    }
    return true;
}

void tls_session_shutdown(struct tls_session *session)
{
    if (session->open) {
        SSL_shutdown(session->ssl);
        ERR_clear_error();
    }
}

bool tls_session_resumed(const struct tls_session *session)
{
    return SSL_session_reused(session->ssl) == 1;
}

struct str tls_session_alpn(const struct tls_session *session)
{
    const unsigned char *name = NULL;
    unsigned size = 0;
    SSL_get0_alpn_selected(session->ssl, &name, &size);
    return str_at((const char *)name, size);
}

const struct peer_certificate *tls_session_peer(const struct tls_session *session)
{
    return session->has_peer ? &session->peer : NULL;
}

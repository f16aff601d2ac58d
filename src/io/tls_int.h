/* tls_int.h: one TLS connection without a socket: bytes in, bytes out; used by streams. */
#pragma once
#include "io/net.h"
#include "io/tls.h"

struct tls_session;
/* server_name (client): SNI and the name or address that the certificate must carry; alpn (client):
 * comma separated. NULL on failure. */
struct tls_session *tls_session_new(struct tls_context *tls, struct str server_name,
                                    struct str alpn, struct err *err);
void tls_session_free(struct tls_session *session);

enum tls_step {
    TLS_DONE,
    TLS_WANT_INPUT,
    TLS_EOF, /* close_notify */
    TLS_FAILED
};
/* Input for the calls below until it is used up or taken back. */
void tls_session_input(struct tls_session *session, const char *bytes, size_t size);
size_t tls_session_input_left(const struct tls_session *session, const char **ret_bytes);
/* Where records go that the calls below make; must be set around each of them. */
void tls_session_output(struct tls_session *session, struct buf *out);
enum tls_step tls_session_handshake(struct tls_session *session, struct err *err);
enum tls_step tls_session_read(struct tls_session *session, char *out, size_t cap, size_t *ret_size,
                               struct err *err);
bool tls_session_write(struct tls_session *session, const char *bytes, size_t size);
void tls_session_shutdown(struct tls_session *session); /* close_notify */

/* A session ticket came: keeps it for the next connection. False: not wanted. */
struct ssl_session_st;
bool tls_session_keep(struct tls_session *session, struct ssl_session_st *kept);

bool tls_session_resumed(const struct tls_session *session);
struct str tls_session_alpn(const struct tls_session *session);
const struct peer_certificate *tls_session_peer(const struct tls_session *session);

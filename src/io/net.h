/* net.h: byte streams on a real loop: TCP, Unix sockets, TLS over either, accepted or dialled.
 *
 * A struct stream lives on one loop. Reads arrive through on_read in buffers that are only valid
 * during the call; writes copy nothing when the caller gives its bytes away with a release
 * callback, and are gathered: all writes of one turn of the loop leave in one system call and, with
 * TLS, as full records. When stream_queued() is above the caller's mark it stops producing until
 * on_drain. Every stream ends with exactly one on_close, after which it is freed.
 */
#pragma once
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"
#include "io/loop.h"

struct stream;
struct tls_context; /* tls.h */

struct stream_ops {
    void (*on_read)(void *ctx, struct stream *stream, const char *bytes, size_t size);
    void (*on_eof)(
        void *ctx,
        struct stream *stream); /* peer closed its side; NULL: the stream closes itself */
    void (*on_drain)(void *ctx, struct stream *stream); /* queue fell below 64 KiB; may be NULL */
    /* err->code is 0 after a clean stream_close(); the last call, also for a dial that failed. */
    void (*on_close)(void *ctx, struct stream *stream, const struct err *err);
    /* Connected, and the TLS handshake is done (ALPN and peer certificate are known). */
    void (*on_open)(void *ctx, struct stream *stream);
};

struct listener;
struct listener_ops {
    /* A new stream, handshake done when `tls` was given. The callee sets its ops with
     * stream_set_ops() at once; on_open is not called. */
    void (*on_accept)(void *ctx, struct listener *listener, struct stream *stream);
};
/* Listens on an open, bound and listening descriptor (handed in by the supervisor, or from
 * net_bind*). Takes fd. */
struct listener *listener_new(struct loop *loop, int fd, struct tls_context *tls,
                              const struct listener_ops *ops, void *ctx);
void listener_free(struct listener *listener);

/* Bound, listening, close-on-exec, non-blocking descriptor; `address` "127.0.0.1:6443", "[::]:80"
 * or "unix:/path". */
int net_bind(struct str address, int *ret_fd, struct err *err);
int net_bind_udp(struct str address, int *ret_fd, struct err *err);

struct dial_options {
    struct str address;      /* as net_bind; host names are resolved off the loop */
    struct tls_context *tls; /* NULL: plain */
    struct str server_name;  /* SNI and the name that is checked; default: the host of address */
    struct str alpn;         /* wire form chosen by the caller: "h2" | "http/1.1" | "h2,http/1.1" */
    int64_t timeout_ns;      /* connect and handshake; 0: 10 s */
};
struct stream *stream_dial(struct loop *loop, const struct dial_options *options,
                           const struct stream_ops *ops, void *ctx);
/* A stream over an open descriptor (pipe, socketpair, terminal, accepted socket). Takes fd; a
 * descriptor that cannot be polled ends with on_close. on_open is not called. */
struct stream *stream_from_fd(struct loop *loop, int fd, const struct stream_ops *ops, void *ctx);

void stream_set_ops(struct stream *stream, const struct stream_ops *ops, void *ctx);
/* Copies the bytes. */
void stream_write(struct stream *stream, const void *bytes, size_t size);
/* Borrows the bytes until release(arg) (always called once, also on error). */
void stream_write_shared(struct stream *stream, const void *bytes, size_t size,
                         void (*release)(void *arg), void *arg);
/* For codecs that make many small pieces: append to the buffer (nothing else of the stream is
 * called meanwhile), then end. Saves the copy of stream_write(). */
struct buf *stream_write_begin(struct stream *stream);
void stream_write_end(struct stream *stream);
size_t stream_queued(const struct stream *stream); /* bytes the kernel has not taken */
uint64_t stream_sent(const struct stream *stream); /* bytes that it has taken, ever */
/* Gives bytes back that were read too far (before an upgrade): they come first through on_read, in
 * the next turn. */
void stream_unread(struct stream *stream, const void *bytes, size_t size);
void stream_pause(struct stream *stream); /* stop reading: back-pressure on the peer */
void stream_resume(struct stream *stream);
void stream_shutdown(struct stream *stream); /* half-close after what is queued */
/* Flushes as long as the peer goes on taking bytes (10 s from one to the next), waits up to a
 * second for the peer's end, then closes; on_close follows. */
void stream_close(struct stream *stream);
void stream_abort(struct stream *stream, enum err_code code, const char *why); /* closes now */

struct str stream_alpn(const struct stream *stream); /* "h2", "http/1.1" or empty */
bool stream_resumed(const struct stream *stream);    /* its TLS session was an earlier one's */
struct str stream_peer_address(const struct stream *stream); /* "10.0.0.1:1234" */
struct str stream_local_address(const struct stream *stream);
bool stream_is_open(const struct stream *stream); /* connected, handshake done, not closed by us */
struct loop *stream_loop(const struct stream *stream);

/* ---- the seam: sockets as streams and listeners meet them ---- */
struct net_ops {
    int (*accept)(int listen_fd);     /* a descriptor, or -errno */
    int (*connect)(void);             /* before each attempt: 0, or -errno: it fails */
    ssize_t (*received)(size_t size); /* a read brought that many: how many count, or -errno */
    ssize_t (*may_send)(size_t size); /* how many of `size` go at once (0: later), or -errno */
};
const struct net_ops *net_ops_real(void);
/* The table in use; a test installs a faulty one. NULL: the real one. Not while loops run. */
void net_set_ops(const struct net_ops *ops);

/* The verified client (or server) certificate, or all empty. Views live as long as the stream. */
struct peer_certificate {
    struct str common_name;
    const struct str *organizations; /* O values of the subject */
    size_t organization_count;
    struct str fingerprint; /* SHA-256 of the DER, lower-case hex */
};
const struct peer_certificate *
stream_peer_certificate(const struct stream *stream); /* NULL: none */

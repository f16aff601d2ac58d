/* stream_int.h: a stream, as the files that make, read, write and encrypt one see it. */
#pragma once
#include <uv.h>

#include "io/loop_int.h"
#include "io/net.h"
#include "io/tls_int.h"

enum {
    STREAM_READ_SIZE = 65536,
    STREAM_PLAIN_SIZE = 32768,
    STREAM_DRAIN_MARK = 65536,
    STREAM_FLUSH_MAX = 262144, /* plaintext encrypted in one go */
    STREAM_BORROW_MIN = 4096   /* shared writes below this are copied */
};

/* One a loop: buffers that are in use during a callback only, and a few kept for writing. */
struct stream_shared {
    char read[STREAM_READ_SIZE];
    char plain[STREAM_PLAIN_SIZE];
    struct buf cipher;
    char *spare; /* a write buffer of spare_cap bytes, or NULL */
    size_t spare_cap;
};

enum stream_state {
    STREAM_DIALING,   /* no connection yet */
    STREAM_HANDSHAKE, /* TLS */
    STREAM_OPEN,
    STREAM_CLOSING, /* by the owner: what is queued goes out, then the peer's end is awaited */
    STREAM_CLOSED   /* handle closing or closed: nothing but on_close follows */
};

struct write_chunk {
    struct write_chunk *next;
    struct buf own;       /* release NULL: the bytes are ours */
    const char *borrowed; /* release set */
    size_t size, done;    /* borrowed: size; both: bytes already consumed */
    void (*release)(void *arg);
    void *arg;
};

struct stream_dial;
struct stream_names;
struct stream {
    struct loop *loop;
    struct stream_shared *shared;
    const struct stream_ops *ops;
    void *ctx;
    struct loop_closer closer;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    union {
        uv_write_t write;
        uv_shutdown_t shutdown;
        uv_connect_t connect;
    } request; /* one is in flight at a time */
    enum stream_state state;
    bool handle_open;     /* uv handle is initialised and not closed */
    bool request_busy;    /* a write, shutdown or connect is in flight */
    bool reading;         /* uv_read_start is on */
    bool paused;          /* by the owner */
    bool eof;             /* the peer's end was seen */
    bool eof_waits;       /* ... and is told after what was given back (unread) */
    bool shut, shut_sent; /* our end: wanted, done */
    bool above;           /* queue was above the drain mark */
    bool flush_queued, input_queued;
    bool retrying; /* dial: the handle is closing, to be used again */
    bool dropped;  /* the listener went away: no callbacks */
    bool accepted; /* made by a listener */
    struct tls_session *tls;
    struct task flush, input;
    struct timer timer; /* dial and handshake deadline; flush deadline when closing */
    struct timer drain;
    struct write_chunk *first, *last;
    struct write_chunk *pinned; /* plain: the last one that libuv points into */
    size_t queued;              /* plaintext not yet handed down */
    size_t write_size;          /* plain: of the write in flight */
    uint64_t sent, close_sent;  /* close_sent: when the closing timer last looked */
    size_t begin_size;          /* between stream_write_begin and _end */
    struct buf control;         /* TLS: records made outside a flush */
    struct buf cipher;          /* TLS: what the kernel did not take; in flight when request_busy */
    size_t cipher_done;
    struct buf stash;  /* TLS: undecrypted input left over by a pause */
    struct buf unread; /* plaintext to deliver first */
    struct stream_dial *dial;
    struct stream_names *names;
    struct listener *listener; /* until accepted */
    struct list handshaking;   /* in the listener's list */
    struct err err;            /* for on_close */
};

extern const struct net_ops *net_ops;
struct stream *stream_new(struct loop *loop, const struct stream_ops *ops, void *ctx);
/* The handle is connected: handshake or open. Starts reading. */
void stream_connected(struct stream *stream);
void stream_tune(int fd);                  /* a TCP socket's options */
void stream_opened(struct stream *stream); /* after the handshake */
void stream_fail(struct stream *stream, enum err_code code, int os_errno, const char *what);
void stream_finish(struct stream *stream); /* closes the handle now */
void stream_handle_closed(uv_handle_t *handle);
void stream_linger(struct stream *stream); /* closing, and everything is out */
void stream_start_reading(struct stream *stream);
void stream_queue_flush(struct stream *stream);
void stream_flush(struct stream *stream);
void stream_write_drop(struct stream *stream); /* releases everything queued */
void stream_tls_input(struct stream *stream, const char *bytes, size_t size);
void stream_deliver(struct stream *stream, const char *bytes, size_t size);
void stream_peer_ended(struct stream *stream);
void stream_dial_free(struct stream_dial *dial);
void listener_stream_ready(struct stream *stream);  /* handshake done: on_accept */
void listener_stream_failed(struct stream *stream); /* before that */

/* "host:port" cut at the last colon, brackets removed; false: no port, or out of range. */
bool address_split(struct str address, struct str *ret_host, uint16_t *ret_port);
/* A numeric host; false: it is a name. */
struct sockaddr_storage;
bool address_numeric(struct str host, uint16_t port, struct sockaddr_storage *ret_address);

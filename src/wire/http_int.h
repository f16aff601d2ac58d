/* http_int.h: exchanges and connections, as the two protocols and the two sides share them. */
#pragma once
#include "base/clock.h"
#include "base/list.h"
#include "wire/http.h"

enum {
    HTTP_HEADERS_MAX = 65536, /* bytes, names and values, 32 for each as in RFC 9113 6.5.2 */
    HTTP_BODY_LIMIT = 3 << 20,
    HTTP_STREAMS_MAX = 100,
    HTTP_SEND_MARK = 262144, /* a connection has no more than this queued for the socket */
    HTTP_FREE_MAX = 64,      /* exchanges kept for reuse, a loop */
    HTTP_ARENA_KEEP = 16384, /* an exchange with a larger head is not kept */
    HTTP_DATE_SIZE = 32
};
#define HTTP_HEADER_TIMEOUT_NS (10 * NS_PER_S)
#define HTTP_BODY_TIMEOUT_NS   (60 * NS_PER_S)
#define HTTP_IDLE_NS           (180 * NS_PER_S)

struct http_pool { /* one a loop */
    struct list unused;
    size_t count;
};

struct http_connection;
struct http_exchange {
    struct list link; /* in the connection */
    struct http_connection *connection;
    struct arena arena; /* the head: names and values */
    struct http_request request;
    struct http_header *headers;
    size_t header_count, header_cap, header_bytes;
    struct buf body;  /* whole bodies, incoming */
    int64_t since_ns; /* the head's start, then the whole request's */
    void *user;
    struct http_body *out; /* outgoing; freed as soon as it has ended */
    int64_t out_sent;
    size_t unconsumed; /* HTTP/2: window not yet given back */
    int32_t stream_id; /* HTTP/2 */
    int status;
    bool head_done; /* incoming head is complete */
    bool in_done;   /* incoming body too */
    bool delivered; /* on_request was called */
    bool streaming; /* the body goes to on_body */
    bool responded; /* http_respond was called (client: the request is queued) */
    bool out_done;  /* everything of ours is handed down */
    bool head_only; /* answer to HEAD */
    bool refused;   /* answered by us (413, 431): what still comes in is dropped */
    bool receive_paused;
    bool wants_continue;
    bool upgrade;  /* HTTP/1.1: asks for one */
    bool deferred; /* its body said LATER */
    /* client: `request` holds copies until it is sent */
    bool ended;  /* on_end was called or must not be */
    bool doomed; /* ends in the next turn: the connection is gone or going */
    const struct http_client_ops *client_ops;
    void *client_ctx;
};

/* HTTP/1.1 or HTTP/2. */
struct http_protocol_ops {
    void (*input)(struct http_connection *connection, const char *bytes, size_t size);
    void (*eof)(struct http_connection *connection); /* the peer will send no more */
    void (*respond)(struct http_exchange *exchange, int status, const struct http_header *headers,
                    size_t count);
    void (*request)(struct http_exchange *exchange); /* client: sends exchange->request */
    /* Moves what can be sent to the stream. */
    void (*pump)(struct http_connection *connection);
    void (*resume)(struct http_exchange *exchange);
    void (*consumed)(struct http_exchange *exchange); /* receive_paused has ended */
    void (*cancel)(struct http_exchange *exchange);   /* client; the exchange is freed */
    void (*forget)(struct http_exchange *exchange);   /* it ends for another reason */
    void (*drain)(struct http_connection *connection);
    void (*free)(struct http_connection *connection);
};
extern const struct http_protocol_ops http1_ops, http2_ops;

struct http1;
struct http2;
struct http_connection {
    struct stream *stream; /* NULL: closed or handed over */
    struct loop *loop;
    const struct http_protocol_ops *protocol; /* NULL: not known yet */
    union {
        struct http1 *h1;
        struct http2 *h2;
    };
    const struct http_server_ops *ops; /* NULL: a client */
    void *ctx;
    struct http_server_options options;
    struct list exchanges;
    size_t exchange_count;
    struct http_pool *pool;
    size_t incomplete; /* server: requests that are not whole yet */
    struct task pump;
    struct timer timer;
    int64_t active_ns; /* when the last exchange ended */
    int64_t date_second;
    char date[HTTP_DATE_SIZE];
    bool pump_queued, draining, closing;
    uint64_t seen_sent; /* stream_sent() when it last moved, at seen_ns */
    int64_t seen_ns;
    struct buf early; /* server: bytes before the protocol is known */
    /* client */
    struct http_client *client;
};

/* ---- http.c ---- */
struct http_connection *http_connection_new(struct stream *stream);
void http_connection_free(struct http_connection *connection);
/* Ends every exchange with `err` (server: on_abort). */
void http_connection_end_all(struct http_connection *connection, const struct err *err);
void http_connection_close(struct http_connection *connection); /* after what is queued */
void http_connection_abort(struct http_connection *connection, enum err_code code, const char *why);
void http_pump_later(struct http_connection *connection);
struct str http_date(struct http_connection *connection);

struct http_exchange *http_exchange_new(struct http_connection *connection);
void http_exchange_free(struct http_exchange *exchange); /* silently */
/* Copies a field of the head; false: over the limit. */
bool http_exchange_add_header(struct http_exchange *exchange, struct str name, struct str value);
void http_exchange_clear_headers(struct http_exchange *exchange);
void http_exchange_free_body(struct http_exchange *exchange);
/* Up to cap bytes of the outgoing body, as http_body.read; counts, and ends at body->length. */
ssize_t http_exchange_read(struct http_exchange *exchange, char *out, size_t cap);
void http_split_target(struct str target, struct http_request *request);

/* ---- http_server.c: what the protocols tell ---- */
void http_server_begin(struct http_exchange *exchange); /* the first byte of a request */
void http_server_head(struct http_exchange *exchange);
void http_server_deliver(struct http_exchange *exchange);
void http_server_watch(struct http_connection *connection); /* after input: deadlines */
/* False: the body is over the limit, the exchange was refused. */
bool http_server_body(struct http_exchange *exchange, const char *bytes, size_t size);
void http_server_body_end(struct http_exchange *exchange);
void http_server_refuse(struct http_exchange *exchange, int status);
/* The exchange is over; aborts it when the answer was not complete. Frees. */
void http_server_end(struct http_exchange *exchange);

/* ---- http_client.c ---- */
void http_send_upgrade(struct http_client *client, const struct http_client_request *request,
                       const struct http_client_ops *ops, void *ctx);
void http_client_doom(struct http_exchange *exchange); /* ends with ERR_UNAVAILABLE, next turn */
void http_client_headers(struct http_exchange *exchange);
void http_client_data(struct http_exchange *exchange, const char *bytes, size_t size);
void http_client_end(struct http_exchange *exchange, const struct err *err); /* frees */

void http1_start(struct http_connection *connection);
void http2_start(struct http_connection *connection);
/* HTTP/1.1, after an upgrade: takes the stream away and gives back to it what was read too far. */
struct stream *http1_detach(struct http_connection *connection);
/* Server: forgets the connection and its exchange after http1_detach(). */
void http_server_detached(struct http_connection *connection);

/* http1_int.h: an HTTP/1.1 connection, for reading (http1.c) and writing (http1_write.c). */
#pragma once
#include "wire/http_int.h"

enum { HTTP1_FIELDS_MAX = 256 };
enum http1_part { HTTP1_TARGET, HTTP1_NAME, HTTP1_VALUE };
struct http1_field { /* offsets into head */
    uint32_t name, name_size, value, value_size;
};

struct llhttp__internal_s;
struct http1 {
    struct llhttp__internal_s *parser; /* an llhttp_t; its data is this struct */
    struct http_connection *connection;
    struct http_exchange *exchange; /* the one in work */
    struct buf head;                /* target, names, values as they come */
    struct http1_field *fields;
    size_t field_count, field_cap, head_size, target_size;
    enum http1_part part;
    struct buf pending; /* after the message in work */
    struct task rerun;
    bool rerun_queued, input_paused;
    bool complete;   /* the incoming message is */
    bool too_large;  /* its head */
    bool keep_alive; /* after this exchange */
    bool chunked;    /* our body */
    int version_minor;
};

void http1_respond(struct http_exchange *exchange, int status, const struct http_header *headers,
                   size_t count);
void http1_request(struct http_exchange *exchange);
void http1_send_next(struct http_connection *connection); /* client: the next that waits */
void http1_pump(struct http_connection *connection);
void http1_resume(struct http_exchange *exchange);
void http1_finish(struct http_exchange *exchange); /* server: answer and request are complete */
void http1_next(struct http_connection *connection);
void http1_add_field(struct buf *out, struct str name, struct str value);
bool http1_is_framing(struct str name); /* fields that only we write */

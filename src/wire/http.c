/* http.c: exchanges, connections and bodies: what both protocols and both sides share.
 *
 * Invariants: an exchange belongs to one connection and is freed once, its body before it; a
 * connection is freed only in its stream's on_close (or when the stream was handed over), never
 * under a protocol library's callback. Output is made once a turn: whoever has something to send
 * asks for the pump, which runs at the end of the turn.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "wire/http_int.h"

/* ---- connections ---- */

static void run_pump(struct task *task)
{
    struct http_connection *connection = container_of(task, struct http_connection, pump);
    connection->pump_queued = false;
    if (connection->stream != NULL && connection->protocol != NULL) {
        connection->protocol->pump(connection);
    }
}

void http_pump_later(struct http_connection *connection)
{
    if (!connection->pump_queued && connection->stream != NULL) {
        connection->pump_queued = true;
        loop_defer(connection->loop, &connection->pump);
    }
}

static void pool_free(void *value)
{
    struct http_pool *pool = value;
    struct list *item;
    while ((item = list_pop(&pool->unused)) != NULL) {
        struct http_exchange *exchange = container_of(item, struct http_exchange, link);
        arena_done(&exchange->arena);
        free(exchange);
    }
    free(pool);
}

static struct http_pool *pool_of(struct loop *loop)
{
    static const char key;
    void **place = loop_local(loop, &key, pool_free);
    if (*place == NULL) {
        struct http_pool *pool = mem_new(struct http_pool);
        list_init(&pool->unused);
        *place = pool;
    }
    return *place;
}

struct http_connection *http_connection_new(struct stream *stream)
{
    struct http_connection *connection = mem_new(struct http_connection);
    connection->stream = stream;
    connection->loop = stream_loop(stream);
    connection->pump.run = run_pump;
    connection->active_ns = loop_mono(connection->loop);
    list_init(&connection->exchanges);
    connection->pool = pool_of(connection->loop);
    return connection;
}

void http_connection_free(struct http_connection *connection)
{
    if (connection->pump_queued) {
        list_remove(&connection->pump.link);
    }
    timer_stop(&connection->timer);
    if (connection->protocol != NULL) {
        connection->protocol->free(connection);
    }
    buf_done(&connection->early);
    free(connection);
}

void http_connection_end_all(struct http_connection *connection, const struct err *err)
{
    while (!list_empty(&connection->exchanges)) {
        struct http_exchange *exchange =
            container_of(connection->exchanges.next, struct http_exchange, link);
        if (connection->protocol != NULL) {
            connection->protocol->forget(exchange);
        }
        if (connection->ops != NULL) {
            http_server_end(exchange);
        } else {
            http_client_end(exchange, err);
        }
    }
}

void http_connection_close(struct http_connection *connection)
{
    if (!connection->closing && connection->stream != NULL) {
        connection->closing = true;
        stream_close(connection->stream);
    }
}

void http_connection_abort(struct http_connection *connection, enum err_code code, const char *why)
{
    if (connection->stream != NULL) {
        connection->closing = true;
        stream_abort(connection->stream, code, why);
    }
}

struct str http_date(struct http_connection *connection)
{
    int64_t second = clock_wall(loop_clock(connection->loop)) / NS_PER_S;
    if (second != connection->date_second) {
        static const char days[] = "SunMonTueWedThuFriSat";
        static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        time_t seconds = (time_t)second;
        struct tm tm;
        gmtime_r(&seconds, &tm);
        snprintf(connection->date, sizeof connection->date,
                 "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * tm.tm_wday, tm.tm_mday,
                 months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
        connection->date_second = second;
    }
    return str_of(connection->date);
}

/* ---- exchanges ---- */

struct http_exchange *http_exchange_new(struct http_connection *connection)
{
    struct list *item = list_pop(&connection->pool->unused);
    struct http_exchange *exchange;
    if (item != NULL) {
        exchange = container_of(item, struct http_exchange, link);
        connection->pool->count--;
    } else {
        exchange = mem_new(struct http_exchange);
    }
    exchange->connection = connection;
    list_append(&connection->exchanges, &exchange->link);
    connection->exchange_count++;
    return exchange;
}

void http_exchange_free_body(struct http_exchange *exchange)
{
    struct http_body *body = exchange->out;
    if (body != NULL) {
        exchange->out = NULL;
        body->free(body);
    }
}

void http_exchange_free(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    http_exchange_free_body(exchange);
    buf_done(&exchange->body);
    list_remove(&exchange->link);
    if (--connection->exchange_count == 0) {
        connection->active_ns = loop_mono(connection->loop);
    }
    if (connection->pool->count < HTTP_FREE_MAX && exchange->arena.used <= HTTP_ARENA_KEEP) {
        struct arena arena = exchange->arena;
        arena_reset(&arena);
        *exchange = (struct http_exchange){.arena = arena};
        list_prepend(&connection->pool->unused, &exchange->link);
        connection->pool->count++;
    } else {
        arena_done(&exchange->arena);
        free(exchange);
    }
}

bool http_exchange_add_header(struct http_exchange *exchange, struct str name, struct str value)
{
    exchange->header_bytes += name.n + value.n + 32;
    if (exchange->header_bytes > HTTP_HEADERS_MAX) {
        return false;
    }
    if (exchange->header_count == exchange->header_cap) {
        size_t cap = exchange->header_cap != 0 ? 2 * exchange->header_cap : 16;
        struct http_header *grown = arena_array(&exchange->arena, struct http_header, cap);
        if (exchange->header_count > 0) {
            memcpy(grown, exchange->headers, exchange->header_count * sizeof *grown);
        }
        exchange->headers = grown;
        exchange->header_cap = cap;
    }
    exchange->headers[exchange->header_count++] = (struct http_header){
        str_copy_in(&exchange->arena, name), str_copy_in(&exchange->arena, value)};
    return true;
}

void http_exchange_clear_headers(struct http_exchange *exchange)
{
    exchange->header_count = exchange->header_bytes = 0;
}

ssize_t http_exchange_read(struct http_exchange *exchange, char *out, size_t cap)
{
    struct http_body *body = exchange->out;
    if (body->length >= 0 && (uint64_t)(body->length - exchange->out_sent) < cap) {
        cap = (size_t)(body->length - exchange->out_sent);
        if (cap == 0) {
            return 0;
        }
    }
    ssize_t got = body->read(body, out, cap);
    if (got > 0) {
        exchange->out_sent += got;
    } else if (got == 0 && body->length >= 0) {
        return HTTP_BODY_FAILED; /* shorter than it said */
    }
    return got;
}

void http_split_target(struct str target, struct http_request *request)
{
    request->path = str_cut(target, '?', &request->query);
}

const struct http_request *http_request(const struct http_exchange *exchange)
{
    return &exchange->request;
}

struct stream *http_exchange_stream(const struct http_exchange *exchange)
{
    return exchange->connection->stream;
}

struct http_connection *http_exchange_connection(const struct http_exchange *exchange)
{
    return exchange->connection;
}

struct loop *http_exchange_loop(const struct http_exchange *exchange)
{
    return exchange->connection->loop;
}

void http_exchange_set(struct http_exchange *exchange, void *user)
{
    exchange->user = user;
}

void *http_exchange_get(const struct http_exchange *exchange)
{
    return exchange->user;
}

void http_resume(struct http_exchange *exchange)
{
    if (exchange->out != NULL) {
        exchange->deferred = false;
        exchange->connection->protocol->resume(exchange);
        http_pump_later(exchange->connection);
    }
}

void http_receive_pause(struct http_exchange *exchange)
{
    exchange->receive_paused = true;
    if (exchange->connection->protocol == &http1_ops && exchange->connection->stream != NULL) {
        stream_pause(exchange->connection->stream);
    }
}

void http_receive_resume(struct http_exchange *exchange)
{
    if (exchange->receive_paused) {
        exchange->receive_paused = false;
        exchange->connection->protocol->consumed(exchange);
    }
}

struct str http_header_get(const struct http_header *headers, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eq(headers[i].name, name)) {
            return headers[i].value;
        }
    }
    return STR_NONE;
}

/* ---- bodies in memory ---- */

struct memory_body {
    struct http_body body;
    char *bytes;
    size_t size, done;
};

static ssize_t memory_read(struct http_body *body, char *out, size_t cap)
{
    struct memory_body *memory = container_of(body, struct memory_body, body);
    size_t left = memory->size - memory->done;
    size_t size = left < cap ? left : cap;
    memcpy(out, memory->bytes + memory->done, size);
    memory->done += size;
    return (ssize_t)size;
}

static void memory_free(struct http_body *body)
{
    struct memory_body *memory = container_of(body, struct memory_body, body);
    if (memory->bytes != (char *)(memory + 1)) {
        free(memory->bytes);
    }
    free(memory);
}

struct http_body *http_body_bytes(char *heap_bytes, size_t size)
{
    struct memory_body *memory = mem_new(struct memory_body);
    memory->body = (struct http_body){memory_read, memory_free, (int64_t)size, NULL};
    memory->bytes = heap_bytes;
    memory->size = size;
    return &memory->body;
}

struct http_body *http_body_copy(struct str bytes)
{
    struct memory_body *memory = mem_alloc(sizeof *memory + bytes.n);
    *memory = (struct memory_body){.body = {memory_read, memory_free, (int64_t)bytes.n, NULL},
                                   .bytes = (char *)(memory + 1),
                                   .size = bytes.n};
    if (bytes.n > 0) {
        memcpy(memory + 1, bytes.p, bytes.n);
    }
    return &memory->body;
}

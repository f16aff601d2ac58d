/* dns_server.c: sockets of the cluster's DNS: receives, asks the zone, forwards what is not of it.
 *
 * Invariants: everything on the loop; an open forwarded question (struct pending) is in
 * server->pendings until it is answered, and forgets its TCP client when that goes. UDP answers
 * respect the client's size and set TC; a TCP client may send questions one after the other, at
 * most CLIENTS_MAX are connected, IDLE_NS each.
 */
#include "network/dns_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/metrics.h"
#include "io/net.h"
#include "io/poll.h"
#include "network/dns_forward.h"
#include "network/namespace.h"

enum { CLIENTS_MAX = 256, BATCH = 64, PACKET_MAX = 65535 };
#define IDLE_NS (10 * NS_PER_S)

METRIC(udp_queries, METRIC_KIND_COUNTER, "cox_dns_requests_total", "proto=\"udp\"",
       "DNS questions received");
METRIC(tcp_queries, METRIC_KIND_COUNTER, "cox_dns_requests_total", "proto=\"tcp\"",
       "DNS questions received");

struct dns_server {
    struct loop *loop;
    struct dns_zone zone;
    struct dns_forwarder *forwarder; /* NULL: forwards nowhere */
    int udp_fd, tcp_fd;
    struct poll_watch *udp; /* NULL: not begun */
    struct listener *listener;
    struct list clients, pendings;
    size_t client_count;
    bool whole; /* the zone is known */
};
struct tcp_client {
    struct list link;
    struct dns_server *server;
    struct stream *stream;
    struct buf in;
    struct timer idle;
};
struct pending { /* a question that is with the upstream */
    struct list link;
    struct dns_server *server;
    struct tcp_client *client; /* NULL: UDP, or gone */
    bool tcp;
    struct sockaddr_in from;
    struct dns_question question;
    struct buf query;
    struct dns_builder builder; /* external CNAME target: answer begun by the zone */
    char external[256];
};

/* ---- answering ---- */

static void send_answer(struct dns_server *server, struct tcp_client *client, bool tcp,
                        const struct sockaddr_in *to, struct str answer)
{
    if (!tcp) {
        sendto(server->udp_fd, answer.p, answer.n, MSG_DONTWAIT | MSG_NOSIGNAL,
               (const struct sockaddr *)to, sizeof *to); /* full buffer: lost, as UDP may be */
    } else if (client != NULL && answer.n <= PACKET_MAX) {
        uint8_t length[2] = {(uint8_t)(answer.n >> 8), (uint8_t)answer.n};
        stream_write(client->stream, length, 2);
        stream_write(client->stream, answer.p, answer.n);
    }
}

static size_t answer_limit(const struct dns_question *question, bool tcp)
{
    return tcp ? PACKET_MAX : question->udp_size;
}

static void begin(struct pending *pending)
{
    dns_begin(&pending->builder, buf_view(&pending->query), &pending->question,
              answer_limit(&pending->question, pending->tcp));
    pending->builder.recursion_available = pending->server->forwarder != NULL;
}

static void finish(struct pending *pending, int rcode, bool authoritative)
{
    dns_finish(&pending->builder, rcode, authoritative);
    send_answer(pending->server, pending->client, pending->tcp, &pending->from,
                buf_view(&pending->builder.out));
}

static void free_pending(struct pending *pending)
{
    list_remove(&pending->link);
    buf_done(&pending->query);
    buf_done(&pending->builder.out);
    free(pending);
}

/* The upstream's answer goes on with the client's id and spelling, cut when it is too large. */
static void pass_on(struct pending *pending, struct str answer)
{
    size_t end = pending->question.question_end;
    if (answer.n < end || answer.n > answer_limit(&pending->question, pending->tcp)) {
        begin(pending);
        pending->builder.truncated = answer.n >= end;
        finish(pending, answer.n >= end ? DNS_RCODE_OK : DNS_RCODE_SERVFAIL, false);
        return;
    }
    struct buf copy BUF_CLEANUP = BUF_INIT;
    buf_str(&copy, answer);
    memcpy(copy.p, pending->query.p, 2);
    memcpy(copy.p + 12, pending->query.p + 12, end - 12);
    send_answer(pending->server, pending->client, pending->tcp, &pending->from, buf_view(&copy));
}

static void forwarded(void *ctx, struct str answer)
{
    struct pending *pending = ctx;
    pass_on(pending, answer);
    free_pending(pending);
}

/* Addresses of an ExternalName's target: the A and AAAA records of the answer, under the target's
 * name (the chain between is left out). */
static void external_answered(void *ctx, struct str answer)
{
    struct pending *pending = ctx;
    struct dns_answer_walk walk;
    int rcode = answer.n == 0 ? DNS_RCODE_SERVFAIL : answer.p[3] & 0xF;
    if (answer.n > 0 && dns_walk_begin(&walk, answer)) {
        struct dns_record record;
        while (dns_walk_next(&walk, &record)) {
            if (record.type == DNS_TYPE_A && record.data.n == 4) {
                dns_add_a(&pending->builder, pending->external, record.ttl,
                          (const uint8_t *)record.data.p);
            } else if (record.type == DNS_TYPE_AAAA && record.data.n == 16) {
                dns_add_aaaa(&pending->builder, pending->external, record.ttl,
                             (const uint8_t *)record.data.p);
            }
        }
    }
    finish(pending, rcode, true);
    free_pending(pending);
}

static void ask_external(struct pending *pending)
{
    struct buf query BUF_CLEANUP = BUF_INIT;
    if (pending->server->forwarder == NULL ||
        !dns_build_query(&query, pending->external, pending->question.type)) {
        finish(pending, DNS_RCODE_OK, true); /* the CNAME alone */
        free_pending(pending);
        return;
    }
    dns_forward(pending->server->forwarder, buf_view(&query), pending->tcp, external_answered,
                pending);
}

static struct pending *new_pending(struct dns_server *server, struct tcp_client *client,
                                   const struct sockaddr_in *from, struct str packet)
{
    struct pending *pending = mem_new(struct pending);
    pending->server = server;
    pending->client = client;
    pending->tcp = client != NULL;
    if (from != NULL) {
        pending->from = *from;
    }
    buf_str(&pending->query, packet);
    list_append(&server->pendings, &pending->link);
    return pending;
}

static void handle(struct dns_server *server, struct tcp_client *client,
                   const struct sockaddr_in *from, struct str packet)
{
    struct dns_question question;
    if (dns_parse_query(packet, &question, NULL) != 0) {
        return;
    }
    struct pending *pending = new_pending(server, client, from, packet);
    pending->question = question;
    begin(pending);
    if (question.rcode != DNS_RCODE_OK) {
        finish(pending, question.rcode, false);
        free_pending(pending);
        return;
    }
    struct dns_zone_result result = {0};
    if (question.class_ == 1 || question.class_ == 255) {
        result = dns_zone_answer(&server->zone, &question, &pending->builder);
    }
    if (result.ours && !server->whole) {
        buf_done(&pending->builder.out);
        begin(pending); /* whatever was found may be half of it */
        finish(pending, DNS_RCODE_SERVFAIL, false);
        free_pending(pending);
    } else if (result.ours && result.external[0] != 0 &&
               (question.type == DNS_TYPE_A || question.type == DNS_TYPE_AAAA)) {
        memcpy(pending->external, result.external, sizeof pending->external);
        ask_external(pending);
    } else if (result.ours) {
        finish(pending, result.rcode, true);
        free_pending(pending);
    } else if (server->forwarder != NULL && question.recursion_desired) {
        buf_done(&pending->builder.out);
        dns_forward(server->forwarder, packet, pending->tcp, forwarded, pending);
    } else {
        finish(pending, DNS_RCODE_REFUSED, false);
        free_pending(pending);
    }
}

/* ---- UDP ---- */

static void udp_ready(void *ctx, int fd)
{
    struct dns_server *server = ctx;
    char bytes[4096];
    for (int i = 0; i < BATCH; i++) {
        struct sockaddr_in from;
        socklen_t size = sizeof from;
        ssize_t n =
            recvfrom(fd, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
        if (n < 0 && errno != EINTR && errno != ECONNREFUSED) {
            return;
        }
        if (n > 0) {
            metric_add(&udp_queries, 1);
            handle(server, NULL, &from, str_at(bytes, (size_t)n));
        }
    }
}

/* ---- TCP ---- */

static void client_idle(struct timer *timer)
{
    stream_close(container_of(timer, struct tcp_client, idle)->stream);
}

static void client_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    struct tcp_client *client = ctx;
    buf_add(&client->in, bytes, size);
    timer_start(client->server->loop, &client->idle, IDLE_NS, client_idle);
    while (client->in.n >= 2) {
        const uint8_t *p = (const uint8_t *)client->in.p;
        size_t n = (size_t)(p[0] << 8 | p[1]);
        if (client->in.n < n + 2) {
            break;
        }
        metric_add(&tcp_queries, 1);
        handle(client->server, client, NULL, str_at(client->in.p + 2, n));
        buf_drop_front(&client->in, n + 2);
    }
    if (stream_queued(stream) > 1 << 20) {
        stream_abort(stream, ERR_LIMIT, "does not read its answers");
    }
}

static void client_closed(void *ctx, struct stream *stream, const struct err *err)
{
    struct tcp_client *client = ctx;
    LIST_EACH (it, &client->server->pendings) {
        struct pending *pending = container_of(it, struct pending, link);
        pending->client = pending->client == client ? NULL : pending->client;
    }
    timer_stop(&client->idle);
    list_remove(&client->link);
    client->server->client_count--;
    buf_done(&client->in);
    free(client);
}

static void accepted(void *ctx, struct listener *listener, struct stream *stream)
{
    static const struct stream_ops ops = {.on_read = client_read, .on_close = client_closed};
    static const struct stream_ops nobody = {0};
    struct dns_server *server = ctx;
    if (server->client_count >= CLIENTS_MAX) {
        stream_set_ops(stream, &nobody, NULL);
        stream_abort(stream, ERR_LIMIT, "too many DNS clients");
        return;
    }
    struct tcp_client *client = mem_new(struct tcp_client);
    client->server = server;
    client->stream = stream;
    list_append(&server->clients, &client->link);
    server->client_count++;
    stream_set_ops(stream, &ops, client);
    timer_start(server->loop, &client->idle, IDLE_NS, client_idle);
}

/* ---- start and end ---- */

static int bind_one(int type, const struct sockaddr_in *at, int *ret_fd, struct err *err)
{
    int on = 1;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return err_os(err, errno, "cluster DNS: open a socket");
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)at, sizeof *at) != 0 ||
        (type == SOCK_STREAM && listen(fd, 128) != 0)) {
        int rc = err_os(err, errno, "cluster DNS: bind port %u", ntohs(at->sin_port));
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

int dns_server_bind(int netns_fd, uint32_t address, uint16_t port, int *ret_udp, int *ret_tcp,
                    struct err *err)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(port != 0 ? port : 53),
                             .sin_addr.s_addr = htonl(address)};
    int back, udp = -1, tcp = -1;
    int rc = namespace_enter(netns_fd, &back, err);
    if (rc != 0) {
        return rc;
    }
    rc = bind_one(SOCK_DGRAM, &at, &udp, err);
    rc = rc != 0 ? rc : bind_one(SOCK_STREAM, &at, &tcp, err);
    namespace_leave(back);
    if (rc != 0) {
        if (udp >= 0) {
            close(udp);
        }
        return rc;
    }
    *ret_udp = udp;
    *ret_tcp = tcp;
    return 0;
}

int dns_server_new(const struct dns_server_options *options, struct dns_server **ret_server,
                   struct err *err)
{
    struct dns_server *server = mem_new(struct dns_server);
    server->loop = options->loop;
    server->udp_fd = options->udp_fd > 0 ? options->udp_fd : -1;
    server->tcp_fd = options->tcp_fd > 0 ? options->tcp_fd : -1;
    list_init(&server->clients);
    list_init(&server->pendings);
    int rc = 0;
    if (server->udp_fd < 0 || server->tcp_fd < 0) {
        rc = dns_server_bind(options->netns_fd, options->address, options->port, &server->udp_fd,
                             &server->tcp_fd, err);
    }
    if (rc == 0 && options->upstream.n > 0) {
        rc = dns_forwarder_new(options->loop, options->upstream, &server->forwarder, err);
    }
    if (rc != 0) {
        dns_server_free(server);
        return rc;
    }
    dns_zone_init(&server->zone, options->domain, options->services, options->slices,
                  loop_random(options->loop));
    *ret_server = server;
    return 0;
}

void dns_server_begin(struct dns_server *server, bool whole)
{
    static const struct listener_ops listener_ops = {.on_accept = accepted};
    server->whole |= whole;
    if (server->udp == NULL) {
        server->udp = poll_readable(server->loop, server->udp_fd, udp_ready, server);
        server->listener = listener_new(server->loop, server->tcp_fd, NULL, &listener_ops, server);
        server->tcp_fd = -1; /* the listener's now */
    }
}

void dns_server_free(struct dns_server *server)
{
    static const struct stream_ops nobody = {0};
    if (server == NULL) {
        return;
    }
    poll_stop(server->udp);
    if (server->udp_fd >= 0) {
        close(server->udp_fd);
    }
    if (server->tcp_fd >= 0) {
        close(server->tcp_fd);
    }
    if (server->listener != NULL) {
        listener_free(server->listener);
    }
    dns_forwarder_free(server->forwarder);
    LIST_EACH_SAFE (it, &server->pendings) {
        free_pending(container_of(it, struct pending, link));
    }
    LIST_EACH_SAFE (it, &server->clients) {
        struct tcp_client *client = container_of(it, struct tcp_client, link);
        struct stream *stream = client->stream;
        client_closed(client, stream, NULL);
        stream_set_ops(stream, &nobody, NULL);
        stream_abort(stream, ERR_CANCELED, "DNS server ends");
    }
    free(server);
}

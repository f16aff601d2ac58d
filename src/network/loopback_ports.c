/* loopback_ports.c: a listener a port, two streams a connection, bytes copied between them.
 *
 * Invariants: both streams of a connection live until the second one is closed; one that has more
 * than QUEUE_MAX to write pauses the other; an end of one side is handed on as a half-close.
 */
#include "network/loopback_ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/mem.h"
#include "io/net.h"
#include "network/namespace.h"

enum { QUEUE_MAX = 256 << 10 };

struct loopback_ports {
    struct loop *loop;
    int netns_fd;
    struct list ports, connections;
};
struct local_port {
    struct list link;
    struct loopback_ports *all;
    struct host_port port;
    struct listener *listener;
};
struct connection;
struct side {
    struct connection *connection;
    struct stream *stream; /* NULL: closed */
    bool paused, ended;    /* ended: nothing more comes from it */
};
struct connection {
    struct list link;
    struct side client, pod;
};

static struct side *other(struct side *side)
{
    struct connection *connection = side->connection;
    return side == &connection->client ? &connection->pod : &connection->client;
}

static void on_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    struct side *side = ctx, *to = other(side);
    if (to->stream == NULL) {
        stream_abort(stream, ERR_CLOSED, "the other side is gone");
        return;
    }
    stream_write(to->stream, bytes, size);
    if (stream_queued(to->stream) > QUEUE_MAX && !side->paused) {
        side->paused = true;
        stream_pause(stream);
    }
}

static void on_drain(void *ctx, struct stream *stream)
{
    struct side *from = other(ctx);
    if (from->paused && from->stream != NULL) {
        from->paused = false;
        stream_resume(from->stream);
    }
}

static void on_eof(void *ctx, struct stream *stream)
{
    struct side *side = ctx, *to = other(side);
    side->ended = true;
    if (to->stream == NULL || to->ended) { /* both directions are over */
        stream_close(stream);
        if (to->stream != NULL) {
            stream_close(to->stream);
        }
    } else {
        stream_shutdown(to->stream);
    }
}

static void on_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct side *side = ctx, *to = other(side);
    side->stream = NULL;
    if (to->stream != NULL) {
        stream_close(to->stream);
        return;
    }
    list_remove(&side->connection->link);
    free(side->connection);
}

static const struct stream_ops side_ops = {
    .on_read = on_read, .on_eof = on_eof, .on_drain = on_drain, .on_close = on_close};

/* A connecting socket in the cluster namespace; -1: none. */
static int dial(const struct loopback_ports *all, const struct host_port *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(port->pod_port),
                             .sin_addr.s_addr = htonl(port->pod_address)};
    int back;
    if (namespace_enter(all->netns_fd, &back, NULL) != 0) {
        return -1;
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    namespace_leave(back);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

static void on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    static const struct stream_ops nobody = {0};
    struct local_port *local = ctx;
    int fd = dial(local->all, &local->port);
    if (fd < 0) {
        stream_set_ops(stream, &nobody, NULL);
        stream_abort(stream, ERR_UNAVAILABLE, "the pod cannot be reached");
        return;
    }
    struct connection *connection = mem_new(struct connection);
    connection->client = (struct side){.connection = connection, .stream = stream};
    connection->pod = (struct side){.connection = connection};
    list_append(&local->all->connections, &connection->link);
    stream_set_ops(stream, &side_ops, &connection->client);
    connection->pod.stream = stream_from_fd(local->all->loop, fd, &side_ops, &connection->pod);
}

struct loopback_ports *loopback_ports_new(struct loop *loop, int netns_fd)
{
    struct loopback_ports *ports = mem_new(struct loopback_ports);
    ports->loop = loop;
    ports->netns_fd = netns_fd;
    list_init(&ports->ports);
    list_init(&ports->connections);
    return ports;
}

static void free_port(struct local_port *local)
{
    list_remove(&local->link);
    listener_free(local->listener);
    free(local);
}

void loopback_ports_free(struct loopback_ports *ports)
{
    static const struct stream_ops nobody = {0};
    if (ports == NULL) {
        return;
    }
    LIST_EACH_SAFE (it, &ports->ports) {
        free_port(container_of(it, struct local_port, link));
    }
    LIST_EACH_SAFE (it, &ports->connections) {
        struct connection *connection = container_of(it, struct connection, link);
        struct stream *streams[] = {connection->client.stream, connection->pod.stream};
        list_remove(&connection->link);
        free(connection);
        for (int i = 0; i < 2; i++) {
            if (streams[i] != NULL) {
                stream_set_ops(streams[i], &nobody, NULL);
                stream_abort(streams[i], ERR_CANCELED, "the agent ends");
            }
        }
    }
    free(ports);
}

int loopback_ports_add(struct loopback_ports *ports, const struct host_port *port, struct err *err)
{
    static const struct listener_ops ops = {.on_accept = on_accept};
    char host[ADDRESS_TEXT_SIZE], address[ADDRESS_TEXT_SIZE + 8];
    int back, fd = -1;
    address_format(port->host_address != 0 ? port->host_address : 0x7F000001, host);
    if (port->protocol != IPPROTO_TCP) {
        return err_set(err, ERR_UNSUPPORTED,
                       "hostPort %u on %s: only TCP is carried on loopback addresses",
                       port->host_port, host);
    }
    snprintf(address, sizeof address, "%s:%u", host, port->host_port);
    int rc = namespace_enter(ports->netns_fd, &back, err);
    if (rc != 0) {
        return rc;
    }
    rc = net_bind(str_of(address), &fd, err);
    namespace_leave(back);
    if (rc != 0) {
        return err_wrap(err, "hostPort %u", port->host_port);
    }
    struct local_port *local = mem_new(struct local_port);
    local->all = ports;
    local->port = *port;
    list_append(&ports->ports, &local->link);
    local->listener = listener_new(ports->loop, fd, NULL, &ops, local);
    return 0;
}

void loopback_ports_remove(struct loopback_ports *ports, const struct host_port *port)
{
    LIST_EACH_SAFE (it, &ports->ports) {
        struct local_port *local = container_of(it, struct local_port, link);
        if (local->port.host_port == port->host_port &&
            local->port.host_address == port->host_address &&
            local->port.pod_address == port->pod_address &&
            local->port.protocol == port->protocol) {
            free_port(local);
        }
    }
}

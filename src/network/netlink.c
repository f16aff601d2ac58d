/* netlink.c: the socket and the request/answer turn of netlink, on libmnl.
 *
 * Invariants: one message in flight; answers with another sequence number (left over from a failed
 * turn) are skipped. What the messages say is in link.c and route.c (rtnetlink), nft.c and
 * conntrack.c (netfilter).
 */
#include "network/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdlib.h>

#include "base/mem.h"
#include "network/namespace.h"

enum { RECEIVE_SIZE = 32768 };

int netlink_open(struct netlink *netlink, int netns_fd, int protocol, struct err *err)
{
    int back;
    int rc = namespace_enter(netns_fd, &back, err);
    if (rc != 0) {
        return rc;
    }
    struct mnl_socket *socket = mnl_socket_open2(protocol, SOCK_CLOEXEC);
    int os_errno = errno;
    namespace_leave(back);
    if (socket == NULL || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) != 0) {
        rc = err_os(err, socket == NULL ? os_errno : errno, "open netlink socket");
        if (socket != NULL) {
            mnl_socket_close(socket);
        }
        return rc;
    }
    int on = 1;
    mnl_socket_setsockopt(socket, NETLINK_CAP_ACK, &on, sizeof on); /* short acknowledgements */
    *netlink = (struct netlink){.socket = socket, .message = mem_alloc(NETLINK_MESSAGE_MAX)};
    return 0;
}

void netlink_close(struct netlink *netlink)
{
    if (netlink->socket != NULL) {
        mnl_socket_close(netlink->socket);
    }
    free(netlink->message);
    *netlink = (struct netlink){0};
}

struct nlmsghdr *netlink_begin(struct netlink *netlink, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *message = mnl_nlmsg_put_header(netlink->message);
    message->nlmsg_type = type;
    message->nlmsg_flags = NLM_F_REQUEST | flags;
    message->nlmsg_seq = ++netlink->seq;
    return message;
}

/* Handles one datagram; returns 1 for "go on", 0 for "done", or a negative code. */
static int take(const char *bytes, size_t size, uint32_t seq,
                void (*visit)(void *ctx, const struct nlmsghdr *answer), void *ctx, struct err *err,
                const char *what)
{
    const struct nlmsghdr *answer = (const struct nlmsghdr *)(const void *)bytes;
    int left = (int)size;
    for (; mnl_nlmsg_ok(answer, left); answer = mnl_nlmsg_next(answer, &left)) {
        if (answer->nlmsg_seq != seq) {
            continue;
        }
        if (answer->nlmsg_type == NLMSG_ERROR) {
            const struct nlmsgerr *error = mnl_nlmsg_get_payload(answer);
            return error->error == 0 ? 0 : err_os(err, -error->error, "%s", what);
        }
        if (answer->nlmsg_type == NLMSG_DONE) {
            return 0;
        }
        if (visit != NULL && answer->nlmsg_type >= NLMSG_MIN_TYPE) {
            visit(ctx, answer);
        }
    }
    return 1;
}

static int turn(struct netlink *netlink, struct nlmsghdr *message,
                void (*visit)(void *ctx, const struct nlmsghdr *answer), void *ctx, struct err *err,
                const char *what)
{
    uint32_t seq = message->nlmsg_seq;
    if (mnl_socket_sendto(netlink->socket, message, message->nlmsg_len) < 0) {
        return err_os(err, errno, "%s", what);
    }
    char *bytes MEM_CLEANUP = mem_alloc(RECEIVE_SIZE);
    int rc = 1;
    while (rc == 1) {
        ssize_t n = mnl_socket_recvfrom(netlink->socket, bytes, RECEIVE_SIZE);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        rc = n < 0 ? err_os(err, errno, "%s", what)
                   : take(bytes, (size_t)n, seq, visit, ctx, err, what);
    }
    return rc;
}

int netlink_send(struct netlink *netlink, struct nlmsghdr *message, struct err *err,
                 const char *what)
{
    message->nlmsg_flags |= NLM_F_ACK;
    return turn(netlink, message, NULL, NULL, err, what);
}

int netlink_dump(struct netlink *netlink, struct nlmsghdr *message,
                 void (*visit)(void *ctx, const struct nlmsghdr *answer), void *ctx,
                 struct err *err, const char *what)
{
    message->nlmsg_flags |= NLM_F_DUMP;
    return turn(netlink, message, visit, ctx, err, what);
}

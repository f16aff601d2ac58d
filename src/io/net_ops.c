/* net_ops.c: the real side of the seam in net.h, and which table is in use. */
#include <errno.h>
#include <sys/socket.h>

#include "base/failpoint.h"
#include "io/stream_int.h"

static int real_accept(int listen_fd)
{
    int injected = FAILPOINT_ERRNO("io.accept");
    int fd = injected != 0 ? -1 : accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return fd >= 0 ? fd : injected != 0 ? -injected : -errno;
}

static int real_connect(void)
{
    return -FAILPOINT_ERRNO("io.connect");
}

static ssize_t real_received(size_t size)
{
    int injected = FAILPOINT_ERRNO("io.stream.read");
    return injected != 0 ? -injected : (ssize_t)size;
}

static ssize_t real_may_send(size_t size)
{
    int injected = FAILPOINT_ERRNO("io.stream.write");
    return injected != 0 ? -injected : (ssize_t)size;
}

static const struct net_ops real_ops = {
    .accept = real_accept,
    .connect = real_connect,
    .received = real_received,
    .may_send = real_may_send,
};
const struct net_ops *net_ops = &real_ops;

const struct net_ops *net_ops_real(void)
{
    return &real_ops;
}

void net_set_ops(const struct net_ops *ops)
{
    net_ops = ops != NULL ? ops : &real_ops;
}

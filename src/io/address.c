/* address.c: addresses as text, and sockets bound to them. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "io/stream_int.h"

enum { BACKLOG = 1024 };

bool address_split(struct str address, struct str *ret_host, uint16_t *ret_port)
{
    struct str port, host = str_cut_last(address, ':', &port);
    uint64_t number;
    if (port.p == NULL || !str_u64(port, &number) || number > UINT16_MAX) {
        return false;
    }
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
        host = str_at(host.p + 1, host.n - 2);
    }
    *ret_host = host;
    *ret_port = (uint16_t)number;
    return true;
}

bool address_numeric(struct str host, uint16_t port, struct sockaddr_storage *ret_address)
{
    char text[INET6_ADDRSTRLEN + 20];
    if (host.n >= sizeof text) {
        return false;
    }
    snprintf(text, sizeof text, "%.*s", STR_ARG(host));
    *ret_address = (struct sockaddr_storage){0};
    return uv_ip4_addr(text, port, (void *)ret_address) == 0 ||
           uv_ip6_addr(text, port, (void *)ret_address) == 0;
}

static int bind_fd(int fd, const struct sockaddr *address, socklen_t size, struct str name,
                   bool listening, int *ret_fd, struct err *err)
{
    int one = 1;
    if (fd >= 0 && address->sa_family != AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    }
    if (fd < 0 || bind(fd, address, size) != 0 || (listening && listen(fd, BACKLOG) != 0)) {
        int os_errno = errno;
        if (fd >= 0) {
            close(fd);
        }
        return err_os(err, os_errno, "listen on %.*s", STR_ARG(name));
    }
    *ret_fd = fd;
    return 0;
}

static int bind_unix(struct str address, int *ret_fd, struct err *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct str path = str_from(address, sizeof "unix:" - 1);
    if (path.n == 0 || path.n >= sizeof un.sun_path) {
        return err_set(err, ERR_INVALID, "listen on %.*s: the path is empty or too long",
                       STR_ARG(address));
    }
    memcpy(un.sun_path, path.p, path.n);
    unlink(un.sun_path); /* of an earlier run; the folder is ours */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return bind_fd(fd, (void *)&un, sizeof un, address, true, ret_fd, err);
}

static int bind_inet(struct str address, int type, int *ret_fd, struct err *err)
{
    struct sockaddr_storage storage;
    struct str host;
    uint16_t port;
    if (!address_split(address, &host, &port) ||
        !address_numeric(host.n == 0 ? STR("::") : host, port, &storage)) {
        return err_set(err, ERR_INVALID, "listen on %.*s: not an address and a port",
                       STR_ARG(address));
    }
    int fd = socket(storage.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int both = 0; /* "[::]" serves IPv4 too */
    if (fd >= 0 && storage.ss_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof both);
    }
    socklen_t size =
        storage.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    return bind_fd(fd, (void *)&storage, size, address, type == SOCK_STREAM, ret_fd, err);
}

int net_bind(struct str address, int *ret_fd, struct err *err)
{
    return str_starts(address, STR("unix:")) ? bind_unix(address, ret_fd, err)
                                             : bind_inet(address, SOCK_STREAM, ret_fd, err);
}

int net_bind_udp(struct str address, int *ret_fd, struct err *err)
{
    return bind_inet(address, SOCK_DGRAM, ret_fd, err);
}

/* netns_test.c: see netns_test.h. */
#include "netns_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/codec.h"
#include "network/namespace.h"
#include "network/netlink.h"

bool netns_test_enter(void)
{
    int fd;
    struct netlink netlink;
    if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/run", "tmpfs", 0, NULL) != 0) {
        return false;
    }
    mkdir("/run/cox", 0755);
    assert_int_equal(namespace_open(NULL, &fd, NULL), 0);
    assert_int_equal(netlink_open(&netlink, fd, NETLINK_ROUTE, NULL), 0);
    assert_int_equal(link_up(&netlink, 1, NULL), 0);
    netlink_close(&netlink);
    close(fd);
    return true;
}

struct stop {
    struct timer timer;
    struct loop *loop;
};

static void stop_loop(struct timer *timer)
{
    loop_stop(container_of(timer, struct stop, timer)->loop);
}

void netns_test_run(struct loop *loop, int ms)
{
    struct stop stop = {.loop = loop};
    timer_start(loop, &stop.timer, ms * NS_PER_MS, stop_loop);
    loop_run(loop);
}

int netns_test_socket(const char *path, int type)
{
    int fd, back, on = 1;
    assert_int_equal(namespace_open(path, &fd, NULL), 0);
    assert_int_equal(namespace_enter(fd, &back, NULL), 0);
    int sock = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    namespace_leave(back);
    close(fd);
    assert_true(sock >= 0);
    setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    return sock;
}

static struct sockaddr_in to_address(const char *address, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    assert_int_equal(inet_pton(AF_INET, address, &to.sin_addr), 1);
    return to;
}

int netns_test_listen(const char *path, int type, const char *address, uint16_t port)
{
    struct sockaddr_in to = to_address(address, port);
    int sock = netns_test_socket(path, type);
    assert_int_equal(bind(sock, (struct sockaddr *)&to, sizeof to), 0);
    assert_true(type != SOCK_STREAM || listen(sock, 512) == 0);
    return sock;
}

int netns_test_connect(const char *path, int type, const char *address, uint16_t port, int ms)
{
    struct sockaddr_in to = to_address(address, port);
    int sock = netns_test_socket(path, type), error = 0;
    socklen_t size = sizeof error;
    if (connect(sock, (struct sockaddr *)&to, sizeof to) == 0) {
        return sock;
    }
    error = errno;
    if (error == EINPROGRESS) {
        struct pollfd wait = {.fd = sock, .events = POLLOUT};
        error = ETIMEDOUT;
        if (poll(&wait, 1, ms) == 1) {
            getsockopt(sock, SOL_SOCKET, SO_ERROR, &error, &size);
        }
    }
    if (error == 0) {
        return sock;
    }
    close(sock);
    errno = error;
    return -1;
}

int netns_test_accepted(const int *listeners, int count, int ms, char ret_peer[16])
{
    struct pollfd wait[16];
    assert_true(count <= 16);
    for (int i = 0; i < count; i++) {
        wait[i] = (struct pollfd){.fd = listeners[i], .events = POLLIN};
    }
    if (poll(wait, (nfds_t)count, ms) <= 0) {
        return -1;
    }
    for (int i = 0; i < count; i++) {
        struct sockaddr_in peer;
        socklen_t size = sizeof peer;
        int sock =
            wait[i].revents != 0 ? accept(listeners[i], (struct sockaddr *)&peer, &size) : -1;
        if (sock >= 0) {
            close(sock);
            if (ret_peer != NULL) {
                inet_ntop(AF_INET, &peer.sin_addr, ret_peer, 16);
            }
            return i;
        }
    }
    return -1;
}

struct object *netns_test_object(const char *group, const char *version, const char *plural,
                                 const char *json)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct err err = ERR_INIT;
    struct val *value = NULL;
    const struct api_resource *resource =
        schema_resource(str_of(group), str_of(version), str_of(plural));
    assert_non_null(resource);
    char *text = arena_dup(&arena, json, strlen(json));
    for (char *c = text; *c != 0; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    int rc = codec_decode(&arena, resource->type, CODEC_JSON, str_of(text), CODEC_STRICT, NULL,
                          &value, &err);
    if (rc != 0) {
        print_error("%s\n%s\n", err.message, text);
    }
    assert_int_equal(rc, 0);
    return object_new(resource, value, 1);
}

/* pipe.c: see pipe.h. */
#include "pipe.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

struct feed {
    struct loop *loop;
    const uint8_t *data;
    size_t size, piece;
    int fd, turns;
    const bool *done;
    struct timer timer;
};

static void next(struct timer *timer)
{
    struct feed *feed = container_of(timer, struct feed, timer);
    char sink[4096];
    while (recv(feed->fd, sink, sizeof sink, MSG_DONTWAIT) > 0) {
    }
    if (*feed->done || ++feed->turns > 200) {
        loop_stop(feed->loop);
        return;
    }
    size_t piece = feed->size < feed->piece ? feed->size : feed->piece;
    if (piece > 0) {
        ssize_t put = send(feed->fd, feed->data, piece, MSG_DONTWAIT | MSG_NOSIGNAL);
        piece = put > 0 ? (size_t)put : put < 0 ? feed->size : 0;
        feed->data += piece;
        feed->size -= piece;
    } else {
        shutdown(feed->fd, SHUT_WR);
    }
    timer_start(feed->loop, timer, 0, next);
}

void pipe_feed(const uint8_t *data, size_t size, void (*start)(void *ctx, struct stream *stream),
               void *ctx, const bool *done)
{
    int fds[2];
    if (size == 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
        return;
    }
    struct feed feed = {.loop = loop_new(),
                        .data = data + 1,
                        .size = size - 1,
                        .piece = data[0] >= 128 ? size : (size_t)data[0] * 8 + 1,
                        .fd = fds[0],
                        .done = done};
    start(ctx, stream_from_fd(feed.loop, fds[1], NULL, NULL));
    timer_start(feed.loop, &feed.timer, 0, next);
    loop_run(feed.loop);
    loop_free(feed.loop);
    close(fds[0]);
}

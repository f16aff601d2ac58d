/* poll.c: a uv_poll_t per descriptor. The watch is freed when libuv has closed the handle, so
 * `ready` may call poll_stop() itself. Simulated loops have no descriptors: aborts there.
 */
#include "io/poll.h"

#include <stdlib.h>
#include <uv.h>

#include "base/mem.h"

struct poll_watch {
    uv_poll_t handle;
    void (*ready)(void *ctx, int fd);
    void *ctx;
    int fd;
};

static void poll_event(uv_poll_t *handle, int status, int events)
{
    struct poll_watch *watch = handle->data;
    watch->ready(watch->ctx, watch->fd); /* an error shows up in the caller's next read */
}

struct poll_watch *poll_readable(struct loop *loop, int fd, void (*ready)(void *ctx, int fd),
                                 void *ctx)
{
    struct poll_watch *watch = mem_new(struct poll_watch);
    watch->ready = ready;
    watch->ctx = ctx;
    watch->fd = fd;
    watch->handle.data = watch;
    if (uv_poll_init(loop_uv(loop), &watch->handle, fd) != 0 ||
        uv_poll_start(&watch->handle, UV_READABLE, poll_event) != 0) {
        abort(); /* no memory, or no real loop */
    }
    return watch;
}

static void poll_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void poll_stop(struct poll_watch *watch)
{
    if (watch != NULL) {
        uv_poll_stop(&watch->handle);
        uv_close((uv_handle_t *)&watch->handle, poll_closed);
    }
}

/* handoff.c: one memory file of JSON and a few descriptors. See handoff.h. */
#include "role/handoff.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

void handoff_begin(struct handoff_maker *maker, const struct options *options)
{
    *maker = (struct handoff_maker){0};
    struct buf json BUF_CLEANUP = BUF_INIT;
    struct val *parsed = NULL;
    options_write(options, &json);
    maker->root = val_new(&maker->arena, VAL_OBJECT);
    if (val_parse_json(&maker->arena, str_copy_in(&maker->arena, buf_view(&json)), &parsed, NULL) ==
        0) {
        val_set(maker->root, STR("options"), parsed);
    }
    maker->texts = val_make_object(&maker->arena, maker->root, STR("texts"));
    maker->fds = val_make_object(&maker->arena, maker->root, STR("fds"));
}

void handoff_text(struct handoff_maker *maker, const char *name, struct str text)
{
    val_set_text(&maker->arena, maker->texts, str_of(name), str_copy_in(&maker->arena, text));
}

void handoff_fd(struct handoff_maker *maker, const char *name, int fd)
{
    if (fd >= 0 && maker->fd_count < HANDOFF_FDS_MAX) {
        struct val *list = val_make_array(&maker->arena, maker->fds, str_of(name));
        val_append(list, val_new_int(&maker->arena, HANDOFF_FD + 1 + (int64_t)maker->fd_count));
        maker->ours[maker->fd_count++] = fd;
    }
}

int handoff_finish(struct handoff_maker *maker, struct process_options *options, int *ret_memfd,
                   struct err *err)
{
    struct buf json BUF_CLEANUP = BUF_INIT;
    val_write_json(maker->root, &json);
    int fd = memfd_create("cox-handoff", MFD_CLOEXEC);
    if (fd < 0 || write(fd, json.p, json.n) != (ssize_t)json.n || lseek(fd, 0, SEEK_SET) != 0) {
        int rc = err_os(err, errno, "making the handoff of a child");
        if (fd >= 0) {
            close(fd);
        }
        arena_done(&maker->arena);
        return rc;
    }
    explicit_bzero(json.p, json.n);
    options->fds[options->fd_count].ours = fd;
    options->fds[options->fd_count++].theirs = HANDOFF_FD;
    for (size_t i = 0; i < maker->fd_count; i++) {
        options->fds[options->fd_count].ours = maker->ours[i];
        options->fds[options->fd_count++].theirs = HANDOFF_FD + 1 + (int)i;
    }
    *ret_memfd = fd;
    arena_done(&maker->arena);
    return 0;
}

int handoff_read(struct handoff *ret_handoff, struct err *err)
{
    struct handoff out = {0};
    struct buf json BUF_CLEANUP = BUF_INIT;
    struct val *root = NULL;
    ssize_t n = 0;
    lseek(HANDOFF_FD, 0, SEEK_SET); /* a child that is started again shares the offset */
    do {
        n = read(HANDOFF_FD, buf_room(&json, 65536), 65536);
        json.n += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    if (n < 0) {
        return err_set(err, ERR_INVALID,
                       "this role is started by cox up, cox server or cox agent, not by hand");
    }
    close(HANDOFF_FD);
    int rc = val_parse_json(&out.arena, str_copy_in(&out.arena, buf_view(&json)), &root, err);
    if (rc == 0) {
        struct buf options BUF_CLEANUP = BUF_INIT;
        val_write_json(val_get(root, "options"), &options);
        rc = options_read(buf_view(&options), &out.options, err);
    }
    if (rc != 0) {
        arena_done(&out.arena);
        return rc;
    }
    out.texts = val_get(root, "texts");
    out.fds = val_get(root, "fds");
    VAL_EACH (list, out.fds) {
        VAL_EACH (fd, list) {
            fcntl((int)val_int(fd, -1), F_SETFD,
                  FD_CLOEXEC); /* children of this child get none of them */
        }
    }
    *ret_handoff = out;
    return 0;
}

struct str handoff_get_text(const struct handoff *handoff, const char *name)
{
    return val_text(val_get_str(handoff->texts, str_of(name)));
}

int handoff_get_fd(const struct handoff *handoff, const char *name, uint32_t i)
{
    return (int)val_int(val_at(val_get_str(handoff->fds, str_of(name)), i), -1);
}

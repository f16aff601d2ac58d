/* system_logs.c: GET /logs/...: files and listings of the host's /var/log. Paths are resolved with
 * that folder as the root, so that neither ".." nor a link leads out of it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/vec.h"
#include "node/serve/streams.h"

#define SYSTEM_LOGS "/var/log"

struct file_body {
    struct http_body body;
    int fd;
    int64_t left;
};

static ssize_t file_body_read(struct http_body *body, char *out, size_t cap)
{
    struct file_body *file = container_of(body, struct file_body, body);
    size_t want = (int64_t)cap < file->left ? cap : (size_t)file->left;
    ssize_t n = want > 0 ? read(file->fd, out, want) : 0;
    if (n < 0 || (n == 0 && want > 0)) {
        return HTTP_BODY_FAILED; /* it was cut meanwhile: the promised length cannot be kept */
    }
    file->left -= n;
    return n;
}

static void file_body_free(struct http_body *body)
{
    struct file_body *file = container_of(body, struct file_body, body);
    close(file->fd);
    free(file);
}

static void send_file(struct serve_request *request, int fd, int64_t size)
{
    struct http_header header = {STR("content-type"), STR("text/plain; charset=utf-8")};
    struct file_body *file = mem_new(struct file_body);
    file->fd = fd;
    file->left = size;
    file->body = (struct http_body){.read = file_body_read, .free = file_body_free, .length = size};
    http_respond(request->exchange, 200, &header, 1, &file->body);
}

static void add_escaped(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '<' || c == '>' || c == '&' || c == '"') {
            buf_printf(out, "&#%d;", c);
        } else {
            buf_char(out, c);
        }
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void send_listing(struct serve_request *request, int fd)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    DIR *dir = fdopendir(fd);
    struct {
        VEC_OF(char *);
    } names = {0};
    for (struct dirent *it; dir != NULL && (it = readdir(dir)) != NULL;) {
        if (strcmp(it->d_name, ".") != 0 && strcmp(it->d_name, "..") != 0) {
            *vec_push(&names) = mem_printf("%s%s", it->d_name, it->d_type == DT_DIR ? "/" : "");
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    if (names.count > 0) {
        qsort(names.items, names.count, sizeof *names.items, by_name);
    }
    buf_addz(&out, "<pre>\n");
    for (size_t i = 0; i < names.count; i++) {
        struct str name = str_of(names.items[i]);
        bool folder = name.p[name.n - 1] == '/';
        buf_addz(&out, "<a href=\"");
        url_encode(&out, folder ? str_at(name.p, name.n - 1) : name);
        buf_addz(&out, folder ? "/\">" : "\">");
        add_escaped(&out, name);
        buf_addz(&out, "</a>\n");
        free(names.items[i]);
    }
    vec_done(&names);
    buf_addz(&out, "</pre>\n");
    serve_text(request->exchange, 200, "text/html; charset=utf-8", buf_view(&out));
}

void serve_system_logs(struct serve_request *request)
{
    struct str path;
    struct stat info;
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    if (!url_decode(request->arena, request->tail, false, &path)) {
        serve_error(request->exchange, 400, "bad path");
        return;
    }
    int root = open(SYSTEM_LOGS, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const char *name = path.n > 0 ? str_dup_in(request->arena, path) : ".";
    int fd = root >= 0 ? (int)syscall(SYS_openat2, root, name, &how, sizeof how) : -1;
    if (root >= 0) {
        close(root);
    }
    if (fd < 0 || fstat(fd, &info) != 0 || (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))) {
        if (fd >= 0) {
            close(fd);
        }
        serve_error(request->exchange, 404, "404 page not found");
    } else if (S_ISDIR(info.st_mode)) {
        send_listing(request, fd);
    } else {
        send_file(request, fd, info.st_size);
    }
}

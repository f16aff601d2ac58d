/* log_file.c: reading logs across rotations, from a tail or a time on; and rotating them.
 *
 * Files are only ever appended to, renamed and removed, never truncated. A reader that follows sees
 * that its file was renamed (another inode under the name) when it has read it to its end.
 */
#include "node/serve/log_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include "node/agent_int.h"

enum { CHUNK = 64 * 1024, LINE_MAX_BYTES = 1024 * 1024 };

struct log_reader {
    char *path;
    struct log_options options;
    struct {
        VEC_OF(char *);
    } older; /* still to be read, oldest first, then path */
    size_t at;
    int fd;
    struct buf raw;
    size_t raw_at;
    int64_t sent;
    bool in_line; /* the last part written was not full */
    bool limit_reached;
};

bool log_line_parse(struct str line, struct log_line *ret_line)
{
    struct str rest, tag;
    ret_line->time = str_cut(line, ' ', &rest);
    if (rest.p == NULL) {
        return false;
    }
    ret_line->stream = str_cut(rest, ' ', &rest);
    if (rest.p == NULL) {
        return false;
    }
    tag = str_cut(rest, ' ', &ret_line->text);
    ret_line->full = tag.n > 0 && tag.p[0] == 'F';
    return (str_is(ret_line->stream, "stdout") || str_is(ret_line->stream, "stderr")) &&
           (ret_line->full || (tag.n > 0 && tag.p[0] == 'P'));
}

/* ---- files ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
    VEC_OF(char *);
};

/* PATH.STAMP, oldest first (stamps sort by time). */
static void list_older(const char *path, struct names *names)
{
    char *dir_path MEM_CLEANUP = mem_dupz(path);
    char *slash = strrchr(dir_path, '/');
    if (slash == NULL) {
        return;
    }
    *slash = '\0';
    const char *base = slash + 1;
    size_t n = strlen(base);
    DIR *dir = opendir(dir_path);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, base, n) == 0 && entry->d_name[n] == '.') {
            *vec_push(names) = mem_printf("%s/%s", dir_path, entry->d_name);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    if (names->count > 1) {
        qsort(names->items, names->count, sizeof *names->items, compare_names);
    }
}

static int open_log(const char *path)
{
    return open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

/* ---- tail ---- */

struct mapping {
    const char *bytes;
    size_t size;
};

static bool map_file(const char *path, struct mapping *ret)
{
    struct stat info;
    int fd = open_log(path);
    if (fd < 0 || fstat(fd, &info) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    *ret = (struct mapping){.size = (size_t)info.st_size};
    if (ret->size > 0) {
        void *bytes = mmap(NULL, ret->size, PROT_READ, MAP_SHARED, fd, 0);
        ret->bytes = bytes != MAP_FAILED ? bytes : NULL;
        ret->size = ret->bytes != NULL ? ret->size : 0;
    }
    close(fd);
    return true;
}

static bool wanted_stream(const struct log_options *options, const struct log_line *line)
{
    return !(options->only_stdout && !str_is(line->stream, "stdout")) &&
           !(options->only_stderr && !str_is(line->stream, "stderr"));
}

/* Where the last `*want` full lines begin; *want is lowered by what this file has. */
static size_t tail_offset(const struct mapping *map, const struct log_options *options,
                          int64_t *want)
{
    size_t end = map->size, start_of_kept = map->size;
    while (end > 0 && map->bytes[end - 1] != '\n') { /* a line that is still being written */
        end--;
    }
    end -= end > 0;
    while (end > 0 && end <= map->size) {
        const char *newline = memrchr(map->bytes, '\n', end);
        size_t begin = newline != NULL ? (size_t)(newline - map->bytes) + 1 : 0;
        struct log_line line;
        bool counts = log_line_parse(str_at(map->bytes + begin, end - begin), &line) && line.full &&
                      wanted_stream(options, &line);
        if (counts && *want == 0) {
            return start_of_kept;
        }
        *want -= counts;
        start_of_kept = begin;
        end = begin > 0 ? begin - 1 : 0;
    }
    return 0;
}

static void seek_tail(struct log_reader *r)
{
    int64_t want = r->options.tail_lines;
    for (size_t i = r->older.count; i > 0; i--) {
        struct mapping map;
        if (!map_file(r->older.items[i - 1], &map)) {
            continue;
        }
        size_t offset = tail_offset(&map, &r->options, &want);
        if (map.bytes != NULL) {
            munmap((void *)(uintptr_t)map.bytes, map.size);
        }
        if (offset > 0 || i == 1) {
            r->at = i - 1;
            r->fd = open_log(r->older.items[r->at]);
            if (r->fd >= 0 && lseek(r->fd, (off_t)offset, SEEK_SET) < 0) {
                r->at = 0;
            }
            r->at++;
            return;
        }
    }
}

int log_reader_open(const char *path, const struct log_options *options,
                    struct log_reader **ret_reader, struct err *err)
{
    struct log_reader *r = mem_new(struct log_reader);
    struct names names = {0};
    r->path = mem_dupz(path);
    r->options = *options;
    r->fd = -1;
    list_older(path, &names);
    r->older.items = names.items;
    r->older.count = names.count;
    r->older.cap = names.cap;
    *vec_push(&r->older) = mem_dupz(path);
    if (options->tail_lines >= 0) {
        seek_tail(r);
    }
    if (access(path, F_OK) != 0 && r->older.count == 1) {
        int rc = err_os(err, errno, "open %s", path);
        log_reader_free(r);
        return rc == 0 ? ERR_NOT_FOUND : (err->code = ERR_NOT_FOUND);
    }
    *ret_reader = r;
    return 0;
}

void log_reader_free(struct log_reader *r)
{
    if (r == NULL) {
        return;
    }
    VEC_EACH (it, &r->older) {
        free(*it);
    }
    vec_done(&r->older);
    if (r->fd >= 0) {
        close(r->fd);
    }
    buf_done(&r->raw);
    free(r->path);
    free(r);
}

/* ---- reading ---- */

static void put(struct log_reader *r, struct buf *out, struct str text)
{
    if (r->options.limit_bytes >= 0 && r->sent + (int64_t)text.n >= r->options.limit_bytes) {
        text.n = (size_t)(r->options.limit_bytes - r->sent);
        r->limit_reached = true;
    }
    buf_str(out, text);
    r->sent += (int64_t)text.n;
}

static void format_line(struct log_reader *r, struct str raw, struct buf *out)
{
    struct log_line line;
    int64_t time;
    if (!log_line_parse(raw, &line) || !wanted_stream(&r->options, &line) || r->limit_reached) {
        return;
    }
    if (r->options.since_ns > 0 && time_parse(line.time, &time) && time < r->options.since_ns) {
        return;
    }
    if (r->options.timestamps && !r->in_line) {
        put(r, out, line.time);
        put(r, out, STR(" "));
    }
    put(r, out, line.text);
    if (line.full) {
        put(r, out, STR("\n"));
    }
    r->in_line = !line.full;
}

/* The next file, or the current name's new file after a rotation. */
static bool next_file(struct log_reader *r)
{
    struct stat own, named;
    if (r->fd >= 0 && r->at >= r->older.count) {
        if (fstat(r->fd, &own) != 0 || stat(r->path, &named) != 0 || own.st_ino == named.st_ino) {
            return false;
        }
        close(r->fd);
        r->fd = open_log(r->path);
        return r->fd >= 0;
    }
    if (r->fd >= 0) {
        close(r->fd);
        r->fd = -1;
    }
    while (r->fd < 0 && r->at < r->older.count) {
        r->fd = open_log(r->older.items[r->at++]);
    }
    return r->fd >= 0;
}

static bool fill(struct log_reader *r)
{
    if (r->raw_at > 0) {
        buf_drop_front(&r->raw, r->raw_at);
        r->raw_at = 0;
    }
    for (;;) {
        ssize_t n = r->fd >= 0 ? read(r->fd, buf_room(&r->raw, CHUNK), CHUNK) : 0;
        if (n > 0) {
            r->raw.n += (size_t)n;
            return true;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (!next_file(r)) {
            return false;
        }
    }
}

bool log_reader_read(struct log_reader *r, size_t max, struct buf *out, bool *ret_end)
{
    size_t before = out->n;
    while (out->n - before < max && !r->limit_reached) {
        const char *newline =
            r->raw.n > r->raw_at ? memchr(r->raw.p + r->raw_at, '\n', r->raw.n - r->raw_at) : NULL;
        if (newline == NULL) {
            if (r->raw.n - r->raw_at > LINE_MAX_BYTES) { /* not ours: conmon splits at 8 KiB */
                r->raw_at = r->raw.n;
            }
            if (!fill(r)) {
                break;
            }
            continue;
        }
        size_t n = (size_t)(newline - r->raw.p) - r->raw_at;
        format_line(r, str_at(r->raw.p + r->raw_at, n), out);
        r->raw_at += n + 1;
    }
    *ret_end = r->limit_reached;
    return out->n > before;
}

/* ---- the tail as a termination message ---- */

void agent_log_tail(const char *path, size_t max_bytes, size_t max_lines, struct buf *out)
{
    struct log_options options = {.tail_lines = (int64_t)max_lines, .limit_bytes = -1};
    struct log_reader *reader;
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    bool end;
    if (log_reader_open(path, &options, &reader, &err) != 0) {
        return;
    }
    while (text.n < 1024 * 1024 && log_reader_read(reader, CHUNK, &text, &end)) {
    }
    log_reader_free(reader);
    struct str view = buf_view(&text);
    if (view.n > max_bytes) {
        view = str_from(view, view.n - max_bytes);
    }
    buf_str(out, view);
}

/* ---- rotation ---- */

bool log_rotate(const char *path, int64_t limit, int keep, int64_t now_wall_ns)
{
    struct stat info;
    char stamp[TIME_TEXT_SIZE];
    if (stat(path, &info) != 0 || info.st_size < limit) {
        return false;
    }
    time_format_micro(now_wall_ns, stamp);
    char *to MEM_CLEANUP = mem_printf("%s.%s", path, stamp);
    if (rename(path, to) != 0) {
        return false;
    }
    struct names names = {0};
    list_older(path, &names);
    for (size_t i = 0; i < names.count; i++) {
        if (names.count - i > (size_t)keep - 1) {
            unlink(names.items[i]);
        }
        free(names.items[i]);
    }
    vec_done(&names);
    return true;
}

/* log_file.h: container log files in CRI format: "TIME STREAM TAG TEXT", TAG F (full line) or P (a
 * part). A container's log is its current file and older ones beside it (PATH.STAMP). */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct log_line {
    struct str time, stream, text;
    bool full;
};
/* One line without its '\n'. False: not in the format. */
bool log_line_parse(struct str line, struct log_line *ret_line);

struct log_options {
    int64_t tail_lines;  /* -1: all */
    int64_t limit_bytes; /* -1: no limit */
    int64_t since_ns;    /* wall; 0: all */
    bool timestamps;
    bool only_stdout, only_stderr;
};
struct log_reader;
/* ERR_NOT_FOUND when there is no file. */
int log_reader_open(const char *path, const struct log_options *options,
                    struct log_reader **ret_reader, struct err *err);
void log_reader_free(struct log_reader *reader);
/* Appends some formatted output (about `max` bytes). False: nothing more now; *ret_end: and never
 * (limit reached). */
bool log_reader_read(struct log_reader *reader, size_t max, struct buf *out, bool *ret_end);

enum { LOG_ROTATE_BYTES = 10 * 1024 * 1024, LOG_FILES_MAX = 5 };
/* Renames the file when it is over `limit`, removes the oldest beyond `keep`. True: the writer must
 * be told to open it again. */
bool log_rotate(const char *path, int64_t limit, int keep, int64_t now_wall_ns);

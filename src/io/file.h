/* file.h: files behind a seam. Everything durable goes through these, so that tests can fail the
 * k-th call (reliability R4). Paths are NUL ended. All calls block: on a loop only for small local
 * files. */
#pragma once
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

struct file_ops {
    int (*open)(const char *path, int flags, mode_t mode);
    ssize_t (*read)(int fd, void *bytes, size_t size);
    ssize_t (*write)(int fd, const void *bytes, size_t size);
    int (*sync)(int fd);
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*mkdir)(const char *path, mode_t mode);
};
const struct file_ops *file_ops_real(void);
/* The table in use (default real); a test installs a faulty one. Not while other threads run. */
void file_set_ops(const struct file_ops *ops);

int file_read(const char *path, size_t limit, struct buf *ret_bytes,
              struct err *err); /* ERR_NOT_FOUND, ERR_LIMIT, ERR_IO */
/* Whole or not at all: temporary in the same folder, fsync, rename, fsync of the folder. */
int file_write_atomic(const char *path, struct str bytes, mode_t mode, struct err *err);
/* Same without the syncs, for files that are rebuilt after a crash. */
int file_write_quick(const char *path, struct str bytes, mode_t mode, struct err *err);
int file_make_dirs(const char *path, mode_t mode, struct err *err); /* mkdir -p */
int file_remove_tree(const char *path,
                     struct err *err); /* never follows links, never crosses a mount */
bool file_exists(const char *path);

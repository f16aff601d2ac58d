/* archive_lib.h: libarchive, loaded only in the child that unpacks (it costs memory and time that
 * neither agent nor server should pay). The few functions we use, by name. */
#pragma once
#include <archive.h>
#include <archive_entry.h>

#include "base/err.h"

struct archive_lib {
    __typeof__(archive_read_new) *read_new;
    __typeof__(archive_read_free) *read_free;
    __typeof__(archive_read_support_filter_all) *filter_all;
    __typeof__(archive_read_support_format_tar) *format_tar;
    __typeof__(archive_read_support_format_raw) *format_raw;
    __typeof__(archive_read_support_format_empty) *format_empty;
    __typeof__(archive_read_open_fd) *open_fd;
    __typeof__(archive_read_open) *open;
    __typeof__(archive_read_next_header) *next_header;
    __typeof__(archive_read_data) *data;
    __typeof__(archive_read_data_block) *data_block;
    __typeof__(archive_error_string) *error_string;
    __typeof__(archive_entry_pathname) *pathname;
    __typeof__(archive_entry_filetype) *filetype;
    __typeof__(archive_entry_symlink) *symlink;
    __typeof__(archive_entry_hardlink) *hardlink;
    __typeof__(archive_entry_mode) *mode;
    __typeof__(archive_entry_uid) *uid;
    __typeof__(archive_entry_gid) *gid;
    __typeof__(archive_entry_mtime) *mtime;
    __typeof__(archive_entry_mtime_nsec) *mtime_nsec;
    __typeof__(archive_entry_size) *size;
    __typeof__(archive_entry_xattr_reset) *xattr_reset;
    __typeof__(archive_entry_xattr_next) *xattr_next;
};
/* Fills the table; ERR_UNSUPPORTED names the package to install. */
int archive_lib_load(struct archive_lib *ret_lib, struct err *err);

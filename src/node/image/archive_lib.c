/* archive_lib.c: dlopen of libarchive and the table of what we call. Never unloaded: the process
 * that loads it is short-lived. */
#include "node/image/archive_lib.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

static const struct {
    size_t at;
    const char *name;
} symbols[] = {
    {offsetof(struct archive_lib, read_new), "archive_read_new"},
    {offsetof(struct archive_lib, read_free), "archive_read_free"},
    {offsetof(struct archive_lib, filter_all), "archive_read_support_filter_all"},
    {offsetof(struct archive_lib, format_tar), "archive_read_support_format_tar"},
    {offsetof(struct archive_lib, format_raw), "archive_read_support_format_raw"},
    {offsetof(struct archive_lib, format_empty), "archive_read_support_format_empty"},
    {offsetof(struct archive_lib, open_fd), "archive_read_open_fd"},
    {offsetof(struct archive_lib, open), "archive_read_open"},
    {offsetof(struct archive_lib, next_header), "archive_read_next_header"},
    {offsetof(struct archive_lib, data), "archive_read_data"},
    {offsetof(struct archive_lib, data_block), "archive_read_data_block"},
    {offsetof(struct archive_lib, error_string), "archive_error_string"},
    {offsetof(struct archive_lib, pathname), "archive_entry_pathname"},
    {offsetof(struct archive_lib, filetype), "archive_entry_filetype"},
    {offsetof(struct archive_lib, symlink), "archive_entry_symlink"},
    {offsetof(struct archive_lib, hardlink), "archive_entry_hardlink"},
    {offsetof(struct archive_lib, mode), "archive_entry_mode"},
    {offsetof(struct archive_lib, uid), "archive_entry_uid"},
    {offsetof(struct archive_lib, gid), "archive_entry_gid"},
    {offsetof(struct archive_lib, mtime), "archive_entry_mtime"},
    {offsetof(struct archive_lib, mtime_nsec), "archive_entry_mtime_nsec"},
    {offsetof(struct archive_lib, size), "archive_entry_size"},
    {offsetof(struct archive_lib, xattr_reset), "archive_entry_xattr_reset"},
    {offsetof(struct archive_lib, xattr_next), "archive_entry_xattr_next"},
};

int archive_lib_load(struct archive_lib *ret_lib, struct err *err)
{
    void *library = dlopen("libarchive.so.13", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        return err_set(err, ERR_UNSUPPORTED, "unpacking images needs libarchive13: %s", dlerror());
    }
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *symbol = dlsym(library, symbols[i].name);
        if (symbol == NULL) {
            return err_set(err, ERR_UNSUPPORTED, "libarchive has no %s", symbols[i].name);
        }
        memcpy((char *)ret_lib + symbols[i].at, &symbol, sizeof symbol);
    }
    return 0;
}

/* layer.h: one layer's tar stream applied to a folder, as an overlayfs lower folder. */
#pragma once
#include "base/str.h"
#include "node/image/archive_lib.h"

/* Unpacks the (compressed or plain) tar in `fd` below `dir_fd`, an empty folder. Whiteouts become
 * overlayfs' own (char 0:0 and user.overlay.opaque). Entries that leave the folder ("..") are
 * ERR_INVALID; device nodes are left out. *ret_diff_id: 64 hex digits, SHA-256 of the uncompressed
 * stream; *ret_size: bytes of regular files. */
int layer_unpack(const struct archive_lib *lib, int fd, int dir_fd, char ret_diff_id[65],
                 uint64_t *ret_size, struct err *err);

/* layer.c: a tar stream onto a folder (OCI image-spec, layer.md).
 *
 * Every entry's parent is opened with openat2(RESOLVE_IN_ROOT) below the layer's folder, so links
 * in the layer resolve inside it and nothing leaves it; the last component is handled with *at
 * calls that follow no link. The sandbox around us (unpack.c) is the second wall. The stream is
 * decompressed by one reader and parsed by a second, so that its digest covers every byte.
 */
#include "node/image/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <stdlib.h>

#include "base/mem.h"
#include "base/vec.h"

enum { PATH_LIMIT = 4096, CHUNK = 128 * 1024 };

struct folder_time {
    char *path;
    struct timespec times[2];
};
struct unpacking {
    const struct archive_lib *lib;
    struct archive *raw, *tar;
    EVP_MD_CTX *digest;
    int root;
    uint64_t size;
    struct {
        VEC_OF(struct folder_time);
    } folders;
    char chunk[CHUNK];
};

static int open_in_root(int root, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

/* Cleans "./a//b/" to "a/b". False: "..", too long, or a NUL. */
static bool clean_path(const char *path, char ret_path[PATH_LIMIT])
{
    size_t n = 0;
    struct str rest = str_of(path);
    while (rest.p != NULL) {
        struct str part = str_cut(rest, '/', &rest);
        if (part.n == 0 || str_is(part, ".")) {
            continue;
        }
        if (str_is(part, "..") || n + part.n + 2 > PATH_LIMIT) {
            return false;
        }
        if (n > 0) {
            ret_path[n++] = '/';
        }
        memcpy(ret_path + n, part.p, part.n);
        n += part.n;
    }
    ret_path[n] = '\0';
    return true;
}

/* The folder `path` below root, made where missing. A descriptor, or -1 with errno. */
static int open_folder(int root, char *path)
{
    if (path[0] == '\0') {
        return open_in_root(root, ".", O_PATH | O_DIRECTORY);
    }
    int fd = open_in_root(root, path, O_PATH | O_DIRECTORY);
    if (fd >= 0 || errno != ENOENT) {
        return fd;
    }
    for (char *at = path; at != NULL;) {
        char *slash = strchr(at, '/');
        if (slash != NULL) {
            *slash = '\0';
        }
        int have = open_in_root(root, path, O_PATH | O_DIRECTORY);
        if (have < 0 && errno == ENOENT) {
            char *last = strrchr(path, '/');
            if (last != NULL) {
                *last = '\0';
            }
            int parent = open_in_root(root, last != NULL ? path : ".", O_PATH | O_DIRECTORY);
            if (last != NULL) {
                *last = '/';
            }
            have = parent < 0 ? -1 : mkdirat(parent, last != NULL ? last + 1 : path, 0755);
            close(parent);
        } else if (have >= 0) {
            close(have);
            have = 0;
        }
        if (slash != NULL) {
            *slash = '/';
        }
        if (have < 0) {
            return -1;
        }
        at = slash != NULL ? slash + 1 : NULL;
    }
    return open_in_root(root, path, O_PATH | O_DIRECTORY);
}

static int copy_data(struct unpacking *u, int fd, const char *path, struct err *err)
{
    for (;;) {
        ssize_t n = u->lib->data(u->tar, u->chunk, sizeof u->chunk);
        if (n < 0) {
            return err_set(err, ERR_INVALID, "%s: %s", path, u->lib->error_string(u->tar));
        }
        if (n == 0) {
            return 0;
        }
        for (ssize_t done = 0; done < n;) {
            ssize_t wrote = write(fd, u->chunk + done, (size_t)(n - done));
            if (wrote < 0 && errno != EINTR) {
                return err_os(err, errno, "write %s", path);
            }
            done += wrote > 0 ? wrote : 0;
        }
        u->size += (uint64_t)n;
    }
}

static void set_xattrs(struct unpacking *u, struct archive_entry *entry, int fd)
{
    const char *name;
    const void *value;
    size_t size;
    u->lib->xattr_reset(entry);
    while (u->lib->xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
        bool wanted = strcmp(name, "security.capability") == 0 ||
                      (strncmp(name, "user.", 5) == 0 && strncmp(name, "user.overlay.", 13) != 0);
        if (wanted) {
            (void)!fsetxattr(fd, name, value, size, 0);
        }
    }
}

static void entry_times(struct unpacking *u, struct archive_entry *entry, struct timespec times[2])
{
    times[0].tv_sec = times[1].tv_sec = u->lib->mtime(entry);
    times[0].tv_nsec = times[1].tv_nsec = u->lib->mtime_nsec(entry);
}

static int make_file(struct unpacking *u, struct archive_entry *entry, int parent, const char *name,
                     const char *path, struct err *err)
{
    int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_os(err, errno, "create %s", path);
    }
    int rc = copy_data(u, fd, path, err);
    if (rc == 0) {
        struct timespec times[2];
        entry_times(u, entry, times);
        if (fchown(fd, (uid_t)u->lib->uid(entry), (gid_t)u->lib->gid(entry)) != 0 ||
            fchmod(fd, u->lib->mode(entry) & 07777) != 0) {
            rc = err_os(err, errno, "%s", path);
        }
        set_xattrs(u, entry, fd);
        futimens(fd, times);
    }
    close(fd);
    return rc;
}

static int make_folder(struct unpacking *u, struct archive_entry *entry, int parent,
                       const char *name, const char *path, struct err *err)
{
    if (name[0] != '\0' && mkdirat(parent, name, 0700) != 0 && errno != EEXIST) {
        return err_os(err, errno, "mkdir %s", path);
    }
    int fd = name[0] == '\0'
                 ? open_in_root(u->root, ".", O_RDONLY | O_DIRECTORY)
                 : openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return err_os(err, errno, "open %s", path);
    }
    int rc = 0;
    if (fchown(fd, (uid_t)u->lib->uid(entry), (gid_t)u->lib->gid(entry)) != 0 ||
        fchmod(fd, u->lib->mode(entry) & 07777) != 0) {
        rc = err_os(err, errno, "%s", path);
    }
    set_xattrs(u, entry, fd);
    close(fd);
    struct folder_time *time = vec_push(&u->folders);
    time->path = mem_dupz(path);
    entry_times(u, entry, time->times);
    return rc;
}

static int make_hardlink(struct unpacking *u, const char *target, int parent, const char *name,
                         const char *path, struct err *err)
{
    char clean[PATH_LIMIT];
    if (!clean_path(target, clean)) {
        return err_set(err, ERR_INVALID, "%s: link to %s leaves the layer", path, target);
    }
    char *last = strrchr(clean, '/');
    if (last != NULL) {
        *last = '\0';
    }
    int from = open_in_root(u->root, last != NULL ? clean : ".", O_PATH | O_DIRECTORY);
    int rc = 0;
    if (from < 0 || linkat(from, last != NULL ? last + 1 : clean, parent, name, 0) != 0) {
        rc = err_os(err, errno, "link %s", path);
    }
    if (from >= 0) {
        close(from);
    }
    return rc;
}

static int whiteout(int parent, const char *name, const char *path, struct err *err)
{
    if (strcmp(name, ".wh..wh..opq") == 0) {
        int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int rc = fd < 0 || fsetxattr(fd, "user.overlay.opaque", "y", 1, 0) != 0
                     ? err_os(err, errno, "opaque %s", path)
                     : 0;
        if (fd >= 0) {
            close(fd);
        }
        return rc;
    }
    if (strncmp(name, ".wh..wh.", 8) == 0) {
        return 0; /* aufs' own bookkeeping */
    }
    if (name[4] == '\0' || strcmp(name + 4, ".") == 0 || strcmp(name + 4, "..") == 0) {
        return err_set(err, ERR_INVALID, "%s: bad whiteout", path);
    }
    if (mknodat(parent, name + 4, S_IFCHR, 0) != 0 && errno != EEXIST) {
        return err_os(err, errno, "whiteout %s", path);
    }
    return 0;
}

/* What an earlier entry of the same stream put there goes, unless both are folders. */
static void replace(int parent, const char *name, bool folder)
{
    struct stat info;
    if (fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return;
    }
    if (S_ISDIR(info.st_mode)) {
        if (!folder) {
            unlinkat(parent, name, AT_REMOVEDIR);
        }
    } else {
        unlinkat(parent, name, 0);
    }
}

static int make_entry(struct unpacking *u, struct archive_entry *entry, int parent,
                      const char *name, const char *path, struct err *err)
{
    const char *hardlink = u->lib->hardlink(entry);
    unsigned type = u->lib->filetype(entry);
    if (strncmp(name, ".wh.", 4) == 0) {
        return whiteout(parent, name, path, err);
    }
    if (name[0] != '\0') {
        replace(parent, name, type == AE_IFDIR && hardlink == NULL);
    }
    if (hardlink != NULL) {
        return make_hardlink(u, hardlink, parent, name, path, err);
    }
    int rc = 0;
    switch (type) {
    case AE_IFDIR:
        return make_folder(u, entry, parent, name, path, err);
    case AE_IFREG:
        return make_file(u, entry, parent, name, path, err);
    case AE_IFLNK:
        rc = symlinkat(u->lib->symlink(entry), parent, name);
        break;
    case AE_IFIFO:
        rc = mkfifoat(parent, name, u->lib->mode(entry) & 0777);
        break;
    default: /* devices and sockets have no place in an image */
        return 0;
    }
    if (rc != 0 || fchownat(parent, name, (uid_t)u->lib->uid(entry), (gid_t)u->lib->gid(entry),
                            AT_SYMLINK_NOFOLLOW) != 0) {
        return err_os(err, errno, "create %s", path);
    }
    struct timespec times[2];
    entry_times(u, entry, times);
    utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW);
    return 0;
}

static int apply(struct unpacking *u, struct archive_entry *entry, struct err *err)
{
    const char *raw_path = u->lib->pathname(entry);
    char path[PATH_LIMIT], folder[PATH_LIMIT];
    if (raw_path == NULL || !clean_path(raw_path, path)) {
        return err_set(err, ERR_INVALID, "entry %.200s leaves the layer",
                       raw_path != NULL ? raw_path : "(no name)");
    }
    memcpy(folder, path, sizeof folder);
    char *slash = strrchr(folder, '/');
    const char *name = slash != NULL ? path + (slash - folder) + 1 : path;
    if (slash != NULL) {
        *slash = '\0';
    } else {
        folder[0] = '\0';
    }
    int parent = open_folder(u->root, folder);
    if (parent < 0) {
        return err_os(err, errno, "folder of %s", path);
    }
    int rc = make_entry(u, entry, parent, name, path, err);
    close(parent);
    return rc;
}

/* The second reader's bytes: the first one's output, hashed on the way. */
static ssize_t feed(struct archive *tar, void *ctx, const void **ret_bytes)
{
    struct unpacking *u = ctx;
    static char bytes[CHUNK];
    ssize_t n = u->lib->data(u->raw, bytes, sizeof bytes);
    if (n > 0) {
        EVP_DigestUpdate(u->digest, bytes, (size_t)n);
    }
    *ret_bytes = bytes;
    return n < 0 ? ARCHIVE_FATAL : n;
}

static int read_entries(struct unpacking *u, struct err *err)
{
    struct archive_entry *entry;
    int result;
    while ((result = u->lib->next_header(u->tar, &entry)) == ARCHIVE_OK || result == ARCHIVE_WARN) {
        int rc = apply(u, entry, err);
        if (rc != 0) {
            return rc;
        }
    }
    if (result != ARCHIVE_EOF) {
        return err_set(err, ERR_INVALID, "damaged layer: %s", u->lib->error_string(u->tar));
    }
    const void *rest;
    while (feed(NULL, u, &rest) > 0) { /* padding counts for the digest */
    }
    for (size_t i = u->folders.count; i > 0; i--) {
        struct folder_time *time = &u->folders.items[i - 1];
        int fd = open_in_root(u->root, time->path[0] != '\0' ? time->path : ".",
                              O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (fd >= 0) {
            futimens(fd, time->times);
            close(fd);
        }
    }
    return 0;
}

int layer_unpack(const struct archive_lib *lib, int fd, int dir_fd, char ret_diff_id[65],
                 uint64_t *ret_size, struct err *err)
{
    struct unpacking *u = mem_new(struct unpacking);
    struct archive_entry *entry;
    *u = (struct unpacking){.lib = lib, .root = dir_fd};
    u->raw = lib->read_new();
    u->tar = lib->read_new();
    u->digest = EVP_MD_CTX_new();
    EVP_DigestInit_ex(u->digest, EVP_sha256(), NULL);
    lib->filter_all(u->raw);
    lib->format_raw(u->raw);
    lib->format_empty(u->raw);
    lib->format_tar(u->tar);
    lib->format_empty(u->tar);
    int rc = 0;
    if (lib->open_fd(u->raw, fd, CHUNK) != ARCHIVE_OK ||
        lib->next_header(u->raw, &entry) < ARCHIVE_WARN ||
        lib->open(u->tar, u, NULL, feed, NULL) != ARCHIVE_OK) {
        const char *why = lib->error_string(u->raw);
        rc = err_set(err, ERR_INVALID, "unreadable layer: %s", why != NULL ? why : "no tar");
    }
    if (rc == 0) {
        rc = read_entries(u, err);
    }
    if (rc == 0) {
        unsigned char digest[EVP_MAX_MD_SIZE];
        EVP_DigestFinal_ex(u->digest, digest, NULL);
        hex_encode(digest, 32, ret_diff_id);
        *ret_size = u->size;
    }
    VEC_EACH (it, &u->folders) {
        free(it->path);
    }
    vec_done(&u->folders);
    lib->read_free(u->tar);
    lib->read_free(u->raw);
    EVP_MD_CTX_free(u->digest);
    free(u);
    return rc;
}

/* writer.c: the atomic writer: DIR/..data -> ..2026_..., DIR/name -> ..data/name.
 *
 * The payload is compared with what is there first; nothing is written when they are equal. A new
 * version is a new folder, then one rename of the link; links of the first path component are added
 * before and removed after. Only the agent writes here, and the folder is on a file system that
 * containers see read-only or own by mode; no path of ours follows a link a container could have
 * put there (names are checked, folders are opened fresh).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "io/file.h"
#include "node/volume/volume.h"

enum { FILE_MAX = 8 * 1024 * 1024 };

static bool good_path(struct str path)
{
    if (path.n == 0 || path.n > 4000 || path.p[0] == '/' || str_starts(path, STR(".."))) {
        return false;
    }
    struct str rest = path;
    while (rest.p != NULL) {
        struct str part = str_cut(rest, '/', &rest);
        if (part.n == 0 || str_is(part, "..") || part.n > 255) {
            return false;
        }
    }
    return true;
}

static struct str first_part(struct str path)
{
    struct str rest;
    return str_cut(path, '/', &rest);
}

static bool same_file(const char *dir, const struct volume_file *file)
{
    char *path MEM_CLEANUP = mem_printf("%s/..data/%.*s", dir, STR_ARG(file->path));
    struct buf bytes BUF_CLEANUP = BUF_INIT;
    struct stat info;
    return stat(path, &info) == 0 && (info.st_mode & 07777) == file->mode &&
           file_read(path, FILE_MAX, &bytes, NULL) == 0 && str_eq(buf_view(&bytes), file->bytes);
}

static size_t count_files(const char *dir, int depth)
{
    size_t count = 0;
    DIR *stream = depth < 16 ? opendir(dir) : NULL;
    struct dirent *entry;
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (entry->d_type == DT_DIR) {
            char *below MEM_CLEANUP = mem_printf("%s/%s", dir, entry->d_name);
            count += count_files(below, depth + 1);
        } else {
            count++;
        }
    }
    if (stream != NULL) {
        closedir(stream);
    }
    return count;
}

static bool unchanged(const char *dir, const struct volume_payload *payload)
{
    char *data MEM_CLEANUP = mem_printf("%s/..data/", dir);
    if (!file_exists(data) || count_files(data, 0) != payload->count) {
        return false;
    }
    VEC_EACH (it, payload) {
        if (!same_file(dir, it)) {
            return false;
        }
    }
    return true;
}

static int write_file(const char *path, const struct volume_file *file, int64_t gid,
                      struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_os(err, errno, "create %s", path);
    }
    int rc = 0;
    for (size_t done = 0; rc == 0 && done < file->bytes.n;) {
        ssize_t n = write(fd, file->bytes.p + done, file->bytes.n - done);
        if (n < 0 && errno != EINTR) {
            rc = err_os(err, errno, "write %s", path);
        }
        done += n > 0 ? (size_t)n : 0;
    }
    uint32_t mode = file->mode;
    if (gid >= 0) {
        mode |= (mode & 0400) >> 3; /* readable by the fsGroup */
    }
    if (rc == 0 &&
        ((gid >= 0 || file->uid >= 0) && fchown(fd, file->uid >= 0 ? (uid_t)file->uid : (uid_t)-1,
                                                gid >= 0 ? (gid_t)gid : (gid_t)-1) != 0)) {
        rc = err_os(err, errno, "chown %s", path);
    }
    if (rc == 0 && fchmod(fd, mode) != 0) {
        rc = err_os(err, errno, "chmod %s", path);
    }
    close(fd);
    return rc;
}

static int write_version(const char *version, const struct volume_payload *payload, int64_t gid,
                         struct err *err)
{
    int rc = 0;
    VEC_EACH (it, payload) {
        char *path MEM_CLEANUP = mem_printf("%s/%.*s", version, STR_ARG(it->path));
        char *slash = strrchr(path, '/');
        *slash = '\0';
        rc = file_make_dirs(path, 0755, err);
        *slash = '/';
        if (rc != 0 || (rc = write_file(path, it, gid, err)) != 0) {
            return rc;
        }
    }
    return 0;
}

static int link_names(const char *dir, const struct volume_payload *payload, struct err *err)
{
    VEC_EACH (it, payload) {
        struct str name = first_part(it->path);
        char *link MEM_CLEANUP = mem_printf("%s/%.*s", dir, STR_ARG(name));
        char *target MEM_CLEANUP = mem_printf("..data/%.*s", STR_ARG(name));
        if (symlink(target, link) != 0 && errno != EEXIST) {
            return err_os(err, errno, "link %s", link);
        }
    }
    return 0;
}

static bool in_payload(const struct volume_payload *payload, const char *name)
{
    VEC_EACH (it, payload) {
        if (str_is(first_part(it->path), name)) {
            return true;
        }
    }
    return false;
}

/* Links of names that are gone, and versions that are not the current one. */
static void remove_old(const char *dir, const char *current, const struct volume_payload *payload)
{
    DIR *stream = opendir(dir);
    struct dirent *entry;
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        const char *name = entry->d_name;
        char *path MEM_CLEANUP = mem_printf("%s/%s", dir, name);
        if (entry->d_type == DT_DIR && strncmp(name, "..", 2) == 0 && name[2] != '\0' &&
            strcmp(name, current) != 0) {
            file_remove_tree(path, NULL);
        } else if (entry->d_type == DT_LNK && name[0] != '.' && !in_payload(payload, name)) {
            unlink(path);
        }
    }
    if (stream != NULL) {
        closedir(stream);
    }
}

static int new_version(const char *dir, char **ret_name, struct err *err)
{
    time_t now = (time_t)(clock_wall(clock_real()) / NS_PER_S);
    struct tm parts;
    char stamp[64];
    gmtime_r(&now, &parts);
    strftime(stamp, sizeof stamp, "..%Y_%m_%d_%H_%M_%S", &parts);
    char *path MEM_CLEANUP = mem_printf("%s/%s.XXXXXX", dir, stamp);
    if (mkdtemp(path) == NULL || chmod(path, 0755) != 0) {
        return err_os(err, errno, "mkdir %s", path);
    }
    *ret_name = mem_dupz(strrchr(path, '/') + 1);
    return 0;
}

int volume_write(const char *dir, const struct volume_payload *payload, int64_t gid,
                 bool *ret_changed, struct err *err)
{
    VEC_EACH (it, payload) {
        if (!good_path(it->path)) {
            return err_set(err, ERR_INVALID, "bad file name \"%.*s\"", STR_ARG(it->path));
        }
    }
    int rc = file_make_dirs(dir, 0755, err);
    if (rc != 0) {
        return rc;
    }
    if (unchanged(dir, payload)) {
        *ret_changed = false;
        return 0;
    }
    char *name MEM_CLEANUP = NULL;
    if ((rc = new_version(dir, &name, err)) != 0) {
        return rc;
    }
    char *version MEM_CLEANUP = mem_printf("%s/%s", dir, name);
    char *fresh MEM_CLEANUP = mem_printf("%s/..data_tmp", dir);
    char *data MEM_CLEANUP = mem_printf("%s/..data", dir);
    rc = write_version(version, payload, gid, err);
    unlink(fresh);
    if (rc == 0 && (symlink(name, fresh) != 0 || rename(fresh, data) != 0)) {
        rc = err_os(err, errno, "swap %s", data);
    }
    if (rc == 0) {
        rc = link_names(dir, payload, err);
    }
    if (rc != 0) {
        file_remove_tree(version, NULL);
        return rc;
    }
    remove_old(dir, name, payload);
    *ret_changed = true;
    return 0;
}

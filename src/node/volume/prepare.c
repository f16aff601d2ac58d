/* prepare.c: folders and mounts of volumes that do not come from API objects, fsGroup ownership,
 * and taking it all down. Blocking; called from jobs. Paths have upstream's names
 * (volumes/kubernetes.io~empty-dir/NAME), which tools such as Velero look for. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdlib.h>

#include "base/mem.h"
#include "io/file.h"
#include "node/volume/volume.h"

static char *volume_dir(const struct volume_paths *paths, const char *plugin, struct str name)
{
    return mem_printf("%s/volumes/kubernetes.io~%s/%.*s", paths->pod_dir, plugin, STR_ARG(name));
}

static bool is_mount(const char *path)
{
    char *parent MEM_CLEANUP = mem_printf("%s/..", path);
    struct stat own, above;
    return stat(path, &own) == 0 && stat(parent, &above) == 0 && own.st_dev != above.st_dev;
}

/* fsGroup: the folder belongs to the group, new files inherit it (setgid). */
static int give_to_group(const char *path, int64_t fs_group, struct err *err)
{
    if (fs_group >= 0 &&
        (chown(path, (uid_t)-1, (gid_t)fs_group) != 0 || chmod(path, 02777) != 0)) {
        return err_os(err, errno, "chown %s", path);
    }
    return 0;
}

static int mount_memory(const char *path, const struct val *source, struct err *err)
{
    struct quantity size;
    char options[64] = "mode=0777";
    if (quantity_parse(val_text(val_get(source, "sizeLimit")), &size) && size.nano > 0) {
        snprintf(options, sizeof options, "mode=0777,size=%lld", (long long)quantity_value(size));
    }
    if (!is_mount(path) && mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) != 0) {
        return err_os(err, errno, "mount tmpfs on %s", path);
    }
    return 0;
}

static int prepare_empty(const struct val *source, const char *path, int64_t fs_group,
                         struct err *err)
{
    struct str medium = val_text(val_get(source, "medium"));
    if (medium.n > 0 && !str_is(medium, "Memory")) {
        return err_set(err, ERR_UNSUPPORTED, "emptyDir medium %.*s is not supported",
                       STR_ARG(medium));
    }
    int rc = file_make_dirs(path, 0755, err);
    if (rc == 0 && medium.n > 0) {
        rc = mount_memory(path, source, err);
    }
    if (rc == 0 && chmod(path, 0777) != 0) {
        rc = err_os(err, errno, "chmod %s", path);
    }
    return rc == 0 ? give_to_group(path, fs_group, err) : rc;
}

static int make_host_path(const char *path, bool folder, struct err *err)
{
    if (folder) {
        return file_make_dirs(path, 0755, err);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        return err_os(err, errno, "create %s", path);
    }
    close(fd);
    return 0;
}

/* HostPathVolumeSource.type. */
static int check_host_path(const char *path, struct str type, struct err *err)
{
    static const struct {
        const char *type;
        mode_t format;
        const char *what;
        bool create, folder;
    } rows[] = {{"DirectoryOrCreate", S_IFDIR, "directory", true, true},
                {"Directory", S_IFDIR, "directory", false, true},
                {"FileOrCreate", S_IFREG, "file", true, false},
                {"File", S_IFREG, "file", false, false},
                {"Socket", S_IFSOCK, "socket file", false, false},
                {"CharDevice", S_IFCHR, "character device", false, false},
                {"BlockDevice", S_IFBLK, "block device", false, false}};
    if (type.n == 0) {
        return 0;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct stat info;
        if (!str_is(type, rows[i].type)) {
            continue;
        }
        bool there = stat(path, &info) == 0;
        if (!there && rows[i].create) {
            return make_host_path(path, rows[i].folder, err);
        }
        if (!there || (info.st_mode & S_IFMT) != rows[i].format) {
            return err_set(err, ERR_INVALID, "hostPath type check failed: %s is not a %s", path,
                           rows[i].what);
        }
        return 0;
    }
    return err_set(err, ERR_UNSUPPORTED, "hostPath type %.*s is not supported", STR_ARG(type));
}

/* ---- claims ---- */

bool volume_has_claim(const struct val *volume)
{
    return !val_absent(val_get(volume, "persistentVolumeClaim")) ||
           !val_absent(val_get(volume, "ephemeral"));
}

static char *claim_link(const struct volume_paths *paths, const struct val *volume)
{
    return volume_dir(paths, "local-volume", val_text(val_get(volume, "name")));
}

int volume_link(const struct val *volume, const struct volume_folder *folder,
                const struct volume_paths *paths, int64_t fs_group, struct err *err)
{
    char *target MEM_CLEANUP = str_dup(folder->path);
    char *link MEM_CLEANUP = claim_link(paths, volume);
    char *above MEM_CLEANUP = mem_printf("%s/volumes/kubernetes.io~local-volume", paths->pod_dir);
    struct stat info;
    bool is_new = stat(target, &info) != 0;
    int rc = folder->make ? file_make_dirs(target, 0755, err)
                          : check_host_path(target, folder->type, err);
    if (rc == 0 && folder->make && is_new && chmod(target, 0777) != 0) {
        rc = err_os(err, errno, "chmod %s", target);
    }
    if (rc == 0 && folder->is_local && !folder->make && is_new) {
        rc = err_set(err, ERR_NOT_FOUND, "local volume path %s does not exist", target);
    }
    if (rc == 0 && folder->is_local) {
        rc = give_to_group(target, fs_group, err);
    }
    if (rc == 0) {
        rc = file_make_dirs(above, 0750, err);
    }
    if (rc == 0 && symlink(target, link) != 0 &&
        (errno != EEXIST || unlink(link) != 0 || symlink(target, link) != 0)) {
        rc = err_os(err, errno, "link %s", link);
    }
    return rc;
}

static int prepare_claim(const struct val *volume, const struct volume_paths *paths,
                         char **ret_path, struct err *err)
{
    char *link MEM_CLEANUP = claim_link(paths, volume);
    char target[4096];
    ssize_t n = readlink(link, target, sizeof target - 1);
    if (n < 0) {
        return err_os(err, errno, "read %s", link);
    }
    *ret_path = str_dup(str_at(target, (size_t)n));
    return 0;
}

static const struct {
    const char *field, *plugin;
} api_backed[] = {{"configMap", "configmap"},
                  {"secret", "secret"},
                  {"downwardAPI", "downward-api"},
                  {"projected", "projected"}};

int volume_prepare(const struct val *volume, const struct volume_paths *paths, int64_t fs_group,
                   char **ret_path, struct err *err)
{
    struct str name = val_text(val_get(volume, "name"));
    const struct val *source;
    for (size_t i = 0; i < sizeof api_backed / sizeof *api_backed; i++) {
        if (val_get_str(volume, str_of(api_backed[i].field)) != NULL) {
            char *path =
                mem_printf("%s/%s~%.*s", paths->memory_dir, api_backed[i].plugin, STR_ARG(name));
            int rc = file_make_dirs(path, 0755, err);
            if (rc != 0) {
                free(path);
                return rc;
            }
            *ret_path = path;
            return 0;
        }
    }
    char *path = NULL;
    int rc;
    if (volume_has_claim(volume)) {
        return prepare_claim(volume, paths, ret_path, err);
    }
    if ((source = val_get(volume, "emptyDir")) != NULL) {
        path = volume_dir(paths, "empty-dir", name);
        rc = prepare_empty(source, path, fs_group, err);
    } else if ((source = val_get(volume, "hostPath")) != NULL) {
        path = str_dup(val_text(val_get(source, "path")));
        rc = check_host_path(path, val_text(val_get(source, "type")), err);
    } else {
        struct str kind = STR("unknown");
        VAL_EACH (it, volume) {
            kind = str_is(it->key, "name") ? kind : it->key;
        }
        rc = err_set(err, ERR_UNSUPPORTED, "volume type %.*s is not supported on this node",
                     STR_ARG(kind));
    }
    if (rc != 0) {
        free(path);
        return rc;
    }
    *ret_path = path;
    return 0;
}

static void unmount_below(const char *dir)
{
    DIR *stream = opendir(dir);
    struct dirent *entry;
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] != '.' && entry->d_type == DT_DIR) {
            char *path MEM_CLEANUP = mem_printf("%s/%s", dir, entry->d_name);
            while (is_mount(path) && umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
            }
        }
    }
    if (stream != NULL) {
        closedir(stream);
    }
}

int volume_remove_all(const struct volume_paths *paths, struct err *err)
{
    char *empty MEM_CLEANUP = mem_printf("%s/volumes/kubernetes.io~empty-dir", paths->pod_dir);
    char *shm MEM_CLEANUP = mem_printf("%s/shm", paths->pod_dir);
    unmount_below(empty);
    while (is_mount(shm) && umount2(shm, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
    }
    char *ns MEM_CLEANUP = mem_printf("%s/ns-ipc", paths->pod_dir);
    umount2(ns, MNT_DETACH | UMOUNT_NOFOLLOW);
    int rc = file_remove_tree(paths->memory_dir, err);
    if (rc == 0 || rc == ERR_NOT_FOUND) {
        rc = file_remove_tree(paths->pod_dir, err);
    }
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

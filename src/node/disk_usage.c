/* disk_usage.c: see disk_usage.h. Files with several names count once for each: it is an upper
 * bound, as upstream's walk. */
#include "node/disk_usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { DEPTH_MAX = 128 };

struct disk_usage_request {
    struct job job;
    struct {
        VEC_OF(struct disk_usage);
    } pods;
    void (*done)(void *ctx, struct disk_usage *usages, size_t count);
    void *ctx;
};

struct disk_usage_request *disk_usage_request_new(void)
{
    return mem_new(struct disk_usage_request);
}

static struct disk_usage_part *add_part(struct disk_usage *usage, bool is_volume, struct str name)
{
    struct disk_usage_part *part = vec_push(&usage->parts);
    *part = (struct disk_usage_part){.is_volume = is_volume};
    snprintf(part->name, sizeof part->name, "%.*s", STR_ARG(name));
    return part;
}

void disk_usage_request_add(struct disk_usage_request *request, struct pod_entry *entry)
{
    struct disk_usage *usage = vec_push(&request->pods);
    *usage = (struct disk_usage){0};
    snprintf(usage->uid, sizeof usage->uid, "%s", entry->uid);
    VAL_EACH (it, val_get(entry->worker->view->spec, "volumes")) {
        if (!val_absent(val_get(it, "emptyDir"))) {
            struct str name = val_text(val_get(it, "name"));
            add_part(usage, true, name)->paths[0] = mem_printf(
                "%s/volumes/kubernetes.io~empty-dir/%.*s", entry->pod_dir, STR_ARG(name));
        }
    }
    for (size_t i = 0; i < entry->worker->container_count; i++) {
        const struct container *c = entry->worker->containers[i];
        const struct run *run = c->user;
        if (run != NULL && run->dir != NULL) {
            struct disk_usage_part *part = add_part(usage, false, str_of(c->name));
            part->paths[0] = mem_printf("%s/upper", run->dir);
            part->paths[1] = mem_printf("%s/%s", entry->log_dir, c->name);
        }
    }
}

/* Everything below an open folder, of one file system. Takes fd. */
static int64_t walk(int fd, dev_t device, int depth)
{
    int64_t bytes = 0;
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        close(fd);
        return 0;
    }
    for (struct dirent *it; (it = readdir(dir)) != NULL;) {
        struct stat info;
        if (strcmp(it->d_name, ".") == 0 || strcmp(it->d_name, "..") == 0 ||
            fstatat(dirfd(dir), it->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
            info.st_dev != device) {
            continue;
        }
        bytes += (int64_t)info.st_blocks * 512;
        if (S_ISDIR(info.st_mode) && depth < DEPTH_MAX) {
            int below =
                openat(dirfd(dir), it->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            bytes += below >= 0 ? walk(below, device, depth + 1) : 0;
        }
    }
    closedir(dir);
    return bytes;
}

static int64_t measure(const char *path, dev_t *ret_device)
{
    struct stat info;
    int fd = path != NULL ? open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd < 0 || fstat(fd, &info) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return 0;
    }
    *ret_device = info.st_dev;
    return walk(fd, info.st_dev, 0);
}

static void work(struct job *job)
{
    struct disk_usage_request *request = container_of(job, struct disk_usage_request, job);
    VEC_EACH (usage, &request->pods) {
        dev_t disk = 0, own = 0;
        struct stat info;
        VEC_EACH (part, &usage->parts) {
            part->bytes = measure(part->paths[0], &own) + measure(part->paths[1], &disk);
            bool in_memory = false;
            if (part->is_volume) { /* a mount of its own: tmpfs, which is memory */
                char *above MEM_CLEANUP = mem_printf("%s/..", part->paths[0]);
                in_memory = stat(above, &info) == 0 && info.st_dev != own;
            }
            usage->bytes += in_memory ? 0 : part->bytes;
        }
    }
}

static void work_done(struct job *job)
{
    struct disk_usage_request *request = container_of(job, struct disk_usage_request, job);
    request->done(request->ctx, request->pods.items, request->pods.count);
    VEC_EACH (usage, &request->pods) {
        VEC_EACH (part, &usage->parts) {
            free(part->paths[0]);
            free(part->paths[1]);
        }
        vec_done(&usage->parts);
    }
    vec_done(&request->pods);
    free(request);
}

void disk_usage_measure(struct loop *loop, struct disk_usage_request *request,
                        void (*done)(void *ctx, struct disk_usage *usages, size_t count), void *ctx)
{
    request->done = done;
    request->ctx = ctx;
    request->job.work = work;
    request->job.done = work_done;
    loop_work(loop, &request->job);
}

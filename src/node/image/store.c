/* store.c: reading the image store: records to a list, names to images; removing and collecting.
 *
 * A record is one JSON file, written whole; its file name is the image id. A name belongs to at
 * most one image: whoever gives it takes it from the others, under the store's lock. The list is
 * read again when the folder's mtime moved.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include <stdlib.h>

#include "base/mem.h"
#include "io/file.h"
#include "node/image/store_int.h"

enum { RECORD_MAX = 16 * 1024 * 1024 };

static void image_free(struct image *image)
{
    free(image->names);
    free(image->layers);
    arena_done(&image->arena);
    free(image);
}

static void forget(struct image_store *store)
{
    VEC_EACH (it, &store->images) {
        image_free(*it);
    }
    vec_clear(&store->images);
}

static char **texts(struct arena *arena, const struct val *list, size_t *ret_count)
{
    char **items = mem_array(char *, val_count(list) + 1);
    size_t n = 0;
    VAL_EACH (it, list) {
        items[n++] = str_dup_in(arena, val_text(it));
    }
    *ret_count = n;
    return items;
}

static struct image *read_record(const char *path)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct image *image = mem_new(struct image);
    struct val *record;
    if (file_read(path, RECORD_MAX, &text, NULL) != 0 ||
        val_parse_json(&image->arena, str_copy_in(&image->arena, buf_view(&text)), &record, NULL) !=
            0) {
        image_free(image);
        return NULL;
    }
    struct str digest = val_text(val_get(record, "digest"));
    image->id = str_dup_in(&image->arena, val_text(val_get(record, "id")));
    image->digest = digest.n > 0 ? str_dup_in(&image->arena, digest) : NULL;
    image->names = texts(&image->arena, val_get(record, "names"), &image->name_count);
    image->layers = texts(&image->arena, val_get(record, "layers"), &image->layer_count);
    image->size = (uint64_t)val_int(val_get(record, "size"), 0);
    image->loaded_ns = val_int(val_get(record, "loadedNs"), 0);
    image->config = val_get(record, "config");
    return image;
}

static void refresh(struct image_store *store)
{
    char *dir_path MEM_CLEANUP = mem_printf("%s/records", store->dir);
    struct stat info;
    if (stat(dir_path, &info) != 0) {
        return;
    }
    int64_t seen = info.st_mtim.tv_sec * NS_PER_S + info.st_mtim.tv_nsec;
    if (seen == store->seen_ns) {
        return;
    }
    forget(store);
    DIR *dir = opendir(dir_path);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (str_ends(str_of(entry->d_name), STR(".json"))) {
            char *path MEM_CLEANUP = mem_printf("%s/%s", dir_path, entry->d_name);
            struct image *image = read_record(path);
            if (image != NULL) {
                *vec_push(&store->images) = image;
            }
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    store->seen_ns = seen;
}

int image_store_open(const char *dir, const char *self_path, struct image_store **ret_store,
                     struct err *err)
{
    static const char *const folders[] = {"records", "layers", "staging"};
    for (size_t i = 0; i < 3; i++) {
        char *path MEM_CLEANUP = mem_printf("%s/%s", dir, folders[i]);
        int rc = file_make_dirs(path, 0700, err);
        if (rc != 0) {
            return rc;
        }
    }
    struct image_store *store = mem_new(struct image_store);
    store->dir = mem_dupz(dir);
    store->self_path = mem_dupz(self_path != NULL ? self_path : "/proc/self/exe");
    store->layers_dir = mem_printf("%s/layers", dir);
    pthread_mutex_init(&store->mutex, NULL);
    *ret_store = store;
    return 0;
}

void image_store_free(struct image_store *store)
{
    if (store != NULL) {
        forget(store);
        vec_done(&store->images);
        pthread_mutex_destroy(&store->mutex);
        free(store->dir);
        free(store->self_path);
        free(store->layers_dir);
        free(store);
    }
}

const char *image_store_layers_dir(const struct image_store *store)
{
    return store->layers_dir;
}

const struct image_list *image_list(struct image_store *store)
{
    refresh(store);
    return &store->images;
}

static bool has_name(const struct image *image, struct str name)
{
    for (size_t i = 0; i < image->name_count; i++) {
        if (str_is(name, image->names[i])) {
            return true;
        }
    }
    return false;
}

/* repository@digest: any name of that digest's image will do, as the content is the same. */
static bool has_digest(const struct image *image, struct str canonical)
{
    struct str digest;
    str_cut(canonical, '@', &digest);
    return digest.p != NULL && image->digest != NULL && str_is(digest, image->digest);
}

const struct image *image_find(struct image_store *store, struct str reference)
{
    refresh(store);
    struct buf canonical BUF_CLEANUP = BUF_INIT;
    bool by_id = str_starts(reference, STR("sha256:"));
    if (!by_id && image_reference_parse(reference, &canonical, NULL) != 0) {
        return NULL;
    }
    VEC_EACH (it, &store->images) {
        if (by_id ? str_is(reference, (*it)->id)
                  : has_name(*it, buf_view(&canonical)) || has_digest(*it, buf_view(&canonical))) {
            return *it;
        }
    }
    return NULL;
}

int store_lock(struct image_store *store, struct err *err)
{
    char *path MEM_CLEANUP = mem_printf("%s/lock", store->dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        int rc = err_os(err, errno, "lock %s", path);
        if (fd >= 0) {
            close(fd);
        }
        return rc;
    }
    return fd;
}

void store_unlock(int lock_fd)
{
    close(lock_fd);
}

static char *record_path(const struct image_store *store, const char *id)
{
    return mem_printf("%s/records/%s.json", store->dir, id + strlen("sha256:"));
}

/* The record again, without `name`. */
static int drop_name(struct image_store *store, const struct image *image, struct str name,
                     struct err *err)
{
    char *path MEM_CLEANUP = record_path(store, image->id);
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf text BUF_CLEANUP = BUF_INIT, out BUF_CLEANUP = BUF_INIT;
    struct val *record;
    int rc = file_read(path, RECORD_MAX, &text, err);
    if (rc != 0 || (rc = val_parse_json(&arena, buf_view(&text), &record, err)) != 0) {
        return rc;
    }
    struct val *names = val_get(record, "names");
    VAL_EACH (it, names) {
        if (str_eq(val_text(it), name)) {
            val_remove(names, it);
            break;
        }
    }
    val_write_json(record, &out);
    return file_write_atomic(path, buf_view(&out), 0600, err);
}

int image_remove(struct image_store *store, struct str reference, struct err *err)
{
    int lock = store_lock(store, err);
    if (lock < 0) {
        return lock;
    }
    store->seen_ns = 0;
    const struct image *image = image_find(store, reference);
    int rc = 0;
    if (image == NULL) {
        rc = err_set(err, ERR_NOT_FOUND, "no image %.*s", STR_ARG(reference));
    } else if (image->name_count > 1 && !str_starts(reference, STR("sha256:"))) {
        struct buf canonical BUF_CLEANUP = BUF_INIT;
        image_reference_parse(reference, &canonical, NULL);
        rc = drop_name(store, image, buf_view(&canonical), err);
    } else {
        char *path MEM_CLEANUP = record_path(store, image->id);
        rc = unlink(path) != 0 ? err_os(err, errno, "unlink %s", path) : 0;
    }
    store->seen_ns = 0;
    store_unlock(lock);
    return rc;
}

static bool used_image(const struct image *image, const struct str *used, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (str_is(used[i], image->id) || has_name(image, used[i])) {
            return true;
        }
    }
    return false;
}

static bool used_layer(const struct image_store *store, const char *name)
{
    VEC_EACH (it, &store->images) {
        for (size_t i = 0; i < (*it)->layer_count; i++) {
            if (strcmp((*it)->layers[i], name) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void remove_unused_layers(struct image_store *store)
{
    DIR *dir = opendir(store->layers_dir);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.' && !used_layer(store, entry->d_name)) {
            char *path MEM_CLEANUP = mem_printf("%s/%s", store->layers_dir, entry->d_name);
            file_remove_tree(path, NULL);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

uint64_t image_collect(struct image_store *store, const struct str *used, size_t used_count,
                       int64_t now_ns, int64_t min_age_ns)
{
    int lock = store_lock(store, NULL);
    if (lock < 0) {
        return 0;
    }
    uint64_t freed = 0;
    store->seen_ns = 0;
    refresh(store);
    VEC_EACH (it, &store->images) {
        if (now_ns - (*it)->loaded_ns >= min_age_ns && !used_image(*it, used, used_count)) {
            char *path MEM_CLEANUP = record_path(store, (*it)->id);
            if (unlink(path) == 0) {
                freed += (*it)->size;
            }
        }
    }
    store->seen_ns = 0;
    refresh(store);
    remove_unused_layers(store);
    store_unlock(lock);
    return freed;
}

/* load.c: adding to the image store: the child unpacks into a staging folder, we take over.
 *
 * What the child says is checked for shape before it is believed: ids and layer names are hex,
 * names are canonicalised by us. Layers are renamed into place (one that is already there wins),
 * then the record appears: a crash in between leaves only unused layers, which image_collect()
 * removes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include <stdlib.h>

#include "base/mem.h"
#include "io/file.h"
#include "node/image/store_int.h"
#include "node/runtime/spawn.h"

enum { ANSWER_MAX = 16 * 1024 * 1024, UNPACK_TIMEOUT_MS = 20 * 60 * 1000 };

int store_stage(struct image_store *store, char **ret_dir, struct err *err)
{
    char *dir = mem_printf("%s/staging/XXXXXX", store->dir);
    if (mkdtemp(dir) == NULL) {
        int rc = err_os(err, errno, "mkdir %s", dir);
        free(dir);
        return rc;
    }
    *ret_dir = dir;
    return 0;
}

static bool is_hex(struct str text, size_t n)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return text.n == n;
}

static int run_child(struct image_store *store, const char *staging, int archive_fd,
                     struct buf *answer, struct err *err)
{
    char *out_path MEM_CLEANUP = mem_printf("%s.json", staging);
    char *log_path MEM_CLEANUP = mem_printf("%s.err", staging);
    int out = open(out_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int log = open(log_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const char *argv[] = {store->self_path, "unpack", staging, archive_fd >= 0 ? "archive" : NULL,
                          NULL};
    struct spawn_options options = {
        .argv = argv, .stdin_fd = -1, .stdout_fd = out, .stderr_fd = log};
    if (archive_fd >= 0) {
        options.fds[0].ours = archive_fd;
        options.fds[0].theirs = 3;
        options.fd_count = 1;
    }
    int status = 1;
    int rc = spawn_run(&options, UNPACK_TIMEOUT_MS, &status, NULL, err);
    if (rc == 0 && status != 0) {
        struct buf message BUF_CLEANUP = BUF_INIT;
        file_read(log_path, 4096, &message, NULL);
        rc = err_set(
            err, status == 3 ? ERR_NOT_FOUND : ERR_INVALID, "unpacking: %.*s",
            STR_ARG(message.n > 0 ? str_trim(buf_view(&message)) : STR("the child was killed")));
    }
    if (rc == 0) {
        rc = file_read(out_path, ANSWER_MAX, answer, err);
    }
    close(out);
    close(log);
    unlink(out_path);
    unlink(log_path);
    return rc;
}

static int take_layers(struct image_store *store, const char *staging, const struct val *layers,
                       struct err *err)
{
    VAL_EACH (layer, layers) {
        struct str name = val_text(layer);
        if (!is_hex(name, 24)) {
            return err_set(err, ERR_INVALID, "bad layer name from the child");
        }
        char *from MEM_CLEANUP = mem_printf("%s/layers/%.*s", staging, STR_ARG(name));
        char *to MEM_CLEANUP = mem_printf("%s/%.*s", store->layers_dir, STR_ARG(name));
        if (!file_exists(to) && rename(from, to) != 0) {
            return err_os(err, errno, "rename %s", from);
        }
    }
    return 0;
}

/* The other images that have this name lose it. */
static void take_name(struct image_store *store, struct str id, struct str name)
{
    const struct image *other = image_find(store, name);
    if (other != NULL && !str_is(id, other->id) && other->name_count > 1) {
        image_remove(store, name, NULL);
    } else if (other != NULL && !str_is(id, other->id)) {
        /* its last name: the image stays, nameless, until it is collected */
        char *path MEM_CLEANUP =
            mem_printf("%s/records/%s.json", store->dir, other->id + strlen("sha256:"));
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        struct buf text BUF_CLEANUP = BUF_INIT, out BUF_CLEANUP = BUF_INIT;
        struct val *record;
        if (file_read(path, ANSWER_MAX, &text, NULL) == 0 &&
            val_parse_json(&arena, buf_view(&text), &record, NULL) == 0) {
            val_set(record, STR("names"), val_new(&arena, VAL_ARRAY));
            val_write_json(record, &out);
            file_write_atomic(path, buf_view(&out), 0600, NULL);
            store->seen_ns = 0;
        }
    }
}

static void add_name(struct arena *arena, struct val *names, struct str text)
{
    struct buf canonical BUF_CLEANUP = BUF_INIT;
    if (image_reference_parse(text, &canonical, NULL) != 0) {
        return;
    }
    VAL_EACH (it, names) {
        if (str_eq(val_text(it), buf_view(&canonical))) {
            return;
        }
    }
    val_append(names, val_new_text(arena, str_copy_in(arena, buf_view(&canonical))));
}

static int take_image(struct image_store *store, struct arena *arena, const char *staging,
                      struct val *image, const char *name, struct buf *ret_names, struct err *err)
{
    struct str id = val_text(val_get(image, "id"));
    if (!str_starts(id, STR("sha256:")) || !is_hex(str_from(id, 7), 64)) {
        return err_set(err, ERR_INVALID, "bad image id from the child");
    }
    int rc = take_layers(store, staging, val_get(image, "layers"), err);
    if (rc != 0) {
        return rc;
    }
    struct val *names = val_new(arena, VAL_ARRAY);
    if (name != NULL) {
        add_name(arena, names, str_of(name));
    }
    VAL_EACH (it, val_get(image, "names")) {
        add_name(arena, names, val_text(it));
    }
    store->seen_ns = 0;
    const struct image *known = image_find(store, id);
    for (size_t i = 0; known != NULL && i < known->name_count; i++) {
        add_name(arena, names, str_of(known->names[i]));
    }
    VAL_EACH (it, names) {
        take_name(store, id, val_text(it));
        buf_printf(ret_names, "%.*s\n", STR_ARG(val_text(it)));
    }
    if (names->count == 0) {
        buf_printf(ret_names, "%.*s\n", STR_ARG(id));
    }
    val_set(image, STR("names"), names);
    val_set_int(arena, image, STR("loadedNs"), clock_wall(clock_real()));
    struct buf out BUF_CLEANUP = BUF_INIT;
    val_write_json(image, &out);
    char *path MEM_CLEANUP =
        mem_printf("%s/records/%.*s.json", store->dir, (int)id.n - 7, id.p + 7);
    rc = file_write_atomic(path, buf_view(&out), 0600, err);
    store->seen_ns = 0;
    return rc;
}

int store_unpack(struct image_store *store, const char *staging, int archive_fd, const char *name,
                 struct buf *ret_names, struct err *err)
{
    struct buf answer BUF_CLEANUP = BUF_INIT;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *document = NULL;
    int rc = run_child(store, staging, archive_fd, &answer, err);
    if (rc == 0) {
        rc = val_parse_json(&arena, buf_view(&answer), &document, err);
    }
    if (rc == 0 && val_count(val_get(document, "images")) == 0) {
        rc = err_set(err, ERR_NOT_FOUND, "no image in it");
    }
    if (rc == 0) {
        /* records are changed through a second view of the store: the caller's list may be in use
         */
        struct image_store *writer = NULL;
        rc = image_store_open(store->dir, store->self_path, &writer, err);
        VAL_EACH (image, rc == 0 ? val_get(document, "images") : NULL) {
            if (rc == 0) {
                rc = take_image(writer, &arena, staging, image, name, ret_names, err);
            }
        }
        image_store_free(writer);
    }
    file_remove_tree(staging, NULL);
    return rc;
}

int image_load(struct image_store *store, const char *archive_path, struct buf *ret_names,
               struct err *err)
{
    int fd = open(archive_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_os(err, errno, "open %s", archive_path);
    }
    char *staging MEM_CLEANUP = NULL;
    int rc = store_stage(store, &staging, err);
    if (rc == 0) {
        rc = store_unpack(store, staging, fd, NULL, ret_names, err);
    }
    close(fd);
    return rc;
}

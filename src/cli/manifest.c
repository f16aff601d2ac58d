/* manifest.c: reading and splitting manifests. See manifest.h. */
#include "cli/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"

enum { MANIFEST_LIMIT = 16 << 20, FOLDER_DEPTH = 16 };

static int add_object(struct manifests *m, struct val *object, struct str source, struct err *err)
{
    struct str kind = val_text(val_get(object, "kind")),
               version = val_text(val_get(object, "apiVersion"));
    if (object->type != VAL_OBJECT || kind.n == 0 || version.n == 0) {
        return err_set(err, ERR_INVALID, "%.*s: apiVersion and kind must say what the object is",
                       STR_ARG(source));
    }
    const struct val *items = val_get(object, "items");
    if (str_is(kind, "List") || (str_ends(kind, STR("List")) && items != NULL)) {
        VAL_EACH (item, items) {
            int rc = add_object(m, item, source, err);
            if (rc != 0) {
                return rc;
            }
        }
        return 0;
    }
    const struct api_resource *resource = schema_kind_of(version, kind);
    if (resource == NULL || !resource->served) {
        return err_set(err, ERR_INVALID, "%.*s: no matches for kind \"%.*s\" in version \"%.*s\"",
                       STR_ARG(source), STR_ARG(kind), STR_ARG(version));
    }
    *vec_push(m) = (struct manifest){resource, object, source};
    return 0;
}

/* Cuts at lines that are "---" (a comment or spaces may follow). */
static struct str next_document(struct str *rest)
{
    struct str all = *rest;
    for (size_t at = 0; at < all.n;) {
        const char *end = memchr(all.p + at, '\n', all.n - at);
        size_t line = end != NULL ? (size_t)(end - all.p) - at + 1 : all.n - at;
        if (at > 0 && line >= 3 && memcmp(all.p + at, "---", 3) == 0 &&
            (line == 3 || strchr(" \t\r\n", all.p[at + 3]) != NULL)) {
            *rest = str_from(all, at);
            return str_at(all.p, at);
        }
        at += line;
    }
    *rest = STR_NONE;
    return all;
}

static int add_text(struct manifests *m, struct str text, struct str source, struct err *err)
{
    for (struct str rest = text; rest.n > 0;) {
        struct str document = next_document(&rest);
        struct val *object = NULL;
        int rc = val_parse_yaml(&m->arena, document, &object, err);
        if (rc != 0) {
            err_wrap(err, "%.*s", STR_ARG(source));
            return rc;
        }
        if (object->type != VAL_NULL && (rc = add_object(m, object, source, err)) != 0) {
            return rc;
        }
    }
    return 0;
}

static int read_stdin(struct manifests *m, struct err *err)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    for (ssize_t n = 1; n > 0;) {
        n = read(STDIN_FILENO, buf_room(&text, 65536), 65536);
        if (n < 0) {
            return err_os(err, errno, "reading standard input");
        }
        text.n += (size_t)n;
        if (text.n > MANIFEST_LIMIT) {
            return err_set(err, ERR_LIMIT, "standard input: more than 16 MiB");
        }
    }
    return add_text(m, str_copy_in(&m->arena, buf_view(&text)), STR("standard input"), err);
}

static bool is_manifest(const struct dirent *entry)
{
    struct str name = str_of(entry->d_name);
    return str_ends(name, STR(".yaml")) || str_ends(name, STR(".yml")) ||
           str_ends(name, STR(".json"));
}

static int read_path(struct manifests *m, const char *path, bool recursive, int depth,
                     struct err *err);

static int read_folder(struct manifests *m, const char *path, bool recursive, int depth,
                       struct err *err)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, alphasort),
        rc = count < 0 ? err_os(err, errno, "%s", path) : 0;
    for (int i = 0; i < count; i++) {
        char *child MEM_CLEANUP = mem_printf("%s/%s", path, entries[i]->d_name);
        struct stat info;
        bool folder =
            entries[i]->d_name[0] != '.' && stat(child, &info) == 0 && S_ISDIR(info.st_mode);
        if (rc == 0 && ((folder && recursive && depth < FOLDER_DEPTH) ||
                        (!folder && is_manifest(entries[i])))) {
            rc = read_path(m, child, recursive, depth + 1, err);
        }
        free(entries[i]);
    }
    free(entries);
    return rc;
}

static int read_path(struct manifests *m, const char *path, bool recursive, int depth,
                     struct err *err)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        return err_os(err, errno, "%s", path);
    }
    if (S_ISDIR(info.st_mode)) {
        return read_folder(m, path, recursive, depth, err);
    }
    struct buf text BUF_CLEANUP = BUF_INIT;
    int rc = file_read(path, MANIFEST_LIMIT, &text, err);
    return rc != 0 ? rc
                   : add_text(m, str_copy_in(&m->arena, buf_view(&text)),
                              str_of(str_dup_in(&m->arena, str_of(path))), err);
}

int manifests_read(struct manifests *manifests, const char *path, bool recursive, struct err *err)
{
    return strcmp(path, "-") == 0 ? read_stdin(manifests, err)
                                  : read_path(manifests, path, recursive, 0, err);
}

void manifests_done(struct manifests *manifests)
{
    vec_done(manifests);
    arena_done(&manifests->arena);
}

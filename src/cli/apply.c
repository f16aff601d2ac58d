/* apply.c: `cox apply -f`: makes objects what their files say, the way client-side apply does: what
 * was applied last is kept in the annotation kubectl.kubernetes.io/last-applied-configuration, so
 * that kubectl and cox can take turns; a strategic merge patch sets what the file says and deletes
 * what it no longer says. */
#include <stdio.h>

#include "cli/manifest.h"
#include "cli/verb.h"

#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"

static const struct api_struct *member_type(const struct api_struct *type, struct str key,
                                            const struct api_field **ret_field)
{
    *ret_field = type != NULL ? schema_field(type, key) : NULL;
    return *ret_field != NULL && (*ret_field)->type == API_TYPE_STRUCT ? (*ret_field)->type_struct
                                                                       : NULL;
}

static void delete_from_list(struct arena *arena, const struct api_field *field,
                             const struct api_struct *type, const struct val *last,
                             struct val *patch);

/* Adds to `patch` (a copy of the file's object) a deletion for each member that `last` has and the
 * file lacks. */
static void delete_from_object(struct arena *arena, const struct api_struct *type, bool map,
                               const struct val *last, struct val *patch)
{
    VAL_EACH (was, last) {
        const struct api_field *field = NULL;
        const struct api_struct *inner = map ? NULL : member_type(type, was->key, &field);
        struct val *now = val_get_str(patch, was->key);
        bool inner_map = field != NULL && field->shape == API_SHAPE_MAP;
        if (now == NULL) {
            val_set(patch, was->key, val_new(arena, VAL_NULL));
        } else if (was->type == VAL_OBJECT && now->type == VAL_OBJECT) {
            delete_from_object(arena, inner, inner_map, was, now);
        } else if (was->type == VAL_ARRAY && now->type == VAL_ARRAY && field != NULL &&
                   (field->flags & API_PATCH_MERGE) != 0) {
            delete_from_list(arena, field, inner, was, now);
        }
    }
}

static bool list_has(const struct val *list, const struct val *text)
{
    VAL_EACH (item, list) {
        if (val_equal(item, text)) {
            return true;
        }
    }
    return false;
}

/* Lists that merge by a key: a {"$patch":"delete", KEY: v} for each member that is gone. Lists of
 * texts that merge (finalizers) keep what others added; members that this file dropped stay too,
 * which is what kubectl's directive for them avoids; so they are deleted by it. */
static void delete_from_list(struct arena *arena, const struct api_field *field,
                             const struct api_struct *type, const struct val *last,
                             struct val *patch)
{
    VAL_EACH (was, last) {
        if (field->merge_key == NULL || was->type != VAL_OBJECT) {
            continue;
        }
        struct str key = str_of(field->merge_key);
        const struct val *id = val_get_str(was, key);
        struct val *now = NULL;
        VAL_EACH (item, patch) {
            now = id != NULL && val_get_str(item, key) != NULL &&
                          val_equal(val_get_str(item, key), id)
                      ? item
                      : now;
        }
        if (now != NULL) {
            delete_from_object(arena, type, false, was, now);
        } else if (id != NULL) {
            struct val *gone = val_append(patch, val_new(arena, VAL_OBJECT));
            val_set_text(arena, gone, STR("$patch"), STR("delete"));
            val_set(gone, key, val_copy(arena, id));
        }
    }
}

static void add_text_deletions(struct arena *arena, const struct api_struct *type,
                               const struct val *last, struct val *patch)
{
    VAL_EACH (was, last) {
        const struct api_field *field = NULL;
        const struct api_struct *inner = member_type(type, was->key, &field);
        struct val *now = val_get_str(patch, was->key), *directive = NULL;
        if (field == NULL || now == NULL || now->type != was->type) {
            continue;
        }
        if (was->type == VAL_OBJECT && field->shape == API_SHAPE_ONE) {
            add_text_deletions(arena, inner, was, now);
        }
        bool texts = was->type == VAL_ARRAY && (field->flags & API_PATCH_MERGE) != 0 &&
                     field->merge_key == NULL;
        VAL_EACH (item, texts ? was : NULL) {
            if (!list_has(now, item)) {
                directive = directive != NULL ? directive : val_new(arena, VAL_ARRAY);
                val_append(directive, val_copy(arena, item));
            }
        }
        if (directive != NULL) {
            val_set(patch,
                    str_of(arena_printf(arena, "$deleteFromPrimitiveList/%.*s", STR_ARG(was->key))),
                    directive);
        }
    }
}

static struct val *with_annotation(struct arena *arena, const struct val *object)
{
    struct buf json BUF_CLEANUP = BUF_INIT;
    struct val *copy = val_copy(arena, object);
    struct val *metadata = val_make_object(arena, copy, STR("metadata"));
    struct val *annotations = val_make_object(arena, metadata, STR("annotations"));
    val_unset(annotations, STR(LAST_APPLIED));
    val_write_json(copy, &json);
    buf_char(&json, '\n');
    val_set_text(arena, annotations, STR(LAST_APPLIED), str_copy_in(arena, buf_view(&json)));
    return copy;
}

struct applying {
    struct arguments arguments;
    struct connection *connection;
};

static void object_path(const struct applying *a, const struct manifest *m, bool named,
                        struct buf *out)
{
    struct str ns = val_namespace(m->object);
    ns = ns.n > 0 ? ns : cli_namespace(&a->arguments, a->connection, m->resource);
    path_write(out, m->resource, m->resource->namespaced ? ns : STR_NONE,
               named ? val_name(m->object) : STR_NONE, NULL);
    if (!named) {
        path_query(out, "fieldManager", STR("kubectl-client-side-apply"));
        path_query(out, "fieldValidation", STR("Strict"));
    }
}

static int call(struct applying *a, const char *method, struct str path, const char *type,
                const struct val *body, struct arena *arena, struct val **ret_value,
                struct err *err)
{
    struct buf json BUF_CLEANUP = BUF_INIT;
    if (body != NULL) {
        val_write_json(body, &json);
    }
    struct connection_request request = {
        .method = method, .path = path, .content_type = type, .body = buf_view(&json)};
    return connection_send_json(a->connection, &request, arena, ret_value, err);
}

static int patch_existing(struct applying *a, const struct manifest *m, const struct val *live,
                          struct arena *arena, const char **ret_word, struct err *err)
{
    struct buf path BUF_CLEANUP = BUF_INIT;
    struct val *last = NULL, *answer = NULL;
    struct val *patch = with_annotation(arena, m->object);
    struct str text =
        val_text(val_get_str(val_path(live, "metadata.annotations"), STR(LAST_APPLIED)));
    if (text.n > 0 && val_parse_json(arena, text, &last, NULL) == 0) {
        const struct val *kept =
            val_get_str(val_path(patch, "metadata.annotations"), STR(LAST_APPLIED));
        add_text_deletions(arena, m->resource->type, last, patch);
        delete_from_object(arena, m->resource->type, false, last, patch);
        val_set_text(arena, val_make_object(arena, val_get(patch, "metadata"), STR("annotations")),
                     STR(LAST_APPLIED), kept->text);
    }
    object_path(a, m, true, &path);
    path_query(&path, "fieldManager", STR("kubectl-client-side-apply"));
    path_query(&path, "fieldValidation", STR("Strict"));
    int rc = call(a, "PATCH", buf_view(&path), "application/strategic-merge-patch+json", patch,
                  arena, &answer, err);
    if (rc == 0) {
        bool same = str_eq(val_text(val_path(live, "metadata.resourceVersion")),
                           val_text(val_path(answer, "metadata.resourceVersion")));
        *ret_word = same ? "unchanged" : "configured";
    }
    return rc;
}

static int apply_one(struct applying *a, const struct manifest *m, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf path BUF_CLEANUP = BUF_INIT, name BUF_CLEANUP = BUF_INIT;
    struct val *live = NULL, *answer = NULL;
    const char *word = "created";
    if (val_name(m->object).n == 0) {
        return err_set(
            err, ERR_INVALID,
            "%.*s: metadata.name is missing (apply needs it; generateName is for create)",
            STR_ARG(m->source));
    }
    object_path(a, m, true, &path);
    int rc = call(a, "GET", buf_view(&path), NULL, NULL, &arena, &live, err);
    if (rc == 0) {
        rc = patch_existing(a, m, live, &arena, &word, err);
    } else if (rc == ERR_NOT_FOUND) {
        buf_clear(&path);
        object_path(a, m, false, &path);
        rc = call(a, "POST", buf_view(&path), NULL, with_annotation(&arena, m->object), &arena,
                  &answer, err);
    }
    if (rc == 0) {
        cli_object_name(&name, m->resource, val_name(m->object));
        printf("%s %s\n", name.p, word);
        fflush(stdout);
    }
    return rc;
}

int cli_apply(int argc, char **argv)
{
    struct applying a = {0};
    struct manifests manifests = {0};
    struct err err = ERR_INIT;
    int status = 0;
    if (!cli_open(argc, argv, FLAG_FILE | FLAG_RECURSIVE | FLAG_NAMESPACE, &a.arguments,
                  &a.connection)) {
        return 1;
    }
    int rc = a.arguments.files.count == 0
                 ? err_set(&err, ERR_INVALID, "say which files: cox apply -f FILE")
                 : 0;
    VEC_EACH (path, &a.arguments.files) {
        rc = rc != 0 ? rc : manifests_read(&manifests, *path, a.arguments.recursive, &err);
    }
    if (rc != 0) {
        status = cli_fail(&err);
    }
    for (size_t i = 0; rc == 0 && i < manifests.count;
         i++) { /* one that fails does not keep the others from being applied */
        if (apply_one(&a, &manifests.items[i], &err) != 0) {
            status = cli_fail(&err);
        }
    }
    manifests_done(&manifests);
    cli_close(&a.arguments, a.connection);
    return status;
}

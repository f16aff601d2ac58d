/* patch.c: JSON patch (RFC 6902) and merge patch (RFC 7386) on tapes. See patch.h.
 *
 * The target is copied once and edited. A patch must not blow an object up: operations, the depth
 * of what they make and the bytes that copies add are bounded.
 *
 * Left to others: strategic merge (patch_strategic.c), types of the result (codec_apply_schema).
 */
#include "api/patch_strategic.h"

enum { OPERATIONS_MAX = 10000, POINTER_MAX = 128, COPIED_MAX = 3 * 1024 * 1024 };

struct json_patch {
    struct arena *arena;
    struct val *root;
    size_t copied;  /* bytes that copies have added */
    uint64_t steps; /* members that lookups may have passed */
    struct err *err;
};

struct pointer {
    struct str tokens[POINTER_MAX];
    int count;
};

/* ~1 is '/', ~0 is '~'. */
static struct str unescape(struct arena *arena, struct str token)
{
    if (token.n == 0 || memchr(token.p, '~', token.n) == NULL) {
        return token;
    }
    char *out = arena_alloc(arena, token.n);
    size_t n = 0;
    for (size_t i = 0; i < token.n; i++) {
        char c = token.p[i];
        if (c == '~' && i + 1 < token.n && (token.p[i + 1] == '0' || token.p[i + 1] == '1')) {
            c = token.p[++i] == '0' ? '~' : '/';
        }
        out[n++] = c;
    }
    return str_at(out, n);
}

static int pointer_parse(struct json_patch *patch, struct str text, struct pointer *ret)
{
    ret->count = 0;
    if (text.n == 0) {
        return 0;
    }
    if (text.p[0] != '/') {
        return err_set(patch->err, ERR_BAD_REQUEST, "JSON pointer \"%.*s\" must start with '/'",
                       STR_ARG(text));
    }
    struct str rest = str_from(text, 1);
    while (rest.p != NULL) {
        if (ret->count == POINTER_MAX) {
            return err_set(patch->err, ERR_INVALID, "JSON pointer is too deep");
        }
        ret->tokens[ret->count++] = unescape(patch->arena, str_cut(rest, '/', &rest));
    }
    return 0;
}

static bool index_parse(struct str token, uint32_t count, uint32_t *ret_index)
{
    bool negative = token.n > 1 && token.p[0] == '-'; /* counts from the end */
    uint64_t value;
    if (!str_u64(negative ? str_from(token, 1) : token, &value) || value > UINT32_MAX) {
        return false;
    }
    if (negative && (value == 0 || value > count)) {
        return false;
    }
    *ret_index = negative ? count - (uint32_t)value : (uint32_t)value;
    return true;
}

static struct val *member(struct val *container, struct str token)
{
    uint32_t index;
    if (val_is(container, VAL_OBJECT)) {
        return val_get_str(container, token);
    }
    if (val_is(container, VAL_ARRAY) && index_parse(token, container->count, &index)) {
        return val_at(container, index);
    }
    return NULL;
}

static struct val *resolve(struct json_patch *patch, const struct pointer *pointer, int count)
{
    struct val *at = patch->root;
    for (int i = 0; i < count && at != NULL; i++) {
        patch->steps += at->count;
        at = member(at, pointer->tokens[i]);
    }
    return at;
}

static int missing(struct json_patch *patch, const char *what, struct str path)
{
    return err_set(patch->err, ERR_INVALID,
                   "%s operation does not apply: doc is missing path: \"%.*s\": missing value",
                   what, STR_ARG(path));
}

static int add_to_array(struct json_patch *patch, struct val *array, struct str token,
                        struct val *value)
{
    uint32_t index;
    if (str_is(token, "-")) {
        value->key = STR_NONE;
        val_append(array, value);
        return 0;
    }
    if (!index_parse(token, array->count + 1, &index) || index > array->count) {
        return err_set(patch->err, ERR_INVALID,
                       "add operation does not apply: index \"%.*s\" is out of bounds: invalid "
                       "index referenced",
                       STR_ARG(token));
    }
    value->key = STR_NONE;
    val_insert_after(array, index == 0 ? NULL : val_at(array, index - 1), value);
    return 0;
}

static int op_add(struct json_patch *patch, struct str path, struct val *value)
{
    struct pointer pointer;
    int rc = pointer_parse(patch, path, &pointer);
    if (rc != 0) {
        return rc;
    }
    if (val_depth(value) + (uint32_t)pointer.count > VAL_DEPTH_MAX) {
        return err_set(patch->err, ERR_INVALID, "add operation does not apply: nested too deeply");
    }
    if (pointer.count == 0) {
        patch->root = value;
        value->key = STR_NONE;
        return 0;
    }
    struct val *parent = resolve(patch, &pointer, pointer.count - 1);
    struct str token = pointer.tokens[pointer.count - 1];
    if (val_is(parent, VAL_OBJECT)) {
        val_set(parent, token, value);
        return 0;
    }
    return val_is(parent, VAL_ARRAY) ? add_to_array(patch, parent, token, value)
                                     : missing(patch, "add", path);
}

static int op_remove(struct json_patch *patch, struct str path, const char *what)
{
    struct pointer pointer;
    int rc = pointer_parse(patch, path, &pointer);
    if (rc != 0) {
        return rc;
    }
    struct val *target = pointer.count > 0 ? resolve(patch, &pointer, pointer.count) : NULL;
    if (target == NULL) {
        return missing(patch, what, path);
    }
    val_remove(resolve(patch, &pointer, pointer.count - 1), target);
    return 0;
}

static int op_replace(struct json_patch *patch, struct str path, struct val *value)
{
    struct pointer pointer;
    int rc = pointer_parse(patch, path, &pointer);
    if (rc != 0) {
        return rc;
    }
    struct val *target = resolve(patch, &pointer, pointer.count);
    if (target == NULL) {
        return missing(patch, "replace", path);
    }
    if (val_depth(value) + (uint32_t)pointer.count > VAL_DEPTH_MAX) {
        return err_set(patch->err, ERR_INVALID,
                       "replace operation does not apply: nested too deeply");
    }
    struct val *next = target->next;
    struct str key = target->key;
    *target = *value; /* in place: its neighbours point at this node */
    target->next = next;
    target->key = key;
    return 0;
}

static size_t size_of(const struct val *value)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    val_write_json(value, &text);
    return text.n;
}

static int op_copy(struct json_patch *patch, struct str from, struct str path)
{
    struct pointer pointer;
    int rc = pointer_parse(patch, from, &pointer);
    if (rc != 0) {
        return rc;
    }
    const struct val *source = resolve(patch, &pointer, pointer.count);
    if (source == NULL) {
        return missing(patch, "copy", from);
    }
    patch->copied += size_of(source);
    if (patch->copied > COPIED_MAX) {
        return err_set(patch->err, ERR_TOO_LARGE,
                       "Unable to complete the copy, the accumulated size increase of copy is %zu, "
                       "exceeding the limit %d",
                       patch->copied, COPIED_MAX);
    }
    return op_add(patch, path, val_copy(patch->arena, source));
}

static int op_move(struct json_patch *patch, struct str from, struct str path)
{
    struct pointer pointer;
    int rc = pointer_parse(patch, from, &pointer);
    if (rc != 0) {
        return rc;
    }
    bool inside = str_starts(path, from) && path.n > from.n && path.p[from.n] == '/';
    const struct val *source = resolve(patch, &pointer, pointer.count);
    if (source == NULL || inside) {
        return missing(patch, "move", from);
    }
    struct val *copy = val_copy(patch->arena, source);
    rc = op_remove(patch, from, "move");
    return rc != 0 ? rc : op_add(patch, path, copy);
}

static int op_test(struct json_patch *patch, struct str path, const struct val *value)
{
    struct pointer pointer;
    int rc = pointer_parse(patch, path, &pointer);
    if (rc != 0) {
        return rc;
    }
    const struct val *target = resolve(patch, &pointer, pointer.count);
    bool same = target == NULL || val_absent(target) ? val_absent(value) : val_equal(target, value);
    return same ? 0
                : err_set(patch->err, ERR_INVALID, "testing value %.*s failed: test failed",
                          STR_ARG(path));
}

static int apply_one(struct json_patch *patch, const struct val *operation)
{
    struct str op = val_text(val_get(operation, "op"));
    const struct val *path = val_get(operation, "path"), *from = val_get(operation, "from");
    const struct val *value = val_get(operation, "value");
    if (!val_is(operation, VAL_OBJECT) || !val_is(path, VAL_STRING)) {
        return err_set(patch->err, ERR_BAD_REQUEST,
                       "error decoding patch: each operation needs \"op\" and \"path\"");
    }
    bool takes_value = str_is(op, "add") || str_is(op, "replace");
    struct val *copy = takes_value && value != NULL ? val_copy(patch->arena, value)
                                                    : val_new(patch->arena, VAL_NULL);
    if (str_is(op, "add")) {
        return op_add(patch, val_text(path), copy);
    }
    if (str_is(op, "replace")) {
        return op_replace(patch, val_text(path), copy);
    }
    if (str_is(op, "remove")) {
        return op_remove(patch, val_text(path), "remove");
    }
    if (str_is(op, "test")) {
        return op_test(patch, val_text(path), value);
    }
    if (!str_is(op, "move") && !str_is(op, "copy")) {
        return err_set(patch->err, ERR_BAD_REQUEST, "Unexpected kind: %.*s", STR_ARG(op));
    }
    if (!val_is(from, VAL_STRING)) {
        return err_set(patch->err, ERR_BAD_REQUEST, "%.*s operation needs \"from\"", STR_ARG(op));
    }
    return str_is(op, "move") ? op_move(patch, val_text(from), val_text(path))
                              : op_copy(patch, val_text(from), val_text(path));
}

int patch_json(struct arena *arena, const struct val *target, const struct val *operations,
               struct val **ret_value, struct err *err)
{
    if (!val_is(operations, VAL_ARRAY)) {
        return err_set(err, ERR_BAD_REQUEST,
                       "error decoding patch: a JSON patch is an array of operations");
    }
    if (operations->count > OPERATIONS_MAX) {
        return err_set(err, ERR_TOO_LARGE,
                       "The allowed maximum operations in a JSON patch is %d, got %u",
                       OPERATIONS_MAX, operations->count);
    }
    struct json_patch patch = {.arena = arena, .root = val_copy(arena, target), .err = err};
    VAL_EACH (operation, operations) {
        int rc = apply_one(&patch, operation);
        if (rc != 0) {
            return rc;
        }
        if (patch.steps > PATCH_STEPS_MAX) {
            return err_set(err, ERR_TOO_LARGE, PATCH_TOO_EXPENSIVE);
        }
    }
    *ret_value = patch.root;
    return 0;
}

/* Depth is that of the patch, which its parser has bounded. False: too expensive. */
static bool merge_into(struct arena *arena, struct val *target, const struct val *patch,
                       uint64_t *steps)
{
    VAL_EACH (it, patch) {
        *steps += target->count;
        if (*steps > PATCH_STEPS_MAX) {
            return false;
        }
        if (it->type == VAL_NULL) {
            val_unset(target, it->key);
            continue;
        }
        struct val *there = val_get_str(target, it->key);
        if (it->type != VAL_OBJECT) {
            val_set(target, it->key, val_copy(arena, it));
            continue;
        }
        if (!val_is(there, VAL_OBJECT)) { /* nulls inside a new object go, too */
            there = val_set(target, it->key, val_new(arena, VAL_OBJECT));
        }
        if (!merge_into(arena, there, it, steps)) {
            return false;
        }
    }
    return true;
}

int patch_merge(struct arena *arena, const struct val *target, const struct val *patch,
                struct val **ret_value, struct err *err)
{
    if (!val_is(patch, VAL_OBJECT)) {
        return err_set(err, ERR_BAD_REQUEST, "error decoding patch: a merge patch is an object");
    }
    uint64_t steps = 0;
    struct val *result =
        val_is(target, VAL_OBJECT) ? val_copy(arena, target) : val_new(arena, VAL_OBJECT);
    if (!merge_into(arena, result, patch, &steps)) {
        return err_set(err, ERR_TOO_LARGE, PATCH_TOO_EXPENSIVE);
    }
    *ret_value = result;
    return 0;
}

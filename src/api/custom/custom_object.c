/* custom_object.c: objects of custom kinds: defaults, validation, cells, scale and selectable
 * fields, loading. See custom.h. What is said of the schema is in values.c and structural.c.
 */
#include <math.h>

#include "api/codec.h"
#include "api/custom/jsonpath.h"
#include "api/custom/structural.h"
#include "api/kinds/cells.h"
#include "api/selector.h"
#include "base/clock.h"

const struct api_ops ops_custom = {.generation = true, .metadata_fixed_in_status = true};

/* Members that only a schema with x-kubernetes-preserve-unknown-fields keeps have no field in the
 * tables; they are put in order here, so that equal objects are equal bytes. */
void custom_default(struct arena *arena, const struct custom *custom, struct val *object)
{
    if (custom->schema->defaults || custom->schema->untyped) {
        structural_default(arena, custom->schema, object);
    }
}

struct val *custom_path(const struct val *object, const struct str *path)
{
    const struct val *at = object;
    for (; path != NULL && path->p != NULL && at != NULL; path++) {
        at = val_get_str(at, *path);
    }
    return (struct val *)(uintptr_t)at;
}

bool custom_path_set(struct arena *arena, struct val *object, const struct str *path,
                     struct val *value)
{
    for (; path[1].p != NULL; path++) {
        struct val *inner = val_get_str(object, *path);
        if (!val_absent(inner) && inner->type != VAL_OBJECT) {
            return false;
        }
        object = val_make_object(arena, object, *path);
    }
    val_set(object, *path, value);
    return true;
}

/* ---- validation ---- */

static const struct path *path_of(struct arena *arena, const struct str *members)
{
    const struct path *path = NULL;
    for (; members != NULL && members->p != NULL; members++) {
        struct path *next = arena_new(arena, struct path);
        *next = (struct path){.up = path, .key = *members, .index = -1};
        path = next;
    }
    return path;
}

/* A path that leads to no whole number, or through something that is no object, is named as it was
 * written. */
static void check_replicas(struct field_errors *errors, const struct val *object,
                           const struct str *members, const char *text)
{
    const struct val *value = object;
    int64_t number = 0;
    for (; members != NULL && members->p != NULL && val_is(value, VAL_OBJECT); members++) {
        value = val_get_str(value, *members);
    }
    if (val_absent(value)) {
        return;
    }
    bool whole = members != NULL && members->p == NULL && value->type == VAL_NUMBER &&
                 str_i64(value->text, &number);
    if (!whole || number < 0 || number > INT32_MAX) {
        field_error_add(errors, "FieldValueInvalid", str_of(text), "Invalid value: %lld: %s",
                        (long long)number,
                        !whole       ? "should be a 64 bit integer"
                        : number < 0 ? "should be a non-negative integer"
                                     : "should be less than or equal to 2147483647");
    }
}

static void check_scale(struct field_errors *errors, const struct custom *custom,
                        const struct val *object)
{
    check_replicas(errors, object, custom->spec_replicas, custom->scale_texts[0]);
    check_replicas(errors, object, custom->status_replicas, custom->scale_texts[1]);
    const struct val *text =
        custom->label_selector != NULL ? custom_path(object, custom->label_selector) : NULL;
    struct selector selector;
    struct err err = ERR_INIT;
    if (val_text(text).n > 0 &&
        selector_parse(errors->arena, val_text(text), &selector, &err) != 0) {
        field_invalid_val(errors, path_of(errors->arena, custom->label_selector), text, "%s",
                          err.message);
    }
}

void custom_validate(struct api_context *ctx, const struct custom *custom, const struct val *object,
                     const struct val *old, struct field_errors *errors)
{
    structural_check(errors, custom->schema, NULL, object, old);
    if (custom->spec_replicas != NULL) {
        check_scale(errors, custom, object);
    }
}

/* ---- cells ---- */

static void cell_null(struct api_context *ctx, struct val *cells)
{
    val_append(cells, val_new(ctx->arena, VAL_NULL));
}

static void cell_copy(struct api_context *ctx, struct val *cells, const struct val *value)
{
    struct val *copy = val_append(cells, val_copy(ctx->arena, value));
    copy->key = STR_NONE;
}

static void cell_whole(struct api_context *ctx, struct val *cells, const struct val *value)
{
    int64_t whole = 0;
    if (value->type != VAL_NUMBER) {
        cell_null(ctx, cells);
    } else if (str_i64(value->text, &whole)) {
        cell_int(ctx, cells, whole);
    } else {
        double number = 0;
        bool fits = str_double(value->text, &number) && fabs(number) < 9.2e18;
        cell_int(ctx, cells, fits ? (int64_t)number : 0);
    }
}

static void cell_string(struct api_context *ctx, struct val *cells, const struct val *value)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    if (value->type == VAL_STRING) {
        cell_text(ctx, cells, value->text);
        return;
    }
    val_write_json(value, &text);
    cell_text(ctx, cells, str_copy_in(ctx->arena, buf_view(&text)));
}

static void cell_date(struct api_context *ctx, struct val *cells, const struct val *value)
{
    int64_t ns = 0;
    if (value->type != VAL_STRING) {
        cell_null(ctx, cells);
    } else if (!time_parse(value->text, &ns)) {
        cell_text(ctx, cells, STR("<invalid>"));
    } else {
        cell_since(ctx, cells, value);
    }
}

static void cell_of(struct api_context *ctx, struct val *cells, const char *type,
                    const struct val *value)
{
    if (val_absent(value)) {
        cell_null(ctx, cells);
    } else if (strcmp(type, "string") == 0) {
        cell_string(ctx, cells, value);
    } else if (strcmp(type, "integer") == 0) {
        cell_whole(ctx, cells, value);
    } else if (strcmp(type, "date") == 0) {
        cell_date(ctx, cells, value);
    } else if (strcmp(type, "number") == 0 ? value->type == VAL_NUMBER
                                           : value->type == VAL_TRUE || value->type == VAL_FALSE) {
        cell_copy(ctx, cells, value);
    } else {
        cell_null(ctx, cells);
    }
}

void custom_columns(struct api_context *ctx, const struct api_resource *resource,
                    const struct val *object, struct val *cells)
{
    const struct custom_column *columns = resource->custom->columns;
    cell_text(ctx, cells, val_name(object));
    for (uint16_t i = 0; i + 1 < resource->column_count; i++) {
        const struct val *value =
            columns[i].path != NULL ? jsonpath_first(ctx->arena, columns[i].path, object) : NULL;
        cell_of(ctx, cells, columns[i].type, value);
    }
}

/* ---- field selectors ---- */

struct str custom_selectable(struct arena *arena, const struct custom *custom, size_t field,
                             const struct val *object)
{
    const struct val *value = custom_path(object, custom->selectable[field]);
    if (val_absent(value)) {
        return STR("");
    }
    switch (value->type) {
    case VAL_STRING:
    case VAL_NUMBER:
        return value->text;
    case VAL_TRUE:
        return STR("true");
    case VAL_FALSE:
        return STR("false");
    default:
        return STR("");
    }
}

/* ---- loading ---- */

int custom_load(const struct api_resource *storage, struct str json, uint64_t revision,
                struct object **ret_object, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *value = NULL;
    struct err ours = ERR_INIT;
    if (codec_decode(&arena, storage->type, CODEC_JSON, json, CODEC_IGNORE, NULL, &value, &ours) !=
        0) {
        return err_set(err, ERR_PARSE, "the bytes are no whole %s: %s", storage->kind,
                       ours.message);
    }
    val_make_object(&arena, value, STR("metadata"));
    custom_default(&arena, storage->custom, value);
    *ret_object = object_new(storage, value, revision);
    return 0;
}

/* config.c: ConfigMaps and Secrets: keys, sizes, immutability, rows. */
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/semantic.h"
#include "api/validation.h"

enum { DATA_MAX = 1024 * 1024 };

static size_t decoded_size(struct str base64)
{
    size_t n = base64.n / 4 * 3;
    for (size_t i = base64.n; i > 0 && base64.p[i - 1] == '='; i--) {
        n--;
    }
    return n;
}

static size_t keys_check(struct field_errors *errors, const struct path *path,
                         const struct val *data, bool binary)
{
    size_t total = 0;
    VAL_EACH (it, data) {
        check_name(errors, AT_KEY(path, it->key), NAME_CONFIG_KEY, it->key);
        total += binary ? decoded_size(val_text(it)) : val_text(it).n;
    }
    return total;
}

static void config_map_validate(struct api_context *ctx, const struct val *map,
                                struct field_errors *errors)
{
    const struct val *data = val_get(map, "data"), *binary = val_get(map, "binaryData");
    size_t total = keys_check(errors, AT(NULL, "data"), data, false);
    total += keys_check(errors, AT(NULL, "binaryData"), binary, true);
    if (val_count(data) > 0 && val_count(binary) > 0) {
        VAL_EACH (it, data) {
            if (val_get_str(binary, it->key) != NULL) {
                field_invalid(errors, AT_KEY(AT(NULL, "data"), it->key), it->key,
                              "duplicate of key present in binaryData");
            }
        }
    }
    if (total > DATA_MAX) {
        field_too_long(errors, AT_KEY(NULL, STR("")), DATA_MAX);
    }
    (void)ctx;
}

static void frozen(struct field_errors *errors, const struct val *next, const struct val *old,
                   const char *name)
{
    if (!semantic_equal(val_get_str(next, str_of(name)), val_get_str(old, str_of(name))) &&
        (val_count(val_get_str(next, str_of(name))) > 0 ||
         val_count(val_get_str(old, str_of(name))) > 0)) {
        field_forbidden(errors, AT(NULL, name), "field is immutable when `immutable` is set");
    }
}

static void immutable_check(struct field_errors *errors, const struct val *next,
                            const struct val *old)
{
    if (!val_bool(val_get(old, "immutable"), false)) {
        return;
    }
    if (!val_bool(val_get(next, "immutable"), false)) {
        field_forbidden(errors, AT(NULL, "immutable"),
                        "field is immutable when `immutable` is set");
    }
    frozen(errors, next, old, "data");
    frozen(errors, next, old, "binaryData");
}

static void config_map_validate_update(struct api_context *ctx, const struct val *next,
                                       const struct val *old, struct field_errors *errors)
{
    immutable_check(errors, next, old);
    (void)ctx;
}

static void config_map_columns(struct api_context *ctx, const struct val *map, struct val *cells)
{
    cell_text(ctx, cells, val_name(map));
    cell_int(ctx, cells, val_count(val_get(map, "data")) + val_count(val_get(map, "binaryData")));
    cell_age(ctx, cells, map);
}

/* stringData is for writing only: it overrides data and is not stored. */
static void secret_default(struct arena *arena, struct val *secret)
{
    default_text(arena, secret, "type", "Opaque");
    struct val *strings = val_get(secret, "stringData");
    if (val_absent(strings)) {
        return;
    }
    struct val *data = default_object(arena, secret, "data");
    VAL_EACH (it, strings) {
        struct buf text BUF_CLEANUP = BUF_INIT;
        base64_encode(&text, val_text(it).p, val_text(it).n);
        struct val *value = val_new_text(arena, str_copy_in(arena, buf_view(&text)));
        value->field = data->field;
        val_set(data, it->key, value);
    }
    val_unset(secret, STR("stringData"));
}

static bool needs(struct field_errors *errors, const struct val *data, const char *key)
{
    bool there = val_get_str(data, str_of(key)) != NULL;
    if (!there) {
        field_required(errors, AT_KEY(AT(NULL, "data"), str_of(key)), "");
    }
    return there;
}

static void needs_json(struct field_errors *errors, const struct val *data, const char *key)
{
    if (!needs(errors, data, key)) {
        return;
    }
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct arena scratch ARENA_CLEANUP = ARENA_INIT;
    struct val *value = NULL;
    struct err err = ERR_INIT;
    if (!base64_decode(&text, val_text(val_get_str(data, str_of(key)))) ||
        val_parse_json(&scratch, buf_view(&text), &value, &err) != 0 ||
        !val_is(value, VAL_OBJECT)) {
        field_invalid(errors, AT_KEY(AT(NULL, "data"), str_of(key)),
                      STR("<secret contents redacted>"), "%s",
                      err.message[0] != '\0' ? err.message : "not a JSON object");
    }
}

static void secret_type_check(struct field_errors *errors, const struct val *secret)
{
    struct str type = val_text(val_get(secret, "type"));
    const struct val *data = val_get(secret, "data");
    if (str_is(type, "kubernetes.io/service-account-token")) {
        const struct val *annotations = val_path(secret, "metadata.annotations");
        if (val_text(val_get(annotations, "kubernetes.io/service-account.name")).n == 0) {
            field_required(errors,
                           AT_KEY(AT(AT(NULL, "metadata"), "annotations"),
                                  STR("kubernetes.io/service-account.name")),
                           "");
        }
    } else if (str_is(type, "kubernetes.io/dockercfg")) {
        needs_json(errors, data, ".dockercfg");
    } else if (str_is(type, "kubernetes.io/dockerconfigjson")) {
        needs_json(errors, data, ".dockerconfigjson");
    } else if (str_is(type, "kubernetes.io/basic-auth")) {
        if (val_get(data, "username") == NULL && val_get(data, "password") == NULL) {
            needs(errors, data, "username");
            needs(errors, data, "password");
        }
    } else if (str_is(type, "kubernetes.io/ssh-auth")) {
        if (val_text(val_get(data, "ssh-privatekey")).n == 0) {
            field_required(errors, AT_KEY(AT(NULL, "data"), STR("ssh-privatekey")), "");
        }
    } else if (str_is(type, "kubernetes.io/tls")) {
        needs(errors, data, "tls.crt");
        needs(errors, data, "tls.key");
    }
}

static void secret_validate(struct api_context *ctx, const struct val *secret,
                            struct field_errors *errors)
{
    if (keys_check(errors, AT(NULL, "data"), val_get(secret, "data"), true) > DATA_MAX) {
        field_too_long(errors, AT(NULL, "data"), DATA_MAX);
    }
    secret_type_check(errors, secret);
    (void)ctx;
}

static void secret_validate_update(struct api_context *ctx, const struct val *next,
                                   const struct val *old, struct field_errors *errors)
{
    check_immutable(errors, AT(NULL, "type"), val_get(next, "type"), val_get(old, "type"));
    immutable_check(errors, next, old);
    (void)ctx;
}

static void secret_columns(struct api_context *ctx, const struct val *secret, struct val *cells)
{
    cell_text(ctx, cells, val_name(secret));
    cell_text(ctx, cells, val_text(val_get(secret, "type")));
    cell_int(ctx, cells, val_count(val_get(secret, "data")));
    cell_age(ctx, cells, secret);
}

const struct api_ops ops_config_map = {
    .validate = config_map_validate,
    .validate_update = config_map_validate_update,
    .columns = config_map_columns,
    .unconditional_update = true,
};

const struct api_ops ops_secret = {
    .defaults = secret_default,
    .validate = secret_validate,
    .validate_update = secret_validate_update,
    .columns = secret_columns,
    .unconditional_update = true,
};

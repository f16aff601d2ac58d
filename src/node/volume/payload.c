/* payload.c: what is in a configMap, secret, downwardAPI or projected volume (KeyToPath, modes,
 * optional), from objects that the agent looked up. Pure. */
#include "node/volume/volume.h"

bool volume_is_api_backed(const struct val *volume)
{
    return val_get(volume, "configMap") != NULL || val_get(volume, "secret") != NULL ||
           val_get(volume, "downwardAPI") != NULL || val_get(volume, "projected") != NULL;
}

struct building {
    struct arena *arena;
    const struct val *pod;
    const struct volume_facts *facts;
    struct volume_payload *out;
    uint32_t mode;
    int64_t uid;
};

static void put(struct building *b, struct str path, struct str bytes, const struct val *mode)
{
    struct volume_file file = {.path = str_copy_in(b->arena, path),
                               .bytes = bytes,
                               .mode = (uint32_t)val_int(mode, b->mode) & 0777,
                               .uid = b->uid};
    VEC_EACH (it, b->out) /* a later source wins */
    {
        if (str_eq(it->path, path)) {
            *it = file;
            return;
        }
    }
    *vec_push(b->out) = file;
}

static struct str value_of(struct building *b, const struct val *value, bool base64)
{
    if (!base64) {
        return str_copy_in(b->arena, val_text(value));
    }
    struct buf bytes BUF_CLEANUP = BUF_INIT;
    base64_decode(&bytes, val_text(value));
    return str_copy_in(b->arena, buf_view(&bytes));
}

static int put_item(struct building *b, const struct val *object, bool secret,
                    const struct val *item, bool optional, struct err *err)
{
    struct str key = val_text(val_get(item, "key"));
    const struct val *value = val_get_str(val_get(object, "data"), key);
    bool base64 = secret;
    if (value == NULL && !secret) {
        value = val_get_str(val_get(object, "binaryData"), key);
        base64 = true;
    }
    if (value == NULL) {
        return optional ? 0
                        : err_set(err, ERR_NOT_FOUND, "references non-existent %s key: %.*s",
                                  secret ? "secret" : "config", STR_ARG(key));
    }
    put(b, val_text(val_get(item, "path")), value_of(b, value, base64), val_get(item, "mode"));
    return 0;
}

static int put_object(struct building *b, const struct val *source, const char *name_field,
                      bool secret, struct err *err)
{
    struct str name = val_text(val_get_str(source, str_of(name_field)));
    bool optional = val_bool(val_get(source, "optional"), false);
    struct str ns = val_namespace(b->pod);
    const struct env_facts *env = &b->facts->env;
    const struct val *object =
        secret ? env->secret(env->ctx, ns, name) : env->config_map(env->ctx, ns, name);
    if (object == NULL) {
        return optional ? 0
                        : err_set(err, ERR_NOT_FOUND, "%s \"%.*s\" not found",
                                  secret ? "secret" : "configmap", STR_ARG(name));
    }
    const struct val *items = val_get(source, "items");
    if (val_count(items) > 0) {
        VAL_EACH (item, items) {
            int rc = put_item(b, object, secret, item, optional, err);
            if (rc != 0) {
                return rc;
            }
        }
        return 0;
    }
    VAL_EACH (it, val_get(object, "data")) {
        put(b, it->key, value_of(b, it, secret), NULL);
    }
    VAL_EACH (it, secret ? NULL : val_get(object, "binaryData")) {
        put(b, it->key, value_of(b, it, true), NULL);
    }
    return 0;
}

static int put_downward(struct building *b, const struct val *items, struct err *err)
{
    VAL_EACH (item, items) {
        const struct val *field = val_get(item, "fieldRef");
        struct str value = STR_NONE;
        int rc = field != NULL
                     ? downward_field(b->arena, b->pod, val_text(val_get(field, "fieldPath")),
                                      &b->facts->env, &value, err)
                     : downward_resource(b->arena, b->pod, NULL, val_get(item, "resourceFieldRef"),
                                         &b->facts->env, &value, err);
        if (rc != 0) {
            return rc;
        }
        put(b, val_text(val_get(item, "path")), value, val_get(item, "mode"));
    }
    return 0;
}

static int put_token(struct building *b, const struct val *source, struct err *err)
{
    struct volume_token token = {.audience = val_text(val_get(source, "audience")),
                                 .expiration_seconds =
                                     val_int(val_get(source, "expirationSeconds"), 3600),
                                 .path = val_text(val_get(source, "path"))};
    struct str text = b->facts->token(b->facts->ctx, &token);
    if (text.n == 0) {
        return err_set(err, ERR_UNAVAILABLE, "the service account token is not there yet");
    }
    put(b, token.path, str_copy_in(b->arena, text), NULL);
    return 0;
}

static int put_projected(struct building *b, const struct val *projected, struct err *err)
{
    VAL_EACH (source, val_get(projected, "sources")) {
        const struct val *part;
        int rc;
        if ((part = val_get(source, "configMap")) != NULL) {
            rc = put_object(b, part, "name", false, err);
        } else if ((part = val_get(source, "secret")) != NULL) {
            rc = put_object(b, part, "name", true, err);
        } else if ((part = val_get(source, "downwardAPI")) != NULL) {
            rc = put_downward(b, val_get(part, "items"), err);
        } else if ((part = val_get(source, "serviceAccountToken")) != NULL) {
            rc = put_token(b, part, err);
        } else {
            rc = err_set(err, ERR_UNSUPPORTED,
                         "a projected source other than configMap, secret, downwardAPI and "
                         "serviceAccountToken is not supported");
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int volume_compute(struct arena *arena, const struct val *pod, const struct val *volume,
                   const struct volume_facts *facts, struct volume_payload *ret_payload,
                   struct err *err)
{
    struct building b = {.arena = arena, .pod = pod, .facts = facts, .out = ret_payload, .uid = -1};
    const struct val *source;
    if ((source = val_get(volume, "configMap")) != NULL) {
        b.mode = (uint32_t)val_int(val_get(source, "defaultMode"), 0644);
        return put_object(&b, source, "name", false, err);
    }
    if ((source = val_get(volume, "secret")) != NULL) {
        b.mode = (uint32_t)val_int(val_get(source, "defaultMode"), 0644);
        return put_object(&b, source, "secretName", true, err);
    }
    if ((source = val_get(volume, "downwardAPI")) != NULL) {
        b.mode = (uint32_t)val_int(val_get(source, "defaultMode"), 0644);
        return put_downward(&b, val_get(source, "items"), err);
    }
    if ((source = val_get(volume, "projected")) != NULL) {
        b.mode = (uint32_t)val_int(val_get(source, "defaultMode"), 0644);
        return put_projected(&b, source, err);
    }
    return err_set(err, ERR_UNSUPPORTED, "volume %.*s is not made of API objects",
                   STR_ARG(val_text(val_get(volume, "name"))));
}

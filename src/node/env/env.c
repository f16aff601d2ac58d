/* env.c: environment and command line (kubelet's makeEnvironmentVariables and friends, by their
 * documented behaviour). */
#include "node/env/env.h"

#include <ctype.h>

void env_set(struct arena *arena, struct env_list *list, struct str name, struct str value)
{
    for (size_t i = 0; i < list->count; i++) {
        if (str_eq(list->items[i].name, name)) {
            list->items[i].value = value;
            return;
        }
    }
    if (list->count == list->cap) {
        size_t cap = list->cap > 0 ? list->cap * 2 : 32;
        struct env_var *items = arena_array(arena, struct env_var, cap);
        if (list->count > 0) {
            memcpy(items, list->items, list->count * sizeof *items);
        }
        list->items = items;
        list->cap = cap;
    }
    list->items[list->count++] = (struct env_var){name, value};
}

struct str env_get(const struct env_list *list, struct str name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (str_eq(list->items[i].name, name)) {
            struct str value = list->items[i].value;
            return value.p != NULL ? value : STR("");
        }
    }
    return STR_NONE;
}

struct str env_expand(struct arena *arena, struct str text, const struct env_list *list)
{
    if (memchr(text.n > 0 ? text.p : "", '$', text.n) == NULL) {
        return text;
    }
    struct buf out BUF_CLEANUP = BUF_INIT;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '$' || i + 1 >= text.n) {
            buf_char(&out, text.p[i]);
            continue;
        }
        char next = text.p[i + 1];
        const char *end = next == '(' ? memchr(text.p + i + 2, ')', text.n - i - 2) : NULL;
        if (next == '$') {
            buf_char(&out, '$');
            i++;
        } else if (end != NULL) {
            struct str name = str_at(text.p + i + 2, (size_t)(end - text.p) - i - 2);
            struct str value = env_get(list, name);
            if (value.p != NULL) {
                buf_str(&out, value);
            } else {
                buf_printf(&out, "$(%.*s)", STR_ARG(name));
            }
            i = (size_t)(end - text.p);
        } else {
            buf_char(&out, '$');
        }
    }
    return str_copy_in(arena, buf_view(&out));
}

static bool env_name(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (c == '=' || c < 32 || c == 127) {
            return false;
        }
    }
    return name.n > 0;
}

static struct str decode(struct arena *arena, struct str base64)
{
    struct buf bytes BUF_CLEANUP = BUF_INIT;
    base64_decode(&bytes, base64);
    return str_copy_in(arena, buf_view(&bytes));
}

static void add_all(struct arena *arena, const struct val *object, bool secret, struct str prefix,
                    struct env_list *list)
{
    VAL_EACH (it, val_get(object, "data")) {
        struct str name = it->key;
        if (prefix.n > 0) {
            name = str_of(arena_printf(arena, "%.*s%.*s", STR_ARG(prefix), STR_ARG(name)));
        }
        if (env_name(name)) {
            env_set(arena, list, str_copy_in(arena, name),
                    secret ? decode(arena, val_text(it)) : str_copy_in(arena, val_text(it)));
        }
    }
}

static int add_from(struct arena *arena, const struct val *pod, const struct val *source,
                    const struct env_facts *facts, struct env_list *list, struct err *err)
{
    struct str prefix = val_text(val_get(source, "prefix"));
    const struct val *map_ref = val_get(source, "configMapRef");
    const struct val *ref = map_ref != NULL ? map_ref : val_get(source, "secretRef");
    struct str name = val_text(val_get(ref, "name"));
    const struct val *object = map_ref != NULL
                                   ? facts->config_map(facts->ctx, val_namespace(pod), name)
                                   : facts->secret(facts->ctx, val_namespace(pod), name);
    if (object == NULL) {
        if (val_bool(val_get(ref, "optional"), false)) {
            return 0;
        }
        return err_set(err, ERR_NOT_FOUND, "%s \"%.*s\" not found",
                       map_ref != NULL ? "configmap" : "secret", STR_ARG(name));
    }
    add_all(arena, object, map_ref == NULL, prefix, list);
    return 0;
}

/* *ret_set false: optional and absent. */
static int key_value(struct arena *arena, const struct val *pod, const struct val *ref, bool secret,
                     const struct env_facts *facts, struct str *ret_value, bool *ret_set,
                     struct err *err)
{
    struct str name = val_text(val_get(ref, "name")), key = val_text(val_get(ref, "key"));
    bool optional = val_bool(val_get(ref, "optional"), false);
    const struct val *object = secret ? facts->secret(facts->ctx, val_namespace(pod), name)
                                      : facts->config_map(facts->ctx, val_namespace(pod), name);
    const struct val *value = val_get_str(val_get(object, "data"), key);
    bool binary = false;
    if (value == NULL && !secret) {
        value = val_get_str(val_get(object, "binaryData"), key);
        binary = value != NULL;
    }
    *ret_set = value != NULL;
    if (value != NULL) {
        *ret_value =
            secret || binary ? decode(arena, val_text(value)) : str_copy_in(arena, val_text(value));
        return 0;
    }
    if (optional) {
        return 0;
    }
    if (object == NULL) {
        return err_set(err, ERR_NOT_FOUND, "%s \"%.*s\" not found", secret ? "secret" : "configmap",
                       STR_ARG(name));
    }
    return err_set(err, ERR_NOT_FOUND, "couldn't find key %.*s in %s %.*s/%.*s", STR_ARG(key),
                   secret ? "Secret" : "ConfigMap", STR_ARG(val_namespace(pod)), STR_ARG(name));
}

static int add_var(struct arena *arena, const struct val *pod, const struct val *container,
                   const struct val *var, const struct env_facts *facts, struct env_list *list,
                   struct err *err)
{
    struct str name = val_text(val_get(var, "name")), value = STR("");
    const struct val *from = val_get(var, "valueFrom"), *ref;
    bool set = true;
    int rc = 0;
    if (from == NULL) {
        value = env_expand(arena, val_text(val_get(var, "value")), list);
    } else if ((ref = val_get(from, "fieldRef")) != NULL) {
        rc = downward_field(arena, pod, val_text(val_get(ref, "fieldPath")), facts, &value, err);
    } else if ((ref = val_get(from, "resourceFieldRef")) != NULL) {
        rc = downward_resource(arena, pod, container, ref, facts, &value, err);
    } else if ((ref = val_get(from, "configMapKeyRef")) != NULL) {
        rc = key_value(arena, pod, ref, false, facts, &value, &set, err);
    } else if ((ref = val_get(from, "secretKeyRef")) != NULL) {
        rc = key_value(arena, pod, ref, true, facts, &value, &set, err);
    } else {
        rc = err_set(err, ERR_UNSUPPORTED, "env %.*s: this source is not supported", STR_ARG(name));
    }
    if (rc == 0 && set) {
        env_set(arena, list, name, value);
    }
    return rc;
}

int env_build(struct arena *arena, const struct val *pod, const struct val *container,
              const struct val *image_config, const struct env_facts *facts,
              struct env_list *ret_list, struct err *err)
{
    struct env_list list = {0};
    VAL_EACH (it, val_get(image_config, "Env")) {
        struct str value, name = str_cut(val_text(it), '=', &value);
        env_set(arena, &list, str_copy_in(arena, name), str_copy_in(arena, value));
    }
    env_add_services(arena, pod, facts, &list);
    VAL_EACH (it, val_get(container, "envFrom")) {
        int rc = add_from(arena, pod, it, facts, &list, err);
        if (rc != 0) {
            return rc;
        }
    }
    VAL_EACH (it, val_get(container, "env")) {
        int rc = add_var(arena, pod, container, it, facts, &list, err);
        if (rc != 0) {
            return rc;
        }
    }
    *ret_list = list;
    return 0;
}

static void append_words(struct arena *arena, const struct val *words, const struct env_list *list,
                         struct str *argv, size_t *count)
{
    VAL_EACH (it, words) {
        struct str word = val_text(it);
        argv[(*count)++] = list != NULL ? env_expand(arena, word, list) : word;
    }
}

int env_argv(struct arena *arena, const struct val *container, const struct val *image_config,
             const struct env_list *list, struct str **ret_argv, size_t *ret_count, struct err *err)
{
    const struct val *command = val_get(container, "command"), *args = val_get(container, "args");
    const struct val *entrypoint = val_get(image_config, "Entrypoint");
    const struct val *cmd = val_get(image_config, "Cmd");
    size_t count = 0, room = (size_t)val_count(command) + val_count(args) + val_count(entrypoint) +
                             val_count(cmd) + 1;
    struct str *argv = arena_array(arena, struct str, room);
    if (val_count(command) > 0) {
        append_words(arena, command, list, argv, &count);
        append_words(arena, args, list, argv, &count);
    } else {
        append_words(arena, entrypoint, NULL, argv, &count);
        if (val_count(args) > 0) {
            append_words(arena, args, list, argv, &count);
        } else {
            append_words(arena, cmd, NULL, argv, &count);
        }
    }
    if (count == 0) {
        return err_set(err, ERR_INVALID, "no command specified");
    }
    *ret_argv = argv;
    *ret_count = count;
    return 0;
}

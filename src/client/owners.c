/* Owner references of objects at rest (owners.h).
 *
 * Informer indexes ask for the owners of every object on every change; decoding a whole pod for
 * that would cost ten times the answer. Canonical JSON starts
 * {"kind":..,"apiVersion":..,"metadata":{, so a scan over the members of metadata finds the array,
 * and only that is parsed. The bytes are our own (object.h), so the scan needs no checks beyond
 * their end.
 */
#include "client/owners.h"

/* The end of the JSON string that starts at p (a quote). */
static const char *skip_string(const char *p)
{
    for (p++; *p != '"'; p++) {
        if (*p == '\0') {
            return p;
        }
        if (*p == '\\' && p[1] != '\0') {
            p++;
        }
    }
    return p + 1;
}

static const char *skip_value(const char *p)
{
    int depth = 0;
    while (*p != '\0') {
        if (*p == '"') {
            p = skip_string(p);
        } else if (*p == '{' || *p == '[') {
            depth++;
            p++;
        } else if (*p == '}' || *p == ']') {
            if (depth == 0) {
                return p;
            }
            depth--;
            p++;
        } else if (*p == ',' && depth == 0) {
            return p;
        } else {
            p++;
            continue;
        }
        if (depth == 0) {
            return p;
        }
    }
    return p;
}

/* The value of member `name` of the object that starts at p (its brace). */
static struct str member(const char *p, struct str name)
{
    p++;
    while (*p == '"') {
        const char *key = p + 1;
        p = skip_string(p);
        struct str found = str_at(key, (size_t)(p - 1 - key));
        if (*p != ':') {
            break;
        }
        const char *value = p + 1;
        p = skip_value(value);
        if (str_eq(found, name)) {
            return str_at(value, (size_t)(p - value));
        }
        if (*p == ',') {
            p++;
        }
    }
    return STR_NONE;
}

struct str object_raw(const struct object *object, struct str name)
{
    return member(object->json, name);
}

struct str object_api_version(const struct object *object)
{
    struct str raw = object_raw(object, STR("apiVersion"));
    return raw.n > 2 ? str_at(raw.p + 1, raw.n - 2) : STR_NONE;
}

struct str metadata_raw(const struct object *object, struct str name)
{
    struct str metadata = object_raw(object, STR("metadata"));
    return metadata.n > 0 && metadata.p[0] == '{' ? member(metadata.p, name) : STR_NONE;
}

size_t owners_of(struct arena *arena, const struct object *object, struct owner **ret_owners)
{
    struct str raw = metadata_raw(object, STR("ownerReferences"));
    struct val *array = NULL;
    *ret_owners = NULL;
    if (raw.n == 0 || val_parse_json(arena, raw, &array, NULL) != 0 || val_count(array) == 0) {
        return 0;
    }
    struct owner *owners = arena_array(arena, struct owner, array->count);
    size_t count = 0;
    VAL_EACH (it, array) {
        owners[count++] = (struct owner){
            .api_version = val_text(val_get(it, "apiVersion")),
            .kind = val_text(val_get(it, "kind")),
            .name = val_text(val_get(it, "name")),
            .uid = val_text(val_get(it, "uid")),
            .controller = val_bool(val_get(it, "controller"), false),
            .block_deletion = val_bool(val_get(it, "blockOwnerDeletion"), false),
        };
    }
    *ret_owners = owners;
    return count;
}

/* Finalizers (finalizers.h). */
#include "controllers/finalizers.h"

#include "client/owners.h"

bool finalizer_has(const struct object *object, const char *finalizer)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *list = NULL;
    struct str raw = metadata_raw(object, STR("finalizers"));
    if (raw.n == 0 || val_parse_json(&arena, raw, &list, NULL) != 0) {
        return false;
    }
    VAL_EACH (it, list) {
        if (str_is(val_text(it), finalizer)) {
            return true;
        }
    }
    return false;
}

void finalizer_remove(struct pass *pass, struct object *object, const char *finalizer)
{
    struct val *value = object_decode(pass_hold(pass, object), pass->arena);
    struct val *meta = val_get(value, "metadata");
    struct val *list = val_get(meta, "finalizers");
    VAL_EACH (it, list) {
        if (!str_is(val_text(it), finalizer)) {
            continue;
        }
        val_remove(list, it);
        if (list->count == 0) {
            val_unset(meta, STR("finalizers"));
        }
        pass_update(pass, object->resource, "", value, NULL, NULL);
        return;
    }
}

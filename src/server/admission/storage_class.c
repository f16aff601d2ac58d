/* storage_class.c: DefaultStorageClass: a claim that names no class gets the default one: the
 * newest annotated, then the first by name. */
#include "server/admission/admission.h"
#include "server/server_int.h"

static bool is_default(const struct val *class)
{
    const struct val *annotations = val_path(class, "metadata.annotations");
    return str_is(val_text(val_get(annotations, "storageclass.kubernetes.io/is-default-class")),
                  "true") ||
           str_is(
               val_text(val_get(annotations, "storageclass.beta.kubernetes.io/is-default-class")),
               "true");
}

static struct str default_class(struct admission *a)
{
    struct server *server = a->request->server;
    struct snapshot *snapshot = snapshot_take(server->cache, server->known.storage_classes);
    struct snapshot_iter iter;
    struct str best = STR_NONE, best_time = STR_NONE;
    const struct object *object;
    snapshot_iter_init(&iter, snapshot, STR_NONE, NULL, NULL, STR_NONE, STR_NONE);
    while ((object = snapshot_next(&iter)) != NULL) {
        const struct val *value = object_decode(object, a->arena);
        struct str time = val_text(val_path(value, "metadata.creationTimestamp"));
        if (is_default(value) && (best.n == 0 || str_cmp(time, best_time) > 0)) {
            best = str_copy_in(a->arena, object->name);
            best_time = str_copy_in(a->arena, time);
        }
    }
    snapshot_release(snapshot);
    return best;
}

static int mutate(struct admission *a, struct failure *failure)
{
    const struct known_resources *known = &a->request->server->known;
    if (a->operation != VERB_CREATE || !admission_is(a, known->claims) ||
        known->storage_classes == NULL) {
        return 0;
    }
    struct val *spec = val_make_object(a->arena, a->object, STR("spec"));
    if (!val_absent(val_get(spec, "storageClassName"))) {
        return 0;
    }
    struct str name = default_class(a);
    if (name.n > 0) {
        val_set_text(a->arena, spec, STR("storageClassName"), name);
    }
    return 0;
}

const struct admission_step admission_storage_class = {"DefaultStorageClass", mutate, NULL, NULL};

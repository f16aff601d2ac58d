/* storage_class.c: DefaultStorageClass and DefaultIngressClass: a claim or an Ingress that names no
 * class gets the default one: the newest annotated, then the first by name. */
#include "server/admission/admission.h"
#include "server/server_int.h"

static const char *const storage_marks[] = {"storageclass.kubernetes.io/is-default-class",
                                            "storageclass.beta.kubernetes.io/is-default-class",
                                            NULL};
static const char *const ingress_marks[] = {"ingressclass.kubernetes.io/is-default-class", NULL};

static bool is_default(const struct val *class, const char *const *marks)
{
    const struct val *annotations = val_path(class, "metadata.annotations");
    for (size_t i = 0; marks[i] != NULL; i++) {
        if (str_is(val_text(val_get_str(annotations, str_of(marks[i]))), "true")) {
            return true;
        }
    }
    return false;
}

static struct str default_class(struct admission *a, const struct api_resource *classes,
                                const char *const *marks)
{
    struct snapshot *snapshot = snapshot_take(a->request->server->cache, classes);
    struct snapshot_iter iter;
    struct str best = STR_NONE, best_time = STR_NONE;
    const struct object *object;
    snapshot_iter_init(&iter, snapshot, STR_NONE, NULL, NULL, STR_NONE, STR_NONE);
    while ((object = snapshot_next(&iter)) != NULL) {
        const struct val *value = object_decode(object, a->arena);
        struct str time = val_text(val_path(value, "metadata.creationTimestamp"));
        if (is_default(value, marks) && (best.n == 0 || str_cmp(time, best_time) > 0)) {
            best = str_copy_in(a->arena, object->name);
            best_time = str_copy_in(a->arena, time);
        }
    }
    snapshot_release(snapshot);
    return best;
}

static int mutate_claim(struct admission *a, struct failure *failure)
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
    struct str name = default_class(a, known->storage_classes, storage_marks);
    if (name.n > 0) {
        val_set_text(a->arena, spec, STR("storageClassName"), name);
    }
    return 0;
}

const struct admission_step admission_storage_class = {"DefaultStorageClass", mutate_claim, NULL,
                                                       NULL};

static int mutate_ingress(struct admission *a, struct failure *failure)
{
    const struct known_resources *known = &a->request->server->known;
    if (a->operation != VERB_CREATE || !admission_is(a, known->ingresses) ||
        known->ingress_classes == NULL) {
        return 0;
    }
    struct val *spec = val_make_object(a->arena, a->object, STR("spec"));
    const struct val *annotations = val_path(a->object, "metadata.annotations");
    if (!val_absent(val_get(spec, "ingressClassName")) ||
        val_get(annotations, "kubernetes.io/ingress.class") != NULL) {
        return 0;
    }
    struct str name = default_class(a, known->ingress_classes, ingress_marks);
    if (name.n > 0) {
        val_set_text(a->arena, spec, STR("ingressClassName"), name);
    }
    return 0;
}

const struct admission_step admission_ingress_class = {"DefaultIngressClass", mutate_ingress, NULL,
                                                       NULL};

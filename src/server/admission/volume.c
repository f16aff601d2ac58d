/* volume.c: StorageObjectInUseProtection: claims, volumes and classes of volume attributes are made
 * with the finalizer that keeps them while they are used. PersistentVolumeClaimResize: a bound
 * claim may grow when its class allows it. */
#include "api/quantity.h"
#include "server/admission/admission.h"
#include "server/server_int.h"

static const char *finalizer_of(const struct admission *a)
{
    const struct known_resources *known = &a->request->server->known;
    if (admission_is(a, known->claims)) {
        return "kubernetes.io/pvc-protection";
    }
    if (admission_is(a, known->volumes)) {
        return "kubernetes.io/pv-protection";
    }
    return a->subresource.n == 0 && str_is(str_of(a->resource->group), "storage.k8s.io") &&
                   str_is(str_of(a->resource->plural), "volumeattributesclasses")
               ? "kubernetes.io/vac-protection"
               : NULL;
}

static int mutate(struct admission *a, struct failure *failure)
{
    const char *finalizer = a->operation == VERB_CREATE ? finalizer_of(a) : NULL;
    if (finalizer == NULL) {
        return 0;
    }
    struct val *meta = val_make_object(a->arena, a->object, STR("metadata"));
    struct val *list = val_make_array(a->arena, meta, STR("finalizers"));
    VAL_EACH (it, list) {
        if (str_is(val_text(it), finalizer)) {
            return 0;
        }
    }
    val_append(list, val_new_text(a->arena, str_of(finalizer)));
    return 0;
}

const struct admission_step admission_in_use = {"StorageObjectInUseProtection", mutate, NULL, NULL};

/* ---- PersistentVolumeClaimResize ---- */

static struct str class_of(const struct val *claim)
{
    const struct val *annotations = val_path(claim, "metadata.annotations");
    const struct val *old = val_get(annotations, "volume.beta.kubernetes.io/storage-class");
    return val_text(old != NULL ? old : val_path(claim, "spec.storageClassName"));
}

static bool may_grow(struct admission *a, struct str class)
{
    struct server *server = a->request->server;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct object *object =
        class.n > 0 ? cache_get(server->cache, server->known.storage_classes, STR_NONE, class)
                    : NULL;
    bool may = object != NULL &&
               val_bool(val_get(object_decode(object, &arena), "allowVolumeExpansion"), false);
    object_unref(object);
    return may;
}

static int validate(struct admission *a, struct failure *failure)
{
    static const char path[] = "spec.resources.requests.storage";
    struct quantity now, was;
    if (a->operation != VERB_UPDATE || !admission_is(a, a->request->server->known.claims) ||
        !quantity_parse(val_text(val_path(a->object, path)), &now) ||
        !quantity_parse(val_text(val_path(a->old, path)), &was) || quantity_cmp(now, was) <= 0) {
        return 0;
    }
    if (!str_is(val_text(val_path(a->old, "status.phase")), "Bound")) {
        return failure_forbidden(failure, a->arena, a->resource, a->name,
                                 "Only bound persistent volume claims can be expanded");
    }
    if (!str_eq(class_of(a->object), class_of(a->old)) || !may_grow(a, class_of(a->object))) {
        return failure_forbidden(failure, a->arena, a->resource, a->name,
                                 "only dynamically provisioned pvc can be resized and the "
                                 "storageclass that provisions the pvc must support resize");
    }
    return 0;
}

const struct admission_step admission_claim_resize = {"PersistentVolumeClaimResize", NULL, NULL,
                                                      validate};

/* One volume: its phase, and what becomes of it when its claim is gone. */
#include "client/recorder.h"
#include "controllers/storage/binder_int.h"

static void set_phase(struct pass *pass, struct binder *binder, struct val *volume,
                      const char *phase)
{
    struct val *status = val_make_object(pass->arena, volume, STR("status"));
    if (!str_is(val_text(val_get(status, "phase")), phase)) {
        val_set_text(pass->arena, status, STR("phase"), str_of(phase));
        pass_update(pass, binder->volume_resource, "status", volume, NULL, NULL);
    }
}

/* The claim is gone for good: the volume is released, and deleted when that is its policy and we
 * made it. Its folder goes with it: the node's agent removes folders of volumes that are no more.
 */
static void release(struct pass *pass, struct binder *binder, struct object *object,
                    struct val *volume)
{
    struct str policy = val_text(val_path(volume, "spec.persistentVolumeReclaimPolicy"));
    set_phase(pass, binder, volume, "Released");
    if (str_is(policy, "Delete") &&
        str_is(annotation_get(volume, ANNOTATION_PROVISIONED_BY), LOCAL_PROVISIONER) &&
        !object->deleting) {
        pass_delete(pass, object, NULL, -1, NULL, NULL);
    }
}

void binder_volume(void *ctx, struct pass *pass)
{
    struct binder *binder = ctx;
    struct object *object = informer_get(binder->volumes, STR_NONE, pass->name);
    if (object == NULL) {
        return;
    }
    struct val *volume = object_decode(pass_hold(pass, object), pass->arena);
    const struct val *ref = val_path(volume, "spec.claimRef");
    struct str uid = val_text(val_get(ref, "uid"));
    if (val_absent(ref) || uid.n == 0) {
        set_phase(pass, binder, volume, "Available");
        return;
    }
    struct str ns = val_text(val_get(ref, "namespace")), name = val_text(val_get(ref, "name"));
    struct object *claim = informer_get(binder->claims, ns, name);
    if (claim == NULL || !str_eq(claim->uid, uid)) {
        release(pass, binder, object, volume);
        return;
    }
    const struct val *value = object_decode(pass_hold(pass, claim), pass->arena);
    if (str_eq(val_text(val_path(value, "spec.volumeName")), object->name)) {
        set_phase(pass, binder, volume, "Bound");
        return;
    }
    if (val_text(val_path(value, "spec.volumeName")).n == 0) {
        worker_add(binder->claim_worker, claim); /* it goes on with the binding */
        return;
    }
    /* the claim was bound to another volume meanwhile */
    if (str_is(annotation_get(volume, ANNOTATION_PROVISIONED_BY), LOCAL_PROVISIONER)) {
        release(pass, binder, object, volume);
    } else if (annotation_get(volume, ANNOTATION_BOUND_BY).n > 0) {
        val_unset(val_get(volume, "spec"), STR("claimRef"));
        val_unset(val_path(volume, "metadata.annotations"), STR(ANNOTATION_BOUND_BY));
        pass_update(pass, binder->volume_resource, "", volume, NULL, NULL);
    }
}

/* The PersistentVolume binder: claims get volumes, volumes know what they are bound to.
 *
 * Two queues, one of claims and one of volumes; each pass looks at one object and what it is bound
 * to (binder_claim.c, binder_volume.c). Who is woken: a claim by itself, by a volume that names it
 * or that it names, and, while it has none, by any volume or class that changed.
 *
 * Left to others: choosing the node (scheduler, which sets volume.kubernetes.io/selected-node), the
 * folders (the node's agent), protection of what is in use (volume_protection.c).
 */
#include <stdlib.h>

#include "base/mem.h"
#include "client/recorder.h"
#include "controllers/storage/binder_int.h"
#include "controllers/table_int.h"

enum { PARALLEL = 4 };

static bool wake_unbound(void *ctx, struct object *claim)
{
    struct binder *binder = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    if (!claim->deleting && !claim_is_bound(object_decode(claim, &arena))) {
        worker_add(binder->claim_worker, claim);
    }
    return true;
}

static void wake_all_unbound(struct binder *binder)
{
    informer_each(binder->claims, STR_NONE, NULL, wake_unbound, binder);
}

static void on_claim(void *ctx, struct object *old, struct object *now)
{
    struct binder *binder = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct object *claim = now != NULL ? now : old;
    struct str volume = val_text(val_path(object_decode(claim, &arena), "spec.volumeName"));
    if (now != NULL) {
        worker_add(binder->claim_worker, now);
    }
    if (volume.n > 0) {
        worker_add_name(binder->volume_worker, STR_NONE, volume);
    }
}

static void on_volume(void *ctx, struct object *old, struct object *now)
{
    struct binder *binder = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct val *value = object_decode(now != NULL ? now : old, &arena);
    const struct val *ref = val_path(value, "spec.claimRef");
    if (now != NULL) {
        worker_add(binder->volume_worker, now);
    }
    if (!val_absent(ref)) {
        worker_add_name(binder->claim_worker, val_text(val_get(ref, "namespace")),
                        val_text(val_get(ref, "name")));
    } else {
        wake_all_unbound(binder);
    }
}

static void on_class(void *ctx, struct object *old, struct object *now)
{
    struct binder *binder = ctx;
    if (now != NULL) {
        wake_all_unbound(binder);
    }
}

static void *start(struct controller_env *env)
{
    struct binder *binder = mem_new(struct binder);
    binder->claim_resource = controller_resource("", "v1", "persistentvolumeclaims");
    binder->volume_resource = controller_resource("", "v1", "persistentvolumes");
    binder->claims = informers_get(env->informers, binder->claim_resource);
    binder->volumes = informers_get(env->informers, binder->volume_resource);
    binder->classes = informers_get(env->informers,
                                    controller_resource("storage.k8s.io", "v1", "storageclasses"));
    binder->nodes = informers_get(env->informers, controller_resource("", "v1", "nodes"));
    binder->recorder = recorder_new(env->client, "persistentvolume-controller", "");
    binder->claim_worker =
        worker_new(env, "persistent-volume-binder", PARALLEL, binder_claim, binder);
    binder->volume_worker =
        worker_new(env, "persistent-volume-binder-volumes", PARALLEL, binder_volume, binder);
    informer_handle(binder->claims, (struct informer_handler){on_claim, binder});
    informer_handle(binder->volumes, (struct informer_handler){on_volume, binder});
    informer_handle(binder->classes, (struct informer_handler){on_class, binder});
    return binder;
}

static void stop(void *state)
{
    struct binder *binder = state;
    informer_unhandle(binder->claims, binder);
    informer_unhandle(binder->volumes, binder);
    informer_unhandle(binder->classes, binder);
    worker_free(binder->claim_worker);
    worker_free(binder->volume_worker);
    recorder_free(binder->recorder);
    free(binder);
}

const struct controller controller_persistent_volume_binder = {
    .name = "persistent-volume-binder", .start = start, .stop = stop};

/* The ephemeral volume controller: claims for `ephemeral` volumes of pods (KEP-1698).
 *
 * Each such volume gets a claim POD-VOLUME from its template, owned by the pod, so that it goes
 * with it. A claim of that name that belongs to somebody else is left alone, and the pod is told.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "client/owners.h"
#include "client/recorder.h"
#include "controllers/children.h"
#include "controllers/table_int.h"

enum { PARALLEL = 4 };

struct ephemerals {
    struct worker *worker;
    struct informer *pods, *claims;
    const struct api_resource *claim_resource;
    struct recorder *recorder;
};
struct making {
    struct ephemerals *all;
    struct object *pod;
    struct str volume;
};

static bool has_ephemeral(const struct object *pod)
{
    return memmem(pod->json, pod->n, "\"volumeClaimTemplate\"", 21) != NULL;
}

static void on_claim_made(struct pass *pass, void *arg, const struct client_result *result)
{
    const struct making *making = arg;
    if (result->code != 0 && result->code != ERR_EXISTS) {
        recorder_event(making->all->recorder, making->pod, "Warning", "FailedBinding",
                       "ephemeral volume %.*s: create PVC: %s", STR_ARG(making->volume),
                       result->error.message);
        pass_retry(pass);
    }
}

static void make_claim(struct pass *pass, struct ephemerals *all, struct object *pod,
                       const struct val *volume, struct str name)
{
    struct arena *arena = pass->arena;
    const struct val *template = val_path(volume, "ephemeral.volumeClaimTemplate");
    struct val *claim = val_new(arena, VAL_OBJECT);
    struct val *meta = val_set(claim, STR("metadata"), val_new(arena, VAL_OBJECT));
    static const char *const copied[] = {"labels", "annotations"};
    for (size_t i = 0; i < 2; i++) {
        const struct val *from = val_get_str(val_get(template, "metadata"), str_of(copied[i]));
        if (val_count(from) > 0) {
            val_set(meta, str_of(copied[i]), val_copy(arena, from));
        }
    }
    val_set_text(arena, meta, STR("name"), name);
    val_append(val_make_array(arena, meta, STR("ownerReferences")),
               owner_reference_new(arena, pod));
    val_set(claim, STR("spec"), val_copy(arena, val_get(template, "spec")));
    struct making *making = arena_new(arena, struct making);
    *making = (struct making){all, pod, val_text(val_get(volume, "name"))};
    pass_create(pass, all->claim_resource, pass->ns, claim, on_claim_made, making);
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct ephemerals *all = ctx;
    struct object *pod = informer_get(all->pods, pass->ns, pass->name);
    if (pod == NULL || pod->deleting) {
        return;
    }
    pass_hold(pass, pod);
    VAL_EACH (volume, val_path(object_decode(pod, pass->arena), "spec.volumes")) {
        if (val_absent(val_get(volume, "ephemeral"))) {
            continue;
        }
        struct str name = str_of(arena_printf(pass->arena, "%.*s-%.*s", STR_ARG(pod->name),
                                              STR_ARG(val_text(val_get(volume, "name")))));
        struct object *claim = informer_get(all->claims, pass->ns, name);
        struct owner owner;
        if (claim == NULL) {
            make_claim(pass, all, pod, volume, name);
        } else if (!controller_of(pass->arena, claim, &owner) || !str_eq(owner.uid, pod->uid)) {
            recorder_event(all->recorder, pod, "Warning", "FailedBinding",
                           "PVC %.*s was not created for the pod (the pod is not owner)",
                           STR_ARG(name));
        }
    }
}

static void on_pod(void *ctx, struct object *old, struct object *now)
{
    struct ephemerals *all = ctx;
    if (old == NULL && has_ephemeral(now)) {
        worker_add(all->worker, now);
    }
}

static void on_claim(void *ctx, struct object *old, struct object *now)
{
    struct ephemerals *all = ctx;
    struct object *pod = now == NULL ? controller_object_of(all->pods, "Pod", old) : NULL;
    if (pod != NULL) {
        worker_add(all->worker, pod);
    }
}

static void *start(struct controller_env *env)
{
    struct ephemerals *all = mem_new(struct ephemerals);
    all->claim_resource = controller_resource("", "v1", "persistentvolumeclaims");
    all->pods = informers_get(env->informers, controller_resource("", "v1", "pods"));
    all->claims = informers_get(env->informers, all->claim_resource);
    all->recorder = recorder_new(env->client, "ephemeral_volume", "");
    all->worker = worker_new(env, "ephemeral-volume-controller", PARALLEL, reconcile, all);
    informer_handle(all->pods, (struct informer_handler){on_pod, all});
    informer_handle(all->claims, (struct informer_handler){on_claim, all});
    return all;
}

static void stop(void *state)
{
    struct ephemerals *all = state;
    informer_unhandle(all->pods, all);
    informer_unhandle(all->claims, all);
    worker_free(all->worker);
    recorder_free(all->recorder);
    free(all);
}

const struct controller controller_ephemeral_volume = {
    .name = "ephemeral-volume-controller", .start = start, .stop = stop};

/* protection.c: claims, volumes and classes of volume attributes that are in use do not go: each
 * has a finalizer (put on by admission, or here when it lacks one) that is taken off when it is
 * being deleted and nothing uses it. Three controllers of one shape. A claim that is bound also
 * says whether any pod refers to it (condition Unused).
 *
 * That nothing uses a claim is asked of the server's newest pods, not of an informer: a pod that
 * was bound to its node a moment ago must count.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "controllers/finalizers.h"
#include "controllers/pass.h"
#include "controllers/table_int.h"

enum { PARALLEL = 4 };

struct protection {
    struct worker *worker;
    const struct api_resource *resource;
    struct informer *objects, *users, *more_users; /* the latter may be NULL */
    const char *finalizer;
    /* Takes the finalizer off, now or later in the pass, when nothing uses the object. */
    void (*release)(struct protection *protection, struct pass *pass, struct object *object);
    /* What else a living object needs; may be NULL. */
    void (*tend)(struct protection *protection, struct pass *pass, struct object *object);
};

static void reconcile(void *ctx, struct pass *pass)
{
    struct protection *protection = ctx;
    struct object *object = informer_get(protection->objects, pass->ns, pass->name);
    if (object == NULL) {
        return;
    }
    pass_hold(pass, object);
    bool has = finalizer_has(object, protection->finalizer);
    if (object->deleting) {
        if (has) {
            protection->release(protection, pass, object);
        }
        return;
    }
    if (!has) {
        struct val *value = object_decode(object, pass->arena);
        struct val *meta = val_make_object(pass->arena, value, STR("metadata"));
        val_append(val_make_array(pass->arena, meta, STR("finalizers")),
                   val_new_text(pass->arena, str_of(protection->finalizer)));
        pass_update(pass, protection->resource, "", value, NULL, NULL);
        return;
    }
    if (protection->tend != NULL) {
        protection->tend(protection, pass, object);
    }
}

static void on_object(void *ctx, struct object *old, struct object *now)
{
    if (now != NULL) {
        worker_add(((struct protection *)ctx)->worker, now);
    }
}

static void stop(void *state)
{
    struct protection *protection = state;
    informer_unhandle(protection->objects, protection);
    if (protection->users != NULL) {
        informer_unhandle(protection->users, protection);
    }
    if (protection->more_users != NULL) {
        informer_unhandle(protection->more_users, protection);
    }
    worker_free(protection->worker);
    free(protection);
}

static struct protection *protection_new(struct controller_env *env, const char *controller,
                                         const char *group, const char *plural,
                                         const char *finalizer)
{
    struct protection *protection = mem_new(struct protection);
    protection->finalizer = finalizer;
    protection->resource = controller_resource(group, "v1", plural);
    protection->worker = worker_new(env, controller, PARALLEL, reconcile, protection);
    protection->objects = informers_get(env->informers, protection->resource);
    informer_handle(protection->objects, (struct informer_handler){on_object, protection});
    return protection;
}

/* ---- claims, by pods ---- */

/* Calls fn with the name of each claim that the pod refers to. */
static void each_claim(const struct val *pod, struct arena *arena,
                       void (*fn)(void *ctx, struct str claim), void *ctx)
{
    struct str name = val_name(pod);
    VAL_EACH (volume, val_path(pod, "spec.volumes")) {
        struct str claim = val_text(val_path(volume, "persistentVolumeClaim.claimName"));
        if (claim.n > 0) {
            fn(ctx, claim);
        } else if (val_get(volume, "ephemeral") != NULL) {
            struct str of = val_text(val_get(volume, "name"));
            fn(ctx, str_of(arena_printf(arena, "%.*s-%.*s", STR_ARG(name), STR_ARG(of))));
        }
    }
}

struct use {
    struct str claim;
    bool bound_only, used;
    struct arena *arena;
};

static void compare(void *ctx, struct str claim)
{
    struct use *use = ctx;
    use->used = use->used || str_eq(claim, use->claim);
}

static void look_at(struct use *use, const struct object *object)
{
    const struct val *pod = object_decode(object, use->arena);
    struct str phase = val_text(val_path(pod, "status.phase"));
    bool finished = str_is(phase, "Succeeded") || str_is(phase, "Failed");
    if (use->bound_only ? val_text(val_path(pod, "spec.nodeName")).n > 0 : !finished) {
        each_claim(pod, use->arena, compare, use);
    }
}

struct release {
    struct protection *protection;
    struct object *claim;
    struct pass_listing *pods;
};

static void release_unused(struct pass *pass, void *arg)
{
    struct release *release = arg;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct use use = {.claim = release->claim->name, .bound_only = true, .arena = &arena};
    for (size_t i = 0; i < release->pods->count && !use.used; i++) {
        arena_reset(&arena);
        look_at(&use, release->pods->objects[i]);
    }
    if (!use.used) {
        finalizer_remove(pass, release->claim, release->protection->finalizer);
    }
}

static void release_claim(struct protection *protection, struct pass *pass, struct object *object)
{
    struct release *release = arena_new(pass->arena, struct release);
    *release = (struct release){protection, object,
                                pass_list(pass, informer_resource(protection->users), object->ns)};
    pass_then(pass, release_unused, release);
}

static bool visit_pod(void *ctx, struct object *pod)
{
    struct use *use = ctx;
    arena_reset(use->arena);
    look_at(use, pod);
    return !use->used;
}

/* The condition Unused of a bound claim follows the pods. */
static void tell_unused(struct protection *protection, struct pass *pass, struct object *object)
{
    struct arena scratch ARENA_CLEANUP = ARENA_INIT;
    struct arena *arena = pass->arena;
    struct use use = {.claim = object->name, .arena = &scratch};
    struct val *claim = object_decode(object, arena);
    if (!str_is(val_text(val_path(claim, "status.phase")), "Bound")) {
        return;
    }
    informer_each(protection->users, object->ns, NULL, visit_pod, &use);
    struct val *list =
        val_make_array(arena, val_make_object(arena, claim, STR("status")), STR("conditions"));
    struct val *condition = val_find(list, "type", STR("Unused"));
    struct str wanted = use.used ? STR("False") : STR("True");
    if (condition != NULL && str_eq(val_text(val_get(condition, "status")), wanted)) {
        return;
    }
    char time[TIME_TEXT_SIZE];
    struct str now = str_copy_in(arena, str_at(time, time_format(pass->now, time)));
    if (condition == NULL) {
        condition = val_append(list, val_new(arena, VAL_OBJECT));
        val_set_text(arena, condition, STR("type"), STR("Unused"));
    }
    val_set_text(arena, condition, STR("status"), wanted);
    val_set_text(arena, condition, STR("lastTransitionTime"), now);
    val_set_text(arena, condition, STR("reason"),
                 use.used ? STR("PodUsingPVC") : STR("NoPodsUsingPVC"));
    val_set_text(arena, condition, STR("message"),
                 use.used ? STR("A pod is currently referencing this PVC")
                          : STR("No pods are currently referencing this PVC"));
    pass_update(pass, protection->resource, "status", claim, NULL, NULL);
}

struct waking {
    struct protection *protection;
    struct str ns;
};

static void wake_claim(void *ctx, struct str claim)
{
    struct waking *waking = ctx;
    worker_add_name(waking->protection->worker, waking->ns, claim);
}

static bool found(void *ctx, struct object *object)
{
    *(bool *)ctx = true;
    return false;
}

/* Most namespaces have no claims: their pods are not looked into. */
static void on_pod(void *ctx, struct object *old, struct object *now)
{
    struct protection *protection = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct object *pod = now != NULL ? now : old;
    bool any = false;
    informer_each(protection->objects, pod->ns, NULL, found, &any);
    if (any) {
        struct waking waking = {protection, pod->ns};
        each_claim(object_decode(pod, &arena), &arena, wake_claim, &waking);
    }
}

static void *start_claims(struct controller_env *env)
{
    struct protection *protection =
        protection_new(env, "pvc-protection-controller", "", "persistentvolumeclaims",
                       "kubernetes.io/pvc-protection");
    protection->release = release_claim;
    protection->tend = tell_unused;
    protection->users = informers_get(env->informers, controller_resource("", "v1", "pods"));
    informer_handle(protection->users, (struct informer_handler){on_pod, protection});
    return protection;
}

/* ---- volumes, by being bound ---- */

static void release_volume(struct protection *protection, struct pass *pass, struct object *object)
{
    const struct val *volume = object_decode(object, pass->arena);
    if (!str_is(val_text(val_path(volume, "status.phase")), "Bound")) {
        finalizer_remove(pass, object, protection->finalizer);
    }
}

static void *start_volumes(struct controller_env *env)
{
    struct protection *protection = protection_new(
        env, "pv-protection-controller", "", "persistentvolumes", "kubernetes.io/pv-protection");
    protection->release = release_volume;
    return protection;
}

/* ---- classes, by claims and volumes ---- */

static bool names_class(void *ctx, struct object *object)
{
    static const char *const paths[] = {
        "spec.volumeAttributesClassName", "status.currentVolumeAttributesClassName",
        "status.modifyVolumeStatus.targetVolumeAttributesClassName"};
    struct use *use = ctx;
    arena_reset(use->arena);
    const struct val *value = object_decode(object, use->arena);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        use->used = use->used || str_eq(val_text(val_path(value, paths[i])), use->claim);
    }
    return !use->used;
}

static void release_class(struct protection *protection, struct pass *pass, struct object *object)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct use use = {.claim = object->name, .arena = &arena};
    informer_each(protection->users, STR_NONE, NULL, names_class, &use);
    informer_each(protection->more_users, STR_NONE, NULL, names_class, &use);
    if (!use.used) {
        finalizer_remove(pass, object, protection->finalizer);
    }
}

static bool wake_deleting(void *ctx, struct object *object)
{
    if (object->deleting) {
        worker_add(((struct protection *)ctx)->worker, object);
    }
    return true;
}

static void on_class_user(void *ctx, struct object *old, struct object *now)
{
    struct protection *protection = ctx;
    informer_each(protection->objects, STR_NONE, NULL, wake_deleting, protection);
}

static void *start_classes(struct controller_env *env)
{
    struct protection *protection =
        protection_new(env, "volumeattributesclass-protection-controller", "storage.k8s.io",
                       "volumeattributesclasses", "kubernetes.io/vac-protection");
    protection->release = release_class;
    protection->users =
        informers_get(env->informers, controller_resource("", "v1", "persistentvolumeclaims"));
    protection->more_users =
        informers_get(env->informers, controller_resource("", "v1", "persistentvolumes"));
    informer_handle(protection->users, (struct informer_handler){on_class_user, protection});
    informer_handle(protection->more_users, (struct informer_handler){on_class_user, protection});
    return protection;
}

const struct controller controller_claim_protection = {
    .name = "pvc-protection-controller", .start = start_claims, .stop = stop};
const struct controller controller_volume_protection = {
    .name = "pv-protection-controller", .start = start_volumes, .stop = stop};
const struct controller controller_class_protection = {
    .name = "volumeattributesclass-protection-controller", .start = start_classes, .stop = stop};

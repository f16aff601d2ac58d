/* One claim: finding its volume and binding the two.
 *
 * The binding is four writes, each of which finds the next one's state: claimRef on the volume, its
 * phase, volumeName and annotations on the claim, its phase. A crash in between leaves a volume
 * that names the claim, and the next pass goes on there. */
#include "api/node_fit.h"
#include "client/recorder.h"
#include "controllers/storage/binder_int.h"

void binder_tell(struct binder *binder, struct object *about, const char *type, const char *reason,
                 const char *text)
{
    recorder_event(binder->recorder, about, type, reason, "%s", text);
}

void binder_annotate(struct arena *arena, struct val *object, const char *key, const char *value)
{
    struct val *meta = val_make_object(arena, object, STR("metadata"));
    val_set_text(arena, val_make_object(arena, meta, STR("annotations")), str_of(key),
                 str_of(value));
}

struct val *binder_class(struct pass *pass, struct binder *binder, const struct val *claim)
{
    struct object *class = informer_get(binder->classes, STR_NONE, volume_class_of(claim));
    return class != NULL ? object_decode(pass_hold(pass, class), pass->arena) : NULL;
}

static bool has_annotation(const struct val *object, const char *key)
{
    return val_get_str(val_path(object, "metadata.annotations"), str_of(key)) != NULL;
}

/* ---- writing the binding ---- */

static void claim_status_bound(struct pass *pass, struct claiming *work)
{
    struct arena *arena = pass->arena;
    struct object *now = informer_get(work->binder->claims, pass->ns, pass->name);
    struct object *volume =
        informer_get(work->binder->volumes, STR_NONE, work->volume_object->name);
    if (now == NULL || volume == NULL || !str_eq(now->uid, work->object->uid)) {
        return;
    }
    struct val *claim = object_decode(pass_hold(pass, now), arena);
    const struct val *spec = val_get(object_decode(pass_hold(pass, volume), arena), "spec");
    struct val *status = val_make_object(arena, claim, STR("status"));
    const struct val *modes = val_get(spec, "accessModes"), *capacity = val_get(spec, "capacity");
    if (str_is(val_text(val_get(status, "phase")), "Bound") &&
        val_equal(val_get(status, "accessModes"), modes) && val_get(status, "capacity") != NULL) {
        return; /* the capacity is changed by expansion only */
    }
    val_set_text(arena, status, STR("phase"), STR("Bound"));
    val_set(status, STR("accessModes"), val_copy(arena, modes));
    if (capacity != NULL) {
        val_set(status, STR("capacity"), val_copy(arena, capacity));
    }
    pass_update(pass, work->binder->claim_resource, "status", claim, NULL, NULL);
}

static void bind_claim_side(struct pass *pass, void *arg)
{
    struct claiming *work = arg;
    struct arena *arena = pass->arena;
    struct object *now = informer_get(work->binder->claims, pass->ns, pass->name);
    if (now == NULL || !str_eq(now->uid, work->object->uid)) {
        return;
    }
    struct val *claim = object_decode(pass_hold(pass, now), arena);
    struct str name = work->volume_object->name;
    bool named = str_eq(val_text(val_path(claim, "spec.volumeName")), name);
    if (!named || !has_annotation(claim, ANNOTATION_BIND_COMPLETED)) {
        if (!named) {
            val_set_text(arena, val_make_object(arena, claim, STR("spec")), STR("volumeName"),
                         name);
            binder_annotate(arena, claim, ANNOTATION_BOUND_BY, "yes");
        }
        binder_annotate(arena, claim, ANNOTATION_BIND_COMPLETED, "yes");
        pass_update(pass, work->binder->claim_resource, "", claim, NULL, NULL);
        pass_then(pass, bind_claim_side, work);
        return;
    }
    claim_status_bound(pass, work);
}

static void volume_status_bound(struct pass *pass, void *arg)
{
    struct claiming *work = arg;
    struct object *now = informer_get(work->binder->volumes, STR_NONE, work->volume_object->name);
    if (now == NULL) {
        return;
    }
    struct val *volume = object_decode(pass_hold(pass, now), pass->arena);
    struct val *status = val_make_object(pass->arena, volume, STR("status"));
    if (!str_is(val_text(val_get(status, "phase")), "Bound")) {
        val_set_text(pass->arena, status, STR("phase"), STR("Bound"));
        val_unset(status, STR("reason"));
        val_unset(status, STR("message"));
        pass_update(pass, work->binder->volume_resource, "status", volume, NULL, NULL);
    }
    pass_then(pass, bind_claim_side, work);
}

void claim_bind(struct pass *pass, struct claiming *work, struct object *object)
{
    struct arena *arena = pass->arena;
    work->volume_object = pass_hold(pass, object);
    work->volume = object_decode(object, arena);
    struct val *spec = val_make_object(arena, work->volume, STR("spec"));
    const struct val *ref = val_get(spec, "claimRef");
    if (!str_eq(val_text(val_get(ref, "uid")), work->object->uid)) {
        if (val_absent(ref)) {
            binder_annotate(arena, work->volume, ANNOTATION_BOUND_BY, "yes");
        }
        struct val *made = val_set(spec, STR("claimRef"), val_new(arena, VAL_OBJECT));
        val_set_text(arena, made, STR("kind"), STR("PersistentVolumeClaim"));
        val_set_text(arena, made, STR("namespace"), pass->ns);
        val_set_text(arena, made, STR("name"), pass->name);
        val_set_text(arena, made, STR("uid"), work->object->uid);
        val_set_text(arena, made, STR("apiVersion"), STR("v1"));
        val_set_text(
            arena, made, STR("resourceVersion"),
            str_of(arena_printf(arena, "%llu", (unsigned long long)work->object->revision)));
        pass_update(pass, work->binder->volume_resource, "", work->volume, NULL, NULL);
    }
    pass_then(pass, volume_status_bound, work);
}

/* ---- phases ---- */

static void set_phase(struct pass *pass, struct claiming *work, const char *phase)
{
    struct val *status = val_make_object(pass->arena, work->claim, STR("status"));
    if (!str_is(val_text(val_get(status, "phase")), phase)) {
        val_set_text(pass->arena, status, STR("phase"), str_of(phase));
        pass_update(pass, work->binder->claim_resource, "status", work->claim, NULL, NULL);
    }
}

void claim_pending(struct pass *pass, struct claiming *work)
{
    set_phase(pass, work, "Pending");
}

static void lose(struct pass *pass, struct claiming *work, const char *reason, const char *text)
{
    if (!str_is(val_text(val_path(work->claim, "status.phase")), "Lost")) {
        binder_tell(work->binder, work->object, "Warning", reason, text);
    }
    set_phase(pass, work, "Lost");
}

/* ---- finding a volume ---- */

struct candidates {
    struct pass *pass;
    const struct val **items;
    struct object **objects;
    size_t count;
    const struct val *node; /* that the scheduler chose; NULL: any */
};

static bool add_candidate(void *ctx, struct object *object)
{
    struct candidates *all = ctx;
    all->objects[all->count] = pass_hold(all->pass, object);
    all->items[all->count++] = object_decode(object, all->pass->arena);
    return true;
}

static bool is_on_node(void *ctx, const struct val *volume)
{
    const struct candidates *all = ctx;
    return all->node == NULL || volume_node_allows(volume, all->node);
}

static struct object *find_volume(struct pass *pass, struct claiming *work)
{
    struct binder *binder = work->binder;
    struct str chosen = annotation_get(work->claim, ANNOTATION_SELECTED_NODE);
    struct object *node = chosen.n > 0 ? informer_get(binder->nodes, STR_NONE, chosen) : NULL;
    size_t most = informer_count(binder->volumes);
    struct candidates all = {.pass = pass,
                             .items = arena_array(pass->arena, const struct val *, most + 1),
                             .objects = arena_array(pass->arena, struct object *, most + 1)};
    all.node = node != NULL ? object_decode(pass_hold(pass, node), pass->arena) : NULL;
    informer_each(binder->volumes, STR_NONE, NULL, add_candidate, &all);
    pass_cost(pass, all.count);
    const struct val *best =
        volume_choose(pass->arena, all.items, all.count, work->claim, is_on_node, &all);
    for (size_t i = 0; i < all.count; i++) {
        if (all.items[i] == best) {
            return all.objects[i];
        }
    }
    return NULL;
}

static bool waits_for_consumer(const struct val *class, const struct val *claim)
{
    return str_is(val_text(val_get(class, "volumeBindingMode")), "WaitForFirstConsumer") &&
           !has_annotation(claim, ANNOTATION_SELECTED_NODE);
}

static bool is_meant(struct pass *pass, const struct claiming *work, const struct object *volume)
{
    return volume != NULL && volume_is_for(object_decode(volume, pass->arena), work->claim);
}

static void seek_volume(struct pass *pass, struct claiming *work)
{
    struct binder *binder = work->binder;
    const struct val *class = binder_class(pass, binder, work->claim);
    bool waits = waits_for_consumer(class, work->claim);
    struct object *volume = find_volume(pass, work);
    if (volume != NULL && (!waits || is_meant(pass, work, volume))) {
        claim_bind(pass, work, volume);
    } else if (waits) {
        binder_tell(binder, work->object, "Normal", "WaitForFirstConsumer",
                    "waiting for first consumer to be created before binding");
        claim_pending(pass, work);
    } else if (volume_class_of(work->claim).n > 0) {
        claim_provision(pass, work, class);
    } else {
        binder_tell(binder, work->object, "Normal", "FailedBinding",
                    "no persistent volumes available for this claim and no storage class is set");
        claim_pending(pass, work);
    }
}

/* The claim names its volume itself. */
static void take_named(struct pass *pass, struct claiming *work, struct str name)
{
    struct binder *binder = work->binder;
    struct object *object = informer_get(binder->volumes, STR_NONE, name);
    const struct val *volume = object != NULL ? object_decode(object, pass->arena) : NULL;
    const char *why;
    if (object == NULL) {
        claim_pending(pass, work);
    } else if (val_absent(val_path(volume, "spec.claimRef")) &&
               !volume_satisfies(pass->arena, volume, work->claim, &why)) {
        binder_tell(binder, work->object, "Warning", "VolumeMismatch",
                    arena_printf(pass->arena, "Cannot bind to requested volume \"%.*s\": %s",
                                 STR_ARG(name), why));
        claim_pending(pass, work);
    } else if (val_absent(val_path(volume, "spec.claimRef")) ||
               volume_is_for(volume, work->claim)) {
        claim_bind(pass, work, object);
    } else {
        binder_tell(binder, work->object, "Warning", "FailedBinding",
                    arena_printf(pass->arena, "volume \"%.*s\" already bound to a different claim.",
                                 STR_ARG(name)));
        claim_pending(pass, work);
    }
}

static void check_bound(struct pass *pass, struct claiming *work, struct str name)
{
    struct object *object = informer_get(work->binder->volumes, STR_NONE, name);
    const struct val *volume = object != NULL ? object_decode(object, pass->arena) : NULL;
    if (object == NULL) {
        lose(pass, work, "ClaimLost",
             "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
    } else if (val_absent(val_path(volume, "spec.claimRef")) ||
               volume_is_for(volume, work->claim)) {
        claim_bind(pass, work, object);
        claim_expand(pass, work);
    } else {
        lose(pass, work, "ClaimMisbound",
             "Two claims are bound to the same volume, this one is bound incorrectly");
    }
}

void binder_claim(void *ctx, struct pass *pass)
{
    struct binder *binder = ctx;
    struct object *object = informer_get(binder->claims, pass->ns, pass->name);
    if (object == NULL || object->deleting) {
        return;
    }
    struct claiming *work = arena_new(pass->arena, struct claiming);
    *work = (struct claiming){.binder = binder, .object = pass_hold(pass, object)};
    work->claim = object_decode(object, pass->arena);
    struct str name = val_text(val_path(work->claim, "spec.volumeName"));
    if (has_annotation(work->claim, ANNOTATION_BIND_COMPLETED)) {
        check_bound(pass, work, name);
    } else if (name.n > 0) {
        take_named(pass, work, name);
    } else {
        seek_volume(pass, work);
    }
}

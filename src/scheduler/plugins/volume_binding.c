/* volume_binding.c: VolumeBinding and VolumeRestrictions: claims must be there; bound ones keep the
 * pod to the nodes of their volume; those that wait for their first consumer need a free volume of
 * the node, or a class that makes one; a ReadWriteOncePod claim has one pod. */
#include "api/volume_binding.h"
#include "scheduler/plugins/plugins.h"
#include "scheduler/volumes.h"

struct place { /* where one volume can be used */
    struct node_term *terms;
    uint32_t count;
    bool anywhere;
};
struct waiting {          /* one claim without a volume */
    bool can_be_made;     /* by its class, on any node */
    struct str chosen;    /* the node that was chosen for it earlier */
    struct place *places; /* of volumes that suit it */
    size_t place_count;
};
struct volume_state {
    struct place *bound;
    size_t bound_count;
    struct waiting *waiting;
    size_t waiting_count;
    bool volume_missing; /* a claim is bound to a volume that is gone */
};

static struct place place_of(struct arena *arena, const struct val *volume)
{
    const struct val *required = val_path(volume, "spec.nodeAffinity.required");
    const struct val *terms = val_get(required, "nodeSelectorTerms");
    struct place place = {.anywhere = val_absent(required)};
    place.terms = arena_array(arena, struct node_term, val_count(terms) + 1);
    VAL_EACH (it, terms) {
        place.terms[place.count++].match = requirements_from_term(arena, it);
    }
    return place;
}

static bool place_allows(const struct place *place, const struct node *node)
{
    for (uint32_t i = 0; i < place->count; i++) {
        if (requirements_match(&place->terms[i].match, &node->labels, node->name)) {
            return true;
        }
    }
    return place->anywhere;
}

/* All free volumes that suit the claim: which of them it gets is the binder's to say. */
static void find_places(struct cycle *cycle, const struct val *claim, struct waiting *waiting)
{
    const struct volumes *volumes = &cycle->cluster->volumes;
    const char *why;
    waiting->places = arena_array(cycle->arena, struct place, volumes->volumes.count + 1);
    MAP_EACH (it, &volumes->volumes) {
        const struct val *volume = object_decode(it->value, cycle->arena);
        if ((val_absent(val_path(volume, "spec.claimRef")) || volume_is_for(volume, claim)) &&
            val_absent(val_path(volume, "metadata.deletionTimestamp")) &&
            volume_satisfies(cycle->arena, volume, claim, &why)) {
            waiting->places[waiting->place_count++] = place_of(cycle->arena, volume);
        }
    }
}

static void add_waiting(struct cycle *cycle, struct volume_state *state, const struct val *claim)
{
    const struct volumes *volumes = &cycle->cluster->volumes;
    struct waiting *waiting = &state->waiting[state->waiting_count++];
    const struct val *class = volumes_find(&volumes->classes, cycle->arena, volume_class_of(claim));
    struct str provisioner = val_text(val_get(class, "provisioner"));
    waiting->can_be_made = provisioner.n > 0 && !str_is(provisioner, NO_PROVISIONER);
    waiting->chosen = annotation_get(claim, ANNOTATION_SELECTED_NODE);
    find_places(cycle, claim, waiting);
}

static void add_bound(struct cycle *cycle, struct volume_state *state, const struct val *claim)
{
    struct str name = val_text(val_path(claim, "spec.volumeName"));
    const struct val *volume = volumes_find(&cycle->cluster->volumes.volumes, cycle->arena, name);
    if (volume == NULL) {
        state->volume_missing = true;
    } else {
        state->bound[state->bound_count++] = place_of(cycle->arena, volume);
    }
}

static bool has_mode(const struct val *claim, const char *mode)
{
    VAL_EACH (it, val_path(claim, "spec.accessModes")) {
        if (str_is(val_text(it), mode)) {
            return true;
        }
    }
    return false;
}

/* Another pod on any node uses the claim. */
static bool is_in_use(const struct cycle *cycle, struct str claim)
{
    const struct cluster *cluster = cycle->cluster;
    for (size_t i = 0; i < cluster->node_cap; i++) {
        if (cluster->nodes[i] == NULL) {
            continue;
        }
        VEC_EACH (it, &cluster->nodes[i]->pods) {
            const struct shape *shape = (*it)->shape;
            for (uint32_t j = 0; j < shape->claim_count; j++) {
                if (str_eq(shape->claims[j], claim) && str_eq(shape->ns, cycle->shape->ns)) {
                    return true;
                }
            }
        }
    }
    return false;
}

static const char *refusal(struct cycle *cycle, enum claim_state state, const struct val *claim,
                           struct str name)
{
    switch (state) {
    case CLAIM_MISSING:
        return arena_printf(cycle->arena, "persistentvolumeclaim \"%.*s\" not found",
                            STR_ARG(name));
    case CLAIM_LEAVING:
        return arena_printf(cycle->arena, "persistentvolumeclaim \"%.*s\" is being deleted",
                            STR_ARG(name));
    case CLAIM_LOST:
        return arena_printf(cycle->arena,
                            "persistentvolumeclaim \"%.*s\" bound to non-existent "
                            "persistentvolume \"%.*s\"",
                            STR_ARG(name), STR_ARG(val_text(val_path(claim, "spec.volumeName"))));
    case CLAIM_IMMEDIATE:
        return "pod has unbound immediate PersistentVolumeClaims";
    default:
        break;
    }
    return has_mode(claim, "ReadWriteOncePod") && is_in_use(cycle, name)
               ? "node has pod using PersistentVolumeClaim with the same name and "
                 "ReadWriteOncePod access mode"
               : NULL;
}

static int prepare(struct cycle *cycle, void **ret_state)
{
    size_t count = volumes_claim_count(cycle->shape);
    if (count == 0) {
        return PLUGIN_NOTHING;
    }
    struct volume_state *state = arena_new(cycle->arena, struct volume_state);
    state->bound = arena_array(cycle->arena, struct place, count);
    state->waiting = arena_array(cycle->arena, struct waiting, count);
    for (size_t i = 0; i < count; i++) {
        struct str name;
        const struct val *claim =
            volumes_claim(&cycle->cluster->volumes, cycle->arena, cycle->pod, i, &name);
        enum claim_state is = volumes_claim_state(&cycle->cluster->volumes, cycle->arena, claim);
        cycle->refusal = refusal(cycle, is, claim, name);
        if (cycle->refusal != NULL) {
            return PLUGIN_REFUSES;
        }
        if (is == CLAIM_BOUND) {
            add_bound(cycle, state, claim);
        } else {
            add_waiting(cycle, state, claim);
        }
    }
    *ret_state = state;
    return PLUGIN_FILTERS | PLUGIN_GLOBAL;
}

static bool waiting_fits(const struct waiting *waiting, const struct node *node)
{
    if (waiting->chosen.n > 0) {
        return str_eq(waiting->chosen, node->name);
    }
    bool fits = waiting->can_be_made;
    for (size_t i = 0; i < waiting->place_count && !fits; i++) {
        fits = place_allows(&waiting->places[i], node);
    }
    return fits;
}

static bool bound_fits(const struct volume_state *state, const struct node *node)
{
    for (size_t i = 0; i < state->bound_count; i++) {
        if (!place_allows(&state->bound[i], node)) {
            return false;
        }
    }
    return true;
}

static bool filter(const struct cycle *cycle, void *ctx, const struct node *node)
{
    const struct volume_state *state = ctx;
    bool fits = !state->volume_missing && bound_fits(state, node);
    for (size_t i = 0; i < state->waiting_count && fits; i++) {
        fits = waiting_fits(&state->waiting[i], node);
    }
    return fits;
}

static void explain(const struct cycle *cycle, void *ctx, const struct node *node,
                    struct reasons *reasons)
{
    const struct volume_state *state = ctx;
    if (state->volume_missing) {
        reason_add(reasons, true,
                   "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)");
    } else if (!bound_fits(state, node)) {
        reason_add(reasons, true, "node(s) didn't match PersistentVolume's node affinity");
    } else {
        reason_add(reasons, true, "node(s) didn't find available persistent volumes to bind");
    }
}

const struct plugin plugin_volume_binding = {
    .name = "VolumeBinding",
    .events = EVENT_NODE | EVENT_OTHER,
    .prepare = prepare,
    .change = "give the claim a volume that can be used on the node",
    .filter = filter,
    .explain = explain};

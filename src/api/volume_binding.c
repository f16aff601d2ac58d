/* Which PersistentVolume suits which claim (volume_binding.h). */
#include "api/volume_binding.h"

#include "api/quantity.h"
#include "api/selector.h"

struct str annotation_get(const struct val *object, const char *key)
{
    return val_text(val_get_str(val_path(object, "metadata.annotations"), str_of(key)));
}

struct str volume_class_of(const struct val *object)
{
    const struct val *annotations = val_path(object, "metadata.annotations");
    const struct val *old =
        val_get_str(annotations, STR("volume.beta.kubernetes.io/storage-class"));
    return old != NULL ? val_text(old) : val_text(val_path(object, "spec.storageClassName"));
}

bool claim_is_bound(const struct val *claim)
{
    return val_text(val_path(claim, "spec.volumeName")).n > 0 &&
           val_get_str(val_path(claim, "metadata.annotations"), STR(ANNOTATION_BIND_COMPLETED)) !=
               NULL;
}

bool volume_is_for(const struct val *volume, const struct val *claim)
{
    const struct val *ref = val_path(volume, "spec.claimRef");
    struct str uid = val_text(val_get(ref, "uid"));
    return !val_absent(ref) && str_eq(val_text(val_get(ref, "name")), val_name(claim)) &&
           str_eq(val_text(val_get(ref, "namespace")), val_namespace(claim)) &&
           (uid.n == 0 || str_eq(uid, val_uid(claim)));
}

static struct str mode_of(const struct val *object)
{
    struct str mode = val_text(val_path(object, "spec.volumeMode"));
    return mode.n > 0 ? mode : STR("Filesystem");
}

static bool has_modes(const struct val *volume, const struct val *claim)
{
    const struct val *have = val_path(volume, "spec.accessModes");
    VAL_EACH (want, val_path(claim, "spec.accessModes")) {
        bool found = false;
        VAL_EACH (it, have) {
            found |= str_eq(val_text(it), val_text(want));
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static bool is_large_enough(const struct val *volume, const struct val *claim)
{
    struct quantity have, want;
    struct str asked = val_text(val_path(claim, "spec.resources.requests.storage"));
    if (asked.n == 0 || !quantity_parse(asked, &want)) {
        return true;
    }
    return quantity_parse(val_text(val_path(volume, "spec.capacity.storage")), &have) &&
           quantity_cmp(have, want) >= 0;
}

bool volume_satisfies(struct arena *arena, const struct val *volume, const struct val *claim,
                      const char **ret_why)
{
    struct selector selector;
    const struct val *wanted = val_path(claim, "spec.selector");
    *ret_why = NULL;
    if (!is_large_enough(volume, claim)) {
        *ret_why = "requested PV is too small";
    } else if (!str_eq(volume_class_of(volume), volume_class_of(claim))) {
        *ret_why = "storageClassName does not match";
    } else if (!str_eq(mode_of(volume), mode_of(claim))) {
        *ret_why = "incompatible volumeMode";
    } else if (!has_modes(volume, claim)) {
        *ret_why = "incompatible accessMode";
    } else if (!str_eq(val_text(val_path(volume, "spec.volumeAttributesClassName")),
                       val_text(val_path(claim, "spec.volumeAttributesClassName")))) {
        *ret_why = "volumeAttributesClassName does not match";
    } else if (!val_absent(wanted) &&
               (selector_from_val(arena, wanted, &selector, NULL) != 0 ||
                !selector_matches_val(&selector, val_path(volume, "metadata.labels")))) {
        *ret_why = "labels do not match the claim's selector";
    }
    return *ret_why == NULL;
}

static bool is_smaller(const struct val *a, const struct val *b)
{
    struct quantity one, two;
    return quantity_parse(val_text(val_path(a, "spec.capacity.storage")), &one) &&
           quantity_parse(val_text(val_path(b, "spec.capacity.storage")), &two) &&
           quantity_cmp(one, two) < 0;
}

const struct val *volume_choose(struct arena *arena, const struct val *const *volumes, size_t count,
                                const struct val *claim,
                                bool (*may_use)(void *ctx, const struct val *volume), void *ctx)
{
    const struct val *best = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct val *volume = volumes[i];
        const char *why;
        bool meant = volume_is_for(volume, claim);
        if ((!meant && !val_absent(val_path(volume, "spec.claimRef"))) ||
            !val_absent(val_path(volume, "metadata.deletionTimestamp")) ||
            !volume_satisfies(arena, volume, claim, &why) ||
            (may_use != NULL && !may_use(ctx, volume))) {
            continue;
        }
        if (meant) {
            return volume;
        }
        struct str phase = val_text(val_path(volume, "status.phase"));
        bool free = phase.n == 0 || str_is(phase, "Available") || str_is(phase, "Pending");
        if (free && (best == NULL || is_smaller(volume, best))) {
            best = volume;
        }
    }
    return best;
}

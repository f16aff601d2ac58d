/* The claims of a StatefulSet's members (spec.volumeClaimTemplates): one a template and member,
 * TEMPLATE-SET-ORDINAL, found again by a pod that comes back. They are never changed, but for the
 * owner references that make the garbage collector delete them (KEP-1847): of the set when
 * whenDeleted is Delete, of the condemned pod when whenScaled is Delete.
 */
#include "client/owners.h"
#include "client/recorder.h"
#include "controllers/apps/statefulset_int.h"

static const char *claim_name(struct arena *arena, const struct stateful *set,
                              const struct val *template, int64_t ordinal)
{
    return arena_printf(arena, "%.*s-%.*s-%lld", STR_ARG(val_name(template)),
                        STR_ARG(set->object->name), (long long)ordinal);
}

static bool policy_deletes(const struct stateful *set, const char *when)
{
    const struct val *policy = val_path(set->value, "spec.persistentVolumeClaimRetentionPolicy");
    return str_is(val_text(val_get_str(policy, str_of(when))), "Delete");
}

/* ---- making ---- */

struct making {
    struct stateful *set;
    const char *claim, *pod;
};

static void on_claim(struct pass *pass, void *arg, const struct client_result *result)
{
    struct making *making = arg;
    struct statefulsets *all = making->set->all;
    struct str set = making->set->object->name;
    if (result->code == 0) {
        recorder_event(all->recorder, making->set->object, "Normal", "SuccessfulCreate",
                       "create Claim %s Pod %s in StatefulSet %.*s success", making->claim,
                       making->pod, STR_ARG(set));
    } else if (result->code != ERR_EXISTS) {
        recorder_event(all->recorder, making->set->object, "Warning", "FailedCreate",
                       "create Claim %s for Pod %s in StatefulSet %.*s failed error: %s",
                       making->claim, making->pod, STR_ARG(set), result->error.message);
        pass_fail(pass); /* no pod without its claims */
    }
}

static struct val *claim_body(struct arena *arena, const struct stateful *set,
                              const struct val *template, const char *name)
{
    struct val *claim = val_copy(arena, template);
    struct val *meta = val_make_object(arena, claim, STR("metadata"));
    val_unset(claim, STR("status"));
    val_set_text(arena, meta, STR("name"), str_of(name));
    val_set_text(arena, meta, STR("namespace"), set->object->ns);
    const struct val *selector = val_path(set->value, "spec.selector.matchLabels");
    VAL_EACH (it, selector) {
        val_set_text(arena, val_make_object(arena, meta, STR("labels")), it->key, it->text);
    }
    if (policy_deletes(set, "whenDeleted")) {
        val_append(val_make_array(arena, meta, STR("ownerReferences")),
                   owner_reference_new(arena, set->object));
    }
    return claim;
}

bool claims_make(struct pass *pass, struct stateful *set, const struct member *member)
{
    VAL_EACH (template, val_path(set->value, "spec.volumeClaimTemplates")) {
        struct making *making = arena_new(pass->arena, struct making);
        *making = (struct making){set, claim_name(pass->arena, set, template, member->ordinal),
                                  member_name(pass->arena, set, member->ordinal)};
        struct object *claim = informer_get(set->all->claims, pass->ns, str_of(making->claim));
        if (claim == NULL) {
            pass_create(pass, set->all->claim_resource, pass->ns,
                        claim_body(pass->arena, set, template, making->claim), on_claim, making);
        } else if (claim->deleting) {
            recorder_event(set->all->recorder, set->object, "Warning", "FailedCreate",
                           "create Pod %s in StatefulSet %.*s failed error: pvc %s is being "
                           "deleted",
                           making->pod, STR_ARG(set->object->name), making->claim);
            pass_retry(pass);
            return false;
        }
    }
    return true;
}

void claims_mount(struct arena *arena, const struct stateful *set, int64_t ordinal, struct val *pod)
{
    const struct val *templates = val_path(set->value, "spec.volumeClaimTemplates");
    if (val_count(templates) == 0) {
        return;
    }
    struct val *spec = val_get(pod, "spec"), *old = val_get(spec, "volumes");
    struct val *volumes = val_new(arena, VAL_ARRAY);
    VAL_EACH (template, templates) {
        struct val *volume = val_append(volumes, val_new(arena, VAL_OBJECT));
        val_set_text(arena, volume, STR("name"), val_name(template));
        val_set_text(arena, val_make_object(arena, volume, STR("persistentVolumeClaim")),
                     STR("claimName"), str_of(claim_name(arena, set, template, ordinal)));
    }
    VAL_EACH (it, old) {
        if (val_find(volumes, "name", val_text(val_get(it, "name"))) == NULL) {
            val_append(volumes, val_copy(arena, it));
        }
    }
    val_set(spec, STR("volumes"), volumes);
}

/* ---- owners ---- */

/* Puts (or takes away) one owner in a strategic patch; `patch` is made when something is to be
 * done.
 */
static void want_owner(struct pass *pass, struct object *claim, struct object *owner,
                       const struct owner *have, bool wanted, struct val **patch)
{
    if ((have != NULL) == wanted) {
        return;
    }
    struct val *meta;
    if (*patch == NULL) {
        *patch = pass_patch_body(pass, claim, &meta);
    }
    meta = val_get(*patch, "metadata");
    struct val *list = val_make_array(pass->arena, meta, STR("ownerReferences"));
    if (wanted) {
        val_append(list, owner_reference_new(pass->arena, owner));
        return;
    }
    struct val *gone = val_append(list, val_new(pass->arena, VAL_OBJECT));
    val_set_text(pass->arena, gone, STR("$patch"), STR("delete"));
    val_set_text(pass->arena, gone, STR("uid"), have->uid);
}

static void own_claim(struct pass *pass, struct stateful *set, const struct member *member,
                      struct object *claim, bool condemned)
{
    const struct owner *of_set = NULL, *of_pod = NULL;
    struct owner *owners;
    size_t count = owners_of(pass->arena, claim, &owners);
    for (size_t i = 0; i < count; i++) {
        if (str_eq(owners[i].uid, set->object->uid)) {
            of_set = &owners[i];
        } else if (str_is(owners[i].kind, "Pod") &&
                   member_ordinal(set->object, owners[i].name) == member->ordinal) {
            of_pod = &owners[i];
        } else if (owners[i].controller) {
            return; /* another controller's: not ours to give away */
        }
    }
    bool by_pod = condemned && policy_deletes(set, "whenScaled");
    bool by_set = !by_pod && policy_deletes(set, "whenDeleted");
    struct val *patch = NULL;
    want_owner(pass, claim, set->object, of_set, by_set, &patch);
    if (by_pod && of_pod != NULL && !str_eq(of_pod->uid, member->pod.object->uid)) {
        want_owner(pass, claim, NULL, of_pod, false, &patch); /* an earlier pod of that name */
        of_pod = NULL;
    }
    want_owner(pass, claim, member->pod.object, of_pod, by_pod, &patch);
    if (patch != NULL) {
        pass_patch(pass, claim, CLIENT_PATCH_STRATEGIC, "", patch, NULL, NULL);
    }
}

void claims_own(struct pass *pass, struct stateful *set, const struct member *member,
                bool condemned)
{
    VAL_EACH (template, val_path(set->value, "spec.volumeClaimTemplates")) {
        const char *name = claim_name(pass->arena, set, template, member->ordinal);
        struct object *claim = informer_get(set->all->claims, pass->ns, str_of(name));
        if (claim != NULL && member->exists) {
            own_claim(pass, set, member, pass_hold(pass, claim), condemned);
        }
    }
}

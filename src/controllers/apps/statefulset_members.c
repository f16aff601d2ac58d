/* The members of a StatefulSet: pods with a stable name each, and what a new one looks like. */
#include "client/recorder.h"
#include "controllers/apps/statefulset_int.h"

#include <stdlib.h>

int64_t member_ordinal(const struct object *set, struct str pod_name)
{
    struct str tail, parent = str_cut_last(pod_name, '-', &tail);
    int64_t ordinal;
    bool digits = tail.n > 0 && tail.n <= 10;
    for (size_t i = 0; i < tail.n; i++) {
        digits = digits && tail.p[i] >= '0' && tail.p[i] <= '9';
    }
    return digits && str_eq(parent, set->name) && str_i64(tail, &ordinal) ? ordinal : -1;
}

bool stateful_is_member(const struct object *set, const struct object *pod)
{
    return member_ordinal(set, pod->name) >= 0;
}

const char *member_name(struct arena *arena, const struct stateful *set, int64_t ordinal)
{
    return arena_printf(arena, "%.*s-%lld", STR_ARG(set->object->name), (long long)ordinal);
}

void stateful_load_spec(struct stateful *set)
{
    const struct val *spec = val_get(set->value, "spec");
    const struct val *rolling = val_path(spec, "updateStrategy.rollingUpdate");
    set->replicas = val_int(val_get(spec, "replicas"), 1);
    set->start = val_int(val_path(spec, "ordinals.start"), 0);
    set->min_ready = val_int(val_get(spec, "minReadySeconds"), 0);
    set->parallel = str_is(val_text(val_get(spec, "podManagementPolicy")), "Parallel");
    set->on_delete = str_is(val_text(val_path(spec, "updateStrategy.type")), "OnDelete");
    set->partition = val_int(val_get(rolling, "partition"), 0);
    set->max_unavailable = pods_scaled(val_get(rolling, "maxUnavailable"), set->replicas, false, 1);
    set->max_unavailable = set->max_unavailable < 1 ? 1 : set->max_unavailable;
}

/* Which revision a member that is made now belongs to: while an update rolls, those that it has not
 * reached yet come back as they were. */
static struct str wanted_revision(const struct stateful *set, int64_t ordinal)
{
    bool rolling = val_path(set->value, "spec.updateStrategy.rollingUpdate") != NULL;
    int64_t old =
        rolling ? set->partition : val_int(val_path(set->value, "status.currentReplicas"), 0);
    return !set->on_delete && ordinal < set->start + old ? set->current->object->name
                                                         : set->update->object->name;
}

static int compare_condemned(const void *a, const void *b)
{
    const struct member *one = a, *two = b;
    return one->ordinal > two->ordinal ? -1 : one->ordinal < two->ordinal;
}

void stateful_load_members(struct pass *pass, struct stateful *set, const struct objects *pods)
{
    size_t replicas = (size_t)set->replicas;
    set->members = arena_array(pass->arena, struct member, replicas + 1);
    set->condemned = arena_array(pass->arena, struct member, pods->count + 1);
    set->condemned_count = 0;
    for (size_t i = 0; i < replicas; i++) {
        set->members[i] = (struct member){.ordinal = set->start + (int64_t)i};
        set->members[i].revision = wanted_revision(set, set->members[i].ordinal);
    }
    for (size_t i = 0; i < pods->count; i++) {
        int64_t ordinal = member_ordinal(set->object, pods->items[i]->name);
        bool living = ordinal >= set->start && ordinal < set->start + set->replicas;
        struct member *member =
            living ? &set->members[ordinal - set->start] : &set->condemned[set->condemned_count++];
        *member = (struct member){.ordinal = ordinal, .exists = true};
        pod_cache_get(set->all->briefs, pass_hold(pass, pods->items[i]), &member->pod);
        member->revision = object_label_get(pods->items[i], STR("controller-revision-hash"));
    }
    qsort(set->condemned, set->condemned_count, sizeof *set->condemned, compare_condemned);
}

bool member_is_ready(const struct member *member)
{
    return member->exists && member->pod.phase == POD_RUNNING && member->pod.ready;
}

bool member_is_available(const struct pass *pass, const struct stateful *set,
                         const struct member *member)
{
    return member_is_ready(member) && pod_is_available(&member->pod, set->min_ready, pass->now);
}

static const struct val *template_of(const struct stateful *set, struct str revision)
{
    const struct revision *found = revisions_find(&set->revisions, revision);
    const struct val *template =
        val_path(found != NULL ? found->value : NULL, "data.spec.template");
    return template != NULL ? template : val_path(set->value, "spec.template");
}

struct val *member_pod(struct pass *pass, const struct stateful *set, const struct member *member)
{
    struct arena *arena = pass->arena;
    struct val *pod = pod_from_template(arena, template_of(set, member->revision), set->object);
    struct val *meta = val_get(pod, "metadata"), *spec = val_get(pod, "spec");
    struct str name = str_of(member_name(arena, set, member->ordinal));
    val_unset(meta, STR("generateName"));
    val_set_text(arena, meta, STR("name"), name);
    struct val *labels = val_make_object(arena, meta, STR("labels"));
    val_set_text(arena, labels, STR("statefulset.kubernetes.io/pod-name"), name);
    val_set_text(arena, labels, STR("apps.kubernetes.io/pod-index"),
                 str_of(arena_printf(arena, "%lld", (long long)member->ordinal)));
    val_set_text(arena, labels, STR("controller-revision-hash"), member->revision);
    val_set_text(arena, spec, STR("hostname"), name);
    struct str service = val_text(val_path(set->value, "spec.serviceName"));
    if (service.n > 0) {
        val_set_text(arena, spec, STR("subdomain"), service);
    }
    claims_mount(arena, set, member->ordinal, pod);
    return pod;
}

/* ---- deletion ---- */

struct deleted {
    struct stateful *set;
    const char *name;
};

static void on_deleted(struct pass *pass, void *arg, const struct client_result *result)
{
    struct deleted *deleted = arg;
    struct str set = deleted->set->object->name;
    if (result->code == 0 || result->code == ERR_NOT_FOUND) {
        recorder_event(deleted->set->all->recorder, deleted->set->object, "Normal",
                       "SuccessfulDelete", "delete Pod %s in StatefulSet %.*s successful",
                       deleted->name, STR_ARG(set));
    } else if (result->code == ERR_CONFLICT) {
        pass_again(pass); /* another pod has the name by now */
    } else {
        recorder_event(deleted->set->all->recorder, deleted->set->object, "Warning", "FailedDelete",
                       "delete Pod %s in StatefulSet %.*s failed error: %s", deleted->name,
                       STR_ARG(set), result->error.message);
        pass_retry(pass);
    }
}

void stateful_delete_pod(struct pass *pass, struct stateful *set, const struct member *member)
{
    struct deleted *deleted = arena_new(pass->arena, struct deleted);
    *deleted = (struct deleted){set, member_name(pass->arena, set, member->ordinal)};
    pass_delete(pass, member->pod.object, NULL, -1, on_deleted, deleted);
}

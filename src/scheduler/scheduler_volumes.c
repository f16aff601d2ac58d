/* scheduler_volumes.c: pods whose claims wait for a node: the choice is written to each claim
 * (volume.kubernetes.io/selected-node), and the pod is bound when all of them are bound.
 *
 * Meanwhile the pod holds its room. When a claim is taken back (the annotation is removed: that
 * node cannot have the volume) or ten minutes have gone by, the room is given back and the pod is
 * scheduled anew.
 */
#include "api/volume_binding.h"
#include "base/log.h"
#include "scheduler/scheduler_int.h"

#define WAIT_NS (600 * NS_PER_S) /* bindTimeoutSeconds */

struct choice {
    struct scheduler *scheduler;
    char *claim;
};

static void on_chosen(void *ctx, const struct client_result *result)
{
    struct choice *choice = ctx;
    if (result->code != 0) {
        LOG_WARN("scheduler", "cannot choose a node for a claim", LOG_Z("claim", choice->claim),
                 LOG_ERR(&result->error));
    }
    scheduler_finished(choice->scheduler);
    free(choice->claim);
    free(choice);
}

static void choose_node(struct scheduler *scheduler, const struct val *claim, struct str node)
{
    struct arena *arena = &scheduler->arena;
    struct val *body = val_new(arena, VAL_OBJECT);
    struct val *meta = val_make_object(arena, body, STR("metadata"));
    val_set_text(arena, meta, STR("uid"), val_uid(claim));
    val_set_text(arena, val_make_object(arena, meta, STR("annotations")),
                 STR(ANNOTATION_SELECTED_NODE), node);
    struct choice *choice = mem_new(struct choice);
    *choice = (struct choice){scheduler, str_dup(val_name(claim))};
    struct client_request request = {
        .verb = CLIENT_PATCH,
        .resource = schema_resource(STR(""), STR("v1"), STR("persistentvolumeclaims")),
        .ns = val_namespace(claim),
        .name = val_name(claim),
        .subresource = "",
        .patch = CLIENT_PATCH_MERGE,
        .body = body};
    scheduler->in_flight++;
    client_send(scheduler->client, &request, on_chosen, choice);
}

bool scheduler_choose_volumes(struct scheduler *scheduler, struct entry *entry)
{
    struct arena *arena = &scheduler->arena;
    const struct volumes *volumes = &scheduler->cluster->volumes;
    struct str node = scheduler->cluster->nodes[entry->pod->node]->name, name;
    bool waits = false;
    for (size_t i = 0; i < volumes_claim_count(entry->pod->shape); i++) {
        const struct val *claim = volumes_claim(volumes, arena, entry->pod, i, &name);
        if (volumes_claim_state(volumes, arena, claim) != CLAIM_WAITING) {
            continue;
        }
        waits = true;
        if (!str_eq(annotation_get(claim, ANNOTATION_SELECTED_NODE), node)) {
            choose_node(scheduler, claim, node);
        }
    }
    if (waits) {
        entry->wait_chosen = false;
        entry->wait_ends_ns = loop_mono(scheduler->loop) + WAIT_NS;
        list_append(&scheduler->volume_waiters, &entry->volume_link);
        scheduler_check_volumes_later(scheduler);
    }
    return waits;
}

enum verdict { STILL_WAITING, ALL_BOUND, GIVE_UP };

static enum verdict judge(struct scheduler *scheduler, struct entry *entry)
{
    struct arena *arena = &scheduler->arena;
    const struct volumes *volumes = &scheduler->cluster->volumes;
    struct str node = scheduler->cluster->nodes[entry->pod->node]->name, name;
    bool chosen = true, bound = true;
    for (size_t i = 0; i < volumes_claim_count(entry->pod->shape); i++) {
        const struct val *claim = volumes_claim(volumes, arena, entry->pod, i, &name);
        enum claim_state state = volumes_claim_state(volumes, arena, claim);
        if (state != CLAIM_BOUND && state != CLAIM_WAITING) {
            return GIVE_UP;
        }
        bound = bound && state == CLAIM_BOUND;
        chosen = chosen && (state == CLAIM_BOUND ||
                            str_eq(annotation_get(claim, ANNOTATION_SELECTED_NODE), node));
    }
    if (bound) {
        return ALL_BOUND;
    }
    if (entry->wait_chosen && !chosen) {
        return GIVE_UP; /* taken back */
    }
    entry->wait_chosen = chosen;
    return loop_mono(scheduler->loop) >= entry->wait_ends_ns ? GIVE_UP : STILL_WAITING;
}

void scheduler_check_volumes(struct scheduler *scheduler)
{
    LIST_EACH_SAFE (it, &scheduler->volume_waiters) {
        struct entry *entry = container_of(it, struct entry, volume_link);
        arena_reset(&scheduler->arena);
        enum verdict verdict =
            entry->pod->node >= 0 ? judge(scheduler, entry) : GIVE_UP; /* the node is gone */
        if (verdict == STILL_WAITING) {
            continue;
        }
        list_remove(&entry->volume_link);
        if (verdict == ALL_BOUND) {
            scheduler_bind(scheduler, entry);
        } else {
            scheduler_forget_bind(scheduler, entry);
            pending_fail(&scheduler->queue, &entry->pending, 0);
            recorder_event(scheduler->recorder, entry->object, "Warning", "FailedScheduling",
                           "the volumes of the pod could not be bound on the node that was chosen");
        }
    }
    scheduler_check_volumes_later(scheduler);
}

static void on_time(struct timer *timer)
{
    scheduler_check_volumes(container_of(timer, struct scheduler, volume_timer));
}

void scheduler_check_volumes_later(struct scheduler *scheduler)
{
    if (!list_empty(&scheduler->volume_waiters)) {
        timer_start(scheduler->loop, &scheduler->volume_timer, 30 * NS_PER_S, on_time);
    } else {
        timer_stop(&scheduler->volume_timer);
    }
}

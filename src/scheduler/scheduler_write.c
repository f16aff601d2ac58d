/* scheduler_write.c: what the scheduler writes: bindings, the PodScheduled condition, events, and
 * the removal of victims. Each write carries the pod's key and uid, not its entry: the pod may be
 * gone when the answer comes. */
#include "base/log.h"
#include "client/owners.h"
#include "scheduler/scheduler_int.h"

#define SAY_AGAIN_NS (60 * NS_PER_S) /* the same news of the same pod */

struct bind {
    struct scheduler *scheduler;
    char *key, *uid, *node;
};

void scheduler_finished(struct scheduler *scheduler)
{
    scheduler->in_flight--;
    if (scheduler->stopped && scheduler->in_flight == 0) {
        scheduler_wake(scheduler); /* frees it in a turn of its own */
    }
}

static struct entry *entry_of(const struct scheduler *scheduler, const struct bind *bind)
{
    struct entry *entry = map_get(&scheduler->entries, str_of(bind->key));
    return entry != NULL && str_is(entry->pod->uid, bind->uid) ? entry : NULL;
}

static void on_bound(void *ctx, const struct client_result *result)
{
    struct bind *bind = ctx;
    struct scheduler *scheduler = bind->scheduler;
    struct entry *entry = scheduler->stopped ? NULL : entry_of(scheduler, bind);
    if (entry != NULL && result->code == 0) {
        recorder_event(scheduler->recorder, entry->object, "Normal", "Scheduled",
                       "Successfully assigned %s to %s", bind->key, bind->node);
    } else if (entry != NULL && entry->state == ENTRY_BINDING) {
        LOG_WARN("scheduler", "cannot bind", LOG_Z("pod", bind->key), LOG_Z("node", bind->node),
                 LOG_ERR(&result->error));
        scheduler_forget_bind(scheduler, entry);
        pending_fail(&scheduler->queue, &entry->pending, 0);
        recorder_event(scheduler->recorder, entry->object, "Warning", "FailedScheduling",
                       "binding rejected: %s", result->error.message);
    }
    scheduler_finished(scheduler);
    free(bind->key);
    free(bind->uid);
    free(bind->node);
    free(bind);
}

void scheduler_bind(struct scheduler *scheduler, struct entry *entry)
{
    struct arena *arena = &scheduler->arena;
    struct str node = scheduler->cluster->nodes[entry->pod->node]->name;
    const struct object *object = entry->object;
    struct val *body = val_new(arena, VAL_OBJECT);
    val_set_text(arena, body, STR("kind"), STR("Binding"));
    val_set_text(arena, body, STR("apiVersion"), STR("v1"));
    struct val *metadata = val_make_object(arena, body, STR("metadata"));
    val_set_text(arena, metadata, STR("name"), object->name);
    val_set_text(arena, metadata, STR("namespace"), object->ns);
    val_set_text(arena, metadata, STR("uid"), object->uid);
    struct val *target = val_make_object(arena, body, STR("target"));
    val_set_text(arena, target, STR("kind"), STR("Node"));
    val_set_text(arena, target, STR("name"), node);
    struct bind *bind = mem_new(struct bind);
    *bind =
        (struct bind){scheduler, str_dup(entry->pod->key), str_dup(entry->pod->uid), str_dup(node)};
    struct client_request request = {.verb = CLIENT_CREATE,
                                     .resource = scheduler->pods,
                                     .ns = object->ns,
                                     .name = object->name,
                                     .subresource = "binding",
                                     .body = body};
    scheduler->in_flight++;
    client_send(scheduler->client, &request, on_bound, bind);
}

/* ---- conditions ---- */

static void on_written(void *ctx, const struct client_result *result)
{
    struct scheduler *scheduler = ctx;
    if (result->code != 0 && result->code != ERR_NOT_FOUND && result->code != ERR_CONFLICT) {
        LOG_WARN("scheduler", "cannot write", LOG_ERR(&result->error));
    }
    scheduler_finished(scheduler);
}

static void add_condition(struct scheduler *scheduler, const struct object *object,
                          struct val *status, struct str type, struct str value, struct str reason,
                          struct str message)
{
    struct arena *arena = &scheduler->arena;
    char now[TIME_TEXT_SIZE];
    size_t n = time_format(clock_wall(loop_clock(scheduler->loop)), now);
    struct val *list = val_make_array(arena, status, STR("conditions"));
    struct val *condition = val_append(list, val_new(arena, VAL_OBJECT));
    val_set_text(arena, condition, STR("type"), type);
    val_set_text(arena, condition, STR("status"), value);
    val_set_text(arena, condition, STR("reason"), reason);
    val_set_text(arena, condition, STR("message"), message);
    int64_t generation = 0;
    if (str_i64(metadata_raw(object, STR("generation")), &generation)) {
        val_set_int(arena, condition, STR("observedGeneration"), generation);
    }
    val_set_text(arena, condition, STR("lastTransitionTime"), str_copy_in(arena, str_at(now, n)));
}

static void patch_status(struct scheduler *scheduler, const struct object *object, struct val *body)
{
    struct client_request request = {.verb = CLIENT_PATCH,
                                     .resource = scheduler->pods,
                                     .ns = object->ns,
                                     .name = object->name,
                                     .subresource = "status",
                                     .patch = CLIENT_PATCH_STRATEGIC,
                                     .body = body};
    scheduler->in_flight++;
    client_send(scheduler->client, &request, on_written, scheduler);
}

static struct val *body_for(struct scheduler *scheduler, const struct object *object)
{
    struct arena *arena = &scheduler->arena;
    struct val *body = val_new(arena, VAL_OBJECT);
    struct val *metadata = val_make_object(arena, body, STR("metadata"));
    val_set_text(arena, metadata, STR("uid"), object->uid); /* no other pod of that name */
    return body;
}

void scheduler_say_no(struct scheduler *scheduler, struct entry *entry, const char *message,
                      const char *nearest)
{
    struct arena *arena = &scheduler->arena;
    if (nearest != NULL) {
        message = arena_printf(arena, "%s Nearest: %s.", message, nearest);
    }
    const struct pod *pod = entry->pod;
    struct str nominated =
        pod->nominated >= 0 ? scheduler->cluster->nodes[pod->nominated]->name : STR("");
    char *written MEM_CLEANUP = mem_printf("%.*s|%s", STR_ARG(nominated), message);
    bool known = entry->message != NULL && str_is(str_of(entry->message), written);
    int64_t now = loop_mono(scheduler->loop);
    if (!known || now - entry->said_ns >= SAY_AGAIN_NS) {
        entry->said_ns = now;
        recorder_event(scheduler->recorder, entry->object, "Warning", "FailedScheduling", "%s",
                       message);
    }
    if (known) {
        return;
    }
    free(entry->message);
    entry->message = mem_dupz(written);
    struct val *body = body_for(scheduler, entry->object);
    struct val *status = val_make_object(arena, body, STR("status"));
    if (nominated.n > 0) {
        val_set_text(arena, status, STR("nominatedNodeName"), nominated);
    }
    add_condition(scheduler, entry->object, status, STR("PodScheduled"), STR("False"),
                  STR("Unschedulable"), str_of(message));
    patch_status(scheduler, entry->object, body);
}

/* ---- victims ---- */

void scheduler_evict(struct scheduler *scheduler, struct entry *entry, struct pod *victim)
{
    struct entry *other = victim->owner;
    struct arena *arena = &scheduler->arena;
    if (victim->terminating) {
        return; /* on its way already */
    }
    struct str node = scheduler->cluster->nodes[victim->node]->name;
    recorder_event(scheduler->recorder, other->object, "Normal", "Preempted",
                   "Preempted by pod %.*s on node %.*s", STR_ARG(entry->pod->uid), STR_ARG(node));
    struct val *body = body_for(scheduler, other->object);
    add_condition(scheduler, other->object, val_make_object(arena, body, STR("status")),
                  STR("DisruptionTarget"), STR("True"), STR("PreemptionByScheduler"),
                  str_of(arena_printf(arena, "%s: preempting to accommodate a higher priority pod",
                                      scheduler->name)));
    patch_status(scheduler, other->object, body);
    struct val *options = val_new(arena, VAL_OBJECT);
    val_set_text(arena, options, STR("kind"), STR("DeleteOptions"));
    val_set_text(arena, options, STR("apiVersion"), STR("v1"));
    struct val *preconditions = val_make_object(arena, options, STR("preconditions"));
    val_set_text(arena, preconditions, STR("uid"), other->object->uid);
    struct client_request request = {.verb = CLIENT_DELETE,
                                     .resource = scheduler->pods,
                                     .ns = other->object->ns,
                                     .name = other->object->name,
                                     .body = options};
    scheduler->in_flight++;
    client_send(scheduler->client, &request, on_written, scheduler);
}

/* definitions.c: from a CustomResourceDefinition to a kind that is served.
 *
 * The home loop follows all definitions by a cursor. For each change it gives out names (names.c),
 * compiles what changed and puts it into the registry, and only then writes the status: whoever
 * reads Established finds the kind there. A definition that goes leaves a kind that nothing serves,
 * so that its id, and whatever objects are left, stay known.
 *
 * Invariants: one status write a definition at a time; a write plans from the newest state, so
 * nothing that somebody else wrote is lost. A definition whose schema cannot be compiled (written
 * by a newer server) serves nothing, and its condition says why.
 */
#include <stdlib.h>

#include "api/fields.h"
#include "base/log.h"
#include "server/custom/definitions_int.h"
#include "server/write/pipeline.h"

struct definitions *definitions_new(struct server *server)
{
    struct definitions *definitions = mem_new(struct definitions);
    definitions->server = server;
    definitions->resource =
        schema_resource(STR("apiextensions.k8s.io"), STR("v1"), STR("customresourcedefinitions"));
    return definitions;
}

static void record_free(struct record *record)
{
    cleanup_free(record->cleanup);
    arena_done(&record->arena);
    free(record->name);
    free(record->group);
    free(record->uid);
    free(record);
}

void definitions_free(struct definitions *definitions)
{
    if (definitions == NULL) {
        return;
    }
    timer_stop(&definitions->retry);
    cursor_close(definitions->cursor);
    MAP_EACH (it, &definitions->records) {
        record_free(it->value);
    }
    map_done(&definitions->records);
    free(definitions);
}

static struct record *record_of(struct definitions *definitions, const struct val *crd)
{
    struct record *record = map_get(&definitions->records, val_name(crd));
    if (record == NULL) {
        record = mem_new(struct record);
        record->definitions = definitions;
        record->name = str_dup(val_name(crd));
        record->group = str_dup(val_text(val_path(crd, "spec.group")));
        map_set(&definitions->records, val_name(crd), record);
    }
    free(record->uid);
    record->uid = str_dup(val_uid(crd));
    return record;
}

/* ---- status ---- */

struct status_write {
    struct change change;
    struct definitions *definitions;
    char *name;
};

void definition_track(struct arena *arena, const struct api_resource *resource,
                      const struct val *old, struct val *next, int64_t now_wall_ns)
{
    codec_apply_schema(arena, resource->type, next, CODEC_IGNORE, NULL, NULL);
    struct fields_writer writer = {.type = resource->type,
                                   .manager = STR("kube-apiserver"),
                                   .api_version = STR("apiextensions.k8s.io/v1"),
                                   .subresource = STR("status"),
                                   .now_wall_ns = now_wall_ns};
    fields_track_update(arena, &writer, old, next);
}

static int plan_status(struct change *change, struct object *current, struct plan *ret_plan,
                       struct failure *failure)
{
    struct status_write *write = change->ctx;
    struct record *record = map_get(&write->definitions->records, str_of(write->name));
    int64_t now = clock_wall(loop_clock(change->loop));
    bool established = false;
    *ret_plan = (struct plan){PLAN_NOTHING, NULL};
    if (current == NULL || record == NULL || !str_is(current->uid, record->uid)) {
        return 0;
    }
    struct val *old = pipeline_decode(change, current);
    struct val *next = val_copy(&change->arena, old);
    if (!definition_name(record, &change->arena, next, now, &established)) {
        return 0;
    }
    definition_track(&change->arena, change->resource, old, next, now);
    *ret_plan = (struct plan){PLAN_UPDATE, next};
    return 0;
}

static void status_done(struct change *change)
{
    struct status_write *write = change->ctx;
    struct definitions *definitions = write->definitions;
    struct record *record = map_get(&definitions->records, str_of(write->name));
    if (change->failure.code != 0 && change->failure.code != ERR_NOT_FOUND) {
        LOG_WARN("server", "the status of a CustomResourceDefinition could not be written",
                 LOG_Z("name", write->name), LOG_S("why", change->failure.message));
    }
    change_done(change);
    bool again = record != NULL && record->dirty;
    if (record != NULL) {
        record->writing = record->dirty = false;
    }
    if (again) {
        definitions_look(definitions, str_of(write->name));
    }
    free(write->name);
    free(write);
}

static void write_status(struct record *record)
{
    struct definitions *definitions = record->definitions;
    if (record->writing) {
        record->dirty = true;
        return;
    }
    struct status_write *write = mem_new(struct status_write);
    write->definitions = definitions;
    write->name = mem_dupz(record->name);
    record->writing = true;
    write->change = (struct change){.server = definitions->server,
                                    .loop = definitions->server->home,
                                    .resource = definitions->resource,
                                    .name = str_of(write->name),
                                    .plan = plan_status,
                                    .done = status_done,
                                    .ctx = write};
    change_start(&write->change);
}

/* ---- kinds ---- */

static void put_definition(struct record *record, const struct val *crd, bool established)
{
    struct registry *registry = cache_registry(record->definitions->server->cache);
    struct definition *now = registry_definition(registry, str_of(record->name)), *made = NULL;
    struct err err = ERR_INIT;
    uint16_t id = 0;
    bool dying = !val_absent(val_path(crd, "metadata.deletionTimestamp"));
    if (now != NULL && now->digest == definition_digest(crd, record->accepted, established)) {
        atomic_store(&now->terminating, dying);
        return;
    }
    if (!established && now == NULL) {
        return;
    }
    int code = registry_id(registry, val_text(val_path(crd, "spec.group")),
                           val_text(val_get(record->accepted, "plural")), &id, &err);
    code = code != 0 ? code : definition_new(crd, record->accepted, established, id, &made, &err);
    if (code != 0) {
        LOG_WARN("server", "a CustomResourceDefinition cannot be served",
                 LOG_Z("name", record->name), LOG_ERR(&err));
        return;
    }
    registry_put(registry, made);
    if (now != NULL) {
        sequencer_renew(record->definitions->server->sequencer, made->storage);
    }
}

/* Nothing is served any more under the name; what objects are left stay known. */
static void drop_definition(struct definitions *definitions, struct str name)
{
    struct registry *registry = cache_registry(definitions->server->cache);
    const struct definition *now = registry_definition(registry, name);
    if (now == NULL) {
        return;
    }
    const struct api_resource *stored = now->storage;
    struct definition *dormant =
        definition_dormant(str_of(stored->plural), str_of(stored->group), str_of(stored->version),
                           str_of(stored->kind), stored->namespaced, stored->id);
    if (dormant != NULL) {
        registry_put(registry, dormant);
    }
}

static void forget(struct definitions *definitions, struct str name)
{
    struct record *record = map_remove(&definitions->records, name);
    char group[256] = "";
    drop_definition(definitions, name);
    if (record == NULL) {
        return;
    }
    strncpy(group, record->group, sizeof group - 1);
    record_free(record);
    MAP_EACH (it, &definitions->records) { /* its names are free */
        struct record *other = it->value;
        if (other->conflict && strcmp(other->group, group) == 0) {
            write_status(other);
        }
    }
}

static void act(struct definitions *definitions, const struct object *object)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *crd = object_decode(object, &arena);
    struct record *record = map_get(&definitions->records, object->name);
    bool established = false;
    if (record != NULL && !str_is(object->uid, record->uid)) {
        forget(definitions, object->name); /* another one of that name */
    }
    record = record_of(definitions, crd);
    bool changed = definition_name(record, &arena, crd,
                                   clock_wall(loop_clock(definitions->server->home)), &established);
    put_definition(record, crd, established);
    if (changed) {
        write_status(record);
    }
    if (object->deleting && record->cleanup == NULL) {
        record->cleanup = cleanup_start(record);
    }
}

void definitions_look(struct definitions *definitions, struct str name)
{
    struct object *object =
        cache_get(definitions->server->cache, definitions->resource, STR_NONE, name);
    if (object != NULL) {
        act(definitions, object);
        object_unref(object);
    }
}

static void follow_again(struct timer *timer)
{
    struct definitions *definitions = container_of(timer, struct definitions, retry);
    struct err err = ERR_INIT;
    cursor_close(definitions->cursor);
    definitions->cursor = NULL;
    if (definitions_start(definitions, &err) != 0) {
        LOG_WARN("server", "the definitions of custom kinds are not followed", LOG_ERR(&err));
        timer_start(definitions->server->home, timer, NS_PER_S, follow_again);
    }
}

static void on_ready(void *ctx, struct cursor *cursor)
{
    struct definitions *definitions = ctx;
    struct cache_event event;
    int got = 0;
    while ((got = cursor_next(cursor, &event, NULL)) > 0) {
        struct object *object = object_ref(event.object);
        if (event.type == EVENT_DELETED) {
            forget(definitions, object->name);
        } else {
            act(definitions, object);
        }
        object_unref(object);
    }
    if (got < 0) { /* more came at once than the ring holds: from the state again */
        timer_start(definitions->server->home, &definitions->retry, 0, follow_again);
    }
}

/* Records of what is not there any more: its end was missed. */
static void forget_missing(struct definitions *definitions, const struct snapshot *snapshot)
{
    MAP_EACH (it, &definitions->records) {
        struct object *object = snapshot_get(snapshot, STR_NONE, it->key);
        struct record *record = it->value;
        if (object == NULL || !str_is(object->uid, record->uid)) {
            char *name MEM_CLEANUP = mem_dupz(record->name);
            forget(definitions, str_of(name));
        }
        object_unref(object);
    }
}

/* Names that were given out stay given out, whatever the order in which they are looked at. */
static void note_names(struct definitions *definitions, const struct object *object)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *crd = object_decode(object, &arena);
    struct record *record = record_of(definitions, crd);
    if (record->accepted == NULL) {
        record->accepted = val_copy(&record->arena, val_path(crd, "status.acceptedNames"));
    }
}

int definitions_start(struct definitions *definitions, struct err *err)
{
    struct server *server = definitions->server;
    struct snapshot *snapshot = snapshot_take(server->cache, definitions->resource);
    struct snapshot_iter iter;
    const struct object *object;
    forget_missing(definitions, snapshot);
    snapshot_iter_init(&iter, snapshot, STR_NONE, NULL, NULL, STR_NONE, STR_NONE);
    while ((object = snapshot_next(&iter)) != NULL) {
        note_names(definitions, object);
    }
    snapshot_iter_init(&iter, snapshot, STR_NONE, NULL, NULL, STR_NONE, STR_NONE);
    while ((object = snapshot_next(&iter)) != NULL) {
        act(definitions, object);
    }
    int code = cursor_open(server->cache, definitions->resource, snapshot_revision(snapshot),
                           server->home, on_ready, definitions, &definitions->cursor, err);
    snapshot_release(snapshot);
    if (code == 0) {
        on_ready(definitions, definitions->cursor);
    }
    return code;
}

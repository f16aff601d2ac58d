/* address_objects.c: making and deleting IPAddresses. See address_objects.h. */
#include "server/address_objects.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/random.h"
#include "server/addresses.h"
#include "server/server_int.h"
#include "server/write/deletion.h"
#include "server/write/pipeline.h"

#define MANAGED_BY "ipaddress.kubernetes.io/managed-by"
#define MANAGER    "ipallocator.k8s.io"

struct settling {
    struct deletion deletion;
    char *ip;
};

const char *address_object_text(struct arena *arena, struct str ns, struct str name)
{
    return arena_printf(arena,
                        "{\"spec\":{\"parentRef\":{\"group\":\"\",\"resource\":\"services\","
                        "\"namespace\":\"%.*s\",\"name\":\"%.*s\"}}}",
                        STR_ARG(ns), STR_ARG(name));
}

void address_object_label(struct arena *arena, struct val *meta)
{
    struct val *labels = val_make_object(arena, meta, STR("labels"));
    val_set_text(arena, labels, STR("ipaddress.kubernetes.io/ip-family"), STR("IPv4"));
    val_set_text(arena, labels, STR(MANAGED_BY), STR(MANAGER));
}

static bool is_ours(const struct object *object)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct val *labels = val_path(object_decode(object, &arena), "metadata.labels");
    return str_is(val_text(val_get(labels, MANAGED_BY)), MANAGER);
}

bool address_object_is_foreign(struct server *server, struct str ip)
{
    const struct api_resource *resource = server->known.ip_addresses;
    struct object *object =
        resource != NULL ? cache_get(server->cache, resource, STR_NONE, ip) : NULL;
    bool foreign = object != NULL && !is_ours(object);
    object_unref(object);
    return foreign;
}

/* ---- one address ---- */

static struct val *make(struct change *change, const struct owner *owner)
{
    struct arena *arena = &change->arena;
    char time[TIME_TEXT_SIZE], uid[UUID_TEXT_SIZE];
    int64_t now = clock_wall(loop_clock(change->loop));
    size_t n = time_format(now, time);
    struct val *value = NULL;
    char *text = arena_printf(arena, "%s", address_object_text(arena, owner->ns, owner->name));
    random_uuid(loop_random(change->loop), uid);
    if (val_parse_json(arena, str_of(text), &value, NULL) < 0) {
        return NULL;
    }
    struct val *meta = val_make_object(arena, value, STR("metadata"));
    val_set_text(arena, meta, STR("name"), change->name);
    val_set_text(arena, meta, STR("uid"), str_copy_in(arena, str_of(uid)));
    val_set_text(arena, meta, STR("creationTimestamp"), str_copy_in(arena, str_at(time, n)));
    address_object_label(arena, meta);
    codec_apply_schema(arena, change->resource->type, value, CODEC_IGNORE, NULL, NULL);
    api_default(arena, change->resource, value);
    struct api_context ctx = {.arena = arena, .now_wall_ns = now, .subresource = ""};
    api_prepare(&ctx, change->resource, value, NULL);
    return value;
}

static bool is_of(struct change *change, struct object *object, const struct owner *owner)
{
    const struct val *parent = val_path(pipeline_decode(change, object), "spec.parentRef");
    return str_eq(val_text(val_get(parent, "namespace")), owner->ns) &&
           str_eq(val_text(val_get(parent, "name")), owner->name);
}

static int plan(struct change *change, struct object *current, struct plan *ret_plan,
                struct failure *failure)
{
    struct owner owner = {0};
    bool owned = addresses_owner(change->server->addresses, &change->arena, change->name, &owner);
    *ret_plan = (struct plan){PLAN_NOTHING, NULL};
    if (current == NULL && owned) {
        struct val *value = make(change, &owner);
        if (value != NULL) {
            *ret_plan = (struct plan){PLAN_CREATE, value};
        }
        return 0;
    }
    if (current == NULL || current->deleting || !is_ours(current) ||
        (owned && is_of(change, current, &owner))) {
        return 0;
    }
    return deletion_plan(change, current, ret_plan, failure);
}

static void done(struct change *change)
{
    struct deletion *deletion = container_of(change, struct deletion, change);
    struct settling *settling = container_of(deletion, struct settling, deletion);
    change_done(change);
    free(settling->ip);
    free(settling);
}

void address_object_settle(struct server *server, struct str ip)
{
    if (server->known.ip_addresses == NULL) {
        return;
    }
    struct settling *settling = mem_new(struct settling);
    settling->ip = str_dup(ip);
    settling->deletion = (struct deletion){.grace_s = -1, .propagation = STR("Background")};
    settling->deletion.change = (struct change){.server = server,
                                                .loop = server->home,
                                                .resource = server->known.ip_addresses,
                                                .name = str_of(settling->ip),
                                                .plan = plan,
                                                .done = done};
    change_start(&settling->deletion.change);
}

void address_objects_sweep(struct server *server)
{
    struct snapshot_iter iter;
    const struct object *object;
    if (server->known.ip_addresses == NULL) {
        return;
    }
    struct snapshot *snapshot = snapshot_take(server->cache, server->known.ip_addresses);
    snapshot_iter_init(&iter, snapshot, STR_NONE, NULL, NULL, STR_NONE, STR_NONE);
    while ((object = snapshot_next(&iter)) != NULL) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        struct owner owner = {0};
        if (!addresses_owner(server->addresses, &arena, object->name, &owner)) {
            address_object_settle(server, object->name);
        }
    }
    snapshot_release(snapshot);
}

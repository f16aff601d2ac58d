/* addresses.c: the table of owners, and following Services. See addresses.h. */
#include "server/addresses.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "api/names.h"
#include "server/address_objects.h"
#include "server/server_int.h"

enum { RESERVED_BAND_MIN = 16, RESERVED_BAND_MAX = 256 };

struct addresses {
    struct server *server;
    pthread_mutex_t mutex;
    struct map owners;   /* key -> "NS/NAME/UID", heap */
    uint32_t base, size; /* of the IPv4 range */
    uint16_t port_first, port_last;
    struct cursor *cursor, *objects; /* of Services, and of IPAddresses */
};

int addresses_new(struct server *server, struct addresses **ret_addresses, struct err *err)
{
    uint8_t bytes[16];
    int bits = 0;
    struct str cidr = server->options.service_cidr;
    if (name_cidr_parse(cidr, bytes, &bits) != 4 || bits < 8 || bits > 28) {
        return err_set(err, ERR_INVALID,
                       "the service range %.*s must be an IPv4 range between /8 and /28",
                       STR_ARG(cidr));
    }
    struct addresses *addresses = mem_new(struct addresses);
    addresses->server = server;
    pthread_mutex_init(&addresses->mutex, NULL);
    addresses->size = 1U << (32 - bits);
    addresses->base =
        ((uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3]) &
        ~(addresses->size - 1);
    addresses->port_first = server->options.node_port_first;
    addresses->port_last = server->options.node_port_last;
    *ret_addresses = addresses;
    return 0;
}

void addresses_free(struct addresses *addresses)
{
    if (addresses == NULL) {
        return;
    }
    if (addresses->cursor != NULL) {
        cursor_close(addresses->cursor);
    }
    if (addresses->objects != NULL) {
        cursor_close(addresses->objects);
    }
    MAP_EACH (it, &addresses->owners) {
        free(it->value);
    }
    map_done(&addresses->owners);
    pthread_mutex_destroy(&addresses->mutex);
    free(addresses);
}

static struct str ip_text(uint32_t address, char text[24])
{
    struct buf buf = {.p = text, .n = 0, .cap = 24};
    buf_printf(&buf, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
               address & 255);
    return buf_view(&buf);
}

struct str addresses_first(struct addresses *addresses, struct arena *arena)
{
    char text[24];
    return str_copy_in(arena, ip_text(addresses->base + 1, text));
}

static char *owner_text(const struct owner *owner)
{
    return mem_printf("%.*s/%.*s/%.*s", STR_ARG(owner->ns), STR_ARG(owner->name),
                      STR_ARG(owner->uid));
}

static struct owner owner_parse(struct str text)
{
    struct owner owner = {0};
    owner.ns = str_cut(text, '/', &owner.name);
    owner.name = str_cut(owner.name, '/', &owner.uid);
    return owner;
}

bool addresses_owner(struct addresses *addresses, struct arena *arena, struct str key,
                     struct owner *ret_owner)
{
    pthread_mutex_lock(&addresses->mutex);
    const char *has = map_get(&addresses->owners, key);
    bool found = has != NULL && has[0] != '+';
    if (found) {
        *ret_owner = owner_parse(str_copy_in(arena, str_of(has)));
    }
    pthread_mutex_unlock(&addresses->mutex);
    return found;
}

/* Whether the Service that owns something still exists. */
static bool is_alive(struct addresses *addresses, const char *text)
{
    struct owner owner = owner_parse(str_of(text));
    struct object *object = cache_get(addresses->server->cache, addresses->server->known.services,
                                      owner.ns, owner.name);
    bool alive = object != NULL && str_eq(object->uid, owner.uid);
    object_unref(object);
    return alive;
}

/* Under the mutex. `pending` owners are Services that are not committed yet: they are marked by a
 * leading '+' so that nobody takes them for dead. */
static bool claim(struct addresses *addresses, struct str key, const struct owner *owner,
                  bool takeover)
{
    char *text = owner_text(owner);
    const char *has = map_get(&addresses->owners, key);
    bool mine = has != NULL && str_is(str_of(has[0] == '+' ? has + 1 : has), text);
    if (has != NULL && !mine && (!takeover || has[0] == '+' || is_alive(addresses, has))) {
        free(text);
        return false;
    }
    if (!mine) {
        free(map_set(&addresses->owners, key, mem_printf("+%s", text)));
    }
    free(text);
    return true;
}

/* What a Service has already stays its own, whatever came to be beside it. */
static bool claim_ip(struct addresses *addresses, struct str key, const struct owner *owner)
{
    return (map_get(&addresses->owners, key) != NULL ||
            !address_object_is_foreign(addresses->server, key)) &&
           claim(addresses, key, owner, true);
}

static void note(struct change *change, struct str key)
{
    struct reservation *r = arena_new(&change->arena, struct reservation);
    r->key = str_copy_in(&change->arena, key);
    r->next = change->reserved;
    change->reserved = r;
    change->settle = addresses_settle;
}

static bool try_ip(struct addresses *addresses, struct change *change, const struct owner *owner,
                   uint32_t offset, bool takeover, struct str *ret_text)
{
    char text[24];
    struct str key = ip_text(addresses->base + offset, text);
    if (address_object_is_foreign(addresses->server, key) ||
        !claim(addresses, key, owner, takeover)) {
        return false;
    }
    note(change, key);
    *ret_text = str_copy_in(&change->arena, key);
    return true;
}

/* Free addresses come from the upper band first, so that the lower one stays for addresses that are
 * asked for by name (KEP-3070). */
static int take_any(struct addresses *addresses, struct change *change, const struct owner *owner,
                    struct str *ret_text)
{
    uint32_t band = addresses->size / 16;
    band = band < RESERVED_BAND_MIN ? RESERVED_BAND_MIN : band;
    band = band > RESERVED_BAND_MAX ? RESERVED_BAND_MAX : band;
    band = band >= addresses->size ? 1 : band;
    uint32_t last = addresses->size - 1; /* broadcast */
    uint32_t room = last - band;
    uint32_t start = room > 0 ? (uint32_t)random_below(loop_random(change->loop), room) : 0;
    for (uint32_t i = 0; i < room; i++) {
        if (try_ip(addresses, change, owner, band + (start + i) % room, false, ret_text)) {
            return 0;
        }
    }
    /* Then the rest, and what belongs to Services that are gone. */
    for (uint32_t i = 1; i < last; i++) {
        if (try_ip(addresses, change, owner, i, i >= band, ret_text)) {
            return 0;
        }
    }
    return ERR_INTERNAL;
}

int addresses_take_ip(struct addresses *addresses, struct change *change, const struct owner *owner,
                      struct str text, struct str *ret_text)
{
    int code = 0;
    pthread_mutex_lock(&addresses->mutex);
    if (text.n == 0) {
        code = take_any(addresses, change, owner, ret_text);
    } else {
        uint8_t b[16];
        uint32_t address = 0;
        if (name_ip_parse(text, b) == 4) {
            address = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
        }
        uint32_t offset = address - addresses->base;
        if (address == 0 || offset == 0 || offset >= addresses->size - 1) {
            code = ERR_INVALID;
        } else if (!claim_ip(addresses, text, owner)) {
            code = ERR_EXISTS;
        } else {
            note(change, text);
            *ret_text = text;
        }
    }
    pthread_mutex_unlock(&addresses->mutex);
    return code;
}

static struct str port_text(int64_t port, char text[24])
{
    struct buf buf = {.p = text, .n = 0, .cap = 24};
    buf_i64(&buf, port);
    return buf_view(&buf);
}

int addresses_take_port(struct addresses *addresses, struct change *change,
                        const struct owner *owner, int64_t port, int64_t *ret_port)
{
    char text[24];
    int code = ERR_INTERNAL;
    uint32_t count = (uint32_t)(addresses->port_last - addresses->port_first) + 1;
    pthread_mutex_lock(&addresses->mutex);
    if (port != 0) {
        struct str key = port_text(port, text);
        if (port < addresses->port_first || port > addresses->port_last) {
            code = ERR_INVALID;
        } else if (!claim(addresses, key, owner, true)) {
            code = ERR_EXISTS;
        } else {
            note(change, key);
            *ret_port = port;
            code = 0;
        }
    } else {
        uint32_t start = (uint32_t)random_below(loop_random(change->loop), count);
        for (uint32_t i = 0; code != 0 && i < count; i++) {
            int64_t candidate = addresses->port_first + (start + i) % count;
            struct str key = port_text(candidate, text);
            if (map_get(&addresses->owners, key) == NULL && claim(addresses, key, owner, false)) {
                note(change, key);
                *ret_port = candidate;
                code = 0;
            }
        }
    }
    pthread_mutex_unlock(&addresses->mutex);
    return code;
}

void addresses_settle(struct change *change, bool committed)
{
    struct addresses *addresses = change->server->addresses;
    pthread_mutex_lock(&addresses->mutex);
    for (struct reservation *r = change->reserved; r != NULL; r = r->next) {
        char *has = map_get(&addresses->owners, r->key);
        if (has == NULL || has[0] != '+') {
            continue; /* was its owner's before */
        }
        if (committed) {
            memmove(has, has + 1, strlen(has));
        } else {
            free(map_remove(&addresses->owners, r->key));
        }
    }
    pthread_mutex_unlock(&addresses->mutex);
    change->reserved = NULL;
}

/* ---- following Services ---- */

static void each_key(const struct val *service, void (*visit)(void *ctx, struct str key), void *ctx)
{
    char text[24];
    const struct val *spec = val_get(service, "spec");
    VAL_EACH (ip, val_get(spec, "clusterIPs")) {
        if (val_text(ip).n > 0 && !str_is(val_text(ip), "None")) {
            visit(ctx, val_text(ip));
        }
    }
    VAL_EACH (port, val_get(spec, "ports")) {
        int64_t number = val_int(val_get(port, "nodePort"), 0);
        if (number > 0) {
            visit(ctx, port_text(number, text));
        }
    }
    int64_t health = val_int(val_get(spec, "healthCheckNodePort"), 0);
    if (health > 0) {
        visit(ctx, port_text(health, text));
    }
}

struct follow {
    struct addresses *addresses;
    struct owner owner;
};

static void keep(void *ctx, struct str key)
{
    struct follow *follow = ctx;
    char *has = map_get(&follow->addresses->owners, key);
    char *text = owner_text(&follow->owner);
    if (has == NULL) {
        map_set(&follow->addresses->owners, key, text);
        return;
    }
    if (has[0] == '+' && str_is(str_of(has + 1), text)) { /* seen before its writer was told */
        memmove(has, has + 1, strlen(has));
    }
    free(text);
}

static void mark_stays(void *ctx, struct str key)
{
    struct map *stays = ctx;
    map_set(stays, key, stays);
}

struct release {
    struct follow *follow;
    struct map stays;
};

static void release(void *ctx, struct str key)
{
    struct release *r = ctx;
    struct map *owners = &r->follow->addresses->owners;
    const char *has = map_get(owners, key);
    char *text MEM_CLEANUP = owner_text(&r->follow->owner);
    if (map_get(&r->stays, key) == NULL && has != NULL && str_is(str_of(has), text)) {
        free(map_remove(owners, key));
    }
}

static struct owner owner_of(const struct object *object)
{
    return (struct owner){object->ns, object->name, object->uid};
}

static void settle_key(void *ctx, struct str key)
{
    struct addresses *addresses = ctx;
    if (memchr(key.p, '.', key.n) != NULL) {
        address_object_settle(addresses->server, key);
    }
}

/* The IPAddresses of what came and what went. */
static void settle_objects(struct addresses *addresses, const struct val *now,
                           const struct val *old)
{
    const struct val *has = val_path(now, "spec.clusterIPs");
    const struct val *had = val_path(old, "spec.clusterIPs");
    if (has != NULL && had != NULL && val_equal(has, had)) {
        return;
    }
    each_key(now, settle_key, addresses);
    each_key(old, settle_key, addresses);
}

static void follow_event(struct addresses *addresses, const struct cache_event *event)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct follow follow = {.addresses = addresses, .owner = owner_of(event->object)};
    struct release r = {.follow = &follow};
    struct object *before =
        event->previous == NULL && event->type == EVENT_DELETED ? event->object : event->previous;
    const struct val *now =
        event->type != EVENT_DELETED ? object_decode(event->object, &arena) : NULL;
    const struct val *old = before != NULL ? object_decode(before, &arena) : NULL;
    pthread_mutex_lock(&addresses->mutex);
    each_key(now, mark_stays, &r.stays);
    each_key(now, keep, &follow); /* written by others than admission, too */
    each_key(old, release, &r);
    pthread_mutex_unlock(&addresses->mutex);
    map_done(&r.stays);
    settle_objects(addresses, now, old);
}

static void on_ready(void *ctx, struct cursor *cursor)
{
    struct addresses *addresses = ctx;
    struct cache_event event;
    while (cursor_next(cursor, &event, NULL) > 0) {
        follow_event(addresses, &event);
    }
}

/* An IPAddress that somebody deletes while its Service is there comes back. */
static void on_objects(void *ctx, struct cursor *cursor)
{
    struct addresses *addresses = ctx;
    struct cache_event event;
    while (cursor_next(cursor, &event, NULL) > 0) {
        if (event.type == EVENT_DELETED) {
            address_object_settle(addresses->server, event.object->name);
        }
    }
}

static int start_objects(struct addresses *addresses, struct err *err)
{
    struct server *server = addresses->server;
    const struct api_resource *resource = server->known.ip_addresses;
    if (resource == NULL) {
        return 0;
    }
    uint64_t revision = cache_revision(server->cache);
    address_objects_sweep(server);
    MAP_EACH (it, &addresses->owners) {
        if (memchr(it->key.p, '.', it->key.n) != NULL) {
            struct object *object = cache_get(server->cache, resource, STR_NONE, it->key);
            if (object == NULL) {
                address_object_settle(server, it->key);
            }
            object_unref(object);
        }
    }
    int code = cursor_open(server->cache, resource, revision, server->home, on_objects, addresses,
                           &addresses->objects, err);
    if (code == 0) {
        on_objects(addresses, addresses->objects);
    }
    return code;
}

int addresses_start(struct addresses *addresses, struct err *err)
{
    struct server *server = addresses->server;
    const struct api_resource *services = server->known.services;
    if (services == NULL) {
        return 0;
    }
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct snapshot *snapshot = snapshot_take(server->cache, services);
    struct snapshot_iter iter;
    const struct object *object;
    snapshot_iter_init(&iter, snapshot, STR_NONE, NULL, NULL, STR_NONE, STR_NONE);
    while ((object = snapshot_next(&iter)) != NULL) {
        struct follow follow = {.addresses = addresses, .owner = owner_of(object)};
        arena_reset(&arena);
        each_key(object_decode(object, &arena), keep, &follow);
    }
    int code = cursor_open(server->cache, services, snapshot_revision(snapshot), server->home,
                           on_ready, addresses, &addresses->cursor, err);
    snapshot_release(snapshot);
    if (code == 0) {
        on_ready(addresses, addresses->cursor);
        code = start_objects(addresses, err);
    }
    return code;
}

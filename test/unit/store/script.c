/* script.c: see script.h. Values are text of a length and content that follow from a number. */
#include "script.h"

#include "../cmocka_all.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/vec.h"

static const char *const resources[SCRIPT_RESOURCES] = {"configmaps", "deployments.apps", "nodes"};

struct key {
    struct str resource, ns, name;
    char text[16];
};

static void key_make(int slot, struct key *key)
{
    int resource = slot / SCRIPT_KEYS, number = slot % SCRIPT_KEYS;
    key->resource = str_of(resources[resource]);
    key->ns = resource == 2 ? STR("") : number % 2 != 0 ? STR("a") : STR("b");
    snprintf(key->text, sizeof key->text, "n-%d", number);
    key->name = str_of(key->text);
}

static void value_make(uint32_t value, struct buf *out)
{
    buf_clear(out);
    size_t size = value % 7 == 0 ? 9000 : value % 800;
    buf_printf(out, "{\"v\":%u,\"pad\":\"", value);
    for (size_t i = 0; i < size; i++) {
        buf_char(out, (char)('a' + (value + i) % 26));
    }
    buf_addz(out, "\"}");
}

void script_init(struct script *script, uint64_t seed)
{
    memset(script, 0, sizeof *script);
    random_seeded_init(&script->random, seed);
}

void script_done(struct script *script)
{
    free(script->events);
}

static void take_over(struct script *script)
{
    for (size_t i = 0; i < script->tried_count; i++) {
        const struct script_event *event = &script->tried[i];
        if (script->event_count == script->event_cap) {
            vec_grow_((void **)(void *)&script->events, &script->event_cap, script->event_count,
                      sizeof *script->events);
        }
        script->events[script->event_count++] = *event;
        script->state.slots[event->slot] =
            (struct script_slot){event->deleted ? 0 : event->revision, event->value};
        script->revision = event->revision;
    }
    script->tried_count = 0;
}

int script_commit(struct script *script, struct store *store, struct err *err)
{
    struct store_write writes[16] = {0};
    struct key keys[16];
    struct buf values[16] = {0};
    struct script_state state = script->state;
    size_t count = 1 + random_below(&script->random, 16);
    for (size_t i = 0; i < count; i++) {
        int slot = (int)random_below(&script->random, SCRIPT_SLOTS);
        struct script_slot *at = &state.slots[slot];
        bool deleted = at->revision != 0 && random_below(&script->random, 4) == 0;
        struct script_event event = {.revision = script->revision + 1 + i,
                                     .slot = slot,
                                     .value = ++script->next_value,
                                     .previous_value = at->value,
                                     .created = at->revision == 0,
                                     .deleted = deleted};
        key_make(slot, &keys[i]);
        value_make(event.value, &values[i]);
        writes[i] = (struct store_write){.resource = keys[i].resource,
                                         .ns = keys[i].ns,
                                         .name = keys[i].name,
                                         .revision = event.revision,
                                         .previous = at->revision,
                                         .value = buf_view(&values[i]),
                                         .deleted = deleted,
                                         .created = event.created};
        *at = (struct script_slot){deleted ? 0 : event.revision, event.value};
        script->tried[i] = event;
    }
    script->tried_count = count;
    int rc = store->ops->commit(store, writes, count, err);
    if (rc == 0) {
        take_over(script);
    }
    for (size_t i = 0; i < count; i++) {
        buf_done(&values[i]);
    }
    return rc;
}

struct seen {
    struct script_slot slots[SCRIPT_SLOTS];
    int last;
    size_t count;
};

static int slot_of(const struct store_row *row)
{
    for (int slot = 0; slot < SCRIPT_SLOTS; slot++) {
        struct key key;
        key_make(slot, &key);
        if (str_eq(key.resource, row->resource) && str_eq(key.ns, row->ns) &&
            str_eq(key.name, row->name)) {
            return slot;
        }
    }
    fail_msg("a row that nobody wrote");
    return -1;
}

static uint32_t value_of(struct str bytes)
{
    struct buf expected BUF_CLEANUP = BUF_INIT;
    uint64_t value = 0;
    struct str rest = str_from(bytes, 5);
    assert_true(str_u64(str_cut(rest, ',', &rest), &value));
    value_make((uint32_t)value, &expected);
    assert_true(str_eq(bytes, buf_view(&expected)));
    return (uint32_t)value;
}

static int see(void *ctx, const struct store_row *row, struct err *err)
{
    struct seen *seen = ctx;
    int slot = slot_of(row);
    assert_true(seen->slots[slot].revision == 0);
    seen->slots[slot] = (struct script_slot){row->revision, value_of(row->value)};
    seen->count++;
    return 0;
}

static bool matches(const struct seen *seen, const struct script_state *state, int from, int to)
{
    for (int slot = from; slot < to; slot++) {
        const struct script_slot *a = &seen->slots[slot], *b = &state->slots[slot];
        if (a->revision != b->revision || (a->revision != 0 && a->value != b->value)) {
            return false;
        }
    }
    return true;
}

void script_check_load(struct script *script, struct store *store, bool maybe)
{
    struct err err = ERR_INIT;
    struct seen seen = {0};
    struct store_status status;
    assert_int_equal(store->ops->load(store, see, &seen, &err), 0);
    assert_int_equal(store->ops->status(store, &status, &err), 0);
    if (maybe && script->tried_count > 0 && status.revision != script->revision) {
        take_over(script);
    }
    script->tried_count = 0;
    if (status.revision != script->revision) {
        fail_msg("revision %llu, acknowledged %llu", (unsigned long long)status.revision,
                 (unsigned long long)script->revision);
    }
    assert_true(status.live_rows == seen.count);
    assert_true(matches(&seen, &script->state, 0, SCRIPT_SLOTS));
}

struct past {
    struct script *script;
    size_t at;
    int resource;
};

static int see_event(void *ctx, const struct store_row *row, struct err *err)
{
    struct past *past = ctx;
    struct script *script = past->script;
    while (past->at < script->event_count && past->resource >= 0 &&
           script->events[past->at].slot / SCRIPT_KEYS != past->resource) {
        past->at++;
    }
    assert_true(past->at < script->event_count);
    const struct script_event *event = &script->events[past->at++];
    assert_true(row->revision == event->revision);
    assert_int_equal(slot_of(row), event->slot);
    assert_int_equal(value_of(row->value), event->value);
    assert_int_equal(row->created, event->created);
    assert_int_equal(row->deleted, event->deleted);
    if (event->created) {
        assert_int_equal(row->previous.n, 0);
    } else {
        assert_int_equal(value_of(row->previous), event->previous_value);
    }
    return 0;
}

static size_t event_after(const struct script *script, uint64_t revision)
{
    size_t at = 0;
    while (at < script->event_count && script->events[at].revision <= revision) {
        at++;
    }
    return at;
}

static void check_state_at(struct script *script, struct store *store, uint64_t revision, int of)
{
    struct err err = ERR_INIT;
    struct script_state state = {0};
    for (size_t i = 0; i < script->event_count && script->events[i].revision <= revision; i++) {
        const struct script_event *event = &script->events[i];
        state.slots[event->slot] =
            (struct script_slot){event->deleted ? 0 : event->revision, event->value};
    }
    struct seen seen = {0};
    struct str resource = str_of(resources[of]);
    assert_int_equal(store->ops->load_at(store, resource, revision, see, &seen, &err), 0);
    assert_true(matches(&seen, &state, of * SCRIPT_KEYS, (of + 1) * SCRIPT_KEYS));
}

void script_check_past(struct script *script, struct store *store, uint64_t compacted)
{
    struct err err = ERR_INIT;
    for (int i = 0; i < 4 && script->revision > compacted; i++) {
        uint64_t span = script->revision - compacted;
        uint64_t after = compacted + random_below(&script->random, span);
        uint64_t upto = after + random_below(&script->random, script->revision - after + 1);
        int of = (int)random_below(&script->random, SCRIPT_RESOURCES + 1) - 1;
        struct past past = {script, event_after(script, after), of};
        struct str resource = of < 0 ? STR_NONE : str_of(resources[of]);
        assert_int_equal(store->ops->history(store, resource, after, upto, see_event, &past, &err),
                         0);
        while (past.at < script->event_count && script->events[past.at].revision <= upto) {
            assert_true(of >= 0 && script->events[past.at].slot / SCRIPT_KEYS != of);
            past.at++;
        }
        check_state_at(script, store, upto, of < 0 ? 1 : of);
    }
    if (compacted > 0) {
        struct past past = {script, 0, -1};
        assert_int_equal(store->ops->history(store, STR_NONE, compacted - 1, script->revision,
                                             see_event, &past, &err),
                         ERR_EXPIRED);
    }
}

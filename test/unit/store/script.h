/* script.h: a random script of writes against a store, and the naive model that says what must be
 * in it: for every revision that was acknowledged, the whole state. */
#pragma once
#include "base/random.h"
#include "store/store.h"

enum { SCRIPT_RESOURCES = 3, SCRIPT_KEYS = 24, SCRIPT_SLOTS = SCRIPT_RESOURCES * SCRIPT_KEYS };

struct script_slot {
    uint64_t revision; /* 0: absent */
    uint32_t value;    /* what its bytes are made from */
};
struct script_state {
    struct script_slot slots[SCRIPT_SLOTS];
};
struct script_event {
    uint64_t revision;
    int slot;
    uint32_t value, previous_value;
    bool created, deleted;
};

struct script {
    struct random random;
    struct script_state state; /* after the newest acknowledged write */
    uint64_t revision;
    struct script_event *events; /* acknowledged, by revision */
    size_t event_count, event_cap;
    uint32_t next_value;
    /* the batch that was tried last: after a failure its writes may or may not be there */
    struct script_event tried[16];
    size_t tried_count;
};

void script_init(struct script *script, uint64_t seed);
void script_done(struct script *script);
/* One commit of 1 to 16 random writes; the model follows when it is acknowledged. */
int script_commit(struct script *script, struct store *store, struct err *err);
/* Whether load() gives the model's state (or, with `maybe`, that of the model with the tried batch
 * on top, in which case the model takes it over). Aborts the test with a message when not. */
void script_check_load(struct script *script, struct store *store, bool maybe);
/* history() and load_at() at a few random revisions. */
void script_check_past(struct script *script, struct store *store, uint64_t compacted);

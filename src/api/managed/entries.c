/* entries.c: managedFields to entries and back. See entries.h. */
#include "api/managed/entries.h"

#include <stdlib.h>

#include "api/field_set.h"

enum { UPDATE_MANAGERS_MAX = 10 };

bool entry_is_apply(const struct entry *entry)
{
    return str_is(entry->operation, "Apply");
}

bool entry_same(const struct entry *a, const struct entry *b)
{
    return str_eq(a->manager, b->manager) && str_eq(a->operation, b->operation) &&
           str_eq(a->subresource, b->subresource) &&
           (entry_is_apply(a) || str_eq(a->version, b->version));
}

struct entry *entries_find(struct entries *entries, const struct entry *like)
{
    for (size_t i = 0; i < entries->count; i++) {
        if (entry_same(&entries->items[i], like)) {
            return &entries->items[i];
        }
    }
    return NULL;
}

struct entry *entries_append(struct entries *entries, const struct entry *entry)
{
    if (entries->count == entries->cap) {
        size_t cap = entries->cap + 4;
        struct entry *items = arena_array(entries->arena, struct entry, cap);
        if (entries->count > 0) {
            memcpy(items, entries->items, sizeof *items * entries->count);
        }
        entries->items = items;
        entries->cap = cap;
    }
    struct entry *made = &entries->items[entries->count++];
    *made = *entry;
    return made;
}

struct entry *entries_make(struct entries *entries, const struct entry *like)
{
    struct entry *found = entries_find(entries, like);
    return found != NULL ? found : entries_append(entries, like);
}

static int load_entry(struct entries *entries, const struct val *it, struct err *err)
{
    struct val *set = val_get(it, "fieldsV1");
    struct entry entry = {.manager = val_text(val_get(it, "manager")),
                          .operation = val_text(val_get(it, "operation")),
                          .version = val_text(val_get(it, "apiVersion")),
                          .subresource = val_text(val_get(it, "subresource")),
                          .time = val_text(val_get(it, "time"))};
    if (!entry_is_apply(&entry) && !str_is(entry.operation, "Update")) {
        return err_set(err, ERR_INVALID, "operation must be `Apply` or `Update`");
    }
    if (entry.version.n == 0) {
        return err_set(err, ERR_INVALID, "apiVersion must not be empty");
    }
    if (!str_is(val_text(val_get(it, "fieldsType")), "FieldsV1")) {
        return err_set(err, ERR_INVALID, "fieldsType must be `FieldsV1`");
    }
    if (!val_absent(set) && !field_set_is_valid(set)) {
        return err_set(err, ERR_INVALID, "fieldsV1 is no set of fields");
    }
    entry.set = val_absent(set) || set->count == 0 ? NULL : field_set_sorted(entries->arena, set);
    *entries_make(entries, &entry) = entry;
    return 0;
}

int entries_load(struct arena *arena, const struct val *list, struct entries *ret, struct err *err)
{
    struct entries entries = {.arena = arena, .cap = val_count(list) + 2};
    *ret = (struct entries){.arena = arena};
    if (val_count(list) > ENTRIES_MAX) {
        return err_set(err, ERR_INVALID, "more than %d managers", ENTRIES_MAX);
    }
    entries.items = arena_array(arena, struct entry, entries.cap);
    VAL_EACH (it, list) {
        int code = load_entry(&entries, it, err);
        if (code < 0) {
            return code;
        }
    }
    *ret = entries;
    return 0;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = str_cmp(x->operation, y->operation);
    order = order != 0 ? order : str_cmp(x->time, y->time);
    order = order != 0 ? order : str_cmp(x->manager, y->manager);
    order = order != 0 ? order : str_cmp(x->version, y->version);
    return order != 0 ? order : str_cmp(x->subresource, y->subresource);
}

void entries_tidy(struct entries *entries)
{
    size_t kept = 0;
    for (size_t i = 0; i < entries->count; i++) {
        if (entries->items[i].set != NULL) {
            entries->items[kept++] = entries->items[i];
        }
    }
    entries->count = kept;
}

static void sort(struct entries *entries)
{
    if (entries->count > 1) {
        qsort(entries->items, entries->count, sizeof *entries->items, compare_entries);
    }
}

/* Puts `oldest` and `next`, both of one version, into the bucket of that version. */
static void pour(struct entries *entries, size_t first, size_t next)
{
    struct entry like = {.manager = STR("ancient-changes"),
                         .operation = STR("Update"),
                         .version = entries->items[next].version};
    struct entry from = entries->items[next];
    struct entry *bucket = entries_find(entries, &like);
    if (bucket == NULL) {
        bucket = &entries->items[first];
        like.set = bucket->set;
        *bucket = like;
    }
    if (bucket == &entries->items[next]) {
        return;
    }
    bucket->set = field_set_union(entries->arena, bucket->set, from.set);
    bucket->time = from.time;
    entries->items[next].set = NULL;
}

void entries_cap_updaters(struct entries *entries)
{
    size_t updaters = 0;
    for (size_t i = 0; i < entries->count; i++) {
        updaters += !entry_is_apply(&entries->items[i]);
    }
    if (updaters <= UPDATE_MANAGERS_MAX) {
        return;
    }
    sort(entries); /* applies first, updates by time */
    size_t start = entries->count - updaters;
    for (size_t i = start; i < entries->count && updaters > UPDATE_MANAGERS_MAX; i++) {
        size_t first = start;
        while (first < i && (entries->items[first].set == NULL ||
                             !str_eq(entries->items[first].version, entries->items[i].version))) {
            first++;
        }
        if (first < i) {
            pour(entries, first, i);
            updaters--;
        }
    }
    entries_tidy(entries);
}

static void put(struct arena *arena, struct val *object, const char *name, struct str text)
{
    if (text.n > 0) {
        val_set_text(arena, object, str_of(name), text);
    }
}

struct val *entries_store(struct entries *entries)
{
    struct arena *arena = entries->arena;
    entries_tidy(entries);
    if (entries->count == 0) {
        return NULL;
    }
    sort(entries);
    struct val *list = val_new(arena, VAL_ARRAY);
    for (size_t i = 0; i < entries->count; i++) {
        const struct entry *it = &entries->items[i];
        struct val *object = val_append(list, val_new(arena, VAL_OBJECT));
        put(arena, object, "manager", it->manager);
        put(arena, object, "operation", it->operation);
        put(arena, object, "apiVersion", it->version);
        put(arena, object, "time", it->time);
        val_set_text(arena, object, STR("fieldsType"), STR("FieldsV1"));
        struct val *set = val_new(arena, VAL_OBJECT);
        *set = *it->set; /* the node may be linked elsewhere */
        set->next = NULL;
        set->field = NULL;
        val_set(object, STR("fieldsV1"), set);
        put(arena, object, "subresource", it->subresource);
    }
    return list;
}

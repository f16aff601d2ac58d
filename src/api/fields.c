/* fields.c: metadata.managedFields for Update operations. See fields.h.
 *
 * An update takes the fields that it changes from all other managers and gives them to its own;
 * what it removes nobody owns any more. Its own entry's time moves only when it changed something,
 * so an update that changes nothing leaves the bytes as they were. Objects that came without
 * managedFields stay without. Sets are FieldsV1 values (field_set.h), and are shared, not copied.
 *
 * Left to others: server-side apply, which is to be built on the same three steps.
 */
#include "api/fields.h"

#include <stdlib.h>

#include "api/field_compare.h"
#include "api/field_set.h"
#include "base/clock.h"

enum { UPDATE_MANAGERS_MAX = 10, ENTRIES_MAX = 1000 };

struct entry {
    struct str manager, operation, version, subresource, time;
    struct val *set; /* NULL: nothing left */
};

struct managed {
    struct arena *arena;
    struct entry *items;
    size_t count;
};

static bool load(struct managed *managed, const struct val *list)
{
    managed->count = 0;
    if (val_count(list) > ENTRIES_MAX) {
        return false;
    }
    managed->items = arena_array(managed->arena, struct entry, val_count(list) + 2);
    VAL_EACH (it, list) {
        struct val *set = val_get(it, "fieldsV1");
        struct entry entry = {.manager = val_text(val_get(it, "manager")),
                              .operation = val_text(val_get(it, "operation")),
                              .version = val_text(val_get(it, "apiVersion")),
                              .subresource = val_text(val_get(it, "subresource")),
                              .time = val_text(val_get(it, "time")),
                              .set = set};
        bool known = str_is(entry.operation, "Update") || str_is(entry.operation, "Apply");
        if (!known || (set != NULL && !field_set_is_valid(set))) {
            managed->count = 0;
            return false;
        }
        entry.set = field_set_sorted(managed->arena, set);
        managed->items[managed->count++] = entry;
    }
    return true;
}

/* "managedFields: []" and "[{}]" ask for a reset. */
static bool asks_for_reset(const struct val *list)
{
    return val_is(list, VAL_ARRAY) &&
           (list->count == 0 || (list->count == 1 && list->child->count == 0));
}

static struct entry *own_entry(struct managed *managed, const struct entry *like)
{
    for (size_t i = 0; i < managed->count; i++) {
        struct entry *it = &managed->items[i];
        if (str_eq(it->manager, like->manager) && str_eq(it->operation, like->operation) &&
            str_eq(it->version, like->version) && str_eq(it->subresource, like->subresource)) {
            return it;
        }
    }
    struct entry *made = &managed->items[managed->count++];
    *made = *like;
    return made;
}

static void take(struct managed *managed, const struct field_changes *changes,
                 const struct entry *like)
{
    for (size_t i = 0; i < managed->count; i++) {
        struct entry *it = &managed->items[i];
        it->set = field_set_difference(managed->arena, it->set, changes->taken);
        it->set = field_set_difference(managed->arena, it->set, changes->removed);
    }
    if (changes->taken != NULL) {
        struct entry *own = own_entry(managed, like);
        own->set = field_set_union(managed->arena, own->set, changes->taken);
        own->time = like->time;
    }
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

static void drop_empty(struct managed *managed)
{
    size_t kept = 0;
    for (size_t i = 0; i < managed->count; i++) {
        if (managed->items[i].set != NULL) {
            managed->items[kept++] = managed->items[i];
        }
    }
    managed->count = kept;
}

/* More than ten updaters: the oldest become one, "ancient-changes". Entries are sorted, so updates
 * of the oldest time come first after the applies. */
static void cap_updaters(struct managed *managed)
{
    for (;;) {
        size_t first = 0;
        while (first < managed->count && !str_is(managed->items[first].operation, "Update")) {
            first++;
        }
        if (managed->count - first <= UPDATE_MANAGERS_MAX) {
            return;
        }
        struct entry *oldest = &managed->items[first], *second = oldest + 1;
        second->set = field_set_union(managed->arena, oldest->set, second->set);
        second->manager = STR("ancient-changes");
        second->subresource = STR_NONE;
        oldest->set = NULL;
        drop_empty(managed);
    }
}

static void put(struct arena *arena, struct val *object, const char *name, struct str text)
{
    if (text.n > 0) {
        val_set_text(arena, object, str_of(name), text);
    }
}

static struct val *store(struct managed *managed)
{
    struct arena *arena = managed->arena;
    struct val *list = val_new(arena, VAL_ARRAY);
    for (size_t i = 0; i < managed->count; i++) {
        const struct entry *it = &managed->items[i];
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

/* The entries to start from; false: none are to be tracked. */
static bool start(struct managed *managed, const struct val *old, const struct val *next,
                  bool subresource)
{
    const struct val *given = val_path(next, "metadata.managedFields");
    const struct val *live = val_path(old, "metadata.managedFields");
    if (!subresource && old != NULL && asks_for_reset(given)) {
        return false;
    }
    if (subresource || !load(managed, given) || managed->count == 0) {
        if (!load(managed, live)) {
            managed->count = 0;
        }
    }
    return old == NULL || managed->count > 0;
}

void fields_track_update(struct arena *arena, const struct api_struct *type, const struct val *old,
                         struct val *next, struct str manager, struct str api_version,
                         struct str subresource, int64_t now_wall_ns)
{
    struct managed managed = {.arena = arena};
    struct val *metadata = val_make_object(arena, next, STR("metadata"));
    if (type == NULL || !start(&managed, old, next, subresource.n > 0)) {
        val_unset(metadata, STR("managedFields"));
        return;
    }
    if (managed.items == NULL) {
        managed.items = arena_array(arena, struct entry, 2);
    }
    const char *reset = str_is(subresource, "status") ? "spec" : "status";
    struct field_changes changes;
    field_compare(arena, type, old, next, reset, &changes);
    char *time = arena_alloc(arena, TIME_TEXT_SIZE);
    struct entry like = {.manager = manager,
                         .operation = STR("Update"),
                         .version = api_version,
                         .subresource = subresource,
                         .time = str_at(time, time_format(now_wall_ns, time))};
    take(&managed, &changes, &like);
    drop_empty(&managed);
    if (managed.count > 1) {
        qsort(managed.items, managed.count, sizeof *managed.items, compare_entries);
    }
    cap_updaters(&managed);
    if (managed.count == 0) {
        val_unset(metadata, STR("managedFields"));
    } else {
        val_set(metadata, STR("managedFields"), store(&managed));
    }
}

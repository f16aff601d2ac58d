/* fields.c: metadata.managedFields for Update operations. See fields.h.
 *
 * An update takes the fields that it changes from all other managers and gives them to its own;
 * what it removes nobody owns any more. Its own entry's time moves only when it changed something,
 * so an update that changes nothing leaves the bytes as they were. Objects that came without
 * managedFields stay without. Sets are FieldsV1 values (field_set.h), and are shared, not copied.
 */
#include "api/fields.h"

#include "api/field_set.h"
#include "api/managed/managed_int.h"
#include "api/managed/reset.h"
#include "base/clock.h"

/* "managedFields: []" and "[{}]" ask for a reset. */
static bool asks_for_reset(const struct val *list)
{
    return val_is(list, VAL_ARRAY) &&
           (list->count == 0 || (list->count == 1 && list->child->count == 0));
}

struct str managed_time(struct arena *arena, const struct fields_writer *writer)
{
    char *time = arena_alloc(arena, TIME_TEXT_SIZE);
    return str_at(time, time_format(writer->now_wall_ns, time));
}

/* What differs in one version, without what is reset. */
static void compare_version(struct managed_changes *changes, struct str version,
                            const struct val *old, const struct val *next,
                            const struct api_struct *type, struct managed_version *ret)
{
    const struct fields_writer *writer = changes->writer;
    const char *const *reset = writer->reset;
    struct field_comparison comparison = {
        .type = type, .old = old, .next = next, .skip = reset, .raw = changes->raw};
    field_compare(changes->arena, &comparison, &ret->changes);
    if (reset != NULL) {
        ret->changes.taken = reset_filter(changes->arena, reset, ret->changes.taken);
        ret->changes.removed = reset_filter(changes->arena, reset, ret->changes.removed);
    }
    ret->version = version;
}

static struct managed_version *other_version(struct managed_changes *changes, struct str version)
{
    const struct fields_writer *writer = changes->writer;
    const struct api_struct *type = NULL;
    struct managed_version *made = arena_new(changes->arena, struct managed_version);
    struct val *old = NULL, *next = NULL;
    if (writer->convert != NULL) {
        next = writer->convert(writer, changes->arena, changes->next, version, &type);
        if (next != NULL && changes->old != NULL) {
            old = writer->convert(writer, changes->arena, changes->old, version, &type);
        }
    }
    made->missing = next == NULL || (old == NULL && changes->old != NULL);
    made->version = version;
    if (!made->missing) {
        compare_version(changes, version, old, next, type, made);
    }
    return made;
}

const struct managed_version *managed_changes_in(struct managed_changes *changes,
                                                 struct str version)
{
    for (struct managed_version *it = changes->versions; it != NULL; it = it->before) {
        if (str_eq(it->version, version)) {
            return it;
        }
    }
    struct managed_version *made = NULL;
    if (str_eq(version, changes->writer->api_version)) {
        made = arena_new(changes->arena, struct managed_version);
        compare_version(changes, version, changes->old, changes->next, changes->writer->type, made);
    } else {
        made = other_version(changes, version);
    }
    made->before = changes->versions;
    changes->versions = made;
    return made;
}

static void take(struct managed_changes *changes, struct entries *entries)
{
    const struct fields_writer *writer = changes->writer;
    struct arena *arena = changes->arena;
    for (size_t i = 0; i < entries->count; i++) {
        struct entry *it = &entries->items[i];
        const struct managed_version *version = managed_changes_in(changes, it->version);
        it->set =
            version->missing ? NULL : field_set_difference(arena, it->set, version->changes.taken);
        it->set = field_set_difference(arena, it->set, version->changes.removed);
    }
    struct val *taken = managed_changes_in(changes, writer->api_version)->changes.taken;
    if (taken == NULL) {
        return;
    }
    struct entry like = {.manager = writer->manager.n > 0 ? writer->manager : STR("unknown"),
                         .operation = STR("Update"),
                         .version = writer->api_version,
                         .subresource = writer->subresource};
    struct entry *own = entries_make(entries, &like);
    own->set = field_set_union(arena, own->set, taken);
    own->time = managed_time(arena, writer);
}

void managed_update(struct arena *arena, const struct fields_writer *writer, const struct val *old,
                    const struct val *next, struct entries *entries)
{
    struct managed_changes changes = {.arena = arena, .writer = writer, .old = old, .next = next};
    take(&changes, entries);
    entries_tidy(entries);
    entries_cap_updaters(entries);
}

/* The entries to start from; false: none are to be tracked. */
static bool start(struct arena *arena, struct entries *entries, const struct val *old,
                  const struct val *next, bool subresource)
{
    const struct val *given = val_path(next, "metadata.managedFields");
    const struct val *live = val_path(old, "metadata.managedFields");
    *entries = (struct entries){.arena = arena};
    if (!subresource && asks_for_reset(given)) {
        return old == NULL;
    }
    if (subresource || entries_load(arena, given, entries, NULL) < 0 || entries->count == 0) {
        entries_load(arena, live, entries, NULL);
    }
    return old == NULL || entries->count > 0;
}

void fields_track_update(struct arena *arena, const struct fields_writer *writer,
                         const struct val *old, struct val *next)
{
    struct entries entries;
    struct val *metadata = val_make_object(arena, next, STR("metadata"));
    struct val *list = NULL;
    if (writer->type != NULL && start(arena, &entries, old, next, writer->subresource.n > 0)) {
        managed_update(arena, writer, old, next, &entries);
        list = entries_store(&entries);
    }
    if (list == NULL) {
        val_unset(metadata, STR("managedFields"));
    } else {
        val_set(metadata, STR("managedFields"), list);
    }
}

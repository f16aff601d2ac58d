/* apply.c: the order of an apply. See apply.h.
 *
 * Invariants: a refused apply changes nothing; the own set is always exactly what the
 * configuration names, whoever else owns it too; time moves only when the object changed.
 */
#include "api/managed/apply.h"

#include "api/field_set.h"
#include "api/managed/apply_int.h"
#include "api/managed/reset.h"

struct applying {
    struct arena *arena;
    const struct apply *apply;
    struct entries entries; /* of the live object, then as they become */
    struct entry own;       /* what this apply is called; its set is what is applied */
    struct entry last;      /* the own entry as it was; set NULL: none */
    struct val *live;       /* without managedFields */
    struct val *merged;
    bool changed;
};

static int refuse(struct apply_refusal *refusal, struct arena *arena, enum err_code code,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
static int refuse(struct apply_refusal *refusal, struct arena *arena, enum err_code code,
                  const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    *refusal =
        (struct apply_refusal){.code = code, .message = str_of(arena_vprintf(arena, format, ap))};
    va_end(ap);
    return code;
}

/* "/v1, Kind=Pod", "apps/v1, Kind=Deployment" */
static struct str kind_text(struct arena *arena, struct str api_version, struct str kind)
{
    bool core = str_cut(api_version, '/', &(struct str){0}).n == api_version.n;
    return str_of(arena_printf(arena, "%s%.*s, Kind=%.*s", core ? "/" : "", STR_ARG(api_version),
                               STR_ARG(kind)));
}

static int check_config(struct applying *at, struct apply_refusal *refusal)
{
    const struct val *config = at->apply->config;
    struct arena *arena = at->arena;
    if (!val_is(config, VAL_OBJECT)) {
        return refuse(refusal, arena, ERR_BAD_REQUEST,
                      "error decoding patch: the document is no object");
    }
    struct str version = val_text(val_get(config, "apiVersion"));
    struct str kind = val_text(val_get(config, "kind"));
    struct str text = kind_text(arena, version, kind);
    if (!str_eq(version, at->apply->writer->api_version) || !str_is(kind, at->apply->kind)) {
        return refuse(refusal, arena, ERR_BAD_REQUEST, "invalid object type: %.*s", STR_ARG(text));
    }
    if (val_is(val_path(config, "metadata.managedFields"), VAL_ARRAY)) {
        return refuse(refusal, arena, ERR_BAD_REQUEST, "metadata.managedFields must be nil");
    }
    struct str why = config_check(arena, at->apply->writer->type, config);
    if (why.n > 0) {
        return refuse(refusal, arena, ERR_INTERNAL,
                      "failed to create typed patch object (%.*s/%.*s; %.*s): %.*s",
                      STR_ARG(val_namespace(config)), STR_ARG(val_name(config)), STR_ARG(text),
                      STR_ARG(why));
    }
    return 0;
}

/* The live object's managers. One that has none got its fields before the first apply. */
static int load(struct applying *at, struct apply_refusal *refusal)
{
    struct err err = ERR_INIT;
    const struct val *live = at->apply->live;
    if (entries_load(at->arena, val_path(live, "metadata.managedFields"), &at->entries, &err) < 0) {
        return refuse(refusal, at->arena, ERR_INTERNAL, "failed to decode managed fields: %s",
                      err.message);
    }
    entries_tidy(&at->entries);
    if (at->entries.count == 0 && live != NULL) {
        struct fields_writer before = *at->apply->writer;
        before.manager = STR("before-first-apply");
        managed_update(at->arena, &before, NULL, live, &at->entries);
    }
    return 0;
}

static struct val *without_managed_fields(struct arena *arena, const struct val *object)
{
    struct val *copy = object != NULL ? val_copy(arena, object) : val_new(arena, VAL_OBJECT);
    struct val *metadata = val_get(copy, "metadata");
    if (metadata != NULL) {
        val_unset(metadata, STR("managedFields"));
    }
    return copy;
}

/* The merged object, and the own entry as it will be. */
static void merge(struct applying *at)
{
    const struct fields_writer *writer = at->apply->writer;
    struct val *config = without_managed_fields(at->arena, at->apply->config);
    at->merged = without_managed_fields(at->arena, at->apply->live);
    at->changed = apply_merge(at->arena, writer->type, at->merged, config);
    at->own = (struct entry){.manager = writer->manager,
                             .operation = STR("Apply"),
                             .version = writer->api_version,
                             .subresource = writer->subresource,
                             .set = config_set(at->arena, writer->type, config)};
    if (writer->reset != NULL) {
        at->own.set = reset_filter(at->arena, writer->reset, at->own.set);
    }
    struct entry *own = entries_find(&at->entries, &at->own);
    at->last = own != NULL ? *own : (struct entry){0};
    own = entries_make(&at->entries, &at->own);
    own->set = at->own.set;
    own->version = at->own.version;
}

/* From here on the own entry has what is stored: without what belongs to the system. */
static void strip(struct applying *at)
{
    at->own.set = config_owned(at->arena, at->own.set);
    entries_find(&at->entries, &at->own)->set = at->own.set;
}

/* Nothing that was applied is left out now: the usual case. */
static bool keeps_everything(const struct applying *at)
{
    return at->last.set == NULL || (str_eq(at->last.version, at->own.version) &&
                                    field_set_contains(at->own.set, at->last.set));
}

static void add_conflict(struct conflicts *conflicts, const struct entry *entry, struct val *set)
{
    conflicts->items[conflicts->count++] = (struct conflict){entry, set};
}

/* What other managers own and this apply changes. */
static void find_conflicts(struct applying *at, struct managed_changes *changes,
                           struct conflicts *conflicts)
{
    conflicts->items = arena_array(at->arena, struct conflict, at->entries.count + 1);
    for (size_t i = 0; i < at->entries.count; i++) {
        struct entry *it = &at->entries.items[i];
        if (entry_same(it, &at->own)) {
            continue;
        }
        const struct managed_version *version = managed_changes_in(changes, it->version);
        struct val *set = version->missing
                              ? NULL
                              : field_set_intersection(at->arena, it->set, version->changes.taken);
        if (set != NULL) {
            add_conflict(conflicts, it, set);
        }
    }
}

/* kubectl may take what it applied from the client before. */
static void allow_last_applied(struct applying *at, struct conflicts *conflicts)
{
    struct conflicts left = {.arena = at->arena,
                             .items = arena_array(at->arena, struct conflict, conflicts->count)};
    struct val *allowed = last_applied_set(at->arena, at->apply);
    for (size_t i = 0; i < conflicts->count; i++) {
        struct val *set = field_set_difference(at->arena, conflicts->items[i].set, allowed);
        if (set != NULL) {
            add_conflict(&left, conflicts->items[i].entry, set);
        }
    }
    *conflicts = left;
}

/* Others lose what is changed or removed; managers of versions that are not served go. */
static void take(struct applying *at, struct managed_changes *changes)
{
    for (size_t i = 0; i < at->entries.count; i++) {
        struct entry *it = &at->entries.items[i];
        if (entry_same(it, &at->own)) {
            continue;
        }
        const struct managed_version *version = managed_changes_in(changes, it->version);
        struct val *set = version->missing ? NULL : it->set;
        set = field_set_difference(at->arena, set, version->changes.taken);
        it->set = field_set_difference(at->arena, set, version->changes.removed);
    }
}

static int settle(struct applying *at, struct apply_refusal *refusal)
{
    struct managed_changes changes = {.arena = at->arena,
                                      .writer = at->apply->writer,
                                      .old = at->live,
                                      .next = at->merged,
                                      .raw = true};
    struct conflicts conflicts = {.arena = at->arena};
    if (!at->changed) {
        changes.next = at->live; /* nothing differs; versions that went are found all the same */
    }
    if (!at->apply->force) {
        find_conflicts(at, &changes, &conflicts);
        if (conflicts.count > 0 && str_is(at->apply->writer->manager, "kubectl")) {
            allow_last_applied(at, &conflicts);
        }
        if (conflicts.count > 0) {
            return conflicts_refuse(&conflicts, refusal);
        }
    }
    take(at, &changes);
    return 0;
}

/* Nothing to write: the object, its managers and their fields are as they were. */
static bool is_unchanged(const struct applying *at)
{
    const struct val *live = val_path(at->apply->live, "metadata.managedFields");
    bool first = val_count(live) == 0 || at->last.set == NULL;
    if (first || at->changed || !str_eq(at->last.version, at->own.version) ||
        !field_set_equal(at->last.set, at->own.set)) {
        return false;
    }
    for (size_t i = 0; i < at->entries.count; i++) {
        const struct entry *it = &at->entries.items[i];
        if (!str_eq(it->version, at->own.version)) {
            return false; /* who speaks another version is looked at in full */
        }
    }
    return true;
}

int fields_apply(struct arena *arena, const struct apply *apply, struct apply_result *ret_result,
                 struct apply_refusal *refusal)
{
    struct applying at = {.arena = arena, .apply = apply};
    int code = check_config(&at, refusal);
    if (code == 0) {
        code = load(&at, refusal);
    }
    if (code < 0) {
        return code;
    }
    merge(&at);
    if (!keeps_everything(&at)) {
        at.changed |= apply_prune(arena, apply->writer, &at.entries, &at.last, &at.merged);
    }
    strip(&at);
    if (is_unchanged(&at)) {
        *ret_result = (struct apply_result){.object = (struct val *)apply->live, .unchanged = true};
        return 0;
    }
    at.live = without_managed_fields(arena, apply->live);
    code = settle(&at, refusal);
    if (code < 0) {
        return code;
    }
    struct entry *own = entries_find(&at.entries, &at.own);
    own->time = at.changed ? managed_time(arena, apply->writer) : at.last.time;
    if (str_is(apply->writer->manager, "kubectl")) {
        last_applied_sync(arena, at.merged, apply->config);
    }
    struct val *list = entries_store(&at.entries);
    if (list != NULL) {
        val_set(val_make_object(arena, at.merged, STR("metadata")), STR("managedFields"), list);
    }
    *ret_result = (struct apply_result){.object = at.merged};
    return 0;
}

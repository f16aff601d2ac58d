/* sequencer_load.c: from the rows of the store to the cache, at start.
 *
 * Rows come ordered by resource, so objects of custom kinds may come before the definition of their
 * kind: they are kept aside until all definitions are known. Objects whose definition is gone (its
 * finalizer was taken away by hand) are loaded too, under a kind that nothing serves: they are
 * there again when the definition comes back, and no write may meet a row that the cache does not
 * show.
 *
 * On the store's thread, before anything else runs.
 */
#include "api/custom/custom.h"
#include "server/sequencer_int.h"

struct kept_row {
    struct str resource, ns, name, value;
    uint64_t revision;
};

struct loading {
    struct sequencer *sequencer;
    const struct api_resource *resource; /* the last that was seen; a reference */
    struct str name;                     /* its name, in the arena */
    struct arena arena;
    struct {
        VEC_OF(struct kept_row);
    } kept;
    struct {
        VEC_OF(struct object *);
    } definitions; /* CRDs */
};

static bool find_resource(struct loading *loading, struct str name)
{
    if (!str_eq(loading->name, name)) {
        schema_unref(loading->resource);
        loading->resource = registry_stored(cache_registry(loading->sequencer->cache), name);
        loading->name = str_copy_in(&loading->arena, name);
    }
    return loading->resource != NULL;
}

static int load_object(struct loading *loading, const struct kept_row *row, struct err *err)
{
    struct object *object = NULL;
    int rc = object_load(loading->resource, row->value, row->revision, &object, err);
    if (rc != 0) {
        return err_wrap(err, "loading %.*s %.*s/%.*s", STR_ARG(row->resource), STR_ARG(row->ns),
                        STR_ARG(row->name));
    }
    loading->sequencer->live_bytes += object->n;
    if (str_is(row->resource, "customresourcedefinitions.apiextensions.k8s.io")) {
        *vec_push(&loading->definitions) = object_ref(object);
    }
    cache_load(loading->sequencer->cache, object);
    return 0;
}

static int load_row(void *ctx, const struct store_row *row, struct err *err)
{
    struct loading *loading = ctx;
    struct kept_row kept = {row->resource, row->ns, row->name, row->value, row->revision};
    if (find_resource(loading, row->resource)) {
        return load_object(loading, &kept, err);
    }
    if (memchr(row->resource.p, '.', row->resource.n) == NULL) {
        return err_set(err, ERR_UNSUPPORTED,
                       "the store holds %.*s, which this program does not know",
                       STR_ARG(row->resource));
    }
    struct arena *arena = &loading->arena;
    *vec_push(&loading->kept) = (struct kept_row){
        str_copy_in(arena, row->resource), str_copy_in(arena, row->ns),
        str_copy_in(arena, row->name), str_copy_in(arena, row->value), row->revision};
    return 0;
}

static bool is_established(const struct val *crd)
{
    const struct val *condition =
        val_find(val_path(crd, "status.conditions"), "type", STR("Established"));
    return str_is(val_text(val_get(condition, "status")), "True");
}

/* A definition that was served is served again; the server's own watch of them does the rest. */
static int define(struct loading *loading, const struct object *object, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct registry *registry = cache_registry(loading->sequencer->cache);
    const struct val *crd = object_decode(object, &arena);
    const struct val *names = val_path(crd, "status.acceptedNames");
    uint16_t id = 0;
    struct definition *definition = NULL;
    if (!is_established(crd)) {
        return 0;
    }
    int rc = registry_id(registry, val_text(val_path(crd, "spec.group")),
                         val_text(val_get(names, "plural")), &id, err);
    rc = rc != 0 ? rc : definition_new(crd, names, true, id, &definition, err);
    if (rc != 0) {
        return err_wrap(err, "definition %.*s", STR_ARG(object->name));
    }
    registry_put(registry, definition);
    return 0;
}

/* No definition: kind and version are read from the object itself. */
static int define_dormant(struct loading *loading, const struct kept_row *row, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct registry *registry = cache_registry(loading->sequencer->cache);
    struct val *object = NULL;
    struct str group, plural = str_cut(row->resource, '.', &group), ignored, version;
    uint16_t id = 0;
    int rc = val_parse_json(&arena, row->value, &object, err);
    rc = rc != 0 ? rc : registry_id(registry, group, plural, &id, err);
    if (rc != 0) {
        return rc;
    }
    schema_split_version(val_text(val_get(object, "apiVersion")), &ignored, &version);
    struct definition *definition = definition_dormant(
        plural, group, version, val_text(val_get(object, "kind")), row->ns.n > 0, id);
    if (definition == NULL) {
        return err_set(err, ERR_UNSUPPORTED, "the store holds %.*s, of which nothing is known",
                       STR_ARG(row->resource));
    }
    registry_put(registry, definition);
    return 0;
}

static int load_kept(struct loading *loading, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < loading->kept.count && rc == 0; i++) {
        const struct kept_row *row = &loading->kept.items[i];
        if (!find_resource(loading, row->resource)) {
            rc = define_dormant(loading, row, err);
            loading->name = STR_NONE; /* look again */
        }
        if (rc == 0) {
            rc = find_resource(loading, row->resource) ? load_object(loading, row, err)
                                                       : ERR_INTERNAL;
        }
    }
    return rc;
}

int sequencer_load(struct sequencer *sequencer, struct err *err)
{
    struct loading loading = {.sequencer = sequencer};
    struct store *store = sequencer->store;
    int rc = store->ops->load(store, load_row, &loading, err);
    for (size_t i = 0; i < loading.definitions.count && rc == 0; i++) {
        rc = define(&loading, loading.definitions.items[i], err);
    }
    schema_unref(loading.resource); /* what was not there may be there now */
    loading.resource = NULL;
    loading.name = STR_NONE;
    rc = rc != 0 ? rc : load_kept(&loading, err);
    VEC_EACH (it, &loading.definitions) {
        object_unref(*it);
    }
    schema_unref(loading.resource);
    vec_done(&loading.definitions);
    vec_done(&loading.kept);
    arena_done(&loading.arena);
    return rc;
}

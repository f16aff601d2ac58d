/* pipeline.c: the order of steps is upstream's: default, track, mutating admission, metadata and
 * strategy, validation, validating admission; managedFields are tracked before admission. Nothing
 * here waits; admission that must wait sets request->retry_ns and fails. */
#include "server/write/pipeline.h"

#include "api/custom/custom.h"
#include "api/managed/reset.h"
#include "base/failpoint.h"
#include "server/admission/admission.h"
#include "server/server_int.h"
#include "server/write/deletion.h"
#include "server/write/version.h"

enum { GENERATED_SUFFIX = 5, GENERATED_PREFIX_MAX = 58 };

struct val *pipeline_decode(struct change *change, const struct object *current)
{
    return current != NULL ? version_decode(&change->arena, change->resource, current) : NULL;
}

static int check_namespace(struct request *request, struct change *change, struct val *meta,
                           struct failure *failure)
{
    if (!change->resource->namespaced) {
        val_unset(meta, STR("namespace"));
        return 0;
    }
    struct str ns = val_text(val_get(meta, "namespace"));
    if (ns.n > 0 && !str_eq(ns, change->ns)) {
        return failure_set(failure, &change->arena, ERR_BAD_REQUEST,
                           "the namespace of the provided object does not match the namespace "
                           "sent on the request");
    }
    if (ns.n == 0) {
        val_set_text(&change->arena, meta, STR("namespace"), change->ns);
    }
    return 0;
}

static void generate_name(struct request *request, struct change *change, struct val *meta)
{
    struct str base = val_text(val_get(meta, "generateName"));
    if (val_text(val_get(meta, "name")).n > 0 || base.n == 0) {
        return;
    }
    if (base.n > GENERATED_PREFIX_MAX) {
        base.n = GENERATED_PREFIX_MAX;
    }
    char suffix[GENERATED_SUFFIX + 1];
    random_suffix(loop_random(request->loop), GENERATED_SUFFIX, suffix);
    char *name = arena_printf(&change->arena, "%.*s%s", STR_ARG(base), suffix);
    val_set_text(&change->arena, meta, STR("name"), str_of(name));
}

static void fill_metadata(struct request *request, struct change *change, struct val *meta)
{
    struct arena *arena = &change->arena;
    char time[TIME_TEXT_SIZE], uid[UUID_TEXT_SIZE];
    size_t n = time_format(clock_wall(loop_clock(request->loop)), time);
    random_uuid(loop_random(request->loop), uid);
    val_unset(meta, STR("deletionTimestamp"));
    val_unset(meta, STR("deletionGracePeriodSeconds"));
    val_unset(meta, STR("selfLink"));
    val_set_text(arena, meta, STR("uid"), str_copy_in(arena, str_of(uid)));
    val_set_text(arena, meta, STR("creationTimestamp"), str_copy_in(arena, str_at(time, n)));
}

static struct admission admission_of(struct request *request, struct change *change,
                                     enum request_verb operation, struct val *object,
                                     const struct val *old)
{
    return (struct admission){.request = request,
                              .change = change,
                              .arena = &change->arena,
                              .operation = operation,
                              .resource = change->resource,
                              .ns = change->ns,
                              .name = change->name,
                              .subresource = route_subresource(&request->route),
                              .object = object,
                              .old = old};
}

static int validate(struct request *request, struct change *change, struct api_context *ctx,
                    const struct val *object, const struct val *old, struct failure *failure)
{
    struct field_errors errors = {.arena = &change->arena};
    size_t told = ctx->warnings->count;
    api_validate(ctx, change->resource, object, old, &errors);
    if (errors.count == 0) {
        return 0;
    }
    ctx->warnings->count = told; /* what is refused needs no advice */
    struct str name = val_name(object);
    if (name.n == 0) {
        name = val_text(val_path(object, "metadata.generateName"));
    }
    return failure_invalid(failure, &change->arena, str_of(change->resource->group),
                           str_of(change->resource->kind), name, &errors);
}

/* Puts `value` (NULL: nothing) under key for a while; returns what was there. */
static struct val *swap(struct arena *arena, struct val *object, struct str key, struct val *value)
{
    struct val *was = val_get_str(object, key);
    struct val *kept = NULL;
    if (was != NULL) {
        kept = arena_new(arena, struct val);
        *kept = *was;
        kept->next = NULL;
    }
    if (value != NULL) {
        val_set(object, key, value);
    } else {
        val_unset(object, key);
    }
    return kept;
}

/* The version of the writer's kind that is called so, or NULL. */
static const struct api_resource *version_of(const struct api_resource *kind,
                                             struct str api_version)
{
    const struct api_resource *it = kind->custom != NULL
                                        ? definition_version(kind->custom->definition, api_version)
                                        : schema_kind_of(api_version, str_of(kind->kind));
    /* managers of another group's version of it are forgotten, as upstream does */
    bool same = it != NULL && it->storage == kind->storage && strcmp(it->group, kind->group) == 0;
    return same ? it : NULL;
}

static struct val *convert(const struct fields_writer *writer, struct arena *arena,
                           const struct val *object, struct str api_version,
                           const struct api_struct **ret_type)
{
    const struct api_resource *kind = writer->ctx;
    const struct api_resource *from = version_of(kind, val_text(val_get(object, "apiVersion")));
    const struct api_resource *to = version_of(kind, api_version);
    if (to == NULL) {
        return NULL;
    }
    *ret_type = to->type;
    return version_convert(arena, from != NULL ? from : kind, to, object);
}

struct fields_writer pipeline_writer(struct request *request, struct change *change)
{
    const struct api_resource *resource = change->resource;
    struct str subresource = route_subresource(&request->route);
    return (struct fields_writer){
        .type = resource->type,
        .manager = request_manager(request),
        .api_version = api_version_text(&change->arena, resource->group, resource->version),
        .subresource = subresource,
        .reset = reset_paths(resource, subresource),
        .now_wall_ns = clock_wall(loop_clock(request->loop)),
        .convert = convert,
        .ctx = resource,
    };
}

/* managedFields are of what the client meant: before admission and strategy fill things in, and
 * without the part that this (sub)resource does not write. */
static void track(struct request *request, struct change *change, struct val *object,
                  const struct val *old)
{
    if (!change->tracked) {
        struct fields_writer writer = pipeline_writer(request, change);
        fields_track_update(&change->arena, &writer, old, object);
    }
}

int pipeline_create(struct request *request, struct change *change, struct val *object,
                    struct plan *ret_plan, struct failure *failure)
{
    struct arena *arena = &change->arena;
    struct val *meta = val_make_object(arena, object, STR("metadata"));
    const struct custom *custom = change->resource->custom;
    if (custom != NULL && atomic_load(&custom->definition->terminating)) {
        return failure_set(failure, arena, ERR_METHOD,
                           "create not allowed while custom resource definition is terminating");
    }
    int code = check_namespace(request, change, meta, failure);
    if (code < 0) {
        return code;
    }
    struct str version = val_text(val_get(meta, "resourceVersion"));
    if (version.n > 0 && !str_is(version, "0") && !change->dry_run) {
        return failure_set(failure, arena, ERR_BAD_REQUEST,
                           "resourceVersion should not be set on objects to be created");
    }
    val_unset(meta, STR("resourceVersion"));
    api_default(arena, change->resource, object);
    track(request, change, object, NULL);
    generate_name(request, change, meta);
    change->name = val_text(val_get(meta, "name"));
    struct admission admission = admission_of(request, change, VERB_CREATE, object, NULL);
    code = admission_mutate(&admission, failure);
    if (code < 0) {
        return code;
    }
    fill_metadata(request, change, meta);
    struct api_context ctx = request_context(request, arena);
    api_prepare(&ctx, change->resource, object, NULL);
    code = admission_prepare(&admission, failure);
    if (code == 0) {
        code = validate(request, change, &ctx, object, NULL, failure);
    }
    if (code == 0) {
        code = admission_validate(&admission, failure);
    }
    if (code < 0) {
        return code;
    }
    FAILPOINT("server.admitted");
    *ret_plan = (struct plan){PLAN_CREATE, object};
    return 0;
}

/* What a client may not change, put back before anybody looks; of a deletion that is under way
 * only what it left out, so that validation sees what it changed. */
static void carry_metadata(struct change *change, struct val *next, const struct val *old)
{
    static const struct {
        const char *name;
        bool missing_only;
    } keys[] = {{"uid", true},
                {"creationTimestamp", false},
                {"deletionTimestamp", true},
                {"deletionGracePeriodSeconds", true},
                {"generation", false}};
    struct arena *arena = &change->arena;
    struct val *meta = val_make_object(arena, next, STR("metadata"));
    const struct val *old_meta = val_get(old, "metadata");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct str key = str_of(keys[i].name);
        const struct val *kept = val_get_str(old_meta, key);
        if (keys[i].missing_only && !val_absent(val_get_str(meta, key))) {
            continue;
        }
        if (kept != NULL) {
            val_set(meta, key, val_copy(arena, kept));
        } else {
            val_unset(meta, key);
        }
    }
    val_set_text(arena, meta, STR("name"), change->name);
    if (change->resource->namespaced) {
        val_set_text(arena, meta, STR("namespace"), change->ns);
    }
}

/* A uid in a PUT is a precondition; in a patch it is a member like others, which is immutable. */
static int check_preconditions(struct request *request, struct change *change,
                               const struct val *next, const struct val *old,
                               const struct object *current, struct failure *failure)
{
    struct arena *arena = &change->arena;
    const struct val *meta = val_get(next, "metadata");
    struct str uid = val_text(val_get(meta, "uid"));
    if (uid.n > 0 && request->route.verb != VERB_PATCH && !str_eq(uid, val_uid(old))) {
        return failure_conflict(failure, arena, change->resource, change->name,
                                "Precondition failed: UID in precondition: %.*s, UID in object "
                                "meta: %.*s",
                                STR_ARG(uid), STR_ARG(val_uid(old)));
    }
    struct str version = val_text(val_get(meta, "resourceVersion"));
    uint64_t number = 0;
    if (version.n > 0 && !str_u64(version, &number)) {
        failure_set(failure, arena, ERR_INTERNAL,
                    "invalid resource version \"%.*s\": must be an unsigned integer",
                    STR_ARG(version));
        failure->unreasoned = true;
        return failure->code;
    }
    if (number != 0 && number != current->revision) {
        return failure_conflict(failure, arena, change->resource, change->name, "%s",
                                conflict_modified);
    }
    if (number == 0 && !change->resource->ops->unconditional_update) {
        struct field_errors errors = {.arena = arena};
        field_error_add(&errors, "FieldValueInvalid", STR("metadata.resourceVersion"),
                        "Invalid value: 0: must be specified for an update");
        return failure_invalid(failure, arena, str_of(change->resource->group),
                               str_of(change->resource->plural), change->name, &errors);
    }
    return 0;
}

/* Whether two entries of managedFields differ in nothing but their time. */
static bool same_entry(const struct val *a, const struct val *b)
{
    static const char *const keys[] = {"manager", "operation", "apiVersion", "subresource",
                                       "fieldsV1"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct val *x = val_get_str(a, str_of(keys[i])), *y = val_get_str(b, str_of(keys[i]));
        if ((x == NULL) != (y == NULL) || (x != NULL && !val_equal(x, y))) {
            return false;
        }
    }
    return true;
}

static bool same_managers(const struct val *a, const struct val *b)
{
    const struct val *y = b != NULL ? b->child : NULL;
    if (val_count(a) != val_count(b)) {
        return false;
    }
    VAL_EACH (x, a) {
        if (!same_entry(x, y)) {
            return false;
        }
        y = y->next;
    }
    return true;
}

/* Whether `next` is what is stored but for times in managedFields, which then do not move. */
static bool changes_nothing(struct change *change, struct val *next, const struct val *old,
                            const struct object *current)
{
    struct arena *arena = &change->arena;
    struct val *meta = val_get(next, "metadata");
    const struct val *theirs = val_path(old, "metadata.managedFields");
    struct val *mine = val_get(meta, "managedFields");
    if (!same_managers(mine, theirs)) {
        return false;
    }
    struct val *kept =
        swap(arena, meta, STR("managedFields"), theirs != NULL ? val_copy(arena, theirs) : NULL);
    struct object *object = version_store(arena, change->resource, next);
    bool same = str_eq(str_at(object->json, object->n), str_at(current->json, current->n));
    object_unref(object);
    swap(arena, meta, STR("managedFields"), kept);
    return same;
}

int pipeline_update(struct request *request, struct change *change, struct val *next,
                    const struct val *old, const struct object *current, struct plan *ret_plan,
                    struct failure *failure)
{
    struct arena *arena = &change->arena;
    struct val *meta = val_make_object(arena, next, STR("metadata"));
    int code = check_namespace(request, change, meta, failure);
    if (code == 0) {
        code = check_preconditions(request, change, next, old, current, failure);
    }
    if (code < 0) {
        return code;
    }
    carry_metadata(change, next, old);
    val_set_text(arena, meta, STR("resourceVersion"),
                 str_of(arena_printf(arena, "%llu", (unsigned long long)current->revision)));
    api_default(arena, change->resource, next);
    track(request, change, next, old);
    struct admission admission = admission_of(request, change, VERB_UPDATE, next, old);
    code = admission_mutate(&admission, failure);
    if (code < 0) {
        return code;
    }
    struct api_context ctx = request_context(request, arena);
    api_prepare(&ctx, change->resource, next, old);
    code = admission_prepare(&admission, failure);
    if (code == 0) {
        code = validate(request, change, &ctx, next, old, failure);
    }
    if (code == 0) {
        code = admission_validate(&admission, failure);
    }
    if (code < 0) {
        return code;
    }
    if (deletion_is_due(change->resource, next)) {
        *ret_plan = (struct plan){PLAN_DELETE, next};
        return 0;
    }
    if (changes_nothing(change, next, old, current)) {
        *ret_plan = (struct plan){PLAN_NOTHING, NULL};
        return 0;
    }
    *ret_plan = (struct plan){PLAN_UPDATE, next};
    return 0;
}

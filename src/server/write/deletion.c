/* deletion.c: plans of deletions.
 *
 * An object goes at once when nothing holds it (no finalizers, no grace); otherwise it gets a
 * deletionTimestamp and stays until the last holder lets go (pipeline.c notices that). Namespaces
 * have a second list of finalizers in spec, and say in status.phase that they are terminating: the
 * only kind that is named here, since no strategy callback covers it.
 */
#include "server/write/deletion.h"

#include "server/admission/admission.h"
#include "server/server_int.h"
#include "server/write/pipeline.h"

static bool is_namespace(const struct api_resource *resource)
{
    return resource->group[0] == '\0' && str_is(str_of(resource->plural), "namespaces");
}

static bool is_held(const struct api_resource *resource, const struct val *object)
{
    return val_count(val_path(object, "metadata.finalizers")) > 0 ||
           (is_namespace(resource) && val_count(val_path(object, "spec.finalizers")) > 0);
}

bool deletion_is_due(const struct api_resource *resource, const struct val *object)
{
    return !val_absent(val_path(object, "metadata.deletionTimestamp")) &&
           val_int(val_path(object, "metadata.deletionGracePeriodSeconds"), 0) == 0 &&
           !is_held(resource, object);
}

/* Conflicts of deletions name the kind, not the resource. */
static int conflict(struct deletion *deletion, struct failure *failure, const char *why)
{
    const struct api_resource *r = deletion->change.resource;
    struct arena *arena = &deletion->change.arena;
    failure_set(failure, arena, ERR_CONFLICT,
                "Operation cannot be fulfilled on %s%s%s \"%.*s\": %s", r->kind,
                r->group[0] != '\0' ? "." : "", r->group, STR_ARG(deletion->change.name), why);
    failure->name = deletion->change.name;
    failure->group = str_of(r->group);
    failure->kind = str_of(r->kind);
    return ERR_CONFLICT;
}

static int check_preconditions(struct deletion *deletion, const struct val *object,
                               const struct object *current, struct failure *failure)
{
    struct arena *arena = &deletion->change.arena;
    if (deletion->uid.n > 0 && !str_eq(deletion->uid, val_uid(object))) {
        return conflict(deletion, failure,
                        arena_printf(arena,
                                     "the UID in the precondition (%.*s) does not match the UID in "
                                     "record (%.*s). The object might have been deleted and then "
                                     "recreated",
                                     STR_ARG(deletion->uid), STR_ARG(val_uid(object))));
    }
    if (deletion->version != 0 && deletion->version != current->revision) {
        return conflict(
            deletion, failure,
            arena_printf(arena,
                         "the ResourceVersion in the precondition (%llu) does not match "
                         "the ResourceVersion in record (%llu). The object might have "
                         "been modified",
                         (unsigned long long)deletion->version,
                         (unsigned long long)current->revision));
    }
    return 0;
}

static void set_finalizer(struct arena *arena, struct val *meta, const char *name, bool wanted)
{
    struct val *list = val_get(meta, "finalizers");
    struct val *found = NULL;
    VAL_EACH (it, list) {
        if (str_is(val_text(it), name)) {
            found = it;
        }
    }
    if (wanted && found == NULL) {
        val_append(val_make_array(arena, meta, STR("finalizers")),
                   val_new_text(arena, str_of(name)));
    } else if (!wanted && found != NULL) {
        val_remove(list, found);
        if (list->count == 0) {
            val_unset(meta, STR("finalizers"));
        }
    }
}

static bool has_finalizer(const struct val *meta, const char *name)
{
    VAL_EACH (it, val_get(meta, "finalizers")) {
        if (str_is(val_text(it), name)) {
            return true;
        }
    }
    return false;
}

/* Without a policy, finalizers that are there say what happens to dependents, then the kind. */
static void choose_propagation(struct deletion *deletion, const struct val *meta)
{
    if (deletion->propagation.n > 0 || !deletion->change.resource->ops->orphans_by_default ||
        has_finalizer(meta, "orphan") || has_finalizer(meta, "foregroundDeletion")) {
        return;
    }
    deletion->propagation = STR("Orphan");
    if (deletion->request != NULL) {
        request_warn(deletion->request,
                     "child pods are preserved by default when jobs are deleted; set "
                     "propagationPolicy=Background to remove them or set propagationPolicy=Orphan "
                     "to suppress this warning");
    }
}

static void set_propagation(struct deletion *deletion, struct val *meta)
{
    struct arena *arena = &deletion->change.arena;
    choose_propagation(deletion, meta);
    if (deletion->propagation.n == 0) {
        return;
    }
    set_finalizer(arena, meta, "orphan", str_is(deletion->propagation, "Orphan"));
    set_finalizer(arena, meta, "foregroundDeletion", str_is(deletion->propagation, "Foreground"));
}

static int64_t grace_of(struct deletion *deletion, const struct val *object)
{
    const struct api_ops *ops = deletion->change.resource->ops;
    if (ops->grace_seconds == NULL) {
        return 0;
    }
    struct api_context ctx = {.arena = &deletion->change.arena,
                              .now_wall_ns = clock_wall(loop_clock(deletion->change.loop)),
                              .subresource = ""};
    int64_t grace = ops->grace_seconds(&ctx, object, deletion->grace_s);
    return grace < 0 ? 0 : grace;
}

static void mark(struct deletion *deletion, struct val *object, struct val *meta, int64_t grace)
{
    struct arena *arena = &deletion->change.arena;
    char time[TIME_TEXT_SIZE];
    int64_t when = clock_wall(loop_clock(deletion->change.loop)) + grace * NS_PER_S;
    size_t n = time_format(when, time);
    if (val_absent(val_get(meta, "deletionTimestamp"))) {
        int64_t generation = val_int(val_get(meta, "generation"), 0);
        if (generation > 0) {
            val_set_int(arena, meta, STR("generation"), generation + 1);
        }
    }
    val_set_text(arena, meta, STR("deletionTimestamp"), str_copy_in(arena, str_at(time, n)));
    if (!is_namespace(deletion->change.resource)) {
        val_set_int(arena, meta, STR("deletionGracePeriodSeconds"), grace);
    } else {
        val_set_text(arena, val_make_object(arena, object, STR("status")), STR("phase"),
                     STR("Terminating"));
    }
}

static int admit(struct deletion *deletion, const struct val *object, struct failure *failure)
{
    if (deletion->request == NULL) {
        return 0;
    }
    struct admission admission = {.request = deletion->request,
                                  .change = &deletion->change,
                                  .arena = &deletion->change.arena,
                                  .operation = VERB_DELETE,
                                  .resource = deletion->change.resource,
                                  .ns = deletion->change.ns,
                                  .name = deletion->change.name,
                                  .old = object};
    return admission_validate(&admission, failure);
}

int deletion_plan(struct change *change, struct object *current, struct plan *ret_plan,
                  struct failure *failure)
{
    struct deletion *deletion = container_of(change, struct deletion, change);
    if (current == NULL) {
        return failure_not_found(failure, &change->arena, change->resource, change->name);
    }
    struct val *object = pipeline_decode(change, current);
    int code = check_preconditions(deletion, object, current, failure);
    if (code == 0) {
        code = admit(deletion, object, failure);
    }
    if (code < 0) {
        return code;
    }
    struct val *meta = val_get(object, "metadata");
    bool dying = !val_absent(val_get(meta, "deletionTimestamp"));
    int64_t before = val_int(val_get(meta, "deletionGracePeriodSeconds"), 0);
    if (change->resource->ops->prepare_delete != NULL) {
        struct api_context ctx = {.arena = &change->arena,
                                  .now_wall_ns = clock_wall(loop_clock(change->loop)),
                                  .subresource = ""};
        change->resource->ops->prepare_delete(&ctx, object);
    }
    set_propagation(deletion, meta);
    int64_t grace = grace_of(deletion, object);
    if (dying && grace >= before) {
        /* Grace may only get shorter; a held object just stays as it is. */
        grace = before;
    }
    deletion->marked = grace > 0 || is_held(change->resource, object);
    if (!deletion->marked) {
        *ret_plan = (struct plan){PLAN_DELETE, NULL};
        return 0;
    }
    if (dying && grace == before && deletion->propagation.n == 0) {
        *ret_plan = (struct plan){PLAN_NOTHING, NULL};
        return 0;
    }
    if (!dying || grace != before) {
        mark(deletion, object, meta, grace);
    }
    *ret_plan = (struct plan){PLAN_UPDATE, object};
    return 0;
}

static int read_body(struct request *request, struct deletion *ret, struct failure *failure)
{
    struct val *body = NULL;
    const struct api_struct *type =
        schema_struct(STR("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"));
    int code = request_decode(request, type, &body, failure);
    if (code < 0) {
        return code;
    }
    if (!val_is(body, VAL_OBJECT)) {
        return 0;
    }
    struct str kind = val_text(val_get(body, "kind"));
    if (kind.n > 0 && !str_is(kind, "DeleteOptions")) {
        return failure_set(failure, &request->arena, ERR_BAD_REQUEST,
                           "%.*s cannot be handled as a DeleteOptions", STR_ARG(kind));
    }
    ret->grace_s = val_int(val_get(body, "gracePeriodSeconds"), ret->grace_s);
    struct str propagation = val_text(val_get(body, "propagationPolicy"));
    if (propagation.n > 0) {
        ret->propagation = propagation;
    } else if (!val_absent(val_get(body, "orphanDependents"))) {
        ret->propagation =
            val_bool(val_get(body, "orphanDependents"), false) ? STR("Orphan") : STR("Background");
    }
    ret->uid = val_text(val_path(body, "preconditions.uid"));
    struct str version = val_text(val_path(body, "preconditions.resourceVersion"));
    if (version.n > 0 && !str_u64(version, &ret->version)) {
        return failure_set(failure, &request->arena, ERR_BAD_REQUEST,
                           "preconditions.resourceVersion: must be an unsigned integer");
    }
    struct str dry = val_text(val_at(val_get(body, "dryRun"), 0));
    if (dry.n > 0 && !str_is(dry, "All")) {
        return failure_set(failure, &request->arena, ERR_BAD_REQUEST,
                           "dryRun: Unsupported value: \"%.*s\": supported values: \"All\"",
                           STR_ARG(dry));
    }
    request->options.dry_run = request->options.dry_run || dry.n > 0;
    return 0;
}

int deletion_options(struct request *request, struct deletion *ret, struct failure *failure)
{
    *ret = (struct deletion){.request = request,
                             .grace_s = request->options.grace_s,
                             .propagation = request->options.propagation};
    if (request->body.n > 0 || request->body_value != NULL) {
        int code = read_body(request, ret, failure);
        if (code < 0) {
            return code;
        }
    }
    struct str p = ret->propagation;
    if (p.n > 0 && !str_is(p, "Background") && !str_is(p, "Foreground") && !str_is(p, "Orphan")) {
        struct field_errors errors = {.arena = &request->arena};
        field_error_add(&errors, "FieldValueNotSupported", STR("propagationPolicy"),
                        "Unsupported value: \"%.*s\": supported values: \"Foreground\", "
                        "\"Background\", \"Orphan\", \"nil\"",
                        STR_ARG(p));
        return failure_invalid(failure, &request->arena, STR("meta.k8s.io"), STR("DeleteOptions"),
                               STR(""), &errors);
    }
    ret->change.dry_run = request->options.dry_run;
    return 0;
}

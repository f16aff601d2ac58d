/* definition_kind.c: the strategy of CustomResourceDefinition.
 *
 * The status is the server's (server/custom/), but for what belongs to the write itself:
 * storedVersions notes each storage version at once, and a deletion is marked together with the
 * finalizer that lets the objects go first.
 */
#include "api/custom/definition_kind.h"

#include "api/defaults.h"
#include "api/warning.h"
#include "base/clock.h"

static void default_names(struct arena *arena, struct val *names)
{
    struct str kind = val_text(val_get(names, "kind"));
    if (kind.n == 0) {
        return;
    }
    char *lower = str_dup_in(arena, kind);
    for (char *c = lower; *c != '\0'; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    }
    default_text(arena, names, "singular", lower);
    default_text(arena, names, "listKind", arena_printf(arena, "%.*sList", STR_ARG(kind)));
}

static void defaults(struct arena *arena, struct val *crd)
{
    struct val *names = val_path(crd, "spec.names");
    if (val_is(names, VAL_OBJECT)) {
        default_names(arena, names);
    }
}

/* Every version that objects were ever stored in. */
static void note_stored(struct arena *arena, struct val *crd)
{
    VAL_EACH (version, val_path(crd, "spec.versions")) {
        struct str name = val_text(val_get(version, "name"));
        if (!val_bool(val_get(version, "storage"), false)) {
            continue;
        }
        struct val *stored = val_make_array(arena, val_make_object(arena, crd, STR("status")),
                                            STR("storedVersions"));
        bool there = false;
        VAL_EACH (it, stored) {
            there = there || str_eq(it->text, name);
        }
        if (!there) {
            val_append(stored, val_new_text(arena, name));
        }
        break; /* there is one only, or the definition is refused */
    }
}

bool definition_has_rules(const struct val *schema)
{
    bool found =
        val_is(schema, VAL_OBJECT) && val_count(val_get(schema, "x-kubernetes-validations")) > 0;
    for (const struct val *it = schema != NULL ? schema->child : NULL; it != NULL && !found;
         it = it->next) {
        bool inner = it->type == VAL_OBJECT || it->type == VAL_ARRAY;
        found = inner && !str_is(it->key, "default") && !str_is(it->key, "enum") &&
                definition_has_rules(it);
    }
    return found;
}

/* What is kept, but not done. */
static void warn_of_unmet(struct api_context *ctx, const struct val *crd)
{
    VAL_EACH (version, val_path(crd, "spec.versions")) {
        if (definition_has_rules(val_path(version, "schema.openAPIV3Schema"))) {
            api_warn(ctx, NULL,
                     "x-kubernetes-validations (CEL) are kept, but this server does not enforce "
                     "them yet");
            break;
        }
    }
    if (str_is(val_text(val_path(crd, "spec.conversion.strategy")), "Webhook")) {
        api_warn(ctx, NULL,
                 "conversion webhooks are not called yet: objects are converted as with strategy "
                 "None, by changing apiVersion only");
    }
}

static void prepare_create(struct api_context *ctx, struct val *crd)
{
    note_stored(ctx->arena, crd);
    warn_of_unmet(ctx, crd);
}

static void prepare_update(struct api_context *ctx, struct val *next, const struct val *old)
{
    if (ctx->subresource[0] == '\0') {
        note_stored(ctx->arena, next);
        warn_of_unmet(ctx, next);
    }
}

bool definition_set_condition(struct arena *arena, struct val *crd, const char *type, bool state,
                              const char *reason, const char *message, int64_t now_wall_ns)
{
    struct val *list =
        val_make_array(arena, val_make_object(arena, crd, STR("status")), STR("conditions"));
    struct val *condition = val_find(list, "type", str_of(type));
    struct str text = state ? STR("True") : STR("False");
    if (condition == NULL) {
        condition = val_append(list, val_new(arena, VAL_OBJECT));
        val_set_text(arena, condition, STR("type"), str_of(type));
    }
    bool flipped = !str_eq(val_text(val_get(condition, "status")), text);
    bool changed = flipped || !str_is(val_text(val_get(condition, "reason")), reason) ||
                   !str_is(val_text(val_get(condition, "message")), message);
    if (flipped) {
        char time[TIME_TEXT_SIZE];
        size_t n = time_format(now_wall_ns, time);
        val_set_text(arena, condition, STR("lastTransitionTime"),
                     str_copy_in(arena, str_at(time, n)));
    }
    val_set_text(arena, condition, STR("status"), text);
    val_set_text(arena, condition, STR("reason"), str_of(reason));
    val_set_text(arena, condition, STR("message"), str_of(message));
    return changed;
}

static void prepare_delete(struct api_context *ctx, struct val *crd)
{
    struct val *metadata = val_get(crd, "metadata");
    if (!val_absent(val_get(metadata, "deletionTimestamp"))) {
        return;
    }
    char time[TIME_TEXT_SIZE];
    size_t n = time_format(ctx->now_wall_ns, time);
    /* Set here, it leaves the generation as it is. */
    val_set_text(ctx->arena, metadata, STR("deletionTimestamp"),
                 str_copy_in(ctx->arena, str_at(time, n)));
    struct val *finalizers = val_make_array(ctx->arena, metadata, STR("finalizers"));
    VAL_EACH (it, finalizers) {
        if (str_is(it->text, DEFINITION_FINALIZER)) {
            return;
        }
    }
    val_append(finalizers, val_new_text(ctx->arena, STR(DEFINITION_FINALIZER)));
    definition_set_condition(
        ctx->arena, crd, "Terminating", true, "InstanceDeletionPending",
        "CustomResourceDefinition marked for deletion; CustomResource deletion "
        "will begin soon",
        ctx->now_wall_ns);
}

static void validate(struct api_context *ctx, const struct val *crd, struct field_errors *errors)
{
    definition_check(errors, crd);
}

static void validate_create(struct api_context *ctx, const struct val *crd,
                            struct field_errors *errors)
{
    definition_check_name(errors, crd);
}

static void validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                            struct field_errors *errors)
{
    if (ctx->subresource[0] != '\0') { /* validate() is not asked */
        definition_check_stored(errors, next);
    }
    definition_check_update(errors, next, old);
}

const struct api_ops ops_definition = {
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .prepare_delete = prepare_delete,
    .defaults = defaults,
    .validate = validate,
    .validate_create = validate_create,
    .validate_update = validate_update,
    .generation = true,
    .any_finalizer = true,
};

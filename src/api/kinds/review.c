/* review.c: kinds that are questions or orders and are never stored: access reviews, TokenReview,
 * TokenRequest, Binding, Scale. */
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/validation.h"

static void review_metadata_check(struct field_errors *errors, const struct val *review, bool local)
{
    VAL_EACH (member, val_get(review, "metadata")) {
        bool server = str_is(member->key, "managedFields") ||
                      str_is(member->key, "creationTimestamp") || str_is(member->key, "uid");
        bool fine = server || (local && str_is(member->key, "namespace"));
        if (!fine && !val_absent(member) && (val_count(member) > 0 || val_text(member).n > 0)) {
            field_invalid_val(errors, AT(NULL, "metadata"), val_get(review, "metadata"),
                              local ? "must be empty except for namespace" : "must be empty");
            return;
        }
    }
}

static void access_validate(struct api_context *ctx, const struct val *review,
                            struct field_errors *errors)
{
    struct str kind = val_text(val_get(review, "kind"));
    bool self = str_is(kind, "SelfSubjectAccessReview");
    bool local = str_is(kind, "LocalSubjectAccessReview");
    const struct val *spec = val_get(review, "spec");
    const struct val *resource = val_get(spec, "resourceAttributes");
    const struct val *other = val_get(spec, "nonResourceAttributes");
    const struct path *path = AT(NULL, "spec");
    if (val_absent(resource) == val_absent(other)) {
        field_invalid_val(errors, path, other,
                          "exactly one of nonResourceAttributes or resourceAttributes must be "
                          "specified");
    }
    if (!self && val_text(val_get(spec, "user")).n == 0 &&
        val_count(val_get(spec, "groups")) == 0) {
        field_invalid(errors, AT(path, "user"), STR(""),
                      "at least one of user or group must be specified");
    }
    review_metadata_check(errors, review, local);
    if (local && !val_absent(resource) &&
        !str_eq(val_text(val_get(resource, "namespace")), val_namespace(review))) {
        field_invalid(errors, AT(NULL, "spec.resourceAttributes.namespace"),
                      val_text(val_get(resource, "namespace")), "must match metadata.namespace");
    }
    if (local && !val_absent(other)) {
        field_invalid_val(errors, AT(NULL, "spec.nonResourceAttributes"), other,
                          "disallowed on this kind of request");
    }
    (void)ctx;
}

static void token_request_default(struct arena *arena, struct val *request)
{
    default_int(arena, default_object(arena, request, "spec"), "expirationSeconds", 3600);
}

static void token_request_validate(struct api_context *ctx, const struct val *request,
                                   struct field_errors *errors)
{
    const struct path *path = AT(AT(NULL, "spec"), "expirationSeconds");
    int64_t seconds = val_int(val_path(request, "spec.expirationSeconds"), 3600);
    if (seconds < 600) {
        field_invalid_int(errors, path, seconds, "may not specify a duration less than 10 minutes");
    } else if (seconds > (int64_t)1 << 32) {
        field_invalid_int(errors, path, seconds,
                          "may not specify a duration larger than 2^32 seconds");
    }
    (void)ctx;
}

static void binding_validate(struct api_context *ctx, const struct val *binding,
                             struct field_errors *errors)
{
    static const char *const kinds[] = {"", "Node", "<empty>", NULL};
    static const char *const shown[] = {"Node", "<empty>", NULL};
    const struct val *target = val_get(binding, "target");
    struct str kind = val_text(val_get(target, "kind"));
    struct str name = val_text(val_get(target, "name"));
    if (!check_one_of(&(struct field_errors){.arena = errors->arena}, NULL, kind, kinds, false)) {
        field_not_supported(errors, AT(AT(NULL, "target"), "kind"), kind, shown);
    }
    if (name.n == 0) {
        field_required(errors, AT(AT(NULL, "target"), "name"), "");
    }
    (void)ctx;
}

static void scale_validate(struct api_context *ctx, const struct val *scale,
                           struct field_errors *errors)
{
    check_not_negative(errors, AT(AT(NULL, "spec"), "replicas"), val_path(scale, "spec.replicas"));
    (void)ctx;
}

static void scale_columns(struct api_context *ctx, const struct val *scale, struct val *cells)
{
    cell_text(ctx, cells, val_name(scale));
    cell_int(ctx, cells, val_int(val_path(scale, "spec.replicas"), 0));
    cell_int(ctx, cells, val_int(val_path(scale, "status.replicas"), 0));
    cell_age(ctx, cells, scale);
}

const struct api_ops ops_access_review = {.validate = access_validate};

const struct api_ops ops_token_review = {0};

const struct api_ops ops_rules_review = {0};

const struct api_ops ops_token_request = {
    .defaults = token_request_default,
    .validate = token_request_validate,
};

const struct api_ops ops_binding = {.validate = binding_validate};

const struct api_ops ops_scale = {
    .validate = scale_validate,
    .columns = scale_columns,
};

/* ---- ComponentStatus ---- */

static void component_columns(struct api_context *ctx, const struct val *component,
                              struct val *cells)
{
    const struct val *health = val_find(val_get(component, "conditions"), "type", STR("Healthy"));
    bool well = str_is(val_text(val_get(health, "status")), "True");
    cell_text(ctx, cells, val_name(component));
    cell_text(ctx, cells,
              health == NULL ? STR("Unknown")
              : well         ? STR("Healthy")
                             : STR("Unhealthy"));
    cell_text(ctx, cells, val_text(val_get(health, "message")));
    cell_text(ctx, cells, val_text(val_get(health, "error")));
}

const struct api_ops ops_component_status = {
    .columns = component_columns,
};

/* priority_level.c: PriorityLevelConfiguration: how many requests of a level are served at a time.
 * Data: every request is served at once. */
#include <math.h>

#include "api/kinds/cells.h"
#include "api/kinds/flowcontrol/mandatory.h"
#include "api/kinds/kinds.h"

enum { QUEUES_MAX = 10 * 1000 * 1000, HASH_BITS_MAX = 60, PERCENT_MAX = 100 };

static void shares_check(struct field_errors *errors, const struct path *path,
                         const struct val *level)
{
    int64_t shares = val_int(val_get(level, "nominalConcurrencyShares"), 0);
    if (shares < 0) {
        field_invalid_int(errors, AT(path, "nominalConcurrencyShares"), shares,
                          "must be a non-negative integer");
    }
}

static void percent_check(struct field_errors *errors, const struct path *path,
                          const struct val *level)
{
    int64_t percent = val_int(val_get(level, "lendablePercent"), 0);
    if (percent < 0 || percent > PERCENT_MAX) {
        field_invalid_int(errors, AT(path, "lendablePercent"), percent,
                          "must be between 0 and 100, inclusive");
    }
}

/* A hand is dealt from a hash of 60 bits: it must be enough for all hands. */
static void queuing_check(struct field_errors *errors, const struct path *path,
                          const struct val *queuing)
{
    int64_t length = val_int(val_get(queuing, "queueLengthLimit"), 0);
    int64_t queues = val_int(val_get(queuing, "queues"), 0);
    int64_t hand = val_int(val_get(queuing, "handSize"), 0);
    const struct path *hand_at = AT(path, "handSize");
    if (length <= 0) {
        field_invalid_int(errors, AT(path, "queueLengthLimit"), length, "must be positive");
    }
    if (queues <= 0) {
        field_invalid_int(errors, AT(path, "queues"), queues, "must be positive");
    } else if (queues > QUEUES_MAX) {
        field_invalid_int(errors, AT(path, "queues"), queues, "must not be greater than %d",
                          QUEUES_MAX);
    }
    if (hand <= 0) {
        field_invalid_int(errors, hand_at, hand, "must be positive");
    } else if (hand > queues) {
        field_invalid_int(errors, hand_at, hand, "should not be greater than queues (%lld)",
                          (long long)queues);
    } else if (ceil(log2((double)queues) * (double)hand) > HASH_BITS_MAX) {
        field_invalid_int(errors, hand_at, hand,
                          "required entropy bits of deckSize %lld and handSize %lld should not be "
                          "greater than %d",
                          (long long)queues, (long long)hand, HASH_BITS_MAX);
    }
}

static void response_check(struct field_errors *errors, const struct path *path,
                           const struct val *response)
{
    static const char *const types[] = {"Queue", "Reject", NULL};
    struct str type = val_text(val_get(response, "type"));
    const struct val *queuing = val_get(response, "queuing");
    check_one_of(errors, AT(path, "type"), type, types, true);
    if (!str_is(type, "Queue")) {
        if (!val_absent(queuing)) {
            field_forbidden(errors, AT(path, "queuing"), "must go with type Queue");
        }
    } else if (val_absent(queuing)) {
        field_required(errors, AT(path, "queuing"), "must go with type Queue");
    } else {
        queuing_check(errors, AT(path, "queuing"), queuing);
    }
}

static void limited_check(struct field_errors *errors, const struct path *path,
                          const struct val *limited)
{
    int64_t borrowing = val_int(val_get(limited, "borrowingLimitPercent"), 0);
    shares_check(errors, path, limited);
    response_check(errors, AT(path, "limitResponse"), val_get(limited, "limitResponse"));
    percent_check(errors, path, limited);
    if (borrowing < 0) {
        field_invalid_int(errors, AT(path, "borrowingLimitPercent"), borrowing,
                          "if specified, must be a non-negative integer");
    }
}

static void spec_check(struct field_errors *errors, const struct path *path, const struct val *spec)
{
    static const char *const types[] = {"Exempt", "Limited", NULL};
    struct str type = val_text(val_get(spec, "type"));
    const struct val *limited = val_get(spec, "limited"), *exempt = val_get(spec, "exempt");
    check_one_of(errors, AT(path, "type"), type, types, true);
    if (!str_is(type, "Limited") && !val_absent(limited)) {
        field_forbidden(errors, AT(path, "limited"), "must go with type Limited");
    }
    if (!str_is(type, "Exempt") && !val_absent(exempt)) {
        field_forbidden(errors, AT(path, "exempt"), "must go with type Exempt");
    }
    if (str_is(type, "Exempt")) {
        shares_check(errors, AT(path, "exempt"), exempt);
        percent_check(errors, AT(path, "exempt"), exempt);
    } else if (str_is(type, "Limited") && val_absent(limited)) {
        field_required(errors, AT(path, "limited"), "must go with type Limited");
    } else if (str_is(type, "Limited")) {
        limited_check(errors, AT(path, "limited"), limited);
    }
}

static void level_validate(struct api_context *ctx, const struct val *level,
                           struct field_errors *errors)
{
    static const char old[] = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";
    const struct path *path = AT(NULL, "spec");
    const struct val *spec = val_get(level, "spec");
    struct str type = val_text(val_get(spec, "type"));
    if (val_get_str(val_path(level, "metadata.annotations"), str_of(old)) != NULL) {
        field_forbidden(errors, AT(AT(NULL, "metadata"), "annotations"),
                        "annotation '%s' is forbidden", old);
    }
    if (str_is(val_name(level), "exempt") != str_is(type, "Exempt")) {
        field_invalid(errors, AT(path, "type"), type,
                      "must be 'Exempt' if and only if `name` is 'exempt'");
    }
    spec_check(errors, path, spec);
    mandatory_check(ctx, errors, level, "PriorityLevelConfiguration");
}

static void level_validate_update(struct api_context *ctx, const struct val *next,
                                  const struct val *old, struct field_errors *errors)
{
    if (strcmp(ctx->subresource, "status") == 0) {
        named_conditions_check(errors, val_path(next, "status.conditions"));
    }
    (void)old;
}

static void number_or_none(struct api_context *ctx, struct val *cells, const struct val *number)
{
    if (val_absent(number)) {
        cell_text(ctx, cells, STR("<none>"));
    } else {
        cell_int(ctx, cells, val_int(number, 0));
    }
}

static void level_columns(struct api_context *ctx, const struct val *level, struct val *cells)
{
    const struct val *limited = val_path(level, "spec.limited");
    const struct val *queuing = val_path(limited, "limitResponse.queuing");
    cell_text(ctx, cells, val_name(level));
    cell_text(ctx, cells, val_text(val_path(level, "spec.type")));
    number_or_none(ctx, cells, val_get(limited, "nominalConcurrencyShares"));
    number_or_none(ctx, cells, val_get(queuing, "queues"));
    number_or_none(ctx, cells, val_get(queuing, "handSize"));
    number_or_none(ctx, cells, val_get(queuing, "queueLengthLimit"));
    cell_age(ctx, cells, level);
}

const struct api_ops ops_priority_level = {
    .validate = level_validate,
    .validate_update = level_validate_update,
    .columns = level_columns,
    .generation = true,
    .metadata_fixed_in_status = true,
    .unconditional_update = true,
};

/* capacity.c: DeviceCapacity and its request policy. Amounts are exact: compared and divided in
 * nano units. */
#include "api/kinds/resource/capacity.h"

#include "api/quantity.h"

enum { OPTIONS_MAX = 10, NANO_PER_MILLI = 1000000, NANO_PER_ONE = 1000000000 };

static struct quantity amount_of(const struct val *value)
{
    struct quantity q = {0};
    quantity_parse(val_text(value), &q);
    return q;
}

static void options_check(struct field_errors *errors, const struct path *path,
                          const struct val *policy, struct quantity all)
{
    const struct path *list = AT(path, "validValues");
    const struct val *options = val_get(policy, "validValues");
    const struct val *fallback = val_get(policy, "default");
    bool found = false;
    uint32_t i = 0;
    if (val_absent(fallback)) {
        field_required(errors, AT(path, "default"), "required when validValues is defined");
        return;
    }
    VAL_EACH (it, options) {
        if (it->next != NULL && quantity_cmp(amount_of(it), amount_of(it->next)) > 0) {
            field_invalid(errors, AT_INDEX(list, i + 1), val_text(it->next),
                          "values must be sorted in ascending order");
        }
        i++;
    }
    i = 0;
    if (check_length(errors, list, options, OPTIONS_MAX)) {
        VAL_EACH (it, options) {
            found = found || quantity_cmp(amount_of(it), amount_of(fallback)) == 0;
            if (quantity_cmp(amount_of(it), all) > 0) {
                field_invalid(errors, AT_INDEX(list, i), val_text(it),
                              "option is larger than capacity value");
            }
            i++;
        }
        i = 0;
        VAL_EACH (it, options) {
            for (const struct val *other = options->child; other != it; other = other->next) {
                if (quantity_cmp(amount_of(it), amount_of(other)) == 0) {
                    field_duplicate(errors, AT_INDEX(list, i), val_text(it));
                    break;
                }
            }
            i++;
        }
    }
    if (!found) {
        field_invalid(errors, list, val_text(fallback),
                      "default value is not valid according to the requestPolicy");
    }
}

struct span {
    const struct val *min, *max, *step, *fallback;
};

static void bounds_check(struct field_errors *errors, const struct path *path,
                         const struct span *span, struct quantity all)
{
    struct quantity min = amount_of(span->min), max = amount_of(span->max);
    struct quantity fallback = amount_of(span->fallback);
    if (quantity_cmp(min, all) > 0) {
        field_invalid(errors, AT(path, "min"), val_text(span->min),
                      "min is larger than capacity value");
    }
    if (quantity_cmp(fallback, min) < 0) {
        field_invalid(errors, AT(path, "default"), val_text(span->fallback),
                      "default is less than min");
    }
    if (val_absent(span->max)) {
        return;
    }
    if (quantity_cmp(min, max) > 0) {
        field_invalid(errors, AT(path, "max"), val_text(span->min), "min is larger than max");
    }
    if (quantity_cmp(max, all) > 0) {
        field_invalid(errors, AT(path, "max"), val_text(span->max),
                      "max is larger than capacity value");
    }
    if (quantity_cmp(fallback, max) > 0) {
        field_invalid(errors, AT(path, "default"), val_text(span->fallback),
                      "default is more than max");
    }
}

/* With fractions: thousandths are enough. Without: a plain number of 63 bits. */
static bool precision_check(struct field_errors *errors, const struct path *path,
                            const struct span *span, bool fractions)
{
    const struct {
        const char *name;
        const struct val *value;
    } members[] = {
        {"default", span->fallback}, {"min", span->min}, {"max", span->max}, {"step", span->step}};
    bool good = true;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        struct quantity q = amount_of(members[i].value);
        if (val_absent(members[i].value)) {
            continue;
        }
        const char *wrong = NULL;
        if (fractions && q.nano % NANO_PER_MILLI != 0) {
            wrong = "value cannot be represented as a milli value";
        } else if (!fractions && q.nano < 0) {
            wrong = "must be greater than or equal to 0";
        } else if (!fractions && q.nano / NANO_PER_ONE > INT64_MAX) {
            wrong = "must not be larger than 9223372036854775807";
        }
        if (wrong != NULL) {
            field_invalid(errors, AT(path, members[i].name), val_text(members[i].value), "%s",
                          wrong);
            good = false;
        }
    }
    return good;
}

static void multiple_check(struct field_errors *errors, const struct path *path,
                           const struct val *value, const struct span *span)
{
    __int128 above = amount_of(value).nano - amount_of(span->min).nano;
    if (!val_absent(value) && above % amount_of(span->step).nano != 0) {
        field_invalid(errors, AT(path, "step"), val_text(value),
                      "value is not a multiple of a given step (%.*s) from (%.*s)",
                      STR_ARG(val_text(span->step)), STR_ARG(val_text(span->min)));
    }
}

static void range_check(struct field_errors *errors, const struct path *path,
                        const struct val *policy, struct quantity all)
{
    const struct path *at = AT(path, "validRange");
    const struct val *range = val_get(policy, "validRange");
    struct span span = {val_get(range, "min"), val_get(range, "max"), val_get(range, "step"),
                        val_get(policy, "default")};
    const struct val *each[] = {span.min, span.max, span.step, span.fallback};
    bool fractions = false;
    if (val_absent(span.fallback)) {
        field_required(errors, AT(path, "default"), "required when validRange is defined");
        return;
    }
    if (val_absent(span.min)) {
        field_required(errors, AT(at, "min"), "required when validRange is defined");
        return;
    }
    bounds_check(errors, at, &span, all);
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        fractions = fractions || amount_of(each[i]).nano % NANO_PER_ONE != 0;
    }
    if (fractions && !precision_check(errors, at, &span, true)) {
        return;
    }
    if (val_absent(span.step)) {
        return;
    }
    struct quantity step = amount_of(span.step);
    if (step.nano <= 0) {
        field_invalid(errors, AT(at, "step"), val_text(span.step), "must be greater than zero");
        return;
    }
    if (quantity_cmp(quantity_add(amount_of(span.min), step), all) > 0) {
        field_invalid(errors, AT(at, "step"), val_text(span.step),
                      "one step is larger than capacity value");
    }
    if (fractions || precision_check(errors, at, &span, false)) {
        multiple_check(errors, at, span.fallback, &span);
        multiple_check(errors, at, span.max, &span);
    }
}

void capacity_check(struct field_errors *errors, const struct path *path,
                    const struct val *capacity, bool shared)
{
    const struct path *at = AT(path, "requestPolicy");
    const struct val *policy = val_get(capacity, "requestPolicy");
    struct quantity all = amount_of(val_get(capacity, "value"));
    bool options = val_count(val_get(policy, "validValues")) > 0;
    bool range = !val_absent(val_get(policy, "validRange"));
    if (val_absent(policy)) {
        return;
    }
    if (!shared) {
        field_forbidden(errors, at, "allowMultipleAllocations must be true");
    } else if (options && range) {
        field_forbidden(errors, at,
                        "exactly one policy can be specified, cannot specify "
                        "\"validValues\" and \"validRange\" at the same time");
    } else if (options) {
        options_check(errors, at, policy, all);
    } else if (range) {
        range_check(errors, at, policy, all);
    }
}

/* validation_condition.c: the rules of metav1.Condition, which the newer kinds keep in their
 * status.
 */
#include "api/validation.h"

enum { REASON_MAX = 1024, MESSAGE_MAX = 32 * 1024 };

static bool is_word(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* A letter first, a letter, digit or underscore last, commas and colons between. */
static bool is_reason(struct str text)
{
    char first = text.p[0];
    bool good = is_word(first) && first != '_' && !(first >= '0' && first <= '9') &&
                is_word(text.p[text.n - 1]);
    for (size_t i = 0; i < text.n; i++) {
        good = good && (is_word(text.p[i]) || text.p[i] == ',' || text.p[i] == ':');
    }
    return good;
}

static void reason_check(struct field_errors *errors, const struct path *path, struct str reason)
{
    if (reason.n == 0) {
        field_required(errors, path, "");
        return;
    }
    if (!is_reason(reason)) {
        field_invalid(
            errors, path, reason,
            "a condition reason must start with alphabetic character, optionally followed "
            "by a string of alphanumeric characters or '_,:', and must end with an "
            "alphanumeric character or '_'");
    }
    if (reason.n > REASON_MAX) {
        field_too_long(errors, path, REASON_MAX);
    }
}

void check_condition(struct field_errors *errors, const struct path *path,
                     const struct val *condition)
{
    static const char *const statuses[] = {"False", "True", "Unknown", NULL};
    struct str type = val_text(val_get(condition, "type"));
    if (type.n == 0) {
        field_required(errors, AT(path, "type"), "");
    } else {
        check_name(errors, AT(path, "type"), NAME_LABEL_KEY, type);
    }
    check_one_of(errors, AT(path, "status"), val_text(val_get(condition, "status")), statuses,
                 true);
    check_not_negative(errors, AT(path, "observedGeneration"),
                       val_get(condition, "observedGeneration"));
    if (val_absent(val_get(condition, "lastTransitionTime"))) {
        field_required(errors, AT(path, "lastTransitionTime"), "");
    }
    reason_check(errors, AT(path, "reason"), val_text(val_get(condition, "reason")));
    if (val_text(val_get(condition, "message")).n > MESSAGE_MAX) {
        field_too_long(errors, AT(path, "message"), MESSAGE_MAX);
    }
}

void check_conditions(struct field_errors *errors, const struct path *path,
                      const struct val *conditions)
{
    uint32_t i = 0;
    if (!check_length(errors, path, conditions, LIST_LENGTH_MAX)) {
        return;
    }
    VAL_EACH (condition, conditions) {
        struct str type = val_text(val_get(condition, "type"));
        const struct val *first = val_find(conditions, "type", type);
        if (first != NULL && first != condition) {
            field_duplicate(errors, AT_INDEX(path, i), type);
        }
        check_condition(errors, AT_INDEX(path, i++), condition);
    }
}

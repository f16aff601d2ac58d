/* cron.c: reading cron schedules. See cron.h. */
#include "api/cron.h"

#include "api/time_zone.h"
#include "base/clock.h"

struct field_rule {
    const char *name;
    uint64_t min, max;
    const char *words; /* three letters each, from min on; or NULL */
};
static const struct field_rule rules[] = {
    {"minute", 0, 59, NULL},
    {"hour", 0, 23, NULL},
    {"day of month", 1, 31, NULL},
    {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
    {"day of week", 0, 6, "sunmontuewedthufrisat"},
};

static int number_of(const struct field_rule *rule, struct str text, uint64_t *ret, struct err *err)
{
    for (uint64_t i = 0; rule->words != NULL && text.n == 3 && i <= rule->max - rule->min; i++) {
        const char *word = rule->words + 3 * i;
        if ((text.p[0] | 32) == word[0] && (text.p[1] | 32) == word[1] &&
            (text.p[2] | 32) == word[2]) {
            *ret = rule->min + i;
            return 0;
        }
    }
    if (text.n > 1 && text.p[0] == '+') {
        text = str_from(text, 1);
    }
    if (!str_u64(text, ret)) {
        return err_set(err, ERR_INVALID, "%s: \"%.*s\" is not a number", rule->name, STR_ARG(text));
    }
    return 0;
}

static int ends_of(const struct field_rule *rule, struct str range, bool *ret_single,
                   uint64_t *ret_low, uint64_t *ret_high, bool *ret_star, struct err *err)
{
    struct str rest, low = str_cut(range, '-', &rest);
    *ret_single = rest.p == NULL;
    if (str_is(low, "*") || str_is(low, "?")) {
        *ret_low = rule->min;
        *ret_high = rule->max;
        *ret_star = true;
        return 0;
    }
    int code = number_of(rule, low, ret_low, err);
    if (code < 0 || *ret_single) {
        *ret_high = *ret_low;
        return code;
    }
    return number_of(rule, rest, ret_high, err);
}

static int range_bits(const struct field_rule *rule, struct str text, uint64_t *ret_bits,
                      bool *ret_star, struct err *err)
{
    struct str step_text, range = str_cut(text, '/', &step_text);
    bool single = false, star = false;
    uint64_t low = 0, high = 0, step = 1;
    int code = ends_of(rule, range, &single, &low, &high, &star, err);
    if (code == 0 && step_text.p != NULL) {
        code = number_of(&(struct field_rule){rule->name, 0, 0, NULL}, step_text, &step, err);
        high = single ? rule->max : high;
        star = star && step <= 1;
    }
    if (code < 0) {
        return code;
    }
    if (low < rule->min || high > rule->max || low > high) {
        return err_set(err, ERR_INVALID, "%s: \"%.*s\" is not within %d-%d", rule->name,
                       STR_ARG(text), (int)rule->min, (int)rule->max);
    }
    if (step == 0) {
        return err_set(err, ERR_INVALID, "%s: \"%.*s\": the step must be a positive number",
                       rule->name, STR_ARG(text));
    }
    for (uint64_t at = low; at <= high; at += step <= rule->max ? step : rule->max + 1) {
        *ret_bits |= 1ULL << at;
    }
    *ret_star = *ret_star || star;
    return 0;
}

static int field_bits(const struct field_rule *rule, struct str text, uint64_t *ret_bits,
                      bool *ret_star, struct err *err)
{
    *ret_bits = 0;
    *ret_star = false;
    while (text.p != NULL) {
        struct str range = str_cut(text, ',', &text);
        int code = range.n > 0 ? range_bits(rule, range, ret_bits, ret_star, err) : 0;
        if (code < 0) {
            return code;
        }
    }
    return 0;
}

static int parse_word(struct str text, struct cron *ret, struct err *err)
{
    static const struct {
        const char *word, *fields;
    } words[] = {{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
                 {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
                 {"@hourly", "0 * * * *"}};
    enum { SECOND = 1000000000 };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (str_is(text, words[i].word)) {
            struct str zone = ret->zone;
            int code = cron_parse(str_of(words[i].fields), ret, err);
            ret->zone = zone;
            return code;
        }
    }
    if (!str_starts(text, STR("@every "))) {
        return err_set(err, ERR_INVALID, "unrecognized descriptor: %.*s", STR_ARG(text));
    }
    if (!duration_parse(str_from(text, 7), &ret->every_ns)) {
        return err_set(err, ERR_INVALID, "failed to parse duration %.*s", STR_ARG(text));
    }
    ret->every_ns = ret->every_ns < SECOND ? SECOND : ret->every_ns - ret->every_ns % SECOND;
    return 0;
}

/* Takes "TZ=Zone " off the front. */
static int parse_zone(struct str *text, struct cron *ret, struct err *err)
{
    struct str rest;
    if (!str_starts(*text, STR("TZ=")) && !str_starts(*text, STR("CRON_TZ="))) {
        return 0;
    }
    struct str zone = str_cut(*text, ' ', &rest);
    str_cut(zone, '=', &ret->zone);
    if (rest.p == NULL || !time_zone_known(ret->zone)) {
        return err_set(err, ERR_INVALID, "provided bad location %.*s", STR_ARG(ret->zone));
    }
    *text = str_trim(rest);
    return 0;
}

/* Fields are parted by any white space. */
static size_t split(struct str text, struct str *ret_fields, size_t cap)
{
    size_t count = 0;
    for (size_t i = 0; i < text.n;) {
        size_t start = i;
        bool space = text.p[i] == ' ' || (text.p[i] >= '\t' && text.p[i] <= '\r');
        if (space) {
            i++;
            continue;
        }
        while (i < text.n && text.p[i] != ' ' && !(text.p[i] >= '\t' && text.p[i] <= '\r')) {
            i++;
        }
        if (count < cap) {
            ret_fields[count] = str_at(text.p + start, i - start);
        }
        count++;
    }
    return count;
}

int cron_parse(struct str text, struct cron *ret, struct err *err)
{
    enum { FIELDS = sizeof rules / sizeof rules[0] };
    struct str fields[FIELDS];
    struct cron cron = {.zone = STR_NONE};
    uint64_t *const bits[FIELDS] = {&cron.minute, &cron.hour, &cron.day, &cron.month,
                                    &cron.weekday};
    bool stars[FIELDS];
    if (text.n == 0) {
        return err_set(err, ERR_INVALID, "empty spec string");
    }
    int code = parse_zone(&text, &cron, err);
    if (code == 0 && str_starts(text, STR("@"))) {
        code = parse_word(text, &cron, err);
        goto done;
    }
    size_t count = code == 0 ? split(text, fields, FIELDS) : 0;
    if (code == 0 && count != FIELDS) {
        code = err_set(err, ERR_INVALID, "expected exactly 5 fields, found %zu: [%.*s]", count,
                       STR_ARG(text));
    }
    for (size_t i = 0; code == 0 && i < FIELDS; i++) {
        code = field_bits(&rules[i], fields[i], bits[i], &stars[i], err);
    }
    if (code == 0) {
        cron.any_day = stars[2];
        cron.any_weekday = stars[4];
    }
done:
    if (code == 0) {
        *ret = cron;
    }
    return code;
}

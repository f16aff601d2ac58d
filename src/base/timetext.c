/* timetext.c: times and durations as Kubernetes writes and reads them (declared in clock.h).
 * RFC 3339 for metav1.Time and MicroTime; Go's duration text for metav1.Duration; kubectl's short
 * ages. */
#include <stdio.h>
#include <time.h>

#include "base/clock.h"

static size_t format_fraction(int64_t wall_ns, int digits, char *ret_text)
{
    int64_t seconds = wall_ns / NS_PER_S, rest = wall_ns % NS_PER_S;
    if (rest < 0) {
        rest += NS_PER_S;
        seconds--;
    }
    struct tm tm;
    time_t when = (time_t)seconds;
    gmtime_r(&when, &tm);
    size_t n = strftime(ret_text, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    if (digits > 0) {
        int64_t unit = digits == 6 ? rest / 1000 : rest;
        n += (size_t)snprintf(ret_text + n, TIME_TEXT_SIZE - n, ".%0*lld", digits, (long long)unit);
    }
    ret_text[n++] = 'Z';
    ret_text[n] = '\0';
    return n;
}

size_t time_format(int64_t wall_ns, char ret_text[TIME_TEXT_SIZE])
{
    return format_fraction(wall_ns, 0, ret_text);
}

size_t time_format_micro(int64_t wall_ns, char ret_text[TIME_TEXT_SIZE])
{
    return format_fraction(wall_ns, 6, ret_text);
}

size_t time_format_nano(int64_t wall_ns, char ret_text[TIME_TEXT_SIZE])
{
    return format_fraction(wall_ns, 9, ret_text);
}

size_t time_format_seconds(int64_t wall_s, int micro, char ret_text[TIME_TEXT_SIZE])
{
    struct tm tm;
    time_t when = (time_t)wall_s;
    gmtime_r(&when, &tm);
    int n = snprintf(ret_text, TIME_TEXT_SIZE, "%04d-", tm.tm_year + 1900);
    n += (int)strftime(ret_text + n, TIME_TEXT_SIZE - (size_t)n, "%m-%dT%H:%M:%S", &tm);
    if (micro >= 0) {
        n += snprintf(ret_text + n, TIME_TEXT_SIZE - (size_t)n, ".%06d", micro);
    }
    ret_text[n++] = 'Z';
    ret_text[n] = '\0';
    return (size_t)n;
}

static bool digits(struct str *text, size_t count, int *ret_value)
{
    uint64_t value = 0;
    if (text->n < count || !str_u64(str_at(text->p, count), &value)) {
        return false;
    }
    *text = str_from(*text, count);
    *ret_value = (int)value;
    return true;
}

static bool letter(struct str *text, char want)
{
    if (text->n == 0 ||
        (text->p[0] | (want >= 'A' ? 0x20 : 0)) != (want | (want >= 'A' ? 0x20 : 0))) {
        return false;
    }
    *text = str_from(*text, 1);
    return true;
}

static int64_t fraction(struct str *text)
{
    int64_t value = 0, scale = NS_PER_S / 10;
    while (text->n > 0 && text->p[0] >= '0' && text->p[0] <= '9') {
        value += (text->p[0] - '0') * scale;
        scale /= 10;
        *text = str_from(*text, 1);
    }
    return value;
}

static bool offset(struct str text, int64_t *ret_seconds)
{
    int hours = 0, minutes = 0;
    if (letter(&text, 'Z')) {
        *ret_seconds = 0;
        return text.n == 0;
    }
    int sign = text.n > 0 && text.p[0] == '-' ? -1 : 1;
    if (text.n != 6 || (text.p[0] != '+' && text.p[0] != '-')) {
        return false;
    }
    text = str_from(text, 1);
    if (!digits(&text, 2, &hours) || !letter(&text, ':') || !digits(&text, 2, &minutes) ||
        hours > 23 || minutes > 59) {
        return false;
    }
    *ret_seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

bool time_parse(struct str text, int64_t *ret_wall_ns)
{
    struct tm tm = {0};
    int64_t shift = 0, ns = 0;
    if (!digits(&text, 4, &tm.tm_year) || !letter(&text, '-') || !digits(&text, 2, &tm.tm_mon) ||
        !letter(&text, '-') || !digits(&text, 2, &tm.tm_mday) || !letter(&text, 'T') ||
        !digits(&text, 2, &tm.tm_hour) || !letter(&text, ':') || !digits(&text, 2, &tm.tm_min) ||
        !letter(&text, ':') || !digits(&text, 2, &tm.tm_sec)) {
        return false;
    }
    if (text.n > 1 && text.p[0] == '.' && text.p[1] >= '0' && text.p[1] <= '9') {
        text = str_from(text, 1);
        ns = fraction(&text);
    }
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (tm.tm_year % 4 == 0 && tm.tm_year % 100 != 0) || tm.tm_year % 400 == 0;
    if (!offset(text, &shift) || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
        tm.tm_mday > days[tm.tm_mon - 1] || (tm.tm_mon == 2 && tm.tm_mday == 29 && !leap) ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 59) {
        return false;
    }
    tm.tm_year -= 1900;
    tm.tm_mon--;
    int64_t seconds = (int64_t)timegm(&tm) - shift;
    if (seconds > INT64_MAX / NS_PER_S - 1 || seconds < INT64_MIN / NS_PER_S + 1) {
        return false;
    }
    *ret_wall_ns = seconds * NS_PER_S + ns;
    return true;
}

static const struct {
    const char *unit;
    int64_t ns;
} units[] = {{"ns", 1},         {"us", 1000},    {"\xc2\xb5s", 1000},  {"\xce\xbcs", 1000},
             {"ms", NS_PER_MS}, {"s", NS_PER_S}, {"m", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S}};

/* One "1.5h" of a duration, in ns. */
static bool duration_part(struct str *text, int64_t *ret_ns)
{
    size_t whole = 0;
    while (whole < text->n && text->p[whole] >= '0' && text->p[whole] <= '9') {
        whole++;
    }
    uint64_t value = 0;
    if (whole > 0 && !str_u64(str_at(text->p, whole), &value)) {
        return false;
    }
    struct str rest = str_from(*text, whole);
    int64_t part = 0;
    size_t fraction_digits = 0;
    if (rest.n > 0 && rest.p[0] == '.') {
        size_t before = rest.n;
        rest = str_from(rest, 1);
        part = fraction(&rest);
        fraction_digits = before - rest.n - 1;
    }
    struct str unit = rest;
    unit.n = 0;
    while (unit.n < rest.n && rest.p[unit.n] != '.' &&
           (rest.p[unit.n] < '0' || rest.p[unit.n] > '9')) {
        unit.n++;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units && whole + fraction_digits > 0; i++) {
        int64_t ns = 0;
        if (!str_is(unit, units[i].unit)) {
            continue;
        }
        if (value > INT64_MAX || __builtin_mul_overflow((int64_t)value, units[i].ns, &ns) ||
            __builtin_add_overflow(ns, (int64_t)((__int128)part * units[i].ns / NS_PER_S), &ns)) {
            return false;
        }
        *text = str_from(rest, unit.n);
        *ret_ns = ns;
        return true;
    }
    return false;
}

bool duration_parse(struct str text, int64_t *ret_ns)
{
    int64_t total = 0;
    bool negative = text.n > 0 && text.p[0] == '-';
    if (text.n > 0 && (text.p[0] == '-' || text.p[0] == '+')) {
        text = str_from(text, 1);
    }
    if (text.n == 0) {
        return false;
    }
    while (text.n > 0 && !str_is(text, "0")) {
        int64_t part = 0;
        if (!duration_part(&text, &part) || __builtin_add_overflow(total, part, &total)) {
            return false;
        }
    }
    *ret_ns = negative ? -total : total;
    return true;
}

size_t duration_format(int64_t ns, char ret_text[TIME_TEXT_SIZE])
{
    const char *sign = ns < 0 ? "-" : "";
    uint64_t left = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    if (left == 0) {
        return (size_t)snprintf(ret_text, TIME_TEXT_SIZE, "0s");
    }
    char number[24];
    uint64_t unit = left < 1000        ? 1
                    : left < NS_PER_MS ? 1000
                    : left < NS_PER_S  ? NS_PER_MS
                                       : NS_PER_S;
    uint64_t shown = unit == NS_PER_S ? left % (60 * NS_PER_S) : left;
    int n = snprintf(number, sizeof number, "%llu", (unsigned long long)(shown / unit));
    if (shown % unit != 0) {
        int width = unit == 1000 ? 3 : unit == NS_PER_MS ? 6 : 9;
        n += snprintf(number + n, sizeof number - (size_t)n, ".%0*llu", width,
                      (unsigned long long)(shown % unit));
        while (number[n - 1] == '0') {
            number[--n] = '\0';
        }
    }
    if (unit < NS_PER_S) {
        const char *name = unit == 1 ? "ns" : unit == 1000 ? "\xc2\xb5s" : "ms";
        return (size_t)snprintf(ret_text, TIME_TEXT_SIZE, "%s%s%s", sign, number, name);
    }
    uint64_t hours = left / (3600 * NS_PER_S), minutes = left / (60 * NS_PER_S) % 60;
    if (hours > 0) {
        return (size_t)snprintf(ret_text, TIME_TEXT_SIZE, "%s%lluh%llum%ss", sign,
                                (unsigned long long)hours, (unsigned long long)minutes, number);
    }
    return minutes > 0 ? (size_t)snprintf(ret_text, TIME_TEXT_SIZE, "%s%llum%ss", sign,
                                          (unsigned long long)minutes, number)
                       : (size_t)snprintf(ret_text, TIME_TEXT_SIZE, "%s%ss", sign, number);
}

static size_t two_units(char *ret_text, long long high, const char *high_unit, long long low,
                        const char *low_unit)
{
    if (low == 0) {
        return (size_t)snprintf(ret_text, TIME_TEXT_SIZE, "%lld%s", high, high_unit);
    }
    return (size_t)snprintf(ret_text, TIME_TEXT_SIZE, "%lld%s%lld%s", high, high_unit, low,
                            low_unit);
}

/* The bands are those of apimachinery's duration.HumanDuration. */
size_t duration_format_age(int64_t ns, char ret_text[TIME_TEXT_SIZE])
{
    long long s = ns / NS_PER_S, m = s / 60, h = m / 60, d = h / 24, y = d / 365;
    if (s < -1) {
        return (size_t)snprintf(ret_text, TIME_TEXT_SIZE, "<invalid>");
    }
    if (s < 120) {
        return (size_t)snprintf(ret_text, TIME_TEXT_SIZE, "%llds", s < 0 ? 0 : s);
    }
    if (m < 10) {
        return two_units(ret_text, m, "m", s % 60, "s");
    }
    if (h < 3) {
        return (size_t)snprintf(ret_text, TIME_TEXT_SIZE, "%lldm", m);
    }
    if (h < 8) {
        return two_units(ret_text, h, "h", m % 60, "m");
    }
    if (h < 48) {
        return (size_t)snprintf(ret_text, TIME_TEXT_SIZE, "%lldh", h);
    }
    if (d < 8) {
        return two_units(ret_text, d, "d", h % 24, "h");
    }
    if (d < 365 * 2) {
        return (size_t)snprintf(ret_text, TIME_TEXT_SIZE, "%lldd", d);
    }
    return y < 8 ? two_units(ret_text, y, "y", d % 365, "d")
                 : (size_t)snprintf(ret_text, TIME_TEXT_SIZE, "%lldy", y);
}

/* Time zones from the machine's database (zone.h). */
#include "io/zone.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { FILE_MAX = 128 * 1024, NAME_MAX_N = 64, DAY_S = 86400 };

struct moment { /* "M3.2.0/2": when a rule begins, each year */
    char kind;  /* 'M' month.week.day, 'J' 1 to 365 without the leap day, 'N' 0 to 365 */
    int32_t month, week, day;
    int32_t at; /* seconds after midnight */
};
struct rule {
    bool there, has_dst;
    int32_t standard, summer; /* seconds east */
    struct moment begin, end; /* of summer time */
};
struct zone {
    int64_t *times; /* ascending */
    uint8_t *types;
    size_t time_count;
    int32_t *offsets; /* by type */
    size_t type_count;
    struct rule rule;
};

/* ---- dates ---- */

static int64_t days_of_date(int64_t year, int32_t month, int32_t day)
{
    year -= month <= 2; /* years that begin in March; Hinnant, days_from_civil */
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of_days(int64_t days, struct zone_time *ret_time)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * of_year + 2) / 153;
    ret_time->day = (int32_t)(of_year - (153 * month + 2) / 5 + 1);
    ret_time->month = (int32_t)(month < 10 ? month + 3 : month - 9);
    ret_time->year = (int32_t)(year_of_era + era * 400 + (ret_time->month <= 2));
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* ---- the footer: POSIX.1 TZ, with the hours of RFC 9636 (-167 to 167) ---- */

static bool take_number(struct str *text, int32_t most, int32_t *ret_number)
{
    int32_t number = 0;
    size_t n = 0;
    while (n < text->n && text->p[n] >= '0' && text->p[n] <= '9' && n < 4) {
        number = number * 10 + (text->p[n++] - '0');
    }
    if (n == 0 || number > most) {
        return false;
    }
    *text = str_from(*text, n);
    *ret_number = number;
    return true;
}

static bool take(struct str *text, char c)
{
    if (text->n == 0 || text->p[0] != c) {
        return false;
    }
    *text = str_from(*text, 1);
    return true;
}

static bool take_clock(struct str *text, int32_t *ret_seconds)
{
    bool negative = take(text, '-');
    if (!negative) {
        take(text, '+');
    }
    int32_t hours, minutes = 0, seconds = 0;
    if (!take_number(text, 167, &hours) || (take(text, ':') && !take_number(text, 59, &minutes)) ||
        (take(text, ':') && !take_number(text, 59, &seconds))) {
        return false;
    }
    *ret_seconds = hours * 3600 + minutes * 60 + seconds;
    *ret_seconds = negative ? -*ret_seconds : *ret_seconds;
    return true;
}

static bool take_name(struct str *text)
{
    size_t n = 0;
    if (take(text, '<')) {
        while (n < text->n && text->p[n] != '>') {
            n++;
        }
        *text = str_from(*text, n);
        return take(text, '>');
    }
    while (n < text->n && (text->p[n] | 32) >= 'a' && (text->p[n] | 32) <= 'z') {
        n++;
    }
    *text = str_from(*text, n);
    return n >= 3;
}

static bool take_moment(struct str *text, struct moment *ret_moment)
{
    struct moment moment = {.kind = 'N', .at = 2 * 3600};
    bool fine;
    if (take(text, 'M')) {
        moment.kind = 'M';
        fine = take_number(text, 12, &moment.month) && moment.month > 0 && take(text, '.') &&
               take_number(text, 5, &moment.week) && moment.week > 0 && take(text, '.') &&
               take_number(text, 6, &moment.day);
    } else {
        moment.kind = take(text, 'J') ? 'J' : 'N';
        fine = take_number(text, 365, &moment.day);
    }
    if (!fine || (take(text, '/') && !take_clock(text, &moment.at))) {
        return false;
    }
    *ret_moment = moment;
    return true;
}

static bool parse_rule(struct str text, struct rule *ret_rule)
{
    struct rule rule = {.there = true};
    if (!take_name(&text) || !take_clock(&text, &rule.standard)) {
        return false;
    }
    rule.standard = -rule.standard; /* POSIX counts westwards */
    if (text.n > 0) {
        rule.has_dst = true;
        rule.summer = rule.standard + 3600;
        if (!take_name(&text)) {
            return false;
        }
        if (text.n > 0 && text.p[0] != ',') {
            if (!take_clock(&text, &rule.summer)) {
                return false;
            }
            rule.summer = -rule.summer;
        }
        if (!take(&text, ',') || !take_moment(&text, &rule.begin) || !take(&text, ',') ||
            !take_moment(&text, &rule.end) || text.n > 0) {
            return false;
        }
    }
    *ret_rule = rule;
    return true;
}

/* Seconds since 1970 on the wall. */
static int64_t moment_in(const struct moment *moment, int32_t year)
{
    int64_t first = days_of_date(year, 1, 1), day;
    if (moment->kind == 'M') {
        int64_t month = days_of_date(year, moment->month, 1);
        int64_t next = moment->month == 12 ? days_of_date(year + 1, 1, 1)
                                           : days_of_date(year, moment->month + 1, 1);
        int64_t weekday = floor_div(month + 4, 7) * 7; /* 1970-01-01 was a Thursday */
        weekday = month + 4 - weekday;
        day = month + (moment->day - weekday + 7) % 7 + (moment->week - 1) * 7;
        day = day >= next ? day - 7 : day;
    } else {
        bool leap = days_of_date(year + 1, 1, 1) - first == 366;
        day = first + moment->day;
        day -= moment->kind == 'J' && !(leap && moment->day >= 60);
    }
    return day * DAY_S + moment->at;
}

static int32_t rule_offset(const struct rule *rule, int64_t utc_s)
{
    if (!rule->has_dst) {
        return rule->standard;
    }
    struct zone_time date;
    date_of_days(floor_div(utc_s + rule->standard, DAY_S), &date);
    int64_t begin = moment_in(&rule->begin, date.year) - rule->standard;
    int64_t end = moment_in(&rule->end, date.year) - rule->summer;
    bool summer = begin < end ? utc_s >= begin && utc_s < end : utc_s >= begin || utc_s < end;
    return summer ? rule->summer : rule->standard;
}

/* ---- the file ---- */

static int64_t big_endian(const char *p, int bytes)
{
    uint64_t value = (unsigned char)p[0] >= 128 ? ~0ULL : 0;
    for (int i = 0; i < bytes; i++) {
        value = value << 8 | (unsigned char)p[i];
    }
    return (int64_t)value;
}

struct counts {
    size_t utc, standard, leaps, times, types, letters;
};

static bool read_header(struct str bytes, struct counts *ret)
{
    if (bytes.n < 44 || memcmp(bytes.p, "TZif", 4) != 0) {
        return false;
    }
    size_t *const fields[] = {&ret->utc,   &ret->standard, &ret->leaps,
                              &ret->times, &ret->types,    &ret->letters};
    for (size_t i = 0; i < 6; i++) {
        int64_t count = big_endian(bytes.p + 20 + i * 4, 4);
        if (count < 0 || count > FILE_MAX) {
            return false;
        }
        *fields[i] = (size_t)count;
    }
    return true;
}

static size_t data_size(const struct counts *counts, size_t width)
{
    return counts->times * (width + 1) + counts->types * 6 + counts->letters +
           counts->leaps * (width + 4) + counts->standard + counts->utc;
}

static bool read_data(struct str bytes, const struct counts *counts, struct zone *zone)
{
    const char *times = bytes.p, *types = times + counts->times * 8;
    const char *infos = types + counts->times;
    zone->times = mem_array(int64_t, counts->times + 1);
    zone->types = mem_array(uint8_t, counts->times + 1);
    zone->offsets = mem_array(int32_t, counts->types + 1);
    zone->time_count = counts->times;
    zone->type_count = counts->types;
    for (size_t i = 0; i < counts->times; i++) {
        zone->times[i] = big_endian(times + i * 8, 8);
        zone->types[i] = (uint8_t)types[i];
        if (zone->types[i] >= counts->types || (i > 0 && zone->times[i] <= zone->times[i - 1])) {
            return false;
        }
    }
    for (size_t i = 0; i < counts->types; i++) {
        int64_t offset = big_endian(infos + i * 6, 4);
        if (offset < -7 * DAY_S || offset > 7 * DAY_S) {
            return false;
        }
        zone->offsets[i] = (int32_t)offset;
    }
    return counts->types > 0;
}

int zone_parse(struct str bytes, struct zone **ret_zone, struct err *err)
{
    struct counts counts;
    struct zone *zone = mem_new(struct zone);
    bool fine = read_header(bytes, &counts) && bytes.p[4] >= '2'; /* all of this century are */
    size_t first = fine ? 44 + data_size(&counts, 4) : 0;
    struct str rest = str_from(bytes, first);
    fine = fine && read_header(rest, &counts) && rest.n >= 44 + data_size(&counts, 8) &&
           read_data(str_from(rest, 44), &counts, zone);
    if (fine) {
        struct str footer = str_from(rest, 44 + data_size(&counts, 8));
        take(&footer, '\n');
        footer = str_cut(footer, '\n', &rest);
        fine = footer.n == 0 || parse_rule(footer, &zone->rule);
    }
    if (!fine) {
        zone_free(zone);
        return err_set(err, ERR_PARSE, "not a time zone file of version 2 or later");
    }
    *ret_zone = zone;
    return 0;
}

static bool is_name(struct str name)
{
    bool fine = name.n > 0 && name.n <= NAME_MAX_N && name.p[0] != '/';
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        fine = fine && ((c | 32) >= 'a' && (c | 32) <= 'z' ? true
                                                           : (c >= '0' && c <= '9') || c == '_' ||
                                                                 c == '-' || c == '+' || c == '/');
    }
    return fine;
}

int zone_load(struct str name, struct zone **ret_zone, struct err *err)
{
    char path[sizeof "/usr/share/zoneinfo/" + NAME_MAX_N] = "/usr/share/zoneinfo/";
    if (!is_name(name)) {
        return err_set(err, ERR_NOT_FOUND, "no time zone \"%.*s\"", STR_ARG(name));
    }
    memcpy(path + strlen(path), name.p, name.n);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size > FILE_MAX) {
        if (fd >= 0) {
            close(fd);
        }
        return err_set(err, ERR_NOT_FOUND, "no time zone \"%.*s\" on this machine (package tzdata)",
                       STR_ARG(name));
    }
    struct buf bytes BUF_CLEANUP = BUF_INIT;
    ssize_t got;
    while ((got = read(fd, buf_room(&bytes, 4096), 4096)) > 0 && bytes.n <= FILE_MAX) {
        bytes.n += (size_t)got;
    }
    close(fd);
    return zone_parse(buf_view(&bytes), ret_zone, err);
}

void zone_free(struct zone *zone)
{
    if (zone != NULL) {
        free(zone->times);
        free(zone->types);
        free(zone->offsets);
        free(zone);
    }
}

/* ---- answers ---- */

int32_t zone_offset(const struct zone *zone, int64_t utc_s)
{
    if (zone == NULL) {
        return 0;
    }
    if (zone->time_count == 0 || utc_s >= zone->times[zone->time_count - 1]) {
        if (zone->rule.there) {
            return rule_offset(&zone->rule, utc_s);
        }
        return zone->offsets[zone->time_count > 0 ? zone->types[zone->time_count - 1] : 0];
    }
    size_t low = 0, high = zone->time_count; /* the first transition after it */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (zone->times[middle] <= utc_s) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return zone->offsets[low > 0 ? zone->types[low - 1] : 0];
}

void zone_local(const struct zone *zone, int64_t utc_s, struct zone_time *ret_time)
{
    int64_t wall = utc_s + zone_offset(zone, utc_s);
    int64_t days = floor_div(wall, DAY_S);
    int32_t rest = (int32_t)(wall - days * DAY_S);
    date_of_days(days, ret_time);
    ret_time->weekday = (int32_t)(days + 4 - floor_div(days + 4, 7) * 7);
    ret_time->hour = rest / 3600;
    ret_time->minute = rest / 60 % 60;
    ret_time->second = rest % 60;
}

/* When a schedule fires (cron_time.h). */
#include "controllers/batch/cron_time.h"

#include "base/clock.h"

enum { SEARCH_S = 5 * 366 * 86400, MANY_MISSED = 100 };

static bool has_bit(uint64_t bits, int32_t at)
{
    return (bits >> at & 1) != 0;
}

static bool day_fits(const struct cron *cron, const struct zone_time *at)
{
    bool day = has_bit(cron->day, at->day), weekday = has_bit(cron->weekday, at->weekday);
    return has_bit(cron->month, at->month) &&
           (cron->any_day || cron->any_weekday ? day && weekday : day || weekday);
}

int64_t cron_next(const struct cron *cron, const struct zone *zone, int64_t after_s)
{
    if (cron->every_ns > 0) {
        int64_t every = cron->every_ns / NS_PER_S;
        return after_s + (every > 0 ? every : 1);
    }
    struct zone_time at;
    zone_local(zone, after_s, &at);
    for (int64_t t = after_s + 60 - at.second; t < after_s + SEARCH_S;) {
        zone_local(zone, t, &at);
        if (!day_fits(cron, &at) || !has_bit(cron->hour, at.hour)) {
            t += 3600 - at.minute * 60;
        } else if (!has_bit(cron->minute, at.minute)) {
            t += 60;
        } else {
            return t;
        }
    }
    return -1;
}

void cron_due(const struct cron *cron, const struct zone *zone, int64_t earliest_s, int64_t now_s,
              struct cron_due *ret_due)
{
    *ret_due = (struct cron_due){.at_s = -1};
    int64_t first = cron_next(cron, zone, earliest_s);
    if (first < 0 || now_s < first) {
        return;
    }
    int64_t second = cron_next(cron, zone, first);
    ret_due->at_s = first;
    ret_due->missed = 1;
    if (second < 0 || now_s < second) {
        return;
    }
    /* Long ago: begin close to now, by what lies between two times; the last of them is walked. */
    int64_t between = second - first;
    int64_t missed = (now_s - first) / between + 1;
    int64_t from = first + (missed - 2) * between;
    int64_t last = -1;
    for (int64_t t = cron_next(cron, zone, from); t >= 0 && t <= now_s;
         t = cron_next(cron, zone, t)) {
        last = t;
    }
    ret_due->at_s = last >= 0 ? last : second;
    ret_due->missed = missed;
}

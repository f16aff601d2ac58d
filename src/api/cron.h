/* cron.h: schedules as CronJobs have them: five fields (minute, hour, day of month, month, day of
 * week), or @hourly and its like, or "@every 1h30m".
 *
 * A field is a list of ranges with commas: "*" or "?", N, N-M, each with "/STEP"; months and days
 * of the week also by their first three letters. "N/STEP" runs from N to the end of the range.
 * Sunday is 0; there is no 7.
 */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct cron {
    uint64_t minute, hour, day, month, weekday; /* bit N: matches N (day and month from 1) */
    bool any_day, any_weekday; /* a star: both must match then, else one of the two is enough */
    int64_t every_ns;          /* "@every": so long after the time before; the rest is empty */
    struct str zone; /* "CRON_TZ=ZONE " before it; STR_NONE without. Points into the text */
};

/* 0, or ERR_INVALID with what is wrong. */
int cron_parse(struct str text, struct cron *ret, struct err *err);

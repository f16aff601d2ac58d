/* cron_time.h: when a schedule fires. */
#pragma once
#include "api/cron.h"
#include "io/zone.h"

/* The first time after `after_s` (seconds since 1970), on the wall of the zone (NULL: UTC); -1 when
 * there is none within five years. An hour that daylight saving skips is skipped, one that it
 * repeats fires twice. `@every` counts from `after_s`. */
int64_t cron_next(const struct cron *cron, const struct zone *zone, int64_t after_s);

/* What was due. `earliest_s`: the last run, or when the job was made. */
struct cron_due {
    int64_t at_s;   /* the latest time that is due; -1: none */
    int64_t missed; /* how many, this one included */
};
void cron_due(const struct cron *cron, const struct zone *zone, int64_t earliest_s, int64_t now_s,
              struct cron_due *ret_due);

/* zone.h: time zones from the machine's own database (RFC 9636, /usr/share/zoneinfo).
 *
 * A zone is read once and then answers without I/O. Times beyond the last transition of the file
 * follow its footer (a POSIX TZ rule), so that they stay right for ever.
 */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct zone;
/* "Europe/Paris", "UTC". ERR_NOT_FOUND: the machine does not have it; ERR_PARSE: the file is not
 * one.
 */
int zone_load(struct str name, struct zone **ret_zone, struct err *err);
/* The same from the bytes of a file (tests, fuzzing). */
int zone_parse(struct str bytes, struct zone **ret_zone, struct err *err);
void zone_free(struct zone *zone);
/* Seconds east of UTC at a time in seconds since 1970; zone NULL: UTC. */
int32_t zone_offset(const struct zone *zone, int64_t utc_s);

struct zone_time { /* a time on the wall */
    int32_t year, month /* 1.. */, day /* 1.. */, hour, minute, second;
    int32_t weekday; /* 0: Sunday */
};
void zone_local(const struct zone *zone, int64_t utc_s, struct zone_time *ret_time);

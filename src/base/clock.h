/* clock.h: the time seam. Nothing outside base/ and io/ asks the kernel for the time.
 *
 * Wall time is what goes into objects; monotonic time is what delays and ages are measured with. A
 * struct clock is either the real one or a virtual one that only its owner moves (tests,
 * simulator). Reading is thread-safe for the real clock; a virtual clock belongs to one thread.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct clock {
    int64_t (*wall_ns)(struct clock *clock); /* since 1970-01-01T00:00:00Z */
    int64_t (*mono_ns)(struct clock *clock);
    int64_t virtual_wall_ns, virtual_mono_ns; /* virtual clock only */
};

struct clock *clock_real(void); /* shared, never freed */
void clock_virtual_init(struct clock *clock, int64_t wall_ns);
void clock_virtual_advance(struct clock *clock, int64_t ns);

static inline int64_t clock_wall(struct clock *clock)
{
    return clock->wall_ns(clock);
}
static inline int64_t clock_mono(struct clock *clock)
{
    return clock->mono_ns(clock);
}

#define NS_PER_MS 1000000LL
#define NS_PER_S  1000000000LL

enum { TIME_TEXT_SIZE = 40 };
/* metav1.Time: RFC 3339, seconds, UTC: "2026-11-25T01:02:03Z". Returns the length. */
size_t time_format(int64_t wall_ns, char ret_text[TIME_TEXT_SIZE]);
/* metav1.MicroTime: "2026-11-25T01:02:03.000004Z". */
size_t time_format_micro(int64_t wall_ns, char ret_text[TIME_TEXT_SIZE]);
/* RFC 3339 with nanoseconds, as container log lines carry it. */
size_t time_format_nano(int64_t wall_ns, char ret_text[TIME_TEXT_SIZE]);
/* As above from seconds, years 1 to 9999; micro < 0: without a fraction. */
size_t time_format_seconds(int64_t wall_s, int micro, char ret_text[TIME_TEXT_SIZE]);
/* Any RFC 3339 time with an offset. */
bool time_parse(struct str text, int64_t *ret_wall_ns);
/* Go's duration text ("1h30m", "300ms", "-1.5s"); metav1.Duration. */
bool duration_parse(struct str text, int64_t *ret_ns);
size_t duration_format(int64_t ns, char ret_text[TIME_TEXT_SIZE]); /* as Go prints it: "1h30m0s" */
/* The short age of kubectl's AGE column: "5s", "3m10s", "47m", "5h2m", "3d4h", "2y30d". */
size_t duration_format_age(int64_t ns, char ret_text[TIME_TEXT_SIZE]);

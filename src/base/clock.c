/* clock.c: the real and the virtual clock. */
#include "base/clock.h"

#include <time.h>

static int64_t read_kernel(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static int64_t real_wall(struct clock *clock)
{
    (void)clock;
    return read_kernel(CLOCK_REALTIME);
}

static int64_t real_mono(struct clock *clock)
{
    (void)clock;
    return read_kernel(CLOCK_MONOTONIC);
}

struct clock *clock_real(void)
{
    static struct clock real = {.wall_ns = real_wall, .mono_ns = real_mono};
    return &real;
}

static int64_t virtual_wall(struct clock *clock)
{
    return clock->virtual_wall_ns;
}

static int64_t virtual_mono(struct clock *clock)
{
    return clock->virtual_mono_ns;
}

void clock_virtual_init(struct clock *clock, int64_t wall_ns)
{
    *clock = (struct clock){
        .wall_ns = virtual_wall, .mono_ns = virtual_mono, .virtual_wall_ns = wall_ns};
}

void clock_virtual_advance(struct clock *clock, int64_t ns)
{
    clock->virtual_wall_ns += ns;
    clock->virtual_mono_ns += ns;
}

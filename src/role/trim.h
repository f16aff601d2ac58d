/* trim.h: gives back what only the start of a process needed: pages of programs and libraries that
 * were touched once, and the heap's free tail. What is needed again comes back from the page cache.
 * Called a few seconds after the start, from the process's loop. */
#pragma once
#include "io/loop.h"

/* Once, `delay_ns` from now. The timer is the caller's and must stay. */
void trim_later(struct loop *loop, struct timer *timer, int64_t delay_ns);

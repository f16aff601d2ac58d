/* failpoint.h: named places where a test build can be told to fail (reliability.md 8.2).
 *
 *   FAILPOINT("store.before-commit");                         // may abort or sleep
 *   if (FAILPOINT_ERRNO("store.sync") != 0) return err_os(err, errno_of_it, ...);
 *
 * Every use registers its name in a linker section, so that `cox --list-failpoints` prints all of
 * them without running them. In release builds both macros vanish. Arming:
 * failpoint_arm("store.sync=error:EIO,once") (the role's test socket and the environment variable
 * COX_FAILPOINTS use it). Actions: abort | sleep:MS | error:ERRNO; modifiers: once, p:0.1, after:N.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct failpoint {
    const char *name;
    _Atomic uint64_t hits;
    _Atomic(struct failpoint_action *) action;
} __attribute__((aligned(32))); /* the section is an array: size and alignment must agree */

int failpoint_hit(struct failpoint *point); /* returns the errno to report, or 0 */
bool failpoint_arm(struct str spec); /* false: unknown name or bad spec. "name=off" disarms */
/* Calls `visit` for each registered point, sorted by name; nothing in release builds. */
void failpoint_each(void (*visit)(void *ctx, const char *name, uint64_t hits), void *ctx);

#ifdef COX_FAILPOINTS
#define FAILPOINT_ERRNO(text)                                                                      \
    __extension__({                                                                                \
        static struct failpoint point_                                                             \
            __attribute__((section("cox_failpoints"), used)) = {.name = (text)};                   \
        failpoint_hit(&point_);                                                                    \
    })
#else
#define FAILPOINT_ERRNO(text) 0
#endif
#define FAILPOINT(text) ((void)FAILPOINT_ERRNO(text))

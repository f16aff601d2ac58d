/* signals.h: signals of the children as events of a loop, and what all of them do the same way:
 * SIGUSR2 switches debug logging on and off, SIGUSR1 prints state to stderr in one write. */
#pragma once
#include "io/loop.h"

/* First thing, before any thread; `name` is what ps shows of the process. */
void signals_block(const char *name);
struct signals;
/* `fn` gets SIGTERM, SIGINT and SIGUSR1; SIGUSR2 is handled here. */
struct signals *signals_watch(struct loop *loop, void (*fn)(void *ctx, int signal), void *ctx);
void signals_free(struct signals *signals);
void signals_print(struct buf *text);
/* Arms what the environment variable COX_FAILPOINTS lists ("a=abort;b=error:EIO,once"); test builds
 * only. */
void signals_arm_failpoints(void);

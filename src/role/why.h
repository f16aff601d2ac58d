/* why.h: GET /cox/v1/why?namespace=NS&pod=NAME: the scheduler's answer (scheduler_why()), asked on
 * its own loop. */
#pragma once
#include "io/loop.h"

struct server;
struct scheduler;
/* `scheduler` is read on `loop` when a question arrives: NULL while it does not run. */
void why_serve(struct server *server, struct loop *loop, void *const *scheduler);

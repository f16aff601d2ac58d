/* upkeep.h: what the server does by itself on the home loop: Events expire after an hour, kept list
 * states after five minutes; the Service kubernetes and the first namespaces come back when
 * deleted. */
#pragma once
#include "server/request.h"

struct upkeep;
struct upkeep *upkeep_new(struct server *server);
void upkeep_free(struct upkeep *upkeep);
int upkeep_start(struct upkeep *upkeep, struct err *err); /* home loop */

/* connection.h: the accepted connections of each loop. */
#pragma once
#include "server/server.h"

struct lane;
struct lane *connection_lanes_new(struct server *server); /* one a loop; free() */

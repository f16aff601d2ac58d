/* answer.h: the transport of requests that came as HTTP. */
#pragma once
#include "server/request.h"

extern const struct transport http_transport;

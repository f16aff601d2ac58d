/* definitions.h: CustomResourceDefinitions acted on: kinds come and go, names are given out, the
 * status says so. On the home loop. */
#pragma once
#include "server/server.h"

struct definitions;
struct definitions *definitions_new(struct server *server);
void definitions_free(struct definitions *definitions); /* NULL is harmless */
/* Follows the definitions from here on; those that are there are acted on before it returns. */
int definitions_start(struct definitions *definitions, struct err *err);

/* The controllers, one row each; the order is that of their start. */
#include "controllers/table_int.h"

const struct controller *const controllers_table[] = {
    &controller_deployment,
    &controller_replicaset,
    &controller_endpointslice,
    &controller_endpoints,
    NULL,
};

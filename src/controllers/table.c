/* The controllers, one row each; the order is that of their start. */
#include "controllers/table_int.h"

const struct controller *const controllers_table[] = {
    &controller_deployment, &controller_replicaset, &controller_endpointslice,
    &controller_endpoints,  &controller_namespace,  &controller_service_account,
    &controller_root_ca,    &controller_garbage,    NULL,
};

/* supervisor.h: the parent of server and agent: `cox up`, `cox server`, `cox agent`.
 *
 * It makes keys and folders, opens the sockets (on the host and in the cluster's network
 * namespace), starts the children with a handoff, restarts one that dies (10 ms, doubling to half a
 * second), renews the admin kubeconfig, passes SIGUSR1 (print state) on, and ends the children on
 * SIGTERM or SIGINT. Containers are no children of any of these: they go on.
 */
#pragma once
#include "role/options.h"

enum {
    EXIT_FATAL = 78
}; /* a child that exits so is not started again: its message said what to do */

/* `roles`: ROLE_UP, ROLE_SERVER or ROLE_AGENT. Returns the exit status. */
int supervisor_main(int argc, char **argv, unsigned roles);
/* First address of the first /24 of a pod range: the bridge of the first node ("10.244.0.1").
 * False: no IPv4 CIDR. */
bool supervisor_first_address(struct str pod_cidr, char ret_address[16]);

/* loopback_ports.h: host ports on 127.0.0.0/8. Packets to a loopback address cannot be translated
 * (route_localnet is never set), so these connections are carried by the agent: TCP only, and they
 * end when the agent does. Internal to network/.
 */
#pragma once
#include "io/loop.h"
#include "network/pods.h"

struct loopback_ports;
struct loopback_ports *loopback_ports_new(struct loop *loop, int netns_fd);
void loopback_ports_free(struct loopback_ports *ports);
/* Listens on port->host_address (a loopback address; 0: 127.0.0.1). ERR_UNSUPPORTED: not TCP. */
int loopback_ports_add(struct loopback_ports *ports, const struct host_port *port, struct err *err);
void loopback_ports_remove(struct loopback_ports *ports, const struct host_port *port);

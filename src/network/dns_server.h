/* dns_server.h: the cluster's DNS on UDP and TCP, in the cluster namespace. Internal to network/.
 */
#pragma once
#include "network/dns_zone.h"

struct dns_server;
struct dns_server_options {
    struct loop *loop;
    int netns_fd;
    uint32_t address;
    uint16_t port; /* 0: 53 */
    struct str domain;
    struct str upstream; /* "9.9.9.9:53,1.1.1.1"; empty: names outside are REFUSED */
    int udp_fd, tcp_fd;  /* bound already; taken. 0: bound here */
    struct informer *services, *slices;
};
/* Binds both sockets in the namespace; the address need not be there yet. */
int dns_server_bind(int netns_fd, uint32_t address, uint16_t port, int *ret_udp, int *ret_tcp,
                    struct err *err);
int dns_server_new(const struct dns_server_options *options, struct dns_server **ret_server,
                   struct err *err);
/* Starts to answer (until then questions wait in the sockets). `whole`: the informers show the
 * whole state, so a name that is not there does not exist; otherwise names of the zone are SERVFAIL
 * and only others are forwarded. May be called again when the state is whole. */
void dns_server_begin(struct dns_server *server, bool whole);
void dns_server_free(struct dns_server *server);

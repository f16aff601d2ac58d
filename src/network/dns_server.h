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
    struct informer *services, *slices;
};
int dns_server_new(const struct dns_server_options *options, struct dns_server **ret_server,
                   struct err *err);
void dns_server_free(struct dns_server *server);

/* dns_zone.h: the cluster's zone, answered from the informers' live state. No sockets. Internal to
 * network/.
 *
 * The records are those of the DNS-Based Service Discovery specification (kubernetes/dns,
 * docs/specification.md, schema 1.1.0), and A records of pods by dashed address as CoreDNS's
 * "pods insecure" gives them.
 */
#pragma once
#include "base/random.h"
#include "client/informer.h"
#include "network/address.h"
#include "wire/dns.h"

enum { DNS_TTL_S = 5 };
struct dns_zone {
    char domain[200]; /* "cluster.local", lower case */
    struct informer *services, *slices;
    struct random *random; /* order of addresses */
};
/* Adds what the zone needs to the informers' indexes. */
void dns_zone_init(struct dns_zone *zone, struct str domain, struct informer *services,
                   struct informer *slices, struct random *random);
struct dns_zone_result {
    bool ours;          /* false: not of this zone, somebody else may know */
    int rcode;          /* when ours */
    char external[256]; /* ExternalName target outside the zone, whose addresses are still to be
                           added; "" none */
};
/* Adds records to the builder (dns_begin was called). */
struct dns_zone_result dns_zone_answer(const struct dns_zone *zone,
                                       const struct dns_question *question,
                                       struct dns_builder *builder);

/* dns.h: DNS messages (RFC 1035, 3596, 2782), parsed and built with bounds; no sockets. */
#pragma once
#include "base/err.h"
#include "base/str.h"

enum {
    DNS_TYPE_A = 1,
    DNS_TYPE_NS = 2,
    DNS_TYPE_CNAME = 5,
    DNS_TYPE_SOA = 6,
    DNS_TYPE_PTR = 12,
    DNS_TYPE_TXT = 16,
    DNS_TYPE_AAAA = 28,
    DNS_TYPE_SRV = 33,
    DNS_TYPE_OPT = 41,
    DNS_TYPE_ANY = 255
};
enum {
    DNS_RCODE_OK = 0,
    DNS_RCODE_FORMERR = 1,
    DNS_RCODE_SERVFAIL = 2,
    DNS_RCODE_NXDOMAIN = 3,
    DNS_RCODE_NOTIMP = 4,
    DNS_RCODE_REFUSED = 5
};
struct dns_question {
    uint16_t id, type, class_;
    bool recursion_desired;
    uint16_t udp_size; /* from OPT, else 512 */
    bool edns;
    char name[256]; /* lower case, no trailing dot; case as asked is echoed from the packet */
};
int dns_parse_query(struct str packet, struct dns_question *ret_question, struct err *err);
struct dns_builder {
    struct buf out;
    uint16_t answers, authorities, additionals;
    bool truncated;
    size_t limit; /* 65535 for TCP, question.udp_size for UDP */
};
void dns_begin(struct dns_builder *builder, struct str query_packet,
               const struct dns_question *question, size_t limit);
bool dns_add_a(struct dns_builder *builder, const char *name, uint32_t ttl,
               const uint8_t address[4]);
bool dns_add_aaaa(struct dns_builder *builder, const char *name, uint32_t ttl,
                  const uint8_t address[16]);
bool dns_add_name(struct dns_builder *builder, const char *name, uint16_t type /* PTR, CNAME, NS */,
                  uint32_t ttl, const char *target);
bool dns_add_srv(struct dns_builder *builder, const char *name, uint32_t ttl, uint16_t priority,
                 uint16_t weight, uint16_t port, const char *target);
bool dns_add_soa(struct dns_builder *builder, const char *zone,
                 uint32_t ttl); /* authority section */
void dns_finish(struct dns_builder *builder, int rcode, bool authoritative);

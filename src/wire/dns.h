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
    DNS_RCODE_REFUSED = 5,
    DNS_RCODE_BADVERS = 16 /* RFC 6891; its upper bits travel in the OPT record */
};
struct dns_question {
    uint16_t id, type, class_;
    bool recursion_desired;
    uint16_t udp_size; /* from OPT (at least 512, at most 4096), else 512 */
    bool edns;
    int rcode;           /* what to answer at once when it is not DNS_RCODE_OK */
    size_t question_end; /* offset in the packet behind the question; 0: there is none to echo */
    char name[256]; /* lower case, no trailing dot, "" is the root; the packet keeps its own case */
};
/* Parses a query with one question. ERR_PARSE: not even a header to answer, or an answer (drop
 * it). Otherwise 0, with ret_question->rcode FORMERR, NOTIMP or BADVERS where that is the answer.
 */
int dns_parse_query(struct str packet, struct dns_question *ret_question, struct err *err);

/* An answer: dns_begin, dns_add_* (answers first, then authority), dns_finish; then `out` is the
 * message. dns_add_* return false when the record does not fit the limit: it is left out and the
 * truncation bit is set. The caller frees `out`. */
struct dns_builder {
    struct buf out;
    uint16_t answers, authorities, additionals;
    bool truncated;
    bool recursion_available;
    size_t limit; /* 65535 for TCP, question.udp_size for UDP */
    bool edns, additional_section;
    char name[256];
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
bool dns_add_txt(struct dns_builder *builder, const char *name, uint32_t ttl, struct str text);
bool dns_add_soa(struct dns_builder *builder, const char *zone,
                 uint32_t ttl); /* authority section */
/* From here on records count as additional (addresses of SRV targets). */
void dns_additional(struct dns_builder *builder);
void dns_finish(struct dns_builder *builder, int rcode, bool authoritative);

/* Time a forwarded answer may be kept: the lowest TTL of its records (SOA minimum for a negative
 * one), 0 when it may not. Bounds are checked; a broken message gives 0. */
uint32_t dns_answer_ttl(struct str packet);
/* Offset behind the (possibly compressed) name at `at`, or 0 when it is broken. */
size_t dns_skip_name(struct str packet, size_t at);

/* Reading the answer section of an answer. Owner names are skipped, data is as on the wire. */
struct dns_record {
    uint16_t type;
    uint32_t ttl;
    struct str data;
};
struct dns_answer_walk {
    struct str packet;
    size_t at;
    unsigned left;
};
bool dns_walk_begin(struct dns_answer_walk *walk, struct str packet); /* false: broken */
bool dns_walk_next(struct dns_answer_walk *walk, struct dns_record *ret_record);
/* Appends a query for `name` (id 0, recursion desired, EDNS). False: not a legal name. */
bool dns_build_query(struct buf *out, const char *name, uint16_t type);

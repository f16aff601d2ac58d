/* dns.c: DNS messages without sockets: one parser for queries, one builder for answers.
 *
 * Invariants: every read is checked against the packet's end; a name costs at most 255 bytes and
 * 128 labels; compression pointers are not followed in questions (RFC 1035 has no need for them
 * there) and only skipped elsewhere, so nothing loops. The builder never grows past its limit: a
 * record that does not fit is left out whole and TC is set. Zone knowledge and transport are
 * network/dns_*.c's.
 */
#include "wire/dns.h"

#include <stdio.h>
#include <strings.h>

enum {
    HEADER_SIZE = 12,
    OPT_SIZE = 11,
    NAME_MAX_BYTES = 255,
    UDP_SIZE_MIN = 512,
    UDP_SIZE_MAX = 4096,
    RECORDS_MAX = 64
};
enum { FLAG_QR = 0x8000, FLAG_AA = 0x0400, FLAG_TC = 0x0200, FLAG_RD = 0x0100, FLAG_RA = 0x0080 };

static uint16_t get16(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (uint16_t)(b[0] << 8 | b[1]);
}

static uint32_t get32(const char *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(struct buf *out, uint16_t value)
{
    buf_char(out, (char)(value >> 8));
    buf_char(out, (char)value);
}

static void put32(struct buf *out, uint32_t value)
{
    put16(out, (uint16_t)(value >> 16));
    put16(out, (uint16_t)value);
}

static void set16(char *p, uint16_t value)
{
    p[0] = (char)(value >> 8);
    p[1] = (char)value;
}

/* ---- parsing ---- */

/* The name at `at` as lower-case text; returns the offset behind it, 0 when it is broken. */
static size_t parse_name(struct str packet, size_t at, char ret_name[256])
{
    size_t n = 0;
    for (;;) {
        if (at >= packet.n) {
            return 0;
        }
        size_t label = (uint8_t)packet.p[at++];
        if (label == 0) {
            break;
        }
        if (label > 63 || label > packet.n - at || n + label + 1 > NAME_MAX_BYTES - 1) {
            return 0;
        }
        if (n > 0) {
            ret_name[n++] = '.';
        }
        for (size_t i = 0; i < label; i++) {
            char c = packet.p[at + i];
            if (c == '.' || c == 0) {
                return 0; /* legal on the wire, but not writable as plain text: nobody has it */
            }
            ret_name[n++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        }
        at += label;
    }
    ret_name[n] = 0;
    return at;
}

size_t dns_skip_name(struct str packet, size_t at)
{
    for (int labels = 0; labels < 128; labels++) {
        if (at >= packet.n) {
            return 0;
        }
        size_t label = (uint8_t)packet.p[at];
        if (label == 0) {
            return at + 1;
        }
        if (label >= 0xC0) {
            return at + 2 <= packet.n ? at + 2 : 0;
        }
        if (label > 63) {
            return 0;
        }
        at += 1 + label;
    }
    return 0;
}

struct record {
    uint16_t type, class_;
    uint32_t ttl;
    size_t data, data_n, end;
};

static bool parse_record(struct str packet, size_t at, struct record *ret_record)
{
    size_t fixed = dns_skip_name(packet, at);
    if (fixed == 0 || packet.n - fixed < 10) {
        return false;
    }
    const char *p = packet.p + fixed;
    size_t data_n = get16(p + 8);
    if (packet.n - fixed - 10 < data_n) {
        return false;
    }
    *ret_record = (struct record){.type = get16(p),
                                  .class_ = get16(p + 2),
                                  .ttl = get32(p + 4),
                                  .data = fixed + 10,
                                  .data_n = data_n,
                                  .end = fixed + 10 + data_n};
    return true;
}

/* Looks for the OPT record behind the question. Returns the rcode that follows from it. */
static int parse_edns(struct str packet, size_t at, struct dns_question *question)
{
    unsigned before = (unsigned)get16(packet.p + 6) + get16(packet.p + 8);
    unsigned total = before + get16(packet.p + 10);
    if (total > RECORDS_MAX) {
        return DNS_RCODE_FORMERR;
    }
    for (unsigned i = 0; i < total; i++) {
        struct record record;
        if (!parse_record(packet, at, &record)) {
            return DNS_RCODE_FORMERR;
        }
        if (record.type == DNS_TYPE_OPT && i >= before) {
            if (question->edns || packet.p[at] != 0) {
                return DNS_RCODE_FORMERR; /* RFC 6891 6.1.1: one, and its name is the root */
            }
            question->edns = true;
            uint16_t size = record.class_;
            question->udp_size = size < UDP_SIZE_MIN   ? UDP_SIZE_MIN
                                 : size > UDP_SIZE_MAX ? UDP_SIZE_MAX
                                                       : size;
            if ((record.ttl >> 16 & 0xFF) != 0) {
                return DNS_RCODE_BADVERS;
            }
        }
        at = record.end;
    }
    return DNS_RCODE_OK;
}

int dns_parse_query(struct str packet, struct dns_question *ret_question, struct err *err)
{
    if (packet.n < HEADER_SIZE || packet.n > 65535) {
        return err_set(err, ERR_PARSE, "dns: no whole header");
    }
    uint16_t flags = get16(packet.p + 2);
    if (flags & FLAG_QR) {
        return err_set(err, ERR_PARSE, "dns: an answer, not a query");
    }
    struct dns_question question = {.id = get16(packet.p),
                                    .recursion_desired = (flags & FLAG_RD) != 0,
                                    .udp_size = UDP_SIZE_MIN};
    if ((flags >> 11 & 0xF) != 0) {
        question.rcode = DNS_RCODE_NOTIMP;
        *ret_question = question;
        return 0;
    }
    size_t end = get16(packet.p + 4) == 1 ? parse_name(packet, HEADER_SIZE, question.name) : 0;
    if (end == 0 || packet.n - end < 4) {
        question.rcode = DNS_RCODE_FORMERR;
        question.name[0] = 0;
        *ret_question = question;
        return 0;
    }
    question.type = get16(packet.p + end);
    question.class_ = get16(packet.p + end + 2);
    question.question_end = end + 4;
    question.rcode = parse_edns(packet, question.question_end, &question);
    *ret_question = question;
    return 0;
}

uint32_t dns_answer_ttl(struct str packet)
{
    if (packet.n < HEADER_SIZE || (get16(packet.p + 2) & FLAG_TC) || get16(packet.p + 4) != 1) {
        return 0;
    }
    size_t at = dns_skip_name(packet, HEADER_SIZE);
    if (at == 0 || packet.n - at < 4) {
        return 0;
    }
    at += 4;
    unsigned answers = get16(packet.p + 6);
    unsigned total = answers + get16(packet.p + 8) + get16(packet.p + 10);
    uint32_t lowest = UINT32_MAX;
    for (unsigned i = 0; i < total && i < 1024; i++) {
        struct record record;
        if (!parse_record(packet, at, &record)) {
            return 0;
        }
        at = record.end;
        if (record.type == DNS_TYPE_OPT) {
            continue;
        }
        uint32_t ttl = record.ttl;
        if (record.type == DNS_TYPE_SOA && answers == 0 && record.data_n >= 20) {
            uint32_t minimum = get32(packet.p + record.end - 4); /* RFC 2308 */
            ttl = minimum < ttl ? minimum : ttl;
        } else if (answers == 0) {
            continue;
        }
        lowest = ttl < lowest ? ttl : lowest;
    }
    return lowest == UINT32_MAX ? 0 : lowest;
}

bool dns_walk_begin(struct dns_answer_walk *walk, struct str packet)
{
    if (packet.n < HEADER_SIZE || get16(packet.p + 4) != 1) {
        return false;
    }
    size_t at = dns_skip_name(packet, HEADER_SIZE);
    if (at == 0 || packet.n - at < 4) {
        return false;
    }
    *walk = (struct dns_answer_walk){.packet = packet, .at = at + 4, .left = get16(packet.p + 6)};
    return true;
}

bool dns_walk_next(struct dns_answer_walk *walk, struct dns_record *ret_record)
{
    struct record record;
    if (walk->left == 0 || !parse_record(walk->packet, walk->at, &record)) {
        return false;
    }
    walk->left--;
    walk->at = record.end;
    *ret_record = (struct dns_record){.type = record.type,
                                      .ttl = record.ttl,
                                      .data = str_at(walk->packet.p + record.data, record.data_n)};
    return true;
}

/* ---- building ---- */

/* Text to labels; the question's own name becomes a pointer to it. False: not a legal name. */
static bool put_name(struct dns_builder *builder, const char *name)
{
    if (builder->name[0] != 0 && strcasecmp(name, builder->name) == 0) {
        put16(&builder->out, 0xC000 | HEADER_SIZE);
        return true;
    }
    struct str rest = str_of(name);
    if (rest.n > NAME_MAX_BYTES - 2) {
        return false;
    }
    while (rest.n > 0) {
        struct str label = str_cut(rest, '.', &rest);
        if (label.n == 0 || label.n > 63) {
            return false;
        }
        buf_char(&builder->out, (char)label.n);
        buf_str(&builder->out, label);
    }
    buf_char(&builder->out, 0);
    return true;
}

void dns_begin(struct dns_builder *builder, struct str query_packet,
               const struct dns_question *question, size_t limit)
{
    *builder = (struct dns_builder){.limit = limit, .edns = question->edns};
    put16(&builder->out, question->id);
    put16(&builder->out, (uint16_t)(FLAG_QR | (question->recursion_desired ? FLAG_RD : 0)));
    put16(&builder->out, question->question_end != 0 ? 1 : 0);
    buf_add(&builder->out, "\0\0\0\0\0\0", 6);
    if (question->question_end != 0) {
        buf_add(&builder->out, query_packet.p + HEADER_SIZE, question->question_end - HEADER_SIZE);
        memcpy(builder->name, question->name, sizeof builder->name);
    }
}

/* Owner, type, class IN, TTL, and a length to be filled by end_record; returns its offset, or 0. */
static size_t begin_record(struct dns_builder *builder, const char *name, uint16_t type,
                           uint32_t ttl)
{
    if (!put_name(builder, name)) {
        return 0;
    }
    put16(&builder->out, type);
    put16(&builder->out, 1);
    put32(&builder->out, ttl);
    put16(&builder->out, 0);
    return builder->out.n;
}

/* Keeps the record that began at `start` when it is whole and fits; otherwise takes it back. */
static bool end_record(struct dns_builder *builder, size_t start, size_t data, bool whole,
                       uint16_t *count)
{
    size_t reserve = builder->edns ? OPT_SIZE : 0;
    if (data == 0 || !whole || builder->out.n + reserve > builder->limit) {
        builder->truncated |= data != 0 && whole && !builder->additional_section;
        builder->out.n = start;
        return false;
    }
    set16(builder->out.p + data - 2, (uint16_t)(builder->out.n - data));
    ++*count;
    return true;
}

static uint16_t *section(struct dns_builder *builder)
{
    return builder->additional_section ? &builder->additionals : &builder->answers;
}

static bool add_bytes(struct dns_builder *builder, const char *name, uint16_t type, uint32_t ttl,
                      const void *bytes, size_t size)
{
    size_t start = builder->out.n;
    size_t data = begin_record(builder, name, type, ttl);
    buf_add(&builder->out, bytes, size);
    return end_record(builder, start, data, true, section(builder));
}

bool dns_add_a(struct dns_builder *builder, const char *name, uint32_t ttl,
               const uint8_t address[4])
{
    return add_bytes(builder, name, DNS_TYPE_A, ttl, address, 4);
}

bool dns_add_aaaa(struct dns_builder *builder, const char *name, uint32_t ttl,
                  const uint8_t address[16])
{
    return add_bytes(builder, name, DNS_TYPE_AAAA, ttl, address, 16);
}

bool dns_add_name(struct dns_builder *builder, const char *name, uint16_t type, uint32_t ttl,
                  const char *target)
{
    size_t start = builder->out.n;
    size_t data = begin_record(builder, name, type, ttl);
    bool whole = data != 0 && put_name(builder, target);
    return end_record(builder, start, data, whole, section(builder));
}

bool dns_add_srv(struct dns_builder *builder, const char *name, uint32_t ttl, uint16_t priority,
                 uint16_t weight, uint16_t port, const char *target)
{
    size_t start = builder->out.n;
    size_t data = begin_record(builder, name, DNS_TYPE_SRV, ttl);
    put16(&builder->out, priority);
    put16(&builder->out, weight);
    put16(&builder->out, port);
    char own = builder->name[0];
    builder->name[0] = 0; /* RFC 2782: no compression of the target */
    bool whole = data != 0 && put_name(builder, target);
    builder->name[0] = own;
    return end_record(builder, start, data, whole, section(builder));
}

bool dns_add_txt(struct dns_builder *builder, const char *name, uint32_t ttl, struct str text)
{
    size_t start = builder->out.n;
    size_t data = begin_record(builder, name, DNS_TYPE_TXT, ttl);
    size_t n = text.n < 255 ? text.n : 255;
    buf_char(&builder->out, (char)n);
    buf_add(&builder->out, text.p, n);
    return end_record(builder, start, data, true, section(builder));
}

bool dns_add_soa(struct dns_builder *builder, const char *zone, uint32_t ttl)
{
    char server[256], mailbox[256];
    if (strlen(zone) > sizeof server - 16) {
        return false;
    }
    snprintf(server, sizeof server, "ns.dns.%s", zone);
    snprintf(mailbox, sizeof mailbox, "hostmaster.%s", zone);
    size_t start = builder->out.n;
    size_t data = begin_record(builder, zone, DNS_TYPE_SOA, ttl);
    bool whole = data != 0 && put_name(builder, server) && put_name(builder, mailbox);
    put32(&builder->out, 1); /* serial: answers are made from live state, nobody transfers */
    put32(&builder->out,
          7200); /* refresh, retry, expire: for secondaries, of which there are none */
    put32(&builder->out, 1800);
    put32(&builder->out, 86400);
    put32(&builder->out, ttl); /* negative answers are kept this long */
    return end_record(builder, start, data, whole, &builder->authorities);
}

void dns_additional(struct dns_builder *builder)
{
    builder->additional_section = true;
}

void dns_finish(struct dns_builder *builder, int rcode, bool authoritative)
{
    if (builder->edns) { /* room was kept for it */
        buf_char(&builder->out, 0);
        put16(&builder->out, DNS_TYPE_OPT);
        put16(&builder->out, UDP_SIZE_MAX);
        buf_char(&builder->out, (char)(rcode >> 4));
        buf_add(&builder->out, "\0\0\0\0\0", 5);
        builder->additionals++;
    }
    uint16_t flags = get16(builder->out.p + 2);
    flags |= (uint16_t)(rcode & 0xF);
    flags |= authoritative ? FLAG_AA : 0;
    flags |= builder->truncated ? FLAG_TC : 0;
    flags |= builder->recursion_available ? FLAG_RA : 0;
    set16(builder->out.p + 2, flags);
    set16(builder->out.p + 6, builder->answers);
    set16(builder->out.p + 8, builder->authorities);
    set16(builder->out.p + 10, builder->additionals);
}

bool dns_build_query(struct buf *out, const char *name, uint16_t type)
{
    struct dns_builder builder = {.out = *out, .limit = 512};
    size_t start = builder.out.n;
    buf_add(&builder.out, "\0\0\1\0\0\1\0\0\0\0\0\1", HEADER_SIZE);
    bool whole = put_name(&builder, name);
    put16(&builder.out, type);
    put16(&builder.out, 1);
    buf_char(&builder.out, 0);
    put16(&builder.out, DNS_TYPE_OPT);
    put16(&builder.out, UDP_SIZE_MAX);
    buf_add(&builder.out, "\0\0\0\0\0\0", 6);
    *out = builder.out;
    if (!whole) {
        out->n = start;
    }
    return whole;
}

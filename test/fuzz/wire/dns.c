/* dns.c: queries and forwarded answers from anywhere; what parses is answered within its limit. */
#include <stdlib.h>

#include "wire/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str packet = str_at((const char *)data, size);
    struct dns_question question;
    struct dns_answer_walk walk;
    struct dns_record record;
    dns_answer_ttl(packet);
    if (dns_walk_begin(&walk, packet)) {
        while (dns_walk_next(&walk, &record)) {
            str_hash(record.data);
        }
    }
    if (dns_parse_query(packet, &question, NULL) != 0) {
        return 0;
    }
    struct dns_builder builder;
    dns_begin(&builder, packet, &question, question.udp_size);
    for (int i = 0; i < 40; i++) {
        dns_add_srv(&builder, question.name, 5, 0, 1, 1, question.name);
    }
    dns_add_soa(&builder, question.name, 30);
    dns_finish(&builder, question.rcode, true);
    if (builder.out.n > question.udp_size) {
        abort();
    }
    dns_answer_ttl(buf_view(&builder.out));
    buf_done(&builder.out);
    return 0;
}

#include "../cmocka_all.h"

#include "wire/dns.h"

#define QUERY_A                                                                                    \
    "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"                                             \
    "\x03WeB\x07"                                                                                  \
    "default\x03svc\x00\x00\x01\x00\x01"
#define QUERY_EDNS                                                                                 \
    "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01"                                             \
    "\x03web\x00\x00\x21\x00\x01"                                                                  \
    "\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00"

static void test_query(void **state)
{
    struct dns_question question;
    assert_int_equal(dns_parse_query(STR(QUERY_A), &question, NULL), 0);
    assert_int_equal(question.rcode, DNS_RCODE_OK);
    assert_string_equal(question.name, "web.default.svc");
    assert_int_equal(question.type, DNS_TYPE_A);
    assert_int_equal(question.id, 0x1234);
    assert_int_equal(question.udp_size, 512);
    assert_true(question.recursion_desired);
    assert_int_equal(dns_parse_query(STR(QUERY_EDNS), &question, NULL), 0);
    assert_true(question.edns);
    assert_int_equal(question.udp_size, 4096);
}

static void test_broken_queries(void **state)
{
    struct dns_question question;
    struct str query = STR(QUERY_A);
    for (size_t n = 0; n < 12; n++) {
        assert_int_equal(dns_parse_query(str_at(query.p, n), &question, NULL), ERR_PARSE);
    }
    for (size_t n = 12; n < query.n; n++) {
        assert_int_equal(dns_parse_query(str_at(query.p, n), &question, NULL), 0);
        assert_int_equal(question.rcode, DNS_RCODE_FORMERR);
    }
    assert_int_equal(dns_parse_query(STR("\0\0\x80\0\0\1\0\0\0\0\0\0\0\0\1\0\1"), &question, NULL),
                     ERR_PARSE);
    assert_int_equal(dns_parse_query(STR("\0\0\x28\0\0\1\0\0\0\0\0\0\0\0\1\0\1"), &question, NULL),
                     0);
    assert_int_equal(question.rcode, DNS_RCODE_NOTIMP);
    /* a pointer in the question */
    assert_int_equal(
        dns_parse_query(STR("\0\0\0\0\0\1\0\0\0\0\0\0\xC0\x0C\0\1\0\1"), &question, NULL), 0);
    assert_int_equal(question.rcode, DNS_RCODE_FORMERR);
}

static void test_answer(void **state)
{
    struct dns_question question;
    struct dns_builder builder;
    struct str query = STR(QUERY_A);
    assert_int_equal(dns_parse_query(query, &question, NULL), 0);
    dns_begin(&builder, query, &question, 512);
    assert_true(dns_add_a(&builder, question.name, 30, (const uint8_t *)"\x0A\x60\0\x07"));
    dns_finish(&builder, DNS_RCODE_OK, true);
    assert_int_equal(builder.out.n, query.n + 16);
    assert_memory_equal(builder.out.p, "\x12\x34\x85\x00\0\1\0\1\0\0\0\0", 12);
    assert_memory_equal(builder.out.p + query.n, "\xC0\x0C\0\1\0\1\0\0\0\x1E\0\4\x0A\x60\0\7", 16);
    assert_int_equal(dns_answer_ttl(buf_view(&builder.out)), 30);
    for (size_t n = 0; n < builder.out.n; n++) {
        assert_int_equal(dns_answer_ttl(str_at(builder.out.p, n)), 0);
    }
    buf_done(&builder.out);
}

static void test_truncation(void **state)
{
    struct dns_question question;
    struct dns_builder builder;
    struct str query = STR(QUERY_EDNS);
    assert_int_equal(dns_parse_query(query, &question, NULL), 0);
    dns_begin(&builder, query, &question, 512);
    int fitted = 0;
    for (int i = 0; i < 100; i++) {
        fitted += dns_add_srv(&builder, question.name, 5, 0, 100, 80, "a.very.long.target.name");
    }
    assert_true(fitted > 3 && fitted < 100);
    assert_true(builder.truncated);
    dns_finish(&builder, DNS_RCODE_OK, true);
    assert_true(builder.out.n <= 512);
    assert_int_equal(builder.out.p[2] & 2, 2);
    buf_done(&builder.out);
}

static void test_negative(void **state)
{
    struct dns_question question;
    struct dns_builder builder;
    struct str query = STR(QUERY_A);
    assert_int_equal(dns_parse_query(query, &question, NULL), 0);
    dns_begin(&builder, query, &question, 512);
    assert_true(dns_add_soa(&builder, "cluster.local", 30));
    assert_false(dns_add_name(&builder, "a..b", DNS_TYPE_CNAME, 5, "x"));
    dns_finish(&builder, DNS_RCODE_NXDOMAIN, true);
    assert_int_equal(dns_answer_ttl(buf_view(&builder.out)), 30);
    buf_done(&builder.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query),    cmocka_unit_test(test_broken_queries),
        cmocka_unit_test(test_answer),   cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_negative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "../cmocka_all.h"

#include "wire/protobuf.h"

static void test_round_trip(void **state)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    protobuf_varint(&out, 1, 150);
    protobuf_bytes(&out, 2, STR("testing"));
    size_t mark = protobuf_begin(&out, 3);
    for (int i = 0; i < 100; i++) {
        protobuf_varint(&out, 1, UINT64_MAX);
    }
    protobuf_end(&out, mark);
    protobuf_bool(&out, 4, true);
    assert_memory_equal(out.p, "\x08\x96\x01\x12\x07testing\x1A\xCC\x08", 15);

    struct protobuf_reader reader, inner;
    struct protobuf_field field;
    protobuf_reader_init(&reader, buf_view(&out));
    assert_true(protobuf_next(&reader, &field));
    assert_int_equal(field.value, 150);
    assert_true(protobuf_next(&reader, &field));
    assert_true(str_is(field.bytes, "testing"));
    assert_true(protobuf_next(&reader, &field));
    assert_int_equal(field.bytes.n, 1100);
    protobuf_reader_init(&inner, field.bytes);
    int count = 0;
    while (protobuf_next(&inner, &field)) {
        assert_true(field.value == UINT64_MAX);
        count++;
    }
    assert_int_equal(count, 100);
    assert_false(inner.failed);
    assert_true(protobuf_next(&reader, &field));
    assert_int_equal(field.number, 4);
    assert_false(protobuf_next(&reader, &field));
    assert_false(reader.failed);
}

static void refuses(struct str message)
{
    struct protobuf_reader reader;
    struct protobuf_field field;
    protobuf_reader_init(&reader, message);
    while (protobuf_next(&reader, &field)) {
    }
    assert_true(reader.failed);
}

static void test_broken(void **state)
{
    refuses(STR("\x08"));                                             /* no value */
    refuses(STR("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01")); /* eleven bytes */
    refuses(STR("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02"));     /* 65 bits */
    refuses(STR("\x12\x05"
                "abcd"));                                         /* short */
    refuses(STR("\x09\x01\x02"));                                 /* short fixed64 */
    refuses(STR("\x0B"));                                         /* group */
    refuses(STR("\x00\x01"));                                     /* field 0 */
    refuses(STR("\x12\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01")); /* huge length */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

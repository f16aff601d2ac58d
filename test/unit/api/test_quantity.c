/* test_quantity.c: resource.Quantity text, rounding, arithmetic. */
#include "../cmocka_all.h"

#include "api/quantity.h"

static void canonical_text(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"0", "0"},
        {"0m", "0"},
        {"1000m", "1"},
        {"1500m", "1500m"},
        {"0.5", "500m"},
        {".5", "500m"},
        {"1.", "1"},
        {"100", "100"},
        {"1000", "1k"},
        {"1024", "1024"},
        {"1Ki", "1Ki"},
        {"1024Ki", "1Mi"},
        {"1.5Gi", "1536Mi"},
        {"0.5Ki", "512"},
        {"512Mi", "512Mi"},
        {"100M", "100M"},
        {"1e3", "1e3"},
        {"12E", "12E"},
        {"1E3", "1e3"},
        {"1e-3", "1e-3"},
        {"-1", "-1"},
        {"+3", "3"},
        {"1n", "1n"},
        {"0.1n", "1n"},
        {"1.0000000001", "1000000001n"},
        {"0.5Mi", "512Ki"},
        {"2Ei", "2Ei"},
        {"-1.5Ki", "-1536"},
        {"9223372036854775807", "9223372036854775807"},
        {"9223372036854775808", "9223372036854775807"},
        {"0.25", "250m"},
        {"1e6", "1e6"},
        {"1000k", "1M"},
        {"010", "10"},
        {"99999999999999E", "9223372036854775807"},
        {"123456789", "123456789"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct quantity q;
        char text[64];
        assert_true(quantity_parse(str_of(cases[i].in), &q));
        quantity_format(q, text);
        assert_string_equal(text, cases[i].out);
    }
}

static void refuses(void **state)
{
    static const char *const cases[] = {"",     " ",     "a",  "1a",  "1 Gi", "1gi",
                                        "Gi",   "1.2.3", "1e", "--1", "1e+",  "1mm",
                                        "1Kib", "0x1",   ".",  "+",   "1,5",  "1e2e3"};
    struct quantity q = {77, 0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_false(quantity_parse(str_of(cases[i]), &q));
    }
    assert_true(q.nano == 77);
}

static void rounds_up(void **state)
{
    struct quantity q;
    assert_true(quantity_parse(STR("100m"), &q));
    assert_int_equal(quantity_value(q), 1);
    assert_int_equal(quantity_milli(q), 100);
    assert_true(quantity_parse(STR("1u"), &q));
    assert_int_equal(quantity_milli(q), 1);
    assert_true(quantity_parse(STR("999999E"), &q));
    assert_true(quantity_value(q) == INT64_MAX);
    assert_true(quantity_milli(q) == INT64_MAX);
}

static void adds(void **state)
{
    struct quantity a = {0}, b = {0};
    char text[64];
    assert_true(quantity_parse(STR("0"), &a) && quantity_parse(STR("1Gi"), &b));
    quantity_format(quantity_add(a, b), text);
    assert_string_equal(text, "1Gi");
    quantity_format(quantity_sub(quantity_of_milli(2500), quantity_of_value(1, 0)), text);
    assert_string_equal(text, "1500m");
    assert_true(quantity_cmp(a, b) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical_text),
        cmocka_unit_test(refuses),
        cmocka_unit_test(rounds_up),
        cmocka_unit_test(adds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_time.c: times, durations and ages as Kubernetes and kubectl write them. */
#include "../cmocka_all.h"

#include "base/clock.h"

static void times_round_trip(void **state)
{
    char text[TIME_TEXT_SIZE];
    int64_t ns = 0;
    assert_true(time_parse(STR("2026-11-25T01:02:03Z"), &ns));
    time_format(ns, text);
    assert_string_equal(text, "2026-11-25T01:02:03Z");
    assert_true(time_parse(STR("2026-11-25T03:02:03.000004+02:00"), &ns));
    time_format_micro(ns, text);
    assert_string_equal(text, "2026-11-25T01:02:03.000004Z");
    time_format_nano(ns, text);
    assert_string_equal(text, "2026-11-25T01:02:03.000004000Z");
    assert_true(time_parse(STR("1969-12-31T23:59:59.5Z"), &ns));
    assert_true(ns == -NS_PER_S / 2);
    time_format_micro(ns, text);
    assert_string_equal(text, "1969-12-31T23:59:59.500000Z");
}

static void bad_times_are_refused(void **state)
{
    const char *bad[] = {"",
                         "2026-11-25",
                         "2026-11-25T01:02:03",
                         "2026-13-25T01:02:03Z",
                         "2026-02-29T01:02:03Z",
                         "2026-11-25T24:02:03Z",
                         "2026-11-25T01:02:03+0200",
                         "2026-11-25T01:02:03Zx",
                         "2026-11-25 01:02:03Z",
                         "9999-11-25T01:02:03Z",
                         "2026-11-25T01:02:03.Z"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t ns = 5;
        assert_false(time_parse(str_of(bad[i]), &ns));
        assert_true(ns == 5);
    }
}

static void durations(void **state)
{
    static const struct {
        const char *in;
        int64_t ns;
        const char *out;
    } rows[] = {{"0", 0, "0s"},
                {"1h30m", 5400 * NS_PER_S, "1h30m0s"},
                {"90s", 90 * NS_PER_S, "1m30s"},
                {"1.5s", 1500 * NS_PER_MS, "1.5s"},
                {"-1.5h", -5400 * NS_PER_S, "-1h30m0s"},
                {"300ms", 300 * NS_PER_MS, "300ms"},
                {"1us", 1000, "1\xc2\xb5s"},
                {"36h", 36 * 3600 * NS_PER_S, "36h0m0s"},
                {".5s", 500 * NS_PER_MS, "500ms"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t ns = -1;
        char text[TIME_TEXT_SIZE];
        assert_true(duration_parse(str_of(rows[i].in), &ns));
        assert_true(ns == rows[i].ns);
        duration_format(ns, text);
        assert_string_equal(text, rows[i].out);
    }
    const char *bad[] = {"", "s", "1", "1x", ".s", "1h-1m", "10000000h", "1 s"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t ns = 0;
        assert_false(duration_parse(str_of(bad[i]), &ns));
    }
}

static void ages(void **state)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } rows[] = {{0, "0s"},          {119, "119s"},    {120, "2m"},        {130, "2m10s"},
                {600, "10m"},       {7200, "120m"},   {10800, "3h"},      {10860, "3h1m"},
                {86400, "24h"},     {172800, "2d"},   {176400, "2d1h"},   {691200, "8d"},
                {31536000, "365d"}, {63072000, "2y"}, {63158400, "2y1d"}, {315360000, "10y"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[TIME_TEXT_SIZE];
        duration_format_age(rows[i].seconds * NS_PER_S, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void virtual_clock_moves_only_by_hand(void **state)
{
    struct clock clock;
    clock_virtual_init(&clock, 1000);
    assert_true(clock_wall(&clock) == 1000 && clock_mono(&clock) == 0);
    clock_virtual_advance(&clock, 5);
    assert_true(clock_wall(&clock) == 1005 && clock_mono(&clock) == 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_round_trip),
        cmocka_unit_test(bad_times_are_refused),
        cmocka_unit_test(durations),
        cmocka_unit_test(ages),
        cmocka_unit_test(virtual_clock_moves_only_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

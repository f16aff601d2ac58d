/* test_cron.c: which times a schedule means; what is no schedule; names of time zones. */
#include "../cmocka_all.h"

#include "api/cron.h"
#include "api/time_zone.h"

#define BITS(from, to) (((to) >= 63 ? ~0ULL : (1ULL << ((to) + 1)) - 1) & ~((1ULL << (from)) - 1))

static struct cron parsed(const char *text)
{
    struct cron cron;
    struct err err = ERR_INIT;
    assert_int_equal(cron_parse(str_of(text), &cron, &err), 0);
    return cron;
}

static void fields(void **state)
{
    struct cron cron = parsed("*/20 1-3,22 ? jan-MAR mon");
    assert_true(cron.minute == (1ULL | 1ULL << 20 | 1ULL << 40));
    assert_true(cron.hour == (BITS(1, 3) | 1ULL << 22));
    assert_true(cron.day == BITS(1, 31));
    assert_true(cron.month == BITS(1, 3));
    assert_true(cron.weekday == 1ULL << 1);
    assert_true(cron.any_day);
    assert_false(cron.any_weekday);
}

static void steps(void **state)
{
    struct cron cron = parsed("50/5 0-23/12 */2 * *");
    assert_true(cron.minute == (1ULL << 50 | 1ULL << 55));
    assert_true(cron.hour == (1ULL | 1ULL << 12));
    assert_false(cron.any_day); /* with a step it chooses days */
    assert_true(cron.any_weekday);
    assert_true(parsed("*/1 * * * *").minute == BITS(0, 59));
    assert_true(parsed("0/99999999999 * * * *").minute == 1);
}

static void words(void **state)
{
    assert_true(parsed("@hourly").minute == 1);
    assert_true(parsed("@hourly").hour == BITS(0, 23));
    assert_true(parsed("@weekly").weekday == 1);
    assert_true(parsed("@yearly").month == 2);
    assert_int_equal(parsed("@every 90m").every_ns, 5400LL * 1000000000);
    assert_int_equal(parsed("@every 1ms").every_ns, 1000000000);
    struct cron cron = parsed("CRON_TZ=Europe/Paris @daily");
    assert_true(str_is(cron.zone, "Europe/Paris"));
    assert_true(cron.hour == 1);
}

static void nonsense(void **state)
{
    static const char *const texts[] = {"",
                                        "* * * *",
                                        "* * * * * *",
                                        "60 * * * *",
                                        "* 24 * * *",
                                        "* * 0 * *",
                                        "* * 32 * *",
                                        "* * * 0 *",
                                        "* * * * 7",
                                        "*/0 * * * *",
                                        "5-1 * * *",
                                        "5-1 * * * *",
                                        "x * * * *",
                                        "- * * * *",
                                        "1- * * * *",
                                        "@",
                                        "@every",
                                        "@every 1",
                                        "@Hourly",
                                        "TZ=UTC",
                                        "TZ= * * * * *",
                                        "TZ=Nowhere * * * * *",
                                        "* * * janx *",
                                        "-5 * * * *"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct cron cron = {.hour = 42};
        struct err err = ERR_INIT;
        assert_true(cron_parse(str_of(texts[i]), &cron, &err) < 0);
        assert_true(err.message[0] != '\0');
        assert_int_equal(cron.hour, 42);
    }
}

static void zones(void **state)
{
    static const char *const good[] = {"UTC", "Africa/Abidjan", "Zulu", "America/New_York",
                                       "Etc/GMT+12"};
    static const char *const bad[] = {"", "utc", "Local", "Europe", "Europe/", "UTC\n", "../UTC"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(time_zone_known(str_of(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(time_zone_known(str_of(bad[i])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fields), cmocka_unit_test(steps),
                                       cmocka_unit_test(words), cmocka_unit_test(nonsense),
                                       cmocka_unit_test(zones)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

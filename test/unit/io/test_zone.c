/* io/zone.c against the C library, over the zones of this machine. */
#define _GNU_SOURCE 1
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <time.h>

#include "io/zone.h"

static void compare(const char *name)
{
    struct zone *zone = NULL;
    struct err err;
    assert_int_equal(zone_load(str_of(name), &zone, &err), 0);
    setenv("TZ", name, 1);
    tzset();
    /* every 5 h 17 min from 1971 to 2099: all transitions and the rule of the footer */
    for (int64_t at = 365 * 86400; at < 129LL * 365 * 86400; at += 19020) {
        time_t t = (time_t)at;
        struct tm tm;
        struct zone_time ours;
        localtime_r(&t, &tm);
        zone_local(zone, at, &ours);
        if (ours.hour != tm.tm_hour || ours.minute != tm.tm_min || ours.day != tm.tm_mday ||
            ours.month != tm.tm_mon + 1 || ours.year != tm.tm_year + 1900 ||
            ours.weekday != tm.tm_wday) {
            print_error("%s at %lld: %d-%d-%d %d:%d, not %d-%d-%d %d:%d\n", name, (long long)at,
                        ours.year, ours.month, ours.day, ours.hour, ours.minute, tm.tm_year + 1900,
                        tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min);
            fail();
        }
    }
    zone_free(zone);
}

static void agrees_with_the_c_library(void **state)
{
    static const char *const names[] = {"UTC",
                                        "Europe/Paris",
                                        "America/New_York",
                                        "Australia/Lord_Howe",
                                        "Asia/Kolkata",
                                        "America/Sao_Paulo",
                                        "Pacific/Auckland",
                                        "Europe/Dublin",
                                        "Asia/Tehran",
                                        "America/Scoresbysund",
                                        "Pacific/Apia",
                                        "Asia/Gaza",
                                        "Africa/Cairo",
                                        "Etc/GMT+5"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        compare(names[i]);
    }
}

static void refuses_what_is_no_zone(void **state)
{
    static const char *const names[] = {
        "", "Nowhere/Land", "../../etc/passwd", "/etc/localtime", "zone.tab", "Europe"};
    struct zone *zone = NULL;
    struct err err;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_not_equal(zone_load(str_of(names[i]), &zone, &err), 0);
        assert_null(zone);
    }
    char cut[200] = "TZif2";
    for (size_t n = 0; n < sizeof cut; n++) {
        assert_int_not_equal(zone_parse(str_at(cut, n), &zone, &err), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_c_library),
        cmocka_unit_test(refuses_what_is_no_zone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

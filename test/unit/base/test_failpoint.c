/* test_failpoint.c: arming, counting, bad specs; log levels; metrics text. */
#include "../cmocka_all.h"

#include <errno.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/metrics.h"

static int try_write(void)
{
    return FAILPOINT_ERRNO("test.write");
}

static void armed_points_fail_as_told(void **state)
{
    assert_int_equal(try_write(), 0);
    assert_true(failpoint_arm(STR("test.write=error:EIO,once")));
    assert_int_equal(try_write(), EIO);
    assert_int_equal(try_write(), 0);
    assert_true(failpoint_arm(STR("test.write=error:ENOSPC,after:5")));
    assert_int_equal(try_write(), 0); /* the fourth hit */
    assert_int_equal(try_write(), 0);
    assert_int_equal(try_write(), ENOSPC);
    assert_true(failpoint_arm(STR("test.write=off")));
    assert_int_equal(try_write(), 0);
}

static void bad_specs_are_refused(void **state)
{
    const char *bad[] = {"",
                         "test.write",
                         "none.such=abort",
                         "test.write=explode",
                         "test.write=error:EWHAT",
                         "test.write=p:2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(failpoint_arm(str_of(bad[i])));
    }
}

static void find(void *ctx, const char *name, uint64_t hits)
{
    *(bool *)ctx = *(bool *)ctx || (strcmp(name, "test.write") == 0 && hits >= 7);
}

static void points_are_listed_with_hits(void **state)
{
    bool found = false;
    failpoint_each(find, &found);
    assert_true(found);
}

static void levels_by_component(void **state)
{
    assert_false(log_enabled("a", LOG_LEVEL_DEBUG));
    assert_true(log_set_levels(STR("warn,a=debug")));
    assert_true(log_enabled("a", LOG_LEVEL_DEBUG));
    assert_false(log_enabled("b", LOG_LEVEL_INFO));
    assert_false(log_set_levels(STR("loud")));
    assert_true(log_set_levels(STR("info")));
}

METRIC(probes, METRIC_KIND_COUNTER, "test_probes_total", "kind=\"x\"", "Probes.");
METRIC(took, METRIC_KIND_HISTOGRAM, "test_seconds", NULL, "Time.");

static void metrics_are_exposed(void **state)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    metric_add(&probes, 3);
    metric_observe_us(&took, 700);
    metrics_write(&out);
    assert_non_null(
        strstr(out.p, "# TYPE test_probes_total counter\ntest_probes_total{kind=\"x\"} 3\n"));
    assert_non_null(strstr(out.p, "test_seconds_bucket{le=\"0.0005\"} 0\n"));
    assert_non_null(strstr(out.p, "test_seconds_bucket{le=\"0.001\"} 1\n"));
    assert_non_null(strstr(out.p, "test_seconds_count 1\n"));
    assert_non_null(strstr(out.p, "process_resident_memory_bytes "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(armed_points_fail_as_told),   cmocka_unit_test(bad_specs_are_refused),
        cmocka_unit_test(points_are_listed_with_hits), cmocka_unit_test(levels_by_component),
        cmocka_unit_test(metrics_are_exposed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

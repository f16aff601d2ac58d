/* controllers/batch/cron_job.c and cron_time.c on virtual time, which begins at 2027-01-15 08:00
 * UTC. */
#include <stdio.h>

#include "bench.h"
#include "controllers/batch/cron_time.h"
#include "controllers/table_int.h"

#define CRONJOBS kind("batch", "cronjobs")
#define MINUTE   60

static const struct controller *const controllers[] = {&controller_cron_job, NULL};

static void make(struct bench *bench, const char *schedule, const char *more)
{
    fake_createf(bench->api, CRONJOBS,
                 "{'apiVersion':'batch/v1','kind':'CronJob','metadata':{'name':'c','namespace':"
                 "'default'},'spec':{'schedule':'%s','jobTemplate':{'metadata':{'labels':{'a':'b'}}"
                 ",'spec':{'template':{'spec':{'restartPolicy':'Never','containers':[{'name':'c',"
                 "'image':'i'}]}}}}%s}}",
                 schedule, more);
}

static void end_all(struct bench *bench, const char *type)
{
    for (size_t i = 0; i < fake_count(bench->api, JOBS); i++) {
        struct object *job = nth(bench, JOBS, i);
        char name[80], now[TIME_TEXT_SIZE];
        snprintf(name, sizeof name, "%.*s", STR_ARG(job->name));
        time_format(clock_wall(loop_clock(bench->loop)), now);
        if (condition_at(bench, JOBS, name, type, "status")[0] == '\0') {
            fake_patchf(bench->api, JOBS, "default", name, "status",
                        "{'status':{'startTime':'%s','completionTime':'%s','conditions':[{'type':"
                        "'%s','status':'True'}]}}",
                        now, now, type);
        }
    }
}

static void makes_a_job_each_time(void **state)
{
    struct bench bench;
    bench_init(&bench, 1, controllers);
    make(&bench, "*/5 * * * *", "");
    bench_run(&bench, 4 * MINUTE);
    assert_int_equal(fake_count(bench.api, JOBS), 0);
    bench_run(&bench, 2 * MINUTE);
    assert_int_equal(fake_count(bench.api, JOBS), 1);
    struct object *job = nth(&bench, JOBS, 0);
    assert_true(str_is(job->name, "c-30000005")); /* minutes since 1970 */
    struct str stamp =
        val_text(val_get_str(val_path(value_of(&bench, JOBS, "c-30000005"), "metadata.annotations"),
                             STR("batch.kubernetes.io/cronjob-scheduled-timestamp")));
    assert_true(str_is(stamp, "2027-01-15T08:05:00Z"));
    assert_int_equal(val_count(val_path(value_of(&bench, CRONJOBS, "c"), "status.active")), 1);
    assert_string_equal(text_at(&bench, CRONJOBS, "c", "status.lastScheduleTime"),
                        "2027-01-15T08:05:00Z");
    end_all(&bench, "Complete");
    bench_run(&bench, 2 * MINUTE);
    assert_int_equal(val_count(val_path(value_of(&bench, CRONJOBS, "c"), "status.active")), 0);
    assert_true(text_at(&bench, CRONJOBS, "c", "status.lastSuccessfulTime")[0] != '\0');
    bench_done(&bench);
}

static void keeps_as_much_history_as_asked(void **state)
{
    struct bench bench;
    bench_init(&bench, 2, controllers);
    make(&bench, "* * * * *", ",'successfulJobsHistoryLimit':2");
    for (int i = 0; i < 10; i++) {
        bench_run(&bench, MINUTE);
        end_all(&bench, "Complete");
    }
    bench_run(&bench, 10);
    assert_in_range(fake_count(bench.api, JOBS), 2, 3);
    bench_done(&bench);
}

static void forbids_replaces_and_suspends(void **state)
{
    struct bench bench;
    bench_init(&bench, 3, controllers);
    make(&bench, "* * * * *", ",'concurrencyPolicy':'Forbid'");
    bench_run(&bench, 5 * MINUTE + 10);
    assert_int_equal(fake_count(bench.api, JOBS), 1);
    assert_true(count_events(&bench, "JobAlreadyActive") >= 1);
    fake_patchf(bench.api, CRONJOBS, "default", "c", "",
                "{'spec':{'concurrencyPolicy':'Replace'}}");
    bench_run(&bench, 2 * MINUTE);
    assert_int_equal(fake_count(bench.api, JOBS), 1);
    fake_patchf(bench.api, CRONJOBS, "default", "c", "", "{'spec':{'suspend':true}}");
    bench_run(&bench, 10);
    char last[64];
    snprintf(last, sizeof last, "%s", text_at(&bench, CRONJOBS, "c", "status.lastScheduleTime"));
    bench_quiet(&bench, 10 * MINUTE);
    assert_string_equal(text_at(&bench, CRONJOBS, "c", "status.lastScheduleTime"), last);
    bench_done(&bench);
}

static void catches_up_once_after_a_gap(void **state)
{
    struct bench bench;
    bench_init(&bench, 4, controllers);
    make(&bench, "*/10 * * * *", "");
    bench_run(&bench, 11 * MINUTE);
    assert_int_equal(fake_count(bench.api, JOBS), 1);
    bench_stop(&bench);
    bench_run(&bench, 3600);
    bench_start(&bench);
    bench_run(&bench, 5);
    assert_int_equal(fake_count(bench.api, JOBS), 2); /* the latest of the missed ones */
    assert_string_equal(text_at(&bench, CRONJOBS, "c", "status.lastScheduleTime"),
                        "2027-01-15T09:10:00Z");
    fake_patchf(bench.api, CRONJOBS, "default", "c", "", "{'spec':{'startingDeadlineSeconds':30}}");
    bench_stop(&bench);
    bench_run(&bench, 15 * MINUTE);
    bench_start(&bench);
    bench_run(&bench, 5);
    assert_int_equal(fake_count(bench.api, JOBS), 2); /* too late for 09:20 */
    bench_done(&bench);
}

static int64_t next(const char *schedule, const char *zone_name, const char *after)
{
    struct cron cron;
    struct err err;
    struct zone *zone = NULL;
    int64_t at;
    assert_int_equal(cron_parse(str_of(schedule), &cron, &err), 0);
    assert_int_equal(zone_load(str_of(zone_name), &zone, &err), 0);
    assert_true(time_parse(str_of(after), &at));
    int64_t found = cron_next(&cron, zone, at / NS_PER_S);
    zone_free(zone);
    return found;
}

static void check_next(const char *schedule, const char *zone, const char *after, const char *want)
{
    char text[TIME_TEXT_SIZE];
    time_format(next(schedule, zone, after) * NS_PER_S, text);
    assert_string_equal(text, want);
}

static void knows_when_a_schedule_fires(void **state)
{
    check_next("0 0 1 1 *", "UTC", "2026-11-30T23:00:00Z", "2027-01-01T00:00:00Z");
    check_next("30 9 * * mon-fri", "UTC", "2026-11-28T10:00:00Z", "2026-11-30T09:30:00Z");
    check_next("0 12 29 2 *", "UTC", "2026-11-30T00:00:00Z", "2028-02-29T12:00:00Z");
    check_next("0 0 13 * 5", "UTC", "2026-11-30T00:00:00Z", "2026-12-04T00:00:00Z"); /* either */
    check_next("@hourly", "UTC", "2026-11-30T23:59:59Z", "2026-12-01T00:00:00Z");
    check_next("@every 90m", "UTC", "2026-11-30T00:00:00Z", "2026-11-30T01:30:00Z");
    check_next("0 9 * * *", "Asia/Kolkata", "2026-11-30T03:30:00Z", "2026-12-01T03:30:00Z");
    /* 02:30 does not exist on 2027-03-28 in Paris */
    check_next("30 2 * * *", "Europe/Paris", "2027-03-27T12:00:00Z", "2027-03-29T00:30:00Z");
    /* and is there twice on 2027-10-31 */
    check_next("30 2 * * *", "Europe/Paris", "2027-10-31T00:30:00Z", "2027-10-31T01:30:00Z");
    assert_int_equal(next("0 0 30 2 *", "UTC", "2026-11-30T00:00:00Z"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_a_job_each_time),
        cmocka_unit_test(keeps_as_much_history_as_asked),
        cmocka_unit_test(forbids_replaces_and_suspends),
        cmocka_unit_test(catches_up_once_after_a_gap),
        cmocka_unit_test(knows_when_a_schedule_fires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* failpoint.c: the registry is a linker section; arming swaps an atomic pointer. See failpoint.h.
 */
#include "base/failpoint.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "base/random.h"

enum action_kind { ACTION_ABORT, ACTION_SLEEP, ACTION_ERROR };
struct failpoint_action {
    enum action_kind kind;
    int number; /* milliseconds or errno */
    bool once;
    uint64_t after;       /* hits to let pass */
    uint64_t probability; /* of 1,000,000 */
    atomic_bool spent;
    struct failpoint_action *older; /* replaced ones stay reachable: a thread may be in one */
};

static _Atomic(struct failpoint_action *) all_actions;

/* Weak: a build without a single failpoint has no such section. */
extern struct failpoint __start_cox_failpoints[] __attribute__((weak));
extern struct failpoint __stop_cox_failpoints[] __attribute__((weak));

static size_t point_count(void)
{
    return (size_t)(__stop_cox_failpoints - __start_cox_failpoints);
}

int failpoint_hit(struct failpoint *point)
{
    uint64_t before = atomic_fetch_add_explicit(&point->hits, 1, memory_order_relaxed);
    struct failpoint_action *action = atomic_load_explicit(&point->action, memory_order_acquire);
    if (action == NULL || before < action->after ||
        random_below(random_real(), 1000000) >= action->probability ||
        (action->once && atomic_exchange(&action->spent, true))) {
        return 0;
    }
    switch (action->kind) {
    case ACTION_ABORT:
        fprintf(stderr, "cox: failpoint %s: abort\n", point->name);
        _Exit(134);
    case ACTION_SLEEP:
        nanosleep(&(struct timespec){action->number / 1000, action->number % 1000 * 1000000L},
                  NULL);
        return 0;
    case ACTION_ERROR:
        return action->number;
    }
    return 0;
}

static int errno_of(struct str name)
{
    static const struct {
        const char *name;
        int number;
    } rows[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"ENOMEM", ENOMEM}, {"EACCES", EACCES},
                {"EINTR", EINTR},   {"EAGAIN", EAGAIN}, {"EPIPE", EPIPE},   {"EBUSY", EBUSY},
                {"ENOENT", ENOENT}, {"EMFILE", EMFILE}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (str_is(name, rows[i].name)) {
            return rows[i].number;
        }
    }
    return 0;
}

static bool probability_parse(struct str text, uint64_t *ret_ppm)
{
    struct str fraction;
    struct str whole = str_cut(text, '.', &fraction);
    uint64_t unit = 0, part = 0, scale = 1000000;
    if (!str_u64(whole, &unit) || unit > 1 ||
        (fraction.p != NULL && (fraction.n > 6 || !str_u64(fraction, &part)))) {
        return false;
    }
    for (size_t i = 0; i < fraction.n; i++) {
        scale /= 10;
    }
    *ret_ppm = unit * 1000000 + part * scale;
    return true;
}

static bool word_apply(struct failpoint_action *action, struct str word)
{
    struct str argument;
    struct str name = str_cut(word, ':', &argument);
    uint64_t number = 0;
    if (str_is(name, "abort")) {
        action->kind = ACTION_ABORT;
        return true;
    }
    if (str_is(name, "once")) {
        action->once = true;
        return true;
    }
    if (str_is(name, "error")) {
        action->kind = ACTION_ERROR;
        action->number = errno_of(argument);
        return action->number != 0;
    }
    if (str_is(name, "p")) {
        return probability_parse(argument, &action->probability);
    }
    if (!str_u64(argument, &number) || number > 1000000000) {
        return false;
    }
    if (str_is(name, "sleep")) {
        action->kind = ACTION_SLEEP;
        action->number = (int)number;
        return true;
    }
    action->after = number;
    return str_is(name, "after");
}

bool failpoint_arm(struct str spec)
{
    struct str rest;
    struct str name = str_cut(spec, '=', &rest);
    struct failpoint_action *action = NULL;
    if (rest.p == NULL) {
        return false;
    }
    if (!str_is(rest, "off")) {
        action = mem_new(struct failpoint_action);
        action->probability = 1000000;
        while (rest.p != NULL) {
            if (!word_apply(action, str_cut(rest, ',', &rest))) {
                free(action);
                return false;
            }
        }
    }
    bool found = false;
    for (size_t i = 0; i < point_count(); i++) {
        if (str_is(name, __start_cox_failpoints[i].name)) {
            atomic_store_explicit(&__start_cox_failpoints[i].action, action,
                                  memory_order_release); /* the old one may be in use: kept */
            found = true;
        }
    }
    if (!found) {
        free(action);
    } else if (action != NULL) {
        action->older = atomic_exchange(&all_actions, action);
    }
    return found;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct failpoint *const *)a)->name, (*(struct failpoint *const *)b)->name);
}

void failpoint_each(void (*visit)(void *ctx, const char *name, uint64_t hits), void *ctx)
{
    size_t count = point_count();
    struct failpoint **points = mem_array(struct failpoint *, count);
    for (size_t i = 0; i < count; i++) {
        points[i] = &__start_cox_failpoints[i];
    }
    qsort(points, count, sizeof *points, by_name);
    for (size_t i = 0; i < count; i++) {
        visit(ctx, points[i]->name, atomic_load(&points[i]->hits));
    }
    free(points);
}

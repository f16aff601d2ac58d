/* node_main.c: main() of the tests that have a running agent. */
#include <stdlib.h>

#include "../cmocka_all.h"
#include "base/log.h"
#include "node_rig.h"

struct fixture {
    struct rig *rig;
    bool (*prepare)(struct rig *rig);
};
static struct fixture fixture;

static int start(void **state)
{
    rig_start(fixture.rig);
    return fixture.prepare == NULL || fixture.prepare(fixture.rig) ? 0 : -1;
}

static int stop(void **state)
{
    rig_free(fixture.rig);
    return 0;
}

int rig_main(int argc, char **argv, struct rig **ret_rig, bool (*prepare)(struct rig *rig),
             const struct CMUnitTest *tests, size_t count)
{
    int role = rig_role(argc, argv);
    if (role >= 0) {
        return role;
    }
    fixture = (struct fixture){.rig = rig_new(), .prepare = prepare};
    *ret_rig = fixture.rig;
    if (fixture.rig == NULL) {
        return 77;
    }
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    if (getenv("NODE_LOG") != NULL) {
        log_set_levels(str_of(getenv("NODE_LOG")));
    }
    return _cmocka_run_group_tests("node", tests, count, start, stop);
}

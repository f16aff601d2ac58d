/* test_arguments.c: flags anywhere, joined letters, targets, paths. */
#include "../cmocka_all.h"

#include "cli/arguments.h"

#define PARSE(flags, ...)                                                                          \
    const char *words_[] = {"verb", __VA_ARGS__};                                                  \
    struct arguments a = {0};                                                                      \
    struct err err = ERR_INIT;                                                                     \
    int rc = arguments_parse((int)(sizeof words_ / sizeof *words_), (char **)(uintptr_t)words_,    \
                             (flags), &a, &err)

static void flags_may_stand_anywhere(void **state)
{
    PARSE(FLAG_NAMESPACE | FLAG_OUTPUT | FLAG_ALL_NAMESPACES, "pods", "-n", "x", "web", "-owide",
          "-A");
    assert_int_equal(rc, 0);
    assert_string_equal(a.ns, "x");
    assert_string_equal(a.output, "wide");
    assert_true(a.all_namespaces);
    assert_int_equal(a.words.count, 2);
    arguments_done(&a);
}

static void letters_may_be_joined_and_dashes_end_flags(void **state)
{
    PARSE(FLAG_STDIN | FLAG_TTY | FLAG_CONTAINER, "-it", "web", "-c", "main", "--", "ls", "-l");
    assert_int_equal(rc, 0);
    assert_true(a.std_in && a.tty);
    assert_string_equal(a.container, "main");
    assert_int_equal(a.command.count, 2);
    assert_string_equal(a.command.items[1], "-l");
    arguments_done(&a);
}

static void values_are_checked(void **state)
{
    {
        PARSE(FLAG_TIMEOUT, "--timeout", "soon");
        assert_int_equal(rc, ERR_INVALID);
        assert_string_equal(err.message, "--timeout needs a duration such as 30s");
    }
    {
        PARSE(FLAG_TAIL, "--tail");
        assert_int_equal(rc, ERR_INVALID);
    }
    {
        PARSE(0, "-n", "x");
        assert_int_equal(rc, ERR_INVALID);
        assert_string_equal(err.message, "cox verb does not take -n: see cox help verb");
    }
    {
        PARSE(FLAG_TIMEOUT | FLAG_WAIT, "--timeout=90s", "--wait=false");
        assert_int_equal(rc, 0);
        assert_true(a.timeout_ns == 90 * NS_PER_S && !a.wait);
        arguments_done(&a);
    }
}

static void types_have_many_names(void **state)
{
    const char *names[] = {"deployments", "deployment",       "deploy",
                           "Deployment",  "deployments.apps", "deployment.v1.apps"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct api_resource *resource = arguments_resource(str_of(names[i]));
        assert_non_null(resource);
        assert_string_equal(resource->plural, "deployments");
    }
    assert_null(arguments_resource(STR("deployments.batch")));
    assert_null(arguments_resource(STR("nonsense")));
}

static void targets_by_slash_or_by_words(void **state)
{
    struct targets targets = {0};
    {
        PARSE(0, "pod/a", "svc/b");
        assert_int_equal(rc, 0);
        assert_int_equal(arguments_targets(&a, &targets, &err), 0);
        assert_int_equal(targets.count, 2);
        assert_string_equal(targets.items[1].resource->plural, "services");
        assert_true(str_is(targets.items[1].name, "b"));
        vec_done(&targets);
        arguments_done(&a);
    }
    {
        PARSE(0, "pods,services");
        assert_int_equal(rc, 0);
        assert_int_equal(arguments_targets(&a, &targets, &err), 0);
        assert_int_equal(targets.count, 2);
        assert_int_equal(targets.items[0].name.n, 0);
        vec_done(&targets);
        arguments_done(&a);
    }
    {
        PARSE(0, "nonsense");
        assert_int_equal(rc, 0);
        assert_int_equal(arguments_targets(&a, &targets, &err), ERR_INVALID);
        assert_string_equal(err.message, "the server doesn't have a resource type \"nonsense\"");
        arguments_done(&a);
    }
}

static void paths_are_the_api_s(void **state)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    path_write(&out, arguments_resource(STR("pods")), STR("default"), STR("a b"), "log");
    path_query(&out, "container", STR("x&y"));
    path_query(&out, "follow", STR("true"));
    assert_string_equal(out.p,
                        "/api/v1/namespaces/default/pods/a%20b/log?container=x%26y&follow=true");
    buf_clear(&out);
    path_write(&out, arguments_resource(STR("deploy")), STR_NONE, STR_NONE, NULL);
    assert_string_equal(out.p, "/apis/apps/v1/deployments");
    buf_clear(&out);
    path_write(&out, arguments_resource(STR("nodes")), STR("default"), STR("n"), NULL);
    assert_string_equal(out.p, "/api/v1/nodes/n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_may_stand_anywhere),
        cmocka_unit_test(letters_may_be_joined_and_dashes_end_flags),
        cmocka_unit_test(values_are_checked),
        cmocka_unit_test(types_have_many_names),
        cmocka_unit_test(targets_by_slash_or_by_words),
        cmocka_unit_test(paths_are_the_api_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

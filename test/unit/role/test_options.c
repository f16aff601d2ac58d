/* test_options.c: options from the command line and a YAML file, their precedence, and what is
 * refused. */
#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"
#include "role/options.h"
#include "role/supervisor.h"

static char folder[] = "/tmp/cox-options-XXXXXX";
static char path[128];

static int parse(struct options *options, struct err *err, const char *a, const char *b,
                 const char *c)
{
    const char *words[] = {"up", "--config-dir", folder, a, b, c};
    int count = c != NULL ? 6 : b != NULL ? 5 : a != NULL ? 4 : 3;
    return options_parse(count, (char **)(uintptr_t)words, ROLE_UP, options, err);
}

static void write_config(const char *text, mode_t mode)
{
    assert_int_equal(file_write_quick(path, str_of(text), mode, NULL), 0);
    chmod(path, mode);
}

static void defaults_hold(void **state)
{
    struct options o;
    unlink(path);
    assert_int_equal(parse(&o, NULL, NULL, NULL, NULL), 0);
    assert_string_equal(o.data_dir, "/var/lib/cox");
    assert_int_equal(o.api_port, 6443);
    assert_false(o.hardened);
    assert_true(o.node_name[0] != '\0');
    options_done(&o);
}

static void file_then_command_line(void **state)
{
    struct options o;
    write_config(
        "data-dir: /srv/a\napi-port: 7000\nhardened: true\ntls-san: [a.example, 10.0.0.1]\n", 0600);
    assert_int_equal(parse(&o, NULL, "--api-port=7001", "--hardened", "--netns=x"), 0);
    assert_string_equal(o.data_dir, "/srv/a");
    assert_int_equal(o.api_port, 7001);
    assert_true(o.hardened);
    assert_string_equal(o.tls_san, "a.example,10.0.0.1");
    assert_string_equal(o.netns, "x");
    struct buf json BUF_CLEANUP = BUF_INIT;
    struct options again;
    options_write(&o, &json); /* what a child gets */
    assert_int_equal(options_read(buf_view(&json), &again, NULL), 0);
    assert_string_equal(again.tls_san, o.tls_san);
    assert_int_equal(again.api_port, 7001);
    options_done(&again);
    options_done(&o);
}

static void bad_ones_are_named(void **state)
{
    static const struct {
        const char *config, *word, *part;
    } rows[] = {
        {"", "--nonsense", "--nonsense is not an option of cox up"},
        {"", "--api-port", "--api-port needs a value: PORT"},
        {"", "--api-port=-1", "\"-1\" is no number"},
        {"", "--join=x", "is not an option of cox up"},
        {"", "word", "\"word\" is not an option"},
        {"nonsense: 1\n", NULL, "\"nonsense\" is not an option"},
        {"api-port: [x\n", NULL, "config.yaml"},
        {"data-dir: {a: b}\n", NULL, "data-dir must be a text"},
        {"- a\n", NULL, "must be a list of \"option: value\" lines"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct options o;
        struct err err = ERR_INIT;
        write_config(rows[i].config, 0600);
        assert_true(parse(&o, &err, rows[i].word, NULL, NULL) < 0);
        if (strstr(err.message, rows[i].part) == NULL) {
            print_error("row %zu: %s\n", i, err.message);
            fail();
        }
    }
}

static void a_file_that_others_may_write_is_refused(void **state)
{
    struct options o;
    struct err err = ERR_INIT;
    write_config("api-port: 1\n", 0666);
    assert_int_equal(parse(&o, &err, NULL, NULL, NULL), ERR_INVALID);
    assert_non_null(strstr(err.message, "chmod go-w"));
}

static void first_addresses(void **state)
{
    char text[16];
    assert_true(supervisor_first_address(STR("10.244.0.0/16"), text));
    assert_string_equal(text, "10.244.0.1");
    assert_true(supervisor_first_address(STR("10.244.3.7/24"), text));
    assert_string_equal(text, "10.244.3.1");
    const char *bad[] = {"", "10.0.0.0", "10.0.0.0/25", "10.0.0.0/33", "x/24", "::/64"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(supervisor_first_address(str_of(bad[i]), text));
    }
}

static int set_up(void **state)
{
    bool made = mkdtemp(folder) != NULL;
    snprintf(path, sizeof path, "%s/config.yaml", folder);
    return !made;
}

static int tear_down(void **state)
{
    return file_remove_tree(folder, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_hold),
        cmocka_unit_test(file_then_command_line),
        cmocka_unit_test(bad_ones_are_named),
        cmocka_unit_test(a_file_that_others_may_write_is_refused),
        cmocka_unit_test(first_addresses),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

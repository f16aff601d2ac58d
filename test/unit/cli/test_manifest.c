/* test_manifest.c: documents, Lists, folders, and what is refused. */
#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/manifest.h"
#include "io/file.h"

static char folder[] = "/tmp/cox-manifest-XXXXXX";

static void write_text(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(file_write_quick(path, str_of(text), 0600, NULL), 0);
}

static int read_name(struct manifests *manifests, const char *name, struct err *err)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return manifests_read(manifests, path, false, err);
}

static void documents_and_lists(void **state)
{
    struct manifests m = {0};
    write_text("two.yaml",
               "# a comment\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  "
               "x: |\n    ---not a document\n--- # next\napiVersion: v1\nkind: List\nitems:\n"
               "- {apiVersion: v1, kind: Service, metadata: {name: b}}\n- {apiVersion: apps/v1, "
               "kind: Deployment, metadata: {name: c}}\n---\n");
    assert_int_equal(read_name(&m, "two.yaml", NULL), 0);
    assert_int_equal(m.count, 3);
    assert_true(str_is(val_name(m.items[0].object), "a"));
    assert_string_equal(m.items[2].resource->plural, "deployments");
    manifests_done(&m);
}

static void what_is_refused(void **state)
{
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"kind: Pod\n", "apiVersion and kind must say"},
        {"apiVersion: v1\nkind: Nonsense\n", "no matches for kind \"Nonsense\" in version \"v1\""},
        {"a: [1\n", "bad.yaml"},
        {"- 1\n", "apiVersion and kind must say"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct manifests m = {0};
        struct err err = ERR_INIT;
        write_text("bad.yaml", rows[i].text);
        assert_true(read_name(&m, "bad.yaml", &err) < 0);
        assert_non_null(strstr(err.message, rows[i].part));
        manifests_done(&m);
    }
    struct manifests m = {0};
    struct err err = ERR_INIT;
    assert_true(read_name(&m, "absent.yaml", &err) < 0);
    manifests_done(&m);
}

static int set_up(void **state)
{
    return mkdtemp(folder) == NULL;
}

static int tear_down(void **state)
{
    return file_remove_tree(folder, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_and_lists),
        cmocka_unit_test(what_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

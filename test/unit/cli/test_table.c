/* test_table.c: server-side tables printed as kubectl prints them. */
#include "../cmocka_all.h"

#include "cli/table.h"

static const char table_json[] =
    "{\"kind\":\"Table\",\"columnDefinitions\":[{\"name\":\"Name\",\"format\":\"name\","
    "\"priority\":0},{\"name\":\"Ready\",\"priority\":0},{\"name\":\"IP\",\"priority\":1}],"
    "\"rows\":[{\"cells\":[\"web\",\"1/"
    "1\",\"10.0.0.1\"],\"object\":{\"metadata\":{\"name\":\"web\",\"namespace\":\"x\",\"labels\":{"
    "\"a\":\"b\",\"c\":\"d\"}}}},"
    "{\"cells\":[\"database\",true,null],\"object\":{\"metadata\":{\"name\":\"database\","
    "\"namespace\":\"default\"}}}]}";

static void check(struct table_options options, bool headers, const char *expected)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf out BUF_CLEANUP = BUF_INIT;
    struct val *table = NULL;
    assert_int_equal(val_parse_json(&arena, str_of(table_json), &table, NULL), 0);
    table_print(table, &options, headers, &out);
    assert_string_equal(out.p, expected);
}

static void plain_and_wide(void **state)
{
    check((struct table_options){0}, true, "NAME       READY\nweb        1/1\ndatabase   true\n");
    check((struct table_options){.wide = true}, true,
          "NAME       READY   IP\nweb        1/1     10.0.0.1\ndatabase   true    <none>\n");
}

static void namespaces_labels_and_prefixes(void **state)
{
    check(
        (struct table_options){.with_namespace = true}, true,
        "NAMESPACE   NAME       READY\nx           web        1/1\ndefault     database   true\n");
    check((struct table_options){.show_labels = true}, true,
          "NAME       READY   LABELS\nweb        1/1     a=b,c=d\ndatabase   true    <none>\n");
    check((struct table_options){.prefix = STR("pod/")}, true,
          "NAME           READY\npod/web        1/1\npod/database   true\n");
}

static void rows_without_heads(void **state)
{
    check((struct table_options){0}, false, "web        1/1\ndatabase   true\n");
    check((struct table_options){.no_headers = true}, true, "web        1/1\ndatabase   true\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_and_wide),
        cmocka_unit_test(namespaces_labels_and_prefixes),
        cmocka_unit_test(rows_without_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The cases of test/case/json, against the readers without and with a schema. */
#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/codec.h"
#include "base/mem.h"

static const char *folder;

struct one_case {
    char name[64];
    struct buf text;
};

/* "%0A" to a newline. */
static void unescape(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.n; i++) {
        char byte;
        if (text.p[i] == '%' && hex_decode(str_at(text.p + i + 1, 2), &byte)) {
            buf_char(out, byte);
            i += 2;
        } else {
            buf_char(out, text.p[i]);
        }
    }
}

/* Calls `check` with each case of the file; returns how many there are. */
static int each_case(const char *file, void (*check)(const char *name, struct str text))
{
    char path[1024], *line = NULL;
    size_t room = 0;
    int count = 0;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *cases = fopen(path, "re");
    assert_non_null(cases);
    for (ssize_t n; (n = getline(&line, &room, cases)) > 0;) {
        struct str rest, name = str_cut(str_at(line, (size_t)n - 1), ':', &rest);
        if (line[0] == '#' || rest.p == NULL) {
            continue;
        }
        char *name_text = mem_dup(name.p, name.n);
        check(name_text, str_starts(rest, STR(" ")) ? str_from(rest, 1) : rest);
        free(name_text);
        count++;
    }
    free(line);
    fclose(cases);
    return count;
}

/* Parses an exact copy, so that sanitizers see reads past the end. */
static int parse(struct arena *arena, const struct buf *text, struct val **ret_value)
{
    char *exact = malloc(text->n > 0 ? text->n : 1);
    memcpy(exact, text->n > 0 ? text->p : "", text->n);
    struct val *v = NULL;
    int code = val_parse_json(arena, str_at(exact, text->n), &v, NULL);
    if (code == 0) {
        *ret_value = val_copy(arena, v);
    }
    free(exact);
    return code;
}

/* The text as free JSON inside a typed object. */
static int decode(struct arena *arena, const struct buf *text, struct val **ret_value)
{
    struct buf whole BUF_CLEANUP = BUF_INIT;
    buf_addz(&whole, "{\"metadata\":{\"managedFields\":[{\"fieldsV1\":");
    buf_str(&whole, buf_view(text));
    buf_addz(&whole, "}]}}");
    struct val *v = NULL;
    int code = codec_decode(arena, schema_object_type(STR(""), STR("v1"), STR("ConfigMap")),
                            CODEC_JSON, buf_view(&whole), CODEC_IGNORE, NULL, &v, NULL);
    if (code == 0) {
        struct val *entry = val_at(val_path(v, "metadata.managedFields"), 0);
        *ret_value = val_copy(arena, val_get(entry, "fieldsV1"));
    }
    return code;
}

static void accepted(const char *name, struct str raw)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf text BUF_CLEANUP = BUF_INIT, out BUF_CLEANUP = BUF_INIT;
    struct val *v = NULL, *typed = NULL, *again = NULL;
    unescape(raw, &text);
    if (parse(&arena, &text, &v) != 0 || decode(&arena, &text, &typed) != 0) {
        fail_msg("%s was refused", name);
    }
    assert_true(val_equal(v, typed) || (val_absent(v) && val_absent(typed)));
    val_write_json(v, &out);
    assert_int_equal(parse(&arena, &out, &again), 0);
    assert_true(val_equal(v, again));
}

static void refused(const char *name, struct str raw)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct val *v = NULL;
    unescape(raw, &text);
    if (parse(&arena, &text, &v) == 0) {
        fail_msg("%s was read", name);
    }
    /* Some cases become whole again inside another document: "1,", "1}". */
    bool closes = str_is(str_of(name), "value-comma") || str_is(str_of(name), "object-close");
    if (!closes && decode(&arena, &text, &v) == 0) {
        fail_msg("%s was read with a schema", name);
    }
}

static void repeated(const char *name, struct str raw)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct val *v = NULL;
    unescape(raw, &text);
    assert_int_not_equal(parse(&arena, &text, &v), 0);
    assert_int_equal(decode(&arena, &text, &v), 0);
}

static void yaml(const char *name, struct str raw)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf text BUF_CLEANUP = BUF_INIT, want BUF_CLEANUP = BUF_INIT, out BUF_CLEANUP = BUF_INIT;
    struct val *v = NULL, *again = NULL;
    const char *arrow = memmem(raw.p, raw.n, " =>", 3);
    assert_non_null(arrow);
    unescape(str_at(raw.p, (size_t)(arrow - raw.p)), &text);
    unescape(str_trim(str_from(raw, (size_t)(arrow - raw.p) + 3)), &want);
    struct err err = ERR_INIT;
    int code = val_parse_yaml(&arena, buf_view(&text), &v, &err);
    if ((code == 0) != (want.n > 0)) {
        fail_msg("%s: %s", name, code == 0 ? "was read" : err.message);
    }
    if (code != 0) {
        return;
    }
    val_write_json(v, &out);
    if (strcmp(out.p, want.p) != 0 && strchr(want.p, '\t') == NULL) {
        fail_msg("%s: %s, not %s", name, out.p, want.p);
    }
    buf_clear(&text); /* what we write as YAML reads back the same */
    val_write_yaml(v, &text);
    if (val_parse_yaml(&arena, buf_view(&text), &again, &err) != 0 || !val_equal(v, again)) {
        fail_msg("%s: written as\n%s", name, text.p);
    }
}

static void accepts(void **state)
{
    assert_true(each_case("accept.cases", accepted) >= 80);
}

static void refuses(void **state)
{
    assert_true(each_case("reject.cases", refused) >= 120);
}

static void notices_repeated_names(void **state)
{
    assert_true(each_case("duplicate.cases", repeated) >= 8);
}

static void reads_yaml(void **state)
{
    assert_true(each_case("yaml.cases", yaml) >= 60);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts),
        cmocka_unit_test(refuses),
        cmocka_unit_test(notices_repeated_names),
        cmocka_unit_test(reads_yaml),
    };
    folder = argc > 1 ? argv[1] : "test/case/json";
    return cmocka_run_group_tests(tests, NULL, NULL);
}

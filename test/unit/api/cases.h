/* cases.h: cases as data: files of test/case/FOLDER/, each a JSON array of objects with a "name".
 */
#pragma once
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "../cmocka_all.h"
#include "api/codec.h"

static inline struct val *cases_load(struct arena *arena, const char *path)
{
    FILE *file = fopen(path, "rbe");
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct val *value = NULL;
    struct err err = ERR_INIT;
    size_t n;
    if (file == NULL) {
        fprintf(stderr, "%s: cannot open\n", path);
        exit(1);
    }
    while ((n = fread(buf_room(&text, 65536), 1, 65536, file)) > 0) {
        text.n += n;
    }
    fclose(file);
    if (val_parse_json(arena, str_copy_in(arena, buf_view(&text)), &value, &err) != 0) {
        fprintf(stderr, "%s: %s\n", path, err.message);
        exit(1);
    }
    return value;
}

/* "apps/v1/deployments", "v1/pods" */
static inline const struct api_resource *cases_resource(struct str text)
{
    struct str plural, gv = str_cut_last(text, '/', &plural), version;
    struct str group = str_cut(gv, '/', &version);
    return version.p != NULL ? schema_resource(group, version, plural)
                             : schema_resource(STR(""), gv, plural);
}

/* The value as `type`; NULL for NULL. */
static inline struct val *cases_decode(struct arena *arena, const struct api_struct *type,
                                       const struct val *value)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct val *typed = NULL;
    struct err err = ERR_INIT;
    if (value == NULL) {
        return NULL;
    }
    val_write_json(value, &text);
    if (codec_decode(arena, type, CODEC_JSON, str_copy_in(arena, buf_view(&text)), CODEC_IGNORE,
                     NULL, &typed, &err) != 0) {
        fprintf(stderr, "%s\n", err.message);
    }
    return typed;
}

/* What was wanted and what came, on stderr. Returns how many cases failed: 0 or 1. */
static inline int cases_differ(const char *file, const struct val *test, const char *what,
                               const struct val *want, const struct val *got)
{
    struct buf a BUF_CLEANUP = BUF_INIT, b BUF_CLEANUP = BUF_INIT;
    static const struct val none = {.type = VAL_NULL};
    if (val_equal(want != NULL ? want : &none, got != NULL ? got : &none)) {
        return 0;
    }
    val_write_json(want != NULL ? want : &none, &a);
    val_write_json(got != NULL ? got : &none, &b);
    fprintf(stderr, "%s: %.*s: %s\n  want %.*s\n  got  %.*s\n", file,
            STR_ARG(val_text(val_get(test, "name"))), what, STR_ARG(buf_view(&a)),
            STR_ARG(buf_view(&b)));
    return 1;
}

/* Runs `check` over every case of every file in `folder`. */
static inline void cases_run(const char *folder, int (*check)(struct arena *arena, const char *file,
                                                              const struct val *test))
{
    DIR *dir = opendir(folder);
    int failed = 0, count = 0;
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        if (!str_ends(str_of(entry->d_name), STR(".json"))) {
            continue;
        }
        VAL_EACH (test, cases_load(&arena, arena_printf(&arena, "%s/%s", folder, entry->d_name))) {
            failed += check(&arena, entry->d_name, test);
            count++;
        }
    }
    closedir(dir);
    print_message("%d cases\n", count);
    assert_true(count > 0);
    assert_int_equal(failed, 0);
}

/* test_api.c: runs every file of test/case/api: requests and what their answers must hold.
 *
 * A file is blocks, separated by a line "---"; each file gets a server of its own. In a block:
 *   as USER [GROUP...]         who asks from here on (default: admin system:masters)
 *   advance SECONDS            virtual time passes
 *   failpoint SPEC             as failpoint_arm() takes it
 *   METHOD TARGET              then headers "name: value", an empty line, the body
 *   => STATUS                  then expectations:
 *     PATH = TEXT              the value at a dotted path (numbers index arrays, \. is a dot)
 *     PATH absent | PATH count N
 *     ~ TEXT                   the body contains it;  !~ TEXT: it does not
 *     header TEXT              some header line contains it
 *     save NAME PATH           $NAME in later lines
 *     save-header NAME HEADER  as above, the header's value
 *   stream NAME                keep the answer (a watch) open under this name
 *   read NAME                  what it said since; expectations "~" follow
 * A body with content-type protobuf is written as JSON and sent as protobuf; answers and watches in
 * protobuf are read back as JSON, so that expectations are the same.
 * Lines that start with '#' are comments.
 */
#include "../cmocka_all.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/protobuf.h"
#include "base/failpoint.h"
#include "base/map.h"
#include "core.h"
#include "io/file.h"
#include "wire/protobuf.h"

static const char *folder;

struct run {
    struct core core;
    const char *file;
    int line;
    struct identity *identity;
    struct arena arena;
    struct map saved;   /* NAME -> text in the arena */
    struct map streams; /* NAME -> struct core_answer, heap */
    struct core_answer answer, *current;
    struct val *value; /* the answer's JSON, or NULL */
    struct str rest;   /* lines to come */
};

#define FAIL(run, format, ...)                                                                     \
    fail_msg("%s:%d: " format "\nanswer %d: %.*s", (run)->file, (run)->line, __VA_ARGS__,          \
             (run)->answer.status,                                                                 \
             (int)((run)->answer.body.n > 3000 ? 3000 : (run)->answer.body.n),                     \
             (run)->answer.body.p != NULL ? (run)->answer.body.p : "")

static bool next_line(struct run *run, struct str *ret_line)
{
    if (run->rest.p == NULL) {
        return false;
    }
    *ret_line = str_cut(run->rest, '\n', &run->rest);
    run->line++;
    return true;
}

static struct str substitute(struct run *run, struct str text)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    for (size_t i = 0; i < text.n; i++) {
        size_t end = i + 1;
        while (text.p[i] == '$' && end < text.n &&
               ((text.p[end] >= 'a' && text.p[end] <= 'z') ||
                (text.p[end] >= '0' && text.p[end] <= '9'))) {
            end++;
        }
        const char *value = map_get(&run->saved, str_at(text.p + i + 1, end - i - 1));
        if (text.p[i] == '$' && value != NULL) {
            buf_addz(&out, value);
            i = end - 1;
        } else {
            buf_char(&out, text.p[i]);
        }
    }
    return str_copy_in(&run->arena, buf_view(&out));
}

static const struct val *walk(struct run *run, struct str path)
{
    const struct val *at = run->value;
    struct buf word BUF_CLEANUP = BUF_INIT;
    for (size_t i = 0; i <= path.n && at != NULL; i++) {
        if (i < path.n && path.p[i] == '\\') {
            buf_char(&word, path.p[++i]);
        } else if (i < path.n && path.p[i] != '.') {
            buf_char(&word, path.p[i]);
        } else {
            uint64_t index = 0;
            struct str w = buf_view(&word);
            at = at->type == VAL_ARRAY && str_u64(w, &index) ? val_at(at, (uint32_t)index)
                                                             : val_get_str(at, w);
            buf_clear(&word);
        }
    }
    return at;
}

static void expect_equal(struct run *run, struct str path, struct str wanted)
{
    const struct val *found = walk(run, path);
    struct buf text BUF_CLEANUP = BUF_INIT;
    if (found == NULL) {
        FAIL(run, "%.*s is absent, wanted %.*s", STR_ARG(path), STR_ARG(wanted));
    }
    if (found->type == VAL_STRING) {
        buf_str(&text, found->text);
    } else {
        val_write_json(found, &text);
    }
    if (!str_eq(buf_view(&text), wanted)) {
        FAIL(run, "%.*s is '%.*s', wanted '%.*s'", STR_ARG(path), STR_ARG(buf_view(&text)),
             STR_ARG(wanted));
    }
}

static void save_header(struct run *run, struct str words)
{
    struct str wanted = STR_NONE, lines = buf_view(&run->current->headers);
    struct str name = str_cut(words, ' ', &wanted);
    while (lines.p != NULL) {
        struct str value = STR_NONE;
        struct str header = str_cut(str_cut(lines, '\n', &lines), ':', &value);
        if (str_eq(header, wanted)) {
            map_set(&run->saved, name, str_dup_in(&run->arena, str_trim(value)));
            return;
        }
    }
    FAIL(run, "no header %.*s", STR_ARG(wanted));
}

static void expect(struct run *run, struct str raw)
{
    struct str line = str_trim(substitute(run, raw));
    struct str rest = STR_NONE;
    struct str first = str_cut(line, ' ', &rest);
    struct str body = buf_view(&run->current->body);
    if (str_is(first, "~") || str_is(first, "!~")) {
        if (str_contains(body, rest) != str_is(first, "~")) {
            FAIL(run, "the body %s '%.*s': %.*s", str_is(first, "~") ? "lacks" : "has",
                 STR_ARG(rest), STR_ARG(body));
        }
    } else if (str_is(first, "header")) {
        if (!str_contains(buf_view(&run->current->headers), rest)) {
            FAIL(run, "no header with '%.*s' in\n%.*s", STR_ARG(rest),
                 STR_ARG(buf_view(&run->current->headers)));
        }
    } else if (str_is(first, "save-header")) {
        save_header(run, rest);
    } else if (str_is(first, "save")) {
        struct str path = STR_NONE;
        struct str name = str_cut(rest, ' ', &path);
        const struct val *found = walk(run, path);
        if (found == NULL) {
            FAIL(run, "%.*s is absent", STR_ARG(path));
        }
        map_set(&run->saved, name, str_dup_in(&run->arena, val_text(found)));
    } else if (str_is(rest, "absent")) {
        if (walk(run, first) != NULL) {
            FAIL(run, "%.*s is there", STR_ARG(first));
        }
    } else if (str_starts(rest, STR("count "))) {
        uint64_t count = 0;
        str_u64(str_from(rest, 6), &count);
        if (val_count(walk(run, first)) != count) {
            FAIL(run, "%.*s has %u members", STR_ARG(first), val_count(walk(run, first)));
        }
    } else if (str_starts(rest, STR("= "))) {
        expect_equal(run, first, str_from(rest, 2));
    } else if (str_is(rest, "=")) {
        expect_equal(run, first, STR(""));
    } else {
        FAIL(run, "not understood: %.*s", STR_ARG(line));
    }
}

/* ---- protobuf ---- */

/* One document as JSON behind `out`. */
static void from_protobuf(struct run *run, struct str document, struct buf *out)
{
    struct err err = ERR_INIT;
    struct val *value = NULL;
    struct protobuf_reader reader, meta;
    struct protobuf_field field, part;
    struct str version = STR(""), kind = STR(""), group, rest;
    if (document.n < 4 || memcmp(document.p, "k8s\0", 4) != 0) {
        FAIL(run, "%s", "no protobuf document");
    }
    protobuf_reader_init(&reader, str_from(document, 4));
    while (protobuf_next(&reader, &field)) {
        if (field.number == 1) {
            protobuf_reader_init(&meta, field.bytes);
            while (protobuf_next(&meta, &part)) {
                *(part.number == 1 ? &version : &kind) = part.bytes;
            }
        }
    }
    bool of_meta = version.n == 0 || str_is(version, "meta.k8s.io/v1");
    schema_split_version(of_meta ? STR("v1") : version, &group, &rest);
    const struct api_struct *type = schema_object_type(group, rest, kind);
    if (codec_decode(&run->arena, type, CODEC_PROTOBUF, document, CODEC_STRICT, NULL, &value,
                     &err) != 0) {
        FAIL(run, "%.*s %.*s: %s", STR_ARG(version), STR_ARG(kind), err.message);
    }
    codec_write(type, value, out);
}

/* Frames of a watch as its JSON has them: {"type":...,"object":...} a line. */
static void from_frames(struct run *run, struct str bytes, struct buf *out)
{
    while (bytes.n >= 4) {
        const unsigned char *u = (const unsigned char *)bytes.p;
        size_t size = (size_t)u[0] << 24 | (size_t)u[1] << 16 | (size_t)u[2] << 8 | u[3];
        struct protobuf_reader reader, raw;
        struct protobuf_field field, part;
        if (size > bytes.n - 4) {
            FAIL(run, "a frame of %zu bytes is cut", size);
        }
        protobuf_reader_init(&reader, str_at(bytes.p + 4, size));
        while (protobuf_next(&reader, &field)) {
            if (field.number == 1) {
                buf_printf(out, "{\"type\":\"%.*s\",\"object\":", STR_ARG(field.bytes));
                continue;
            }
            protobuf_reader_init(&raw, field.bytes);
            if (field.number == 2 && protobuf_next(&raw, &part) && part.number == 1) {
                from_protobuf(run, part.bytes, out);
            }
        }
        buf_addz(out, "}\n");
        bytes = str_from(bytes, 4 + size);
    }
}

static void read_protobuf(struct run *run, struct core_answer *answer)
{
    struct str headers = buf_view(&answer->headers);
    struct buf json = BUF_INIT;
    if (str_contains(headers, STR("vnd.kubernetes.protobuf;stream=watch\n"))) {
        from_frames(run, buf_view(&answer->body), &json);
    } else if (str_contains(headers, STR("vnd.kubernetes.protobuf\n"))) {
        from_protobuf(run, buf_view(&answer->body), &json);
    } else {
        return;
    }
    buf_done(&answer->body);
    answer->body = json;
}

static void send_protobuf(struct run *run, struct http_request *http)
{
    struct protobuf_writer writer = {0};
    struct buf out BUF_CLEANUP = BUF_INIT;
    if (!protobuf_write_document(&writer, http->body, &out)) {
        FAIL(run, "the body has no protobuf form: %.*s", STR_ARG(http->body));
    }
    http->body = str_copy_in(&run->arena, buf_view(&out));
    protobuf_writer_done(&writer);
}

static void send(struct run *run, struct str request_line)
{
    struct http_header headers[16];
    struct http_request http = {.headers = headers, .version = 2};
    struct buf body BUF_CLEANUP = BUF_INIT;
    struct str line, target = STR_NONE;
    request_line = substitute(run, request_line);
    http.method = str_cut(request_line, ' ', &target);
    http.path = str_cut(target, '?', &http.query);
    bool in_body = false;
    int wanted_line = run->line;
    while (next_line(run, &line)) {
        if (str_starts(line, STR("=> "))) {
            break;
        }
        if (!in_body && line.n == 0) {
            in_body = true;
        } else if (in_body) {
            buf_str(&body, line);
            buf_char(&body, '\n');
        } else if (http.header_count < 16) {
            struct str value = STR_NONE;
            headers[http.header_count].name = str_cut(line, ':', &value);
            headers[http.header_count++].value = str_trim(substitute(run, value));
        }
    }
    if (!str_starts(line, STR("=> "))) {
        run->line = wanted_line;
        FAIL(run, "%s", "a request without => STATUS");
    }
    http.body = str_trim(substitute(run, buf_view(&body)));
    if (http.body.n > 0 && str_is(http_header_get(headers, http.header_count, STR("content-type")),
                                  "application/vnd.kubernetes.protobuf")) {
        send_protobuf(run, &http);
    }
    core_answer_done(&run->core, &run->answer);
    core_call(&run->core, run->identity, &http, &run->answer);
    read_protobuf(run, &run->answer);
    run->current = &run->answer;
    run->value = NULL;
    val_parse_json(&run->arena, str_copy_in(&run->arena, str_trim(buf_view(&run->answer.body))),
                   &run->value, NULL);
    uint64_t status = 0;
    str_u64(str_trim(str_from(line, 3)), &status);
    if ((int)status != run->answer.status) {
        FAIL(run, "%.*s: status is %d", STR_ARG(request_line), run->answer.status);
    }
}

static void act_as(struct run *run, struct str rest)
{
    struct str groups[8];
    size_t count = 0;
    struct str user = str_cut(rest, ' ', &rest);
    while (rest.p != NULL && count < 8) {
        groups[count++] = str_cut(rest, ' ', &rest);
    }
    identity_unref(run->identity);
    run->identity = identity_new(user, STR_NONE, groups, count);
}

static bool is_method(struct str word)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (str_is(word, methods[i])) {
            return true;
        }
    }
    return false;
}

static void step(struct run *run, struct str line)
{
    struct str rest = STR_NONE;
    struct str word = str_cut(line, ' ', &rest);
    uint64_t seconds = 0;
    if (is_method(word)) {
        send(run, line);
    } else if (str_is(word, "as")) {
        act_as(run, rest);
    } else if (str_is(word, "advance") && str_u64(rest, &seconds)) {
        loop_run_for(run->core.loop, (int64_t)seconds * NS_PER_S);
    } else if (str_is(word, "failpoint")) {
        assert_true(failpoint_arm(rest));
    } else if (str_is(word, "stream")) {
        struct core_answer *kept = mem_new(struct core_answer);
        *kept = run->answer;
        run->answer = (struct core_answer){0};
        map_set(&run->streams, rest, kept);
        run->current = kept;
    } else if (str_is(word, "read")) {
        run->current = map_get(&run->streams, rest);
        assert_non_null(run->current);
        core_read(&run->core, run->current);
        read_protobuf(run, run->current);
    } else {
        expect(run, line);
    }
}

static void run_file(const char *name)
{
    char *path MEM_CLEANUP = mem_printf("%s/%s", folder, name);
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct run run = {.file = name};
    struct str line;
    assert_int_equal(file_read(path, 1 << 20, &text, NULL), 0);
    core_start(&run.core, 1);
    run.current = &run.answer;
    act_as(&run, STR("admin system:masters"));
    run.rest = buf_view(&text);
    while (next_line(&run, &line)) {
        if (line.n > 0 && line.p[0] != '#' && !str_is(line, "---")) {
            step(&run, line);
        }
    }
    core_answer_done(&run.core, &run.answer);
    MAP_EACH (it, &run.streams) {
        core_answer_done(&run.core, it->value);
        free(it->value);
    }
    map_done(&run.streams);
    map_done(&run.saved);
    identity_unref(run.identity);
    arena_done(&run.arena);
    core_stop(&run.core);
}

static void test_file(void **state)
{
    run_file(*state);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct CMUnitTest *)a)->name, ((const struct CMUnitTest *)b)->name);
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[256];
    size_t count = 0;
    struct dirent *entry;
    folder = argc > 1 ? argv[1] : "test/case/api";
    DIR *dir = opendir(folder);
    while (dir != NULL && (entry = readdir(dir)) != NULL && count < 256) {
        if (str_ends(str_of(entry->d_name), STR(".case")) &&
            (argc < 3 || str_is(str_of(entry->d_name), argv[2]))) {
            char *name = mem_dupz(entry->d_name);
            tests[count++] = (struct CMUnitTest){name, test_file, NULL, NULL, name};
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    qsort(tests, count, sizeof *tests, by_name);
    int failed = _cmocka_run_group_tests("api", tests, count, NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        free((void *)(uintptr_t)tests[i].name);
    }
    return count == 0 ? 1 : failed;
}

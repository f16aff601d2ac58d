/* log.c: one line, one write. The settings are read without a lock: an atomic pointer to an
 * immutable table. */
#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"

struct level_row {
    char *component; /* NULL: the rest */
    enum log_level level;
};
struct levels {
    VEC_OF(struct level_row);
    struct levels *older; /* replaced tables stay reachable: a reader may still hold one */
};

static _Atomic(struct levels *) current;
static atomic_bool as_json;
static atomic_int log_fd = 2;

static const char *const names[] = {"debug", "info", "warn", "error", "off"};

bool log_enabled(const char *component, enum log_level level)
{
    struct levels *levels = atomic_load_explicit(&current, memory_order_acquire);
    enum log_level least = LOG_LEVEL_INFO;
    if (levels != NULL) {
        VEC_EACH (row, levels) {
            if (row->component == NULL) {
                least = row->level;
            } else if (strcmp(row->component, component) == 0) {
                return level >= row->level;
            }
        }
    }
    return level >= least;
}

static void json_text(struct buf *line, struct str s)
{
    buf_char(line, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') {
            buf_printf(line, "\\%c", c);
        } else if (c < 0x20 || c == 0x7f) {
            buf_printf(line, "\\u%04x", c);
        } else {
            buf_char(line, (char)c);
        }
    }
    buf_char(line, '"');
}

static void plain_text(struct buf *line, struct str s)
{
    bool bare = s.n > 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bare = bare && c > ' ' && c != '"' && c != '=' && c != 0x7f;
    }
    if (bare) {
        buf_str(line, s);
    } else {
        json_text(line, s);
    }
}

static void field_add(struct buf *line, const struct log_field *field, bool json)
{
    if (json) {
        buf_char(line, ',');
        json_text(line, str_of(field->key));
        buf_char(line, ':');
    } else {
        buf_printf(line, " %s=", field->key);
    }
    if (field->kind == LOG_VALUE_INT) {
        buf_i64(line, field->number);
    } else if (json) {
        json_text(line, field->text);
    } else {
        plain_text(line, field->text);
    }
}

void log_write(const char *component, enum log_level level, const char *message,
               const struct log_field *fields)
{
    struct buf line BUF_CLEANUP = BUF_INIT;
    bool json = atomic_load_explicit(&as_json, memory_order_relaxed);
    char when[TIME_TEXT_SIZE];
    time_format_micro(clock_wall(clock_real()), when);
    if (json) {
        buf_printf(&line, "{\"ts\":\"%s\",\"level\":\"%s\",\"component\":\"%s\",\"msg\":", when,
                   names[level], component);
        json_text(&line, str_of(message));
    } else {
        buf_printf(&line, "%s %-5s %s: %s", when, names[level], component, message);
    }
    for (const struct log_field *field = fields; field->key != NULL; field++) {
        field_add(&line, field, json);
    }
    buf_addz(&line, json ? "}\n" : "\n");
    for (size_t done = 0; done < line.n;) {
        ssize_t n = write(atomic_load(&log_fd), line.p + done, line.n - done);
        if (n < 0 && errno != EINTR) {
            return; /* nowhere left to say it */
        }
        done += n > 0 ? (size_t)n : 0;
    }
}

void log_set_json(bool json)
{
    atomic_store(&as_json, json);
}

void log_set_fd(int fd)
{
    atomic_store(&log_fd, fd);
}

static bool level_parse(struct str text, enum log_level *ret_level)
{
    for (int i = 0; i <= LOG_LEVEL_OFF; i++) {
        if (str_is(text, names[i])) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

static void levels_free(struct levels *levels)
{
    VEC_EACH (row, levels) {
        free(row->component);
    }
    vec_done(levels);
    free(levels);
}

bool log_set_levels(struct str spec)
{
    struct levels *levels = mem_new(struct levels);
    struct str rest = spec;
    while (rest.p != NULL) {
        struct str level, item = str_trim(str_cut(rest, ',', &rest));
        struct str component = str_cut(item, '=', &level);
        struct level_row row = {NULL, LOG_LEVEL_INFO};
        if (!level_parse(level.p != NULL ? level : component, &row.level)) {
            levels_free(levels);
            return false;
        }
        row.component = level.p != NULL ? str_dup(component) : NULL;
        *vec_push(levels) = row;
    }
    levels->older = atomic_load(&current);
    atomic_store_explicit(&current, levels, memory_order_release);
    return true;
}

/* trim.c: malloc_trim, then MADV_DONTNEED on program text: private mappings of files that nobody
 * ever writes (r-xp; read-only data is left alone: relocations were written into some of it). The
 * pages stay in the page cache and come back when they run. See trim.h. */
#include "role/trim.h"

#include <malloc.h>
#include <sys/mman.h>

#include "io/file.h"

static bool hex_range(struct str text, uintptr_t *ret_from, uintptr_t *ret_to)
{
    struct str rest = STR_NONE, part = str_cut(text, '-', &rest);
    uintptr_t values[2] = {0};
    struct str parts[2] = {part, rest};
    for (int i = 0; i < 2; i++) {
        for (size_t k = 0; k < parts[i].n; k++) {
            char c = parts[i].p[k];
            values[i] = values[i] << 4 | (uintptr_t)(c <= '9' ? c - '0' : c - 'a' + 10);
        }
    }
    *ret_from = values[0];
    *ret_to = values[1];
    return values[1] > values[0];
}

static void on_due(struct timer *timer)
{
    struct buf maps BUF_CLEANUP = BUF_INIT;
    malloc_trim(0);
    if (file_read("/proc/self/maps", 1 << 20, &maps, NULL) != 0) {
        return;
    }
    for (struct str rest = buf_view(&maps); rest.n > 0;) {
        struct str line = str_cut(rest, '\n', &rest), more = STR_NONE;
        uintptr_t from = 0, to = 0;
        struct str range = str_cut(line, ' ', &more);
        bool text = str_starts(more, STR("r-xp")) && memchr(line.p, '/', line.n) != NULL;
        if (text && hex_range(range, &from, &to)) {
            madvise((void *)from, to - from, MADV_DONTNEED);
        }
    }
}

void trim_later(struct loop *loop, struct timer *timer, int64_t delay_ns)
{
    timer_start(loop, timer, delay_ns, on_due);
}

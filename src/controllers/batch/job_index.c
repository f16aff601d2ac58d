/* Sets of completion indexes of Indexed Jobs, as status shows them ("0-2,5"). */
#include "controllers/batch/job_int.h"

void index_set_init(struct arena *arena, struct index_set *set, int64_t size)
{
    size = size > 0 ? size : 0;
    *set = (struct index_set){.size = size};
    set->bits = arena_array(arena, uint64_t, size / 64 + 1);
}

bool index_set_has(const struct index_set *set, int64_t index)
{
    return index >= 0 && index < set->size && (set->bits[index / 64] >> (index % 64) & 1) != 0;
}

void index_set_add(struct index_set *set, int64_t index)
{
    if (index >= 0 && index < set->size && !index_set_has(set, index)) {
        set->bits[index / 64] |= 1ULL << (index % 64);
        set->count++;
    }
}

void index_set_parse(struct index_set *set, struct str text)
{
    while (text.n > 0) {
        struct str last, first = str_cut(str_cut(text, ',', &text), '-', &last);
        int64_t from, to;
        if (!str_i64(first, &from)) {
            continue;
        }
        if (last.p == NULL || !str_i64(last, &to)) {
            to = from;
        }
        to = to < set->size ? to : set->size - 1;
        for (int64_t i = from; i <= to; i++) {
            index_set_add(set, i);
        }
    }
}

struct str index_set_text(struct arena *arena, const struct index_set *set)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    for (int64_t i = 0; i < set->size; i++) {
        if (!index_set_has(set, i)) {
            continue;
        }
        int64_t end = i;
        while (index_set_has(set, end + 1)) {
            end++;
        }
        buf_printf(&out, "%s%lld", out.n > 0 ? "," : "", (long long)i);
        if (end > i) {
            buf_printf(&out, "%c%lld", end > i + 1 ? '-' : ',', (long long)end);
        }
        i = end;
    }
    return out.n > 0 ? str_copy_in(arena, buf_view(&out)) : STR("");
}

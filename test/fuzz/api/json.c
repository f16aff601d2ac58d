/* Any bytes as JSON: what is read is written, read again and equal; pretty and YAML forms too. */
#include <stdlib.h>

#include "api/val.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena ARENA_CLEANUP = {.limit = 64 << 20};
    struct buf out BUF_CLEANUP = BUF_INIT, pretty BUF_CLEANUP = BUF_INIT;
    struct val *v = NULL, *again = NULL;
    struct err err = ERR_INIT;
    if (val_parse_json(&arena, str_at((const char *)data, size), &v, &err) != 0) {
        must(err.code < 0 && err.message[0] != '\0');
        return 0;
    }
    must(val_depth(v) <= VAL_DEPTH_MAX + 1);
    val_write_json(v, &out);
    must(val_parse_json(&arena, buf_view(&out), &again, NULL) == 0 && val_equal(v, again));
    val_write_json_pretty(v, &pretty);
    must(val_parse_json(&arena, buf_view(&pretty), &again, NULL) == 0 && val_equal(v, again));
    must(val_equal(v, val_copy(&arena, v)));
    return 0;
}

/* Any bytes as YAML: what is read is written as YAML and JSON, read again and equal. */
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
    struct buf out BUF_CLEANUP = BUF_INIT, json BUF_CLEANUP = BUF_INIT;
    struct val *v = NULL, *again = NULL;
    if (val_parse_yaml(&arena, str_at((const char *)data, size), &v, NULL) != 0) {
        return 0;
    }
    val_write_json(v, &json);
    must(val_parse_json(&arena, buf_view(&json), &again, NULL) == 0 && val_equal(v, again));
    val_write_yaml(v, &out);
    must(val_parse_yaml(&arena, buf_view(&out), &again, NULL) == 0 && val_equal(v, again));
    return 0;
}

/* url.c: decoding never fails to end, and what was encoded decodes to the same. */
#include <stdint.h>
#include <stdlib.h>

#include "wire/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf encoded BUF_CLEANUP = BUF_INIT;
    struct str text = str_at((const char *)data, size), decoded;
    struct url_query *pairs;
    size_t count;
    url_decode(&arena, text, false, &decoded);
    url_query_parse(&arena, text, &pairs, &count);
    url_encode(&encoded, text);
    bool has_nul = size > 0 && memchr(data, 0, size) != NULL;
    if (url_decode(&arena, buf_view(&encoded), true, &decoded) == has_nul ||
        (!has_nul && !str_eq(decoded, text))) {
        abort();
    }
    return 0;
}

/* The node's small parsers: log lines, image references, $(NAME) expansion, passwd-like user texts.
 * The first byte chooses. */
#include <stdlib.h>

#include "node/env/env.h"
#include "node/image.h"
#include "node/serve/log_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct str text = str_at((const char *)data + 1, size - 1);
    if (data[0] % 3 == 0) {
        struct log_line line;
        if (log_line_parse(text, &line) && (line.text.n > size || line.time.n > size)) {
            abort();
        }
    } else if (data[0] % 3 == 1) {
        struct buf once BUF_CLEANUP = BUF_INIT, twice BUF_CLEANUP = BUF_INIT;
        if (image_reference_parse(text, &once, NULL) == 0) {
            /* the canonical form is its own canonical form */
            if (image_reference_parse(buf_view(&once), &twice, NULL) != 0 ||
                !str_eq(buf_view(&once), buf_view(&twice))) {
                abort();
            }
        }
    } else {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        struct env_list list = {0};
        env_set(&arena, &list, STR("A"), STR("value"));
        env_expand(&arena, text, &list);
    }
    return 0;
}

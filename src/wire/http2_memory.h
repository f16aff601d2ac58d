/* http2_memory.h: memory of one nghttp2 session. */
#pragma once
#include <nghttp2/nghttp2.h>

enum { HTTP2_LARGE_BLOCKS = 4 };
struct http2_memory {
    struct {
        void *at;
        size_t size;
    } large[HTTP2_LARGE_BLOCKS];
};
/* The table for nghttp2; `memory` (zeroed) must outlive the session. */
nghttp2_mem http2_memory(struct http2_memory *memory);

/* pages.h: states that paged lists still need: a list with a limit keeps its snapshot for the next
 * page, so that all pages are of one revision. At most PAGES_MAX, for PAGES_AGE; when a state is
 * gone it is rebuilt from history (or the client gets 410). Thread-safe. */
#pragma once
#include "server/cache.h"

enum { PAGES_MAX = 64 };
#define PAGES_AGE_NS (300 * NS_PER_S)

struct pages;
struct pages *pages_new(void);
void pages_free(struct pages *pages);
/* Takes the snapshot. */
void pages_put(struct pages *pages, const struct api_resource *resource, struct snapshot *snapshot,
               int64_t now_mono_ns);
/* The caller's, or NULL. */
struct snapshot *pages_take(struct pages *pages, const struct api_resource *resource,
                            uint64_t revision);
void pages_expire(struct pages *pages, int64_t now_mono_ns);

/* handoff.h: what the supervisor gives a child besides its options: named texts (PEM) and open
 * descriptors.
 *
 * One memory file (memfd), inherited as descriptor 3: a JSON object
 * {"options":{},"texts":{},"fds":{"name":[4,5]}}. Nothing secret touches a disk, an argument list
 * or an environment.
 */
#pragma once
#include "api/val.h"
#include "io/process.h"
#include "role/options.h"

enum { HANDOFF_FD = 3, HANDOFF_FDS_MAX = 6 };

struct handoff {
    struct arena arena;
    struct options options;
    const struct val *texts, *fds;
};

/* Building, in the parent. */
struct handoff_maker {
    struct arena arena;
    struct val *root, *texts, *fds;
    int ours[HANDOFF_FDS_MAX];
    size_t fd_count;
};
void handoff_begin(struct handoff_maker *maker, const struct options *options);
void handoff_text(struct handoff_maker *maker, const char *name, struct str text);
void handoff_fd(struct handoff_maker *maker, const char *name,
                int fd); /* stays the caller's; several of one name are a list */
/* Fills fds of `options` (the memfd first); *ret_memfd is the caller's to close after the start. */
int handoff_finish(struct handoff_maker *maker, struct process_options *options, int *ret_memfd,
                   struct err *err);

/* Reading, in the child. */
int handoff_read(struct handoff *ret_handoff, struct err *err);
struct str handoff_get_text(const struct handoff *handoff, const char *name);
/* Descriptor i of that name, or -1. */
int handoff_get_fd(const struct handoff *handoff, const char *name, uint32_t i);

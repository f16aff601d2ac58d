/* user.h: who a container runs as: securityContext, image USER, and names in the image's own
 * /etc/passwd and /etc/group (read through openat2 in the layers, never through the host). */
#pragma once
#include "node/env/view.h"

enum { USER_GROUPS_MAX = 64 };
struct user {
    uint32_t uid, gid;
    uint32_t groups[USER_GROUPS_MAX];
    size_t group_count;
    char home[256];
};
/* layers: top first. ERR_INVALID with upstream's words for runAsNonRoot. */
int user_resolve(const struct val *pod, const struct val *container, const struct val *image_config,
                 const char *layers_dir, const char *const *layers, size_t layer_count,
                 struct user *ret_user, struct err *err);
/* A field of the container's securityContext, else of the pod's; NULL. */
const struct val *security_field(const struct val *pod, const struct val *container,
                                 const char *name);

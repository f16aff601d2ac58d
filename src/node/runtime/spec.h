/* spec.h: the OCI runtime specification (config.json) of a container, and of an exec in it. Pure:
 * val trees in, JSON out. */
#pragma once
#include "node/env/env.h"
#include "node/env/user.h"
#include "node/node_interface.h"

struct spec_mount {
    struct str source, target;
    bool read_only, recursive_read_only;
    const char *propagation; /* "rprivate", "rslave", "rshared" */
};
struct spec_input {
    const struct val *pod, *container, *image_config;
    const struct env_list *env;
    const struct str *argv;
    size_t argv_count;
    const struct user *user;
    const struct spec_mount *mounts; /* volumes and managed files; sorted here */
    size_t mount_count;
    const struct container_devices *devices; /* may be NULL */
    struct str hostname;
    const char *netns_path;              /* NULL: the agent's (host network) */
    const char *pid_ns_path;             /* NULL: own, "" : the host's */
    const char *ipc_ns_path;             /* NULL: own, "" : the host's */
    const char *cgroup_path;             /* "/cox/burstable/podUID/ID" */
    const char *shm_path;                /* the pod's shared /dev/shm, or NULL: own */
    const struct val *seccomp_profile;   /* the file's document for RuntimeDefault, or NULL */
    const struct val *localhost_profile; /* the document the container names, or NULL */
    int64_t node_memory;                 /* for oom_score_adj */
    int min_oom_score_adj;               /* what we may set */
    uint64_t capability_mask;            /* what we have to give */
    bool cgroup_v2, hardened, tty;
};
/* Whether mounts can be made read-only with all below them (Linux 5.12). */
bool spec_can_read_only_recursively(void);
/* ERR_INVALID or ERR_UNSUPPORTED say what the container asks for that cannot be. */
int spec_write(struct arena *arena, const struct spec_input *input, struct buf *out,
               struct err *err);
/* process.json of an exec: the process of `config_json`, with other arguments and terminal. */
int spec_write_exec(struct arena *arena, struct str config_json, const struct str *argv,
                    size_t argv_count, bool tty, struct buf *out, struct err *err);

/* The seccomp profile (containers-common's or Docker's format) for these capabilities, as OCI. */
struct val *seccomp_convert(struct arena *arena, const struct val *profile, uint64_t capabilities);
bool capability_number(struct str name, int *ret_number); /* "NET_ADMIN" or "CAP_NET_ADMIN" */
const char *capability_name(int number);                  /* "CAP_..."; NULL past the last */
uint64_t capability_own_mask(void);                       /* what this process may hand on */

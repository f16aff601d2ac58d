/* volume.h: a pod's volumes on the node, and where they are mounted in its containers.
 *
 * Contents that come from the API (configMap, secret, projected, downwardAPI) are computed on the
 * loop into a struct volume_payload and written by a job with volume_write(): one atomic swap of a
 * link, as upstream's AtomicWriter, so a reader sees the old or the new set of files.
 */
#pragma once
#include "base/vec.h"
#include "node/env/env.h"

struct volume_file {
    struct str path; /* relative, no ".." */
    struct str bytes;
    uint32_t mode;
    int64_t uid; /* owner of the file, or -1 */
};
struct volume_payload {
    VEC_OF(struct volume_file);
};

struct volume_token { /* a serviceAccountToken source that the caller must fetch first */
    struct str audience;
    int64_t expiration_seconds;
    struct str path;
};
struct volume_facts {
    struct env_facts env;
    /* The current token for these parameters, or empty when it must be fetched first. */
    struct str (*token)(void *ctx, const struct volume_token *token);
    void *ctx;
    struct str default_service_account_ca; /* unused when kube-root-ca.crt exists */
};
/* Computes the files of an API-backed volume into arena memory. Returns 0; ERR_NOT_FOUND with the
 * text of a FailedMount event; ERR_UNAVAILABLE when a token is still to come; ERR_UNSUPPORTED for a
 * source that is none of these. */
int volume_compute(struct arena *arena, const struct val *pod, const struct val *volume,
                   const struct volume_facts *facts, struct volume_payload *ret_payload,
                   struct err *err);
bool volume_is_api_backed(const struct val *volume);

/* Blocking. Writes the payload below dir (made when missing); *ret_changed: something differs now.
 * gid -1: leave; else files become group readable by it (fsGroup). */
int volume_write(const char *dir, const struct volume_payload *payload, int64_t gid,
                 bool *ret_changed, struct err *err);

struct volume_paths {
    const char *pod_dir;    /* ROOT/pods/UID */
    const char *memory_dir; /* ROOT/memory/UID, on tmpfs */
};
/* Blocking. The host path of a volume, made when missing (emptyDir, hostPath by type); heap memory
 * in *ret_path. API-backed volumes: their folder. */
int volume_prepare(const struct val *volume, const struct volume_paths *paths, int64_t fs_group,
                   char **ret_path, struct err *err);
/* A volume with a claim (persistentVolumeClaim, ephemeral): a folder of the machine. */
struct volume_folder {
    struct str path, type; /* type: of a hostPath */
    bool is_local, make;   /* make: ours, made on first use */
};
bool volume_has_claim(const struct val *volume);
/* Blocking. Notes in the pod's folder where the volume is; volume_prepare() finds it from then on.
 */
int volume_link(const struct val *volume, const struct volume_folder *folder,
                const struct volume_paths *paths, int64_t fs_group, struct err *err);
/* Blocking. Unmounts and removes all volumes of a pod. */
int volume_remove_all(const struct volume_paths *paths, struct err *err);

/* Blocking. A mount of `sub_path` inside `volume_path`, as a detached tree (open_tree), made when
 * missing; resolved with openat2(RESOLVE_IN_ROOT): no link leaves the volume (CVE-2017-1002101,
 * CVE-2021-25741). *ret_is_dir says what to make as its target. */
int volume_open_subpath(const char *volume_path, struct str sub_path, int *ret_tree_fd,
                        bool *ret_is_dir, struct err *err);

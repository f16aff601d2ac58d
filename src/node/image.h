/* image.h: the image store of a node: content by digest, unpacked layers, and names.
 *
 * The store is a folder; several processes may use it (the agent, `cox image ...`): changes are
 * made under a file lock, files appear whole or not at all. Archives and registries are touched
 * only by children (hidden roles `unpack` and `pull` of our own binary) that are confined to a
 * staging folder; the parent only renames what they made and writes the record.
 *
 *   DIR/records/HEX.json   one image: id, names, layers, size, configuration
 *   DIR/layers/HEX24       an unpacked layer as an overlayfs lower folder (user.overlay.* xattrs)
 *   DIR/staging/           work in progress; emptied when nobody holds the lock
 */
#pragma once
#include "api/val.h"
#include "base/vec.h"

struct image {
    char *id;     /* "sha256:..." of the configuration */
    char **names; /* "docker.io/library/busybox:1.36", canonical */
    size_t name_count;
    char *digest;  /* manifest digest "sha256:...", or NULL */
    char **layers; /* folder names under DIR/layers, lowest first */
    size_t layer_count;
    uint64_t size;     /* bytes of the unpacked layers */
    int64_t loaded_ns; /* wall time */
    struct arena arena;
    const struct val *config; /* the OCI image configuration ("config" has Env, Cmd ...) */
};
struct image_list {
    VEC_OF(struct image *);
};

struct image_store;
/* Opens (and makes) the store at `dir`. self_path: the program with the hidden roles. */
int image_store_open(const char *dir, const char *self_path, struct image_store **ret_store,
                     struct err *err);
void image_store_free(struct image_store *store);
const char *image_store_layers_dir(const struct image_store *store);
/* Borrowed until the next call on the store; NULL: not there. `reference` is canonicalised first;
 * an id ("sha256:...") also works. Reads the folder again when another process changed it. */
const struct image *image_find(struct image_store *store, struct str reference);
const struct image_list *image_list(struct image_store *store);

/* Blocking (jobs, CLI): loads an OCI layout or Docker archive (tar, also compressed). The names (at
 * least one, canonical) go to *ret_names, one a line, for the user to see. */
int image_load(struct image_store *store, const char *archive_path, struct buf *ret_names,
               struct err *err);
/* Removes a name; the image goes with its last name. ERR_NOT_FOUND. */
int image_remove(struct image_store *store, struct str reference, struct err *err);
/* Removes images whose names and ids are not in `used` and that are older than min_age_ns, then
 * layers without an image. Returns bytes freed. */
uint64_t image_collect(struct image_store *store, const struct str *used, size_t used_count,
                       int64_t now_ns, int64_t min_age_ns);

/* Canonical form: registry/repository:tag or registry/repository@digest. ERR_INVALID. */
int image_reference_parse(struct str text, struct buf *ret_canonical, struct err *err);

struct image_pull_options {
    struct str reference;
    struct str auths;       /* dockerconfigjson text (pull secrets merged), or empty */
    struct str mirrors;     /* "docker.io=http://10.0.0.1:5000,..." */
    bool insecure_loopback; /* plain http to loopback-like registries */
    const char *netns_path; /* NULL: our own */
    /* Called now and then from the blocking call; may be NULL. */
    void (*progress)(void *ctx, uint64_t done, uint64_t total);
    void *ctx;
};
/* Blocking. ERR_NOT_FOUND, ERR_UNAUTHORIZED, ERR_UNAVAILABLE, ERR_INVALID (digest mismatch). */
int image_pull(struct image_store *store, const struct image_pull_options *options,
               struct err *err);

/* Hidden roles; role/ wires them: argv[1] is the role's name. Return the exit status. */
int image_unpack_main(int argc, char **argv);
int image_pull_main(int argc, char **argv);
/* Pid 1 of a pod that shares its process namespace: reaps, ends on SIGTERM. */
int pod_pause_main(int argc, char **argv);

/* store_int.h: the image store inside its folder: shared by store.c (reading), load.c and pull.c
 * (adding). */
#pragma once
#include <pthread.h>

#include "node/image.h"

struct image_store {
    char *dir, *self_path, *layers_dir;
    struct image_list images;
    int64_t seen_ns; /* mtime of DIR/records when it was read */
    uint64_t seen_size;
    pthread_mutex_t mutex; /* changes come from job threads */
};
/* A held exclusive lock on the store (a descriptor), or a negative code. */
int store_lock(struct image_store *store, struct err *err);
void store_unlock(int lock_fd);
/* A new folder under DIR/staging; heap. */
int store_stage(struct image_store *store, char **ret_dir, struct err *err);
/* Runs the unpacking child on `staging` (archive_fd -1: STAGING/layout is filled) and takes over
 * what it made: layers are moved, records written. `name` (canonical, may be NULL) is given to
 * every image besides the archive's own names. Names go to ret_names. Removes the staging folder.
 */
int store_unpack(struct image_store *store, const char *staging, int archive_fd, const char *name,
                 struct buf *ret_names, struct err *err);

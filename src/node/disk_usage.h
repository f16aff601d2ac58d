/* disk_usage.h: what pods have on the disk: emptyDir volumes, what containers wrote into their file
 * systems, logs. A job walks the folders; mounts below them (Memory volumes) count as well, other
 * file systems do not. */
#pragma once
#include "base/vec.h"
#include "node/agent_int.h"

struct disk_usage_part {
    bool is_volume; /* else a container */
    char name[254];
    char *paths[2]; /* folders; NULL: none */
    int64_t bytes;
};
struct disk_usage {
    char uid[64];
    int64_t bytes; /* all that is on the disk */
    struct {
        VEC_OF(struct disk_usage_part);
    } parts;
};

struct disk_usage_request;
struct disk_usage_request *disk_usage_request_new(void);
void disk_usage_request_add(struct disk_usage_request *request, struct pod_entry *entry);
/* Takes the request. done() runs on the loop, once; the usages are borrowed. */
void disk_usage_measure(struct loop *loop, struct disk_usage_request *request,
                        void (*done)(void *ctx, struct disk_usage *usages, size_t count),
                        void *ctx);

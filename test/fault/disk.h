/* disk.h: a disk in memory behind SQLite's VFS, which can lose power and fail.
 *
 * What was written and not synced is lost, kept, or torn at 512-byte sectors when the power goes.
 * A sync that fails drops what it should have written, while reads still show it: the worst that
 * kernels have done. One disk at a time, one thread. The VFS is called "cox-fault".
 */
#pragma once
#include <stdbool.h>

#include "base/random.h"

enum disk_damage { DISK_ALL_LOST, DISK_HALF_LOST, DISK_TORN_SECTORS, DISK_DAMAGES };
enum disk_call { DISK_READ, DISK_WRITE, DISK_SYNC, DISK_TRUNCATE, DISK_OPEN, DISK_CALLS };
enum disk_error { DISK_ERROR_NONE, DISK_ERROR_IO, DISK_ERROR_FULL, DISK_ERROR_SHORT };

struct disk_plan {
    unsigned long cut_at; /* the power goes at this write, truncate or sync; 0: never */
    enum disk_error error;
    enum disk_call error_call;
    unsigned long error_at; /* at this call of its kind (from 1); 0: never */
    bool for_ever;          /* from then on, else once */
};

void disk_begin(const struct disk_plan *plan); /* an empty disk */
void disk_plan(const struct disk_plan *plan);  /* keeps the files; counters start again */
bool disk_is_cut(void);
unsigned long disk_steps(void); /* writes, truncates and syncs so far */
unsigned long disk_calls(enum disk_call call);
/* Power back: files are what survived. */
void disk_restart(enum disk_damage damage, struct random *random);
void disk_end(void);

/* cgroup.h: control groups of pods and containers, on version 1, 2 and hybrid hosts.
 *
 * Paths are relative to the hierarchy's root: "cox/burstable/podUID/ID". On version 1 (and hybrid)
 * every mounted controller has the path; on version 2 there is one tree. The OCI runtime makes and
 * limits a container's group; pod groups and their limits are made here.
 */
#pragma once
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

enum cgroup_mode { CGROUP_NONE, CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 };
enum cgroup_mode cgroup_mode(void); /* looked up once */
const char *
cgroup_hide_path(void); /* hybrid: the unified tree that OCI runtimes must not see; NULL */

struct cgroup_limits {
    int64_t cpu_shares;   /* v1 shares; 0: leave */
    int64_t cpu_quota_us; /* per 100 ms; 0: none */
    int64_t memory;       /* bytes; 0: none */
    int64_t pids;         /* 0: max */
};
int cgroup_make(const char *path, const struct cgroup_limits *limits, struct err *err);
/* Other limits for a group that is there: 0 takes one away; pids stay. */
int cgroup_limit(const char *path, const struct cgroup_limits *limits, struct err *err);
bool cgroup_holds(pid_t pid, const char *part); /* the process's group path contains `part` */
void cgroup_kill(const char *path, const char *must_contain); /* SIGKILL to all in it and below */
void cgroup_remove(const char *path);                         /* it and all below; best effort */
/* Visits the names of groups directly under path (first controller). */
void cgroup_each(const char *path, void (*visit)(void *ctx, const char *name), void *ctx);

struct cgroup_usage {
    uint64_t cpu_ns, memory_usage, memory_working_set, memory_rss, pids;
    uint64_t page_faults, major_page_faults;
    uint64_t cpu_user_ns, cpu_system_ns, cfs_periods, cfs_throttled, cfs_throttled_ns;
    uint64_t memory_cache, memory_max_usage, memory_failures;
};
bool cgroup_usage(const char *path, struct cgroup_usage *ret_usage);

/* Kubernetes' conversions (cm/helpers_linux.go's numbers). */
int64_t cgroup_shares_of_milli(int64_t milli); /* at least 2, at most 262,144 */
int64_t cgroup_quota_of_milli(int64_t milli);  /* 0: none; at least 1,000 us */

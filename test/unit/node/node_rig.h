/* node_rig.h: a real agent on a real loop with real containers, and the fake API server, in
 * folders, a control group and names of its own. For tests that run as root. */
#pragma once
#include "fake_client.h"
#include "node/agent.h"
#include "node/image.h"

struct rig {
    char dir[64];
    char cgroup[64];
    struct loop *loop;
    struct fake_api *api;
    struct client *client;
    struct agent *agent;
    struct agent_options options;
    const char *crun; /* another runtime for the next rig_start; NULL: the installed one */
};
/* NULL and a line on stderr: why containers cannot run here. */
struct rig *rig_new(void);
void rig_start(struct rig *rig);
void rig_stop(struct rig *rig); /* the agent only */
void rig_free(struct rig *rig); /* everything, also what a failed test left */
/* Runs the loop until the condition holds; false after `seconds`. */
bool rig_wait(struct rig *rig, bool (*holds)(struct rig *rig, const char *pod), const char *pod,
              int seconds);
void rig_run(struct rig *rig, int64_t ns);
const struct val *rig_status(struct rig *rig, const char *pod);           /* pod's status; NULL */
const struct val *rig_container(struct rig *rig, const char *pod, int i); /* its containerStatus */
void rig_pod(struct rig *rig, const char *name, const char *spec_json);   /* ' for " */
/* The first bytes of a container's log text (without CRI headers). */
void rig_log(struct rig *rig, const char *pod, const char *container, int restarts,
             struct buf *out);
bool rig_running(struct rig *rig, const char *pod);
bool rig_ready(struct rig *rig, const char *pod);
bool rig_succeeded(struct rig *rig, const char *pod);
bool rig_failed(struct rig *rig, const char *pod);
bool rig_gone(struct rig *rig, const char *pod);
/* For main(): runs a hidden role if argv asks for one; -1: no. */
int rig_role(int argc, char **argv);
struct CMUnitTest;
/* A whole main(): a hidden role if argv asks for one; else *ret_rig with a running agent, `prepare`
 * (may be NULL; false: give up), and the tests (argv[1]: a filter), $NODE_LOG as log levels. 77
 * where containers cannot run. */
int rig_main(int argc, char **argv, struct rig **ret_rig, bool (*prepare)(struct rig *rig),
             const struct CMUnitTest *tests, size_t count);
const struct api_resource *rig_pods(void);

/* bench.h: a cluster of controllers on virtual time, for tests: a simulated loop, the fake API
 * server, one client, one set of informers, any controllers. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controllers/controller.h"
#include "fake_client.h"

struct bench {
    struct loop *loop;
    struct fake_api *api;
    struct client *client;
    struct informers *informers;
    const struct controller *const *controllers; /* NULL ended */
    struct controllers_options options;
    struct controller_env env;
    void *states[24];
    bool running;
};

void bench_init(struct bench *bench, uint64_t seed, const struct controller *const *controllers);
void bench_done(struct bench *bench);
/* Controllers and informers end as in a crash, and begin anew. */
void bench_stop(struct bench *bench);
void bench_start(struct bench *bench);
void bench_run(struct bench *bench, int64_t seconds);
/* Runs `seconds`, and checks that nobody wrote anything: the controllers have converged. */
void bench_quiet(struct bench *bench, int64_t seconds);

const struct api_resource *kind(const char *group, const char *plural); /* version v1 */
#define PODS        kind("", "pods")
#define REPLICASETS kind("apps", "replicasets")
#define DEPLOYMENTS kind("apps", "deployments")
#define SERVICES    kind("", "services")
#define SLICES      kind("discovery.k8s.io", "endpointslices")
#define ENDPOINTS   kind("", "endpoints")
#define EVENTS      kind("", "events")
#define NODES       kind("", "nodes")
#define JOBS        kind("batch", "jobs")
#define NAMESPACES  kind("", "namespaces")
#define CONFIGMAPS  kind("", "configmaps")
#define LEASES      kind("coordination.k8s.io", "leases")

/* Reading an object of namespace "default": integer and text at a dotted path. Fails the test when
 * the object is missing. */
int64_t number_at(struct bench *bench, const struct api_resource *resource, const char *name,
                  const char *path);
const char *text_at(struct bench *bench, const struct api_resource *resource, const char *name,
                    const char *path);
struct val *value_of(struct bench *bench, const struct api_resource *resource, const char *name);
/* The reason (or status) of a condition, "" when it is not there. */
const char *condition_at(struct bench *bench, const struct api_resource *resource, const char *name,
                         const char *type, const char *member);
/* The i-th object of a resource, in order of namespace and name. */
struct object *nth(struct bench *bench, const struct api_resource *resource, size_t i);
size_t count_events(struct bench *bench, const char *reason);

/* env.h: a container's environment, command line and downward API values.
 *
 * Pure functions over a pod, its container, and what the agent looked up; all memory from the
 * arena. Errors carry the text that belongs into a CreateContainerConfigError.
 */
#pragma once
#include "node/env/view.h"

struct env_var {
    struct str name, value;
};
struct env_list { /* arena memory; names are unique */
    struct env_var *items;
    size_t count, cap;
};
void env_set(struct arena *arena, struct env_list *list, struct str name, struct str value);
struct str env_get(const struct env_list *list, struct str name); /* p NULL: not there */

/* What is not in the pod object itself. */
struct env_facts {
    /* The object (a tape) or NULL when it does not exist. */
    const struct val *(*config_map)(void *ctx, struct str ns, struct str name);
    const struct val *(*secret)(void *ctx, struct str ns, struct str name);
    void *ctx;
    struct str pod_ip, host_ip, node_name;
    int64_t node_cpu_milli, node_memory, node_storage; /* defaults of resourceFieldRef limits */
    /* Service objects of the pod's namespace, and default/kubernetes; tapes. */
    const struct val *const *services;
    size_t service_count;
    struct str api_host; /* used when default/kubernetes is not among them */
    uint16_t api_port;
};
/* Image variables, service variables, envFrom, env, in upstream's precedence. */
int env_build(struct arena *arena, const struct val *pod, const struct val *container,
              const struct val *image_config, const struct env_facts *facts,
              struct env_list *ret_list, struct err *err);
void env_add_services(struct arena *arena, const struct val *pod, const struct env_facts *facts,
                      struct env_list *list);
/* $(NAME) is replaced, $$ is a dollar, unknown names stay (third_party/forked/golang/expansion). */
struct str env_expand(struct arena *arena, struct str text, const struct env_list *list);
/* The argument vector: command and args of the container (expanded) or of the image. */
int env_argv(struct arena *arena, const struct val *container, const struct val *image_config,
             const struct env_list *list, struct str **ret_argv, size_t *ret_count,
             struct err *err);

/* fieldRef of env and of downwardAPI volumes (which add whole maps). ERR_NOT_FOUND: unknown path.
 */
int downward_field(struct arena *arena, const struct val *pod, struct str path,
                   const struct env_facts *facts, struct str *ret_value, struct err *err);
/* resourceFieldRef {containerName, resource, divisor}; `container` is the default. */
int downward_resource(struct arena *arena, const struct val *pod, const struct val *container,
                      const struct val *ref, const struct env_facts *facts, struct str *ret_value,
                      struct err *err);

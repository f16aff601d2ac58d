/* pod_spec.h: what Pods and pod templates share: defaults and validation of a PodSpec. */
#pragma once
#include "api/validation.h"

/* Computed defaults. Some hold in Pods only, not in templates. */
void pod_spec_default(struct arena *arena, struct val *spec, bool is_pod);
/* The whole spec; `metadata` is of the pod or the template (annotations and labels count). */
void pod_spec_check(struct field_errors *errors, const struct path *path, const struct val *spec,
                    bool is_pod);
/* spec.template of a workload: defaults, validation. */
void pod_template_default(struct arena *arena, struct val *spec);
void pod_template_check(struct field_errors *errors, const struct path *path,
                        const struct val *template);

/* ---- parts, one file each ---- */
enum container_kind { CONTAINER_MAIN, CONTAINER_INIT, CONTAINER_EPHEMERAL };
enum probe_kind { PROBE_LIVENESS, PROBE_READINESS, PROBE_STARTUP };

void container_list_check(struct field_errors *errors, const struct path *path,
                          const struct val *containers, enum container_kind kind,
                          const struct val *spec);
/* env and envFrom; `path` is the container's. */
void container_env_check(struct field_errors *errors, const struct path *path,
                         const struct val *container, const struct val *volumes);
void probe_check(struct field_errors *errors, const struct path *path, const struct val *probe,
                 enum probe_kind kind);
void lifecycle_check(struct field_errors *errors, const struct path *path,
                     const struct val *lifecycle, int64_t grace);
/* resources.claims of a container or a pod: names among spec.resourceClaims. */
void container_claims_check(struct field_errors *errors, const struct path *path,
                            const struct val *claims, const struct val *spec);
/* ResourceRequirements of a container, or of a whole pod. */
void resources_check(struct field_errors *errors, const struct path *path,
                     const struct val *resources, bool pod_level);
/* A plain ResourceList: known names, no negative amounts. */
void resource_list_check(struct field_errors *errors, const struct path *path,
                         const struct val *list);
void volume_list_check(struct field_errors *errors, const struct path *path,
                       const struct val *volumes);
/* volumeMounts and volumeDevices of a container. */
void volume_mounts_check(struct field_errors *errors, const struct path *path,
                         const struct val *container, const struct val *volumes);
void security_context_check(struct field_errors *errors, const struct path *path,
                            const struct val *context, const struct val *spec);
/* spec.securityContext and the host namespaces. */
void pod_security_context_check(struct field_errors *errors, const struct path *path,
                                const struct val *spec);
void affinity_check(struct field_errors *errors, const struct path *path,
                    const struct val *affinity);
void node_selector_check(struct field_errors *errors, const struct path *path,
                         const struct val *selector);
void tolerations_check(struct field_errors *errors, const struct path *path,
                       const struct val *tolerations);
void topology_spread_check(struct field_errors *errors, const struct path *path,
                           const struct val *constraints);
/* Downward API: fieldRef (of `volume`: the paths that a volume may ask for) and resourceFieldRef.
 */
void field_ref_check(struct field_errors *errors, const struct path *path,
                     const struct val *field_ref, bool volume);
void resource_field_ref_check(struct field_errors *errors, const struct path *path,
                              const struct val *ref, bool volume);
/* Warnings about what is allowed but seldom meant. */
void pod_spec_warn(struct api_context *ctx, const struct path *path, const struct val *spec);
/* What to use instead of an old label of nodes; NULL when it is none. */
const char *node_label_deprecation(struct str label);
/* spec.resources: what the containers imply; whether they fit. `path` is of the resources. */
void pod_level_default(struct arena *arena, struct val *pod);
void pod_level_check(struct field_errors *errors, const struct path *path, const struct val *spec);
/* Whether some part of a path is "..". */
bool path_has_backstep(struct str path);
/* What a pod for linux or windows may not have. */
void pod_os_check(struct field_errors *errors, const struct path *path, const struct val *spec);
/* Two ports of containers that take the same port of the host. */
bool host_port_equals(const struct val *a, const struct val *b);

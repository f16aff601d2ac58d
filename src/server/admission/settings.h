/* settings.h: what the operator of the server says about admission: which plug-ins run, and the
 * PodSecurityConfiguration. Read once at start; immutable after that. */
#pragma once
#include "server/admission/pod_security.h"
#include "server/server.h"

struct admission_names {
    const struct str *items;
    size_t count;
};
struct admission_step;
struct admission_settings {
    const struct admission_step **steps; /* those that run, in order; NULL ended */
    struct pod_security_policies pod_security;
    struct admission_names exempt_namespaces, exempt_users, exempt_runtimes;
};
/* Lives in the arena. ERR_INVALID names the option or field. */
int admission_settings_new(const struct server_options *options, struct arena *arena,
                           struct admission_settings **ret_settings, struct err *err);
bool admission_settings_has(const struct admission_names *names, struct str name);

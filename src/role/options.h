/* options.h: every option of cox's long-running roles: one table, from which the command line, the
 * YAML file and the help text come. Precedence: command line, then the file named by --config
 * (default /etc/cox/config.yaml when it is there), then the default. A key of the file is the
 * option's name without dashes in front: "data-dir: /srv/cox".
 */
#pragma once
#include "base/err.h"
#include "base/str.h"

enum role_bits { ROLE_SERVER = 1, ROLE_AGENT = 2, ROLE_UP = 4, ROLE_RESET = 8, ROLE_DOCTOR = 16 };

struct options { /* texts are NUL ended and live until options_done; "" when not set */
    char *config;
    char *data_dir, *config_dir, *run_dir, *root_dir, *log_dir;
    char *node_name, *node_ip, *node_labels;
    char *pod_cidr, *service_cidr, *cluster_dns, *cluster_domain;
    char *bind_address;
    char *netns, *dns_upstream;
    char *join;
    char *sim_gpu, *registry_mirrors;
    char *cgroup_root;
    char *eviction_hard, *pod_manifest_path;
    char *allowed_unsafe_sysctls, *runtime_handlers;
    char *log_level, *log_format;
    char *tls_san;
    char *bridge_address;
    char *enable_admission, *disable_admission, *admission_config, *authentication_config;
    int64_t api_port, kubelet_port, io_threads, max_pods, history_seconds, node_certificate_seconds,
        eviction_transition_seconds;
    bool bootstrap_tokens, hardened, insecure_registries;
};

/* argv[0] is the role's name. Fills *ret_options; unknown options, bad values and files that others
 * may write to are ERR_INVALID with one line that says what to do. `roles`: which options are
 * allowed. */
int options_parse(int argc, char **argv, unsigned roles, struct options *ret_options,
                  struct err *err);
void options_done(struct options *options);
/* The options of `roles` with their defaults and texts, for `cox help`. */
void options_help(unsigned roles, struct buf *out);
/* The options as JSON for a child process, and back (the child trusts its parent). */
void options_write(const struct options *options, struct buf *out);
int options_read(struct str json, struct options *ret_options, struct err *err);

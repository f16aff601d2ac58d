/* options.c: the table of options and its three readers: command line, YAML file, JSON from the
 * parent. See options.h. Leaves to others what the values mean; only their shape is checked here.
 */
#include "role/options.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/val.h"
#include "base/mem.h"
#include "io/file.h"

enum option_kind { OPTION_TEXT, OPTION_NUMBER, OPTION_BOOL };
struct option {
    const char *name;
    enum option_kind kind;
    size_t at;
    unsigned roles;
    const char *fallback; /* NULL: computed */
    const char *argument, *help;
};

#define TEXT(member)   OPTION_TEXT, offsetof(struct options, member)
#define NUMBER(member) OPTION_NUMBER, offsetof(struct options, member)
#define BOOL(member)   OPTION_BOOL, offsetof(struct options, member)

enum {
    BOTH = ROLE_SERVER | ROLE_AGENT | ROLE_UP,
    EVERY = BOTH | ROLE_RESET | ROLE_DOCTOR,
    AS_SERVER = ROLE_SERVER | ROLE_UP,
    AS_AGENT = ROLE_AGENT | ROLE_UP,
};

static const struct option table[] = {
    {"config", TEXT(config), EVERY, "", "FILE",
     "YAML file with these options (default: config.yaml in --config-dir, if it is there)"},
    {"data-dir", TEXT(data_dir), EVERY, "/var/lib/cox", "DIR", "database, images and pods"},
    {"config-dir", TEXT(config_dir), EVERY, "/etc/cox", "DIR", "CA, keys and the admin kubeconfig"},
    {"run-dir", TEXT(run_dir), EVERY, "/run/cox", "DIR", "sockets, namespaces and process state"},
    {"root-dir", TEXT(root_dir), AS_AGENT | ROLE_RESET, "/var/lib/kubelet", "DIR",
     "pod volumes, device plug-in and CSI sockets"},
    {"log-dir", TEXT(log_dir), AS_AGENT | ROLE_RESET, "/var/log/pods", "DIR",
     "container log files"},
    {"node-name", TEXT(node_name), AS_AGENT, NULL, "NAME",
     "name of this node (default: the host name)"},
    {"node-ip", TEXT(node_ip), AS_AGENT, "", "IP",
     "address of this node (default: found; with --netns the bridge's)"},
    {"node-labels", TEXT(node_labels), AS_AGENT, "", "A=B,...",
     "labels put on the Node when it is made"},
    {"pod-cidr", TEXT(pod_cidr), BOTH, "10.244.0.0/16", "CIDR",
     "addresses of pods; each node gets a /24 of it"},
    {"service-cidr", TEXT(service_cidr), BOTH, "10.96.0.0/16", "CIDR", "addresses of Services"},
    {"cluster-dns", TEXT(cluster_dns), BOTH, "10.96.0.10", "IP", "address of the cluster's DNS"},
    {"cluster-domain", TEXT(cluster_domain), BOTH, "cluster.local", "NAME",
     "domain of the cluster"},
    {"bind-address", TEXT(bind_address), AS_SERVER, "", "IP",
     "address of the API (default: all; with --netns 127.0.0.1 on the host)"},
    {"api-port", NUMBER(api_port), AS_SERVER | ROLE_RESET | ROLE_DOCTOR, "6443", "PORT",
     "port of the API"},
    {"kubelet-port", NUMBER(kubelet_port), AS_AGENT, "10250", "PORT",
     "port of the node's own HTTPS surface"},
    {"tls-san", TEXT(tls_san), AS_SERVER, "", "NAME,...",
     "more names and addresses in the API's certificate"},
    {"netns", TEXT(netns), EVERY, "", "NAME",
     "keep node, pods and Services in this network namespace, made by us, with no route out"},
    {"bridge-address", TEXT(bridge_address), AS_AGENT, "", "CIDR",
     "second address of the pod bridge (the lab's shared link)"},
    {"dns-upstream", TEXT(dns_upstream), AS_AGENT, "", "IP[:PORT]",
     "where names outside the cluster are asked (default: nowhere with --netns, else the host's "
     "resolver)"},
    {"join", TEXT(join), ROLE_AGENT, "", "URL#TOKEN",
     "server to join: https://HOST:6443#ID.SECRET.CAHASH (from `cox token create`)"},
    {"sim-gpu", TEXT(sim_gpu), AS_AGENT, "", "MODEL,...", "simulated GPUs: dgx-a100, h200, t4 ..."},
    {"registry-mirrors", TEXT(registry_mirrors), AS_AGENT, "", "HOST=URL,...",
     "where images of a registry are pulled from first"},
    {"insecure-local-registries", BOOL(insecure_registries), AS_AGENT, "false", "",
     "plain HTTP to registries on loopback and in .local and .test"},
    {"cgroup-root", TEXT(cgroup_root), AS_AGENT | ROLE_RESET, "cox", "NAME",
     "parent of all cgroups of pods"},
    {"pod-manifest-path", TEXT(pod_manifest_path), AS_AGENT, "", "DIR",
     "folder of manifests of pods that this node runs on its own (static pods)"},
    {"eviction-hard", TEXT(eviction_hard), AS_AGENT, "", "SIGNAL<LIMIT,...",
     "when pods are evicted (default: memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree"
     "<5%,imagefs.available<15%,imagefs.inodesFree<5%; also pid.available)"},
    {"eviction-transition-seconds", NUMBER(eviction_transition_seconds), AS_AGENT, "300", "S",
     "how long the node's pressure conditions stay after their cause"},
    {"allowed-unsafe-sysctls", TEXT(allowed_unsafe_sysctls), AS_AGENT, "", "NAME,...",
     "sysctls that pods may set beyond the safe ones; a name may end in *"},
    {"runtime-handlers", TEXT(runtime_handlers), AS_AGENT, "", "NAME=PATH,...",
     "programs that take crun's place for pods of a RuntimeClass with that handler"},
    {"max-pods", NUMBER(max_pods), AS_AGENT, "110", "N", "most pods this node takes"},
    {"io-threads", NUMBER(io_threads), AS_SERVER, "0", "N",
     "threads that serve connections (0: one a core, at most 8)"},
    {"history-seconds", NUMBER(history_seconds), AS_SERVER, "3600", "S",
     "how long old revisions stay readable"},
    {"node-certificate-seconds", NUMBER(node_certificate_seconds), AS_SERVER, "31536000", "S",
     "how long certificates of nodes last; each node renews its own in time"},
    {"hardened", BOOL(hardened), BOTH, "false", "",
     "stricter pod defaults: pids limit, no NET_RAW, no_new_privs, RuntimeDefault seccomp"},
    {"authentication-config", TEXT(authentication_config), AS_SERVER, "", "FILE",
     "AuthenticationConfiguration: JWT issuers, and who may be anonymous"},
    {"enable-bootstrap-token-auth", BOOL(bootstrap_tokens), AS_SERVER, "false", "",
     "bootstrap tokens (Secrets of kube-system) authenticate"},
    {"enable-admission-plugins", TEXT(enable_admission), AS_SERVER, "", "NAME,...",
     "admission plug-ins to run besides those that run by default"},
    {"disable-admission-plugins", TEXT(disable_admission), AS_SERVER, "", "NAME,...",
     "admission plug-ins not to run"},
    {"admission-control-config-file", TEXT(admission_config), AS_SERVER, "", "FILE",
     "AdmissionConfiguration or PodSecurityConfiguration: defaults and exemptions"},
    {"log-level", TEXT(log_level), BOTH, "info", "LEVELS",
     "debug, info, warn, error or off; by component: info,scheduler=debug"},
    {"log-format", TEXT(log_format), BOTH, "text", "text|json", "form of log lines"},
};
enum { OPTION_COUNT = sizeof table / sizeof *table };

static const struct option *option_find(struct str name)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (str_is(name, table[i].name)) {
            return &table[i];
        }
    }
    return NULL;
}

static int option_set(struct options *options, const struct option *option, struct str value,
                      struct err *err)
{
    char *member = (char *)options + option->at;
    switch (option->kind) {
    case OPTION_TEXT:
        if (memchr(value.p != NULL ? value.p : "", '\0', value.n) != NULL) {
            return err_set(err, ERR_INVALID, "--%s: a NUL byte does not belong there",
                           option->name);
        }
        free(*(char **)member);
        *(char **)member = str_dup(value);
        return 0;
    case OPTION_NUMBER:
        if (!str_i64(value, (int64_t *)(void *)member) || *(int64_t *)(void *)member < 0) {
            return err_set(err, ERR_INVALID, "--%s: \"%.*s\" is no number", option->name,
                           STR_ARG(value));
        }
        return 0;
    case OPTION_BOOL:
        if (!str_bool(value, (bool *)member)) {
            return err_set(err, ERR_INVALID, "--%s: \"%.*s\" is neither true nor false",
                           option->name, STR_ARG(value));
        }
        return 0;
    }
    return ERR_INTERNAL;
}

static void set_defaults(struct options *options)
{
    *options = (struct options){0};
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        option_set(options, &table[i], str_of(table[i].fallback != NULL ? table[i].fallback : ""),
                   NULL);
    }
    char name[256] = "";
    if (gethostname(name, sizeof name - 1) == 0) {
        for (char *at = name; *at != '\0';
             at++) { /* a node's name is a lower-case RFC 1123 subdomain */
            *at = *at >= 'A' && *at <= 'Z' ? (char)(*at + 32) : *at == '_' ? '-' : *at;
        }
    }
    free(options->node_name);
    options->node_name = mem_dupz(name[0] != '\0' ? name : "node");
}

/* Reads argv into `seen`, or (with options NULL) only looks for --config and --config-dir. */
static int parse_arguments(int argc, char **argv, unsigned roles, struct options *options,
                           bool only_files, struct err *err)
{
    for (int i = 1; i < argc; i++) {
        struct str word = str_of(argv[i]), value;
        if (!str_starts(word, STR("--")) || word.n == 2) {
            return err_set(err, ERR_INVALID, "\"%s\" is not an option of cox %s: see cox help %s",
                           argv[i], argv[0], argv[0]);
        }
        struct str name = str_cut(str_from(word, 2), '=', &value);
        const struct option *option = option_find(name);
        if (option == NULL || (option->roles & roles) == 0) {
            return err_set(err, ERR_INVALID, "--%.*s is not an option of cox %s: see cox help %s",
                           STR_ARG(name), argv[0], argv[0]);
        }
        if (value.p == NULL && option->kind == OPTION_BOOL) {
            value = STR("true");
        } else if (value.p == NULL) {
            if (++i >= argc) {
                return err_set(err, ERR_INVALID, "--%s needs a value: %s", option->name,
                               option->argument);
            }
            value = str_of(argv[i]);
        }
        if (only_files && !str_is(name, "config") && !str_is(name, "config-dir")) {
            continue;
        }
        int rc = option_set(options, option, value, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* A scalar of the file as text; lists of texts are joined with commas. */
static bool scalar_text(struct arena *arena, const struct val *value, struct str *ret_text)
{
    if (value->type == VAL_TRUE || value->type == VAL_FALSE) {
        *ret_text = value->type == VAL_TRUE ? STR("true") : STR("false");
        return true;
    }
    if (value->type == VAL_STRING || value->type == VAL_NUMBER) {
        *ret_text = value->text;
        return true;
    }
    if (value->type != VAL_ARRAY) {
        return false;
    }
    struct buf joined BUF_CLEANUP = BUF_INIT;
    VAL_EACH (item, value) {
        if (item->type != VAL_STRING) {
            return false;
        }
        buf_addz(&joined, joined.n > 0 ? "," : "");
        buf_str(&joined, item->text);
    }
    *ret_text = str_copy_in(arena, buf_view(&joined));
    return true;
}

static int apply_members(struct arena *arena, const struct val *root, struct options *options,
                         struct err *err)
{
    VAL_EACH (member, root) {
        struct str text;
        const struct option *option = option_find(member->key);
        if (option == NULL || str_is(member->key, "config")) {
            return err_set(err, ERR_INVALID, "\"%.*s\" is not an option: see cox help up",
                           STR_ARG(member->key));
        }
        if (!scalar_text(arena, member, &text)) {
            return err_set(err, ERR_INVALID,
                           "%s must be a text, a number, a truth value or a list of texts",
                           option->name);
        }
        int rc = option_set(options, option, text, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int apply_file(const char *path, struct options *options, struct err *err)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *root = NULL;
    struct stat info;
    int rc = file_read(path, 1 << 20, &text, err);
    if (rc != 0) {
        return rc;
    }
    if (stat(path, &info) == 0 && (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return err_set(err, ERR_INVALID, "%s can be written by others: chmod go-w %s", path, path);
    }
    if ((rc = val_parse_yaml(&arena, buf_view(&text), &root, err)) != 0) {
        return err_wrap(err, "%s", path), rc;
    }
    if (root->type != VAL_OBJECT && root->type != VAL_NULL) {
        return err_set(err, ERR_INVALID, "%s: must be a list of \"option: value\" lines", path);
    }
    if ((rc = apply_members(&arena, root, options, err)) != 0) {
        return err_wrap(err, "%s", path), rc;
    }
    return 0;
}

/* Folders are used by children whose working directory is another one. */
static void make_absolute(struct options *options)
{
    char **const folders[] = {&options->data_dir, &options->config_dir,
                              &options->run_dir,  &options->root_dir,
                              &options->log_dir,  &options->pod_manifest_path};
    char here[4096];
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        if ((*folders[i])[0] != '/' && (*folders[i])[0] != '\0' &&
            getcwd(here, sizeof here) != NULL) {
            char *whole = mem_printf("%s/%s", here, *folders[i]);
            free(*folders[i]);
            *folders[i] = whole;
        }
    }
}

int options_parse(int argc, char **argv, unsigned roles, struct options *ret_options,
                  struct err *err)
{
    struct options options;
    set_defaults(&options);
    int rc = parse_arguments(argc, argv, roles, &options, true, err);
    if (rc == 0 && options.config[0] != '\0') {
        rc = apply_file(options.config, &options, err);
    } else if (rc == 0) {
        char *path MEM_CLEANUP = mem_printf("%s/config.yaml", options.config_dir);
        rc = file_exists(path) ? apply_file(path, &options, err) : 0;
    }
    rc = rc != 0 ? rc : parse_arguments(argc, argv, roles, &options, false, err);
    if (rc != 0) {
        options_done(&options);
        return rc;
    }
    make_absolute(&options);
    *ret_options = options;
    return 0;
}

void options_done(struct options *options)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (table[i].kind == OPTION_TEXT) {
            free(*(char **)((char *)options + table[i].at));
        }
    }
    *options = (struct options){0};
}

void options_help(unsigned roles, struct buf *out)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &table[i];
        if ((option->roles & roles) == 0) {
            continue;
        }
        char *head MEM_CLEANUP = mem_printf("--%s %s", option->name, option->argument);
        buf_printf(out, "  %-34s %s", head, option->help);
        if (option->fallback != NULL && option->fallback[0] != '\0' &&
            option->kind != OPTION_BOOL) {
            buf_printf(out, " [%s]", option->fallback);
        }
        buf_char(out, '\n');
    }
}

void options_write(const struct options *options, struct buf *out)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *root = val_new(&arena, VAL_OBJECT);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *member = (const char *)options + table[i].at;
        struct str key = str_of(table[i].name);
        if (table[i].kind == OPTION_TEXT) {
            val_set_text(&arena, root, key, str_of(*(char *const *)(const void *)member));
        } else if (table[i].kind == OPTION_NUMBER) {
            val_set_int(&arena, root, key, *(const int64_t *)(const void *)member);
        } else {
            val_set_bool(&arena, root, key, *(const bool *)member);
        }
    }
    val_unset(root, STR("config"));
    val_write_json(root, out);
}

int options_read(struct str json, struct options *ret_options, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *root = NULL;
    int rc = val_parse_json(&arena, json, &root, err);
    if (rc != 0) {
        return rc;
    }
    struct options options;
    set_defaults(&options);
    if ((rc = apply_members(&arena, root, &options, err)) != 0) {
        options_done(&options);
        return rc;
    }
    *ret_options = options;
    return 0;
}

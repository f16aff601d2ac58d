/* supervisor.c: starts, watches and ends the two children. Holds no cluster state. See
 * supervisor.h. */
#include "role/supervisor.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "io/net.h"
#include "io/poll.h"
#include "network/network.h"
#include "role/credentials.h"
#include "role/handoff.h"
#include "role/join.h"
#include "role/trim.h"

enum {
    SERVER_UID = 64222,
    SOCKETS_MAX = 2
}; /* a uid of no one, unless the system has a user "cox" */
enum { FIRST_DELAY_MS = 10, LAST_DELAY_MS = 500, STEADY_S = 2 }; /* restarts */
enum { CONFIG_BYTES_MAX = 1 << 20 };
enum child_kind { CHILD_SERVER, CHILD_AGENT, CHILD_COUNT };

struct child {
    struct supervisor *supervisor;
    const char *role;
    bool wanted;
    struct process *process;
    struct timer restart;
    int64_t delay_ns, started_ns; /* of the next restart; of the last start, monotonic */
};

struct supervisor {
    struct options options;
    unsigned roles;
    struct loop *loop;
    struct credentials credentials;
    struct join_result joined; /* agent that joined: certificate, CA, pod range */
    int api_fds[SOCKETS_MAX], kubelet_fd, dns_udp_fd, dns_tcp_fd, signal_fd, lock_fd;
    uid_t server_uid;
    gid_t server_gid;
    struct child children[CHILD_COUNT];
    struct timer renew, trim;
    bool stopping;
    int exit_status;
};

bool supervisor_first_address(struct str pod_cidr, char ret_address[16])
{
    struct str bits;
    char *address MEM_CLEANUP = str_dup(str_cut(pod_cidr, '/', &bits));
    struct in_addr parsed;
    uint64_t n = 0;
    if (inet_pton(AF_INET, address, &parsed) != 1 || !str_u64(bits, &n) || n < 8 || n > 24) {
        return false;
    }
    parsed.s_addr = htonl((ntohl(parsed.s_addr) & ~((1U << (32 - n)) - 1)) + 1);
    return inet_ntop(AF_INET, &parsed, ret_address, 16) != NULL;
}

/* ---- folders, lock, sockets ---- */

/* Files that root put there (a restored backup) become the server's. */
static int give_files(struct supervisor *s, const char *dir, struct err *err)
{
    DIR *folder = opendir(dir);
    int rc = folder == NULL ? err_os(err, errno, "open %s", dir) : 0;
    for (struct dirent *entry = rc == 0 ? readdir(folder) : NULL; entry != NULL && rc == 0;
         entry = readdir(folder)) {
        if (strcmp(entry->d_name, "..") != 0 &&
            fchownat(dirfd(folder), entry->d_name, s->server_uid, s->server_gid,
                     AT_SYMLINK_NOFOLLOW) != 0) {
            rc = err_os(err, errno, "chown %s/%s", dir, entry->d_name);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return rc;
}

/* The server has a uid of its own and must be able to walk to its folder. */
static int check_reach(const char *dir, struct err *err)
{
    char *path MEM_CLEANUP = mem_dupz(dir);
    for (char *at = strchr(path + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        struct stat info;
        *at = '\0';
        bool shut = stat(path, &info) == 0 && (info.st_mode & S_IXOTH) == 0;
        if (shut) {
            return err_set(err, ERR_INVALID,
                           "the server runs as a user of its own, which cannot enter %s: chmod o+x "
                           "%s, or give another --data-dir",
                           path, path);
        }
        *at = '/';
    }
    return 0;
}

static int prepare_folders(struct supervisor *s, struct err *err)
{
    struct passwd *user = getpwnam("cox");
    s->server_uid = user != NULL ? user->pw_uid : SERVER_UID;
    s->server_gid = user != NULL ? user->pw_gid : SERVER_UID;
    char *server_dir MEM_CLEANUP = mem_printf("%s/server", s->options.data_dir);
    mode_t mask = umask(022); /* the server's uid passes through these */
    int rc = file_make_dirs(s->options.data_dir, 0711, err);
    rc = rc != 0 ? rc : file_make_dirs(s->options.run_dir, 0711, err);
    umask(mask);
    if (rc == 0 && (s->roles & (ROLE_UP | ROLE_SERVER)) != 0) {
        rc = file_make_dirs(server_dir, 0700, err);
        rc = rc != 0 ? rc : give_files(s, server_dir, err);
        rc = rc != 0 ? rc : check_reach(server_dir, err);
    }
    return rc;
}

static int take_lock(struct supervisor *s, struct err *err)
{
    char *path MEM_CLEANUP = mem_printf("%s/lock", s->options.data_dir);
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0) {
        return err_os(err, errno, "open %s", path);
    }
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        char pid[16] = "";
        ssize_t n = read(s->lock_fd, pid, sizeof pid - 1);
        return err_set(
            err, ERR_INVALID,
            "%s is in use by another cox (pid %.*s): stop it, or give this one --data-dir",
            s->options.data_dir, n > 0 ? (int)n : 1, n > 0 ? pid : "?");
    }
    char text[16];
    int n = snprintf(text, sizeof text, "%d", (int)getpid());
    return ftruncate(s->lock_fd, 0) != 0 || write(s->lock_fd, text, (size_t)n) != n
               ? err_os(err, errno, "write %s", path)
               : 0;
}

/* Binds in the cluster's namespace (`inside`) or on the host. */
static int bind_socket(struct supervisor *s, bool inside, const char *host, int64_t port,
                       const char *flag, int *ret_fd, struct err *err)
{
    char *address MEM_CLEANUP =
        mem_printf(strchr(host, ':') != NULL ? "[%s]:%lld" : "%s:%lld", host, (long long)port);
    int rc = inside ? network_socket(s->options.netns, SOCK_STREAM, str_of(address), ret_fd, err)
                    : net_bind(str_of(address), ret_fd, err);
    if (rc != 0 && err->os_errno == EADDRINUSE) {
        return err_set(err, ERR_INVALID,
                       "%s is in use: stop what listens there, or give another %s", address, flag);
    }
    return rc;
}

static int open_sockets(struct supervisor *s, struct err *err)
{
    const struct options *o = &s->options;
    bool apart = o->netns[0] != '\0';
    int rc = 0;
    if ((s->roles & (ROLE_UP | ROLE_SERVER)) != 0) {
        const char *host = o->bind_address[0] != '\0' ? o->bind_address
                           : apart                    ? "127.0.0.1"
                                                      : "0.0.0.0";
        rc = bind_socket(s, false, host, o->api_port, "--api-port", &s->api_fds[0], err);
        if (rc == 0 && apart) {
            rc = bind_socket(s, true, "0.0.0.0", o->api_port, "--api-port", &s->api_fds[1], err);
        }
    }
    if (rc == 0 && (s->roles & (ROLE_UP | ROLE_AGENT)) != 0) {
        rc = bind_socket(s, apart, "0.0.0.0", o->kubelet_port, "--kubelet-port", &s->kubelet_fd,
                         err);
        /* Kept here, so that questions wait in the sockets while a new agent starts. */
        rc = rc != 0 ? rc
                     : network_dns_sockets(apart ? o->netns : NULL, str_of(o->cluster_dns),
                                           &s->dns_udp_fd, &s->dns_tcp_fd, err);
    }
    return rc;
}

/* ---- the admin's kubeconfig ---- */

static int write_kubeconfig(struct supervisor *s, struct err *err)
{
    const char *host = s->options.bind_address;
    bool any = host[0] == '\0' || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
    char *server MEM_CLEANUP =
        mem_printf("https://%s:%lld", any ? "127.0.0.1" : host, (long long)s->options.api_port);
    char *path MEM_CLEANUP = mem_printf("%s/admin.kubeconfig", s->options.config_dir);
    struct buf text BUF_CLEANUP = BUF_INIT;
    int rc = credentials_kubeconfig(&s->credentials, str_of(server), &text, err);
    return rc != 0 ? rc : file_write_atomic(path, buf_view(&text), 0600, err);
}

static void on_renew(struct timer *timer)
{
    struct supervisor *s = container_of(timer, struct supervisor, renew);
    struct err err = ERR_INIT;
    if (write_kubeconfig(s, &err) != 0) {
        LOG_ERROR("supervisor", "the admin kubeconfig was not renewed", LOG_ERR(&err));
    }
    timer_start(s->loop, &s->renew, 86400 * NS_PER_S, on_renew);
}

/* ---- children ---- */

static bool become_server(void *arg)
{
    const struct supervisor *s = arg;
    return setgroups(0, NULL) == 0 && setresgid(s->server_gid, s->server_gid, s->server_gid) == 0 &&
           setresuid(s->server_uid, s->server_uid, s->server_uid) == 0 &&
           prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) == 0; /* the change of uid cleared it */
}

/* The server's user may not read the operator's files: they are read here. "" is no file. */
static int hand_file(struct handoff_maker *maker, const char *name, const char *path,
                     const char *option, struct err *err)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    int rc = path[0] != '\0' ? file_read(path, CONFIG_BYTES_MAX, &text, err) : 0;
    if (rc != 0) {
        return err_wrap(err, "--%s", option), rc;
    }
    handoff_text(maker, name, buf_view(&text));
    return 0;
}

static int fill_server(struct supervisor *s, struct handoff_maker *maker, struct err *err)
{
    struct buf ca BUF_CLEANUP = BUF_INIT, ca_key BUF_CLEANUP = BUF_INIT,
                  sa_key BUF_CLEANUP = BUF_INIT;
    int rc = certificate_write_pem(s->credentials.ca, &ca, err);
    rc = rc != 0 ? rc : key_write_pem(s->credentials.ca_key, &ca_key, err);
    rc = rc != 0 ? rc : key_write_pem(s->credentials.service_account_key, &sa_key, err);
    handoff_text(maker, "ca.crt", buf_view(&ca));
    handoff_text(maker, "ca.key", buf_view(&ca_key));
    handoff_text(maker, "service-account.key", buf_view(&sa_key));
    handoff_text(maker, "storage.key", str_of(s->credentials.storage_key));
    rc = rc != 0 ? rc
                 : hand_file(maker, "admission-config", s->options.admission_config,
                             "admission-control-config-file", err);
    rc = rc != 0 ? rc
                 : hand_file(maker, "authentication-config", s->options.authentication_config,
                             "authentication-config", err);
    for (int i = 0; i < SOCKETS_MAX; i++) {
        handoff_fd(maker, "api", s->api_fds[i]);
    }
    return rc;
}

/* The first node's identity comes from the CA beside us; a node that joined has its own. */
static int fill_agent(struct supervisor *s, struct handoff_maker *maker, struct err *err)
{
    const struct options *o = &s->options;
    handoff_fd(maker, "kubelet", s->kubelet_fd);
    handoff_fd(maker, "dns-udp", s->dns_udp_fd);
    handoff_fd(maker, "dns-tcp", s->dns_tcp_fd);
    if (s->joined.ca_pem.n > 0) {
        join_reread(o, &s->joined);
        handoff_text(maker, "ca.crt", buf_view(&s->joined.ca_pem));
        handoff_text(maker, "node.crt", buf_view(&s->joined.certificate_pem));
        handoff_text(maker, "node.key", buf_view(&s->joined.key_pem));
        handoff_text(maker, "pod-cidr", buf_view(&s->joined.pod_cidr));
        handoff_text(maker, "api", buf_view(&s->joined.address));
        handoff_text(maker, "joined", STR("yes"));
        return 0;
    }
    struct buf ca BUF_CLEANUP = BUF_INIT, certificate BUF_CLEANUP = BUF_INIT,
                  key BUF_CLEANUP = BUF_INIT;
    char *name MEM_CLEANUP = mem_printf("system:node:%s", o->node_name);
    char gateway[16] = "";
    supervisor_first_address(str_of(o->pod_cidr), gateway);
    char *addresses MEM_CLEANUP = mem_printf("127.0.0.1,%s,%s", gateway, o->node_ip);
    struct issue_request request = {.common_name = str_of(name),
                                    .organization = STR("system:nodes"),
                                    .usage = CERTIFICATE_CLIENT | CERTIFICATE_SERVER,
                                    .names = str_of(o->node_name),
                                    .addresses = str_of(addresses),
                                    .seconds = o->node_certificate_seconds};
    int rc = certificate_write_pem(s->credentials.ca, &ca, err);
    rc = rc != 0 ? rc
                 : credentials_issue(s->credentials.ca, s->credentials.ca_key, &request,
                                     &certificate, &key, err);
    char *api MEM_CLEANUP = mem_printf("127.0.0.1:%lld", (long long)o->api_port);
    /* The first /24: its first address ends in 1, since the range is a /24 or larger. */
    char *cidr MEM_CLEANUP = mem_printf("%.*s0/24", (int)strlen(gateway) - 1, gateway);
    handoff_text(maker, "ca.crt", buf_view(&ca));
    handoff_text(maker, "node.crt", buf_view(&certificate));
    handoff_text(maker, "node.key", buf_view(&key));
    handoff_text(maker, "pod-cidr", str_of(cidr));
    handoff_text(maker, "api", str_of(api));
    return rc;
}

static void on_child_exit(void *ctx, struct process *process, int status);

static int child_start(struct child *child, struct err *err)
{
    struct supervisor *s = child->supervisor;
    child->started_ns = loop_mono(s->loop);
    bool server = child == &s->children[CHILD_SERVER];
    const char *argv[] = {"/proc/self/exe", child->role, NULL};
    const char *env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL,
                         NULL};
    char *failpoints MEM_CLEANUP = NULL;
    if (getenv("COX_FAILPOINTS") != NULL) {
        failpoints = mem_printf("COX_FAILPOINTS=%s", getenv("COX_FAILPOINTS"));
        env[1] = failpoints;
    }
    struct process_options options = {.argv = argv,
                                      .env = env,
                                      .stdin_fd = -1,
                                      .stdout_fd = 1,
                                      .stderr_fd = 2,
                                      .new_session = true,
                                      .death_signal = SIGTERM};
    struct handoff_maker maker;
    int memfd = -1;
    handoff_begin(&maker, &s->options);
    int rc = server ? fill_server(s, &maker, err) : fill_agent(s, &maker, err);
    if (rc != 0) {
        arena_done(&maker.arena);
        return rc;
    }
    char *netns MEM_CLEANUP = mem_printf("/run/netns/%s", s->options.netns);
    if (s->options.netns[0] != '\0') {
        options.netns_path = netns; /* nothing of the cluster ever dials from the host's network */
    }
    if (server) {
        options.before_exec = become_server;
        options.before_exec_arg = s;
    }
    rc = handoff_finish(&maker, &options, &memfd, err);
    rc =
        rc != 0 ? rc : process_start(s->loop, &options, on_child_exit, child, &child->process, err);
    if (memfd >= 0) {
        close(memfd);
    }
    return rc;
}

static void stop_if_alone(struct supervisor *s)
{
    for (int i = 0; i < CHILD_COUNT; i++) {
        if (s->children[i].process != NULL) {
            return;
        }
    }
    loop_stop(s->loop);
}

static void stop_all(struct supervisor *s)
{
    s->stopping = true;
    for (int i = 0; i < CHILD_COUNT; i++) {
        timer_stop(&s->children[i].restart);
        if (s->children[i].process != NULL) {
            process_kill(s->children[i].process, SIGTERM, NULL);
        }
    }
    stop_if_alone(s);
}

static void on_restart(struct timer *timer)
{
    struct child *child = container_of(timer, struct child, restart);
    struct err err = ERR_INIT;
    if (child_start(child, &err) != 0) {
        LOG_ERROR("supervisor", "not started", LOG_Z("child", child->role), LOG_ERR(&err));
        timer_start(child->supervisor->loop, &child->restart, child->delay_ns, on_restart);
    }
}

static void on_child_exit(void *ctx, struct process *process, int status)
{
    struct child *child = ctx;
    struct supervisor *s = child->supervisor;
    process_free(process);
    child->process = NULL;
    if (status == EXIT_FATAL && !s->stopping) {
        s->exit_status = 1;
        stop_all(s);
    } else if (s->stopping) {
        stop_if_alone(s);
    } else {
        /* one that ran for a while is started again at once; one that keeps dying, ever later */
        bool steady = loop_mono(s->loop) - child->started_ns > STEADY_S * NS_PER_S;
        child->delay_ns = steady ? FIRST_DELAY_MS * NS_PER_MS : child->delay_ns;
        LOG_WARN("supervisor", "a child ended and is started again", LOG_Z("child", child->role),
                 LOG_I("status", status), LOG_I("delay_ms", child->delay_ns / NS_PER_MS));
        timer_start(s->loop, &child->restart, child->delay_ns, on_restart);
        child->delay_ns = child->delay_ns * 2 > LAST_DELAY_MS * NS_PER_MS
                              ? LAST_DELAY_MS * NS_PER_MS
                              : child->delay_ns * 2;
    }
}

static void on_signal(void *ctx, int fd)
{
    struct supervisor *s = ctx;
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof info) != (ssize_t)sizeof info) {
        return;
    }
    if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) {
        stop_all(s);
        return;
    }
    for (int i = 0; i < CHILD_COUNT;
         i++) { /* SIGUSR1 prints state, SIGUSR2 cycles the log level: the children know */
        if (s->children[i].process != NULL) {
            process_kill(s->children[i].process, (int)info.ssi_signo, NULL);
        }
    }
}

/* ---- life ---- */

static int open_all(struct supervisor *s, struct err *err)
{
    if (geteuid() != 0) {
        return err_set(err, ERR_INVALID,
                       "this needs root: containers, mounts and network namespaces do");
    }
    char address[16];
    if (!supervisor_first_address(str_of(s->options.pod_cidr), address)) {
        return err_set(err, ERR_INVALID, "--pod-cidr: \"%s\" must be an IPv4 range of /8 to /24",
                       s->options.pod_cidr);
    }
    int rc = prepare_folders(s, err);
    rc = rc != 0 ? rc : take_lock(s, err);
    if (rc == 0 && s->options.netns[0] != '\0') {
        rc = network_namespace_make(s->options.netns, err);
    }
    if (rc == 0 && s->roles == ROLE_AGENT) {
        rc = join_cluster(&s->options, &s->joined, err);
    }
    rc = rc != 0 ? rc : open_sockets(s, err);
    if (rc == 0 && (s->roles & (ROLE_UP | ROLE_SERVER)) != 0) {
        rc = credentials_open(s->options.config_dir, &s->credentials, err);
        rc = rc != 0 ? rc : write_kubeconfig(s, err);
    }
    return rc;
}

static int start_all(struct supervisor *s, struct err *err)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGUSR2);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    s->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    poll_readable(s->loop, s->signal_fd, on_signal, s);
    int rc = 0;
    trim_later(s->loop, &s->trim, 3 * NS_PER_S);
    for (int i = 0; i < CHILD_COUNT && rc == 0; i++) {
        rc = s->children[i].wanted ? child_start(&s->children[i], err) : 0;
    }
    if ((s->roles & (ROLE_UP | ROLE_SERVER)) != 0) {
        timer_start(s->loop, &s->renew, 86400 * NS_PER_S, on_renew);
    }
    return rc;
}

int supervisor_main(int argc, char **argv, unsigned roles)
{
    struct supervisor s = {.roles = roles,
                           .api_fds = {-1, -1},
                           .kubelet_fd = -1,
                           .dns_udp_fd = -1,
                           .dns_tcp_fd = -1,
                           .signal_fd = -1,
                           .lock_fd = -1};
    struct err err = ERR_INIT;
    if (options_parse(argc, argv, roles, &s.options, &err) != 0) {
        fprintf(stderr, "cox: %s\n", err.message);
        return 2;
    }
    log_set_json(strcmp(s.options.log_format, "json") == 0);
    log_set_levels(str_of(s.options.log_level));
    s.loop = loop_new();
    static const char *const names[] = {"server-process", "agent-process"};
    for (int i = 0; i < CHILD_COUNT; i++) {
        bool wanted = (roles & (ROLE_UP | (i == CHILD_SERVER ? ROLE_SERVER : ROLE_AGENT))) != 0;
        s.children[i] = (struct child){.supervisor = &s,
                                       .role = names[i],
                                       .wanted = wanted,
                                       .delay_ns = FIRST_DELAY_MS * NS_PER_MS};
    }
    umask(077);
    int rc = open_all(&s, &err);
    rc = rc != 0 ? rc : start_all(&s, &err);
    if (rc != 0) {
        fprintf(stderr, "cox: %s\n", err.message);
        s.exit_status = 1;
        stop_all(&s);
    }
    if (rc == 0 || s.children[CHILD_SERVER].process != NULL ||
        s.children[CHILD_AGENT].process != NULL) {
        loop_run(s.loop);
    }
    credentials_done(&s.credentials);
    join_result_done(&s.joined);
    options_done(&s.options);
    return s.exit_status;
}

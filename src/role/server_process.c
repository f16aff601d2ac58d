/* server_process.c: puts the server's cores on threads: N I/O loops (the main thread runs the
 * first), one for the store, one for the controllers, one for the scheduler. Between them: tasks
 * and counted objects, nothing else.
 *
 * Order of start: store and cache (rows are loaded and checked), server, listeners, first-start
 * objects, then controllers and scheduler. Order of end: drain, stop the loops, join the threads,
 * then free. A failure before readiness exits with EXIT_FATAL, so that the supervisor reports it
 * once.
 */
#include "role/server_process.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "controllers/controller.h"
#include "io/net.h"
#include "io/poll.h"
#include "io/tls.h"
#include "pki/seal.h"
#include "role/backup.h"
#include "role/credentials.h"
#include "role/handoff.h"
#include "role/join.h"
#include "role/signals.h"
#include "role/supervisor.h"
#include "role/trim.h"
#include "role/why.h"
#include "scheduler/scheduler.h"
#include "server/server.h"
#include "store/store.h"

enum { LOOPS_MAX = 8, API_FDS_MAX = 2 };

struct core { /* controllers or scheduler: one thread */
    struct server_process *process;
    struct loop *loop;
    pthread_t thread;
    struct task start, stop;
    struct client *client;
    struct informers *informers;
    void *running; /* struct controllers or struct scheduler */
};

struct server_process {
    struct handoff handoff;
    struct loop *loops[LOOPS_MAX];
    pthread_t threads[LOOPS_MAX];
    size_t loop_count;
    struct loop *store_loop;
    pthread_t store_thread;
    struct store *store;
    struct store_seal store_seal;
    struct seal *seal;
    struct cache *cache;
    struct sequencer *sequencer;
    struct key *token_key, *ca_key;
    struct certificate *ca;
    struct tls_context *tls;
    struct server *server;
    struct join_server *join;
    struct listener *listeners[LOOPS_MAX * API_FDS_MAX];
    size_t listener_count;
    struct core controllers, scheduler;
    struct timer renew, drained, trim;
    struct signals *signals;
    bool stopping;
};

/* ---- encryption at rest ---- */

static bool seal_wanted(void *ctx, struct str resource)
{
    return str_is(resource, "secrets");
}

static int seal_in(void *ctx, struct str key, struct str plain, struct buf *out, struct err *err)
{
    return seal_close(((struct server_process *)ctx)->seal, key, plain, out, err);
}

static int seal_out(void *ctx, struct str key, struct str sealed, struct buf *out, struct err *err)
{
    return seal_open(((struct server_process *)ctx)->seal, key, sealed, out, err);
}

/* What was refused may or may not be on the disk: only a new start knows. The supervisor makes one.
 */
static void on_store_failed(void *ctx)
{
    LOG_ERROR("store", "the store failed and takes no writes any more: the server starts again");
    _exit(1);
}

static int open_store(struct server_process *p, struct err *err)
{
    unsigned char key[SEAL_KEY_SIZE];
    struct str text = handoff_get_text(&p->handoff, "storage.key");
    if (text.n != 2 * SEAL_KEY_SIZE || !hex_decode(text, key)) {
        return err_set(err, ERR_INVALID, "the storage key is no key");
    }
    int rc = seal_new(str_at((const char *)key, sizeof key), random_real(), &p->seal, err);
    explicit_bzero(key, sizeof key);
    if (rc != 0) {
        return rc;
    }
    p->store_seal = (struct store_seal){seal_wanted, seal_in, seal_out, p, seal_id(p->seal)};
    char *path MEM_CLEANUP = mem_printf("%s/server", p->handoff.options.data_dir);
    struct store_options options = {.path = path,
                                    .seal = &p->store_seal,
                                    .history_ns = p->handoff.options.history_seconds * NS_PER_S,
                                    .clock = clock_real()};
    rc = store_sqlite.open(&options, &p->store, err);
    if (rc != 0) {
        return rc;
    }
    p->cache = cache_new(0);
    p->store_loop = loop_new();
    rc = sequencer_new(p->store_loop, p->store, p->cache, &p->sequencer, err);
    if (rc == 0) {
        sequencer_on_failed(p->sequencer, on_store_failed, p);
    }
    return rc;
}

/* ---- TLS ---- */

/* Names and addresses under which the API is reached: the Service's, loopback, the first node's
 * bridge, and the user's. */
static int issue_serving(struct server_process *p, struct buf *certificate, struct buf *key,
                         struct err *err)
{
    const struct options *o = &p->handoff.options;
    char bridge[16] = "", service[16] = "", host[256] = "";
    supervisor_first_address(str_of(o->pod_cidr), bridge);
    supervisor_first_address(str_of(o->service_cidr), service);
    gethostname(host, sizeof host - 1);
    char *names MEM_CLEANUP = mem_printf("localhost,kubernetes,kubernetes.default,kubernetes."
                                         "default.svc,kubernetes.default.svc.%s,%s",
                                         o->cluster_domain, host);
    char *addresses MEM_CLEANUP =
        mem_printf("127.0.0.1,::1,%s,%s,%s,%s", bridge, service, o->node_ip, o->bind_address);
    struct buf all_names BUF_CLEANUP = BUF_INIT, all_addresses BUF_CLEANUP = BUF_INIT;
    buf_addz(&all_names, names);
    buf_addz(&all_addresses, addresses);
    for (struct str rest = str_of(o->tls_san); rest.n > 0;) {
        struct str item = str_trim(str_cut(rest, ',', &rest));
        bool address = item.n > 0 && (memchr(item.p, ':', item.n) != NULL ||
                                      (item.p[item.n - 1] >= '0' && item.p[item.n - 1] <= '9'));
        buf_printf(address ? &all_addresses : &all_names, ",%.*s", STR_ARG(item));
    }
    struct issue_request request = {.common_name = STR("kube-apiserver"),
                                    .usage = CERTIFICATE_SERVER,
                                    .names = buf_view(&all_names),
                                    .addresses = buf_view(&all_addresses),
                                    .days = SERVER_DAYS};
    return credentials_issue(p->ca, p->ca_key, &request, certificate, key, err);
}

static int open_tls(struct server_process *p, struct err *err)
{
    struct buf certificate BUF_CLEANUP = BUF_INIT, key BUF_CLEANUP = BUF_INIT;
    int rc = certificate_parse_pem(handoff_get_text(&p->handoff, "ca.crt"), &p->ca, err);
    rc = rc != 0 ? rc : key_parse_pem(handoff_get_text(&p->handoff, "ca.key"), &p->ca_key, err);
    rc = rc != 0 ? rc
                 : key_parse_pem(handoff_get_text(&p->handoff, "service-account.key"),
                                 &p->token_key, err);
    rc = rc != 0 ? rc : issue_serving(p, &certificate, &key, err);
    if (rc != 0) {
        return rc;
    }
    struct tls_options options = {.certificate_pem = buf_view(&certificate),
                                  .key_pem = buf_view(&key),
                                  .ca_pem = handoff_get_text(&p->handoff, "ca.crt"),
                                  .alpn = STR("h2,http/1.1")};
    p->tls = tls_server_new(&options, err);
    return p->tls == NULL ? err->code : 0;
}

/* A serving certificate is swapped long before it ends, in the running process. */
static void on_renew(struct timer *timer)
{
    struct server_process *p = container_of(timer, struct server_process, renew);
    struct buf certificate BUF_CLEANUP = BUF_INIT, key BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    if (issue_serving(p, &certificate, &key, &err) != 0 ||
        tls_set_certificate(p->tls, buf_view(&certificate), buf_view(&key), &err) != 0) {
        LOG_ERROR("server", "the serving certificate was not renewed", LOG_ERR(&err));
    }
    timer_start(p->loops[0], timer, 30LL * 86400 * NS_PER_S, on_renew);
}

/* ---- connections ---- */

static void on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    (void)listener;
    server_serve_connection(((struct server_process *)ctx)->server, stream);
}

static const struct listener_ops accept_ops = {.on_accept = on_accept};

/* Every I/O loop polls every socket: the kernel hands a connection to whoever is awake. */
static void listen_all(struct server_process *p)
{
    for (size_t i = 0; i < p->loop_count; i++) {
        for (uint32_t k = 0; k < API_FDS_MAX; k++) {
            int fd = handoff_get_fd(&p->handoff, "api", k);
            if (fd >= 0) {
                p->listeners[p->listener_count++] =
                    listener_new(p->loops[i], dup(fd), p->tls, &accept_ops, p);
            }
        }
    }
}

/* ---- controllers and scheduler ---- */

static struct client *account_client(struct server_process *p, struct loop *loop, const char *name)
{
    struct identity *identity = identity_new_account(STR("kube-system"), str_of(name), STR(""));
    struct client *client = server_client_new(p->server, loop, identity, name);
    identity_unref(identity);
    return client;
}

static struct client *client_for(void *ctx, const char *controller)
{
    struct core *core = ctx;
    return account_client(core->process, core->loop, controller);
}

static struct client *user_client(struct server_process *p, struct loop *loop, const char *user,
                                  const char *name)
{
    struct identity *identity = identity_new(str_of(user), STR(""), NULL, 0);
    struct client *client = server_client_new(p->server, loop, identity, name);
    identity_unref(identity);
    return client;
}

static void controllers_start_task(struct task *task)
{
    struct core *core = container_of(task, struct core, start);
    struct server_process *p = core->process;
    if (FAILPOINT_ERRNO("role.controllers") != 0) {
        return; /* only what clients do happens: test/differential */
    }
    core->client =
        user_client(p, core->loop, "system:kube-controller-manager", "kube-controller-manager");
    core->informers = informers_new(core->client);
    struct controllers_options options = {.ca_pem = handoff_get_text(&p->handoff, "ca.crt"),
                                          .ca = p->ca,
                                          .ca_key = p->ca_key,
                                          .token_key = p->token_key,
                                          .node_grace_ns = 50 * NS_PER_S,
                                          .node_period_ns = 5 * NS_PER_S,
                                          .terminated_pod_limit = 500,
                                          .client_for = client_for,
                                          .client_ctx = core,
                                          .registry = cache_registry(p->cache)};
    core->running = controllers_start(core->loop, core->informers, &options);
}

static void controllers_stop_task(struct task *task)
{
    struct core *core = container_of(task, struct core, stop);
    if (core->running != NULL) {
        controllers_stop(core->running);
        informers_free(core->informers);
        core->client->ops->free(core->client);
    }
    loop_stop(core->loop);
}

static void scheduler_start_task(struct task *task)
{
    struct core *core = container_of(task, struct core, start);
    if (FAILPOINT_ERRNO("role.scheduler") != 0) {
        return;
    }
    core->client =
        user_client(core->process, core->loop, "system:kube-scheduler", "kube-scheduler");
    core->informers = informers_new(core->client);
    core->running = scheduler_start(core->loop, core->informers, "default-scheduler");
}

static void scheduler_stop_task(struct task *task)
{
    struct core *core = container_of(task, struct core, stop);
    if (core->running != NULL) {
        scheduler_stop(core->running);
        informers_free(core->informers);
        core->client->ops->free(core->client);
    }
    loop_stop(core->loop);
}

/* ---- life ---- */

static void *thread_main(void *arg)
{
    loop_run(arg);
    return NULL;
}

/* Small stacks: nothing recurses on input, big buffers are on the heap. */
static int thread_start(pthread_t *thread, struct loop *loop, const char *name, struct err *err)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 512 * 1024);
    int rc = pthread_create(thread, &attr, thread_main, loop);
    pthread_attr_destroy(&attr);
    if (rc != 0) {
        return err_os(err, rc, "starting thread %s", name);
    }
    pthread_setname_np(*thread, name);
    return 0;
}

static void on_ready(void *ctx, const struct err *err)
{
    struct server_process *p = ctx;
    if (err->code != 0) {
        fprintf(stderr, "cox: the cluster cannot serve: %s\n", err->message);
        _exit(EXIT_FATAL);
    }
    LOG_INFO("server", "ready", LOG_I("revision", cache_revision(p->cache)));
    loop_post(p->controllers.loop, &p->controllers.start);
    loop_post(p->scheduler.loop, &p->scheduler.start);
}

static void on_drained(struct timer *timer)
{
    struct server_process *p = container_of(timer, struct server_process, drained);
    loop_stop(p->loops[0]);
}

static void on_signal(void *ctx, int signal)
{
    struct server_process *p = ctx;
    if (signal == SIGUSR1) {
        struct buf text BUF_CLEANUP = BUF_INIT;
        server_describe(p->server, &text);
        signals_print(&text);
    } else if ((signal == SIGTERM || signal == SIGINT) && !p->stopping) {
        p->stopping = true;
        server_drain(p->server);
        loop_post(p->controllers.loop, &p->controllers.stop);
        loop_post(p->scheduler.loop, &p->scheduler.stop);
        timer_start(p->loops[0], &p->drained, 300 * NS_PER_MS, on_drained);
    }
}

static int open_server(struct server_process *p, struct err *err)
{
    const struct options *o = &p->handoff.options;
    char bridge[16] = "";
    supervisor_first_address(str_of(o->pod_cidr), bridge);
    struct server_options options = {
        .loops = p->loops,
        .loop_count = p->loop_count,
        .cache = p->cache,
        .sequencer = p->sequencer,
        .token_keys = &p->token_key,
        .token_key_count = 1,
        .cluster_domain = str_of(o->cluster_domain),
        .service_cidr = str_of(o->service_cidr),
        .advertise_address = o->node_ip[0] != '\0' ? str_of(o->node_ip) : str_of(bridge),
        .advertise_port = (uint16_t)o->api_port,
        .ca_pem = handoff_get_text(&p->handoff, "ca.crt"),
        .authentication_config = handoff_get_text(&p->handoff, "authentication-config"),
        .bootstrap_tokens = o->bootstrap_tokens,
        .enable_admission = str_of(o->enable_admission),
        .disable_admission = str_of(o->disable_admission),
        .admission_config = handoff_get_text(&p->handoff, "admission-config"),
        .hardened = o->hardened,
    };
    int rc = server_new(&options, &p->server, err);
    if (rc == 0) {
        char *folder MEM_CLEANUP = mem_printf("%s/server", o->data_dir);
        why_serve(p->server, p->scheduler.loop, &p->scheduler.running);
        backup_serve(p->server, p->sequencer, p->cache, folder, seal_id(p->seal));
        p->join = join_serve(p->server, p->cache, p->ca, p->ca_key, o);
    }
    return rc;
}

static int open_all(struct server_process *p, struct err *err)
{
    const struct options *o = &p->handoff.options;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    p->loop_count = o->io_threads > 0 ? (size_t)o->io_threads : (size_t)(cores < 1 ? 1 : cores);
    p->loop_count = p->loop_count > LOOPS_MAX ? LOOPS_MAX : p->loop_count;
    for (size_t i = 0; i < p->loop_count; i++) {
        p->loops[i] = loop_new();
    }
    p->controllers = (struct core){.process = p,
                                   .loop = loop_new(),
                                   .start.run = controllers_start_task,
                                   .stop.run = controllers_stop_task};
    p->scheduler = (struct core){.process = p,
                                 .loop = loop_new(),
                                 .start.run = scheduler_start_task,
                                 .stop.run = scheduler_stop_task};
    int rc = open_store(p, err);
    rc = rc != 0 ? rc : open_tls(p, err);
    rc = rc != 0 ? rc : open_server(p, err);
    if (rc != 0) {
        return rc;
    }
    p->signals = signals_watch(p->loops[0], on_signal, p);
    listen_all(p);
    rc = thread_start(&p->store_thread, p->store_loop, "store", err);
    rc = rc != 0 ? rc
                 : thread_start(&p->controllers.thread, p->controllers.loop, "controllers", err);
    rc = rc != 0 ? rc : thread_start(&p->scheduler.thread, p->scheduler.loop, "scheduler", err);
    for (size_t i = 1; i < p->loop_count && rc == 0; i++) {
        rc = thread_start(&p->threads[i], p->loops[i], "io", err);
    }
    return rc;
}

static void join_all(struct server_process *p)
{
    pthread_join(p->controllers.thread, NULL);
    pthread_join(p->scheduler.thread, NULL);
    for (size_t i = 1; i < p->loop_count; i++) {
        loop_stop(p->loops[i]);
        pthread_join(p->threads[i], NULL);
    }
    loop_stop(p->store_loop);
    pthread_join(p->store_thread, NULL);
    p->store->ops->close(p->store); /* a clean end: the log is folded into the database */
}

int server_process_main(int argc, char **argv)
{
    static struct server_process
        process; /* lives as long as the process: threads hold its address */
    struct server_process *p = &process;
    struct err err = ERR_INIT;
    signals_block("cox-server");
    if (handoff_read(&p->handoff, &err) != 0) {
        fprintf(stderr, "cox: %s\n", err.message);
        return EXIT_FATAL;
    }
    log_set_json(strcmp(p->handoff.options.log_format, "json") == 0);
    log_set_levels(str_of(p->handoff.options.log_level));
    signals_arm_failpoints();
    if (open_all(p, &err) != 0) {
        fprintf(stderr, "cox: %s\n", err.message);
        return EXIT_FATAL;
    }
    timer_start(p->loops[0], &p->renew, 30LL * 86400 * NS_PER_S, on_renew);
    server_start(p->server, on_ready, p);
    trim_later(p->loops[0], &p->trim, 5 * NS_PER_S);
    loop_run(p->loops[0]);
    join_all(p);
    return 0;
}

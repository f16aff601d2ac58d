/* pods.c: who has which namespace and address; the warm pool.
 *
 * Invariants: a pod's namespace is mounted at state_dir/UID@ADDRESS exactly as long as the pod is
 * attached, and that name is the only record (read back by pods_new); an address is free again only
 * when its link is gone; at most one refill job and one removal job run at a time. What is pooled
 * has no mount and dies with the process. attach() is a mount and, with host ports, a small file.
 */
#include "network/pods.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "io/file.h"
#include "network/namespace.h"
#include "network/pod_link.h"

enum { HOST_PORTS_MAX = 32, REFILL_MAX = 16 };
#define REFILL_DELAY_NS (100 * NS_PER_MS)

struct pod {
    uint32_t address;
    struct host_port ports[HOST_PORTS_MAX];
    size_t port_count;
};

struct refill { /* what the job may touch */
    struct job job;
    struct pods *pods;
    struct pods_options options;
    struct netlink netlink;
    uint32_t addresses[REFILL_MAX];
    struct pod_link links[REFILL_MAX];
    bool made[REFILL_MAX];
    size_t count;
    struct err err;
};

struct removal {
    struct job job;
    struct pods *pods;
    struct netlink netlink;
    struct {
        VEC_OF(uint32_t);
    } addresses;
};

struct pods {
    struct pods_options options;
    struct pods_ops ops;
    char *state_dir;
    struct netlink netlink;
    struct address_pool addresses;
    struct map by_uid; /* struct pod */
    struct {
        VEC_OF(struct pod_link);
    } pool;
    struct {
        VEC_OF(uint32_t);
    } leaving; /* links to delete */
    bool refilling, removing, closing;
    int64_t back_off_ns;
    struct timer retry;
};

static char *pod_path(const struct pods *pods, struct str uid, uint32_t address)
{
    char text[ADDRESS_TEXT_SIZE];
    address_format(address, text);
    return mem_printf("%s/%.*s@%s", pods->state_dir, STR_ARG(uid), text);
}

static char *ports_path(const struct pods *pods, struct str uid)
{
    return mem_printf("%s/%.*s.ports", pods->state_dir, STR_ARG(uid));
}

static void free_when_idle(struct pods *pods)
{
    if (!pods->closing || pods->refilling || pods->removing) {
        return;
    }
    VEC_EACH (link, &pods->pool) {
        close(link->netns_fd);
    }
    MAP_EACH (entry, &pods->by_uid) {
        free(entry->value);
    }
    map_done(&pods->by_uid);
    vec_done(&pods->pool);
    vec_done(&pods->leaving);
    netlink_close(&pods->netlink);
    address_pool_done(&pods->addresses);
    free(pods->state_dir);
    free(pods);
}

/* ---- the pool ---- */

static void refill_work(struct job *job)
{
    struct refill *refill = container_of(job, struct refill, job);
    int rc = netlink_open(&refill->netlink, refill->options.netns_fd, NETLINK_ROUTE, &refill->err);
    for (size_t i = 0; i < refill->count && rc == 0; i++) {
        rc = pod_link_new(&refill->netlink, &refill->options, refill->addresses[i],
                          &refill->links[i], &refill->err);
        refill->made[i] = rc == 0;
        if (rc == ERR_EXISTS) { /* an old link not yet gone: another address will do */
            refill->err = (struct err)ERR_INIT;
            rc = 0;
        }
    }
    netlink_close(&refill->netlink);
}

static void refill_start(struct pods *pods);

static void retry_fire(struct timer *timer)
{
    refill_start(container_of(timer, struct pods, retry));
}

static void refill_done(struct job *job)
{
    struct refill *refill = container_of(job, struct refill, job);
    struct pods *pods = refill->pods;
    size_t made = 0;
    for (size_t i = 0; i < refill->count; i++) {
        if (refill->made[i]) {
            *vec_push(&pods->pool) = refill->links[i];
            made++;
        } else {
            address_pool_free(&pods->addresses, refill->addresses[i]);
        }
    }
    pods->refilling = false;
    pods->back_off_ns = made == refill->count ? 0 : pods->back_off_ns * 2 + 50 * NS_PER_MS;
    if (made == 0 && refill->err.code != 0) {
        LOG_WARN("network", "cannot make pod namespaces", LOG_ERR(&refill->err));
    }
    free(refill);
    if (pods->closing) {
        free_when_idle(pods);
    } else if (pods->back_off_ns == 0) {
        refill_start(pods);
    } else {
        int64_t most = 5 * NS_PER_S;
        pods->back_off_ns = pods->back_off_ns > most ? most : pods->back_off_ns;
        timer_start(pods->options.loop, &pods->retry, pods->back_off_ns, retry_fire);
    }
}

static void refill_start(struct pods *pods)
{
    if (pods->refilling || pods->closing || pods->pool.count >= pods->options.pool) {
        return;
    }
    struct refill *refill = mem_new(struct refill);
    size_t wanted = pods->options.pool - pods->pool.count;
    wanted = wanted > REFILL_MAX ? REFILL_MAX : wanted;
    while (refill->count < wanted &&
           address_pool_take(&pods->addresses, &refill->addresses[refill->count])) {
        refill->count++;
    }
    if (refill->count == 0) {
        free(refill);
        return; /* the range is used up; a detach starts it again */
    }
    refill->pods = pods;
    refill->options = pods->options;
    refill->job.work = refill_work;
    refill->job.done = refill_done;
    pods->refilling = true;
    loop_work(pods->options.loop, &refill->job);
}

static int take_link(struct pods *pods, struct pod_link *ret_link, struct err *err)
{
    if (pods->pool.count > 0) {
        *ret_link = pods->pool.items[0];
        memmove(pods->pool.items, pods->pool.items + 1,
                --pods->pool.count * sizeof pods->pool.items[0]);
        return 0;
    }
    for (int tries = 0; tries < 8; tries++) {
        uint32_t address;
        if (!address_pool_take(&pods->addresses, &address)) {
            return err_set(err, ERR_UNAVAILABLE, "the node's pod range has no free address");
        }
        int rc = pod_link_new(&pods->netlink, &pods->options, address, ret_link, err);
        if (rc == 0) {
            return 0;
        }
        address_pool_free(&pods->addresses, address);
        if (rc != ERR_EXISTS) {
            return rc;
        }
    }
    return err_set(err, ERR_UNAVAILABLE, "links of old pods are still there");
}

/* ---- removal of links, off the loop: it waits for the kernel's grace periods ---- */

static void removal_work(struct job *job)
{
    struct removal *removal = container_of(job, struct removal, job);
    VEC_EACH (address, &removal->addresses) {
        char name[POD_LINK_NAME_SIZE];
        pod_link_name(*address, name);
        if (removal->netlink.socket != NULL) {
            link_delete(&removal->netlink, name, NULL); /* often gone with its namespace */
        }
    }
}

static void removal_start(struct pods *pods);

static void removal_done(struct job *job)
{
    struct removal *removal = container_of(job, struct removal, job);
    struct pods *pods = removal->pods;
    VEC_EACH (address, &removal->addresses) {
        address_pool_free(&pods->addresses, *address);
    }
    vec_done(&removal->addresses);
    netlink_close(&removal->netlink);
    free(removal);
    pods->removing = false;
    if (pods->closing) {
        free_when_idle(pods);
        return;
    }
    removal_start(pods);
    refill_start(pods);
}

static void removal_start(struct pods *pods)
{
    if (pods->removing || pods->closing || pods->leaving.count == 0) {
        return;
    }
    struct removal *removal = mem_new(struct removal);
    struct err err = ERR_INIT;
    if (netlink_open(&removal->netlink, pods->options.netns_fd, NETLINK_ROUTE, &err) != 0) {
        LOG_WARN("network", "cannot delete pod links now", LOG_ERR(&err));
    }
    VEC_EACH (address, &pods->leaving) {
        *vec_push(&removal->addresses) = *address;
    }
    vec_clear(&pods->leaving);
    removal->pods = pods;
    removal->job.work = removal_work;
    removal->job.done = removal_done;
    pods->removing = true;
    loop_work(pods->options.loop, &removal->job);
}

/* ---- host ports ---- */

static int parse_protocol(struct str text, uint8_t *ret_protocol)
{
    static const struct {
        const char *name;
        uint8_t number;
    } protocols[] = {{"TCP", IPPROTO_TCP}, {"UDP", IPPROTO_UDP}, {"SCTP", IPPROTO_SCTP}};
    for (size_t i = 0; i < 3; i++) {
        if (str_is(text, protocols[i].name)) {
            *ret_protocol = protocols[i].number;
            return 0;
        }
    }
    return text.n == 0 ? (*ret_protocol = IPPROTO_TCP, 0) : ERR_INVALID;
}

static int read_request_ports(const struct pod_network_request *request, struct pod *pod,
                              struct err *err)
{
    for (size_t i = 0; i < request->host_port_count && i < HOST_PORTS_MAX; i++) {
        struct host_port *port = &pod->ports[pod->port_count];
        struct str host = str_of(request->host_ports[i].host_ip);
        *port = (struct host_port){.host_port = request->host_ports[i].host_port,
                                   .pod_port = request->host_ports[i].container_port,
                                   .pod_address = pod->address};
        if (parse_protocol(str_of(request->host_ports[i].protocol), &port->protocol) != 0) {
            return err_set(err, ERR_INVALID, "hostPort %u: unknown protocol", port->host_port);
        }
        if (host.n > 0 && !address_parse(host, &port->host_address)) {
            return err_set(err, ERR_UNSUPPORTED, "hostPort %u: hostIP %.*s is no IPv4 address",
                           port->host_port, STR_ARG(host));
        }
        pod->port_count++;
    }
    return 0;
}

static int save_ports(const struct pods *pods, struct str uid, const struct pod *pod,
                      struct err *err)
{
    char *path MEM_CLEANUP = ports_path(pods, uid);
    struct buf text BUF_CLEANUP = BUF_INIT;
    for (size_t i = 0; i < pod->port_count; i++) {
        buf_printf(&text, "%u %u %u %u\n", pod->ports[i].host_address, pod->ports[i].protocol,
                   pod->ports[i].host_port, pod->ports[i].pod_port);
    }
    return file_write_quick(path, buf_view(&text), 0600, err);
}

static void load_ports(const struct pods *pods, struct str uid, struct pod *pod)
{
    char *path MEM_CLEANUP = ports_path(pods, uid);
    struct buf text BUF_CLEANUP = BUF_INIT;
    if (file_read(path, 4096, &text, NULL) != 0) {
        return;
    }
    for (struct str rest = buf_view(&text); rest.n > 0 && pod->port_count < HOST_PORTS_MAX;) {
        struct str line = str_cut(rest, '\n', &rest);
        uint64_t numbers[4];
        bool whole = true;
        for (int i = 0; i < 4; i++) {
            whole = whole && str_u64(str_cut(line, ' ', &line), &numbers[i]);
        }
        if (whole) {
            pod->ports[pod->port_count++] = (struct host_port){.host_address = (uint32_t)numbers[0],
                                                               .protocol = (uint8_t)numbers[1],
                                                               .host_port = (uint16_t)numbers[2],
                                                               .pod_port = (uint16_t)numbers[3],
                                                               .pod_address = pod->address};
        }
    }
}

static int tell_ports(struct pods *pods, bool add, const struct pod *pod, struct err *err)
{
    if (pod->port_count == 0 || pods->ops.host_ports == NULL) {
        return 0;
    }
    return pods->ops.host_ports(pods->ops.ctx, add, pod->ports, pod->port_count, err);
}

/* ---- attach, detach ---- */

static void fill_result(const struct pods *pods, struct str uid, uint32_t address,
                        struct pod_network *ret_network)
{
    char *path MEM_CLEANUP = pod_path(pods, uid, address);
    *ret_network = (struct pod_network){0};
    snprintf(ret_network->netns_path, sizeof ret_network->netns_path, "%s", path);
    address_format(address, ret_network->ip);
    address_format(pods->options.gateway, ret_network->gateway);
}

static bool uid_is_sane(struct str uid)
{
    for (size_t i = 0; i < uid.n; i++) {
        char c = uid.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-') {
            return false; /* it becomes a file name */
        }
    }
    return uid.n > 0 && uid.n <= 64;
}

int pods_attach(struct pods *pods, const struct pod_network_request *request,
                struct pod_network *ret_network, struct err *err)
{
    struct str uid = request->pod_uid;
    struct pod *known = map_get(&pods->by_uid, uid);
    if (known != NULL) {
        fill_result(pods, uid, known->address, ret_network);
        return 0;
    }
    struct pod_link link = {.netns_fd = -1};
    if (!uid_is_sane(uid)) {
        return err_set(err, ERR_INVALID, "pod uid \"%.*s\" is no uid", STR_ARG(uid));
    }
    int rc = take_link(pods, &link, err);
    if (rc != 0) {
        return rc;
    }
    char *path MEM_CLEANUP = pod_path(pods, uid, link.address);
    struct pod *pod = mem_new(struct pod);
    pod->address = link.address;
    rc = strlen(path) < sizeof ret_network->netns_path
             ? read_request_ports(request, pod, err)
             : err_set(err, ERR_INVALID, "path of a pod's namespace is too long: %s", path);
    rc = rc != 0 || pod->port_count == 0 ? rc : save_ports(pods, uid, pod, err);
    rc = rc != 0 ? rc : namespace_bind(link.netns_fd, path, err);
    FAILPOINT("network.attach-mounted");
    rc = rc != 0 ? rc : tell_ports(pods, true, pod, err);
    close(link.netns_fd);
    if (rc != 0) {
        char *ports MEM_CLEANUP = ports_path(pods, uid);
        namespace_unbind(path, NULL);
        unlink(ports);
        *vec_push(&pods->leaving) = link.address;
        removal_start(pods);
        free(pod);
        return rc;
    }
    map_set(&pods->by_uid, uid, pod);
    fill_result(pods, uid, pod->address, ret_network);
    if (pods->pool.count * 2 < pods->options.pool) {
        refill_start(pods);
    } else if (!timer_armed(&pods->retry)) { /* not while this pod is being started */
        timer_start(pods->options.loop, &pods->retry, REFILL_DELAY_NS, retry_fire);
    }
    return 0;
}

int pods_detach(struct pods *pods, struct str uid, struct err *err)
{
    struct pod *pod = map_get(&pods->by_uid, uid);
    if (pod == NULL) {
        return 0;
    }
    char *path MEM_CLEANUP = pod_path(pods, uid, pod->address);
    char *ports MEM_CLEANUP = ports_path(pods, uid);
    int rc = tell_ports(pods, false, pod, err);
    rc = rc != 0 ? rc : namespace_unbind(path, err);
    if (rc != 0) {
        return rc; /* asked again later */
    }
    unlink(ports);
    map_remove(&pods->by_uid, uid);
    *vec_push(&pods->leaving) = pod->address;
    free(pod);
    removal_start(pods);
    return 0;
}

void pods_retain(struct pods *pods, const struct str *uids, size_t count)
{
    struct map wanted = MAP_INIT;
    struct {
        VEC_OF(char *);
    } unwanted = {0};
    for (size_t i = 0; i < count; i++) {
        map_set(&wanted, uids[i], pods);
    }
    MAP_EACH (entry, &pods->by_uid) {
        if (map_get(&wanted, entry->key) == NULL) {
            *vec_push(&unwanted) = str_dup(entry->key);
        }
    }
    VEC_EACH (uid, &unwanted) {
        struct err err = ERR_INIT;
        if (pods_detach(pods, str_of(*uid), &err) != 0) {
            LOG_WARN("network", "cannot detach", LOG_Z("uid", *uid), LOG_ERR(&err));
        }
        free(*uid);
    }
    vec_done(&unwanted);
    map_done(&wanted);
}

/* ---- start and end ---- */

/* One entry of state_dir: a pod found again, or what is left of one that died with the machine. */
static void find_entry(struct pods *pods, const char *name)
{
    struct str address_text;
    struct str uid = str_cut(str_of(name), '@', &address_text);
    uint32_t address;
    if (address_text.p == NULL) {
        return; /* ports file: read with its pod */
    }
    char *path MEM_CLEANUP = mem_printf("%s/%s", pods->state_dir, name);
    if (!address_parse(address_text, &address) || !namespace_is_bound(path)) {
        char *ports MEM_CLEANUP = ports_path(pods, uid);
        namespace_unbind(path, NULL);
        unlink(ports);
        return;
    }
    address_pool_mark(&pods->addresses, address); /* false: from before the range was changed */
    struct pod *pod = mem_new(struct pod);
    pod->address = address;
    load_ports(pods, uid, pod);
    free(map_set(&pods->by_uid, uid, pod));
}

static void find_pods(struct pods *pods)
{
    DIR *folder = opendir(pods->state_dir);
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.') {
            find_entry(pods, entry->d_name);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    MAP_EACH (pod, &pods->by_uid) {
        struct err err = ERR_INIT;
        if (tell_ports(pods, true, pod->value, &err) != 0) {
            LOG_WARN("network", "host ports", LOG_S("uid", pod->key), LOG_ERR(&err));
        }
    }
}

/* Links of ours whose address nobody has: a pool or a removal cut short. */
static void find_orphan(void *ctx, const char *name)
{
    struct pods *pods = ctx;
    uint32_t address;
    if (!pod_link_parse(name, &address)) {
        return;
    }
    MAP_EACH (entry, &pods->by_uid) {
        if (((struct pod *)entry->value)->address == address) {
            return;
        }
    }
    address_pool_mark(&pods->addresses, address); /* until the link is gone */
    *vec_push(&pods->leaving) = address;
}

int pods_new(const struct pods_options *options, const struct pods_ops *ops, struct pods **ret_pods,
             struct err *err)
{
    struct pods *pods = mem_new(struct pods);
    pods->options = *options;
    pods->ops = *ops;
    pods->state_dir = mem_dupz(options->state_dir);
    pods->options.state_dir = pods->state_dir;
    int rc = address_pool_init(&pods->addresses, options->range, err);
    rc = rc != 0 ? rc : file_make_dirs(options->state_dir, 0755, err);
    rc = rc != 0 ? rc : netlink_open(&pods->netlink, options->netns_fd, NETLINK_ROUTE, err);
    if (rc == 0) {
        find_pods(pods);
        rc = link_each(&pods->netlink, options->bridge, find_orphan, pods, err);
    }
    if (rc != 0) {
        pods->closing = true;
        free_when_idle(pods);
        return rc;
    }
    removal_start(pods);
    refill_start(pods);
    *ret_pods = pods;
    return 0;
}

void pods_free(struct pods *pods)
{
    if (pods != NULL) {
        timer_stop(&pods->retry);
        pods->closing = true;
        free_when_idle(pods);
    }
}

size_t pods_count(const struct pods *pods)
{
    return pods->by_uid.count;
}

size_t pods_pooled(const struct pods *pods)
{
    return pods->pool.count;
}

int pods_remove_all(const char *state_dir, struct err *err)
{
    DIR *folder = opendir(state_dir);
    struct dirent *entry;
    int rc = 0;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char *path MEM_CLEANUP = mem_printf("%s/%s", state_dir, entry->d_name);
        if (entry->d_name[0] != '.') {
            int one = namespace_unbind(path, rc == 0 ? err : NULL);
            rc = rc != 0 ? rc : one;
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    if (rc == 0 && rmdir(state_dir) != 0 && errno != ENOENT) {
        rc = err_os(err, errno, "remove %s", state_dir);
    }
    return rc;
}

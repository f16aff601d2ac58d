/* node.c: the Node object of this machine: registration, status (capacity, conditions, images,
 * addresses), and the lease that says we live.
 *
 * Status goes out when something of it changed, and each 5 minutes; the lease each 10 s (duration
 * 40 s). A Node that is gone is made again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "api/volume_binding.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "node/agent_int.h"
#include "node/eviction.h"

static const int64_t LEASE_PERIOD = 10 * NS_PER_S, STATUS_PERIOD = 10 * NS_PER_S,
                     REPORT_PERIOD = 300 * NS_PER_S;
enum { LEASE_SECONDS = 40, IMAGES_MAX = 50 };

struct node_reporter {
    struct agent *agent;
    struct timer lease_timer, status_timer;
    bool registered, ready, status_busy, lease_busy, dirty;
    struct buf sent; /* status without heartbeat times */
    int64_t sent_ns; /* mono */
    int64_t ready_since_ns;
    struct {
        bool on;
        int64_t since_ns; /* wall; 0: always */
    } pressure[PRESSURES];
    int holds;
    bool dead;
};

static void send_status(struct node_reporter *r);
static void register_node(struct node_reporter *r);
static void send_lease(struct node_reporter *r, bool create);

static void release(struct node_reporter *r)
{
    if (--r->holds == 0 && r->dead) {
        buf_done(&r->sent);
        free(r);
    }
}

static const struct api_resource *nodes(void)
{
    return schema_resource(STR_NONE, STR("v1"), STR("nodes"));
}

/* ---- what the machine is ---- */

static void set_number(struct arena *a, struct val *object, const char *key, int64_t value,
                       const char *unit)
{
    val_set_text(a, object, str_of(key), str_of(arena_printf(a, "%lld%s", (long long)value, unit)));
}

static void set_capacity(struct node_reporter *r, struct arena *a, struct val *status)
{
    struct agent *agent = r->agent;
    static const char *const members[] = {"capacity", "allocatable"};
    struct val *lists[2];
    for (size_t i = 0; i < 2; i++) {
        struct val *list = lists[i] = val_make_object(a, status, str_of(members[i]));
        set_number(a, list, "cpu", agent->cpu_milli / 1000, "");
        set_number(a, list, "memory", agent->memory_bytes / 1024, "Ki");
        if (i == 0) {
            set_number(a, list, "ephemeral-storage", agent->storage_bytes / 1024, "Ki");
        } else {
            set_number(a, list, "ephemeral-storage", agent->storage_bytes / 10 * 9, "");
        }
        set_number(a, list, "hugepages-1Gi", 0, "");
        set_number(a, list, "hugepages-2Mi", 0, "");
        set_number(a, list, "pods", agent->max_pods, "");
    }
    if (agent->has_devices) {
        agent->devices.capacity(agent->devices.ctx, a, lists[0], lists[1]);
    }
}

static void set_addresses(struct node_reporter *r, struct arena *a, struct val *status)
{
    struct val *list = val_make_array(a, status, STR("addresses"));
    if (r->agent->node_ip[0] != '\0') {
        struct val *ip = val_append(list, val_new(a, VAL_OBJECT));
        val_set_text(a, ip, STR("type"), STR("InternalIP"));
        val_set_text(a, ip, STR("address"), str_of(r->agent->node_ip));
    }
    struct val *name = val_append(list, val_new(a, VAL_OBJECT));
    val_set_text(a, name, STR("type"), STR("Hostname"));
    val_set_text(a, name, STR("address"), str_of(r->agent->node_name));
}

static struct str read_line(struct arena *a, const char *path)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    file_read(path, 4096, &text, NULL);
    return str_copy_in(a, str_trim(buf_view(&text)));
}

static struct str os_image(struct arena *a)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    file_read("/etc/os-release", 16384, &text, NULL);
    struct str rest = buf_view(&text);
    while (rest.p != NULL) {
        struct str line = str_cut(rest, '\n', &rest);
        if (str_starts(line, STR("PRETTY_NAME=\""))) {
            struct str name = str_from(line, 13);
            return str_copy_in(a, str_at(name.p, name.n > 0 ? name.n - 1 : 0));
        }
    }
    return STR("Linux");
}

static const char *architecture(void)
{
#if defined(__aarch64__)
    return "arm64";
#else
    return "amd64";
#endif
}

static void set_node_info(struct node_reporter *r, struct arena *a, struct val *status)
{
    struct val *info = val_make_object(a, status, STR("nodeInfo"));
    struct utsname name;
    uname(&name);
    val_set_text(a, info, STR("machineID"), read_line(a, "/etc/machine-id"));
    struct str uuid = read_line(a, "/sys/class/dmi/id/product_uuid");
    val_set_text(a, info, STR("systemUUID"), uuid.n > 0 ? uuid : read_line(a, "/etc/machine-id"));
    val_set_text(a, info, STR("bootID"), read_line(a, "/proc/sys/kernel/random/boot_id"));
    val_set_text(a, info, STR("kernelVersion"), str_copy_in(a, str_of(name.release)));
    val_set_text(a, info, STR("osImage"), os_image(a));
    val_set_text(a, info, STR("containerRuntimeVersion"), STR("cox://" COX_VERSION));
    val_set_text(a, info, STR("kubeletVersion"), str_of(r->agent->kubelet_version));
    val_set_text(a, info, STR("kubeProxyVersion"), STR(""));
    val_set_text(a, info, STR("operatingSystem"), STR("linux"));
    val_set_text(a, info, STR("architecture"), str_of(architecture()));
    struct val *endpoint = val_make_object(a, val_make_object(a, status, STR("daemonEndpoints")),
                                           STR("kubeletEndpoint"));
    val_set_int(a, endpoint, STR("Port"), r->agent->kubelet_port);
}

static void set_images(struct node_reporter *r, struct arena *a, struct val *status)
{
    const struct image_list *images = image_list(r->agent->images);
    struct val *list = val_make_array(a, status, STR("images"));
    for (size_t i = 0; i < images->count && i < IMAGES_MAX; i++) {
        const struct image *image = images->items[i];
        struct val *out = val_append(list, val_new(a, VAL_OBJECT));
        struct val *names = val_make_array(a, out, STR("names"));
        for (size_t n = 0; n < image->name_count; n++) {
            val_append(names, val_new_text(a, str_copy_in(a, str_of(image->names[n]))));
        }
        if (image->name_count == 0) {
            val_append(names, val_new_text(a, str_copy_in(a, str_of(image->id))));
        }
        val_set_int(a, out, STR("sizeBytes"), (int64_t)image->size);
    }
}

/* ---- conditions ---- */

static void add_condition(struct node_reporter *r, struct arena *a, struct val *list,
                          const char *type, bool yes, const char *reason, const char *message,
                          struct str heartbeat, int64_t since_ns)
{
    struct val *out = val_append(list, val_new(a, VAL_OBJECT));
    char since[TIME_TEXT_SIZE];
    size_t n = time_format(since_ns, since);
    val_set_text(a, out, STR("type"), str_of(type));
    val_set_text(a, out, STR("status"), yes ? STR("True") : STR("False"));
    if (heartbeat.n > 0) {
        val_set_text(a, out, STR("lastHeartbeatTime"), heartbeat);
    }
    val_set_text(a, out, STR("lastTransitionTime"), str_copy_in(a, str_at(since, n)));
    val_set_text(a, out, STR("reason"), str_of(reason));
    val_set_text(a, out, STR("message"), str_of(message));
}

static void set_conditions(struct node_reporter *r, struct arena *a, struct val *status,
                           struct str heartbeat)
{
    struct val *list = val_make_array(a, status, STR("conditions"));
    static const struct {
        const char *type, *bad_reason, *bad, *good_reason, *good;
    } pressures[PRESSURES] = {
        [MEMORY_PRESSURE] = {"MemoryPressure", "KubeletHasInsufficientMemory",
                             "kubelet has insufficient memory available",
                             "KubeletHasSufficientMemory",
                             "kubelet has sufficient memory available"},
        [DISK_PRESSURE] = {"DiskPressure", "KubeletHasDiskPressure", "kubelet has disk pressure",
                           "KubeletHasNoDiskPressure", "kubelet has no disk pressure"},
        [PID_PRESSURE] = {"PIDPressure", "KubeletHasInsufficientPID",
                          "kubelet has insufficient PID available", "KubeletHasSufficientPID",
                          "kubelet has sufficient PID available"}};
    for (int i = 0; i < PRESSURES; i++) {
        bool yes = eviction_pressure(r->agent->eviction, (enum eviction_condition)i);
        if (yes != r->pressure[i].on) {
            r->pressure[i].on = yes;
            r->pressure[i].since_ns = clock_wall(loop_clock(r->agent->loop));
        }
        int64_t since = r->pressure[i].since_ns;
        add_condition(r, a, list, pressures[i].type, yes,
                      yes ? pressures[i].bad_reason : pressures[i].good_reason,
                      yes ? pressures[i].bad : pressures[i].good, heartbeat,
                      since > 0 ? since : r->ready_since_ns);
    }
    add_condition(r, a, list, "Ready", true, "KubeletReady", "kubelet is posting ready status",
                  heartbeat, r->ready_since_ns);
}

static struct val *build_status(struct node_reporter *r, struct arena *a, bool heartbeat)
{
    struct val *status = val_new(a, VAL_OBJECT);
    char now[TIME_TEXT_SIZE];
    size_t n = time_format(clock_wall(loop_clock(r->agent->loop)), now);
    set_capacity(r, a, status);
    set_conditions(r, a, status, heartbeat ? str_copy_in(a, str_at(now, n)) : STR_NONE);
    set_addresses(r, a, status);
    set_node_info(r, a, status);
    set_images(r, a, status);
    return status;
}

/* ---- talking ---- */

static void on_status_timer(struct timer *timer)
{
    send_status(container_of(timer, struct node_reporter, status_timer));
}

static void next_status(struct node_reporter *r, int64_t delay_ns)
{
    if (!r->dead) {
        timer_start(r->agent->loop, &r->status_timer, delay_ns, on_status_timer);
    }
}

static void on_status(void *ctx, const struct client_result *result)
{
    struct node_reporter *r = ctx;
    r->status_busy = false;
    if (result->code == ERR_NOT_FOUND && !r->dead) {
        buf_clear(&r->sent);
        r->registered = false;
        register_node(r);
    } else if (result->code != 0) {
        LOG_WARN("node", "reporting the node's status failed", LOG_ERR(&result->error));
        buf_clear(&r->sent);
        next_status(r, NS_PER_S);
    } else {
        r->ready = true;
        next_status(r, r->dirty ? 0 : STATUS_PERIOD);
        r->dirty = false;
    }
    release(r);
}

static void send_status(struct node_reporter *r)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf text BUF_CLEANUP = BUF_INIT;
    int64_t now = loop_mono(r->agent->loop);
    if (r->status_busy) {
        r->dirty = true;
        return;
    }
    if (!r->registered) {
        register_node(r);
        return;
    }
    val_write_json(build_status(r, &arena, false), &text);
    if (r->sent.n > 0 && str_eq(buf_view(&text), buf_view(&r->sent)) &&
        now - r->sent_ns < REPORT_PERIOD) {
        next_status(r, STATUS_PERIOD);
        return;
    }
    buf_clear(&r->sent);
    buf_str(&r->sent, buf_view(&text));
    r->sent_ns = now;
    struct val *body = val_new(&arena, VAL_OBJECT);
    val_set(body, STR("status"), build_status(r, &arena, true));
    struct client_request request = {.verb = CLIENT_PATCH,
                                     .resource = nodes(),
                                     .name = str_of(r->agent->node_name),
                                     .subresource = "status",
                                     .body = body,
                                     .patch = CLIENT_PATCH_STRATEGIC};
    r->status_busy = true;
    r->holds++;
    client_send(r->agent->client, &request, on_status, r);
}

static void on_registered(void *ctx, const struct client_result *result)
{
    struct node_reporter *r = ctx;
    r->status_busy = false;
    if (result->code == 0 || result->code == ERR_EXISTS) {
        r->registered = true;
        r->dirty = false;
        if (result->code == 0) {
            r->ready = true;
            next_status(r, 0);
        } else if (!r->dead) {
            send_status(r);
        }
    } else if (!r->dead) {
        LOG_WARN("node", "registering the node failed, again in 1 s", LOG_ERR(&result->error));
        next_status(r, NS_PER_S);
    }
    release(r);
}

static void set_labels(struct node_reporter *r, struct arena *a, struct val *meta)
{
    struct val *labels = val_make_object(a, meta, STR("labels"));
    val_set_text(a, labels, STR("beta.kubernetes.io/arch"), str_of(architecture()));
    val_set_text(a, labels, STR("beta.kubernetes.io/os"), STR("linux"));
    val_set_text(a, labels, STR("kubernetes.io/arch"), str_of(architecture()));
    val_set_text(a, labels, STR("kubernetes.io/hostname"), str_of(r->agent->node_name));
    val_set_text(a, labels, STR("kubernetes.io/os"), STR("linux"));
    struct str rest = str_of(r->agent->labels);
    while (rest.p != NULL) {
        struct str value, item = str_cut(rest, ',', &rest);
        struct str key = str_trim(str_cut(item, '=', &value));
        if (key.n > 0) {
            val_set_text(a, labels, key, str_trim(value));
        }
    }
}

static void set_annotations(struct node_reporter *r, struct arena *a, struct val *meta)
{
    struct val *annotations = val_make_object(a, meta, STR("annotations"));
    val_set_text(a, annotations, STR(ANNOTATION_VOLUME_ROOT), str_of(r->agent->volumes_dir));
}

static void register_node(struct node_reporter *r)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct arena *a = &arena;
    struct val *node = val_new(a, VAL_OBJECT);
    val_set_text(a, node, STR("kind"), STR("Node"));
    val_set_text(a, node, STR("apiVersion"), STR("v1"));
    struct val *meta = val_make_object(a, node, STR("metadata"));
    val_set_text(a, meta, STR("name"), str_of(r->agent->node_name));
    set_labels(r, a, meta);
    set_annotations(r, a, meta);
    struct val *spec = val_make_object(a, node, STR("spec"));
    if (r->agent->pod_cidr[0] != '\0') {
        val_set_text(a, spec, STR("podCIDR"), str_of(r->agent->pod_cidr));
        struct val *list = val_make_array(a, spec, STR("podCIDRs"));
        val_append(list, val_new_text(a, str_of(r->agent->pod_cidr)));
    }
    val_set(node, STR("status"), build_status(r, a, true));
    struct client_request request = {.verb = CLIENT_CREATE,
                                     .resource = nodes(),
                                     .name = str_of(r->agent->node_name),
                                     .subresource = "",
                                     .body = node};
    r->status_busy = true;
    r->holds++;
    client_send(r->agent->client, &request, on_registered, r);
}

/* ---- lease ---- */

static void on_lease_timer(struct timer *timer)
{
    send_lease(container_of(timer, struct node_reporter, lease_timer), false);
}

static void on_lease(void *ctx, const struct client_result *result)
{
    struct node_reporter *r = ctx;
    bool missing = result->code == ERR_NOT_FOUND;
    r->lease_busy = false;
    if (!r->dead) {
        if (missing) {
            send_lease(r, true);
        } else {
            if (result->code != 0) {
                LOG_WARN("node", "renewing the node's lease failed", LOG_ERR(&result->error));
            }
            timer_start(r->agent->loop, &r->lease_timer,
                        result->code == 0 ? LEASE_PERIOD : NS_PER_S, on_lease_timer);
        }
    }
    release(r);
}

static void send_lease(struct node_reporter *r, bool create)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct arena *a = &arena;
    char now[TIME_TEXT_SIZE];
    size_t n = time_format_micro(clock_wall(loop_clock(r->agent->loop)), now);
    if (r->lease_busy) {
        return;
    }
    struct val *lease = val_new(a, VAL_OBJECT);
    struct str name = str_of(r->agent->node_name);
    if (create) {
        val_set_text(a, lease, STR("kind"), STR("Lease"));
        val_set_text(a, lease, STR("apiVersion"), STR("coordination.k8s.io/v1"));
        struct val *meta = val_make_object(a, lease, STR("metadata"));
        val_set_text(a, meta, STR("name"), name);
        val_set_text(a, meta, STR("namespace"), STR("kube-node-lease"));
    }
    struct val *spec = val_make_object(a, lease, STR("spec"));
    val_set_text(a, spec, STR("holderIdentity"), name);
    val_set_int(a, spec, STR("leaseDurationSeconds"), LEASE_SECONDS);
    val_set_text(a, spec, STR("renewTime"), str_at(now, n));
    struct client_request request = {
        .verb = create ? CLIENT_CREATE : CLIENT_PATCH,
        .resource = schema_resource(STR("coordination.k8s.io"), STR("v1"), STR("leases")),
        .ns = STR("kube-node-lease"),
        .name = name,
        .subresource = "",
        .body = lease,
        .patch = CLIENT_PATCH_MERGE};
    r->lease_busy = true;
    r->holds++;
    client_send(r->agent->client, &request, on_lease, r);
}

struct node_reporter *node_reporter_new(struct agent *agent)
{
    struct node_reporter *r = mem_new(struct node_reporter);
    r->agent = agent;
    r->ready_since_ns = clock_wall(loop_clock(agent->loop));
    r->holds = 1;
    register_node(r);
    send_lease(r, false);
    return r;
}

void node_reporter_free(struct node_reporter *r)
{
    if (r != NULL) {
        timer_stop(&r->lease_timer);
        timer_stop(&r->status_timer);
        r->dead = true;
        release(r);
    }
}

bool node_reporter_ready(const struct node_reporter *r)
{
    return r != NULL && r->ready;
}

void node_reporter_changed(struct node_reporter *r)
{
    if (r != NULL && !r->dead) {
        send_status(r);
    }
}

/* sim_plugin.c: see sim_plugin.h.
 *
 * Invariants: everything on the loop; the plug-in knows nothing of who has which card (that is
 * kubelet's); a device file is made again when it is missing or wrong. Every WATCH_NS it looks
 * whether kubelet.sock or its own socket changed, as vendors' plug-ins do by inotify.
 */
#include "gpu/sim_plugin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "gpu/device_plugin.h"
#include "io/file.h"
#include "io/net.h"
#include "wire/grpc.h"
#include "wire/protobuf.h"

enum { MAJOR_FIRST = 240, MAJOR_LAST = 254 };
#define WATCH_NS (500 * NS_PER_MS)

static const char socket_name[] = "cox-sim-gpu.sock";

struct watcher { /* an open ListAndWatch */
    struct list link;
    struct grpc_call *call;
};
struct sim_plugin {
    struct loop *loop;
    char *device_dir, *socket_path, *kubelet_path;
    struct gpu_card cards[GPU_CARDS_MAX];
    bool ill[GPU_CARDS_MAX];
    size_t count;
    struct grpc_server *server;
    struct grpc_client *registrar;
    struct list watchers;
    struct timer timer;
    ino_t own_inode, kubelet_inode; /* as last seen; kubelet's 0: not registered */
};

/* ---- device files ---- */

static char *device_path(const struct sim_plugin *plugin, unsigned index)
{
    return mem_printf("%s/nvidia%u", plugin->device_dir, index);
}

static int make_device(const char *path, dev_t device, struct err *err)
{
    struct stat info;
    if (lstat(path, &info) == 0) {
        if (S_ISCHR(info.st_mode) && info.st_rdev == device) {
            return 0;
        }
        if (unlink(path) != 0) {
            return err_os(err, errno, "replace %s", path);
        }
    }
    if (mknod(path, S_IFCHR | 0666, device) != 0 || chmod(path, 0666) != 0) {
        return err_os(err, errno, "make device file %s", path);
    }
    return 0;
}

static int make_devices(const struct sim_plugin *plugin, unsigned major_number, struct err *err)
{
    int rc = file_make_dirs(plugin->device_dir, 0755, err);
    for (size_t i = 0; i < plugin->count && rc == 0; i++) {
        char *path MEM_CLEANUP = device_path(plugin, plugin->cards[i].index);
        rc = make_device(path, makedev(major_number, plugin->cards[i].index), err);
    }
    return rc;
}

int sim_plugin_remove_devices(const char *device_dir, struct err *err)
{
    for (unsigned i = 0; i < GPU_CARDS_MAX; i++) {
        char *path MEM_CLEANUP = mem_printf("%s/nvidia%u", device_dir, i);
        if (unlink(path) != 0 && errno != ENOENT) {
            return err_os(err, errno, "remove %s", path);
        }
    }
    if (rmdir(device_dir) != 0 && errno != ENOENT) {
        return err_os(err, errno, "remove %s", device_dir);
    }
    return 0;
}

/* ---- v1beta1.DevicePlugin ---- */

static void send_list(struct sim_plugin *plugin, struct grpc_call *call)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    for (size_t i = 0; i < plugin->count; i++) {
        struct plugin_device device = {.id = str_of(plugin->cards[i].uuid),
                                       .health = plugin->ill[i] ? STR("Unhealthy") : STR("Healthy"),
                                       .numa_node = plugin->cards[i].numa_node};
        device_write(&out, &device);
    }
    grpc_send(call, out.p, out.n);
}

static void watcher_gone(void *arg, struct grpc_call *call)
{
    struct watcher *watcher = arg;
    list_remove(&watcher->link);
    free(watcher);
    grpc_finish(call, GRPC_CANCELLED, NULL);
}

static void list_and_watch(void *ctx, struct grpc_call *call, const char *message, size_t size)
{
    struct sim_plugin *plugin = ctx;
    struct watcher *watcher = mem_new(struct watcher);
    watcher->call = call;
    list_append(&plugin->watchers, &watcher->link);
    grpc_call_on_cancel(call, watcher_gone, watcher);
    send_list(plugin, call);
}

static void get_options(void *ctx, struct grpc_call *call, const char *message, size_t size)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    protobuf_bool(&out, 2, true);
    grpc_send(call, out.p, out.n);
    grpc_finish(call, GRPC_OK, NULL);
}

static const struct gpu_card *find_card(const struct sim_plugin *plugin, struct str uuid)
{
    for (size_t i = 0; i < plugin->count; i++) {
        if (str_is(uuid, plugin->cards[i].uuid)) {
            return &plugin->cards[i];
        }
    }
    return NULL;
}

static void put_env(struct buf *out, struct str name, struct str value)
{
    size_t mark = protobuf_begin(out, 1);
    protobuf_bytes(out, 1, name);
    protobuf_bytes(out, 2, value);
    protobuf_end(out, mark);
}

/* One ContainerAllocateResponse: the cards' files and NVIDIA_VISIBLE_DEVICES. */
static bool allocate_container(const struct sim_plugin *plugin, struct str request, struct buf *out)
{
    struct device_strings ids = {0};
    struct buf visible BUF_CLEANUP = BUF_INIT;
    bool known = device_read_strings(request, 1, &ids);
    size_t mark = protobuf_begin(out, 1);
    for (size_t i = 0; i < ids.count && known; i++) {
        const struct gpu_card *card = find_card(plugin, ids.items[i]);
        known = card != NULL;
        if (known) {
            char *host MEM_CLEANUP = device_path(plugin, card->index);
            char *inside MEM_CLEANUP = mem_printf("/dev/nvidia%u", card->index);
            size_t device = protobuf_begin(out, 3);
            protobuf_bytes(out, 1, str_of(inside));
            protobuf_bytes(out, 2, str_of(host));
            protobuf_bytes(out, 3, STR("rw"));
            protobuf_end(out, device);
            buf_printf(&visible, "%s%s", i > 0 ? "," : "", card->uuid);
        }
    }
    put_env(out, STR("NVIDIA_VISIBLE_DEVICES"), buf_view(&visible));
    protobuf_end(out, mark);
    vec_done(&ids);
    return known;
}

static void allocate(void *ctx, struct grpc_call *call, const char *message, size_t size)
{
    struct sim_plugin *plugin = ctx;
    struct device_strings containers = {0};
    struct buf out BUF_CLEANUP = BUF_INIT;
    bool known = device_read_strings(str_at(message, size), 1, &containers);
    for (size_t i = 0; i < containers.count && known; i++) {
        known = allocate_container(plugin, containers.items[i], &out);
    }
    vec_done(&containers);
    if (known) {
        grpc_send(call, out.p, out.n);
    }
    grpc_finish(call, known ? GRPC_OK : GRPC_INVALID_ARGUMENT, known ? NULL : "unknown device");
}

/* The cards that share a NUMA node with those that must be in come first, then any, by index. */
static void prefer_container(const struct sim_plugin *plugin, struct str request, struct buf *out)
{
    struct device_strings available = {0}, must = {0};
    struct protobuf_reader reader;
    struct protobuf_field field;
    size_t wanted = 0, taken = 0;
    device_read_strings(request, 1, &available);
    device_read_strings(request, 2, &must);
    protobuf_reader_init(&reader, request);
    while (protobuf_next(&reader, &field)) {
        wanted = field.number == 3 ? (size_t)field.value : wanted;
    }
    size_t mark = protobuf_begin(out, 1);
    for (; taken < must.count && taken < wanted; taken++) {
        protobuf_bytes(out, 1, must.items[taken]);
    }
    const struct gpu_card *first = must.count > 0 ? find_card(plugin, must.items[0]) : NULL;
    bool used[GPU_CARDS_MAX] = {false};
    for (size_t i = 0; i < must.count; i++) {
        const struct gpu_card *card = find_card(plugin, must.items[i]);
        used[card != NULL ? card->index : 0] |= card != NULL;
    }
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < plugin->count && taken < wanted; i++) {
            const struct gpu_card *card = &plugin->cards[i];
            bool near = first == NULL || card->numa_node == first->numa_node;
            bool there = false;
            for (size_t j = 0; j < available.count && !there; j++) {
                there = str_is(available.items[j], card->uuid);
            }
            if (there && !used[i] && (near || pass == 1)) {
                protobuf_bytes(out, 1, str_of(card->uuid));
                used[i] = true;
                first = first == NULL ? card : first;
                taken++;
            }
        }
    }
    protobuf_end(out, mark);
    vec_done(&available);
    vec_done(&must);
}

static void prefer(void *ctx, struct grpc_call *call, const char *message, size_t size)
{
    struct device_strings containers = {0};
    struct buf out BUF_CLEANUP = BUF_INIT;
    device_read_strings(str_at(message, size), 1, &containers);
    for (size_t i = 0; i < containers.count; i++) {
        prefer_container(ctx, containers.items[i], &out);
    }
    vec_done(&containers);
    grpc_send(call, out.p, out.n);
    grpc_finish(call, GRPC_OK, NULL);
}

static void pre_start(void *ctx, struct grpc_call *call, const char *message, size_t size)
{
    grpc_send(call, "", 0);
    grpc_finish(call, GRPC_OK, NULL);
}

static const struct grpc_method methods[] = {
    {"/v1beta1.DevicePlugin/GetDevicePluginOptions", get_options},
    {"/v1beta1.DevicePlugin/ListAndWatch", list_and_watch},
    {"/v1beta1.DevicePlugin/GetPreferredAllocation", prefer},
    {"/v1beta1.DevicePlugin/Allocate", allocate},
    {"/v1beta1.DevicePlugin/PreStartContainer", pre_start},
};

/* ---- serving and registering ---- */

static ino_t inode_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? info.st_ino : 0;
}

static void stop_serving(struct sim_plugin *plugin)
{
    LIST_EACH_SAFE (it, &plugin->watchers) {
        struct watcher *watcher = container_of(it, struct watcher, link);
        list_remove(&watcher->link);
        grpc_finish(watcher->call, GRPC_UNAVAILABLE, "the plug-in ends");
        free(watcher);
    }
    grpc_server_free(plugin->server);
    plugin->server = NULL;
}

static int serve(struct sim_plugin *plugin, struct err *err)
{
    int fd;
    char *address MEM_CLEANUP = mem_printf("unix:%s", plugin->socket_path);
    stop_serving(plugin);
    unlink(plugin->socket_path);
    int rc = net_bind(str_of(address), &fd, err);
    if (rc != 0) {
        return rc;
    }
    plugin->server =
        grpc_serve(plugin->loop, fd, methods, sizeof methods / sizeof methods[0], plugin);
    plugin->own_inode = inode_of(plugin->socket_path);
    return 0;
}

static void registered(void *ctx, int status, struct str message)
{
    struct sim_plugin *plugin = ctx;
    if (status != GRPC_OK) {
        plugin->kubelet_inode = 0; /* tried again by the timer */
        LOG_DEBUG("gpu", "not registered", LOG_I("status", status), LOG_S("why", message));
    }
}

static void enroll(struct sim_plugin *plugin)
{
    static const struct grpc_reply_ops ops = {.on_end = registered};
    struct buf out BUF_CLEANUP = BUF_INIT;
    struct plugin_registration registration = {.version = STR(DEVICE_PLUGIN_VERSION),
                                               .endpoint = str_of(socket_name),
                                               .resource = STR("nvidia.com/gpu"),
                                               .preferred_allocation = true};
    ino_t inode = inode_of(plugin->kubelet_path);
    grpc_client_free(plugin->registrar);
    plugin->registrar = NULL;
    plugin->kubelet_inode = inode;
    if (inode == 0) {
        return;
    }
    device_write_registration(&out, &registration);
    plugin->registrar = grpc_dial(plugin->loop, plugin->kubelet_path, NULL, NULL);
    grpc_request(plugin->registrar, "/v1beta1.Registration/Register", out.p, out.n, 5 * NS_PER_S,
                 &ops, plugin);
}

static void look(struct timer *timer)
{
    struct sim_plugin *plugin = container_of(timer, struct sim_plugin, timer);
    struct err err = ERR_INIT;
    bool lost = inode_of(plugin->socket_path) != plugin->own_inode;
    ino_t kubelet = inode_of(plugin->kubelet_path);
    if (lost && serve(plugin, &err) != 0) {
        LOG_WARN("gpu", "simulated plug-in", LOG_ERR(&err));
    } else if (lost || (kubelet != 0 && kubelet != plugin->kubelet_inode)) {
        enroll(plugin);
    }
    timer_start(plugin->loop, timer, WATCH_NS, look);
}

int sim_plugin_new(const struct sim_plugin_options *options, struct sim_plugin **ret_plugin,
                   struct err *err)
{
    unsigned major_number = options->major != 0 ? options->major : MAJOR_FIRST;
    if (major_number < MAJOR_FIRST || major_number > MAJOR_LAST) {
        return err_set(err, ERR_INVALID, "device major %u is outside the local range 240-254",
                       major_number);
    }
    struct sim_plugin *plugin = mem_new(struct sim_plugin);
    plugin->loop = options->loop;
    list_init(&plugin->watchers);
    plugin->device_dir = mem_dupz(options->device_dir);
    plugin->socket_path = mem_printf("%s/%s", options->plugin_dir, socket_name);
    plugin->kubelet_path = mem_printf("%s/kubelet.sock", options->plugin_dir);
    int rc =
        gpu_cards_make(options->models, options->node_name, plugin->cards, &plugin->count, err);
    rc = rc != 0 ? rc : make_devices(plugin, major_number, err);
    rc = rc != 0 ? rc : file_make_dirs(options->plugin_dir, 0750, err);
    rc = rc != 0 ? rc : serve(plugin, err);
    if (rc != 0) {
        sim_plugin_free(plugin);
        return rc;
    }
    enroll(plugin);
    timer_start(plugin->loop, &plugin->timer, WATCH_NS, look);
    *ret_plugin = plugin;
    return 0;
}

void sim_plugin_free(struct sim_plugin *plugin)
{
    if (plugin == NULL) {
        return;
    }
    timer_stop(&plugin->timer);
    stop_serving(plugin);
    grpc_client_free(plugin->registrar);
    if (plugin->own_inode != 0) {
        unlink(plugin->socket_path);
    }
    free(plugin->device_dir);
    free(plugin->socket_path);
    free(plugin->kubelet_path);
    free(plugin);
}

const struct gpu_card *sim_plugin_cards(const struct sim_plugin *plugin, size_t *ret_count)
{
    *ret_count = plugin->count;
    return plugin->cards;
}

bool sim_plugin_set_healthy(struct sim_plugin *plugin, unsigned index, bool healthy)
{
    if (index >= plugin->count) {
        return false;
    }
    plugin->ill[index] = !healthy;
    LIST_EACH (it, &plugin->watchers) {
        send_list(plugin, container_of(it, struct watcher, link)->call);
    }
    return true;
}

/* device_checkpoint.c: allocations on disk: the shape of kubelet's own file, with a checksum of
 * ours (FNV-1a over the text of "Data").
 *
 * Written whole or not at all and synced, at each change. A file whose checksum does not fit is put
 * aside under another name, never half believed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "gpu/device_manager_int.h"
#include "io/file.h"

enum { FILE_MAX = 16 << 20 };

static uint64_t checksum(struct str text)
{
    uint64_t value = 0xcbf29ce484222325u;
    for (size_t i = 0; i < text.n; i++) {
        value = (value ^ (uint8_t)text.p[i]) * 0x100000001b3u;
    }
    return value;
}

static struct val *new_text(struct arena *arena, const char *text)
{
    return val_new_text(arena, str_copy_in(arena, str_of(text)));
}

static void write_allocation(struct arena *arena, struct val *entries,
                             const struct allocation *allocation)
{
    struct val *entry = val_append(entries, val_new(arena, VAL_OBJECT));
    struct buf response BUF_CLEANUP = BUF_INIT;
    base64_encode(&response, allocation->response, allocation->response_n);
    val_set(entry, STR("PodUID"), new_text(arena, allocation->pod_uid));
    val_set(entry, STR("ContainerName"), new_text(arena, allocation->container));
    val_set(entry, STR("ResourceName"), new_text(arena, allocation->resource));
    struct val *ids = val_make_array(arena, val_make_object(arena, entry, STR("DeviceIDs")),
                                     STR("-1")); /* by NUMA node; -1: not told apart */
    for (size_t i = 0; i < allocation->ids.count; i++) {
        val_append(ids, new_text(arena, allocation->ids.items[i]));
    }
    val_set(entry, STR("AllocResp"), val_new_text(arena, str_copy_in(arena, buf_view(&response))));
}

int device_checkpoint_save(const struct device_manager *manager, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf text BUF_CLEANUP = BUF_INIT, file BUF_CLEANUP = BUF_INIT;
    struct val *data = val_new(&arena, VAL_OBJECT);
    struct val *entries = val_make_array(&arena, data, STR("PodDeviceEntries"));
    struct val *registered = val_make_object(&arena, data, STR("RegisteredDevices"));
    LIST_EACH (it, &manager->allocations) {
        write_allocation(&arena, entries, container_of(it, struct allocation, link));
    }
    LIST_EACH (it, &manager->resources) {
        struct resource *resource = container_of(it, struct resource, link);
        struct val *ids =
            val_make_array(&arena, registered, str_copy_in(&arena, str_of(resource->name)));
        VEC_EACH (device, &resource->devices) {
            val_append(ids, new_text(&arena, device->id));
        }
    }
    val_write_json(data, &text);
    buf_printf(&file, "{\"Data\":%.*s,\"Checksum\":%llu}", STR_ARG(buf_view(&text)),
               (unsigned long long)checksum(buf_view(&text)));
    return file_write_atomic(manager->checkpoint_path, buf_view(&file), 0600, err);
}

static void read_allocation(struct device_manager *manager, const struct val *entry)
{
    struct buf response = BUF_INIT;
    if (!base64_decode(&response, val_text(val_get(entry, "AllocResp")))) {
        buf_done(&response);
        return;
    }
    struct allocation *allocation = mem_new(struct allocation);
    allocation->pod_uid = str_dup(val_text(val_get(entry, "PodUID")));
    allocation->container = str_dup(val_text(val_get(entry, "ContainerName")));
    allocation->resource = str_dup(val_text(val_get(entry, "ResourceName")));
    allocation->response = buf_take(&response, &allocation->response_n);
    VAL_EACH (ids, val_get(entry, "DeviceIDs")) {
        VAL_EACH (id, ids) {
            *vec_push(&allocation->ids) = str_dup(val_text(id));
        }
    }
    list_append(&manager->allocations, &allocation->link);
}

static int read_file(struct device_manager *manager, struct str text, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf data_text BUF_CLEANUP = BUF_INIT;
    struct val *root = NULL;
    uint64_t sum = 0;
    int rc = val_parse_json(&arena, text, &root, err);
    struct val *data = val_get(root, "Data");
    if (rc != 0 || !val_is(data, VAL_OBJECT)) {
        return err_set(err, ERR_PARSE, "no device checkpoint");
    }
    val_write_json(data, &data_text);
    if (!str_u64(val_text(val_get(root, "Checksum")), &sum) ||
        sum != checksum(buf_view(&data_text))) {
        return err_set(err, ERR_PARSE, "the checksum does not fit");
    }
    VAL_EACH (entry, val_get(data, "PodDeviceEntries")) {
        read_allocation(manager, entry);
    }
    VAL_EACH (ids, val_get(data, "RegisteredDevices")) {
        struct resource *resource = device_manager_add(manager, ids->key);
        VAL_EACH (id, ids) {
            *vec_push(&resource->devices) =
                (struct known_device){.id = str_dup(val_text(id)), .numa_node = -1};
        }
    }
    return 0;
}

int device_checkpoint_load(struct device_manager *manager, struct err *err)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct err why = ERR_INIT;
    int rc = file_read(manager->checkpoint_path, FILE_MAX, &text, &why);
    if (rc == ERR_NOT_FOUND) {
        return 0;
    }
    rc = rc != 0 ? rc : read_file(manager, buf_view(&text), &why);
    if (rc != 0) {
        char *aside MEM_CLEANUP = mem_printf("%s.broken", manager->checkpoint_path);
        rename(manager->checkpoint_path, aside);
        return err_set(err, why.code, "%s: %s (kept as %s)", manager->checkpoint_path, why.message,
                       aside);
    }
    return 0;
}

/* device_plugin.c: field numbers and shapes of the device-plug-in messages; no state.
 */
#include "gpu/device_plugin.h"

#include <stdio.h>
#include <stdlib.h>

#include "wire/protobuf.h"

enum { ITEMS_MAX = 256 };

bool device_read_strings(struct str message, uint32_t number, struct device_strings *ret_strings)
{
    struct protobuf_reader reader;
    struct protobuf_field field;
    protobuf_reader_init(&reader, message);
    while (protobuf_next(&reader, &field)) {
        if (field.number == number && field.type == 2) {
            *vec_push(ret_strings) = field.bytes;
        }
    }
    return !reader.failed;
}

/* TopologyInfo: the first node's id. */
static int64_t read_topology(struct str message)
{
    struct protobuf_reader reader, inner;
    struct protobuf_field field, id;
    int64_t node = -1;
    protobuf_reader_init(&reader, message);
    while (node < 0 && protobuf_next(&reader, &field)) {
        if (field.number == 1 && field.type == 2) {
            node = 0; /* proto3: zero is not written */
            protobuf_reader_init(&inner, field.bytes);
            while (protobuf_next(&inner, &id)) {
                node = id.number == 1 ? (int64_t)id.value : node;
            }
        }
    }
    return node;
}

bool device_read_list(struct str message, struct plugin_devices *ret_devices)
{
    struct protobuf_reader reader, inner;
    struct protobuf_field item, field;
    protobuf_reader_init(&reader, message);
    while (protobuf_next(&reader, &item)) {
        if (item.number != 1 || item.type != 2) {
            continue;
        }
        struct plugin_device device = {.numa_node = -1};
        protobuf_reader_init(&inner, item.bytes);
        while (protobuf_next(&inner, &field)) {
            if (field.number == 1) {
                device.id = field.bytes;
            } else if (field.number == 2) {
                device.health = field.bytes;
            } else if (field.number == 3) {
                device.numa_node = read_topology(field.bytes);
            }
        }
        if (inner.failed || device.id.n == 0) {
            return false;
        }
        *vec_push(ret_devices) = device;
    }
    return !reader.failed;
}

void device_write(struct buf *out, const struct plugin_device *device)
{
    size_t mark = protobuf_begin(out, 1);
    protobuf_bytes(out, 1, device->id);
    protobuf_bytes(out, 2, device->health);
    if (device->numa_node >= 0) {
        size_t topology = protobuf_begin(out, 3);
        size_t node = protobuf_begin(out, 1);
        protobuf_varint(out, 1, (uint64_t)device->numa_node);
        protobuf_end(out, node);
        protobuf_end(out, topology);
    }
    protobuf_end(out, mark);
}

static bool read_options(struct str message, struct plugin_registration *registration)
{
    struct protobuf_reader reader;
    struct protobuf_field field;
    protobuf_reader_init(&reader, message);
    while (protobuf_next(&reader, &field)) {
        if (field.number == 1) {
            registration->pre_start_required = field.value != 0;
        } else if (field.number == 2) {
            registration->preferred_allocation = field.value != 0;
        }
    }
    return !reader.failed;
}

bool device_read_registration(struct str message, struct plugin_registration *ret_registration)
{
    struct protobuf_reader reader;
    struct protobuf_field field;
    struct plugin_registration registration = {0};
    bool whole = true;
    protobuf_reader_init(&reader, message);
    while (protobuf_next(&reader, &field)) {
        switch (field.number) {
        case 1:
            registration.version = field.bytes;
            break;
        case 2:
            registration.endpoint = field.bytes;
            break;
        case 3:
            registration.resource = field.bytes;
            break;
        case 4:
            whole = read_options(field.bytes, &registration);
            break;
        default:
            break;
        }
    }
    if (reader.failed || !whole) {
        return false;
    }
    *ret_registration = registration;
    return true;
}

void device_write_registration(struct buf *out, const struct plugin_registration *registration)
{
    protobuf_bytes(out, 1, registration->version);
    protobuf_bytes(out, 2, registration->endpoint);
    protobuf_bytes(out, 3, registration->resource);
    size_t mark = protobuf_begin(out, 4);
    protobuf_bool(out, 1, registration->pre_start_required);
    protobuf_bool(out, 2, registration->preferred_allocation);
    protobuf_end(out, mark);
}

/* ---- AllocateResponse ---- */

static bool read_pair(struct str message, struct arena *arena, struct str *ret_key,
                      struct str *ret_value)
{
    struct protobuf_reader reader;
    struct protobuf_field field;
    protobuf_reader_init(&reader, message);
    while (protobuf_next(&reader, &field)) {
        *(field.number == 1 ? ret_key : ret_value) = str_copy_in(arena, field.bytes);
    }
    return !reader.failed;
}

static bool read_device_spec(struct str message, struct device_mapping *device)
{
    struct protobuf_reader reader;
    struct protobuf_field field;
    bool fits = true;
    protobuf_reader_init(&reader, message);
    while (protobuf_next(&reader, &field)) {
        char *to = field.number == 1   ? device->container_path
                   : field.number == 2 ? device->host_path
                                       : device->permissions;
        size_t size = field.number <= 2 ? sizeof device->host_path : sizeof device->permissions;
        if (field.number <= 3) {
            fits = fits && field.bytes.n < size;
            snprintf(to, size, "%.*s", STR_ARG(field.bytes));
        }
    }
    return !reader.failed && fits;
}

static bool read_mount(struct str message, struct arena *arena, struct container_devices *devices)
{
    struct protobuf_reader reader;
    struct protobuf_field field;
    size_t i = devices->mount_count++;
    protobuf_reader_init(&reader, message);
    while (protobuf_next(&reader, &field)) {
        if (field.number == 1) {
            devices->mounts[i].container_path = str_copy_in(arena, field.bytes);
        } else if (field.number == 2) {
            devices->mounts[i].host_path = str_copy_in(arena, field.bytes);
        } else if (field.number == 3) {
            devices->mounts[i].read_only = field.value != 0;
        }
    }
    return !reader.failed;
}

static bool read_container(struct str message, struct arena *arena,
                           struct container_devices *devices, bool *ret_cdi)
{
    struct protobuf_reader reader;
    struct protobuf_field field;
    bool whole = true;
    devices->devices = arena_array(arena, struct device_mapping, ITEMS_MAX);
    devices->env = arena_alloc(arena, sizeof *devices->env * ITEMS_MAX);
    devices->mounts = arena_alloc(arena, sizeof *devices->mounts * ITEMS_MAX);
    protobuf_reader_init(&reader, message);
    while (whole && protobuf_next(&reader, &field)) {
        if (field.number == 1 && devices->env_count < ITEMS_MAX) {
            size_t i = devices->env_count++;
            whole = read_pair(field.bytes, arena, &devices->env[i].name, &devices->env[i].value);
        } else if (field.number == 2 && devices->mount_count < ITEMS_MAX) {
            whole = read_mount(field.bytes, arena, devices);
        } else if (field.number == 3 && devices->device_count < ITEMS_MAX) {
            whole = read_device_spec(field.bytes, &devices->devices[devices->device_count++]);
        } else if (field.number == 5) {
            *ret_cdi = true;
        }
    }
    return whole && !reader.failed;
}

bool device_read_response(struct str message, struct arena *arena,
                          struct container_devices *ret_devices, bool *ret_cdi)
{
    struct device_strings containers = {0};
    struct container_devices devices = {0};
    bool cdi = false;
    bool whole = device_read_strings(message, 1, &containers) && containers.count == 1 &&
                 read_container(containers.items[0], arena, &devices, &cdi);
    vec_done(&containers);
    if (whole) {
        *ret_devices = devices;
        *ret_cdi = cdi;
    }
    return whole;
}

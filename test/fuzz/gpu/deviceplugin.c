/* deviceplugin.c: every message that a plug-in may send to the device manager. */
#include "gpu/device_plugin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str message = str_at((const char *)data, size);
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct plugin_registration registration;
    struct plugin_devices devices = {0};
    struct container_devices answer;
    struct device_strings strings = {0};
    bool cdi;
    if (device_read_registration(message, &registration)) {
        str_hash(registration.endpoint);
        str_hash(registration.resource);
    }
    if (device_read_list(message, &devices)) {
        VEC_EACH (device, &devices) {
            str_hash(device->id);
            str_hash(device->health);
        }
    }
    if (device_read_response(message, &arena, &answer, &cdi)) {
        for (size_t i = 0; i < answer.device_count; i++) {
            str_hash(str_of(answer.devices[i].host_path));
        }
    }
    device_read_strings(message, 1, &strings);
    vec_done(&devices);
    vec_done(&strings);
    return 0;
}

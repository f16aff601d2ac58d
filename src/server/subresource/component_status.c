/* component_status.c: ComponentStatus, which old clients still ask for (kubectl get cs): the parts
 * of this process, and whether they are healthy. */
#include "server/server_int.h"
#include "server/subresource/subresource.h"

static const char *const components[] = {"controller-manager", "etcd-0", "scheduler"};

static void write_one(struct buf *out, const char *name, bool with_type)
{
    buf_printf(out,
               "{%s\"metadata\":{\"name\":\"%s\"},\"conditions\":[{\"type\":\"Healthy\","
               "\"status\":\"True\",\"message\":\"ok\"}]}",
               with_type ? "\"kind\":\"ComponentStatus\",\"apiVersion\":\"v1\"," : "", name);
}

void subresource_component_statuses(struct request *request)
{
    struct buf out = BUF_INIT;
    struct failure failure;
    size_t count = sizeof components / sizeof *components;
    if (request->route.name.n > 0) {
        for (size_t i = 0; i < count; i++) {
            if (str_is(request->route.name, components[i])) {
                write_one(&out, components[i], true);
            }
        }
        if (out.n == 0) {
            failure_not_found(&failure, &request->arena, request->route.resource,
                              request->route.name);
            request_fail(request, &failure);
            return;
        }
    } else {
        buf_addz(&out, "{\"kind\":\"ComponentStatusList\",\"apiVersion\":\"v1\",\"metadata\":{},"
                       "\"items\":[");
        for (size_t i = 0; i < count; i++) {
            buf_addz(&out, i > 0 ? "," : "");
            write_one(&out, components[i], false);
        }
        buf_addz(&out, "]}");
    }
    request_answer_bytes(request, 200, "application/json", &out);
    buf_done(&out);
}

/* fake_int.h: shared between the files of the fake API server. */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "client/ordered.h"
#include "fake_client.h"

enum { FAKE_RESOURCES_MAX = 256 };

struct fake_api {
    struct loop *loop;
    struct random random;
    int64_t delay_min, delay_max;
    struct ordered objects[FAKE_RESOURCES_MAX]; /* by resource->storage->id */
    uint64_t revision, writes;
    struct list calls, watches;
    fake_before_fn *before;
    fake_after_fn *after;
    void *hook_ctx;
    struct arena vals;
    struct fake_kubelet *kubelet;
};

/* What a request does, at the instant of its arrival. ret_object: a new reference, or NULL;
 * ret_body: heap JSON when the answer is no stored object. */
int fake_execute(struct fake_api *api, const struct client_request *request, const char *body,
                 struct object **ret_object, char **ret_body, struct err *err);
/* Tells watches (and the kubelet). */
void fake_publish(struct fake_api *api, struct object *old, struct object *now);
void fake_kubelet_event(struct fake_api *api, struct object *old, struct object *now);
void fake_kubelet_stop(struct fake_api *api);
/* Aborts with the text. */
void fake_must(bool ok, const char *what);

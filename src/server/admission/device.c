/* device.c: devices that are looked at while others use them (adminAccess) are for namespaces that
 * an administrator has marked. */
#include "server/admission/admission.h"
#include "server/server_int.h"

static bool is_marked(struct admission *a)
{
    struct server *server = a->request->server;
    struct object *object = cache_get(server->cache, server->known.namespaces, STR_NONE, a->ns);
    if (object == NULL) {
        return false;
    }
    const struct val *labels = val_path(object_decode(object, a->arena), "metadata.labels");
    bool marked = str_is(val_text(val_get(labels, "resource.kubernetes.io/admin-access")), "true");
    object_unref(object);
    return marked;
}

static int refuse(struct admission *a, struct failure *failure, const char *field, int index)
{
    struct field_errors errors = {.arena = a->arena};
    field_error_add(&errors, "FieldValueForbidden",
                    str_of(arena_printf(a->arena, "%s[%d].adminAccess", field, index)),
                    "Forbidden: admin access to devices requires the "
                    "`resource.kubernetes.io/admin-access: true` label on the containing "
                    "namespace");
    return failure_invalid(failure, a->arena, str_of(a->resource->group), str_of(a->resource->kind),
                           a->name, &errors);
}

static int check_requests(struct admission *a, struct failure *failure, const char *requests)
{
    int i = 0;
    VAL_EACH (it, val_path(a->object, requests)) {
        if (val_bool(val_path(it, "exactly.adminAccess"), false) && !is_marked(a)) {
            return refuse(a, failure, "spec.devices.requests", i);
        }
        i++;
    }
    return 0;
}

static int check_results(struct admission *a, struct failure *failure)
{
    static const char results[] = "status.allocation.devices.results";
    int i = 0;
    if (!val_absent(val_path(a->old, "status.allocation"))) {
        return 0;
    }
    VAL_EACH (it, val_path(a->object, results)) {
        if (val_bool(val_get(it, "adminAccess"), false) && !is_marked(a)) {
            return refuse(a, failure, results, i);
        }
        i++;
    }
    return 0;
}

static int validate(struct admission *a, struct failure *failure)
{
    const struct known_resources *known = &a->request->server->known;
    if (a->object == NULL || known->device_claims == NULL) {
        return 0;
    }
    if (a->operation == VERB_CREATE && admission_is(a, known->device_claims)) {
        return check_requests(a, failure, "spec.devices.requests");
    }
    if (a->operation == VERB_CREATE && admission_is(a, known->device_templates)) {
        return check_requests(a, failure, "spec.spec.devices.requests");
    }
    if (a->operation == VERB_UPDATE && a->resource->storage == known->device_claims->storage &&
        str_is(a->subresource, "status")) {
        return check_results(a, failure);
    }
    return 0;
}

const struct admission_step admission_device = {"devices", NULL, NULL, validate};

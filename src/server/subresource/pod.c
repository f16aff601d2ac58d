/* pod.c: binding of pods to nodes. */
#include "server/server_int.h"
#include "server/subresource/subresource.h"
#include "server/write/pipeline.h"

void subresource_answer_created(struct request *request)
{
    struct buf out = BUF_INIT;
    buf_addz(&out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":"
                   "\"Success\",\"code\":201}");
    request_answer_bytes(request, 201, "application/json", &out);
    buf_done(&out);
}

/* ---- binding ---- */

struct binding {
    struct change change;
    struct request *request;
    struct str node, uid;
    struct val *annotations, *labels;
};

static void merge_strings(struct arena *arena, struct val *meta, struct str key,
                          const struct val *from)
{
    VAL_EACH (it, from) {
        struct val *to = val_make_object(arena, meta, key);
        val_set_text(arena, to, str_copy_in(arena, it->key), str_copy_in(arena, val_text(it)));
    }
}

static void set_condition(struct arena *arena, struct val *pod, const char *type, int64_t wall_ns)
{
    char time[TIME_TEXT_SIZE];
    size_t n = time_format(wall_ns, time);
    struct val *status = val_make_object(arena, pod, STR("status"));
    struct val *list = val_make_array(arena, status, STR("conditions"));
    struct val *condition = val_find(list, "type", str_of(type));
    if (condition == NULL) {
        condition = val_append(list, val_new(arena, VAL_OBJECT));
        val_set_text(arena, condition, STR("type"), str_of(type));
    }
    val_set_text(arena, condition, STR("status"), STR("True"));
    val_unset(condition, STR("reason"));
    val_unset(condition, STR("message"));
    val_set_text(arena, condition, STR("lastTransitionTime"), str_copy_in(arena, str_at(time, n)));
    int64_t generation = val_int(val_path(pod, "metadata.generation"), 0);
    if (generation > 0) {
        val_set_int(arena, condition, STR("observedGeneration"), generation);
    }
}

static int plan_binding(struct change *change, struct object *current, struct plan *ret_plan,
                        struct failure *failure)
{
    struct binding *binding = change->ctx;
    struct arena *arena = &change->arena;
    if (current == NULL) {
        return failure_not_found(failure, arena, change->resource, change->name);
    }
    struct val *pod = pipeline_decode(change, current);
    if (binding->uid.n > 0 && !str_eq(binding->uid, current->uid)) {
        return failure_conflict(failure, arena, change->resource, change->name,
                                "Precondition failed: UID in precondition: %.*s, UID in object "
                                "meta: %.*s",
                                STR_ARG(binding->uid), STR_ARG(current->uid));
    }
    if (current->deleting) {
        return failure_conflict(failure, arena, change->resource, change->name,
                                "pod %.*s is being deleted, cannot be assigned to a host",
                                STR_ARG(change->name));
    }
    struct val *spec = val_make_object(arena, pod, STR("spec"));
    struct str node = val_text(val_get(spec, "nodeName"));
    if (node.n > 0) {
        return failure_conflict(failure, arena, change->resource, change->name,
                                "pod %.*s is already assigned to node \"%.*s\"",
                                STR_ARG(change->name), STR_ARG(node));
    }
    if (val_count(val_get(spec, "schedulingGates")) > 0) {
        return failure_conflict(failure, arena, change->resource, change->name,
                                "pod %.*s has non-empty .spec.schedulingGates",
                                STR_ARG(change->name));
    }
    val_set_text(arena, spec, STR("nodeName"), binding->node);
    struct val *meta = val_make_object(arena, pod, STR("metadata"));
    merge_strings(arena, meta, STR("annotations"), binding->annotations);
    merge_strings(arena, meta, STR("labels"), binding->labels);
    set_condition(arena, pod, "PodScheduled", clock_wall(loop_clock(change->loop)));
    *ret_plan = (struct plan){PLAN_UPDATE, pod};
    return 0;
}

static void binding_done(struct change *change)
{
    struct binding *binding = change->ctx;
    if (change->failure.code != 0) {
        change_fail(change, binding->request);
        return;
    }
    struct request *request = binding->request;
    change_done(change);
    subresource_answer_created(request);
}

static int read_binding(struct request *request, struct binding *binding, struct str *ret_name,
                        struct failure *failure)
{
    struct val *body = NULL;
    const struct api_struct *type = schema_struct(STR("io.k8s.api.core.v1.Binding"));
    int code = request_decode_kind(request, type, "", "v1", "Binding", &body, failure);
    if (code < 0) {
        return code;
    }
    struct str kind = val_text(val_path(body, "target.kind"));
    binding->node = val_text(val_path(body, "target.name"));
    if ((kind.n > 0 && !str_is(kind, "Node")) || binding->node.n == 0) {
        struct field_errors errors = {.arena = &request->arena};
        field_error_add(&errors,
                        binding->node.n == 0 ? "FieldValueRequired" : "FieldValueNotSupported",
                        binding->node.n == 0 ? STR("target.name") : STR("target.kind"), "%s",
                        binding->node.n == 0 ? "Required value"
                                             : "Unsupported value: supported values: \"Node\"");
        return failure_invalid(failure, &request->arena, STR(""), STR("Binding"), val_name(body),
                               &errors);
    }
    struct str named = val_name(body);
    if (named.n > 0 && request->route.name.n > 0 && !str_eq(named, request->route.name)) {
        return failure_set(failure, &request->arena, ERR_BAD_REQUEST,
                           "name in URL does not match name in Binding object");
    }
    binding->uid = val_uid(body);
    binding->annotations = val_path(body, "metadata.annotations");
    binding->labels = val_path(body, "metadata.labels");
    *ret_name = request->route.name.n > 0 ? request->route.name : val_name(body);
    return 0;
}

void subresource_binding(struct request *request)
{
    struct failure failure;
    struct binding *binding = arena_new(&request->arena, struct binding);
    binding->request = request;
    struct str name = STR_NONE;
    if (read_binding(request, binding, &name, &failure) < 0) {
        request_fail(request, &failure);
        return;
    }
    binding->change = (struct change){.server = request->server,
                                      .loop = request->loop,
                                      .resource = request->server->known.pods,
                                      .ns = request->route.ns,
                                      .name = name,
                                      .dry_run = request->options.dry_run,
                                      .plan = plan_binding,
                                      .done = binding_done,
                                      .ctx = binding};
    change_start(&binding->change);
}

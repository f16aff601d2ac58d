/* pod.c: binding and eviction of pods, tokens of service accounts. */
#include "server/authn/authn.h"
#include "server/server_int.h"
#include "server/subresource/subresource.h"
#include "server/write/deletion.h"
#include "server/write/pipeline.h"

static void answer_created(struct request *request)
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
    answer_created(request);
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

/* ---- eviction ---- */

/* Budgets (PodDisruptionBudget) are not acted on yet: an eviction is a graceful delete. */
static void eviction_done(struct change *change)
{
    struct deletion *deletion = container_of(change, struct deletion, change);
    struct request *request = deletion->request;
    if (change->failure.code != 0) {
        change_fail(change, request);
        return;
    }
    change_done(change);
    answer_created(request);
}

static void read_delete_options(const struct val *options, struct deletion *deletion)
{
    deletion->grace_s = val_int(val_get(options, "gracePeriodSeconds"), -1);
    deletion->propagation = val_text(val_get(options, "propagationPolicy"));
    deletion->uid = val_text(val_path(options, "preconditions.uid"));
    str_u64(val_text(val_path(options, "preconditions.resourceVersion")), &deletion->version);
}

void subresource_eviction(struct request *request)
{
    struct failure failure;
    struct val *body = NULL;
    const struct api_struct *type = schema_struct(STR("io.k8s.api.policy.v1.Eviction"));
    if (request_decode_kind(request, type, "policy", "v1", "Eviction", &body, &failure) < 0) {
        request_fail(request, &failure);
        return;
    }
    struct str name = val_name(body);
    if (name.n > 0 && !str_eq(name, request->route.name)) {
        failure_set(&failure, &request->arena, ERR_BAD_REQUEST,
                    "name in URL does not match name in "
                    "Eviction object");
        request_fail(request, &failure);
        return;
    }
    struct deletion *deletion = arena_new(&request->arena, struct deletion);
    deletion->request = request;
    const struct val *options = val_get(body, "deleteOptions");
    read_delete_options(options, deletion);
    bool dry = val_count(val_get(options, "dryRun")) > 0;
    deletion->change = (struct change){.server = request->server,
                                       .loop = request->loop,
                                       .resource = request->server->known.pods,
                                       .ns = request->route.ns,
                                       .name = request->route.name,
                                       .dry_run = request->options.dry_run || dry,
                                       .plan = deletion_plan,
                                       .done = eviction_done};
    change_start(&deletion->change);
}

/* ---- tokens ---- */

enum { TOKEN_MIN_S = 600, TOKEN_DEFAULT_S = 3600, TOKEN_MAX_S = 24 * 3600 };

static int bind_token(struct request *request, const struct val *ref, struct token_request *t,
                      struct failure *failure)
{
    const struct known_resources *known = &request->server->known;
    struct str kind = val_text(val_get(ref, "kind")), name = val_text(val_get(ref, "name"));
    struct str uid = val_text(val_get(ref, "uid"));
    const struct api_resource *resource = str_is(kind, "Pod")      ? known->pods
                                          : str_is(kind, "Secret") ? known->secrets
                                          : str_is(kind, "Node")   ? known->nodes
                                                                   : NULL;
    if (resource == NULL) {
        return failure_set(failure, &request->arena, ERR_BAD_REQUEST,
                           "cannot bind token to object of kind %.*s", STR_ARG(kind));
    }
    struct object *object = cache_get(request->server->cache, resource,
                                      resource->namespaced ? t->account_ns : STR_NONE, name);
    if (object == NULL) {
        return failure_not_found(failure, &request->arena, resource, name);
    }
    struct str has_uid = str_copy_in(&request->arena, object->uid);
    if (resource == known->pods) {
        const struct val *spec = val_get(object_decode(object, &request->arena), "spec");
        t->node_name = str_copy_in(&request->arena, val_text(val_get(spec, "nodeName")));
        struct str account =
            str_copy_in(&request->arena, val_text(val_get(spec, "serviceAccountName")));
        t->pod_name = name;
        t->pod_uid = has_uid;
        object_unref(object);
        if (!str_eq(account, t->account_name)) {
            return failure_set(failure, &request->arena, ERR_BAD_REQUEST,
                               "cannot bind token for serviceaccount \"%.*s\" to pod running with "
                               "different serviceaccount name.",
                               STR_ARG(t->account_name));
        }
    } else {
        *(resource == known->nodes ? &t->node_name : &t->secret_name) = name;
        *(resource == known->nodes ? &t->node_uid : &t->secret_uid) = has_uid;
        object_unref(object);
    }
    if (uid.n > 0 && !str_eq(uid, has_uid)) {
        failure_conflict(failure, &request->arena, resource, name,
                         "the UID in the bound object reference (%.*s) does not match the "
                         "UID in record. The object might have been deleted and then "
                         "recreated",
                         STR_ARG(uid));
        failure->kind = kind;
        return ERR_CONFLICT;
    }
    return 0;
}

/* A node's uid for the claim, when it is known. */
static void add_node_uid(struct request *request, struct token_request *t)
{
    if (t->node_name.n == 0 || t->node_uid.n > 0) {
        return;
    }
    struct object *node =
        cache_get(request->server->cache, request->server->known.nodes, STR_NONE, t->node_name);
    if (node != NULL) {
        t->node_uid = str_copy_in(&request->arena, node->uid);
        object_unref(node);
    }
}

/* An agent gets tokens for pods on its node only, and bound to them. */
static int check_node(struct request *request, const struct token_request *t,
                      struct failure *failure)
{
    struct str node = request->identity->node;
    if (node.n == 0 || (t->pod_name.n > 0 && str_eq(t->node_name, node))) {
        return 0;
    }
    return failure_forbidden(failure, &request->arena, request->route.resource, t->account_name,
                             "node requested token not bound to a pod scheduled on itself");
}

static int fill_token(struct request *request, struct val *body, struct token_request *t,
                      struct failure *failure)
{
    struct arena *arena = &request->arena;
    const struct val *spec = val_get(body, "spec");
    const struct val *list = val_get(spec, "audiences");
    struct str *audiences = arena_array(arena, struct str, val_count(list) + 1);
    VAL_EACH (it, list) {
        audiences[t->audience_count++] = val_text(it);
    }
    t->audiences = audiences;
    t->seconds = val_int(val_get(spec, "expirationSeconds"), TOKEN_DEFAULT_S);
    if (t->seconds < TOKEN_MIN_S || t->seconds > (int64_t)1 << 32) {
        struct field_errors errors = {.arena = arena};
        field_error_add(&errors, "FieldValueInvalid", STR("spec.expirationSeconds"),
                        "Invalid value: %lld: %s", (long long)t->seconds,
                        t->seconds < TOKEN_MIN_S
                            ? "may not specify a duration less than 10 minutes"
                            : "may not specify a duration larger than 2^32 seconds");
        return failure_invalid(failure, arena, STR("authentication.k8s.io"), STR("TokenRequest"),
                               STR(""), &errors);
    }
    t->seconds = t->seconds > TOKEN_MAX_S ? TOKEN_MAX_S : t->seconds;
    const struct val *ref = val_get(spec, "boundObjectRef");
    if (val_is(ref, VAL_OBJECT)) {
        int code = bind_token(request, ref, t, failure);
        if (code < 0) {
            return code;
        }
        add_node_uid(request, t);
    }
    return check_node(request, t, failure);
}

static void answer_token(struct request *request, struct val *body, const struct token_request *t,
                         struct str token)
{
    struct arena *arena = &request->arena;
    char time[TIME_TEXT_SIZE];
    size_t n = time_format(t->now_wall_ns + t->seconds * NS_PER_S, time);
    struct val *spec = val_make_object(arena, body, STR("spec"));
    val_set_int(arena, spec, STR("expirationSeconds"), t->seconds);
    if (t->audience_count == 0) {
        struct val *list = val_set(spec, STR("audiences"), val_new(arena, VAL_ARRAY));
        val_append(list, val_new_text(arena, request->server->options.issuer));
    }
    struct val *meta = val_make_object(arena, body, STR("metadata"));
    char now[TIME_TEXT_SIZE];
    size_t now_n = time_format(t->now_wall_ns, now);
    val_set_text(arena, meta, STR("name"), t->account_name);
    val_set_text(arena, meta, STR("namespace"), t->account_ns);
    val_set_text(arena, meta, STR("creationTimestamp"), str_at(now, now_n));
    struct val *status = val_set(body, STR("status"), val_new(arena, VAL_OBJECT));
    val_set_text(arena, status, STR("token"), token);
    val_set_text(arena, status, STR("expirationTimestamp"), str_at(time, n));
    request_answer_value(request, 201,
                         schema_struct(STR("io.k8s.api.authentication.v1.TokenRequest")), body);
}

void subresource_token(struct request *request)
{
    struct failure failure;
    struct err err = ERR_INIT;
    struct val *body = NULL;
    struct buf token BUF_CLEANUP = BUF_INIT;
    char id[UUID_TEXT_SIZE];
    const struct api_struct *type = schema_struct(STR("io.k8s.api.authentication.v1.TokenRequest"));
    struct object *account = cache_get(request->server->cache, request->server->known.accounts,
                                       request->route.ns, request->route.name);
    if (account == NULL) {
        failure_not_found(&failure, &request->arena, request->route.resource, request->route.name);
        request_fail(request, &failure);
        return;
    }
    random_uuid(loop_random(request->loop), id);
    struct token_request t = {.account_ns = request->route.ns,
                              .account_name = request->route.name,
                              .account_uid = str_copy_in(&request->arena, account->uid),
                              .now_wall_ns = clock_wall(loop_clock(request->loop)),
                              .id = str_of(id)};
    object_unref(account);
    if (request_decode_kind(request, type, "authentication.k8s.io", "v1", "TokenRequest", &body,
                            &failure) < 0 ||
        fill_token(request, body, &t, &failure) < 0) {
        request_fail(request, &failure);
        return;
    }
    if (authn_issue(request->server, &t, &token, &err) < 0) {
        failure_from_err(&failure, &request->arena, &err);
        request_fail(request, &failure);
        return;
    }
    answer_token(request, body, &t, buf_view(&token));
}

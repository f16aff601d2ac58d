/* token.c: serviceaccounts/token: TokenRequest (KEP-1205): a token for an account, for audiences,
 * for a while, and bound to a pod, a secret or a node if asked. */
#include "server/authn/authn.h"
#include "server/server_int.h"
#include "server/subresource/subresource.h"

enum { TOKEN_MIN_S = 600, TOKEN_DEFAULT_S = 3600, TOKEN_HARDENED_MAX_S = 24 * 3600 };

static int bind_token(struct request *request, const struct val *ref, struct token_request *t,
                      struct failure *failure)
{
    const struct known_resources *known = &request->server->known;
    struct str kind = val_text(val_get(ref, "kind")), name = val_text(val_get(ref, "name"));
    struct str uid = val_text(val_get(ref, "uid")), version = val_text(val_get(ref, "apiVersion"));
    bool core = version.n == 0 || str_is(version, "v1");
    const struct api_resource *resource = !core                    ? NULL
                                          : str_is(kind, "Pod")    ? known->pods
                                          : str_is(kind, "Secret") ? known->secrets
                                          : str_is(kind, "Node")   ? known->nodes
                                                                   : NULL;
    if (resource == NULL) {
        struct str rest = STR_NONE;
        struct str group = str_cut(version, '/', &rest);
        struct str of = rest.p != NULL ? group : STR_NONE, at = rest.p != NULL ? rest : group;
        return failure_set(failure, &request->arena, ERR_BAD_REQUEST,
                           "cannot bind token to object of type %.*s/%.*s, Kind=%.*s", STR_ARG(of),
                           STR_ARG(at), STR_ARG(kind));
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
static int check_node(struct request *request, const struct token_request *t, bool has_uid,
                      struct failure *failure)
{
    struct str node = request->identity->node;
    if (node.n == 0 || (t->pod_name.n > 0 && has_uid && str_eq(t->node_name, node))) {
        return 0;
    }
    return failure_forbidden(
        failure, &request->arena, request->route.resource, t->account_name, "%s",
        t->pod_name.n == 0 ? "node requested token not bound to a pod"
        : !has_uid         ? "node requested token with a pod binding without a uid"
                           : "node requested token bound to a pod scheduled on a different "
                             "node");
}

/* metadata may name the account once more. */
static int check_metadata(struct request *request, const struct val *body,
                          const struct token_request *t, struct failure *failure)
{
    const struct val *meta = val_get(body, "metadata");
    struct str name = val_text(val_get(meta, "name")), ns = val_text(val_get(meta, "namespace"));
    struct str uid = val_text(val_get(meta, "uid"));
    bool other_name = name.n > 0 && !str_eq(name, t->account_name);
    if (other_name || (ns.n > 0 && !str_eq(ns, t->account_ns))) {
        struct field_errors errors = {.arena = &request->arena};
        struct str wrong = other_name ? name : ns;
        field_error_add(&errors, "FieldValueInvalid",
                        other_name ? STR("metadata.name") : STR("metadata.namespace"),
                        "Invalid value: \"%.*s\": must match the service account %s if specified",
                        STR_ARG(wrong), other_name ? "name" : "namespace");
        return failure_invalid(failure, &request->arena, STR("authentication.k8s.io"),
                               STR("TokenRequest"), t->account_name, &errors);
    }
    if (uid.n > 0 && !str_eq(uid, t->account_uid)) {
        failure_set(failure, &request->arena, ERR_CONFLICT,
                    "Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "
                    "\"%.*s\": the UID in the token request (%.*s) does not match the UID of the "
                    "service account (%.*s)",
                    STR_ARG(t->account_name), STR_ARG(uid), STR_ARG(t->account_uid));
        failure->name = t->account_name;
        failure->group = STR("authentication.k8s.io");
        failure->kind = STR("TokenRequest");
        return ERR_CONFLICT;
    }
    return 0;
}

static int fill_token(struct request *request, struct val *body, struct token_request *t,
                      struct failure *failure)
{
    struct arena *arena = &request->arena;
    const struct val *spec = val_get(body, "spec");
    int wrong = check_metadata(request, body, t, failure);
    if (wrong < 0) {
        return wrong;
    }
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
    if (request->server->options.hardened && t->seconds > TOKEN_HARDENED_MAX_S) {
        request_warn(request, "requested expiration of %lld seconds shortened to %d seconds",
                     (long long)t->seconds, TOKEN_HARDENED_MAX_S);
        t->seconds = TOKEN_HARDENED_MAX_S;
    }
    const struct val *ref = val_get(spec, "boundObjectRef");
    if (val_is(ref, VAL_OBJECT)) {
        int code = bind_token(request, ref, t, failure);
        if (code < 0) {
            return code;
        }
        add_node_uid(request, t);
    }
    return check_node(request, t, val_text(val_get(ref, "uid")).n > 0, failure);
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
    val_set_text(arena, meta, STR("uid"), t->account_uid);
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

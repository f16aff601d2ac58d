/* review.c: questions about identities and permissions: TokenReview, the SubjectAccessReview
 * family, SelfSubjectRulesReview, SelfSubjectReview. Nothing is stored; the answer is the object
 * with its status filled in. */
#include "server/authn/authn.h"
#include "server/authz/authz.h"
#include "server/server_int.h"
#include "server/subresource/subresource.h"

static int decode(struct request *request, struct val **ret_value)
{
    const struct api_resource *r = request->route.resource;
    struct failure failure;
    if (r->column_count == 0 && request->accept.form == ACCEPT_TABLE) {
        failure_set(&failure, &request->arena, ERR_NOT_ACCEPTABLE,
                    "the server has no table of a %s", r->kind);
        request_fail(request, &failure);
        return failure.code;
    }
    if (request_decode_kind(request, r->type, r->group, r->version, r->kind, ret_value, &failure) <
        0) {
        request_fail(request, &failure);
        return failure.code;
    }
    struct val *meta = val_make_object(&request->arena, *ret_value, STR("metadata"));
    val_unset(meta, STR("uid"));
    val_unset(meta, STR("selfLink"));
    if (!r->namespaced) {
        val_unset(meta, STR("namespace"));
    }
    return 0;
}

static void answer(struct request *request, struct val *value)
{
    request_answer_value(request, 201, request->route.resource->type, value);
}

static struct val *text_list(struct arena *arena, const struct str *items, size_t count)
{
    struct val *list = val_new(arena, VAL_ARRAY);
    for (size_t i = 0; i < count; i++) {
        val_append(list, val_new_text(arena, items[i]));
    }
    return list;
}

static void write_user(struct arena *arena, struct val *user, const struct identity *identity)
{
    val_set_text(arena, user, STR("username"), identity->name);
    if (identity->uid.n > 0) {
        val_set_text(arena, user, STR("uid"), identity->uid);
    }
    val_set(user, STR("groups"), text_list(arena, identity->groups, identity->group_count));
    for (size_t i = 0; i < identity->extra_count; i++) {
        val_set(val_make_object(arena, user, STR("extra")), identity->extra[i].key,
                text_list(arena, identity->extra[i].values, identity->extra[i].count));
    }
}

/* ---- TokenReview ---- */

static struct str *texts(struct arena *arena, const struct val *list, size_t *ret_count)
{
    struct str *items = arena_array(arena, struct str, val_count(list) + 1);
    size_t n = 0;
    VAL_EACH (it, list) {
        items[n++] = val_text(it);
    }
    *ret_count = n;
    return items;
}

void subresource_token_review(struct request *request)
{
    struct arena *arena = &request->arena;
    struct val *value = NULL;
    if (decode(request, &value) < 0) {
        return;
    }
    size_t count = 0;
    struct str token = val_text(val_path(value, "spec.token"));
    if (token.n == 0) {
        struct failure failure;
        failure_set(&failure, arena, ERR_BAD_REQUEST,
                    "token is required for TokenReview in authentication");
        request_fail(request, &failure);
        return;
    }
    struct str *audiences = texts(arena, val_path(value, "spec.audiences"), &count);
    struct identity *identity = NULL;
    struct err err = ERR_INIT;
    struct val *status = val_set(value, STR("status"), val_new(arena, VAL_OBJECT));
    int code = authn_token(request->server, token, audiences, count,
                           clock_wall(loop_clock(request->loop)), &identity, &err);
    if (code < 0) {
        val_set_text(arena, status, STR("error"), str_copy_in(arena, str_of(err.message)));
        answer(request, value);
        return;
    }
    val_set_bool(arena, status, STR("authenticated"), true);
    write_user(arena, val_make_object(arena, status, STR("user")), identity);
    struct str issuer = request->server->options.issuer;
    val_set(status, STR("audiences"),
            text_list(arena, count > 0 ? audiences : &issuer, count > 0 ? count : 1));
    struct buf bytes = BUF_INIT; /* before the identity that it points into goes */
    codec_write(request->route.resource->type, value, &bytes);
    identity_unref(identity);
    request_answer_bytes(request, 201, "application/json", &bytes);
    buf_done(&bytes);
}

/* ---- SubjectAccessReview family ---- */

static struct identity *subject_of(struct request *request, const struct val *spec, bool self)
{
    if (self) {
        return identity_ref(request->identity);
    }
    size_t count = 0;
    struct str *groups = texts(&request->arena, val_get(spec, "groups"), &count);
    return identity_new(val_text(val_get(spec, "user")), val_text(val_get(spec, "uid")), groups,
                        count);
}

static int bad_selector(struct request *request, const char *path, const char *what,
                        struct failure *failure)
{
    struct field_errors errors = {.arena = &request->arena};
    field_error_add(&errors, "FieldValueInvalid", str_of(path), "Invalid value: %s", what);
    return failure_invalid(failure, &request->arena, str_of(request->route.resource->group),
                           str_of(request->route.resource->kind), STR(""), &errors);
}

/* fieldSelector and labelSelector: text or requirements, not both. Only a field selector decides
 * anything here (which pods a node may list), and only one that asks for equality. */
static int read_selector(struct request *request, const struct val *attributes, const char *key,
                         struct str *ret_text, struct failure *failure)
{
    static const char *const ops[] = {"In", "NotIn", "Exists", "DoesNotExist"};
    const struct val *selector = val_get_str(attributes, str_of(key));
    const struct val *requirements = val_get(selector, "requirements");
    struct str raw = val_text(val_get(selector, "rawSelector"));
    const char *path = arena_printf(&request->arena, "spec.resourceAttributes.%s", key);
    if (selector != NULL && raw.n == 0 && val_count(requirements) == 0) {
        return bad_selector(request, arena_printf(&request->arena, "%s.requirements", path),
                            "one of rawSelector or requirements must be set", failure);
    }
    if (raw.n > 0 && val_count(requirements) > 0) {
        return bad_selector(request, arena_printf(&request->arena, "%s.rawSelector", path),
                            "may not specified at the same time as requirements", failure);
    }
    *ret_text = raw;
    VAL_EACH (it, requirements) {
        struct str op = val_text(val_get(it, "operator"));
        uint32_t count = val_count(val_get(it, "values"));
        bool known = false;
        for (size_t i = 0; i < 4; i++) {
            known = known || str_is(op, ops[i]);
        }
        bool has_values = str_is(op, "In") || str_is(op, "NotIn");
        if (val_text(val_get(it, "key")).n == 0 || !known || has_values != (count > 0)) {
            return bad_selector(request, arena_printf(&request->arena, "%s.requirements", path),
                                "a requirement needs a key, a known operator, and values exactly "
                                "for In and NotIn",
                                failure);
        }
        if (val_count(requirements) == 1 && str_is(op, "In") && count == 1) {
            struct str name = val_text(val_get(it, "key"));
            struct str value = val_text(val_at(val_get(it, "values"), 0));
            *ret_text =
                str_of(arena_printf(&request->arena, "%.*s=%.*s", STR_ARG(name), STR_ARG(value)));
        }
    }
    return 0;
}

static int attributes_of(struct request *request, const struct val *spec, struct attributes *ret,
                         struct failure *failure)
{
    const struct val *r = val_get(spec, "resourceAttributes");
    const struct val *n = val_get(spec, "nonResourceAttributes");
    if ((r == NULL) == (n == NULL)) {
        struct field_errors errors = {.arena = &request->arena};
        field_error_add(&errors, "FieldValueInvalid", STR("spec"),
                        "Invalid value: null: exactly one of nonResourceAttributes or "
                        "resourceAttributes must be specified");
        return failure_invalid(failure, &request->arena, str_of(request->route.resource->group),
                               str_of(request->route.resource->kind), STR(""), &errors);
    }
    if (n != NULL) {
        ret->verb = val_text(val_get(n, "verb"));
        ret->path = val_text(val_get(n, "path"));
        return 0;
    }
    ret->verb = val_text(val_get(r, "verb"));
    ret->group = val_text(val_get(r, "group"));
    ret->resource = val_text(val_get(r, "resource"));
    ret->subresource = val_text(val_get(r, "subresource"));
    ret->name = val_text(val_get(r, "name"));
    ret->ns = val_text(val_get(r, "namespace"));
    if (ret->resource.n == 0) {
        ret->resource = STR("*");
    }
    struct str labels = STR_NONE;
    int code = read_selector(request, r, "fieldSelector", &ret->selector, failure);
    return code != 0 ? code : read_selector(request, r, "labelSelector", &labels, failure);
}

static int check_local(struct request *request, const struct attributes *a, struct failure *failure)
{
    if (!request->route.resource->namespaced || str_eq(a->ns, request->route.ns)) {
        return 0;
    }
    struct field_errors errors = {.arena = &request->arena};
    field_error_add(&errors, "FieldValueInvalid", STR("spec.resourceAttributes.namespace"),
                    "Invalid value: \"%.*s\": must match metadata.namespace", STR_ARG(a->ns));
    return failure_invalid(failure, &request->arena, str_of(request->route.resource->group),
                           str_of(request->route.resource->kind), STR(""), &errors);
}

void subresource_access_review(struct request *request)
{
    struct arena *arena = &request->arena;
    struct val *value = NULL;
    struct failure failure;
    struct attributes a = {0};
    bool self = str_is(str_of(request->route.resource->plural), "selfsubjectaccessreviews");
    if (decode(request, &value) < 0) {
        return;
    }
    const struct val *spec = val_get(value, "spec");
    if (!self && val_text(val_get(spec, "user")).n == 0 &&
        val_count(val_get(spec, "groups")) == 0) {
        struct field_errors errors = {.arena = arena};
        field_error_add(&errors, "FieldValueInvalid", STR("spec.user"),
                        "Invalid value: \"\": at least one of user or group must be specified");
        failure_invalid(&failure, arena, str_of(request->route.resource->group),
                        str_of(request->route.resource->kind), STR(""), &errors);
        request_fail(request, &failure);
        return;
    }
    if (attributes_of(request, spec, &a, &failure) < 0 || check_local(request, &a, &failure) < 0) {
        request_fail(request, &failure);
        return;
    }
    struct identity *identity = subject_of(request, spec, self);
    struct str reason = STR_NONE;
    a.identity = identity;
    bool allowed = authz_allows(request->server, &a, arena, &reason);
    identity_unref(identity);
    struct val *status = val_set(value, STR("status"), val_new(arena, VAL_OBJECT));
    val_set_bool(arena, status, STR("allowed"), allowed);
    if (!allowed && reason.n > 0) {
        val_set_text(arena, status, STR("reason"), reason);
    }
    answer(request, value);
}

void subresource_rules_review(struct request *request)
{
    struct arena *arena = &request->arena;
    struct val *value = NULL;
    struct failure failure;
    if (decode(request, &value) < 0) {
        return;
    }
    struct str ns = val_text(val_path(value, "spec.namespace"));
    if (ns.n == 0) {
        failure_set(&failure, arena, ERR_BAD_REQUEST, "no namespace on request");
        request_fail(request, &failure);
        return;
    }
    struct val *status = val_set(value, STR("status"), val_new(arena, VAL_OBJECT));
    struct val *resources = val_set(status, STR("resourceRules"), val_new(arena, VAL_ARRAY));
    struct val *paths = val_set(status, STR("nonResourceRules"), val_new(arena, VAL_ARRAY));
    authz_rules(request->server, request->identity, ns, arena, resources, paths);
    val_set_bool(arena, status, STR("incomplete"), request->identity->node.n > 0);
    answer(request, value);
}

void subresource_self_review(struct request *request)
{
    struct arena *arena = &request->arena;
    struct val *value = NULL;
    if (decode(request, &value) < 0) {
        return;
    }
    char time[TIME_TEXT_SIZE];
    size_t n = time_format(clock_wall(loop_clock(request->loop)), time);
    val_set_text(arena, val_make_object(arena, value, STR("metadata")), STR("creationTimestamp"),
                 str_copy_in(arena, str_at(time, n)));
    struct val *status = val_set(value, STR("status"), val_new(arena, VAL_OBJECT));
    write_user(arena, val_make_object(arena, status, STR("userInfo")), request->identity);
    answer(request, value);
}

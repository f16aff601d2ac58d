/* request.c: life of a request: authorization, choice of the handler, the answer.
 *
 * Invariants: a request answers exactly once; a handler runs only after authorization said yes.
 * Left to others: reading HTTP (http/), what verbs do (verb/, subresource/).
 */
#include "server/request.h"

#include <stdarg.h>
#include <stdlib.h>

#include "api/custom/custom.h"
#include "api/val.h"
#include "api/warning.h"
#include "base/failpoint.h"
#include "base/metrics.h"
#include "server/authz/authz.h"
#include "server/info/info.h"
#include "server/server_int.h"
#include "server/subresource/subresource.h"
#include "server/verb/verb.h"

METRIC(metric_requests, METRIC_KIND_COUNTER, "cox_server_requests_total", NULL,
       "Requests answered, all verbs.");
METRIC(metric_failures, METRIC_KIND_COUNTER, "cox_server_request_failures_total", NULL,
       "Requests answered with a failure.");

struct request *request_new(struct server *server, struct loop *loop, struct identity *identity,
                            const struct transport *transport)
{
    struct request *request = mem_new(struct request);
    request->server = server;
    request->loop = loop;
    arena_init(&request->arena, 0);
    request->identity = identity_ref(identity);
    request->transport = transport;
    request->options.strictness = CODEC_WARN;
    request->options.grace_s = -1;
    request->warnings.arena = &request->arena;
    request->started_ns = loop_mono(loop);
    atomic_fetch_add_explicit(&server->requests, 1, memory_order_relaxed);
    return request;
}

void request_free(struct request *request)
{
    atomic_fetch_sub_explicit(&request->server->requests, 1, memory_order_relaxed);
    timer_stop(&request->timer);
    schema_unref(request->route.resource);
    identity_unref(request->identity);
    arena_done(&request->arena);
    free(request);
}

static bool answer_once(struct request *request)
{
    bool first = !request->answered;
    request->answered = true;
    metric_add(&metric_requests, 1);
    return first;
}

void request_answer_object(struct request *request, int status, struct object *object)
{
    if (answer_once(request)) {
        request->transport->object(request, status, object);
    } else {
        object_unref(object);
    }
}

void request_answer_bytes(struct request *request, int status, const char *content_type,
                          struct buf *bytes)
{
    if (answer_once(request)) {
        request->transport->bytes(request, status, content_type, bytes);
    }
}

void request_answer_value(struct request *request, int status, const struct api_struct *type,
                          const struct val *value)
{
    struct buf bytes = BUF_INIT;
    codec_write(type, value, &bytes);
    request_answer_bytes(request, status, "application/json", &bytes);
    buf_done(&bytes);
}

void request_answer_stream(struct request *request, int status, const char *content_type,
                           struct http_body *body)
{
    if (answer_once(request)) {
        request->transport->stream(request, status, content_type, body);
    }
}

void request_fail(struct request *request, const struct failure *failure)
{
    metric_add(&metric_failures, 1);
    if (answer_once(request)) {
        request->transport->fail(request, failure);
    }
}

void request_resume(struct request *request)
{
    if (request->exchange != NULL) {
        http_resume(request->exchange);
    } else if (request->resume != NULL) {
        request->resume(request);
    }
}

void request_answer_success(struct request *request, const struct api_resource *resource,
                            struct str name, struct str uid)
{
    struct buf out = BUF_INIT;
    buf_addz(&out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":"
                   "\"Success\",\"details\":{");
    if (name.n > 0) {
        buf_addz(&out, "\"name\":");
        json_text(&out, name);
        buf_char(&out, ',');
    }
    if (resource->group[0] != '\0') {
        buf_printf(&out, "\"group\":\"%s\",", resource->group);
    }
    buf_printf(&out, "\"kind\":\"%s\"", resource->plural);
    if (uid.n > 0) {
        buf_addz(&out, ",\"uid\":");
        json_text(&out, uid);
    }
    buf_addz(&out, "}}");
    request_answer_bytes(request, 200, "application/json", &out);
    buf_done(&out);
}

/* ---- running ---- */

static handler_fn *verb_handler(enum request_verb verb)
{
    static handler_fn *const table[VERB_COUNT] = {
        [VERB_GET] = verb_get,       [VERB_LIST] = verb_list,
        [VERB_WATCH] = verb_watch,   [VERB_CREATE] = verb_create,
        [VERB_UPDATE] = verb_update, [VERB_PATCH] = verb_patch,
        [VERB_DELETE] = verb_delete, [VERB_DELETE_COLLECTION] = verb_delete_collection,
    };
    return table[verb];
}

static handler_fn *handler_of(const struct request *request)
{
    const struct route *route = &request->route;
    if (route->resource == NULL) {
        return info_handler(request);
    }
    if (route->subresource != NULL || !route->resource->stored) {
        return subresource_handler(route);
    }
    return verb_handler(route->verb);
}

void request_start(struct request *request)
{
    struct failure failure;
    if (authz_check_request(request, &failure) < 0) {
        request_fail(request, &failure);
        return;
    }
    if (FAILPOINT_ERRNO("server.authorized") != 0) {
        failure_set(&failure, &request->arena, ERR_INTERNAL, "failpoint server.authorized");
        request_fail(request, &failure);
        return;
    }
    const struct api_resource *resource = request->route.resource;
    if (resource != NULL && resource->custom != NULL && resource->custom->warning != NULL) {
        request_warn(request, "%s", resource->custom->warning);
    }
    handler_fn *handler = handler_of(request);
    if (handler == NULL) {
        failure_set(&failure, &request->arena, ERR_NOT_FOUND,
                    "the server could not find the requested resource");
        request_fail(request, &failure);
        return;
    }
    handler(request);
}

/* ---- bodies ---- */

struct str api_version_text(struct arena *arena, const char *group, const char *version)
{
    if (group == NULL || group[0] == '\0') {
        return str_of(version);
    }
    return str_of(arena_printf(arena, "%s/%s", group, version));
}

int request_decode(struct request *request, const struct api_struct *type, struct val **ret_value,
                   struct failure *failure)
{
    struct err err = ERR_INIT;
    if (request->body_value != NULL) {
        if (codec_apply_schema(&request->arena, type, request->body_value,
                               request->options.strictness, &request->warnings, &err) < 0) {
            return failure_from_err(failure, &request->arena, &err);
        }
        *ret_value = request->body_value;
        return 0;
    }
    if (request->body_format != BODY_JSON && request->body_format != BODY_YAML &&
        request->body_format != BODY_PROTOBUF) {
        return failure_set(failure, &request->arena, ERR_MEDIA_TYPE,
                           "the body of the request was in an unknown format - accepted media "
                           "types include: application/json, application/yaml, "
                           "application/vnd.kubernetes.protobuf");
    }
    if (request->body.n == 0) {
        return failure_set(failure, &request->arena, ERR_BAD_REQUEST,
                           "the request has no body, and needs one");
    }
    if (str_is(str_trim(request->body), "null")) { /* an object of which nothing is said */
        *ret_value = val_new(&request->arena, VAL_OBJECT);
        return 0;
    }
    enum codec_format format = request->body_format == BODY_YAML       ? CODEC_YAML
                               : request->body_format == BODY_PROTOBUF ? CODEC_PROTOBUF
                                                                       : CODEC_JSON;
    if (codec_decode(&request->arena, type, format, request->body, request->options.strictness,
                     &request->warnings, ret_value, &err) < 0) {
        return failure_from_err(failure, &request->arena, &err);
    }
    return 0;
}

/* Decoding errors say what the bytes were taken for. */
static int cannot_handle(struct request *request, const char *kind, const char *version,
                         struct failure *failure)
{
    if (failure->code == ERR_BAD_REQUEST) {
        failure->message = str_of(arena_printf(&request->arena,
                                               "%s in version \"%s\" cannot be handled as a %s: "
                                               "%.*s",
                                               kind, version, kind, STR_ARG(failure->message)));
    }
    return failure->code;
}

static int check_kind(struct request *request, const struct val *value, struct str wanted,
                      const char *kind, struct failure *failure)
{
    struct arena *arena = &request->arena;
    struct str has_kind = val_text(val_get(value, "kind"));
    struct str has_version = val_text(val_get(value, "apiVersion"));
    bool kind_good = has_kind.n == 0 || str_is(has_kind, kind);
    bool version_good = has_version.n == 0 || str_eq(has_version, wanted);
    if (kind_good && version_good) {
        return 0;
    }
    if (kind_good && (request->route.verb == VERB_UPDATE || request->route.name.n > 0)) {
        return failure_set(failure, arena, ERR_BAD_REQUEST,
                           "the API version in the data (%.*s) does not match the expected API "
                           "version (%.*s)",
                           STR_ARG(has_version), STR_ARG(wanted));
    }
    return failure_set(failure, arena, ERR_BAD_REQUEST,
                       "%.*s in version \"%.*s\" cannot be handled as a %s: kind and apiVersion "
                       "must be \"%s\" and \"%.*s\"",
                       STR_ARG(has_kind.n > 0 ? has_kind : str_of(kind)),
                       STR_ARG(has_version.n > 0 ? has_version : wanted), kind, kind,
                       STR_ARG(wanted));
}

/* Objects of custom kinds say what they are. */
static int check_custom_kind(struct request *request, const struct val *value, const char *kind,
                             struct failure *failure)
{
    struct arena *arena = &request->arena;
    struct str has_kind = val_text(val_get(value, "kind"));
    if (has_kind.n == 0) {
        return failure_set(failure, arena, ERR_BAD_REQUEST,
                           "the object provided is unrecognized (must be of type %s): Object "
                           "'Kind' is missing",
                           kind);
    }
    if (val_text(val_get(value, "apiVersion")).n == 0) {
        return failure_set(failure, arena, ERR_BAD_REQUEST,
                           "the API version in the data () does not match the expected API "
                           "version");
    }
    if (str_is(has_kind, kind)) {
        return 0;
    }
    struct field_errors errors = {.arena = arena};
    field_error_add(&errors, "FieldValueInvalid", STR("kind"),
                    "Invalid value: \"%.*s\": must be %s", STR_ARG(has_kind), kind);
    return failure_invalid(failure, arena, str_of(request->route.resource->group), has_kind,
                           val_name(value), &errors);
}

int request_decode_kind(struct request *request, const struct api_struct *type, const char *group,
                        const char *version, const char *kind, struct val **ret_value,
                        struct failure *failure)
{
    struct val *value = NULL;
    int code = request_decode(request, type, &value, failure);
    if (code < 0) {
        return cannot_handle(request, kind, version, failure);
    }
    if (!val_is(value, VAL_OBJECT)) {
        return failure_set(failure, &request->arena, ERR_BAD_REQUEST,
                           "the body of the request is no object");
    }
    const struct api_resource *resource = request->route.resource;
    if (resource != NULL && resource->custom != NULL && type == resource->type) {
        code = check_custom_kind(request, value, kind, failure);
        if (code < 0) {
            return code;
        }
    }
    struct str wanted = api_version_text(&request->arena, group, version);
    code = check_kind(request, value, wanted, kind, failure);
    if (code < 0) {
        return code;
    }
    val_set_text(&request->arena, value, STR("kind"), str_of(kind));
    val_set_text(&request->arena, value, STR("apiVersion"), wanted);
    *ret_value = value;
    return 0;
}

struct str request_manager(const struct request *request)
{
    if (request->options.field_manager.n > 0) {
        return request->options.field_manager;
    }
    struct str rest;
    struct str name = str_cut(request->user_agent, '/', &rest);
    if (name.n > 128) {
        name.n = 128;
    }
    return name.n > 0 ? name : STR("unknown");
}

void request_warn(struct request *request, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    warning_add(&request->warnings, str_of(arena_vprintf(&request->arena, format, ap)));
    va_end(ap);
}

void request_audit(struct request *request, const char *key, struct str value)
{
    struct audit_note *note = request->audit;
    while (note != NULL && !str_is(note->key, key)) {
        note = note->next;
    }
    if (note == NULL) {
        note = arena_new(&request->arena, struct audit_note);
        *note = (struct audit_note){request->audit, str_copy_in(&request->arena, str_of(key)),
                                    STR_NONE};
        request->audit = note;
    }
    note->value = str_copy_in(&request->arena, value);
}

void request_header(struct request *request, const char *name, const char *value)
{
    if (request->extra_count < sizeof request->extra / sizeof *request->extra) {
        request->extra[request->extra_count++] = (struct http_header){str_of(name), str_of(value)};
    }
}

struct api_context request_context(struct request *request, struct arena *arena)
{
    return (struct api_context){
        .arena = arena,
        .now_wall_ns = clock_wall(loop_clock(request->loop)),
        .subresource = request->route.subresource != NULL ? request->route.subresource->name : "",
        .dry_run = request->options.dry_run,
        .user_name = request->identity->name,
        .warnings = &request->warnings,
    };
}

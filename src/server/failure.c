/* failure.c: wording and writing of Status errors, as clients match on them
 * (apimachinery api/errors). */
#include "server/failure.h"

#include <stdarg.h>

#include "api/val.h"

const char conflict_modified[] = "the object has been modified; please apply your changes to the "
                                 "latest version and try again";

int failure_set(struct failure *failure, struct arena *arena, enum err_code code,
                const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    *failure = (struct failure){.code = code, .message = str_of(arena_vprintf(arena, format, ap))};
    va_end(ap);
    return code;
}

int failure_from_err(struct failure *failure, struct arena *arena, const struct err *err)
{
    *failure = (struct failure){.code = err->code != ERR_OK ? err->code : ERR_INTERNAL,
                                .message = str_copy_in(arena, str_of(err->message))};
    if (err->code == ERR_TOO_LARGE_REVISION) {
        static const struct failure_cause cause = {
            STR("ResourceVersionTooLarge"), STR("Too large resource version"), {NULL, 0}};
        failure->causes = &cause;
        failure->cause_count = 1;
        failure->retry_after_s = 1;
    }
    return failure->code;
}

struct str resource_text(struct arena *arena, const struct api_resource *resource)
{
    if (resource->group[0] == '\0') {
        return str_of(resource->plural);
    }
    return str_of(arena_printf(arena, "%s.%s", resource->plural, resource->group));
}

static void about(struct failure *failure, const struct api_resource *resource, struct str name,
                  struct arena *arena)
{
    failure->name = str_copy_in(arena, name);
    failure->group = str_of(resource->group);
    failure->kind = str_of(resource->plural);
}

int failure_not_found(struct failure *failure, struct arena *arena,
                      const struct api_resource *resource, struct str name)
{
    struct str text = resource_text(arena, resource);
    failure_set(failure, arena, ERR_NOT_FOUND, "%.*s \"%.*s\" not found", STR_ARG(text),
                STR_ARG(name));
    about(failure, resource, name, arena);
    return ERR_NOT_FOUND;
}

int failure_exists(struct failure *failure, struct arena *arena,
                   const struct api_resource *resource, struct str name)
{
    struct str text = resource_text(arena, resource);
    failure_set(failure, arena, ERR_EXISTS, "%.*s \"%.*s\" already exists", STR_ARG(text),
                STR_ARG(name));
    about(failure, resource, name, arena);
    return ERR_EXISTS;
}

int failure_conflict(struct failure *failure, struct arena *arena,
                     const struct api_resource *resource, struct str name, const char *format, ...)
{
    struct str text = resource_text(arena, resource);
    va_list ap;
    va_start(ap, format);
    const char *why = arena_vprintf(arena, format, ap);
    va_end(ap);
    failure_set(failure, arena, ERR_CONFLICT, "Operation cannot be fulfilled on %.*s \"%.*s\": %s",
                STR_ARG(text), STR_ARG(name), why);
    about(failure, resource, name, arena);
    return ERR_CONFLICT;
}

int failure_forbidden(struct failure *failure, struct arena *arena,
                      const struct api_resource *resource, struct str name, const char *format, ...)
{
    struct str text = resource_text(arena, resource);
    va_list ap;
    va_start(ap, format);
    const char *why = arena_vprintf(arena, format, ap);
    va_end(ap);
    if (name.n > 0) {
        failure_set(failure, arena, ERR_FORBIDDEN, "%.*s \"%.*s\" is forbidden: %s", STR_ARG(text),
                    STR_ARG(name), why);
    } else {
        failure_set(failure, arena, ERR_FORBIDDEN, "%.*s is forbidden: %s", STR_ARG(text), why);
    }
    about(failure, resource, name, arena);
    return ERR_FORBIDDEN;
}

int failure_invalid(struct failure *failure, struct arena *arena, struct str group, struct str kind,
                    struct str name, const struct field_errors *errors)
{
    struct failure_cause *causes = arena_array(arena, struct failure_cause, errors->count + 1);
    struct buf text BUF_CLEANUP = BUF_INIT;
    buf_printf(&text, "%.*s%s%.*s \"%.*s\" is invalid: ", STR_ARG(kind), group.n > 0 ? "." : "",
               STR_ARG(group), STR_ARG(name));
    buf_addz(&text, errors->count > 1 ? "[" : "");
    for (size_t i = 0; i < errors->count; i++) {
        const struct field_error *e = &errors->items[i];
        buf_printf(&text, "%s%.*s: %.*s", i > 0 ? ", " : "", STR_ARG(e->field), STR_ARG(e->detail));
        causes[i] = (struct failure_cause){str_of(e->type), e->detail, e->field};
    }
    buf_addz(&text, errors->count > 1 ? "]" : "");
    *failure = (struct failure){
        .code = ERR_INVALID,
        .message = str_copy_in(arena, buf_view(&text)),
        .name = str_copy_in(arena, name),
        .group = group,
        .kind = kind,
        .causes = causes,
        .cause_count = errors->count,
    };
    return ERR_INVALID;
}

int failure_status(const struct failure *failure)
{
    return failure->status != 0 ? failure->status : err_http_status(failure->code);
}

void json_text(struct buf *out, struct str text)
{
    struct val v = {.type = VAL_STRING, .text = text};
    val_write_json(&v, out);
}

static void member(struct buf *out, bool *first, const char *key, struct str value)
{
    if (value.n > 0) {
        buf_printf(out, "%s\"%s\":", *first ? "" : ",", key);
        json_text(out, value);
        *first = false;
    }
}

static void write_causes(const struct failure *f, struct buf *out, bool *first)
{
    if (f->cause_count == 0) {
        return;
    }
    buf_printf(out, "%s\"causes\":[", *first ? "" : ",");
    for (size_t i = 0; i < f->cause_count; i++) {
        bool inner = true;
        buf_addz(out, i > 0 ? ",{" : "{");
        member(out, &inner, "reason", f->causes[i].reason);
        member(out, &inner, "message", f->causes[i].message);
        member(out, &inner, "field", f->causes[i].field);
        buf_char(out, '}');
    }
    buf_char(out, ']');
    *first = false;
}

void failure_write(const struct failure *f, struct buf *out)
{
    bool first = false, inner = true;
    buf_addz(out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":"
                  "\"Failure\"");
    member(out, &first, "message", f->message);
    if (!f->unreasoned) {
        member(out, &first, "reason", f->reason.n > 0 ? f->reason : str_of(err_reason(f->code)));
    }
    bool always = f->code == ERR_NOT_FOUND || f->code == ERR_METHOD || f->code == ERR_FORBIDDEN ||
                  f->detailed;
    if (always || f->name.n > 0 || f->kind.n > 0 || f->cause_count > 0 || f->retry_after_s > 0) {
        buf_addz(out, ",\"details\":{");
        member(out, &inner, "name", f->name);
        member(out, &inner, "group", f->group);
        member(out, &inner, "kind", f->kind);
        member(out, &inner, "uid", f->uid);
        write_causes(f, out, &inner);
        if (f->retry_after_s > 0) {
            buf_printf(out, "%s\"retryAfterSeconds\":%d", inner ? "" : ",", f->retry_after_s);
        }
        buf_char(out, '}');
    }
    buf_printf(out, ",\"code\":%d}", failure_status(f));
}

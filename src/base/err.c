/* err.c: filling the one error shape, and the table between codes, HTTP status and Status.reason.
 */
#include "base/err.h"

#include <stdio.h>
#include <string.h>

static const struct {
    enum err_code code;
    int status;
    const char *reason;
} rows[] = {
    {ERR_OK, 200, ""},
    {ERR_BAD_REQUEST, 400, "BadRequest"},
    {ERR_UNAUTHORIZED, 401, "Unauthorized"},
    {ERR_FORBIDDEN, 403, "Forbidden"},
    {ERR_NOT_FOUND, 404, "NotFound"},
    {ERR_METHOD, 405, "MethodNotAllowed"},
    {ERR_NOT_ACCEPTABLE, 406, "NotAcceptable"},
    {ERR_EXISTS, 409, "AlreadyExists"},
    {ERR_CONFLICT, 409, "Conflict"},
    {ERR_GONE, 410, "Gone"},
    {ERR_EXPIRED, 410, "Expired"},
    {ERR_TOO_LARGE, 413, "RequestEntityTooLarge"},
    {ERR_MEDIA_TYPE, 415, "UnsupportedMediaType"},
    {ERR_INVALID, 422, "Invalid"},
    {ERR_TOO_MANY, 429, "TooManyRequests"},
    {ERR_INTERNAL, 500, "InternalError"},
    {ERR_UNAVAILABLE, 503, "ServiceUnavailable"},
    {ERR_TIMEOUT, 504, "Timeout"},
    {ERR_STORAGE, 507, "InternalError"},
    {ERR_TOO_LARGE_REVISION, 504, "Timeout"},
};

__attribute__((format(printf, 4, 0))) static void fill(struct err *err, enum err_code code,
                                                       int os_errno, const char *format, va_list ap)
{
    err->code = code;
    err->os_errno = os_errno;
    int n = vsnprintf(err->message, sizeof err->message, format, ap);
    if (os_errno != 0 && n >= 0 && (size_t)n < sizeof err->message) {
        char text[128];
        snprintf(err->message + n, sizeof err->message - (size_t)n, ": %s",
                 strerror_r(os_errno, text, sizeof text));
    }
}

int err_set(struct err *err, enum err_code code, const char *format, ...)
{
    if (err != NULL) {
        va_list ap;
        va_start(ap, format);
        fill(err, code, 0, format, ap);
        va_end(ap);
    }
    return code;
}

int err_os(struct err *err, int os_errno, const char *format, ...)
{
    if (err != NULL) {
        va_list ap;
        va_start(ap, format);
        fill(err, ERR_IO, os_errno, format, ap);
        va_end(ap);
    }
    return ERR_IO;
}

int err_wrap(struct err *err, const char *format, ...)
{
    if (err == NULL) {
        return ERR_INTERNAL;
    }
    char inner[sizeof err->message];
    memcpy(inner, err->message, sizeof inner);
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(err->message, sizeof err->message, format, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof err->message) {
        snprintf(err->message + n, sizeof err->message - (size_t)n, ": %s", inner);
    }
    return err->code;
}

int err_http_status(enum err_code code)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].code == code) {
            return rows[i].status;
        }
    }
    return 500;
}

const char *err_reason(enum err_code code)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].code == code) {
            return rows[i].reason;
        }
    }
    return "InternalError";
}

enum err_code err_from_reason(const char *reason, int http_status)
{
    for (size_t i = 1; i < sizeof rows / sizeof *rows; i++) {
        if (reason != NULL && rows[i].status == http_status &&
            strcmp(rows[i].reason, reason) == 0) {
            return rows[i].code;
        }
    }
    for (size_t i = 1; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].status == http_status) {
            return rows[i].code;
        }
    }
    return ERR_INTERNAL;
}

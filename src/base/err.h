/* err.h: the one error shape.
 *
 * A function that can fail returns 0 or a negative enum err_code and takes `struct err *err` last.
 * On success *err is untouched; on failure outputs are untouched and *err (if not NULL) says what
 * happened. Libraries never log: they fill the error, the place that handles it reports it once.
 * err_wrap() puts context in front: "open /x: no such file".
 *
 * The codes are the reasons of a Kubernetes Status (apimachinery StatusReason) plus the few that
 * never leave a process.
 */
#pragma once
#include <stdarg.h>
#include <stdbool.h>

enum err_code {
    ERR_OK = 0,
    ERR_BAD_REQUEST = -1,         /* 400 */
    ERR_UNAUTHORIZED = -2,        /* 401 */
    ERR_FORBIDDEN = -3,           /* 403 */
    ERR_NOT_FOUND = -4,           /* 404 */
    ERR_METHOD = -5,              /* 405 MethodNotAllowed */
    ERR_NOT_ACCEPTABLE = -6,      /* 406 */
    ERR_EXISTS = -7,              /* 409 AlreadyExists */
    ERR_CONFLICT = -8,            /* 409 Conflict */
    ERR_GONE = -9,                /* 410 Gone */
    ERR_EXPIRED = -10,            /* 410 Expired */
    ERR_TOO_LARGE = -11,          /* 413 RequestEntityTooLarge */
    ERR_MEDIA_TYPE = -12,         /* 415 UnsupportedMediaType */
    ERR_INVALID = -13,            /* 422 Invalid */
    ERR_TOO_MANY = -14,           /* 429 TooManyRequests */
    ERR_INTERNAL = -15,           /* 500 */
    ERR_UNAVAILABLE = -16,        /* 503 */
    ERR_TIMEOUT = -17,            /* 504 Timeout */
    ERR_STORAGE = -18,            /* 507 the disk is full or failed */
    ERR_TOO_LARGE_REVISION = -19, /* 504 "Too large resource version" */
    ERR_IO = -32,                 /* below: inside a process */
    ERR_CLOSED = -33,
    ERR_CANCELED = -34,
    ERR_PARSE = -35,
    ERR_UNSUPPORTED = -36,
    ERR_LIMIT = -37,
};

struct err {
    enum err_code code;
    int os_errno;      /* 0, or the errno behind it */
    char message[496]; /* NUL ended, cut if longer */
};

#define ERR_INIT                                                                                   \
    {                                                                                              \
        0                                                                                          \
    }

/* Both return `code`, so that a function can say: return err_set(err, ERR_INVALID, "...", ...). err
 * may be NULL. */
int err_set(struct err *err, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Adds strerror(os_errno) at the end: "mkdir /x: Permission denied". */
int err_os(struct err *err, int os_errno, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "text: " before the message; returns err->code (ERR_INTERNAL if err is NULL). */
int err_wrap(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

int err_http_status(enum err_code code);    /* ERR_NOT_FOUND gives 404; inner codes give 500 */
const char *err_reason(enum err_code code); /* "NotFound"; inner codes give "InternalError" */
enum err_code err_from_reason(const char *reason, int http_status);

/* failure.h: an error as a client sees it: metav1.Status with reason, message and details. */
#pragma once
#include "api/ops.h"
#include "api/schema.h"
#include "base/err.h"

struct failure_cause {
    struct str reason, message, field;
};
struct failure {
    enum err_code code;
    int status; /* HTTP; 0: by code */
    struct str message;
    struct str reason; /* n 0: by code */
    bool unreasoned;   /* no reason at all: what upstream answers where an error is just a text */
    bool detailed;     /* has details, be they empty */
    struct str name, group, kind, uid;
    const struct failure_cause *causes;
    size_t cause_count;
    int retry_after_s;
};

/* All return the code. Texts go into the arena. The resource gives group and kind of the details.
 */
int failure_set(struct failure *failure, struct arena *arena, enum err_code code,
                const char *format, ...) __attribute__((format(printf, 4, 5)));
int failure_from_err(struct failure *failure, struct arena *arena, const struct err *err);
int failure_not_found(struct failure *failure, struct arena *arena,
                      const struct api_resource *resource, struct str name);
int failure_exists(struct failure *failure, struct arena *arena,
                   const struct api_resource *resource, struct str name);
/* "Operation cannot be fulfilled on pods "x": ..." */
int failure_conflict(struct failure *failure, struct arena *arena,
                     const struct api_resource *resource, struct str name, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* "pods "x" is forbidden: ..." */
int failure_forbidden(struct failure *failure, struct arena *arena,
                      const struct api_resource *resource, struct str name, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* 'Pod "x" is invalid: spec.y: Required value', all causes. */
int failure_invalid(struct failure *failure, struct arena *arena, struct str group, struct str kind,
                    struct str name, const struct field_errors *errors);
/* "pods" or "deployments.apps" */
struct str resource_text(struct arena *arena, const struct api_resource *resource);
extern const char conflict_modified[]; /* the sentence about the latest version */

int failure_status(const struct failure *failure);
/* The Status object, compact JSON, without a newline. */
void failure_write(const struct failure *failure, struct buf *out);
/* A JSON string with its quotes. */
void json_text(struct buf *out, struct str text);

/* warning.h: what a client is told beside its answer (HTTP Warning headers): each text once, a
 * bounded number, in the order in which they were found.
 */
#pragma once
#include "api/codec.h"
#include "api/validation.h"

enum { WARNING_COUNT_MAX = 64 };

/* `text` must live in warnings->arena, or longer. NULL warnings: nobody asked. */
void warning_add(struct codec_warnings *warnings, struct str text);
/* "PATH: TEXT", or TEXT alone when path is NULL. */
void api_warn(struct api_context *ctx, const struct path *path, const char *format, ...)
    FIELD_FORMAT(3);

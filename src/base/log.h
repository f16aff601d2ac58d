/* log.h: structured log lines, by component, as text or JSON, to stderr.
 *
 *   LOG_INFO("scheduler", "bound", LOG_S("pod", key), LOG_I("ms", took));
 *
 * A line is one write(2), so lines of several threads do not mix. Levels can be set by component
 * while running (log_set, or the role's signal). Never pass secrets, headers or bodies. Libraries
 * below role/ log only where a failure is handled; errors travel in struct err. Log settings are
 * one of the three globals that style.md allows.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_OFF };

enum log_value { LOG_VALUE_END, LOG_VALUE_TEXT, LOG_VALUE_INT };
struct log_field {
    const char *key; /* NULL ends the list */
    enum log_value kind;
    struct str text;
    int64_t number;
};
#define LOG_S(k, v) ((struct log_field){(k), LOG_VALUE_TEXT, (v), 0})       /* struct str */
#define LOG_Z(k, v) ((struct log_field){(k), LOG_VALUE_TEXT, str_of(v), 0}) /* char * */
#define LOG_I(k, v) ((struct log_field){(k), LOG_VALUE_INT, STR_NONE, (int64_t)(v)})
#define LOG_ERR(e)  LOG_Z("err", (e)->message)

bool log_enabled(const char *component, enum log_level level);
void log_write(const char *component, enum log_level level, const char *message,
               const struct log_field *fields);
void log_set_json(bool json);
void log_set_fd(int fd); /* default 2 */
/* "info" or "info,scheduler=debug,node=warn". False: not understood, nothing changed. */
bool log_set_levels(struct str spec);

#define LOG_AT(level, component, message, ...)                                                     \
    do {                                                                                           \
        if (log_enabled((component), (level)))                                                     \
            log_write((component), (level), (message),                                             \
                      (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}});                  \
    } while (0)
#define LOG_DEBUG(component, message, ...) LOG_AT(LOG_LEVEL_DEBUG, component, message, __VA_ARGS__)
#define LOG_INFO(component, message, ...)  LOG_AT(LOG_LEVEL_INFO, component, message, __VA_ARGS__)
#define LOG_WARN(component, message, ...)  LOG_AT(LOG_LEVEL_WARN, component, message, __VA_ARGS__)
#define LOG_ERROR(component, message, ...) LOG_AT(LOG_LEVEL_ERROR, component, message, __VA_ARGS__)

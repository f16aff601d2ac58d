/* defaults.h: filling in what a client left out. Members are only set where they are absent (or
 * null), or, where the API has no pointer and zero means absent, zero. */
#pragma once
#include "api/ops.h"

/* The member under `name`, typed by its parent's schema when the parent is typed. Returns value. */
struct val *default_put(struct val *object, struct str name, struct val *value);
void default_text(struct arena *arena, struct val *object, const char *name, const char *text);
void default_str(struct arena *arena, struct val *object, const char *name, struct str text);
void default_int(struct arena *arena, struct val *object, const char *name, int64_t value);
void default_int_zero(struct arena *arena, struct val *object, const char *name, int64_t value);
void default_bool(struct arena *arena, struct val *object, const char *name, bool value);
/* The object under `name`, made when absent. */
struct val *default_object(struct arena *arena, struct val *object, const char *name);
/* A ResourceList: canonical quantities, rounded up to thousandths. */
void default_resource_list(struct arena *arena, struct val *list);

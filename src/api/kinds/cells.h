/* cells.h: making the cells of a Table row: the few forms that all kinds' columns are made of. */
#pragma once
#include "api/ops.h"

void cell_text(struct api_context *ctx, struct val *cells, struct str text);
void cell_format(struct api_context *ctx, struct val *cells, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void cell_int(struct api_context *ctx, struct val *cells, int64_t value);
void cell_bool(struct api_context *ctx, struct val *cells, bool value);
/* "True", "False", "<unset>". */
void cell_switch(struct api_context *ctx, struct val *cells, const struct val *value);
/* "5m" since an RFC 3339 time; "<unknown>" when there is none. */
void cell_since(struct api_context *ctx, struct val *cells, const struct val *time);
void cell_age(struct api_context *ctx, struct val *cells, const struct val *object);
/* All cells of a kind with the columns Name and Age. */
void cells_name_age(struct api_context *ctx, const struct val *object, struct val *cells);
/* "<none>" for empty text. */
void cell_or_none(struct api_context *ctx, struct val *cells, struct str text);
/* The age text itself, in the arena. */
struct str cell_since_text(struct api_context *ctx, const struct val *time);

/* "a=b,c=d", "<none>" when empty. */
struct str cell_map_text(struct api_context *ctx, const struct val *map);
/* The keys of an object, sorted, with commas. */
struct str cell_keys_text(struct api_context *ctx, const struct val *map);
/* A metav1.LabelSelector as kubectl prints it. */
struct str cell_selector_text(struct api_context *ctx, const struct val *selector);
/* The two wide columns "Containers" and "Images" of kinds with a pod template. */
void cell_containers(struct api_context *ctx, struct val *cells, const struct val *pod_spec);

/* verb.h: what each verb does to objects of any stored kind. */
#pragma once
#include "api/managed/apply.h"
#include "server/request.h"

void verb_get(struct request *request);
void verb_list(struct request *request);
void verb_watch(struct request *request);
void verb_create(struct request *request);
void verb_update(struct request *request); /* the object, and its status */
void verb_patch(struct request *request);
void verb_apply(struct request *request); /* server-side apply, of the object or its status */
void verb_delete(struct request *request);
void verb_delete_collection(struct request *request);

/* The patch document of a request, or 415; subresources use it too. */
int patch_body(struct request *request, struct val **ret_patch, struct failure *failure);
/* 422 about an option of a PATCH. */
int patch_option_invalid(struct request *request, const char *type, const char *field,
                         const char *detail, struct failure *failure);
/* The configuration that is applied: YAML or JSON, as it was written. */
int apply_body(struct request *request, struct val **ret_config, struct failure *failure);
/* 0, or the failure that an apply was refused with. */
int apply_failure(struct arena *arena, const struct apply_refusal *refusal,
                  struct failure *failure);

/* verb.h: what each verb does to objects of any stored kind. */
#pragma once
#include "server/request.h"

void verb_get(struct request *request);
void verb_list(struct request *request);
void verb_watch(struct request *request);
void verb_create(struct request *request);
void verb_update(struct request *request); /* the object, and its status */
void verb_patch(struct request *request);
void verb_delete(struct request *request);
void verb_delete_collection(struct request *request);

/* The patch document of a request, or 415; subresources use it too. */
int patch_body(struct request *request, struct val **ret_patch, struct failure *failure);

/* subresource.h: subresources, and kinds that are not stored: one row each in table.c. */
#pragma once
#include "server/request.h"

handler_fn *subresource_handler(const struct route *route); /* NULL: not served */

/* 201 with a Status of success: what became of binding and eviction. */
void subresource_answer_created(struct request *request);

void subresource_scale(struct request *request);    /* get, update, patch */
void subresource_binding(struct request *request);  /* pods/binding, bindings */
void subresource_eviction(struct request *request); /* pods/eviction */
void subresource_token(struct request *request);    /* serviceaccounts/token */
void subresource_token_review(struct request *request);
void subresource_access_review(struct request *request); /* all four of the family */
void subresource_rules_review(struct request *request);
void subresource_self_review(struct request *request);
void subresource_node_proxy(
    struct request *request);                        /* pods/log exec attach portforward, proxies */
void subresource_component(struct request *request); /* componentstatuses: get, list */

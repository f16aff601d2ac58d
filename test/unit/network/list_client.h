/* list_client.h: a client that serves lists of objects to informers and nothing else. */
#pragma once
#include "client/informer.h"

struct list_client;
struct list_client *list_client_new(struct loop *loop);
void list_client_free(struct list_client *list);
struct client *list_client_client(struct list_client *list);
/* Takes the reference; the same name again is a change. Watchers hear it at once. */
void list_client_put(struct list_client *list, struct object *object);

/* bootstrap.h: objects that every cluster has; made or put right at each start. */
#pragma once
#include "server/request.h"

/* Home loop. done() runs once; err->code 0 when all are there. */
void bootstrap_run(struct server *server, void (*done)(void *ctx, const struct err *err),
                   void *ctx);

/* One object to ensure. */
struct bootstrap_object {
    const struct api_resource *resource;
    struct str ns, name;
    struct val *value;   /* schemaless tape, with kind and apiVersion */
    bool reconcile;      /* put back when it differs (unless autoupdate is off) */
    const char *compare; /* members that are put back, words between spaces; or */
    /* changes what there is to what is wanted; whether it had to */
    bool (*mend)(struct arena *arena, struct val *old, const struct val *wanted);
};
struct bootstrap_list {
    struct server *server;
    struct arena *arena;
    struct bootstrap_object *items;
    size_t count, cap;
};
struct bootstrap_object *bootstrap_add(struct bootstrap_list *list,
                                       const struct api_resource *resource, struct str ns,
                                       struct str name);
/* The members of a JSON object, put into the object's value. */
void bootstrap_add_json(struct bootstrap_list *list, struct bootstrap_object *object,
                        const char *json);
void bootstrap_add_rbac(struct bootstrap_list *list);
void bootstrap_add_cluster(struct bootstrap_list *list);     /* namespaces, priorities, Service */
void bootstrap_add_groups(struct bootstrap_list *list);      /* APIServices, ServiceCIDR */
void bootstrap_add_flowcontrol(struct bootstrap_list *list); /* priority levels, flow schemas */

/* definitions_int.h: between the parts of server/custom. */
#pragma once
#include "api/custom/custom.h"
#include "api/custom/definition_kind.h"
#include "base/map.h"
#include "server/custom/definitions.h"
#include "server/server_int.h"
#include "server/write/change.h"

struct cleanup;
struct record { /* of one CRD */
    struct definitions *definitions;
    char *name, *group, *uid;
    struct arena arena;      /* of accepted */
    struct val *accepted;    /* status.acceptedNames as given out; NULL: none */
    bool conflict;           /* some names are not given out */
    bool writing, dirty;     /* a status is being written; look again after it */
    struct cleanup *cleanup; /* deletes the instances; NULL: not terminating */
};
struct definitions {
    struct server *server;
    const struct api_resource *resource;
    struct cursor *cursor;
    struct timer retry;
    struct map records; /* name -> struct record */
};

/* names.c: gives out names and sets acceptedNames and conditions in `crd`. Whether the status
 * changed; *ret_established: it is to be served. */
bool definition_name(struct record *record, struct arena *arena, struct val *crd,
                     int64_t now_wall_ns, bool *ret_established);
/* Looks at the newest state of the definition: kind, names, status. */
void definitions_look(struct definitions *definitions, struct str name);
/* cleanup.c: deletes all objects of the kind, then takes the finalizer away. */
struct cleanup *cleanup_start(struct record *record);
void cleanup_free(struct cleanup *cleanup); /* NULL is harmless */
/* A status as the server's own update. */
void definition_track(struct arena *arena, const struct api_resource *resource,
                      const struct val *old, struct val *next, int64_t now_wall_ns);

/* binder_int.h: the parts of the PersistentVolume binder: binder.c (events), binder_claim.c and
 * binder_volume.c (one pass over one of each), provision.c (volumes made on demand). */
#pragma once
#include "api/volume_binding.h"
#include "controllers/children.h"

struct recorder;
struct binder {
    struct worker *claim_worker, *volume_worker;
    struct informer *claims, *volumes, *classes, *nodes;
    const struct api_resource *claim_resource, *volume_resource;
    struct recorder *recorder;
};

void binder_claim(void *ctx, struct pass *pass);
void binder_volume(void *ctx, struct pass *pass);
struct val *binder_class(struct pass *pass, struct binder *binder, const struct val *claim);
void binder_tell(struct binder *binder, struct object *about, const char *type, const char *reason,
                 const char *text);
void binder_annotate(struct arena *arena, struct val *object, const char *key, const char *value);

struct claiming { /* one pass over one claim */
    struct binder *binder;
    struct object *object;
    struct val *claim;
    struct object *volume_object;
    struct val *volume;
};
/* Writes what is missing of the binding of claim and volume, the volume's side first. */
void claim_bind(struct pass *pass, struct claiming *work, struct object *volume);
void claim_pending(struct pass *pass, struct claiming *work);
/* Makes a volume for a claim of class `class`, or says why not and leaves it pending. */
void claim_provision(struct pass *pass, struct claiming *work, const struct val *class);
/* Lets a bound claim grow, when it asks for more and its volume is a folder of ours. */
void claim_expand(struct pass *pass, struct claiming *work);

/* children.h: whose objects are whose: owner references, adoption and release. */
#pragma once
#include "api/selector.h"
#include "controllers/pass.h"

struct objects {
    struct object **items; /* borrowed from the informer: valid until the loop's next turn */
    size_t count, cap;
};
void objects_add(struct arena *arena, struct objects *list, struct object *object);
void objects_sort(struct objects *list,
                  int (*compare)(const struct object *a, const struct object *b));

/* The informer's index by controller (and of those without one, by namespace); made once. */
void children_index(struct informer *informer);
/* Objects whose controller is this uid. */
void children_of(struct arena *arena, const struct informer *informer, struct str uid,
                 struct objects *ret_list);

/* A metav1.OwnerReference with controller and blockOwnerDeletion. */
struct val *owner_reference_new(struct arena *arena, const struct object *owner);
/* The controller owner's uid, kind and name: false when there is none. Views into the arena. */
struct owner;
bool controller_of(struct arena *arena, const struct object *object, struct owner *ret_owner);
/* The object of `informer` that is the controller of `object` (same uid), or NULL. */
struct object *controller_object_of(const struct informer *informer, const char *kind,
                                    const struct object *object);
/* The spec.selector of a decoded object: a metav1.LabelSelector, or a plain map of labels as
 * ReplicationControllers have it. */
bool selector_of(struct arena *arena, const struct val *owner, struct selector *ret_selector);
/* Visits the objects of `informer` in the namespace whose spec.selector matches an orphan's labels:
 * they may want to adopt it. */
void for_each_selecting(const struct informer *informer, const struct object *orphan,
                        void (*visit)(void *ctx, struct object *object), void *ctx);

/* A child changed: visits its controller of this kind, before and now, and, when it is an orphan,
 * whoever may want to adopt it. */
void children_changed(const struct informer *owners, const char *kind, struct object *old,
                      struct object *now, void (*visit)(void *ctx, struct object *object),
                      void *ctx);

struct claim_rule {
    const char *finalizer; /* is put on what is adopted; NULL: none */
    /* Whether a child that the selector matches is one all the same; NULL: yes. */
    bool (*is_member)(const struct object *owner, const struct object *child);
};
/* The children that `owner` has after this pass: its own that still match, and orphans that match.
 * Sends the patches that release the others and adopt the orphans (these only after a fresh look at
 * the owner says that it is the same and not being deleted). While orphans wait for adoption the
 * pass is run again, and they are not yet in the list. */
void children_claim(struct pass *pass, struct object *owner, const struct selector *selector,
                    const struct informer *informer, const struct claim_rule *rule,
                    struct objects *ret_list);

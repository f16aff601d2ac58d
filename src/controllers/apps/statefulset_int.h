/* statefulset_int.h: the parts of the StatefulSet controller: statefulset.c (events, revisions,
 * order of a pass, status), statefulset_members.c (which pods there are and should be),
 * statefulset_claims.c (their volumes). */
#pragma once
#include "controllers/apps/revisions.h"
#include "controllers/pods.h"

struct recorder;
struct statefulsets {
    struct worker *worker;
    struct informer *sets, *pods, *revisions, *claims;
    const struct api_resource *resource, *pod_resource, *revision_resource, *claim_resource;
    struct recorder *recorder;
    struct pod_cache *briefs;
};

struct member {
    int64_t ordinal;
    bool exists;
    struct pod_brief pod; /* when it exists */
    struct str revision;  /* of the pod, or that a missing one gets */
};

struct stateful { /* one pass over one set */
    struct statefulsets *all;
    struct object *object;
    struct val *value;
    struct selector selector;
    struct revisions revisions;
    struct revision *current, *update;
    int64_t replicas, start, min_ready, partition, max_unavailable;
    bool parallel, on_delete;
    struct member *members;   /* ordinals start .. start + replicas - 1 */
    struct member *condemned; /* beyond; highest ordinal first */
    size_t condemned_count;
    struct member **to_make; /* missing members that this pass makes */
    size_t to_make_count;
};

/* ---- statefulset_members.c ---- */
/* "web-3" of set "web" is 3; -1: no member's name. */
int64_t member_ordinal(const struct object *set, struct str pod_name);
bool stateful_is_member(const struct object *set, const struct object *pod);
void stateful_load_spec(struct stateful *set);
void stateful_load_members(struct pass *pass, struct stateful *set, const struct objects *pods);
bool member_is_ready(const struct member *member);
bool member_is_available(const struct pass *pass, const struct stateful *set,
                         const struct member *member);
struct val *member_pod(struct pass *pass, const struct stateful *set, const struct member *member);
void stateful_delete_pod(struct pass *pass, struct stateful *set, const struct member *member);
const char *member_name(struct arena *arena, const struct stateful *set, int64_t ordinal);

/* ---- statefulset_claims.c ---- */
/* Creates the claims that the member lacks. False: one is being deleted; the pod must wait. */
bool claims_make(struct pass *pass, struct stateful *set, const struct member *member);
/* Owner references of the member's claims, by spec.persistentVolumeClaimRetentionPolicy. */
void claims_own(struct pass *pass, struct stateful *set, const struct member *member,
                bool condemned);
/* Puts the claims of the member into the pod's volumes. */
void claims_mount(struct arena *arena, const struct stateful *set, int64_t ordinal,
                  struct val *pod);

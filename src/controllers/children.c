/* Owner references, adoption and release (children.h).
 *
 * One index serves all: an object is under the uid of its controller, or, when it has none, under
 * "ns/NAMESPACE", where the controllers of that namespace look for orphans.
 */
#include "controllers/children.h"

#include <stdlib.h>

#include "client/owners.h"

#define INDEX "controller"

void objects_add(struct arena *arena, struct objects *list, struct object *object)
{
    if (list->count == list->cap) {
        size_t cap = list->cap > 0 ? list->cap * 2 : 16;
        struct object **items = arena_array(arena, struct object *, cap);
        if (list->count > 0) {
            memcpy(items, list->items, list->count * sizeof *items);
        }
        list->items = items;
        list->cap = cap;
    }
    list->items[list->count++] = object;
}

void objects_sort(struct objects *list,
                  int (*compare)(const struct object *a, const struct object *b))
{
    for (size_t i = 1; i < list->count; i++) { /* short lists; stable */
        struct object *object = list->items[i];
        size_t at = i;
        while (at > 0 && compare(list->items[at - 1], object) > 0) {
            list->items[at] = list->items[at - 1];
            at--;
        }
        list->items[at] = object;
    }
}

static struct str orphan_key(struct arena *arena, struct str ns)
{
    return str_of(arena_printf(arena, "ns/%.*s", STR_ARG(ns)));
}

static void keys(const struct object *object, void (*emit)(void *arg, struct str key), void *arg)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct owner owner;
    emit(arg, controller_of(&arena, object, &owner) ? owner.uid : orphan_key(&arena, object->ns));
}

void children_index(struct informer *informer)
{
    informer_index(informer, INDEX, keys);
}

struct collect {
    struct arena *arena;
    struct objects *list;
};

static bool collect(void *ctx, struct object *object)
{
    struct collect *to = ctx;
    objects_add(to->arena, to->list, object);
    return true;
}

void children_of(struct arena *arena, const struct informer *informer, struct str uid,
                 struct objects *ret_list)
{
    *ret_list = (struct objects){0};
    informer_each_in(informer, INDEX, uid, collect, &(struct collect){arena, ret_list});
}

struct val *owner_reference_new(struct arena *arena, const struct object *owner)
{
    struct val *reference = val_new(arena, VAL_OBJECT);
    val_set_text(arena, reference, STR("apiVersion"), object_api_version(owner));
    val_set_text(arena, reference, STR("kind"), str_of(owner->resource->kind));
    val_set_text(arena, reference, STR("name"), owner->name);
    val_set_text(arena, reference, STR("uid"), owner->uid);
    val_set_bool(arena, reference, STR("controller"), true);
    val_set_bool(arena, reference, STR("blockOwnerDeletion"), true);
    return reference;
}

bool controller_of(struct arena *arena, const struct object *object, struct owner *ret_owner)
{
    struct owner *owners;
    size_t count = owners_of(arena, object, &owners);
    for (size_t i = 0; i < count; i++) {
        if (owners[i].controller) {
            *ret_owner = owners[i];
            return true;
        }
    }
    return false;
}

struct object *controller_object_of(const struct informer *informer, const char *kind,
                                    const struct object *object)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct owner owner;
    if (!controller_of(&arena, object, &owner) || !str_is(owner.kind, kind)) {
        return NULL;
    }
    struct object *found = informer_get(informer, object->ns, owner.name);
    return found != NULL && str_eq(found->uid, owner.uid) ? found : NULL;
}

bool selector_of(struct arena *arena, const struct val *owner, struct selector *ret_selector)
{
    const struct val *value = val_path(owner, "spec.selector");
    if (value != NULL && value->field != NULL && value->field->shape == API_SHAPE_MAP) {
        selector_from_map(arena, value, ret_selector);
        return true;
    }
    return selector_from_val(arena, value, ret_selector, NULL) == 0;
}

struct selecting {
    const struct object *orphan;
    void (*visit)(void *ctx, struct object *object);
    void *ctx;
};

static bool visit_selecting(void *ctx, struct object *object)
{
    struct selecting *selecting = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct selector selector;
    if (selector_of(&arena, object_decode(object, &arena), &selector) &&
        !selector_empty(&selector) && selector_matches(&selector, selecting->orphan)) {
        selecting->visit(selecting->ctx, object);
    }
    return true;
}

void for_each_selecting(const struct informer *informer, const struct object *orphan,
                        void (*visit)(void *ctx, struct object *object), void *ctx)
{
    if (orphan->label_count > 0) {
        informer_each(informer, orphan->ns, NULL, visit_selecting,
                      &(struct selecting){orphan, visit, ctx});
    }
}

/* Runs for every pod event in several controllers: nothing is parsed where no owner could be woken,
 * and the owners of a state are read once. */
void children_changed(const struct informer *owners, const char *kind, struct object *old,
                      struct object *now, void (*visit)(void *ctx, struct object *object),
                      void *ctx)
{
    if (informer_count(owners) == 0) {
        return;
    }
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct object *states[] = {old, now};
    bool owned = false; /* the last state */
    for (size_t i = 0; i < 2; i++) {
        struct owner owner;
        owned = states[i] != NULL && controller_of(&arena, states[i], &owner);
        struct object *found = owned && str_is(owner.kind, kind)
                                   ? informer_get(owners, states[i]->ns, owner.name)
                                   : NULL;
        if (found != NULL && str_eq(found->uid, owner.uid)) {
            visit(ctx, found);
        }
    }
    if (now != NULL && !now->deleting && !owned) {
        for_each_selecting(owners, now, visit, ctx);
    }
}

/* ---- claims ---- */

struct claim {
    struct pass *pass;
    struct object *owner;
    const struct selector *selector;
    struct claim_rule rule;
    struct objects *mine, orphans;
};

static bool is_member(const struct claim *claim, const struct object *child)
{
    return selector_matches(claim->selector, child) &&
           (claim->rule.is_member == NULL || claim->rule.is_member(claim->owner, child));
}

static bool claim_own(void *ctx, struct object *child)
{
    struct claim *claim = ctx;
    struct pass *pass = claim->pass;
    if (is_member(claim, child)) {
        objects_add(pass->arena, claim->mine, child);
    } else if (!claim->owner->deleting) {
        struct val *meta, *body = pass_patch_body(pass, child, &meta);
        struct val *gone = val_append(val_make_array(pass->arena, meta, STR("ownerReferences")),
                                      val_new(pass->arena, VAL_OBJECT));
        val_set_text(pass->arena, gone, STR("$patch"), STR("delete"));
        val_set_text(pass->arena, gone, STR("uid"), claim->owner->uid);
        pass_patch(pass, child, CLIENT_PATCH_STRATEGIC, "", body, NULL, NULL);
    }
    return true;
}

static bool claim_orphan(void *ctx, struct object *child)
{
    struct claim *claim = ctx;
    if (!child->deleting && is_member(claim, child)) {
        objects_add(claim->pass->arena, &claim->orphans, pass_hold(claim->pass, child));
    }
    return true;
}

static void adopt(struct pass *pass, struct claim *claim)
{
    for (size_t i = 0; i < claim->orphans.count; i++) {
        struct object *child = claim->orphans.items[i];
        struct val *meta, *body = pass_patch_body(pass, child, &meta);
        val_append(val_make_array(pass->arena, meta, STR("ownerReferences")),
                   owner_reference_new(pass->arena, claim->owner));
        if (claim->rule.finalizer != NULL) {
            val_append(val_make_array(pass->arena, meta, STR("finalizers")),
                       val_new_text(pass->arena, str_of(claim->rule.finalizer)));
        }
        pass_patch(pass, child, CLIENT_PATCH_STRATEGIC, "", body, NULL, NULL);
    }
}

static void on_fresh_owner(struct pass *pass, void *arg, const struct client_result *result)
{
    struct claim *claim = arg;
    const struct object *fresh = result->object;
    if (result->code != 0 && result->code != ERR_NOT_FOUND) {
        pass_fail(pass);
    } else if (fresh != NULL && str_eq(fresh->uid, claim->owner->uid) && !fresh->deleting) {
        adopt(pass, claim);
        pass_again(pass);
    }
}

void children_claim(struct pass *pass, struct object *owner, const struct selector *selector,
                    const struct informer *informer, const struct claim_rule *rule,
                    struct objects *ret_list)
{
    *ret_list = (struct objects){0};
    struct claim *claim = arena_new(pass->arena, struct claim);
    *claim = (struct claim){
        .pass = pass, .owner = owner, .selector = selector, .rule = *rule, .mine = ret_list};
    informer_each_in(informer, INDEX, owner->uid, claim_own, claim);
    if (!owner->deleting) {
        informer_each_in(informer, INDEX, orphan_key(pass->arena, owner->ns), claim_orphan, claim);
    }
    if (claim->orphans.count > 0) {
        pass_hold(pass, owner);
        pass_write(pass,
                   &(struct client_request){.verb = CLIENT_GET,
                                            .resource = owner->resource,
                                            .ns = owner->ns,
                                            .name = owner->name,
                                            .subresource = ""},
                   on_fresh_owner, claim);
    }
}

/* The history of a template (revisions.h). */
#include "controllers/apps/revisions.h"

#include <stdlib.h>

static struct val *revision_data(struct arena *arena, const struct val *owner)
{
    struct val *data = val_new(arena, VAL_OBJECT);
    struct val *spec = val_make_object(arena, data, STR("spec"));
    struct val *template = val_copy(arena, val_path(owner, "spec.template"));
    val_set(spec, STR("template"), template);
    val_set_text(arena, template, STR("$patch"), STR("replace"));
    return data;
}

static int compare_numbers(const void *a, const void *b)
{
    const struct revision *one = a, *two = b;
    if (one->number != two->number) {
        return one->number < two->number ? -1 : 1;
    }
    return one->created != two->created ? (one->created < two->created ? -1 : 1)
                                        : str_cmp(one->object->name, two->object->name);
}

void revisions_load(struct pass *pass, struct object *owner, const struct selector *selector,
                    const struct informer *informer, struct revisions *ret_revisions)
{
    struct objects mine;
    children_claim(pass, owner, selector, informer, &(struct claim_rule){0}, &mine);
    ret_revisions->items = arena_array(pass->arena, struct revision, mine.count + 1);
    ret_revisions->count = mine.count;
    for (size_t i = 0; i < mine.count; i++) {
        struct revision *revision = &ret_revisions->items[i];
        *revision = (struct revision){.object = pass_hold(pass, mine.items[i]),
                                      .value = object_decode(mine.items[i], pass->arena)};
        revision->number = val_int(val_get(revision->value, "revision"), 0);
        time_parse(val_text(val_path(revision->value, "metadata.creationTimestamp")),
                   &revision->created);
    }
    qsort(ret_revisions->items, mine.count, sizeof(struct revision), compare_numbers);
}

struct revision *revisions_find(const struct revisions *revisions, struct str name)
{
    for (size_t i = 0; i < revisions->count; i++) {
        if (str_eq(revisions->items[i].object->name, name)) {
            return &revisions->items[i];
        }
    }
    return NULL;
}

static struct revision *revisions_equal(const struct revisions *revisions, const struct val *data)
{
    for (size_t i = revisions->count; i-- > 0;) {
        if (val_equal(val_get(revisions->items[i].value, "data"), data)) {
            return &revisions->items[i];
        }
    }
    return NULL;
}

static int64_t revisions_next(const struct revisions *revisions)
{
    return revisions->count > 0 ? revisions->items[revisions->count - 1].number + 1 : 1;
}

const char *hash_text(struct arena *arena, struct str text, int64_t collisions)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    struct str more = STR_NONE;
    if (collisions >= 0) {
        more = str_of(arena_printf(arena, "#%lld", (long long)collisions));
    }
    uint32_t hash = 2166136261u; /* FNV-1a, 32 bit */
    for (size_t i = 0; i < text.n + more.n; i++) {
        char c = i < text.n ? text.p[i] : more.p[i - text.n];
        hash = (hash ^ (uint8_t)c) * 16777619u;
    }
    char *out = arena_printf(arena, "%u", hash);
    for (char *p = out; *p != '\0'; p++) {
        *p = alphabet[(unsigned char)*p % (sizeof alphabet - 1)];
    }
    return out;
}

static void copy_members(struct arena *arena, const struct val *from, struct val *meta,
                         const char *key)
{
    if (val_count(from) > 0) {
        val_set(meta, str_of(key), val_copy(arena, from));
    }
}

struct revision_new {
    struct object *owner;
    const struct val *value; /* template's labels and own annotations are copied */
    struct val *data;
    const char *hash_label;
    int64_t number, collisions;
};

static struct val *revision_make(struct arena *arena, const struct revision_new *wanted,
                                 const char **ret_name)
{
    struct buf bytes BUF_CLEANUP = BUF_INIT;
    val_write_json(wanted->data, &bytes);
    const char *hash = hash_text(arena, buf_view(&bytes), wanted->collisions);
    struct str prefix = wanted->owner->name;
    prefix.n = prefix.n > 223 ? 223 : prefix.n;
    *ret_name = arena_printf(arena, "%.*s-%s", STR_ARG(prefix), hash);

    struct val *revision = val_new(arena, VAL_OBJECT);
    struct val *meta = val_make_object(arena, revision, STR("metadata"));
    val_set_text(arena, meta, STR("name"), str_of(*ret_name));
    copy_members(arena, val_path(wanted->value, "spec.template.metadata.labels"), meta, "labels");
    val_set_text(arena, val_make_object(arena, meta, STR("labels")), str_of(wanted->hash_label),
                 str_of(hash));
    copy_members(arena, val_path(wanted->value, "metadata.annotations"), meta, "annotations");
    val_append(val_make_array(arena, meta, STR("ownerReferences")),
               owner_reference_new(arena, wanted->owner));
    val_set(revision, STR("data"), wanted->data);
    val_set_int(arena, revision, STR("revision"), wanted->number);
    return revision;
}

static void revision_renumber(struct pass *pass, struct revision *revision, int64_t number)
{
    if (revision->number != number) {
        revision->number = number;
        val_set_int(pass->arena, revision->value, STR("revision"), number);
        pass_update(pass, revision->object->resource, "", revision->value, NULL, NULL);
    }
}

struct revision_making {
    struct object *owner;
    const struct val *value;
};

static void on_revision(struct pass *pass, void *arg, const struct client_result *result)
{
    const struct revision_making *making = arg;
    if (result->code == 0) {
        pass_again(pass); /* and finds it */
    } else if (result->code == ERR_EXISTS) {
        struct val *meta, *body = pass_patch_body(pass, making->owner, &meta);
        int64_t collisions = val_int(val_path(making->value, "status.collisionCount"), 0);
        val_set_int(pass->arena, val_make_object(pass->arena, body, STR("status")),
                    STR("collisionCount"), collisions + 1);
        pass_patch(pass, making->owner, CLIENT_PATCH_MERGE, "status", body, NULL, NULL);
        pass_again(pass);
    } else {
        pass_fail(pass);
    }
}

struct revision *revisions_current(struct pass *pass, struct object *owner, const struct val *value,
                                   const struct revisions *revisions,
                                   const struct revision_rule *rule)
{
    struct val *data = revision_data(pass->arena, value);
    struct revision *found = revisions_equal(revisions, data);
    if (found != NULL) {
        if (found != &revisions->items[revisions->count - 1]) {
            revision_renumber(pass, found, revisions_next(revisions));
        }
        return found;
    }
    const char *name;
    struct revision_new wanted = {
        .owner = owner,
        .value = value,
        .data = data,
        .hash_label = rule->hash_label,
        .number = revisions_next(revisions),
        .collisions = val_int(val_path(value, "status.collisionCount"), rule->first_collisions)};
    struct val *body = revision_make(pass->arena, &wanted, &name);
    struct revision_making *making = arena_new(pass->arena, struct revision_making);
    *making = (struct revision_making){owner, value};
    pass_create(pass, rule->resource, pass->ns, body, on_revision, making);
    return NULL;
}

void revisions_truncate(struct pass *pass, const struct revisions *revisions, int64_t limit,
                        bool (*is_live)(void *ctx, const struct revision *revision), void *ctx)
{
    int64_t idle = 0;
    for (size_t i = 0; i < revisions->count; i++) {
        idle += !is_live(ctx, &revisions->items[i]);
    }
    for (size_t i = 0; i < revisions->count && idle > limit; i++) {
        struct revision *revision = &revisions->items[i];
        if (!is_live(ctx, revision)) {
            pass_delete(pass, revision->object, NULL, -1, NULL, NULL);
            idle--;
        }
    }
}

/* identity.c: making and sharing identities. See identity.h. */
#include "server/identity.h"

#include <stdlib.h>

#include "base/mem.h"

static struct identity *make(struct str name, struct str uid, const struct str *groups,
                             size_t group_count, bool authenticated)
{
    struct identity *identity = mem_new(struct identity);
    atomic_init(&identity->refs, 1);
    identity->name = str_copy_in(&identity->arena, name);
    identity->uid = str_copy_in(&identity->arena, uid);
    identity->groups = arena_array(&identity->arena, struct str, group_count + 1);
    for (size_t i = 0; i < group_count; i++) {
        identity->groups[i] = str_copy_in(&identity->arena, groups[i]);
    }
    identity->group_count = group_count;
    identity->authenticated = authenticated;
    struct str last = authenticated ? STR("system:authenticated") : STR("system:unauthenticated");
    if (!identity_in_group(identity, last)) {
        identity->groups[identity->group_count++] = last;
    }
    identity->masters = identity_in_group(identity, STR("system:masters"));
    if (str_starts(identity->name, STR("system:node:")) &&
        identity_in_group(identity, STR("system:nodes"))) {
        identity->node = str_from(identity->name, strlen("system:node:"));
    }
    return identity;
}

struct identity *identity_new(struct str name, struct str uid, const struct str *groups,
                              size_t group_count)
{
    return make(name, uid, groups, group_count, !str_is(name, "system:anonymous"));
}

struct identity *identity_new_anonymous(void)
{
    return make(STR("system:anonymous"), STR_NONE, NULL, 0, false);
}

struct identity *identity_new_account(struct str ns, struct str name, struct str uid)
{
    char *user MEM_CLEANUP =
        mem_printf("system:serviceaccount:%.*s:%.*s", STR_ARG(ns), STR_ARG(name));
    char *group MEM_CLEANUP = mem_printf("system:serviceaccounts:%.*s", STR_ARG(ns));
    struct str groups[] = {STR("system:serviceaccounts"), str_of(group)};
    return make(str_of(user), uid, groups, 2, true);
}

void identity_add_extra(struct identity *identity, const char *key, const struct str *values,
                        size_t count)
{
    struct identity_extra *extra =
        arena_array(&identity->arena, struct identity_extra, identity->extra_count + 1);
    if (identity->extra_count > 0) {
        memcpy(extra, identity->extra, sizeof *extra * identity->extra_count);
    }
    struct str *copy = arena_array(&identity->arena, struct str, count > 0 ? count : 1);
    for (size_t i = 0; i < count; i++) {
        copy[i] = str_copy_in(&identity->arena, values[i]);
    }
    extra[identity->extra_count] =
        (struct identity_extra){str_copy_in(&identity->arena, str_of(key)), copy, count};
    identity->extra = extra;
    identity->extra_count++;
}

struct identity *identity_ref(struct identity *identity)
{
    atomic_fetch_add_explicit(&identity->refs, 1, memory_order_relaxed);
    return identity;
}

void identity_unref(struct identity *identity)
{
    if (identity == NULL ||
        atomic_fetch_sub_explicit(&identity->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    arena_done(&identity->arena);
    free(identity);
}

bool identity_in_group(const struct identity *identity, struct str group)
{
    for (size_t i = 0; i < identity->group_count; i++) {
        if (str_eq(identity->groups[i], group)) {
            return true;
        }
    }
    return false;
}

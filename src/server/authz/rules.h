/* rules.h: PolicyRules compiled for matching, roles, bindings, and the immutable set of all. */
#pragma once
#include "base/map.h"
#include "server/authz/authz.h"

struct known_resources;

struct rule {
    struct str *verbs, *groups, *resources, *names, *paths;
    uint16_t verb_count, group_count, resource_count, name_count, path_count;
    bool all_verbs, all_groups, all_resources;
};
struct rule_list { /* of one role; counted, shared between sets */
    _Atomic uint32_t refs;
    struct object *object; /* the role it was made from */
    struct arena arena;
    struct rule *items;
    size_t count;
};
struct rule_list *rule_list_new(struct object *role); /* takes a reference of the role */
struct rule_list *rule_list_ref(struct rule_list *list);
void rule_list_unref(struct rule_list *list);
/* Compiles one PolicyRule. */
void rule_compile(struct arena *arena, const struct val *policy_rule, struct rule *ret_rule);
bool rule_matches(const struct rule *rule, const struct attributes *attributes);

/* Whether `held` together allow everything that `rule` does; a '*' only where it is held. */
bool rules_cover(const struct rule *held, size_t count, const struct rule *rule);

struct grant {               /* one binding, as seen from one of its subjects */
    struct str ns;           /* n 0: cluster-wide */
    struct rule_list *rules; /* borrowed from the set; NULL: the role does not exist */
    const struct object *binding;
};
struct grants {
    struct grant *items;
    size_t count, cap;
};
struct rule_set { /* immutable once published; counted */
    _Atomic uint32_t refs;
    struct map roles;    /* "NS/NAME", cluster roles "/NAME" -> struct rule_list, owned */
    struct map bindings; /* same keys -> struct object *, owned: keep grants' texts alive */
    struct map subjects; /* "U:name", "G:group" -> struct grants, owned */
};
struct rule_set *rule_set_build(struct cache *cache, const struct known_resources *known,
                                const struct rule_set *old);
struct rule_set *rule_set_ref(struct rule_set *set);
void rule_set_unref(struct rule_set *set);
/* Visits grants of the identity that count in `ns`; visit returning true stops. */
bool rule_set_each(const struct rule_set *set, const struct identity *identity, struct str ns,
                   bool (*visit)(void *ctx, const struct grant *grant), void *ctx);
/* Rules of a role, borrowed; NULL when there is none. */
const struct rule_list *rule_set_role(const struct rule_set *set, struct str ns, struct str name);

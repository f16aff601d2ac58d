/* rbac.c: the default roles and bindings (policy.h) as objects, and what is put back at a start: as
 * upstream, what is missing is added; what somebody added stays; an object whose annotation
 * rbac.authorization.kubernetes.io/autoupdate is "false" is left alone.
 */
#include "server/authz/rules.h"
#include "server/bootstrap/bootstrap.h"
#include "server/bootstrap/policy.h"
#include "server/server_int.h"

static const char group[] = "rbac.authorization.k8s.io";

/* ---- putting back ---- */

static bool union_of(struct arena *arena, struct val *old, const struct val *wanted,
                     const char *key)
{
    struct val *meta = val_make_object(arena, old, STR("metadata"));
    bool changed = false;
    VAL_EACH (it, val_get_str(val_get(wanted, "metadata"), str_of(key))) {
        struct val *map = val_make_object(arena, meta, str_of(key));
        const struct val *has = val_get_str(map, it->key);
        if (has == NULL || !str_eq(val_text(has), val_text(it))) {
            val_set_text(arena, map, str_copy_in(arena, it->key), str_copy_in(arena, val_text(it)));
            changed = true;
        }
    }
    return changed;
}

static bool mend_metadata(struct arena *arena, struct val *old, const struct val *wanted)
{
    bool labels = union_of(arena, old, wanted, "labels");
    return union_of(arena, old, wanted, "annotations") || labels;
}

static bool mend_rules(struct arena *arena, struct val *old, const struct val *wanted)
{
    struct rule rule;
    size_t count = 0;
    bool changed = false;
    struct rule *held = arena_array(arena, struct rule, val_count(val_get(old, "rules")) + 1);
    VAL_EACH (it, val_get(old, "rules")) {
        rule_compile(arena, it, &held[count++]);
    }
    VAL_EACH (it, val_get(wanted, "rules")) {
        rule_compile(arena, it, &rule);
        if (!rules_cover(held, count, &rule)) {
            val_append(val_make_array(arena, old, STR("rules")), val_copy(arena, it));
            changed = true;
        }
    }
    return changed;
}

static bool mend_role(struct arena *arena, struct val *old, const struct val *wanted)
{
    bool changed = mend_metadata(arena, old, wanted);
    const struct val *aggregation = val_get(wanted, "aggregationRule");
    if (aggregation == NULL) {
        return mend_rules(arena, old, wanted) || changed;
    }
    /* Its rules are the aggregation controller's. */
    const struct val *has = val_get(old, "aggregationRule");
    if (has == NULL || !val_equal(has, aggregation)) {
        val_set(old, STR("aggregationRule"), val_copy(arena, aggregation));
        changed = true;
    }
    return changed;
}

static bool same_subject(const struct val *a, const struct val *b)
{
    return str_eq(val_text(val_get(a, "kind")), val_text(val_get(b, "kind"))) &&
           str_eq(val_text(val_get(a, "name")), val_text(val_get(b, "name"))) &&
           str_eq(val_text(val_get(a, "namespace")), val_text(val_get(b, "namespace")));
}

static bool mend_binding(struct arena *arena, struct val *old, const struct val *wanted)
{
    bool changed = mend_metadata(arena, old, wanted);
    VAL_EACH (it, val_get(wanted, "subjects")) {
        struct val *subjects = val_make_array(arena, old, STR("subjects"));
        bool there = false;
        VAL_EACH (has, subjects) {
            there = there || same_subject(has, it);
        }
        if (!there) {
            val_append(subjects, val_copy(arena, it));
            changed = true;
        }
    }
    return changed;
}

/* ---- objects ---- */

static struct bootstrap_object *add(struct bootstrap_list *list, const char *key, bool binding)
{
    const struct known_resources *k = &list->server->known;
    struct arena *arena = list->arena;
    struct str name = STR_NONE;
    struct str ns = str_cut(str_of(key), '/', &name);
    bool cluster = name.p == NULL;
    const struct api_resource *resource =
        cluster ? (binding ? k->cluster_role_bindings : k->cluster_roles)
                : (binding ? k->role_bindings : k->roles);
    struct bootstrap_object *object =
        bootstrap_add(list, resource, cluster ? STR_NONE : ns, cluster ? ns : name);
    struct val *meta = val_get(object->value, "metadata");
    val_set_text(arena, val_make_object(arena, meta, STR("labels")),
                 STR("kubernetes.io/bootstrapping"), STR("rbac-defaults"));
    val_set_text(arena, val_make_object(arena, meta, STR("annotations")),
                 STR("rbac.authorization.kubernetes.io/autoupdate"), STR("true"));
    object->reconcile = true;
    object->mend = binding ? mend_binding : mend_role;
    return object;
}

static void set_words(struct arena *arena, struct val *object, const char *key, const char *words)
{
    struct val *list = val_set(object, str_of(key), val_new(arena, VAL_ARRAY));
    struct str rest = str_of(words);
    while (rest.p != NULL) {
        struct str word = str_cut(rest, ' ', &rest);
        if (word.n > 0) {
            val_append(list, val_new_text(arena, str_is(word, "-") ? STR("") : word));
        }
    }
}

static struct val *rule_of(struct arena *arena, const struct policy_rule *row)
{
    struct val *rule = val_new(arena, VAL_OBJECT);
    set_words(arena, rule, "verbs", row->verbs);
    if (row->groups == NULL) {
        set_words(arena, rule, "nonResourceURLs", row->resources);
        return rule;
    }
    set_words(arena, rule, "apiGroups", row->groups);
    set_words(arena, rule, "resources", row->resources);
    if (row->names != NULL) {
        set_words(arena, rule, "resourceNames", row->names);
    }
    return rule;
}

static void bind(struct bootstrap_list *list, const struct policy_binding *rows, size_t count)
{
    static const char cluster_role[] = "ClusterRole:";
    struct arena *arena = list->arena;
    struct bootstrap_object *object = add(list, rows[0].name, true);
    struct str role = str_of(rows[0].role);
    bool cluster = object->ns.n == 0 || str_starts(role, str_of(cluster_role));
    struct val *ref = val_set(object->value, STR("roleRef"), val_new(arena, VAL_OBJECT));
    if (str_starts(role, str_of(cluster_role))) {
        role = str_from(role, sizeof cluster_role - 1);
    }
    val_set_text(arena, ref, STR("apiGroup"), str_of(group));
    val_set_text(arena, ref, STR("kind"), cluster ? STR("ClusterRole") : STR("Role"));
    val_set_text(arena, ref, STR("name"), role);
    for (size_t i = 0; i < count && rows[i].kind != NULL; i++) {
        struct val *subjects = val_make_array(arena, object->value, STR("subjects"));
        struct val *s = val_append(subjects, val_new(arena, VAL_OBJECT));
        val_set_text(arena, s, STR("kind"), str_of(rows[i].kind));
        if (rows[i].ns == NULL) {
            val_set_text(arena, s, STR("apiGroup"), str_of(group));
        }
        val_set_text(arena, s, STR("name"), str_of(rows[i].subject));
        if (rows[i].ns != NULL) {
            val_set_text(arena, s, STR("namespace"), str_of(rows[i].ns));
        }
    }
}

/* system:controller:NAME and cox:controller:NAME belong to the account kube-system/NAME; but those
 * of one namespace are bound by rows. */
static void bind_controller(struct bootstrap_list *list, const char *role)
{
    static const char *const prefixes[] = {"system:controller:", "cox:controller:"};
    for (size_t i = 0; i < 2; i++) {
        if (str_starts(str_of(role), str_of(prefixes[i]))) {
            struct policy_binding row = {role, role, "ServiceAccount", role + strlen(prefixes[i]),
                                         "kube-system"};
            bind(list, &row, 1);
        }
    }
}

static void add_roles(struct bootstrap_list *list, const struct policy_rule *rows, size_t count)
{
    struct val *rules = NULL;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || !str_is(str_of(rows[i].role), rows[i - 1].role)) {
            struct bootstrap_object *object = add(list, rows[i].role, false);
            rules = val_set(object->value, STR("rules"), val_new(list->arena, VAL_ARRAY));
            bind_controller(list, rows[i].role);
        }
        val_append(rules, rule_of(list->arena, &rows[i]));
    }
}

/* ---- aggregation: what the controller will make of it, so that it holds from the start ---- */

static const struct policy_mark *mark_of(const char *role)
{
    for (size_t i = 0; i < policy_mark_count; i++) {
        if (str_is(str_of(role), policy_marks[i].role)) {
            return &policy_marks[i];
        }
    }
    return NULL;
}

/* Parts come in order of their names, as the marks do. */
static void gather(struct bootstrap_list *list, const struct policy_mark *mark, struct val *rules)
{
    for (size_t i = 0; i < policy_role_count && mark->aggregates == NULL; i++) {
        if (str_is(str_of(policy_roles[i].role), mark->role)) {
            val_append(rules, rule_of(list->arena, &policy_roles[i]));
        }
    }
    for (size_t i = 0; i < policy_mark_count && mark->aggregates != NULL; i++) {
        const char *labels = policy_marks[i].labels;
        if (labels != NULL && str_is(str_of(labels), mark->aggregates)) {
            gather(list, &policy_marks[i], rules);
        }
    }
}

static void add_aggregated(struct bootstrap_list *list, const struct policy_mark *mark)
{
    struct arena *arena = list->arena;
    struct bootstrap_object *object = add(list, mark->role, false);
    struct val *rule = val_set(object->value, STR("aggregationRule"), val_new(arena, VAL_OBJECT));
    struct val *selectors = val_make_array(arena, rule, STR("clusterRoleSelectors"));
    struct val *labels = val_make_object(arena, val_append(selectors, val_new(arena, VAL_OBJECT)),
                                         STR("matchLabels"));
    val_set_text(arena, labels, str_of(mark->aggregates), STR("true"));
    gather(list, mark, val_make_array(arena, object->value, STR("rules")));
}

static void set_labels(struct bootstrap_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct bootstrap_object *object = &list->items[i];
        const struct policy_mark *mark =
            object->resource == list->server->known.cluster_roles ? mark_of(object->name.p) : NULL;
        if (mark != NULL && mark->labels != NULL) {
            val_set_text(list->arena, val_path(object->value, "metadata.labels"),
                         str_of(mark->labels), STR("true"));
        }
    }
}

void bootstrap_add_rbac(struct bootstrap_list *list)
{
    const struct known_resources *k = &list->server->known;
    if (k->cluster_roles == NULL || k->cluster_role_bindings == NULL || k->roles == NULL ||
        k->role_bindings == NULL) {
        return;
    }
    add_roles(list, policy_roles, policy_role_count);
    add_roles(list, policy_controllers, policy_controller_count);
    add_roles(list, policy_own, policy_own_count);
    for (size_t i = 0; i < policy_mark_count; i++) {
        if (policy_marks[i].aggregates != NULL) {
            add_aggregated(list, &policy_marks[i]);
        }
    }
    set_labels(list);
    for (size_t i = 0, first = 0; i < policy_binding_count; i++) {
        if (i + 1 == policy_binding_count ||
            !str_is(str_of(policy_bindings[i + 1].name), policy_bindings[i].name)) {
            bind(list, &policy_bindings[first], i + 1 - first);
            first = i + 1;
        }
    }
}

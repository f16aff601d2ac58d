/* names.c: which names of a definition are given out, and the conditions that say so.
 *
 * Within a group a plural, singular or short name is one definition's, and so is a kind or list
 * kind. Whoever has a name keeps it; what is taken is asked for again when its owner goes. A
 * definition is established once, when all its first names are given out, and stays it.
 */
#include "server/custom/definitions_int.h"

struct taken {
    const struct record *record;
    struct arena *arena;
};

static bool list_has(const struct val *list, struct str text)
{
    VAL_EACH (it, list) {
        if (str_eq(val_text(it), text)) {
            return true;
        }
    }
    return false;
}

static bool has_resource(const struct val *names, struct str text)
{
    return str_eq(val_text(val_get(names, "plural")), text) ||
           str_eq(val_text(val_get(names, "singular")), text) ||
           list_has(val_get(names, "shortNames"), text);
}

static bool has_kind(const struct val *names, struct str text)
{
    return str_eq(val_text(val_get(names, "kind")), text) ||
           str_eq(val_text(val_get(names, "listKind")), text);
}

static bool is_taken(const struct taken *taken, struct str text, bool kind)
{
    if (text.n == 0) {
        return false;
    }
    MAP_EACH (it, &taken->record->definitions->records) {
        const struct record *other = it->value;
        if (other != taken->record && other->accepted != NULL &&
            strcmp(other->group, taken->record->group) == 0 &&
            (kind ? has_kind(other->accepted, text) : has_resource(other->accepted, text))) {
            return true;
        }
    }
    return false;
}

struct naming {
    struct taken taken;
    const struct val *wanted;
    struct val *accepted;
    const char *reason; /* of the last conflict; NULL: none */
    const char *message;
};

static void conflict(struct naming *naming, const char *reason, struct str text)
{
    naming->reason = reason;
    naming->message =
        arena_printf(naming->taken.arena, "\"%.*s\" is already in use", STR_ARG(text));
}

static void give(struct naming *naming, const char *member, bool kind, const char *reason)
{
    struct str name = val_text(val_get_str(naming->wanted, str_of(member)));
    struct str has = val_text(val_get_str(naming->accepted, str_of(member)));
    if (name.n == 0) {
        val_unset(naming->accepted, str_of(member));
    } else if (!str_eq(name, has) && is_taken(&naming->taken, name, kind)) {
        conflict(naming, reason, name);
    } else {
        val_set_text(naming->taken.arena, naming->accepted, str_of(member), name);
    }
}

static void copy_list(struct naming *naming, const char *member)
{
    const struct val *list = val_get_str(naming->wanted, str_of(member));
    if (val_count(list) == 0) {
        val_unset(naming->accepted, str_of(member));
    } else {
        val_set(naming->accepted, str_of(member), val_copy(naming->taken.arena, list));
    }
}

static void give_short_names(struct naming *naming)
{
    const struct val *has = val_get(naming->accepted, "shortNames");
    bool free_all = true;
    VAL_EACH (it, val_get(naming->wanted, "shortNames")) {
        if (!list_has(has, it->text) && is_taken(&naming->taken, it->text, false)) {
            conflict(naming, "ShortNamesConflict", it->text);
            free_all = false;
        }
    }
    if (free_all) {
        copy_list(naming, "shortNames");
    }
}

static bool is_true(const struct val *crd, const char *type)
{
    const struct val *condition =
        val_find(val_path(crd, "status.conditions"), "type", str_of(type));
    return str_is(val_text(val_get(condition, "status")), "True");
}

static bool drop_condition(struct val *crd, const char *type)
{
    struct val *list = val_path(crd, "status.conditions");
    struct val *condition = val_find(list, "type", str_of(type));
    if (condition != NULL) {
        val_remove(list, condition);
    }
    return condition != NULL;
}

/* What a definition asks for and does not get yet. */
static bool tell_unmet(struct arena *arena, struct val *crd, int64_t now)
{
    bool rules = false, changed = false;
    VAL_EACH (version, val_path(crd, "spec.versions")) {
        rules = rules || definition_has_rules(val_path(version, "schema.openAPIV3Schema"));
    }
    if (rules) {
        changed = definition_set_condition(
            arena, crd, "ValidationRulesEnforced", false, "NotSupported",
            "x-kubernetes-validations (CEL) are kept, but not enforced by this server yet", now);
    } else {
        changed = drop_condition(crd, "ValidationRulesEnforced");
    }
    if (str_is(val_text(val_path(crd, "spec.conversion.strategy")), "Webhook")) {
        changed |= definition_set_condition(
            arena, crd, "ConversionWebhookCalled", false, "NotSupported",
            "conversion webhooks are not called yet: objects are converted as with strategy None, "
            "by changing apiVersion only",
            now);
    } else {
        changed |= drop_condition(crd, "ConversionWebhookCalled");
    }
    return changed;
}

static bool tell_approval(struct arena *arena, struct val *crd, int64_t now)
{
    const char *type = "KubernetesAPIApprovalPolicyConformant";
    const struct val *value =
        val_get(val_path(crd, "metadata.annotations"), "api-approved.kubernetes.io");
    if (!definition_is_protected(val_text(val_path(crd, "spec.group")))) {
        return false;
    }
    struct str text = val_text(value);
    if (str_starts(text, STR("unapproved"))) {
        return definition_set_condition(arena, crd, type, false, "UnapprovedAnnotation",
                                        arena_printf(arena, "not approved: %.*s", STR_ARG(text)),
                                        now);
    }
    return definition_set_condition(arena, crd, type, text.n > 0,
                                    text.n > 0 ? "ApprovedAnnotation" : "MissingAnnotation",
                                    arena_printf(arena, "approved in %.*s", STR_ARG(text)), now);
}

static void remember(struct record *record, const struct val *accepted)
{
    arena_done(&record->arena);
    record->accepted = val_copy(&record->arena, accepted);
}

bool definition_name(struct record *record, struct arena *arena, struct val *crd,
                     int64_t now_wall_ns, bool *ret_established)
{
    struct val *status = val_make_object(arena, crd, STR("status"));
    struct val *had = val_copy(arena, val_get(status, "acceptedNames"));
    struct naming naming = {.taken = {record, arena}, .wanted = val_path(crd, "spec.names")};
    naming.accepted = val_make_object(arena, status, STR("acceptedNames"));
    give(&naming, "plural", false, "PluralConflict");
    give(&naming, "singular", false, "SingularConflict");
    give_short_names(&naming);
    give(&naming, "kind", true, "KindConflict");
    give(&naming, "listKind", true, "ListKindConflict");
    copy_list(&naming, "categories");
    bool good = naming.reason == NULL;
    bool established = is_true(crd, "Established") || good;
    bool changed = had == NULL || !val_equal(had, naming.accepted);
    changed |= definition_set_condition(arena, crd, "NamesAccepted", good,
                                        good ? "NoConflicts" : naming.reason,
                                        good ? "no conflicts found" : naming.message, now_wall_ns);
    if (!is_true(crd, "Established")) {
        changed |= definition_set_condition(arena, crd, "Established", established,
                                            established ? "InitialNamesAccepted" : "NotAccepted",
                                            established ? "the initial names have been accepted"
                                                        : "not all names are accepted",
                                            now_wall_ns);
    }
    changed |= tell_unmet(arena, crd, now_wall_ns);
    changed |= tell_approval(arena, crd, now_wall_ns);
    remember(record, naming.accepted);
    record->conflict = !good;
    *ret_established = established;
    return changed;
}

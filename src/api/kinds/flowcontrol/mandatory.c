/* mandatory.c: see mandatory.h. Without these, some request would belong to no priority level. */
#include "api/kinds/flowcontrol/mandatory.h"

#include "api/semantic.h"

#define EVERYTHING                                                                                 \
    "\"resourceRules\":[{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*\"],"           \
    "\"clusterScope\":true,\"namespaces\":[\"*\"]}],\"nonResourceRules\":[{\"verbs\":[\"*\"],"     \
    "\"nonResourceURLs\":[\"*\"]}]"

static const struct {
    const char *kind, *name, *spec;
} rows[] = {
    {"FlowSchema", "exempt",
     "{\"priorityLevelConfiguration\":{\"name\":\"exempt\"},\"matchingPrecedence\":1,\"rules\":[{"
     "\"subjects\":[{\"kind\":\"Group\",\"group\":{\"name\":\"system:masters\"}}]," EVERYTHING
     "}]}"},
    {"FlowSchema", "catch-all",
     "{\"priorityLevelConfiguration\":{\"name\":\"catch-all\"},\"matchingPrecedence\":10000,"
     "\"distinguisherMethod\":{\"type\":\"ByUser\"},\"rules\":[{\"subjects\":[{\"kind\":\"Group\","
     "\"group\":{\"name\":\"system:unauthenticated\"}},{\"kind\":\"Group\",\"group\":{\"name\":"
     "\"system:authenticated\"}}]," EVERYTHING "}]}"},
    {"PriorityLevelConfiguration", "exempt",
     "{\"type\":\"Exempt\",\"exempt\":{\"nominalConcurrencyShares\":0,\"lendablePercent\":0}}"},
    {"PriorityLevelConfiguration", "catch-all",
     "{\"type\":\"Limited\",\"limited\":{\"nominalConcurrencyShares\":5,\"limitResponse\":{"
     "\"type\":\"Reject\"},\"lendablePercent\":0}}"},
};

const char *mandatory_spec(const char *kind, struct str name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].kind, kind) == 0 && str_is(name, rows[i].name)) {
            return rows[i].spec;
        }
    }
    return NULL;
}

void mandatory_check(struct api_context *ctx, struct field_errors *errors, const struct val *object,
                     const char *kind)
{
    const char *text = mandatory_spec(kind, val_name(object));
    struct val *wanted = NULL;
    if (text == NULL ||
        val_parse_json(ctx->arena, str_copy_in(ctx->arena, str_of(text)), &wanted, NULL) < 0) {
        return;
    }
    const struct val *spec = val_get(object, "spec");
    bool level = val_get(wanted, "exempt") != NULL;
    struct val *shown = spec != NULL ? val_copy(ctx->arena, spec) : NULL;
    if (level) { /* the shares are the operator's */
        val_unset(wanted, STR("exempt"));
        if (shown != NULL) {
            val_unset(shown, STR("exempt"));
        }
    }
    if (!semantic_equal(shown, wanted)) {
        field_invalid_val(errors, AT(NULL, "spec"), spec,
                          "spec of '%.*s'%s must equal the fixed "
                          "value",
                          STR_ARG(val_name(object)),
                          level ? " except the 'spec.exempt' field" : "");
    }
}

void named_conditions_check(struct field_errors *errors, const struct val *conditions)
{
    const struct path *path = AT(AT(NULL, "status"), "conditions");
    uint32_t i = 0;
    if (!check_length(errors, path, conditions, LIST_LENGTH_MAX)) {
        return;
    }
    VAL_EACH (it, conditions) {
        const struct path *at = AT(AT_INDEX(path, i++), "type");
        struct str type = val_text(val_get(it, "type"));
        const struct val *first = val_find(conditions, "type", type);
        if (first != NULL && first != it) {
            field_duplicate(errors, at, type);
        }
        if (type.n == 0) {
            field_required(errors, at, "");
        }
    }
}

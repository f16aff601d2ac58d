/* network_policy.c: NetworkPolicy: which traffic some pods may have. */
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/validation.h"
#include "api/warning.h"

enum { TYPES_MAX = 2 };
struct direction {
    const char *rules, *peers;
};
static const struct direction directions[] = {{"ingress", "from"}, {"egress", "to"}};

/* Without policyTypes the policy is about ingress, and about egress when it has rules for that. */
static void policy_defaults(struct arena *arena, struct val *policy)
{
    struct val *spec = default_object(arena, policy, "spec");
    if (val_count(val_get(spec, "policyTypes")) > 0) {
        return;
    }
    struct val *types = default_put(spec, STR("policyTypes"), val_new(arena, VAL_ARRAY));
    val_append(types, val_new_text(arena, STR("Ingress")))->field = types->field;
    if (val_count(val_get(spec, "egress")) > 0) {
        val_append(types, val_new_text(arena, STR("Egress")))->field = types->field;
    }
}

static void port_check(struct field_errors *errors, const struct path *path, const struct val *it)
{
    static const char *const protocols[] = {"SCTP", "TCP", "UDP", NULL};
    const struct val *protocol = val_get(it, "protocol"), *port = val_get(it, "port");
    const struct val *end = val_get(it, "endPort");
    int64_t last = val_int(end, 0);
    if (!val_absent(protocol)) {
        struct str name = val_text(protocol);
        if (name.n == 0) {
            field_not_supported(errors, AT(path, "protocol"), name, protocols);
        } else {
            check_one_of(errors, AT(path, "protocol"), name, protocols, false);
        }
    }
    if (!val_absent(port) && !val_is(port, VAL_STRING)) {
        check_port_number(errors, AT(path, "port"), val_int(port, 0));
        if (!val_absent(end) && last < val_int(port, 0)) {
            field_invalid_int(errors, AT(path, "endPort"), last,
                              "must be greater than or equal to `port`");
        }
        if (!val_absent(end)) {
            check_port_number(errors, AT(path, "endPort"), last);
        }
        return;
    }
    if (!val_absent(end)) {
        field_invalid_int(errors, AT(path, "endPort"), last,
                          "may not be specified when `port` is %s",
                          val_absent(port) ? "not specified" : "non-numeric");
    }
    if (!val_absent(port)) {
        check_name(errors, AT(path, "port"), NAME_PORT, val_text(port));
    }
}

/* Whether `inner` lies in `outer` and is smaller. */
static bool is_strict_part(struct str inner, struct str outer)
{
    uint8_t a[16], b[16];
    int a_bits = 0, b_bits = 0;
    int family = name_cidr_parse(inner, a, &a_bits);
    if (family == 0 || family != name_cidr_parse(outer, b, &b_bits) || a_bits <= b_bits) {
        return false;
    }
    for (int i = 0; i < b_bits; i++) {
        int shift = 7 - i % 8;
        if ((a[i / 8] >> shift & 1) != (b[i / 8] >> shift & 1)) {
            return false;
        }
    }
    return true;
}

/* Whether some peer of `policy` names the range: what was stored once stays allowed. */
static bool has_range(const struct val *policy, struct str range)
{
    for (size_t d = 0; d < sizeof directions / sizeof *directions; d++) {
        VAL_EACH (rule, val_get_str(val_get(policy, "spec"), str_of(directions[d].rules))) {
            VAL_EACH (peer, val_get_str(rule, str_of(directions[d].peers))) {
                const struct val *block = val_get(peer, "ipBlock");
                if (str_eq(val_text(val_get(block, "cidr")), range)) {
                    return true;
                }
                VAL_EACH (except, val_get(block, "except")) {
                    if (str_eq(val_text(except), range)) {
                        return true;
                    }
                }
            }
        }
    }
    return false;
}

struct check {
    struct api_context *ctx;
    struct field_errors *errors;
    const struct val *old; /* NULL: create */
};

static void range_check(struct check *check, const struct path *path, struct str range)
{
    if (check->old == NULL || !has_range(check->old, range)) {
        check_range(check->errors, path, range, false);
    }
    warn_range(check->ctx, path, range);
}

static void block_check(struct check *check, const struct path *path, const struct val *block)
{
    struct str range = val_text(val_get(block, "cidr"));
    uint8_t bytes[16];
    int bits;
    if (range.n == 0) {
        field_required(check->errors, AT(path, "cidr"), "");
        return;
    }
    range_check(check, AT(path, "cidr"), range);
    if (name_cidr_parse(range, bytes, &bits) == 0) {
        return;
    }
    uint32_t i = 0;
    VAL_EACH (except, val_get(block, "except")) {
        const struct path *at = AT_INDEX(AT(path, "except"), i++);
        range_check(check, at, val_text(except));
        if (name_cidr_parse(val_text(except), bytes, &bits) != 0 &&
            !is_strict_part(val_text(except), range)) {
            field_invalid(check->errors, at, val_text(except), "must be a strict subset of `cidr`");
        }
    }
}

static void peer_check(struct check *check, const struct path *path, const struct val *peer)
{
    static const char *const selectors[] = {"podSelector", "namespaceSelector"};
    const struct val *block = val_get(peer, "ipBlock");
    int count = 0;
    for (size_t i = 0; i < sizeof selectors / sizeof *selectors; i++) {
        const struct val *selector = val_get_str(peer, str_of(selectors[i]));
        if (!val_absent(selector)) {
            check_label_selector(check->errors, AT(path, selectors[i]), selector);
            count++;
        }
    }
    if (!val_absent(block)) {
        block_check(check, AT(path, "ipBlock"), block);
        count++;
    }
    if (count == 0) {
        field_required(check->errors, path, "must specify a peer");
    } else if (count > 1 && !val_absent(block)) {
        field_forbidden(check->errors, path, "may not specify both ipBlock and another peer");
    }
}

static void rules_check(struct check *check, const struct path *path, const struct val *spec)
{
    for (size_t d = 0; d < sizeof directions / sizeof *directions; d++) {
        uint32_t r = 0;
        VAL_EACH (rule, val_get_str(spec, str_of(directions[d].rules))) {
            const struct path *at = AT_INDEX(AT(path, directions[d].rules), r++);
            uint32_t i = 0;
            VAL_EACH (port, val_get(rule, "ports")) {
                port_check(check->errors, AT_INDEX(AT(at, "ports"), i++), port);
            }
            i = 0;
            VAL_EACH (peer, val_get_str(rule, str_of(directions[d].peers))) {
                peer_check(check, AT_INDEX(AT(at, directions[d].peers), i++), peer);
            }
        }
    }
}

static void policy_check(struct check *check, const struct val *policy)
{
    static const char *const types[] = {"Egress", "Ingress", NULL};
    const struct path *path = AT(NULL, "spec");
    const struct val *spec = val_get(policy, "spec");
    const struct val *list = val_get(spec, "policyTypes");
    check_label_selector(check->errors, AT(path, "podSelector"), val_get(spec, "podSelector"));
    rules_check(check, path, spec);
    if (val_count(list) > TYPES_MAX) {
        field_invalid_val(check->errors, AT(path, "policyTypes"), list,
                          "may not specify more than two policyTypes");
        return;
    }
    uint32_t i = 0;
    VAL_EACH (type, list) {
        const struct path *at = AT_INDEX(AT(path, "policyTypes"), i++);
        if (!str_is(val_text(type), "Ingress") && !str_is(val_text(type), "Egress")) {
            field_not_supported(check->errors, at, val_text(type), types);
        }
    }
}

static void policy_validate_create(struct api_context *ctx, const struct val *policy,
                                   struct field_errors *errors)
{
    policy_check(&(struct check){ctx, errors, NULL}, policy);
}

static void policy_validate_update(struct api_context *ctx, const struct val *next,
                                   const struct val *old, struct field_errors *errors)
{
    policy_check(&(struct check){ctx, errors, old}, next);
}

static void policy_columns(struct api_context *ctx, const struct val *policy, struct val *cells)
{
    cell_text(ctx, cells, val_name(policy));
    cell_text(ctx, cells, cell_selector_text(ctx, val_path(policy, "spec.podSelector")));
    cell_age(ctx, cells, policy);
}

const struct api_ops ops_network_policy = {
    .defaults = policy_defaults,
    .validate_create = policy_validate_create,
    .validate_update = policy_validate_update,
    .columns = policy_columns,
    .generation = true,
    .unconditional_update = true,
};

/* labels.c: see labels.h. Semantics: metav1.LabelSelector and core/v1 NodeSelectorRequirement:
 * NotIn and DoesNotExist hold when the key is absent; Gt and Lt compare whole numbers. */
#include "scheduler/labels.h"

static struct label label_of(struct str key, struct str value)
{
    return (struct label){key, value, str_hash(key), str_hash(value)};
}

struct labels labels_read(struct arena *arena, const struct val *map)
{
    struct labels labels = {arena_array(arena, struct label, val_count(map) + 1), 0};
    VAL_EACH (it, map) {
        labels.items[labels.count++] =
            label_of(str_copy_in(arena, it->key), str_copy_in(arena, val_text(it)));
    }
    return labels;
}

const struct label *labels_find(const struct labels *labels, struct str key, uint64_t key_hash)
{
    for (uint32_t i = 0; i < labels->count; i++) {
        const struct label *label = &labels->items[i];
        if (label->key_hash == key_hash && str_eq(label->key, key)) {
            return label;
        }
    }
    return NULL;
}

/* ---- reading ---- */

static const struct {
    const char *text;
    enum requirement_op op;
} ops[] = {
    {"In", REQUIREMENT_IN},         {"NotIn", REQUIREMENT_NOT_IN},
    {"Exists", REQUIREMENT_EXISTS}, {"DoesNotExist", REQUIREMENT_NOT_EXISTS},
    {"Gt", REQUIREMENT_GT},         {"Lt", REQUIREMENT_LT},
};

static struct requirement read_one(struct arena *arena, const struct val *expression, bool field)
{
    struct requirement one = {.never = true, .nodes_own = field};
    const struct val *values = val_get(expression, "values");
    one.key = str_copy_in(arena, val_text(val_get(expression, "key")));
    one.key_hash = str_hash(one.key);
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        if (str_is(val_text(val_get(expression, "operator")), ops[i].text)) {
            one.op = ops[i].op;
            one.never = false;
        }
    }
    one.values = arena_array(arena, struct label, val_count(values) + 1);
    VAL_EACH (it, values) {
        one.values[one.value_count++] = label_of(STR_NONE, str_copy_in(arena, val_text(it)));
    }
    if (one.op == REQUIREMENT_GT || one.op == REQUIREMENT_LT) {
        one.never = one.never || one.value_count != 1 || !str_i64(one.values[0].value, &one.bound);
    }
    return one;
}

struct requirements requirements_from_map(struct arena *arena, const struct val *map)
{
    struct requirements all = {arena_array(arena, struct requirement, val_count(map) + 1), 0,
                               false};
    VAL_EACH (it, map) {
        struct requirement *one = &all.items[all.count++];
        one->key = str_copy_in(arena, it->key);
        one->key_hash = str_hash(one->key);
        one->values = arena_new(arena, struct label);
        one->values[0] = label_of(STR_NONE, str_copy_in(arena, val_text(it)));
        one->value_count = 1;
    }
    return all;
}

static struct requirements from_lists(struct arena *arena, const struct val *expressions,
                                      const struct val *fields)
{
    struct requirements all = {
        arena_array(arena, struct requirement, val_count(expressions) + val_count(fields) + 1), 0,
        false};
    VAL_EACH (it, expressions) {
        all.items[all.count++] = read_one(arena, it, false);
    }
    VAL_EACH (it, fields) {
        all.items[all.count++] = read_one(arena, it, true);
    }
    return all;
}

struct requirements requirements_from_selector(struct arena *arena, const struct val *selector)
{
    if (val_absent(selector)) {
        return (struct requirements){.nothing = true};
    }
    return requirements_join(arena, requirements_from_map(arena, val_get(selector, "matchLabels")),
                             from_lists(arena, val_get(selector, "matchExpressions"), NULL));
}

struct requirements requirements_from_term(struct arena *arena, const struct val *term)
{
    struct requirements all =
        from_lists(arena, val_get(term, "matchExpressions"), val_get(term, "matchFields"));
    all.nothing = all.count == 0;
    return all;
}

struct requirements requirements_join(struct arena *arena, struct requirements a,
                                      struct requirements b)
{
    struct requirements all = {arena_array(arena, struct requirement, a.count + b.count + 1),
                               a.count + b.count, a.nothing || b.nothing};
    if (a.count > 0) {
        memcpy(all.items, a.items, a.count * sizeof *a.items);
    }
    if (b.count > 0) {
        memcpy(all.items + a.count, b.items, b.count * sizeof *b.items);
    }
    return all;
}

struct requirements requirements_with(struct arena *arena, struct requirements a,
                                      enum requirement_op op, struct str key, struct str value)
{
    struct requirement one = {.op = op, .key = str_copy_in(arena, key), .value_count = 1};
    one.key_hash = str_hash(one.key);
    one.values = arena_new(arena, struct label);
    one.values[0] = label_of(STR_NONE, str_copy_in(arena, value));
    return requirements_join(arena, a, (struct requirements){&one, 1, false});
}

/* ---- matching ---- */

static bool is_in(const struct requirement *one, struct str value, uint64_t hash)
{
    for (uint32_t i = 0; i < one->value_count; i++) {
        if (one->values[i].value_hash == hash && str_eq(one->values[i].value, value)) {
            return true;
        }
    }
    return false;
}

static bool match_one(const struct requirement *one, const struct label *label)
{
    int64_t number = 0;
    switch (one->op) {
    case REQUIREMENT_IN:
        return label != NULL && is_in(one, label->value, label->value_hash);
    case REQUIREMENT_NOT_IN:
        return label == NULL || !is_in(one, label->value, label->value_hash);
    case REQUIREMENT_EXISTS:
        return label != NULL;
    case REQUIREMENT_NOT_EXISTS:
        return label == NULL;
    case REQUIREMENT_GT:
        return label != NULL && str_i64(label->value, &number) && number > one->bound;
    case REQUIREMENT_LT:
        return label != NULL && str_i64(label->value, &number) && number < one->bound;
    }
    return false;
}

bool requirements_match(const struct requirements *requirements, const struct labels *labels,
                        struct str own_name)
{
    if (requirements->nothing) {
        return false;
    }
    for (uint32_t i = 0; i < requirements->count; i++) {
        const struct requirement *one = &requirements->items[i];
        if (one->never) {
            return false;
        }
        struct label own = {.value = own_name};
        const struct label *label = NULL;
        if (!one->nodes_own) {
            label = labels_find(labels, one->key, one->key_hash);
        } else if (str_is(one->key, "metadata.name")) {
            own.value_hash = str_hash(own_name);
            label = &own;
        }
        if (!match_one(one, label)) {
            return false;
        }
    }
    return true;
}

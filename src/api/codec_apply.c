/* codec_apply.c: typing a tape that was made without a schema: YAML bodies, results of patches.
 *
 * The same rules as codec_decode.c, in place: unknown members and nulls are unlinked, values are
 * checked and normalised, val.field is set. Walks with the steps of struct codec_state.
 */
#include "api/codec_int.h"

struct applier {
    struct codec_state state;
    struct val *next[VAL_DEPTH_MAX]; /* a step: the member to look at next */
    struct err *err;
};

static int enter(struct applier *applier, struct val *v, const struct api_field *field,
                 bool as_member)
{
    if (!codec_enter(&applier->state, v, field, as_member)) {
        return err_set(applier->err, ERR_BAD_REQUEST, "nested too deep");
    }
    applier->next[applier->state.depth - 1] = v->child;
    applier->state.steps[applier->state.depth - 1].index = UINT32_MAX; /* before the first */
    return 0;
}

/* The field that a member of a struct is; unlinks it and says false when it goes. */
static bool struct_member(struct applier *applier, struct codec_step *step, struct val *member,
                          const struct api_field **ret_field)
{
    const struct api_field *field = schema_field(step->type, member->key);
    bool goes = field != NULL && member->type == VAL_NULL && (field->flags & API_NULLABLE) == 0;
    if (field == NULL && (step->type->flags & API_PRESERVE_UNKNOWN) == 0) {
        codec_complain(&applier->state, "unknown field", NULL);
        goes = true;
    }
    if (goes) {
        val_remove(step->container, member);
    }
    *ret_field = field;
    return !goes;
}

static int member(struct applier *applier, struct codec_step *step, struct val *v)
{
    const struct api_field *field = step->members;
    bool as_member = step->type == NULL && !step->nested;
    step->at = v;
    if (step->type != NULL && !struct_member(applier, step, v, &field)) {
        return 0;
    }
    v->field = field;
    if (v->type == VAL_NULL && field != NULL && step->type == NULL &&
        (field->flags & API_KEEP_NULL) == 0) {
        codec_zero_member(field, v);
    }
    if (field != NULL && v->type != VAL_NULL) {
        const char *wanted = codec_check(applier->state.arena, field, as_member, v);
        if (wanted != NULL && (field->flags & API_LENIENT) == 0) {
            return codec_type_error(&applier->state, v, wanted, applier->err);
        }
        if (wanted != NULL) {
            v->field = field = NULL;
        }
        if (v->type == VAL_NULL && step->type != NULL) { /* the zero time */
            val_remove(step->container, v);
            return 0;
        }
    }
    bool container = v->type == VAL_OBJECT || v->type == VAL_ARRAY;
    return container ? enter(applier, v, field, as_member) : 0;
}

static int walk(struct applier *applier)
{
    int code = 0;
    while (code == 0 && applier->state.depth > 0) {
        uint32_t top = applier->state.depth - 1;
        struct val *v = applier->next[top];
        if (v == NULL) {
            applier->state.depth--;
            continue;
        }
        applier->next[top] = v->next;
        applier->state.steps[top].index++;
        code = member(applier, &applier->state.steps[top], v);
    }
    return code;
}

int codec_apply_schema(struct arena *arena, const struct api_struct *type, struct val *value,
                       enum codec_strictness strictness, struct codec_warnings *warnings,
                       struct err *err)
{
    const struct api_field top = {
        .name = "", .type = API_TYPE_STRUCT, .shape = API_SHAPE_ONE, .type_struct = type};
    struct err ours = ERR_INIT;
    struct applier applier;
    applier.state.arena = arena;
    applier.state.strictness = strictness;
    applier.state.own = (struct codec_warnings){0};
    applier.state.warnings = strictness == CODEC_STRICT ? &applier.state.own : warnings;
    applier.state.depth = 0;
    applier.err = &ours;
    if (value->type != VAL_OBJECT) {
        return codec_type_error(&applier.state, value, "an object", err);
    }
    enter(&applier, value, &top, false);
    if (walk(&applier) != 0) {
        return err_set(err, ours.code, "%s", ours.message);
    }
    return codec_verdict(&applier.state, err);
}

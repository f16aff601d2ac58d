/* codec_decode.c: JSON text to typed tape, in one pass over the bytes.
 *
 * The tables say what each name means while it is read: unknown names are parsed and dropped, a
 * repeated name replaces the earlier one, null in a struct is the same as absent, and every value
 * is checked and normalised where it stands. No recursion; the containers that are open are the
 * steps of struct codec_state. What usually follows a field is the next one in its table, so that
 * is tried before the hash.
 */
#include "api/codec_int.h"

struct decoder {
    struct json_nodes nodes;
    struct codec_state state;
    struct str text;
    const char *p, *end;
    const char *why; /* syntax error at p; NULL: err says it already */
    struct err *err;
};

static bool fail(struct decoder *decoder, const char *why)
{
    decoder->why = why;
    return false;
}

static bool word(struct decoder *decoder, struct val *v, enum val_type type, const char *text,
                 size_t n)
{
    if ((size_t)(decoder->end - decoder->p) < n || memcmp(decoder->p, text, n) != 0) {
        return fail(decoder, "unexpected character where a value should be");
    }
    decoder->p += n;
    v->type = type;
    return true;
}

/* A scalar whole; of a container only the opening bracket. */
static bool token(struct decoder *decoder, struct val *v)
{
    const char *after = NULL;
    switch (decoder->p < decoder->end ? *decoder->p : '\0') {
    case '"':
        v->type = VAL_STRING;
        after = json_scan_string(decoder->nodes.arena, decoder->p + 1, decoder->end, &v->text,
                                 &decoder->why);
        break;
    case '{':
        v->type = VAL_OBJECT;
        after = decoder->p + 1;
        break;
    case '[':
        v->type = VAL_ARRAY;
        after = decoder->p + 1;
        break;
    case 't':
        return word(decoder, v, VAL_TRUE, "true", 4);
    case 'f':
        return word(decoder, v, VAL_FALSE, "false", 5);
    case 'n':
        return word(decoder, v, VAL_NULL, "null", 4);
    case '-':
    case '0' ... '9':
        v->type = VAL_NUMBER;
        after = json_scan_number(decoder->p, decoder->end, &v->text, &decoder->why);
        break;
    default:
        return fail(decoder, decoder->p < decoder->end
                                 ? "unexpected character where a value should be"
                                 : "unexpected end of input");
    }
    if (after == NULL) {
        return false;
    }
    decoder->p = after;
    return true;
}

/* The value of `v`, which is `field` (NULL: anything); containers are entered. Sets v->field. */
static bool value(struct decoder *decoder, struct val *v, const struct api_field *field,
                  bool as_member)
{
    if (!token(decoder, v)) {
        return false;
    }
    v->field = field;
    if (field != NULL && v->type != VAL_NULL) {
        const char *wanted = codec_check(decoder->nodes.arena, field, as_member, v);
        if (__builtin_expect(wanted != NULL, 0)) {
            if ((field->flags & API_LENIENT) == 0) {
                codec_type_error(&decoder->state, v, wanted, decoder->err);
                return fail(decoder, NULL);
            }
            v->field = NULL;
        }
    }
    if ((v->type == VAL_OBJECT || v->type == VAL_ARRAY) &&
        !codec_enter(&decoder->state, v, v->field, as_member)) {
        return fail(decoder, "nested too deep");
    }
    return true;
}

static inline bool known(const struct decoder *decoder, const struct api_field *field)
{
    return (size_t)(decoder->end - decoder->p) > field->name_n &&
           decoder->p[field->name_n] == '"' && memcmp(decoder->p, field->name, field->name_n) == 0;
}

/* The name of a member, after its opening quote, and the field it means in a struct. */
static bool name(struct decoder *decoder, struct codec_step *step, struct val *member,
                 const struct api_field **ret_field)
{
    const struct api_struct *type = step->type;
    for (uint16_t i = step->hint; type != NULL && i < type->count && i < step->hint + 2; i++) {
        if (known(decoder, &type->fields[i])) {
            *ret_field = &type->fields[i];
            member->key = str_at(type->fields[i].name, type->fields[i].name_n);
            decoder->p += type->fields[i].name_n + 1;
            step->hint = (uint16_t)(i + 1);
            return true;
        }
    }
    const char *after = json_scan_string(decoder->nodes.arena, decoder->p, decoder->end,
                                         &member->key, &decoder->why);
    if (after == NULL) {
        return false;
    }
    decoder->p = after;
    if (type != NULL) {
        *ret_field = schema_field(type, member->key);
        step->hint = *ret_field != NULL ? (uint16_t)((*ret_field)->index + 1) : step->hint;
    }
    return true;
}

/* Whether the field came before in this struct; notes that it came. */
static bool came_before(struct codec_step *step, const struct api_field *field)
{
    if (field->index >= 128) {
        VAL_EACH (it, step->container) {
            if (it->field == field) {
                return true;
            }
        }
        return false;
    }
    uint64_t bit = 1ULL << (field->index & 63), *word_ = &step->seen[field->index >> 6];
    bool before = (*word_ & bit) != 0;
    *word_ |= bit;
    return before;
}

static bool object_member(struct decoder *decoder, struct codec_step *step, struct val *member)
{
    const struct api_field *field = step->type == NULL ? step->members : NULL;
    if (decoder->p >= decoder->end || *decoder->p != '"') {
        return fail(decoder, "a member name in quotes should be here");
    }
    decoder->p++;
    step->at = member;
    if (!name(decoder, step, member, &field)) {
        return false;
    }
    decoder->p = json_skip_space(decoder->p, decoder->end);
    if (decoder->p >= decoder->end || *decoder->p != ':') {
        return fail(decoder, "a ':' should be here");
    }
    decoder->p = json_skip_space(decoder->p + 1, decoder->end);
    bool keep = true;
    if (step->type != NULL) {
        if (field == NULL) {
            keep = (step->type->flags & API_PRESERVE_UNKNOWN) != 0;
            if (!keep) {
                codec_complain(&decoder->state, "unknown field", NULL);
            }
        } else if (came_before(step, field)) {
            codec_drop_field(&decoder->state, field);
        }
    }
    if (!value(decoder, member, field, step->type == NULL && !step->nested)) {
        return false;
    }
    uint16_t keeps = step->type != NULL ? API_NULLABLE : API_KEEP_NULL;
    if (member->type == VAL_NULL && field != NULL && (field->flags & keeps) == 0) {
        if (step->type != NULL) {
            keep = false;
        } else {
            codec_zero_member(field, member);
        }
    }
    if (keep) {
        json_link(step->container, member);
    }
    return true;
}

static bool array_member(struct decoder *decoder, struct codec_step *step, struct val *member)
{
    step->index = step->container->count;
    step->at = member;
    json_link(step->container, member);
    if (!value(decoder, member, step->members, !step->nested)) {
        return false;
    }
    if (member->type == VAL_NULL && step->members != NULL &&
        (step->members->flags & API_KEEP_NULL) == 0) {
        codec_zero_member(step->members, member);
    }
    return true;
}

static void close_container(struct decoder *decoder)
{
    struct codec_step *step = &decoder->state.steps[decoder->state.depth - 1];
    bool free_names = step->type == NULL || (step->type->flags & API_PRESERVE_UNKNOWN) != 0;
    if (step->container->type == VAL_OBJECT && free_names && step->container->count > 1) {
        codec_drop_duplicates(&decoder->state);
    }
    decoder->state.depth--;
    decoder->p++;
}

/* Closes what ends here, and stands at the next member or the end of the document. `fresh`: the
 * innermost container was just opened. */
static bool between(struct decoder *decoder, bool fresh)
{
    while (decoder->state.depth > 0) {
        struct val *top = decoder->state.steps[decoder->state.depth - 1].container;
        char close = top->type == VAL_OBJECT ? '}' : ']';
        decoder->p = json_skip_space(decoder->p, decoder->end);
        if (decoder->p >= decoder->end) {
            return fail(decoder, "unexpected end of input");
        }
        if (*decoder->p == close) {
            close_container(decoder);
            fresh = false;
            continue;
        }
        if (fresh) {
            return true;
        }
        if (*decoder->p != ',') {
            return fail(decoder, close == '}' ? "a ',' or '}' should be here"
                                              : "a ',' or ']' should be here");
        }
        decoder->p = json_skip_space(decoder->p + 1, decoder->end);
        return true;
    }
    return true;
}

static bool document(struct decoder *decoder, const struct api_struct *type, struct val *root)
{
    const struct api_field top = {
        .name = "", .type = API_TYPE_STRUCT, .shape = API_SHAPE_ONE, .type_struct = type};
    decoder->p = json_skip_space(decoder->p, decoder->end);
    bool opened = value(decoder, root, &top, false);
    root->field = NULL; /* not the one above: it ends with this call */
    if (!opened) {
        return false;
    }
    if (root->type == VAL_NULL) {
        codec_type_error(&decoder->state, root, "an object", decoder->err);
        return fail(decoder, NULL);
    }
    bool fresh = true;
    while (between(decoder, fresh) && decoder->state.depth > 0) {
        uint32_t depth = decoder->state.depth;
        struct codec_step *step = &decoder->state.steps[depth - 1];
        struct val *member = json_node(&decoder->nodes);
        if (member == NULL) {
            return fail(decoder, "the document needs too much memory");
        }
        if (!(step->container->type == VAL_OBJECT ? object_member(decoder, step, member)
                                                  : array_member(decoder, step, member))) {
            return false;
        }
        fresh = decoder->state.depth > depth;
    }
    if (decoder->state.depth > 0) {
        return false;
    }
    decoder->p = json_skip_space(decoder->p, decoder->end);
    return decoder->p == decoder->end || fail(decoder, "unexpected bytes after the value");
}

int codec_decode_json(struct arena *arena, const struct api_struct *type, struct str text,
                      enum codec_strictness strictness, struct codec_warnings *warnings,
                      struct val **ret_value, struct err *err)
{
    struct decoder decoder;
    struct err ours = ERR_INIT;
    decoder.nodes = (struct json_nodes){.arena = arena};
    decoder.state.arena = arena;
    decoder.state.strictness = strictness;
    decoder.state.own = (struct codec_warnings){0};
    decoder.state.warnings = strictness == CODEC_STRICT ? &decoder.state.own : warnings;
    decoder.state.depth = 0;
    decoder.text = str_at(text.p != NULL ? text.p : "", text.n);
    decoder.p = decoder.text.p;
    decoder.end = decoder.p + text.n;
    decoder.why = NULL;
    decoder.err = &ours;
    struct val *root = json_node(&decoder.nodes);
    if (root == NULL) {
        return err_set(err, ERR_TOO_LARGE, "the document needs too much memory");
    }
    if (!document(&decoder, type, root)) {
        return decoder.why != NULL ? json_error(err, decoder.text, decoder.p, decoder.why)
                                   : err_set(err, ours.code, "%s", ours.message);
    }
    int code = codec_verdict(&decoder.state, err);
    if (code == 0) {
        *ret_value = root;
    }
    return code;
}

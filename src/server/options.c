/* options.c: parsing and checking of query parameters. The rules of resourceVersion,
 * resourceVersionMatch, limit and continue are those of reliability's table; the sentences are the
 * API's (apimachinery ListOptions validation). */
#include "server/options.h"

#include "wire/http.h"

static bool truth(struct str value) /* absent, "false" and "0" are false */
{
    return value.p != NULL && !str_is(value, "false") && !str_is(value, "0");
}

struct str query_get(const struct query_options *options, const char *key)
{
    for (size_t i = 0; i < options->pair_count; i++) {
        if (str_is(options->pairs[i].key, key)) {
            return options->pairs[i].value;
        }
    }
    return STR_NONE;
}

bool query_bool(const struct query_options *options, const char *key)
{
    return truth(query_get(options, key));
}

static int decode_pairs(struct arena *arena, struct str query, struct query_options *options,
                        struct failure *failure)
{
    struct url_query *pairs = NULL;
    size_t count = 0;
    if (query.n > 0 && !url_query_parse(arena, query, &pairs, &count)) {
        return failure_set(failure, arena, ERR_BAD_REQUEST,
                           "the query of the request is malformed");
    }
    struct query_pair *copy = arena_array(arena, struct query_pair, count + 1);
    for (size_t i = 0; i < count; i++) {
        copy[i] = (struct query_pair){pairs[i].key, pairs[i].value};
        if (copy[i].value.p == NULL) {
            copy[i].value = STR("");
        }
    }
    options->pairs = copy;
    options->pair_count = count;
    return 0;
}

static int number(struct arena *arena, const struct query_options *options, const char *key,
                  int64_t *ret, struct failure *failure)
{
    struct str text = query_get(options, key);
    int64_t value = 0;
    if (text.n == 0) {
        return 0;
    }
    if (!str_i64(text, &value)) {
        return failure_set(failure, arena, ERR_BAD_REQUEST,
                           "invalid value for parameter %s: \"%.*s\" is no integer", key,
                           STR_ARG(text));
    }
    *ret = value;
    return 0;
}

/* 422 about CreateOptions, ListOptions and so on, after the verb. */
static int options_invalid(struct arena *arena, const struct route *route, struct failure *failure,
                           const char *type, const char *field, const char *detail)
{
    static const char *const kinds[VERB_COUNT] = {[VERB_NONE] = "GetOptions",
                                                  [VERB_GET] = "GetOptions",
                                                  [VERB_LIST] = "ListOptions",
                                                  [VERB_WATCH] = "ListOptions",
                                                  [VERB_CREATE] = "CreateOptions",
                                                  [VERB_UPDATE] = "UpdateOptions",
                                                  [VERB_PATCH] = "PatchOptions",
                                                  [VERB_DELETE] = "DeleteOptions",
                                                  [VERB_DELETE_COLLECTION] = "DeleteOptions"};
    struct field_errors errors = {.arena = arena};
    field_error_add(&errors, type, str_of(field), "%s", detail);
    return failure_invalid(failure, arena, STR("meta.k8s.io"), str_of(kinds[route->verb]), STR(""),
                           &errors);
}

static int common(struct arena *arena, const struct route *route, struct query_options *o,
                  struct failure *failure)
{
    static const char unsupported[] = "FieldValueNotSupported";
    struct str dry = query_get(o, "dryRun");
    if (dry.n > 0 && !str_is(dry, "All")) {
        return options_invalid(
            arena, route, failure, unsupported, "dryRun",
            arena_printf(arena, "Unsupported value: [\"%.*s\"]: supported values: \"All\"",
                         STR_ARG(dry)));
    }
    o->dry_run = dry.n > 0;
    o->field_manager = query_get(o, "fieldManager");
    if (o->field_manager.n > 128) {
        return options_invalid(arena, route, failure, "FieldValueTooLong", "fieldManager",
                               "Too long: may not be more than 128 bytes");
    }
    for (size_t i = 0; i < o->field_manager.n; i++) {
        unsigned char c = (unsigned char)o->field_manager.p[i];
        if (c < 0x20 || c == 0x7f) {
            return options_invalid(
                arena, route, failure, "FieldValueInvalid", "fieldManager",
                arena_printf(arena,
                             "Invalid value: \"%.*s\": invalid character U+%04X (at "
                             "position %zu)",
                             STR_ARG(o->field_manager), c, i));
        }
    }
    struct str validation = query_get(o, "fieldValidation");
    o->strictness = CODEC_WARN;
    if (str_is(validation, "Strict")) {
        o->strictness = CODEC_STRICT;
    } else if (str_is(validation, "Ignore")) {
        o->strictness = CODEC_IGNORE;
    } else if (validation.n > 0 && !str_is(validation, "Warn")) {
        return options_invalid(
            arena, route, failure, unsupported, "fieldValidation",
            arena_printf(arena,
                         "Unsupported value: \"%.*s\": supported values: \"\", \"Ignore\", "
                         "\"Strict\", \"Warn\"",
                         STR_ARG(validation)));
    }
    o->force = query_bool(o, "force");
    o->pretty = query_bool(o, "pretty");
    o->propagation = query_get(o, "propagationPolicy");
    struct str orphan = query_get(o, "orphanDependents");
    if (orphan.n > 0 && o->propagation.n > 0) {
        return options_invalid(arena, route, failure, "FieldValueInvalid", "propagationPolicy",
                               "Invalid value: orphanDependents and deletionPropagation cannot be "
                               "both set");
    }
    if (orphan.n > 0) {
        o->propagation = truth(orphan) ? STR("Orphan") : STR("Background");
    }
    o->grace_s = -1;
    int code = number(arena, o, "gracePeriodSeconds", &o->grace_s, failure);
    return code < 0 ? code : number(arena, o, "timeoutSeconds", &o->timeout_s, failure);
}

static void forbid(struct field_errors *errors, const char *field, const char *detail)
{
    field_error_add(errors, "FieldValueForbidden", str_of(field), "Forbidden: %s", detail);
}

static void not_supported(struct field_errors *errors, struct str match, const char *supported)
{
    field_error_add(errors, "FieldValueNotSupported", STR("resourceVersionMatch"),
                    "Unsupported value: \"%.*s\": supported values: %s", STR_ARG(match), supported);
}

static void check_list(const struct query_options *o, struct str match, struct field_errors *errors)
{
    static const char field[] = "resourceVersionMatch";
    if (match.n > 0 && o->version_text.n == 0) {
        forbid(errors, field,
               "resourceVersionMatch is forbidden unless resourceVersion is provided");
    }
    if (match.n > 0 && o->token.n > 0) {
        forbid(errors, field, "resourceVersionMatch is forbidden when continue is provided");
    }
    if (match.n > 0 && o->match == MATCH_NONE) {
        not_supported(errors, match, "\"Exact\", \"NotOlderThan\", \"\"");
    }
    if (o->match == MATCH_EXACT && str_is(o->version_text, "0")) {
        forbid(errors, field,
               "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
    }
    if (o->initial_events_set) {
        forbid(errors, "sendInitialEvents", "sendInitialEvents is forbidden for list");
    }
}

static void check_watch(const struct query_options *o, struct str match,
                        struct field_errors *errors)
{
    static const char field[] = "resourceVersionMatch";
    if (o->initial_events_set && o->match != MATCH_NOT_OLDER) {
        forbid(errors, field,
               "sendInitialEvents requires setting resourceVersionMatch to "
               "NotOlderThan");
    }
    if (match.n > 0 && !o->initial_events_set) {
        forbid(errors, field,
               "resourceVersionMatch is forbidden for watch unless "
               "sendInitialEvents is provided");
    }
    if (match.n > 0 && o->match != MATCH_NOT_OLDER) {
        not_supported(errors, match, "\"NotOlderThan\"");
    }
    if (o->token.n > 0) {
        forbid(errors, field, "resourceVersionMatch is forbidden when continue is provided");
    }
}

/* What resourceVersionMatch, continue and sendInitialEvents may not be together. */
static int check_match(struct arena *arena, const struct route *route,
                       const struct query_options *o, struct str match, struct failure *failure)
{
    struct field_errors errors = {.arena = arena};
    if (route->verb == VERB_WATCH) {
        check_watch(o, match, &errors);
    } else {
        check_list(o, match, &errors);
    }
    return errors.count == 0 ? 0
                             : failure_invalid(failure, arena, STR("meta.k8s.io"),
                                               STR("ListOptions"), STR(""), &errors);
}

static int listing(struct arena *arena, const struct route *route, struct query_options *o,
                   struct failure *failure)
{
    o->label_selector = query_get(o, "labelSelector");
    o->field_selector = query_get(o, "fieldSelector");
    o->version_text = query_get(o, "resourceVersion");
    o->token = query_get(o, "continue");
    o->bookmarks = query_bool(o, "allowWatchBookmarks");
    struct str initial = query_get(o, "sendInitialEvents");
    o->initial_events_set = initial.p != NULL;
    o->initial_events = truth(initial);
    int code = number(arena, o, "limit", &o->limit, failure);
    if (code < 0) {
        return code;
    }
    bool one = route->verb == VERB_GET || route->verb == VERB_WATCH;
    bool many = route->verb == VERB_LIST || route->verb == VERB_DELETE_COLLECTION;
    if ((one || many) && o->version_text.n > 0 && !str_u64(o->version_text, &o->version)) {
        code = failure_set(failure, arena, one ? ERR_INTERNAL : ERR_BAD_REQUEST,
                           "invalid resource version \"%.*s\": must be an unsigned integer",
                           STR_ARG(o->version_text));
        failure->unreasoned = one; /* as upstream: an error that it has not foreseen */
        return code;
    }
    struct str match = query_get(o, "resourceVersionMatch");
    o->match = str_is(match, "Exact")          ? MATCH_EXACT
               : str_is(match, "NotOlderThan") ? MATCH_NOT_OLDER
                                               : MATCH_NONE;
    if (route->verb != VERB_LIST && route->verb != VERB_WATCH &&
        route->verb != VERB_DELETE_COLLECTION) {
        return 0;
    }
    code = check_match(arena, route, o, match, failure);
    if (code == 0 && o->token.n > 0 && o->version_text.n > 0 && o->version != 0) {
        code = failure_set(failure, arena, ERR_BAD_REQUEST,
                           "specifying resource version is not allowed when using continue");
    }
    return code;
}

int query_options_parse(struct arena *arena, const struct route *route, struct str query,
                        struct query_options *ret_options, struct failure *failure)
{
    struct query_options options = {0};
    int code = decode_pairs(arena, query, &options, failure);
    if (code == 0) {
        code = common(arena, route, &options, failure);
    }
    if (code == 0) {
        code = listing(arena, route, &options, failure);
    }
    if (code == 0) {
        *ret_options = options;
    }
    return code;
}

/* accept.c: which of our formats a client takes.
 *
 * Upstream's rules (apiserver, negotiation): a clause with "as" asks for another form, which must
 * be one that the endpoint has in that format; Tables are never protobuf; a watch is never YAML;
 * custom resources have no protobuf but for PartialObjectMetadata. Failures are written in the
 * first format that is asked for without a form.
 */
#include "server/http/accept.h"

#include "api/schema.h"

#define PARTIAL_LIST "PartialObjectMetadataList"

enum { CLAUSES_MAX = 32 };

struct clause {
    struct str media; /* lower case as it came: clients write it so */
    struct str as, g, v;
    bool has_form, pretty, bad_stream;
    double quality;
};

/* In upstream's order of preference. */
static const struct {
    const char *media;
    enum accept_format format;
} formats[] = {
    {"application/json", FORMAT_JSON},
    {"application/yaml", FORMAT_YAML},
    {"application/vnd.kubernetes.protobuf", FORMAT_PROTOBUF},
};

/* What is no number counts as 0, as upstream's parser has it. */
static double quality_of(struct str text)
{
    double value = 0;
    return str_double(text, &value) ? value : 0;
}

static void read_parameters(struct str rest, struct clause *clause)
{
    while (rest.p != NULL) {
        struct str value = STR_NONE;
        struct str key = str_trim(str_cut(str_cut(rest, ';', &rest), '=', &value));
        value = str_trim(value);
        if (str_is(key, "as")) {
            clause->as = value;
        } else if (str_is(key, "g")) {
            clause->g = value;
        } else if (str_is(key, "v")) {
            clause->v = value;
        } else if (str_is(key, "q")) {
            clause->quality = quality_of(value);
        } else if (str_is(key, "pretty")) {
            clause->pretty = str_is(value, "1");
        } else if (str_is(key, "stream")) {
            clause->bad_stream = value.n > 0 && !str_is(value, "watch");
        }
    }
    clause->has_form = clause->as.n > 0 || clause->g.n > 0 || clause->v.n > 0;
}

/* Upstream's parser (goautoneg), whose order this is: the exact goes before the general even when
 * its quality is lower. */
static bool goes_before(const struct clause *a, const struct clause *b)
{
    bool a_any = str_starts(a->media, STR("*/")), b_any = str_starts(b->media, STR("*/"));
    bool a_sub = str_ends(a->media, STR("/*")), b_sub = str_ends(b->media, STR("/*"));
    return a->quality > b->quality || (!a_any && b_any) || (!a_sub && b_sub);
}

static size_t read_clauses(struct str header, struct clause clauses[CLAUSES_MAX])
{
    size_t count = 0;
    struct str rest = header;
    while (rest.p != NULL && count < CLAUSES_MAX) {
        struct str parameters = STR_NONE;
        struct clause clause = {.quality = 1};
        clause.media = str_trim(str_cut(str_cut(rest, ',', &rest), ';', &parameters));
        read_parameters(parameters, &clause);
        size_t at = count++;
        for (; at > 0 && goes_before(&clause, &clauses[at - 1]); at--) {
            clauses[at] = clauses[at - 1];
        }
        clauses[at] = clause;
    }
    return count;
}

static bool media_fits(struct str asked, const char *ours)
{
    return str_is(asked, ours) || str_is(asked, "*/*") || str_is(asked, "application/*");
}

/* The form that a clause asks for; false: not one of this endpoint in this format. */
static bool form_fits(const struct request *request, const struct clause *clause,
                      enum accept_format format, enum accept_form *ret_form)
{
    const struct api_resource *resource = request->route.resource;
    *ret_form = ACCEPT_OBJECT;
    if (!clause->has_form) {
        return format != FORMAT_PROTOBUF || resource == NULL || resource->type->message != NULL;
    }
    if (resource == NULL) {
        return str_is(clause->g, "apidiscovery.k8s.io") && format == FORMAT_JSON;
    }
    if (!str_is(clause->g, "meta.k8s.io") || !str_is(clause->v, "v1")) {
        return false;
    }
    if (str_is(clause->as, "Table")) {
        *ret_form = ACCEPT_TABLE;
        return format != FORMAT_PROTOBUF;
    }
    *ret_form = ACCEPT_PARTIAL;
    return str_is(clause->as, "PartialObjectMetadata") || str_is(clause->as, PARTIAL_LIST);
}

static bool take(const struct request *request, const struct clause *clause, struct accept *accept)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        enum accept_form form;
        if (!clause->bad_stream && media_fits(clause->media, formats[i].media) &&
            form_fits(request, clause, formats[i].format, &form)) {
            accept->format = formats[i].format;
            accept->form = form;
            accept->as = clause->as;
            accept->g = clause->g;
            accept->v = clause->v;
            accept->pretty_asked = clause->pretty;
            return true;
        }
    }
    return false;
}

static enum accept_format failure_format(const struct clause *clauses, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < sizeof formats / sizeof *formats; k++) {
            if (!clauses[i].has_form && media_fits(clauses[i].media, formats[k].media)) {
                return formats[k].format;
            }
        }
    }
    return FORMAT_JSON;
}

void accept_read(struct request *request, struct str header)
{
    struct accept accept = {0};
    struct clause clauses[CLAUSES_MAX];
    size_t count = read_clauses(header, clauses);
    bool found = header.n == 0;
    for (size_t i = 0; i < count && !found; i++) {
        if (str_starts(clauses[i].media, STR("application/com.github.proto-openapi.spec.v2"))) {
            accept.openapi_protobuf = found = true;
        } else {
            found = take(request, &clauses[i], &accept);
        }
    }
    accept.json = header.n == 0;
    for (size_t i = 0; i < count; i++) {
        accept.json = accept.json || media_fits(clauses[i].media, "application/json");
        for (size_t k = 0; k < sizeof formats / sizeof *formats; k++) {
            accept.known = accept.known || media_fits(clauses[i].media, formats[k].media);
        }
    }
    accept.failure_format = failure_format(clauses, count);
    bool watch = request->route.verb == VERB_WATCH && request->route.subresource == NULL;
    accept.bad = !found || (watch && accept.format == FORMAT_YAML);
    if (accept.bad) {
        accept.format = FORMAT_JSON;
        accept.form = ACCEPT_OBJECT;
    }
    request->accept = accept;
}

int accept_check_form(struct request *request, bool list, struct failure *failure)
{
    bool asked_list = str_is(request->accept.as, PARTIAL_LIST);
    if (request->accept.form != ACCEPT_PARTIAL || asked_list == list) {
        return 0;
    }
    return failure_set(failure, &request->arena, ERR_NOT_ACCEPTABLE,
                       "you requested %.*s, but the requested object is %sa list",
                       STR_ARG(request->accept.as), list ? "" : "not ");
}

const char *accept_types(const struct request *request)
{
    const struct api_resource *resource = request->route.resource;
    bool protobuf = resource == NULL || resource->type->message != NULL;
    if (request->route.verb == VERB_WATCH) {
        return protobuf ? "application/json;stream=watch, "
                          "application/vnd.kubernetes.protobuf;stream=watch"
                        : "application/json;stream=watch";
    }
    return protobuf ? "application/json, application/yaml, application/vnd.kubernetes.protobuf"
                    : "application/json, application/yaml";
}

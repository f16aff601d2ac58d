/* issuer_config.c: reading the AuthenticationConfiguration. Every error names its field, the first
 * one ends the start: a server that let in nobody, or everybody, is worse than none. */
#include "io/file.h"
#include "server/authn/issuers_int.h"
#include "server/server_int.h"

static const char system_roots[] = "/etc/ssl/certs/ca-certificates.crt";

static int bad(struct err *err, const char *path, struct str value, const char *what)
{
    return err_set(err, ERR_INVALID, "%s: Invalid value: \"%.*s\": %s", path, STR_ARG(value), what);
}
static int missing(struct err *err, const char *path)
{
    return err_set(err, ERR_INVALID, "%s: Required value", path);
}
static int no_expressions(struct err *err, const char *path)
{
    return err_set(err, ERR_INVALID, "%s: Forbidden: CEL expressions are not supported yet", path);
}

static int only(const struct val *object, const char *path, const char *const *members,
                struct err *err)
{
    VAL_EACH (it, object) {
        bool known = false;
        for (size_t i = 0; members[i] != NULL; i++) {
            known = known || str_is(it->key, members[i]);
        }
        if (!known) {
            return err_set(err, ERR_INVALID, "%s: unknown field \"%.*s\"", path, STR_ARG(it->key));
        }
    }
    return 0;
}

#define PATH(issuer_index, member) arena_printf(&issuers->arena, "jwt[%zu]." member, issuer_index)

static int check_url(struct str url, const char *path, struct err *err)
{
    struct str host = str_from(url, 8), rest;
    if (url.n == 0) {
        return missing(err, path);
    }
    if (!str_starts(url, STR("https://"))) {
        return bad(err, path, url, "URL scheme must be https");
    }
    host = str_cut(host, '/', &rest);
    if (host.n == 0) {
        return bad(err, path, url, "URL must have a host");
    }
    if (memchr(host.p, '@', host.n) != NULL) {
        return bad(err, path, url, "URL must not contain a username or password");
    }
    if (memchr(url.p, '?', url.n) != NULL) {
        return bad(err, path, url, "URL must not contain a query");
    }
    if (memchr(url.p, '#', url.n) != NULL) {
        return bad(err, path, url, "URL must not contain a fragment");
    }
    return 0;
}

static int read_audiences(struct issuers *issuers, struct issuer *issuer, size_t at,
                          const struct val *v, struct err *err)
{
    const struct val *list = val_get(v, "audiences");
    struct str policy = val_text(val_get(v, "audienceMatchPolicy"));
    issuer->audiences = arena_array(&issuers->arena, struct str, val_count(list) + 1);
    VAL_EACH (it, list) {
        struct str text = val_text(it);
        for (size_t i = 0; i < issuer->audience_count; i++) {
            if (str_eq(issuer->audiences[i], text)) {
                return err_set(err, ERR_INVALID, "%s: Duplicate value: \"%.*s\"",
                               PATH(at, "issuer.audiences"), STR_ARG(text));
            }
        }
        if (text.n == 0) {
            return missing(err, PATH(at, "issuer.audiences"));
        }
        issuer->audiences[issuer->audience_count++] = text;
    }
    if (issuer->audience_count == 0) {
        return missing(err, PATH(at, "issuer.audiences"));
    }
    if (issuer->audience_count > 1 && !str_is(policy, "MatchAny")) {
        return bad(err, PATH(at, "issuer.audienceMatchPolicy"), policy,
                   "audienceMatchPolicy must be MatchAny for multiple audiences");
    }
    if (policy.n > 0 && !str_is(policy, "MatchAny")) {
        return bad(err, PATH(at, "issuer.audienceMatchPolicy"), policy,
                   "audienceMatchPolicy must be empty or MatchAny for single audience");
    }
    return 0;
}

static int read_trust(struct issuers *issuers, struct issuer *issuer, size_t at,
                      const struct val *v, struct err *err)
{
    struct buf roots BUF_CLEANUP = BUF_INIT;
    struct str ca = val_text(val_get(v, "certificateAuthority"));
    struct err why = ERR_INIT;
    if (ca.n == 0) {
        int code = file_read(system_roots, 8 << 20, &roots, err);
        if (code < 0) {
            return err_wrap(err, "%s: without one, the system's authorities are needed",
                            PATH(at, "issuer.certificateAuthority"));
        }
        ca = buf_view(&roots);
    }
    struct tls_options options = {.ca_pem = ca};
    issuer->tls = tls_client_new(&options, &why);
    if (issuer->tls == NULL) {
        return bad(err, PATH(at, "issuer.certificateAuthority"), STR("<omitted>"), why.message);
    }
    return 0;
}

static int read_issuer(struct issuers *issuers, struct issuer *issuer, size_t at,
                       const struct val *v, struct err *err)
{
    static const char *const members[] = {
        "url", "discoveryURL", "certificateAuthority", "audiences", "audienceMatchPolicy", NULL};
    issuer->url = val_text(val_get(v, "url"));
    issuer->discovery_url = val_text(val_get(v, "discoveryURL"));
    int code = only(v, PATH(at, "issuer"), members, err);
    code = code != 0 ? code : check_url(issuer->url, PATH(at, "issuer.url"), err);
    if (code == 0 && issuer->discovery_url.n > 0) {
        code = check_url(issuer->discovery_url, PATH(at, "issuer.discoveryURL"), err);
        if (code == 0 && str_eq(issuer->url, issuer->discovery_url)) {
            code = bad(err, PATH(at, "issuer.discoveryURL"), issuer->discovery_url,
                       "discoveryURL must be different from URL");
        }
    }
    if (code == 0 && str_eq(issuer->url, issuers->server->options.issuer)) {
        code = bad(err, PATH(at, "issuer.url"), issuer->url,
                   "URL must not overlap with disallowed issuers: this server's own");
    }
    for (size_t i = 0; code == 0 && i < at; i++) {
        if (str_eq(issuers->items[i].url, issuer->url)) {
            code = err_set(err, ERR_INVALID, "%s: Duplicate value: \"%.*s\"",
                           PATH(at, "issuer.url"), STR_ARG(issuer->url));
        }
    }
    code = code != 0 ? code : read_audiences(issuers, issuer, at, v, err);
    return code != 0 ? code : read_trust(issuers, issuer, at, v, err);
}

static int read_mapping(struct issuers *issuers, size_t at, const struct val *mappings,
                        const char *name, bool required, struct mapping *ret, struct err *err)
{
    static const char *const members[] = {"claim", "prefix", "expression", NULL};
    const struct val *v = val_get_str(mappings, str_of(name));
    const char *path = arena_printf(&issuers->arena, "jwt[%zu].claimMappings.%s", at, name);
    int code = only(v, path, members, err);
    if (code != 0) {
        return code;
    }
    if (val_text(val_get(v, "expression")).n > 0) {
        return no_expressions(err, arena_printf(&issuers->arena, "%s.expression", path));
    }
    ret->claim = val_text(val_get(v, "claim"));
    ret->prefix = val_text(val_get(v, "prefix"));
    if (ret->claim.n == 0 && required) {
        return err_set(err, ERR_INVALID, "%s: Required value: claim or expression is required",
                       path);
    }
    if (ret->claim.n > 0 && val_absent(val_get(v, "prefix"))) {
        return err_set(err, ERR_INVALID,
                       "%s.prefix: Required value: prefix is required when claim is set. It can be "
                       "set to an empty string to disable prefixing",
                       path);
    }
    if (ret->claim.n == 0 && !val_absent(val_get(v, "prefix"))) {
        return bad(err, path, ret->prefix, "non-empty prefix isn't allowed unless claim is set");
    }
    return 0;
}

static int read_mappings(struct issuers *issuers, struct issuer *issuer, size_t at,
                         const struct val *v, struct err *err)
{
    static const char *const members[] = {"username", "groups", "uid", "extra", NULL};
    static const char *const uid_members[] = {"claim", "expression", NULL};
    const struct val *uid = val_get(v, "uid");
    int code = only(v, PATH(at, "claimMappings"), members, err);
    code = code != 0 ? code : only(uid, PATH(at, "claimMappings.uid"), uid_members, err);
    code =
        code != 0 ? code : read_mapping(issuers, at, v, "username", true, &issuer->username, err);
    code = code != 0 ? code : read_mapping(issuers, at, v, "groups", false, &issuer->groups, err);
    if (code == 0 && val_text(val_get(uid, "expression")).n > 0) {
        code = no_expressions(err, PATH(at, "claimMappings.uid.expression"));
    }
    if (code == 0 && val_count(val_get(v, "extra")) > 0) {
        code = no_expressions(err, PATH(at, "claimMappings.extra[0].valueExpression"));
    }
    issuer->uid_claim = val_text(val_get(uid, "claim"));
    return code;
}

static int read_rules(struct issuers *issuers, struct issuer *issuer, size_t at,
                      const struct val *list, struct err *err)
{
    static const char *const members[] = {"claim", "requiredValue", "expression", "message", NULL};
    issuer->required = arena_array(&issuers->arena, struct required_claim, val_count(list) + 1);
    VAL_EACH (it, list) {
        size_t n = issuer->required_count;
        const char *path =
            arena_printf(&issuers->arena, "jwt[%zu].claimValidationRules[%zu]", at, n);
        int code = only(it, path, members, err);
        if (code != 0) {
            return code;
        }
        if (val_text(val_get(it, "expression")).n > 0) {
            return no_expressions(err, arena_printf(&issuers->arena, "%s.expression", path));
        }
        struct required_claim rule = {val_text(val_get(it, "claim")),
                                      val_text(val_get(it, "requiredValue"))};
        if (rule.claim.n == 0) {
            return err_set(err, ERR_INVALID, "%s: Required value: claim or expression is required",
                           path);
        }
        for (size_t i = 0; i < n; i++) {
            if (str_eq(issuer->required[i].claim, rule.claim)) {
                return err_set(err, ERR_INVALID, "%s.claim: Duplicate value: \"%.*s\"", path,
                               STR_ARG(rule.claim));
            }
        }
        issuer->required[issuer->required_count++] = rule;
    }
    return 0;
}

static int read_jwt(struct issuers *issuers, size_t at, const struct val *v, struct err *err)
{
    static const char *const members[] = {"issuer", "claimValidationRules", "claimMappings",
                                          "userValidationRules", NULL};
    struct issuer *issuer = &issuers->items[at];
    issuer->issuers = issuers;
    int code = only(v, arena_printf(&issuers->arena, "jwt[%zu]", at), members, err);
    code = code != 0 ? code : read_issuer(issuers, issuer, at, val_get(v, "issuer"), err);
    code =
        code != 0 ? code : read_rules(issuers, issuer, at, val_get(v, "claimValidationRules"), err);
    code = code != 0 ? code : read_mappings(issuers, issuer, at, val_get(v, "claimMappings"), err);
    if (code == 0 && val_count(val_get(v, "userValidationRules")) > 0) {
        code = no_expressions(err, PATH(at, "userValidationRules[0].expression"));
    }
    return code;
}

static int read_anonymous(struct issuers *issuers, const struct val *v, struct err *err)
{
    static const char *const members[] = {"enabled", "conditions", NULL};
    const struct val *list = val_get(v, "conditions");
    if (val_absent(v)) {
        return 0;
    }
    int code = only(v, "anonymous", members, err);
    issuers->configured_anonymous = true;
    issuers->anonymous_enabled = val_bool(val_get(v, "enabled"), false);
    issuers->anonymous_paths = arena_array(&issuers->arena, struct str, val_count(list) + 1);
    VAL_EACH (it, list) {
        struct str path = val_text(val_get(it, "path"));
        if (path.n == 0 || path.p[0] != '/') {
            return bad(err, "anonymous.conditions.path", path, "must be a path");
        }
        issuers->anonymous_paths[issuers->anonymous_path_count++] = path;
    }
    if (code == 0 && !issuers->anonymous_enabled && issuers->anonymous_path_count > 0) {
        code = err_set(err, ERR_INVALID,
                       "anonymous.conditions: Invalid value: enabled should be set to true when "
                       "conditions are defined");
    }
    return code;
}

int issuers_configure(struct issuers *issuers, struct str config, struct err *err)
{
    static const char *const members[] = {"kind", "apiVersion", "jwt", "anonymous", NULL};
    struct val *root = NULL;
    int code = val_parse_yaml(&issuers->arena, config, &root, err);
    if (code != 0) {
        return code;
    }
    struct str version = val_text(val_get(root, "apiVersion"));
    if (!str_is(val_text(val_get(root, "kind")), "AuthenticationConfiguration") ||
        (!str_is(version, "apiserver.config.k8s.io/v1") &&
         !str_is(version, "apiserver.config.k8s.io/v1beta1"))) {
        return err_set(err, ERR_INVALID,
                       "must be an AuthenticationConfiguration of apiserver.config.k8s.io/v1 or "
                       "v1beta1");
    }
    code = only(root, "", members, err);
    const struct val *jwt = val_get(root, "jwt");
    if (code == 0 && val_count(jwt) > ISSUERS_MAX) {
        code = err_set(err, ERR_INVALID, "jwt: Too many: %u: must have at most %d items",
                       val_count(jwt), ISSUERS_MAX);
    }
    issuers->items = arena_array(&issuers->arena, struct issuer, val_count(jwt) + 1);
    for (const struct val *it = jwt != NULL ? jwt->child : NULL; code == 0 && it != NULL;
         it = it->next) {
        code = read_jwt(issuers, issuers->count++, it, err);
    }
    return code != 0 ? code : read_anonymous(issuers, val_get(root, "anonymous"), err);
}

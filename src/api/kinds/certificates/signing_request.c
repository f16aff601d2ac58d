/* signing_request.c: CertificateSigningRequest: what is asked for never changes; its conditions are
 * written at /approval and /status, the certificate at /status.
 *
 * Left to others: who asks, and who may approve and sign (server/admission/certificates.c).
 */
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/signer.h"
#include "api/semantic.h"
#include "base/clock.h"
#include "pki/foreign.h"

enum { EXPIRATION_MIN = 600 };
static const char *const decisions[] = {"Approved", "Denied", "Failed"};
enum { DECISION_APPROVALS = 2, DECISION_COUNT = 3 }; /* the first two are made at /approval */

static const char *const usages[] = {"any",
                                     "cert sign",
                                     "client auth",
                                     "code signing",
                                     "content commitment",
                                     "crl sign",
                                     "data encipherment",
                                     "decipher only",
                                     "digital signature",
                                     "email protection",
                                     "encipher only",
                                     "ipsec end system",
                                     "ipsec tunnel",
                                     "ipsec user",
                                     "key agreement",
                                     "key encipherment",
                                     "microsoft sgc",
                                     "netscape sgc",
                                     "ocsp signing",
                                     "s/mime",
                                     "server auth",
                                     "signing",
                                     "timestamping",
                                     NULL};

static bool bytes_of(struct arena *arena, const struct val *text, struct str *ret_bytes)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    bool good = base64_decode(&out, val_text(text));
    *ret_bytes = str_copy_in(arena, buf_view(&out));
    return good;
}

/* ---- strategy ---- */

static void request_prepare_create(struct api_context *ctx, struct val *request)
{
    static const char *const of_server[] = {"username", "uid", "groups", "extra"};
    struct val *spec = val_make_object(ctx->arena, request, STR("spec"));
    for (size_t i = 0; i < sizeof of_server / sizeof *of_server; i++) {
        val_unset(spec, str_of(of_server[i]));
    }
}

static void keep_member(struct arena *arena, struct val *next, const struct val *old,
                        struct str name)
{
    const struct val *was = val_get_str(old, name);
    if (was == NULL) {
        val_unset(next, name);
        return;
    }
    struct val *copy = val_copy(arena, was);
    copy->field = was->field;
    val_set(next, was->key, copy);
}

static uint32_t count_type(const struct val *conditions, const char *type)
{
    uint32_t count = 0;
    VAL_EACH (it, conditions) {
        count += str_is(val_text(val_get(it, "type")), type);
    }
    return count;
}

/* Approvals stay as they were, unless there are more or fewer of them: that is refused later. */
static void keep_approvals(struct api_context *ctx, struct val *conditions, const struct val *old)
{
    for (size_t d = 0; d < DECISION_APPROVALS; d++) {
        const struct val *was = old != NULL ? old->child : NULL;
        if (count_type(conditions, decisions[d]) != count_type(old, decisions[d])) {
            continue;
        }
        VAL_EACH (it, conditions) {
            if (!str_is(val_text(val_get(it, "type")), decisions[d])) {
                continue;
            }
            while (!str_is(val_text(val_get(was, "type")), decisions[d])) {
                was = was->next;
            }
            struct val *copy = val_copy(ctx->arena, was);
            it->child = copy->child;
            it->last = copy->last;
            it->count = copy->count;
            was = was->next;
        }
    }
}

static struct str transition_of(const struct val *condition, const struct val *old, struct str now)
{
    VAL_EACH (was, old) {
        struct str time = val_text(val_get(was, "lastTransitionTime"));
        if (time.n > 0 &&
            str_eq(val_text(val_get(was, "type")), val_text(val_get(condition, "type"))) &&
            str_eq(val_text(val_get(was, "status")), val_text(val_get(condition, "status")))) {
            return time;
        }
    }
    return now;
}

static void fill_times(struct api_context *ctx, struct val *conditions, const struct val *old)
{
    char *text = arena_alloc(ctx->arena, TIME_TEXT_SIZE);
    struct str now = str_at(text, time_format(ctx->now_wall_ns, text));
    VAL_EACH (it, conditions) {
        if (val_absent(val_get(it, "lastUpdateTime"))) {
            val_set_text(ctx->arena, it, STR("lastUpdateTime"), now);
        }
        if (val_absent(val_get(it, "lastTransitionTime"))) {
            val_set_text(ctx->arena, it, STR("lastTransitionTime"), transition_of(it, old, now));
        }
    }
}

static void request_prepare_update(struct api_context *ctx, struct val *next, const struct val *old)
{
    const struct val *was = val_path(old, "status.conditions");
    struct val *conditions = val_path(next, "status.conditions");
    keep_member(ctx->arena, next, old, STR("spec"));
    if (strcmp(ctx->subresource, "status") == 0) {
        keep_approvals(ctx, conditions, was);
        fill_times(ctx, conditions, was);
    } else if (strcmp(ctx->subresource, "approval") == 0) {
        fill_times(ctx, conditions, was);
        struct val *kept = conditions != NULL ? val_copy(ctx->arena, conditions) : NULL;
        const struct api_field *field = conditions != NULL ? conditions->field : NULL;
        keep_member(ctx->arena, next, old, STR("status"));
        struct val *status = val_make_object(ctx->arena, next, STR("status"));
        if (kept != NULL) {
            val_set(status, STR("conditions"), kept)->field = field;
        } else {
            val_unset(status, STR("conditions"));
        }
    }
}

/* ---- validation ---- */

static void pem_request_check(struct field_errors *errors, const struct path *path,
                              const struct val *text)
{
    struct err err = ERR_INIT;
    struct str pem;
    struct pem_block block;
    struct foreign_request request;
    const char *wrong = NULL;
    if (!bytes_of(errors->arena, text, &pem) || !pem_next(errors->arena, &pem, &block) ||
        !str_is(block.type, "CERTIFICATE REQUEST")) {
        wrong = "PEM block type must be CERTIFICATE REQUEST";
    } else if (foreign_request_parse(errors->arena, block.der, &request, &err) < 0) {
        wrong = "must be a PKCS#10 certificate request";
    } else if (!request.signature) {
        wrong = "must be signed with its own key";
    }
    if (wrong != NULL) {
        field_invalid(errors, path, val_text(text), "%s", wrong);
    }
}

static void usages_check(struct field_errors *errors, const struct path *path,
                         const struct val *list)
{
    if (val_count(list) == 0) {
        field_required(errors, path, "");
        return;
    }
    uint32_t i = 0;
    VAL_EACH (usage, list) {
        const struct path *at = AT_INDEX(path, i++);
        if (val_text(usage).n == 0) {
            field_not_supported(errors, at, val_text(usage), usages);
        } else {
            check_one_of(errors, at, val_text(usage), usages, false);
        }
    }
    uint64_t seen = 0; /* one bit a usage: only known ones can be many */
    i = 0;
    VAL_EACH (usage, list) {
        for (size_t u = 0; usages[u] != NULL; u++) {
            if (str_is(val_text(usage), usages[u])) {
                if ((seen >> u & 1) != 0) {
                    field_duplicate(errors, AT_INDEX(path, i), val_text(usage));
                }
                seen |= 1ULL << u;
            }
        }
        i++;
    }
}

static void spec_check(struct field_errors *errors, const struct val *spec)
{
    const struct path *path = AT(NULL, "spec");
    const struct val *expiration = val_get(spec, "expirationSeconds");
    struct str signer = val_text(val_get(spec, "signerName"));
    pem_request_check(errors, AT(path, "request"), val_get(spec, "request"));
    usages_check(errors, AT(path, "usages"), val_get(spec, "usages"));
    if (str_is(signer, "kubernetes.io/legacy-unknown")) {
        field_invalid(errors, AT(path, "signerName"), signer,
                      "the legacy signerName is not allowed via this API version");
    } else {
        signer_name_check(errors, AT(path, "signerName"), signer);
    }
    if (!val_absent(expiration) && val_int(expiration, 0) < EXPIRATION_MIN) {
        field_invalid_int(errors, AT(path, "expirationSeconds"), val_int(expiration, 0),
                          "may not specify a duration less than 600 seconds (10 minutes)");
    }
}

static bool is_decision(struct str type)
{
    for (size_t d = 0; d < DECISION_COUNT; d++) {
        if (str_is(type, decisions[d])) {
            return true;
        }
    }
    return false;
}

static bool has_both(const struct val *conditions)
{
    return count_type(conditions, "Approved") > 0 && count_type(conditions, "Denied") > 0;
}

static bool has_repeats(const struct val *conditions)
{
    VAL_EACH (it, conditions) {
        if (val_find(conditions, "type", val_text(val_get(it, "type"))) != it) {
            return true;
        }
    }
    return false;
}

/* What is wrong with the stored object already is let pass. */
static void conditions_check(struct field_errors *errors, const struct path *path,
                             const struct val *conditions, const struct val *old)
{
    static const char *const any[] = {"False", "True", "Unknown", NULL};
    static const char *const yes[] = {"True", NULL};
    bool both_before = has_both(old), repeats_before = has_repeats(old);
    bool approved = false, denied = false;
    uint32_t i = 0;
    if (!check_length(errors, path, conditions, LIST_LENGTH_MAX)) {
        return;
    }
    VAL_EACH (it, conditions) {
        const struct path *at = AT_INDEX(path, i++);
        struct str type = val_text(val_get(it, "type"));
        if (type.n == 0 && (old == NULL || val_find(old, "type", type) == NULL)) {
            field_required(errors, AT(at, "type"), "");
        }
        check_one_of(errors, AT(at, "status"), val_text(val_get(it, "status")),
                     is_decision(type) ? yes : any, true);
        approved = approved || str_is(type, "Approved");
        denied = denied || str_is(type, "Denied");
        bool decides = str_is(type, "Approved") || str_is(type, "Denied");
        if (decides && approved && denied && !both_before) {
            field_invalid(errors, path, type,
                          "Approved and Denied conditions are mutually exclusive");
        }
        const struct val *first = val_find(conditions, "type", type);
        if (!repeats_before && first != NULL && first != it) {
            field_duplicate(errors, AT(at, "type"), type);
        }
    }
}

/* NULL when `pem` is one certificate or more and nothing else (or empty). */
static const char *certificate_wrong(struct arena *arena, struct str pem)
{
    struct pem_block block;
    struct foreign_certificate certificate;
    size_t blocks = 0;
    while (pem.n > 0 && pem_next(arena, &pem, &block)) {
        struct err err = ERR_INIT;
        blocks++;
        if (!str_is(block.type, "CERTIFICATE")) {
            return "only CERTIFICATE PEM blocks are allowed";
        }
        if (block.has_headers) {
            return "no PEM block headers are permitted";
        }
        if (foreign_certificate_parse(arena, block.der, &certificate, &err) < 0) {
            return "must hold X.509 certificates";
        }
    }
    return blocks == 0 ? "must contain at least one CERTIFICATE PEM block" : NULL;
}

static void certificate_check(struct field_errors *errors, const struct val *next,
                              const struct val *old)
{
    const struct val *text = val_path(next, "status.certificate");
    struct str pem, old_pem;
    if (val_text(text).n == 0 ||
        (old != NULL && str_eq(val_text(text), val_text(val_path(old, "status.certificate"))))) {
        return;
    }
    if (bytes_of(errors->arena, val_path(old, "status.certificate"), &old_pem) && old_pem.n > 0 &&
        certificate_wrong(errors->arena, old_pem) != NULL) {
        return;
    }
    const char *wrong = bytes_of(errors->arena, text, &pem) ? certificate_wrong(errors->arena, pem)
                                                            : "must be base64";
    if (wrong != NULL) {
        field_invalid(errors, AT(AT(NULL, "status"), "certificate"), STR("<certificate data>"),
                      "%s", wrong);
    }
}

static void request_check(struct field_errors *errors, const struct val *next,
                          const struct val *old)
{
    spec_check(errors, val_get(next, "spec"));
    conditions_check(errors, AT(AT(NULL, "status"), "conditions"),
                     val_path(next, "status.conditions"), val_path(old, "status.conditions"));
    certificate_check(errors, next, old);
}

static void request_validate_create(struct api_context *ctx, const struct val *request,
                                    struct field_errors *errors)
{
    request_check(errors, request, NULL);
    (void)ctx;
}

/* The conditions of a type, in order, are the same. */
static bool same_type(const struct val *a, const struct val *b, const char *type)
{
    const struct val *other = b != NULL ? b->child : NULL;
    VAL_EACH (it, a) {
        if (!str_is(val_text(val_get(it, "type")), type)) {
            continue;
        }
        while (other != NULL && !str_is(val_text(val_get(other, "type")), type)) {
            other = other->next;
        }
        if (other == NULL || !semantic_equal(it, other)) {
            return false;
        }
        other = other->next;
    }
    return true;
}

static void decisions_check(struct api_context *ctx, struct field_errors *errors,
                            const struct val *conditions, const struct val *old)
{
    const struct path *path = AT(AT(NULL, "status"), "conditions");
    bool approval = strcmp(ctx->subresource, "approval") == 0;
    for (size_t d = 0; d < DECISION_COUNT; d++) {
        if (count_type(conditions, decisions[d]) < count_type(old, decisions[d])) {
            field_forbidden(errors, path, "updates may not remove a condition of type \"%s\"",
                            decisions[d]);
        }
    }
    for (size_t d = 0; d < DECISION_APPROVALS && !approval; d++) {
        uint32_t now = count_type(conditions, decisions[d]), was = count_type(old, decisions[d]);
        if (now > was || (now == was && !same_type(conditions, old, decisions[d]))) {
            field_forbidden(errors, path, "updates may not %s a condition of type \"%s\"",
                            now > was ? "add" : "modify", decisions[d]);
        }
    }
}

static void request_validate_update(struct api_context *ctx, const struct val *next,
                                    const struct val *old, struct field_errors *errors)
{
    const struct path *path = AT(AT(NULL, "status"), "certificate");
    struct str now = val_text(val_path(next, "status.certificate"));
    struct str was = val_text(val_path(old, "status.certificate"));
    request_check(errors, next, old);
    decisions_check(ctx, errors, val_path(next, "status.conditions"),
                    val_path(old, "status.conditions"));
    if (!str_eq(now, was) && strcmp(ctx->subresource, "status") != 0) {
        field_forbidden(errors, path, "updates may not set certificate content");
    } else if (!str_eq(now, was) && was.n > 0) {
        field_forbidden(errors, path, "updates may not modify existing certificate content");
    }
}

static void request_columns(struct api_context *ctx, const struct val *request, struct val *cells)
{
    const struct val *spec = val_get(request, "spec");
    const struct val *conditions = val_path(request, "status.conditions");
    const struct val *expiration = val_get(spec, "expirationSeconds");
    char *text = arena_alloc(ctx->arena, TIME_TEXT_SIZE);
    const char *decision = count_type(conditions, "Denied") > 0     ? "Denied"
                           : count_type(conditions, "Approved") > 0 ? "Approved"
                                                                    : "Pending";
    cell_text(ctx, cells, val_name(request));
    cell_age(ctx, cells, request);
    cell_or_none(ctx, cells, val_text(val_get(spec, "signerName")));
    cell_text(ctx, cells, val_text(val_get(spec, "username")));
    if (val_absent(expiration)) {
        cell_text(ctx, cells, STR("<none>"));
    } else {
        size_t n = duration_format_age(val_int(expiration, 0) * NS_PER_S, text);
        cell_text(ctx, cells, str_at(text, n));
    }
    bool issued = val_text(val_path(request, "status.certificate")).n > 0;
    cell_format(ctx, cells, "%s%s%s", decision,
                count_type(conditions, "Failed") > 0 ? ",Failed" : "", issued ? ",Issued" : "");
}

const struct api_ops ops_signing_request = {
    .prepare_create = request_prepare_create,
    .prepare_update = request_prepare_update,
    .validate_create = request_validate_create,
    .validate_update = request_validate_update,
    .columns = request_columns,
    .unconditional_update = true,
    .name_rule = "path",
};

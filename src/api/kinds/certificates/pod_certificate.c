/* pod_certificate.c: PodCertificateRequest: a node asks a signer for a certificate of a pod. What
 * is asked for never changes; the status is decided once.
 *
 * Left to others: who may sign, and for which pods a node may ask (server/admission).
 */
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/signer.h"
#include "api/semantic.h"
#include "base/clock.h"
#include "pki/foreign.h"

enum {
    UID_MAX = 128,
    REQUEST_MAX = 10 * 1024,
    CHAIN_MAX = 100 * 1024,
    EXPIRATION_MIN = 3600,
    EXPIRATION_MAX = 91 * 86400,
    EXPIRATION_MAX_KUBERNETES = 86400,
    SKEW_SECONDS = 300,
    REFRESH_SECONDS = 600,
};
static const char *const outcomes[] = {"Denied", "Failed", "Issued", NULL};

static bool has_outcome(const struct val *object, const char *type)
{
    VAL_EACH (it, val_path(object, "status.conditions")) {
        if (str_is(val_text(val_get(it, "type")), type) &&
            str_is(val_text(val_get(it, "status")), "True")) {
            return true;
        }
    }
    return false;
}

static bool is_decided(const struct val *object)
{
    return has_outcome(object, "Issued") || has_outcome(object, "Denied") ||
           has_outcome(object, "Failed");
}

/* ---- spec ---- */

static void parties_check(struct field_errors *errors, const struct path *path,
                          const struct val *spec)
{
    static const struct {
        const char *name, *uid;
    } parties[] = {{"podName", "podUID"},
                   {"serviceAccountName", "serviceAccountUID"},
                   {"nodeName", "nodeUID"}};
    for (size_t i = 0; i < sizeof parties / sizeof *parties; i++) {
        struct str uid = val_text(val_get_str(spec, str_of(parties[i].uid)));
        check_name(errors, AT(path, parties[i].name), NAME_SUBDOMAIN,
                   val_text(val_get_str(spec, str_of(parties[i].name))));
        if (uid.n == 0) {
            field_invalid(errors, AT(path, parties[i].uid), uid, "must not be empty");
        } else if (uid.n > UID_MAX) {
            field_too_long(errors, AT(path, parties[i].uid), UID_MAX);
        }
    }
}

static const char *key_wrong(const struct foreign_request *request)
{
    switch (request->key) {
    case FOREIGN_KEY_ED25519:
        return NULL;
    case FOREIGN_KEY_EC:
        return request->key_bits == 256 || request->key_bits == 384 || request->key_bits == 521
                   ? NULL
                   : "elliptic public keys must use curve P256, P384, or P521";
    case FOREIGN_KEY_RSA:
        return request->key_bits == 3072 || request->key_bits == 4096
                   ? NULL
                   : "RSA keys must have modulus size 3072 or 4096";
    default:
        return "unknown public key type; supported types are Ed25519, ECDSA, and RSA";
    }
}

static bool stub_of(struct arena *arena, const struct val *spec, struct foreign_request *ret)
{
    struct err err = ERR_INIT;
    struct buf der BUF_CLEANUP = BUF_INIT;
    return base64_decode(&der, val_text(val_get(spec, "stubPKCS10Request"))) &&
           foreign_request_parse(arena, buf_view(&der), ret, &err) == 0;
}

static void stub_check(struct field_errors *errors, const struct path *path, const struct val *spec)
{
    const struct path *at = AT(path, "stubPKCS10Request");
    struct str text = val_text(val_get(spec, "stubPKCS10Request"));
    struct foreign_request request;
    if (text.n == 0) {
        field_invalid(errors, path, STR(""), "stubPKCS10Request must be set");
    } else if (text.n / 4 * 3 > REQUEST_MAX + 2) {
        field_too_long(errors, at, REQUEST_MAX);
    } else if (!stub_of(errors->arena, spec, &request)) {
        field_invalid(errors, at, STR(""), "must be a valid PKCS#10 CSR");
    } else if (key_wrong(&request) != NULL) {
        field_invalid(errors, at, STR(""), "%s", key_wrong(&request));
    } else if (!request.signature) {
        field_invalid(errors, at, STR(""), "invalid signature");
    }
}

static void request_validate_create(struct api_context *ctx, const struct val *request,
                                    struct field_errors *errors)
{
    const struct path *path = AT(NULL, "spec");
    const struct val *spec = val_get(request, "spec");
    const struct val *expiration = val_get(spec, "maxExpirationSeconds");
    struct str signer = val_text(val_get(spec, "signerName"));
    int64_t seconds = val_int(expiration, 0);
    int64_t max = signer_is_built_in(signer) ? EXPIRATION_MAX_KUBERNETES : EXPIRATION_MAX;
    signer_name_check(errors, AT(path, "signerName"), signer);
    signer_annotations_check(errors, AT(path, "unverifiedUserAnnotations"),
                             val_get(spec, "unverifiedUserAnnotations"));
    parties_check(errors, path, spec);
    if (val_absent(expiration)) {
        field_required(errors, AT(path, "maxExpirationSeconds"), "must be set");
        return;
    }
    if (seconds < EXPIRATION_MIN || seconds > max) {
        field_invalid_int(errors, AT(path, "maxExpirationSeconds"), seconds,
                          "must be in the range [%d, %lld]", EXPIRATION_MIN, (long long)max);
    }
    stub_check(errors, path, spec);
    (void)ctx;
}

/* ---- status ---- */

static void outcomes_check(struct field_errors *errors, const struct path *path,
                           const struct val *conditions)
{
    static const char *const yes[] = {"True", NULL};
    uint32_t i = 0, known = 0;
    VAL_EACH (it, conditions) {
        const struct path *at = AT_INDEX(path, i++);
        struct str type = val_text(val_get(it, "type"));
        bool outcome = str_is(type, "Denied") || str_is(type, "Failed") || str_is(type, "Issued");
        if (!outcome) {
            field_not_supported(errors, AT(at, "type"), type, outcomes);
            continue;
        }
        if (++known > 1) {
            field_invalid(errors, AT(at, "type"), type,
                          "there may be at most one condition of type \"Issued\", \"Denied\" or "
                          "\"Failed\"");
        }
        if (!str_is(val_text(val_get(it, "status")), "True")) {
            field_not_supported(errors, AT(at, "status"), val_text(val_get(it, "status")), yes);
        }
    }
}

static bool time_of(const struct val *status, const char *name, int64_t *ret_ns)
{
    return time_parse(val_text(val_get_str(status, str_of(name))), ret_ns);
}

/* The times must be the certificate's, and leave room for the next one. */
static void times_check(struct api_context *ctx, struct field_errors *errors,
                        const struct path *path, const struct val *next,
                        const struct foreign_certificate *leaf)
{
    const struct val *status = val_get(next, "status");
    int64_t before, after, refresh;
    int64_t max = val_int(val_path(next, "spec.maxExpirationSeconds"), 0) * NS_PER_S;
    int64_t life = leaf->not_after_ns - leaf->not_before_ns;
    static const char *const names[] = {"notBefore", "notAfter", "beginRefreshAt"};
    size_t errors_before = errors->count;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!time_of(status, names[i], &before)) {
            field_required(errors, AT(path, names[i]), "must go with the issued certificate");
        }
    }
    if (errors->count > errors_before || !time_of(status, "notBefore", &before) ||
        !time_of(status, "notAfter", &after) || !time_of(status, "beginRefreshAt", &refresh)) {
        return;
    }
    const char *at = NULL, *wrong = NULL;
    int64_t skew =
        before > ctx->now_wall_ns ? before - ctx->now_wall_ns : ctx->now_wall_ns - before;
    if (before != leaf->not_before_ns) {
        at = "notBefore", wrong = "must be the NotBefore time of the leaf certificate";
    } else if (skew >= SKEW_SECONDS * NS_PER_S) {
        at = "notBefore", wrong = "must be within 5 minutes of the server's time";
    } else if (after != leaf->not_after_ns) {
        at = "notAfter", wrong = "must be the NotAfter time of the leaf certificate";
    } else if (life < EXPIRATION_MIN * NS_PER_S) {
        at = "certificateChain", wrong = "the leaf certificate must live for an hour at least";
    } else if (life > max) {
        at = "certificateChain", wrong = "the leaf certificate lives longer than asked for";
    } else if (refresh < before + REFRESH_SECONDS * NS_PER_S) {
        at = "beginRefreshAt", wrong = "must be at least 10 minutes after status.notBefore";
    } else if (refresh > after - REFRESH_SECONDS * NS_PER_S) {
        at = "beginRefreshAt", wrong = "must be at least 10 minutes before status.notAfter";
    }
    if (wrong != NULL) {
        field_invalid(errors, AT(path, at), val_text(val_get_str(status, str_of(at))), "%s", wrong);
    }
}

static bool names_check(struct field_errors *errors, const struct path *path,
                        const struct foreign_certificate *leaf)
{
    size_t before = errors->count;
    for (size_t i = 0; i < leaf->dns_count; i++) {
        struct str name = leaf->dns_names[i];
        if (name.n == 0) {
            field_invalid(errors, path, name, "a DNS name of the leaf certificate is empty");
        } else if (str_contains(name, STR("..")) || str_starts(name, STR(".")) ||
                   str_ends(name, STR("."))) {
            field_invalid(errors, path, name,
                          "a DNS name of the leaf certificate has an empty label");
        }
    }
    for (size_t i = 0; i < leaf->email_count; i++) {
        struct str rest;
        struct str user = str_cut(leaf->emails[i], '@', &rest);
        if (user.n == 0 || rest.n == 0) {
            field_invalid(errors, path, leaf->emails[i],
                          "an email address of the leaf certificate is none");
        }
    }
    return errors->count == before;
}

static const char *chain_wrong(struct arena *arena, struct str chain)
{
    struct pem_block block;
    struct foreign_certificate certificate;
    while (pem_next(arena, &chain, &block)) {
        struct err err = ERR_INIT;
        if (!str_is(block.type, "CERTIFICATE")) {
            return "issued certificate chain must consist entirely of CERTIFICATE PEM blocks";
        }
        if (foreign_certificate_parse(arena, block.der, &certificate, &err) < 0) {
            return "intermediate certificate does not parse as valid X.509";
        }
    }
    return NULL;
}

static void issued_check(struct api_context *ctx, struct field_errors *errors,
                         const struct path *path, const struct val *next)
{
    const struct path *at = AT(path, "certificateChain");
    struct str chain = val_text(val_path(next, "status.certificateChain")), rest = chain;
    struct pem_block block;
    struct foreign_certificate leaf;
    struct foreign_request stub;
    struct err err = ERR_INIT;
    const char *wrong = NULL;
    if (chain.n > CHAIN_MAX) {
        field_too_long(errors, at, CHAIN_MAX);
        return;
    }
    if (!pem_next(errors->arena, &rest, &block)) {
        wrong = "issued certificate chain must contain at least one certificate";
    } else if (!str_is(block.type, "CERTIFICATE")) {
        wrong = "issued certificate chain must consist entirely of CERTIFICATE PEM blocks";
    } else if (foreign_certificate_parse(errors->arena, block.der, &leaf, &err) < 0) {
        wrong = "leaf certificate does not parse as valid X.509";
    }
    if (wrong != NULL) {
        field_invalid(errors, at, chain, "%s", wrong);
        return;
    }
    bool good = names_check(errors, at, &leaf);
    if (!stub_of(errors->arena, val_get(next, "spec"), &stub) ||
        !str_eq(stub.key_hash, leaf.key_hash)) {
        field_invalid(errors, at, chain,
                      "leaf certificate was not issued to the requested public key");
        return;
    }
    size_t before = errors->count;
    times_check(ctx, errors, path, next, &leaf);
    if (good && errors->count == before && (wrong = chain_wrong(errors->arena, rest)) != NULL) {
        field_invalid(errors, at, chain, "%s", wrong);
    }
}

static bool has_more_than_conditions(const struct val *status)
{
    VAL_EACH (it, status) {
        if (!str_is(it->key, "conditions") && !val_absent(it) &&
            (it->type != VAL_STRING || it->text.n > 0)) {
            return true;
        }
    }
    return false;
}

static void status_check(struct api_context *ctx, struct field_errors *errors,
                         const struct val *next, const struct val *old)
{
    const struct path *path = AT(NULL, "status");
    const struct val *status = val_get(next, "status");
    size_t before = errors->count;
    outcomes_check(errors, AT(path, "conditions"), val_get(status, "conditions"));
    check_conditions(errors, AT(path, "conditions"), val_get(status, "conditions"));
    if (errors->count > before) {
        return;
    }
    bool same = semantic_equal(status, val_get(old, "status"));
    if (is_decided(old)) {
        if (!same) {
            field_invalid(errors, path, STR(""),
                          "immutable after PodCertificateRequest is issued, denied, or failed");
        }
    } else if (has_outcome(next, "Denied") || has_outcome(next, "Failed")) {
        if (has_more_than_conditions(status)) {
            field_invalid(errors, path, STR(""),
                          "only conditions may be set when the request is denied or failed");
        }
    } else if (has_outcome(next, "Issued")) {
        issued_check(ctx, errors, path, next);
    } else if (!same) {
        field_invalid(errors, path, STR(""),
                      "is immutable unless it becomes \"Issued\", \"Denied\" or \"Failed\"");
    }
}

static void request_validate_update(struct api_context *ctx, const struct val *next,
                                    const struct val *old, struct field_errors *errors)
{
    if (strcmp(ctx->subresource, "status") == 0) {
        status_check(ctx, errors, next, old);
    } else {
        check_immutable(errors, AT(NULL, "spec"), val_get(next, "spec"), val_get(old, "spec"));
    }
}

static void request_columns(struct api_context *ctx, const struct val *request, struct val *cells)
{
    static const char *const members[] = {"podName", "serviceAccountName", "nodeName",
                                          "signerName"};
    const struct val *spec = val_get(request, "spec");
    struct str state = STR("Pending");
    VAL_EACH (it, val_path(request, "status.conditions")) {
        struct str type = val_text(val_get(it, "type"));
        for (size_t i = 0; outcomes[i] != NULL; i++) {
            state = str_is(type, outcomes[i]) ? type : state;
        }
    }
    cell_text(ctx, cells, val_name(request));
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        cell_text(ctx, cells, val_text(val_get_str(spec, str_of(members[i]))));
    }
    cell_text(ctx, cells, state);
    cell_text(ctx, cells, cell_map_text(ctx, val_get(spec, "unverifiedUserAnnotations")));
}

const struct api_ops ops_pod_certificate = {
    .validate_create = request_validate_create,
    .validate_update = request_validate_update,
    .columns = request_columns,
    .metadata_fixed_in_status = true,
};

/* certificates.c: who asks for a certificate, and who may approve, sign and attest for a signer:
 * the verbs "approve", "sign" and "attest" on signers.certificates.k8s.io, by name or for all
 * signers of a domain ("example.com" with a slash and a star). */
#include "api/semantic.h"
#include "pki/foreign.h"
#include "server/admission/admission.h"
#include "server/authz/authz.h"
#include "server/server_int.h"

static bool is_request(const struct admission *a, const char *subresource)
{
    const struct api_resource *requests = a->request->server->known.signing_requests;
    return requests != NULL && a->resource->storage == requests->storage &&
           str_is(a->subresource, subresource);
}

static bool may(struct admission *a, const char *verb, struct str signer)
{
    struct attributes attributes = {.identity = a->request->identity,
                                    .verb = str_of(verb),
                                    .group = STR("certificates.k8s.io"),
                                    .resource = STR("signers"),
                                    .name = signer};
    struct str rest;
    struct str domain = str_cut(signer, '/', &rest);
    if (authz_allows(a->request->server, &attributes, NULL, NULL)) {
        return true;
    }
    attributes.name = str_of(arena_printf(a->arena, "%.*s/*", STR_ARG(domain)));
    return authz_allows(a->request->server, &attributes, NULL, NULL);
}

/* ---- who asks ---- */

static struct val *text_list(struct admission *a, struct val *object, struct str key,
                             const struct str *items, size_t count)
{
    struct val *list = val_set(object, key, val_new(a->arena, VAL_ARRAY));
    for (size_t i = 0; i < count; i++) {
        val_append(list, val_new_text(a->arena, str_copy_in(a->arena, items[i])));
    }
    return list;
}

static int fill_requester(struct admission *a, struct failure *failure)
{
    const struct identity *who = a->request->identity;
    if (a->operation != VERB_CREATE || !is_request(a, "")) {
        return 0;
    }
    struct val *spec = val_make_object(a->arena, a->object, STR("spec"));
    val_set_text(a->arena, spec, STR("username"), str_copy_in(a->arena, who->name));
    if (who->uid.n > 0) {
        val_set_text(a->arena, spec, STR("uid"), str_copy_in(a->arena, who->uid));
    }
    if (who->group_count > 0) {
        text_list(a, spec, STR("groups"), who->groups, who->group_count);
    }
    struct val *extra = who->extra_count > 0 ? val_make_object(a->arena, spec, STR("extra")) : NULL;
    for (size_t i = 0; i < who->extra_count; i++) {
        text_list(a, extra, str_copy_in(a->arena, who->extra[i].key), who->extra[i].values,
                  who->extra[i].count);
    }
    struct err err = ERR_INIT;
    if (codec_apply_schema(a->arena, a->resource->type, a->object, CODEC_IGNORE, NULL, &err) < 0) {
        return failure_from_err(failure, a->arena, &err);
    }
    return 0;
}

/* ---- who may ---- */

static int check_approval(struct admission *a, struct failure *failure)
{
    if (a->operation != VERB_UPDATE || !is_request(a, "approval")) {
        return 0;
    }
    struct str signer = val_text(val_path(a->old, "spec.signerName"));
    return may(a, "approve", signer)
               ? 0
               : failure_forbidden(failure, a->arena, a->resource, a->name,
                                   "user not permitted to approve requests with signerName "
                                   "\"%.*s\"",
                                   STR_ARG(signer));
}

static int check_signing(struct admission *a, struct failure *failure)
{
    if (a->operation != VERB_UPDATE || !is_request(a, "status") ||
        semantic_equal(val_get(a->object, "status"), val_get(a->old, "status"))) {
        return 0;
    }
    struct str signer = val_text(val_path(a->old, "spec.signerName"));
    return may(a, "sign", signer)
               ? 0
               : failure_forbidden(failure, a->arena, a->resource, a->name,
                                   "user not permitted to sign requests with signerName \"%.*s\"",
                                   STR_ARG(signer));
}

static bool asks_for_masters(struct admission *a)
{
    struct buf bytes BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    struct pem_block block;
    struct foreign_request request;
    if (!base64_decode(&bytes, val_text(val_path(a->object, "spec.request")))) {
        return false;
    }
    struct str pem = buf_view(&bytes);
    if (!pem_next(a->arena, &pem, &block) ||
        foreign_request_parse(a->arena, block.der, &request, &err) < 0) {
        return false;
    }
    for (size_t i = 0; i < request.organization_count; i++) {
        if (str_is(request.organizations[i], "system:masters")) {
            return true;
        }
    }
    return false;
}

/* Whoever may approve client certificates shall not make administrators by that. */
static int check_subject(struct admission *a, struct failure *failure)
{
    static const char signer[] = "kubernetes.io/kube-apiserver-client";
    if (a->operation != VERB_CREATE || !is_request(a, "") ||
        !str_is(val_text(val_path(a->object, "spec.signerName")), signer) || !asks_for_masters(a)) {
        return 0;
    }
    return failure_forbidden(failure, a->arena, a->resource, a->name,
                             "use of %s signer with system:masters group is not allowed", signer);
}

static bool same_meaning(const struct val *next, const struct val *old)
{
    return semantic_equal(val_get(next, "spec"), val_get(old, "spec")) &&
           semantic_equal(val_path(next, "metadata.labels"), val_path(old, "metadata.labels")) &&
           semantic_equal(val_path(next, "metadata.annotations"),
                          val_path(old, "metadata.annotations"));
}

static int check_attest(struct admission *a, struct failure *failure)
{
    const struct api_resource *bundles = a->request->server->known.trust_bundles;
    struct str signer = val_text(val_path(a->object, "spec.signerName"));
    if (a->operation == VERB_DELETE || !admission_is(a, bundles) || signer.n == 0 ||
        (a->old != NULL && same_meaning(a->object, a->old)) || may(a, "attest", signer)) {
        return 0;
    }
    return failure_forbidden(failure, a->arena, a->resource, a->name,
                             "user not permitted to attest for signerName \"%.*s\"",
                             STR_ARG(signer));
}

/* Upstream answers this one as a field error: the strategy asks, not admission. */
static int check_pod_signing(struct admission *a, struct failure *failure)
{
    const struct api_resource *requests = a->request->server->known.pod_certificates;
    if (a->operation != VERB_UPDATE || requests == NULL ||
        a->resource->storage != requests->storage || !str_is(a->subresource, "status") ||
        semantic_equal(val_get(a->object, "status"), val_get(a->old, "status"))) {
        return 0;
    }
    struct str signer = val_text(val_path(a->old, "spec.signerName"));
    if (may(a, "sign", signer)) {
        return 0;
    }
    struct field_errors errors = {.arena = a->arena};
    field_error_add(&errors, "FieldValueForbidden", STR("spec.signerName"),
                    "Forbidden: User \"%.*s\" is not permitted to \"sign\" for signer \"%.*s\"",
                    STR_ARG(a->request->identity->name), STR_ARG(signer));
    return failure_invalid(failure, a->arena, str_of(a->resource->group), str_of(a->resource->kind),
                           a->name, &errors);
}

const struct admission_step admission_requester = {"requester", NULL, fill_requester,
                                                   check_pod_signing};
const struct admission_step admission_approval = {"CertificateApproval", NULL, NULL,
                                                  check_approval};
const struct admission_step admission_signing = {"CertificateSigning", NULL, NULL, check_signing};
const struct admission_step admission_subject = {"CertificateSubjectRestriction", NULL, NULL,
                                                 check_subject};
const struct admission_step admission_attest = {"ClusterTrustBundleAttest", NULL, NULL,
                                                check_attest};

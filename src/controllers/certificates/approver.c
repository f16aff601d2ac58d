/* approver.c: approves client certificates of kubelets by itself, when the requester may create
 * certificatesigningrequests/selfnodeclient (its own name) or /nodeclient (any node's): asked of
 * the API by a SubjectAccessReview. */
#include <stdlib.h>

#include "base/mem.h"
#include "controllers/certificates/request.h"
#include "controllers/pass.h"
#include "controllers/table_int.h"

enum { PARALLEL = 5 };

struct approver {
    struct worker *worker;
    const struct api_resource *resource, *reviews;
    struct informer *requests;
};
struct asking {
    struct approver *approver;
    struct val *csr;
    bool self, approved;
};

static void copy_member(struct arena *arena, struct val *to, const char *to_key,
                        const struct val *from, const char *key)
{
    const struct val *v = val_get_str(from, str_of(key));
    if (v != NULL) {
        val_set(to, str_of(to_key), val_copy(arena, v));
    }
}

static struct val *review_of(struct arena *arena, const struct val *csr, bool self)
{
    struct val *review = val_new(arena, VAL_OBJECT);
    struct val *spec = val_make_object(arena, review, STR("spec"));
    struct val *asked = val_make_object(arena, spec, STR("resourceAttributes"));
    const struct val *from = val_get(csr, "spec");
    copy_member(arena, spec, "user", from, "username");
    copy_member(arena, spec, "uid", from, "uid");
    copy_member(arena, spec, "groups", from, "groups");
    copy_member(arena, spec, "extra", from, "extra");
    val_set_text(arena, asked, STR("group"), STR("certificates.k8s.io"));
    val_set_text(arena, asked, STR("version"), STR("*"));
    val_set_text(arena, asked, STR("resource"), STR("certificatesigningrequests"));
    val_set_text(arena, asked, STR("verb"), STR("create"));
    val_set_text(arena, asked, STR("subresource"),
                 self ? STR("selfnodeclient") : STR("nodeclient"));
    return review;
}

static void ask(struct pass *pass, void *arg);

static void on_reviewed(struct pass *pass, void *arg, const struct client_result *result)
{
    struct asking *asking = arg;
    struct val *review = NULL;
    if (result->code != 0) {
        pass_fail(pass);
    } else if (val_parse_json(pass->arena, str_copy_in(pass->arena, result->body), &review, NULL) ==
               0) {
        asking->approved = val_bool(val_path(review, "status.allowed"), false);
    }
}

static void approve(struct pass *pass, struct asking *asking)
{
    struct arena *arena = pass->arena;
    struct val *status = val_make_object(arena, asking->csr, STR("status"));
    struct val *list = val_make_array(arena, status, STR("conditions"));
    struct val *condition = val_append(list, val_new(arena, VAL_OBJECT));
    val_set_text(arena, condition, STR("type"), STR("Approved"));
    val_set_text(arena, condition, STR("status"), STR("True"));
    val_set_text(arena, condition, STR("reason"), STR("AutoApproved"));
    val_set_text(arena, condition, STR("message"),
                 asking->self
                     ? STR("Auto approving self kubelet client certificate after "
                           "SubjectAccessReview.")
                     : STR("Auto approving kubelet client certificate after SubjectAccessReview."));
    pass_update(pass, asking->approver->resource, "approval", asking->csr, NULL, NULL);
}

static void answered(struct pass *pass, void *arg)
{
    struct asking *asking = arg;
    if (asking->approved) {
        approve(pass, asking);
    } else if (asking->self) {
        asking->self = false;
        ask(pass, asking);
    }
}

static void ask(struct pass *pass, void *arg)
{
    struct asking *asking = arg;
    struct client_request request = {.verb = CLIENT_CREATE,
                                     .resource = asking->approver->reviews,
                                     .subresource = "",
                                     .body = review_of(pass->arena, asking->csr, asking->self)};
    pass_write(pass, &request, on_reviewed, asking);
    pass_then(pass, answered, asking);
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct approver *approver = ctx;
    struct object *object = informer_get(approver->requests, STR_NONE, pass->name);
    struct signing signing;
    if (object == NULL || object->deleting) {
        return;
    }
    struct val *csr = object_decode(pass_hold(pass, object), pass->arena);
    if (signing_is_issued(csr) || signing_has(csr, "Approved") || signing_has(csr, "Denied") ||
        !str_is(val_text(val_path(csr, "spec.signerName")),
                "kubernetes.io/kube-apiserver-client-kubelet") ||
        !signing_read(pass->arena, csr, &signing) ||
        signing_kubelet_fault(csr, &signing, false) != NULL) {
        return;
    }
    struct asking *asking = arena_new(pass->arena, struct asking);
    *asking = (struct asking){.approver = approver, .csr = csr};
    asking->self = str_eq(val_text(val_path(csr, "spec.username")), signing.request.common_name);
    ask(pass, asking);
}

static void on_request(void *ctx, struct object *old, struct object *now)
{
    if (now != NULL) {
        worker_add(((struct approver *)ctx)->worker, now);
    }
}

static void *start(struct controller_env *env)
{
    struct approver *approver = mem_new(struct approver);
    approver->resource =
        controller_resource("certificates.k8s.io", "v1", "certificatesigningrequests");
    approver->reviews = controller_resource("authorization.k8s.io", "v1", "subjectaccessreviews");
    approver->worker = worker_new(env, "certificate-controller", PARALLEL, reconcile, approver);
    approver->requests = informers_get(env->informers, approver->resource);
    informer_handle(approver->requests, (struct informer_handler){on_request, approver});
    return approver;
}

static void stop(void *state)
{
    struct approver *approver = state;
    informer_unhandle(approver->requests, approver);
    worker_free(approver->worker);
    free(approver);
}

const struct controller controller_certificate_approver = {
    .name = "certificate-controller", .start = start, .stop = stop};

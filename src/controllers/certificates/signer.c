/* signer.c: signs approved requests for the signers that a cluster has: clients of the API,
 * kubelets as clients and as servers, and whatever was asked of legacy-unknown. A request that
 * breaks its signer's rules gets the condition Failed. */
#include <stdlib.h>

#include "base/mem.h"
#include "controllers/certificates/request.h"
#include "controllers/pass.h"
#include "controllers/table_int.h"
#include "pki/signing.h"

enum { PARALLEL = 5, MIN_S = 600, BACKDATE_S = 300, SHORT_S = 8 * 3600, MAX_S = 365 * 86400 };

struct signer {
    struct worker *worker;
    const struct api_resource *resource;
    struct informer *requests;
};

/* ---- rules of each signer: NULL, or what is wrong ---- */

static const char *client_fault(const struct val *csr, const struct signing *signing)
{
    bool client = false;
    VAL_EACH (it, val_path(csr, "spec.usages")) {
        if (str_is(val_text(it), "client auth")) {
            client = true;
        } else if (!str_is(val_text(it), "digital signature") &&
                   !str_is(val_text(it), "key encipherment")) {
            return "invalid usage for client certificate";
        }
    }
    return client ? NULL : "missing required usage for client certificate: client auth";
}
static const char *kubelet_client_fault(const struct val *csr, const struct signing *signing)
{
    return signing_kubelet_fault(csr, signing, false);
}
static const char *kubelet_serving_fault(const struct val *csr, const struct signing *signing)
{
    return signing_kubelet_fault(csr, signing, true);
}
static const char *no_fault(const struct val *csr, const struct signing *signing)
{
    return NULL;
}

static const struct rule {
    const char *name;
    const char *(*fault)(const struct val *csr, const struct signing *signing);
} rules[] = {
    {"kubernetes.io/kube-apiserver-client", client_fault},
    {"kubernetes.io/kube-apiserver-client-kubelet", kubelet_client_fault},
    {"kubernetes.io/kubelet-serving", kubelet_serving_fault},
    {"kubernetes.io/legacy-unknown", no_fault},
};

static const struct rule *rule_of(const struct val *csr)
{
    struct str name = val_text(val_path(csr, "spec.signerName"));
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (str_is(name, rules[i].name)) {
            return &rules[i];
        }
    }
    return NULL;
}

/* ---- a pass ---- */

static void fail(struct pass *pass, struct signer *signer, struct val *csr, const char *why)
{
    struct arena *arena = pass->arena;
    char time[TIME_TEXT_SIZE];
    struct str now = str_copy_in(arena, str_at(time, time_format(pass->now, time)));
    struct val *status = val_make_object(arena, csr, STR("status"));
    struct val *condition =
        val_append(val_make_array(arena, status, STR("conditions")), val_new(arena, VAL_OBJECT));
    val_set_text(arena, condition, STR("type"), STR("Failed"));
    val_set_text(arena, condition, STR("status"), STR("True"));
    val_set_text(arena, condition, STR("reason"), STR("SignerValidationFailure"));
    val_set_text(arena, condition, STR("message"), str_copy_in(arena, str_of(why)));
    val_set_text(arena, condition, STR("lastUpdateTime"), now);
    pass_update(pass, signer->resource, "status", csr, NULL, NULL);
}

/* A short life is not cut by what the start is dated back. */
static void choose_times(const struct val *csr, int64_t now, struct signing_options *options)
{
    int64_t seconds = val_int(val_path(csr, "spec.expirationSeconds"), MAX_S);
    seconds = seconds > MAX_S ? MAX_S : seconds < MIN_S ? MIN_S : seconds;
    options->not_before_ns = now - BACKDATE_S * NS_PER_S;
    options->not_after_ns = now + (seconds < SHORT_S ? seconds : seconds - BACKDATE_S) * NS_PER_S;
}

static int sign(struct pass *pass, const struct val *csr, const struct signing *signing,
                struct buf *ret_pem, struct err *err)
{
    const struct controllers_options *o = pass->worker->env.options;
    const struct val *list = val_path(csr, "spec.usages");
    struct str *usages = arena_array(pass->arena, struct str, val_count(list) + 1);
    struct signing_options options = {.usages = usages};
    VAL_EACH (it, list) {
        usages[options.usage_count++] = val_text(it);
    }
    choose_times(csr, pass->now, &options);
    return signing_request_sign(signing->pem, o->ca, o->ca_key, &options, random_real(), ret_pem,
                                err);
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct signer *signer = ctx;
    struct object *object = informer_get(signer->requests, STR_NONE, pass->name);
    struct buf pem BUF_CLEANUP = BUF_INIT, text BUF_CLEANUP = BUF_INIT;
    struct signing signing;
    struct err err = ERR_INIT;
    if (object == NULL || object->deleting || pass->worker->env.options->ca == NULL) {
        return;
    }
    struct val *csr = object_decode(pass_hold(pass, object), pass->arena);
    const struct rule *rule = rule_of(csr);
    if (rule == NULL || signing_is_issued(csr) || !signing_has(csr, "Approved") ||
        signing_has(csr, "Denied") || signing_has(csr, "Failed")) {
        return;
    }
    const char *fault = signing_read(pass->arena, csr, &signing)
                            ? rule->fault(csr, &signing)
                            : "unable to parse certificate request";
    if (fault == NULL && sign(pass, csr, &signing, &pem, &err) < 0) {
        fault = err.message;
    }
    if (fault != NULL) {
        fail(pass, signer, csr, fault);
        return;
    }
    base64_encode(&text, pem.p, pem.n);
    val_set_text(pass->arena, val_make_object(pass->arena, csr, STR("status")), STR("certificate"),
                 str_copy_in(pass->arena, buf_view(&text)));
    pass_update(pass, signer->resource, "status", csr, NULL, NULL);
}

static void on_request(void *ctx, struct object *old, struct object *now)
{
    if (now != NULL) {
        worker_add(((struct signer *)ctx)->worker, now);
    }
}

static void *start(struct controller_env *env)
{
    struct signer *signer = mem_new(struct signer);
    signer->resource =
        controller_resource("certificates.k8s.io", "v1", "certificatesigningrequests");
    signer->worker = worker_new(env, "certificate-controller", PARALLEL, reconcile, signer);
    signer->requests = informers_get(env->informers, signer->resource);
    informer_handle(signer->requests, (struct informer_handler){on_request, signer});
    return signer;
}

static void stop(void *state)
{
    struct signer *signer = state;
    informer_unhandle(signer->requests, signer);
    worker_free(signer->worker);
    free(signer);
}

const struct controller controller_certificate_signer = {
    .name = "certificate-controller", .start = start, .stop = stop};

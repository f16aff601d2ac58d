/* cleaner.c: removes signing requests that nobody needs any more: one hour after they were signed,
 * denied or failed, a day after they were made or approved and nobody went on, and when the
 * certificate has expired. */
#include <stdlib.h>

#include "base/mem.h"
#include "controllers/certificates/request.h"
#include "controllers/pass.h"
#include "controllers/table_int.h"

enum { PARALLEL = 2, SETTLED_S = 3600, PENDING_S = 24 * 3600 };

struct cleaner {
    struct worker *worker;
    const struct api_resource *resource;
    struct informer *requests;
};

static void earlier(int64_t *due, int64_t since, int64_t seconds)
{
    int64_t at = since + seconds * NS_PER_S;
    *due = at < *due ? at : *due;
}

static int64_t end_of_certificate(struct arena *arena, const struct val *csr)
{
    struct buf pem BUF_CLEANUP = BUF_INIT;
    struct pem_block block;
    struct foreign_certificate certificate;
    if (!base64_decode(&pem, val_text(val_path(csr, "status.certificate")))) {
        return INT64_MAX;
    }
    struct str rest = buf_view(&pem);
    return pem_next(arena, &rest, &block) &&
                   foreign_certificate_parse(arena, block.der, &certificate, NULL) == 0
               ? certificate.not_after_ns
               : INT64_MAX;
}

/* When it is to go. */
static int64_t due_at(struct arena *arena, const struct val *csr)
{
    int64_t due = INT64_MAX, when = 0;
    const struct val *conditions = val_path(csr, "status.conditions");
    bool issued = signing_is_issued(csr);
    if (val_count(conditions) == 0 &&
        time_parse(val_text(val_path(csr, "metadata.creationTimestamp")), &when)) {
        earlier(&due, when, PENDING_S);
    }
    VAL_EACH (it, conditions) {
        struct str type = val_text(val_get(it, "type"));
        if (!time_parse(val_text(val_get(it, "lastUpdateTime")), &when)) {
            continue;
        }
        if (str_is(type, "Denied") || str_is(type, "Failed")) {
            earlier(&due, when, SETTLED_S);
        } else if (str_is(type, "Approved")) {
            earlier(&due, when, issued ? SETTLED_S : PENDING_S);
        }
    }
    int64_t end = issued ? end_of_certificate(arena, csr) : INT64_MAX;
    return end < due ? end : due;
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct cleaner *cleaner = ctx;
    struct object *object = informer_get(cleaner->requests, STR_NONE, pass->name);
    if (object == NULL || object->deleting) {
        return;
    }
    int64_t due = due_at(pass->arena, object_decode(pass_hold(pass, object), pass->arena));
    if (due <= pass->now) {
        pass_delete(pass, object, NULL, -1, NULL, NULL);
    } else if (due != INT64_MAX) {
        pass_after(pass, due - pass->now + NS_PER_S);
    }
}

static void on_request(void *ctx, struct object *old, struct object *now)
{
    if (now != NULL) {
        worker_add(((struct cleaner *)ctx)->worker, now);
    }
}

static void *start(struct controller_env *env)
{
    struct cleaner *cleaner = mem_new(struct cleaner);
    cleaner->resource =
        controller_resource("certificates.k8s.io", "v1", "certificatesigningrequests");
    cleaner->worker = worker_new(env, "certificate-controller", PARALLEL, reconcile, cleaner);
    cleaner->requests = informers_get(env->informers, cleaner->resource);
    informer_handle(cleaner->requests, (struct informer_handler){on_request, cleaner});
    return cleaner;
}

static void stop(void *state)
{
    struct cleaner *cleaner = state;
    informer_unhandle(cleaner->requests, cleaner);
    worker_free(cleaner->worker);
    free(cleaner);
}

const struct controller controller_certificate_cleaner = {
    .name = "certificate-controller", .start = start, .stop = stop};

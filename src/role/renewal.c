/* renewal.c: see renewal.h. A renewal that fails is tried again after RETRY, or sooner when less
 * time is left. */
#include "role/renewal.h"

#include <stdlib.h>

#include "api/val.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/net.h"
#include "io/tls.h"
#include "pki/certificate.h"
#include "role/credentials.h"
#include "role/join.h"
#include "wire/http.h"

static const int64_t RETRY = 600 * NS_PER_S, SOONEST = 2 * NS_PER_S, PATIENCE = 30 * NS_PER_S;
enum { ANSWER_MAX = 64 * 1024 };

struct renewal {
    struct renewal_options o;
    char *address;
    struct certificate *present;
    struct timer timer, patience;
    struct http_client *client; /* while one is under way */
    struct task over;
    struct buf key_pem, answer;
    int status;
    struct err err;
};

static void on_due(struct timer *timer);

static void retry_later(struct renewal *r)
{
    int64_t left =
        certificate_subject(r->present)->not_after_ns - clock_wall(loop_clock(r->o.loop));
    int64_t wait = left / 10 < RETRY ? left / 10 : RETRY;
    timer_start(r->o.loop, &r->timer, wait > SOONEST ? wait : SOONEST, on_due);
}

/* At 70 to 90% of the life of this certificate. */
static int plan(struct renewal *r, struct str pem, struct err *err)
{
    struct certificate *certificate = NULL;
    int rc = certificate_parse_pem(pem, &certificate, err);
    if (rc != 0) {
        return rc;
    }
    const struct certificate_subject *subject = certificate_subject(certificate);
    int64_t begins = subject->not_before_ns + CERTIFICATE_SKEW_S * NS_PER_S;
    int64_t life = subject->not_after_ns - begins;
    int64_t part = 700 + (int64_t)random_below(loop_random(r->o.loop), 200);
    int64_t wait = begins + life / 1000 * part - clock_wall(loop_clock(r->o.loop));
    certificate_unref(r->present);
    r->present = certificate;
    timer_start(r->o.loop, &r->timer, wait > SOONEST ? wait : SOONEST, on_due);
    return 0;
}

/* ---- the answer ---- */

static int install(struct renewal *r, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *answer = NULL;
    int rc = val_parse_json(&arena, buf_view(&r->answer), &answer, err);
    struct str pem = val_text(val_get(answer, "certificate"));
    if (rc == 0 && r->status != 201) {
        rc = err_set(err, ERR_UNAVAILABLE, "the server answered %d: %.*s", r->status,
                     STR_ARG(val_text(val_get(answer, "message"))));
    }
    if (rc == 0 && r->o.keep) { /* first of all: what is used must be there after a restart */
        rc = join_keep_identity(r->o.options->config_dir, pem, buf_view(&r->key_pem), err);
    }
    rc = rc != 0 ? rc : tls_set_certificate(r->o.client_tls, pem, buf_view(&r->key_pem), err);
    rc = rc != 0 ? rc : tls_set_certificate(r->o.server_tls, pem, buf_view(&r->key_pem), err);
    return rc != 0 ? rc : plan(r, pem, err);
}

static void on_over(struct task *task)
{
    struct renewal *r = container_of(task, struct renewal, over);
    timer_stop(&r->patience);
    http_client_free(r->client);
    r->client = NULL;
    if (r->err.code == 0) {
        install(r, &r->err);
    }
    if (r->err.code != 0) {
        LOG_WARN("agent", "the node's certificate was not renewed", LOG_ERR(&r->err));
        retry_later(r);
    } else {
        LOG_INFO("agent", "the node's certificate was renewed");
    }
    explicit_bzero(r->key_pem.p, r->key_pem.n);
    buf_clear(&r->key_pem);
    buf_clear(&r->answer);
}

/* In the next turn: we are inside a callback of the client that is to be freed. */
static void over(struct renewal *r, const struct err *err)
{
    if (r->over.run == NULL) {
        r->err = *err;
        r->over.run = on_over;
        loop_post(r->o.loop, &r->over);
    }
}

static void on_headers(void *ctx, struct http_exchange *exchange, int status,
                       const struct http_header *headers, size_t count)
{
    ((struct renewal *)ctx)->status = status;
}

static void on_data(void *ctx, struct http_exchange *exchange, const char *bytes, size_t size)
{
    struct renewal *r = ctx;
    size_t room = ANSWER_MAX - r->answer.n;
    buf_add(&r->answer, bytes, size < room ? size : room);
}

static void on_end(void *ctx, struct http_exchange *exchange, const struct err *err)
{
    over(ctx, err);
}

static const struct http_client_ops client_ops = {
    .on_headers = on_headers, .on_data = on_data, .on_end = on_end};

static void on_close(void *ctx, const struct err *err)
{
}

static void on_impatient(struct timer *timer)
{
    struct err err = ERR_INIT;
    err_set(&err, ERR_UNAVAILABLE, "no answer within 30 s");
    over(container_of(timer, struct renewal, patience), &err);
}

/* ---- asking ---- */

static int make_request(struct renewal *r, struct buf *ret_body, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf csr BUF_CLEANUP = BUF_INIT;
    struct val *body = val_new(&arena, VAL_OBJECT);
    const struct certificate_subject *subject = certificate_subject(r->present);
    struct certificate_options wanted = {.common_name = subject->common_name,
                                         .organizations = subject->organizations,
                                         .organization_count = subject->organization_count,
                                         .dns_names = subject->dns_names,
                                         .dns_count = subject->dns_count,
                                         .addresses = subject->addresses,
                                         .address_count = subject->address_count};
    int rc = join_signing_request(&wanted, &r->key_pem, &csr, err);
    if (rc == 0) {
        val_set_text(&arena, body, STR("request"), buf_view(&csr));
        val_write_json(body, ret_body);
    }
    return rc;
}

static void on_due(struct timer *timer)
{
    static const struct stream_ops nothing = {0};
    struct renewal *r = container_of(timer, struct renewal, timer);
    struct buf body BUF_CLEANUP = BUF_INIT;
    struct http_header json = {STR("content-type"), STR("application/json")};
    r->err = (struct err)ERR_INIT;
    if (make_request(r, &body, &r->err) != 0) {
        LOG_WARN("agent", "the node's certificate was not renewed", LOG_ERR(&r->err));
        retry_later(r);
        return;
    }
    struct dial_options dial = {
        .address = str_of(r->address), .tls = r->o.client_tls, .alpn = STR("http/1.1")};
    struct http_client_request request = {.method = STR("POST"),
                                          .path = STR("/cox/v1/renew"),
                                          .authority = str_of(r->address),
                                          .headers = &json,
                                          .header_count = 1,
                                          .body = http_body_copy(buf_view(&body))};
    r->status = 0;
    r->over.run = NULL;
    r->client = http_client_new(stream_dial(r->o.loop, &dial, &nothing, NULL), 1, on_close, r);
    timer_start(r->o.loop, &r->patience, PATIENCE, on_impatient);
    http_send(r->client, &request, &client_ops, r);
}

struct renewal *renewal_start(const struct renewal_options *options, struct err *err)
{
    struct renewal *r = mem_new(struct renewal);
    r->o = *options;
    r->address = str_dup(options->address);
    if (plan(r, options->certificate_pem, err) != 0) {
        free(r->address);
        free(r);
        return NULL;
    }
    return r;
}

void renewal_stop(struct renewal *r)
{
    if (r != NULL) {
        timer_stop(&r->timer);
        timer_stop(&r->patience);
    }
}

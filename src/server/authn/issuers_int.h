/* issuers_int.h: an issuer as configured, and its keys. */
#pragma once
#include <pthread.h>

#include "io/net.h"
#include "io/tls.h"
#include "pki/jwk.h"
#include "server/authn/issuers.h"
#include "wire/http.h"

enum { ISSUERS_MAX = 64, ISSUER_KEYS_MAX = 64, ISSUER_BODY_MAX = 1 << 20 };

struct mapping { /* claim and prefix; claim n 0: none */
    struct str claim, prefix;
};
struct required_claim {
    struct str claim, value;
};
struct key_list { /* immutable, counted */
    _Atomic uint32_t refs;
    struct jwk *items[ISSUER_KEYS_MAX];
    size_t count;
};
struct issuer {
    struct issuers *issuers;
    struct str url, discovery_url;
    struct str *audiences;
    size_t audience_count;
    struct mapping username, groups;
    struct str uid_claim;
    struct required_claim *required;
    size_t required_count;
    struct tls_context *tls;
    /* under issuers->mutex */
    struct key_list *keys;
    /* home loop */
    struct fetch *fetch; /* under way, or NULL */
    struct timer timer;
    int failures;
    int64_t fetched_mono_ns;
    _Atomic bool wanted;
    struct task want; /* from any thread: a key is not known */
};
struct issuers {
    struct server *server;
    struct arena arena;
    pthread_mutex_t mutex;
    struct issuer *items;
    size_t count;
    bool configured_anonymous, anonymous_enabled;
    struct str *anonymous_paths;
    size_t anonymous_path_count;
};

/* issuer_config.c */
int issuers_configure(struct issuers *issuers, struct str config, struct err *err);
/* issuer_keys.c */
void issuer_keys_start(struct issuer *issuer);
void issuer_keys_stop(struct issuer *issuer);
void issuer_keys_want(struct issuer *issuer);        /* any thread */
struct key_list *issuer_keys(struct issuer *issuer); /* a reference, or NULL */
void key_list_unref(struct key_list *list);

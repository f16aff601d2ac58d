/* renewal.h: the agent's certificate is replaced at 70 to 90% of its life, through itself: a new
 * key and signing request go to POST /cox/v1/renew over a connection that shows the old one. Both
 * TLS contexts get the new pair at once; a node that joined keeps it in config_dir (node.pem). */
#pragma once
#include "base/err.h"
#include "io/loop.h"
#include "role/options.h"

struct tls_context;
struct renewal_options {
    struct loop *loop;
    const struct options *options; /* borrowed */
    struct str address;            /* of the API; copied */
    struct str certificate_pem;    /* the present one */
    struct tls_context *client_tls, *server_tls;
    bool keep; /* write it to config_dir */
};
struct renewal;
/* NULL: the certificate cannot be read. */
struct renewal *renewal_start(const struct renewal_options *options, struct err *err);
void renewal_stop(struct renewal *renewal); /* the process is about to end */

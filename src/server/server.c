/* server.c: making, starting and ending the server. See server.h for the order of things. */
#include "server/server.h"

#include <stdlib.h>

#include "server/addresses.h"
#include "server/admission/settings.h"
#include "server/authn/authn.h"
#include "server/authn/issuers.h"
#include "server/authz/authz.h"
#include "server/bootstrap/bootstrap.h"
#include "server/custom/definitions.h"
#include "server/http/connection.h"
#include "server/info/info.h"
#include "server/server_int.h"
#include "server/subresource/reverse.h"
#include "server/upkeep.h"
#include "server/verb/pages.h"
#include "server/verb/repeats.h"

static const struct api_resource *known(const char *group, const char *version, const char *plural)
{
    const struct api_resource *resource =
        schema_resource(str_of(group), str_of(version), str_of(plural));
    return resource != NULL ? resource->storage : NULL;
}

static void find_known(struct known_resources *k)
{
    static const char rbac[] = "rbac.authorization.k8s.io";
    *k = (struct known_resources){
        .namespaces = known("", "v1", "namespaces"),
        .pods = known("", "v1", "pods"),
        .nodes = known("", "v1", "nodes"),
        .services = known("", "v1", "services"),
        .ip_addresses = known("networking.k8s.io", "v1", "ipaddresses"),
        .accounts = known("", "v1", "serviceaccounts"),
        .secrets = known("", "v1", "secrets"),
        .events = known("", "v1", "events"),
        .config_maps = known("", "v1", "configmaps"),
        .endpoints = known("", "v1", "endpoints"),
        .claims = known("", "v1", "persistentvolumeclaims"),
        .limit_ranges = known("", "v1", "limitranges"),
        .quotas = known("", "v1", "resourcequotas"),
        .budgets = known("policy", "v1", "poddisruptionbudgets"),
        .volumes = known("", "v1", "persistentvolumes"),
        .slices = known("discovery.k8s.io", "v1", "endpointslices"),
        .leases = known("coordination.k8s.io", "v1", "leases"),
        .roles = known(rbac, "v1", "roles"),
        .role_bindings = known(rbac, "v1", "rolebindings"),
        .cluster_roles = known(rbac, "v1", "clusterroles"),
        .cluster_role_bindings = known(rbac, "v1", "clusterrolebindings"),
        .priority_classes = known("scheduling.k8s.io", "v1", "priorityclasses"),
        .runtime_classes = known("node.k8s.io", "v1", "runtimeclasses"),
        .storage_classes = known("storage.k8s.io", "v1", "storageclasses"),
        .signing_requests = known("certificates.k8s.io", "v1", "certificatesigningrequests"),
        .trust_bundles = known("certificates.k8s.io", "v1", "clustertrustbundles"),
        .pod_certificates = known("certificates.k8s.io", "v1", "podcertificaterequests"),
        .ingresses = known("networking.k8s.io", "v1", "ingresses"),
        .ingress_classes = known("networking.k8s.io", "v1", "ingressclasses"),
        .pod_groups = known("scheduling.k8s.io", "v1beta1", "podgroups"),
        .device_claims = known("resource.k8s.io", "v1", "resourceclaims"),
        .device_templates = known("resource.k8s.io", "v1", "resourceclaimtemplates"),
    };
}

static void copy_options(struct server *server, const struct server_options *from)
{
    struct server_options *o = &server->options;
    struct arena *arena = &server->arena;
    *o = *from;
    struct loop **loops = arena_array(arena, struct loop *, from->loop_count);
    memcpy(loops, from->loops, sizeof *loops * from->loop_count);
    o->loops = loops;
    struct key **keys = arena_array(arena, struct key *, from->token_key_count + 1);
    for (size_t i = 0; i < from->token_key_count; i++) {
        keys[i] = key_ref(from->token_keys[i]);
    }
    o->token_keys = keys;
    o->cluster_domain = from->cluster_domain.n > 0 ? str_copy_in(arena, from->cluster_domain)
                                                   : STR("cluster.local");
    o->issuer = from->issuer.n > 0
                    ? str_copy_in(arena, from->issuer)
                    : str_of(arena_printf(arena, "https://kubernetes.default.svc.%.*s",
                                          STR_ARG(o->cluster_domain)));
    o->service_cidr =
        from->service_cidr.n > 0 ? str_copy_in(arena, from->service_cidr) : STR("10.96.0.0/16");
    o->advertise_address = str_copy_in(arena, from->advertise_address);
    o->advertise_port = from->advertise_port != 0 ? from->advertise_port : 6443;
    o->ca_pem = str_copy_in(arena, from->ca_pem);
    o->enable_admission = str_copy_in(arena, from->enable_admission);
    o->disable_admission = str_copy_in(arena, from->disable_admission);
    o->admission_config = str_copy_in(arena, from->admission_config);
    o->authentication_config = str_copy_in(arena, from->authentication_config);
    if (o->node_port_first == 0 || o->node_port_last < o->node_port_first) {
        o->node_port_first = 30000;
        o->node_port_last = 32767;
    }
}

int server_new(const struct server_options *options, struct server **ret_server, struct err *err)
{
    struct server *server = mem_new(struct server);
    copy_options(server, options);
    server->home = options->loops[0];
    server->cache = options->cache;
    server->sequencer = options->sequencer;
    find_known(&server->known);
    server->lanes = connection_lanes_new(server);
    server->pages = pages_new();
    server->documents = documents_new();
    server->repeats = repeats_new(&server->arena);
    server->authn = authn_new(server);
    server->authz = authz_new(server);
    server->reverse = reverse_new(server);
    server->upkeep = upkeep_new(server);
    server->definitions = definitions_new(server);
    int code = admission_settings_new(&server->options, &server->arena, &server->admission, err);
    code = code < 0
               ? code
               : issuers_new(server, server->options.authentication_config, &server->issuers, err);
    code = code < 0 ? code : addresses_new(server, &server->addresses, err);
    if (code < 0) {
        server_free(server);
        return code;
    }
    *ret_server = server;
    return 0;
}

void server_free(struct server *server)
{
    if (server == NULL) {
        return;
    }
    definitions_free(server->definitions);
    upkeep_free(server->upkeep);
    reverse_free(server->reverse);
    addresses_free(server->addresses);
    authz_free(server->authz);
    authn_free(server->authn);
    issuers_free(server->issuers);
    documents_free(server->documents);
    pages_free(server->pages);
    for (size_t i = 0; i < server->options.token_key_count; i++) {
        key_unref(server->options.token_keys[i]);
    }
    vec_done(&server->endpoints);
    free(server->lanes);
    arena_done(&server->arena);
    free(server);
}

struct starting {
    struct server *server;
    void (*on_ready)(void *ctx, const struct err *err);
    void *ctx;
};

static void bootstrapped(void *ctx, const struct err *err)
{
    struct starting *starting = ctx;
    if (err->code == 0) {
        atomic_store(&starting->server->ready, true);
    }
    if (starting->on_ready != NULL) {
        starting->on_ready(starting->ctx, err);
    }
    free(starting);
}

void server_start(struct server *server, void (*on_ready)(void *ctx, const struct err *err),
                  void *ctx)
{
    struct starting *starting = mem_new(struct starting);
    struct err err = ERR_INIT;
    *starting = (struct starting){server, on_ready, ctx};
    if (authz_start(server->authz, &err) < 0 || addresses_start(server->addresses, &err) < 0 ||
        upkeep_start(server->upkeep, &err) < 0 ||
        definitions_start(server->definitions, &err) < 0) {
        bootstrapped(starting, &err);
        return;
    }
    issuers_start(server->issuers);
    bootstrap_run(server, bootstrapped, starting);
}

bool server_ready(const struct server *server)
{
    return atomic_load(&server->ready) && !atomic_load(&server->draining);
}

void server_add_endpoint(struct server *server, const char *path, bool anonymous, endpoint_fn *fn,
                         void *ctx)
{
    struct endpoint *endpoint = vec_push(&server->endpoints);
    *endpoint = (struct endpoint){str_of(arena_dup(&server->arena, path, strlen(path))), anonymous,
                                  fn, ctx};
}

void server_describe(struct server *server, struct buf *out)
{
    buf_printf(out, "requests in flight %lld, watches %lld, revision %llu, connections %zu\n",
               (long long)atomic_load(&server->requests), (long long)atomic_load(&server->watches),
               (unsigned long long)cache_revision(server->cache), http_connection_count());
}

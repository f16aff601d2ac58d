/* trust_bundle.c: ClusterTrustBundle: certificates to trust, for all of the cluster. */
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/signer.h"
#include "base/map.h"
#include "pki/foreign.h"

enum { BUNDLE_MAX = 1024 * 1024 };

/* A bundle of a signer is named after it: "acme.io:signer:NAME" for acme.io/signer. */
static void name_check_of(struct field_errors *errors, struct str name, struct str signer)
{
    const struct path *path = AT(AT(NULL, "metadata"), "name");
    char *prefix = arena_printf(errors->arena, "%.*s:", STR_ARG(signer));
    for (char *c = prefix; *c != '\0'; c++) {
        *c = (char)(*c == '/' ? ':' : *c);
    }
    if (name.n == 0 || !name_is(NAME_PATH, name)) {
        return;
    }
    if (signer.n == 0 && str_contains(name, STR(":"))) {
        field_invalid(errors, path, name,
                      "ClusterTrustBundle without signer name must not have \":\" in its name");
    } else if (signer.n == 0) {
        check_name(errors, path, NAME_SUBDOMAIN, name);
    } else if (!str_starts(name, str_of(prefix))) {
        field_invalid(errors, path, name,
                      "ClusterTrustBundle for signerName %.*s must be named with prefix %s",
                      STR_ARG(signer), prefix);
    } else {
        struct name_complaints complaints;
        name_check(NAME_SUBDOMAIN, str_from(name, strlen(prefix)), &complaints);
        for (int i = 0; i < complaints.count; i++) {
            field_invalid(errors, path, name, "%s", complaints.items[i]);
        }
    }
}

static const char *anchor_wrong(struct arena *arena, const struct pem_block *block)
{
    struct foreign_certificate certificate;
    struct err err = ERR_INIT;
    if (!str_is(block->type, "CERTIFICATE")) {
        return "has bad block type";
    }
    if (block->has_headers) {
        return "has PEM block headers";
    }
    if (foreign_certificate_parse(arena, block->der, &certificate, &err) < 0) {
        return "does not parse as X.509";
    }
    return certificate.is_ca ? NULL : "does not have the CA bit set";
}

static void anchors_check(struct field_errors *errors, const struct path *path, struct str pem)
{
    static const char hidden[] = "<value omitted>";
    struct map seen = MAP_INIT;
    struct pem_block block;
    size_t before = errors->count;
    int index = 0;
    struct str again = STR_NONE;
    for (; pem_next(errors->arena, &pem, &block); index++) {
        const char *wrong = anchor_wrong(errors->arena, &block);
        if (wrong != NULL) {
            field_invalid(errors, path, str_of(hidden), "entry %d %s", index, wrong);
        } else if (map_get(&seen, block.der) != NULL) {
            again = block.der;
        } else {
            map_set(&seen, block.der, &block);
        }
    }
    map_done(&seen);
    if (errors->count == before && index == 0) {
        field_invalid(errors, path, str_of(hidden), "at least one trust anchor must be provided");
    } else if (errors->count == before && again.p != NULL) {
        field_invalid(errors, path, str_of(hidden), "duplicate trust anchor");
    }
}

static void bundle_check(struct field_errors *errors, const struct val *bundle,
                         const struct val *old)
{
    const struct path *path = AT(NULL, "spec");
    struct str signer = val_text(val_path(bundle, "spec.signerName"));
    struct str pem = val_text(val_path(bundle, "spec.trustBundle"));
    name_check_of(errors, val_name(bundle), signer);
    if (signer.n > 0) {
        signer_name_check(errors, AT(path, "signerName"), signer);
    }
    if (old != NULL && str_eq(pem, val_text(val_path(old, "spec.trustBundle")))) {
        return;
    }
    if (pem.n > BUNDLE_MAX) {
        field_too_long(errors, AT(path, "trustBundle"), BUNDLE_MAX);
    } else {
        anchors_check(errors, AT(path, "trustBundle"), pem);
    }
}

static void bundle_validate_create(struct api_context *ctx, const struct val *bundle,
                                   struct field_errors *errors)
{
    bundle_check(errors, bundle, NULL);
    (void)ctx;
}

static void bundle_validate_update(struct api_context *ctx, const struct val *next,
                                   const struct val *old, struct field_errors *errors)
{
    bundle_check(errors, next, old);
    check_immutable(errors, AT(AT(NULL, "spec"), "signerName"), val_path(next, "spec.signerName"),
                    val_path(old, "spec.signerName"));
    (void)ctx;
}

static void bundle_columns(struct api_context *ctx, const struct val *bundle, struct val *cells)
{
    cell_text(ctx, cells, val_name(bundle));
    cell_or_none(ctx, cells, val_text(val_path(bundle, "spec.signerName")));
}

const struct api_ops ops_trust_bundle = {
    .validate_create = bundle_validate_create,
    .validate_update = bundle_validate_update,
    .columns = bundle_columns,
    .name_rule = "path",
};

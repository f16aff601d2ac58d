/* device_claim.c: spec.devices of ResourceClaims and their templates: requests, constraints,
 * configuration. */
#include "api/defaults.h"
#include "api/kinds/resource/device.h"

enum { CONSTRAINTS_MAX = 32, CONFIG_MAX = 32, SUBREQUESTS_MAX = 8, TOLERATIONS_MAX = 16 };

/* ---- references to requests ---- */

static bool has_request(const struct val *claim, struct str name)
{
    struct str sub, request = str_cut(name, '/', &sub);
    const struct val *found = val_find(val_get(claim, "requests"), "name", request);
    return found != NULL &&
           (sub.p == NULL || val_find(val_get(found, "firstAvailable"), "name", sub) != NULL);
}

void request_ref_check(struct field_errors *errors, const struct path *path, struct str name,
                       const struct val *claim)
{
    static const char wrong[] = "must be the name of a request in the claim or the name of a "
                                "request and a subrequest separated by '/'";
    struct str sub, more, request = str_cut(name, '/', &sub);
    str_cut(sub, '/', &more);
    if (more.p != NULL) {
        field_invalid(errors, path, name, "%s", wrong);
        return;
    }
    device_name_check(errors, path, request);
    if (sub.p != NULL) {
        device_name_check(errors, path, sub);
    }
    if (!has_request(claim, name)) {
        field_invalid(errors, path, name, "%s", wrong);
    }
}

void request_refs_check(struct field_errors *errors, const struct path *path,
                        const struct val *names, const struct val *claim)
{
    uint32_t i = 0;
    if (!check_length(errors, path, names, DEVICE_REQUESTS_MAX)) {
        return;
    }
    VAL_EACH (it, names) {
        request_ref_check(errors, AT_INDEX(path, i++), val_text(it), claim);
    }
    repeats_check(errors, path, names);
}

/* ---- requests ---- */

static void class_check(struct field_errors *errors, const struct path *path, struct str name)
{
    if (name.n == 0) {
        field_required(errors, path, "");
    } else {
        check_name(errors, path, NAME_SUBDOMAIN, name);
    }
}

static void count_check(struct field_errors *errors, const struct path *path,
                        const struct val *request)
{
    static const char *const modes[] = {"All", "ExactCount", NULL};
    struct str mode = val_text(val_get(request, "allocationMode"));
    int64_t count = val_int(val_get(request, "count"), 0);
    if (str_is(mode, "All")) {
        if (count != 0) {
            field_invalid_int(errors, AT(path, "count"), count,
                              "must not be specified when allocationMode is 'All'");
        }
    } else if (!str_is(mode, "ExactCount")) {
        field_not_supported(errors, AT(path, "allocationMode"), mode, modes);
    } else if (count <= 0) {
        field_invalid_int(errors, AT(path, "count"), count, "must be greater than zero");
    }
}

static void wish_check(struct field_errors *errors, const struct path *path,
                       const struct val *request)
{
    const struct val *tolerations = val_get(request, "tolerations");
    uint32_t i = 0;
    class_check(errors, AT(path, "deviceClassName"), val_text(val_get(request, "deviceClassName")));
    selectors_check(errors, AT(path, "selectors"), val_get(request, "selectors"));
    count_check(errors, path, request);
    if (check_length(errors, AT(path, "tolerations"), tolerations, TOLERATIONS_MAX)) {
        VAL_EACH (it, tolerations) {
            device_toleration_check(errors, AT_INDEX(AT(path, "tolerations"), i++), it);
        }
    }
}

static void request_check(struct field_errors *errors, const struct path *path,
                          const struct val *request)
{
    const struct path *list = AT(path, "firstAvailable");
    const struct val *exactly = val_get(request, "exactly");
    const struct val *ways = val_get(request, "firstAvailable");
    uint32_t i = 0;
    device_name_check(errors, AT(path, "name"), val_text(val_get(request, "name")));
    if (val_absent(exactly) && val_count(ways) == 0) {
        field_required(errors, path, "exactly one of `exactly` or `firstAvailable` is required");
    } else if (!val_absent(exactly) && val_count(ways) > 0) {
        field_invalid_val(errors, path, NULL,
                          "exactly one of `exactly` or `firstAvailable` is required, but multiple "
                          "fields are set");
    } else if (!val_absent(exactly)) {
        wish_check(errors, AT(path, "exactly"), exactly);
    } else if (check_length(errors, list, ways, SUBREQUESTS_MAX)) {
        VAL_EACH (it, ways) {
            const struct path *at = AT_INDEX(list, i++);
            device_name_check(errors, AT(at, "name"), val_text(val_get(it, "name")));
            wish_check(errors, at, it);
        }
        repeated_members_check(errors, list, ways, "name");
    }
}

/* ---- constraints and configuration ---- */

static void constraint_check(struct field_errors *errors, const struct path *path,
                             const struct val *constraint, const struct val *claim)
{
    static const char *const members[] = {"matchAttribute", "distinctAttribute"};
    request_refs_check(errors, AT(path, "requests"), val_get(constraint, "requests"), claim);
    for (size_t m = 0; m < sizeof members / sizeof *members; m++) {
        const struct val *name = val_get_str(constraint, str_of(members[m]));
        if (!val_absent(name)) {
            qualified_name_check(errors, AT(path, members[m]), val_text(name), true);
            return;
        }
    }
    field_required(errors, path, "exactly one of matchAttribute and distinctAttribute");
}

void device_claim_check(struct field_errors *errors, const struct path *path,
                        const struct val *claim)
{
    const struct val *requests = val_get(claim, "requests");
    const struct val *constraints = val_get(claim, "constraints");
    const struct val *config = val_get(claim, "config");
    uint32_t i = 0;
    if (check_length(errors, AT(path, "requests"), requests, DEVICE_REQUESTS_MAX)) {
        VAL_EACH (it, requests) {
            request_check(errors, AT_INDEX(AT(path, "requests"), i++), it);
        }
        repeated_members_check(errors, AT(path, "requests"), requests, "name");
    }
    i = 0;
    if (check_length(errors, AT(path, "constraints"), constraints, CONSTRAINTS_MAX)) {
        VAL_EACH (it, constraints) {
            constraint_check(errors, AT_INDEX(AT(path, "constraints"), i++), it, claim);
        }
    }
    i = 0;
    if (check_length(errors, AT(path, "config"), config, CONFIG_MAX)) {
        VAL_EACH (it, config) {
            const struct path *at = AT_INDEX(AT(path, "config"), i++);
            request_refs_check(errors, AT(at, "requests"), val_get(it, "requests"), claim);
            opaque_check(errors, at, it, false);
        }
    }
}

static void wish_defaults(struct arena *arena, struct val *request)
{
    if (request != NULL && str_is(val_text(val_get(request, "allocationMode")), "ExactCount")) {
        default_int_zero(arena, request, "count", 1);
    }
}

void device_claim_defaults(struct arena *arena, struct val *claim)
{
    VAL_EACH (request, val_get(claim, "requests")) {
        wish_defaults(arena, val_get(request, "exactly"));
        VAL_EACH (way, val_get(request, "firstAvailable")) {
            wish_defaults(arena, way);
        }
    }
}

void device_claim_drop(struct val *claim)
{
    VAL_EACH (request, val_get(claim, "requests")) {
        struct val *exactly = val_get(request, "exactly");
        if (exactly != NULL) {
            val_unset(exactly, STR("derivedAttributes"));
        }
        VAL_EACH (way, val_get(request, "firstAvailable")) {
            val_unset(way, STR("derivedAttributes"));
        }
    }
}

/* endpoints.c: Endpoints and EndpointSlices: defaults, validation, rows. */
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/endpoint_parts.h"
#include "api/kinds/kinds.h"

enum { LIST_MAX = 3, ENDPOINTS_MAX = 1000, ADDRESSES_MAX = 100, PORTS_MAX = 100, HINTS_MAX = 8 };

static const char *const protocols[] = {"SCTP", "TCP", "UDP", NULL};

static bool all_zero(const uint8_t *bytes, int n)
{
    for (int i = 0; i < n; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

void endpoint_ip_check(struct field_errors *errors, const struct path *path, struct str text)
{
    uint8_t b[16];
    int family = name_ip_parse(text, b);
    int n = family == 4 ? 4 : 16;
    if (family == 0) {
        field_invalid(errors, path, text,
                      "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        return;
    }
    if (all_zero(b, n)) {
        field_invalid(errors, path, text, "may not be unspecified (%.*s)", STR_ARG(text));
    }
    if (family == 4 ? b[0] == 127 : all_zero(b, 15) && b[15] == 1) {
        field_invalid(errors, path, text,
                      "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    if (family == 4 ? b[0] == 169 && b[1] == 254 : b[0] == 0xfe && (b[1] & 0xc0) == 0x80) {
        field_invalid(errors, path, text,
                      "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if (family == 4 ? b[0] == 224 && b[1] == 0 && b[2] == 0 : b[0] == 0xff && (b[1] & 15) == 2) {
        field_invalid(errors, path, text,
                      "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

static void ports_default(struct arena *arena, struct val *ports, bool names)
{
    VAL_EACH (port, ports) {
        default_text(arena, port, "protocol", "TCP");
        if (names && val_absent(val_get(port, "name"))) {
            default_put(port, STR("name"), val_new_text(arena, STR("")));
        }
    }
}

static void endpoints_default(struct arena *arena, struct val *endpoints)
{
    VAL_EACH (subset, val_get(endpoints, "subsets")) {
        ports_default(arena, val_get(subset, "ports"), false);
    }
}

static void endpoints_addresses(struct field_errors *errors, const struct path *path,
                                const struct val *list)
{
    uint32_t i = 0;
    VAL_EACH (address, list) {
        const struct path *at = AT_INDEX(path, i++);
        struct str ip = val_text(val_get(address, "ip"));
        endpoint_ip_check(errors, AT(at, "ip"), ip);
        if (!name_is(NAME_IP, ip)) { /* the API says it twice for this kind */
            field_invalid(errors, AT(at, "ip"), ip, "must be a valid IP address");
        }
        struct str host = val_text(val_get(address, "hostname"));
        struct str node = val_text(val_get(address, "nodeName"));
        if (host.n > 0) {
            check_name(errors, AT(at, "hostname"), NAME_LABEL, host);
        }
        if (node.p != NULL) {
            check_name(errors, AT(at, "nodeName"), NAME_SUBDOMAIN, node);
        }
    }
}

static void endpoints_ports(struct field_errors *errors, const struct path *path,
                            const struct val *ports)
{
    uint32_t i = 0;
    VAL_EACH (port, ports) {
        const struct path *at = AT_INDEX(path, i++);
        struct str name = val_text(val_get(port, "name"));
        if (name.n > 0) {
            check_name(errors, AT(at, "name"), NAME_LABEL, name);
        } else if (ports->count > 1) {
            field_required(errors, AT(at, "name"), "");
        }
        check_port_number(errors, AT(at, "port"), val_int(val_get(port, "port"), 0));
        check_one_of(errors, AT(at, "protocol"), val_text(val_get(port, "protocol")), protocols,
                     true);
    }
}

static void endpoints_validate(struct api_context *ctx, const struct val *endpoints,
                               struct field_errors *errors)
{
    uint32_t i = 0;
    VAL_EACH (subset, val_get(endpoints, "subsets")) {
        const struct path *at = AT_INDEX(AT(NULL, "subsets"), i++);
        const struct val *ready = val_get(subset, "addresses");
        const struct val *others = val_get(subset, "notReadyAddresses");
        if (val_count(ready) == 0 && val_count(others) == 0) {
            field_required(errors, at, "must specify `addresses` or `notReadyAddresses`");
        }
        endpoints_addresses(errors, AT(at, "addresses"), ready);
        endpoints_addresses(errors, AT(at, "notReadyAddresses"), others);
        endpoints_ports(errors, AT(at, "ports"), val_get(subset, "ports"));
    }
    (void)ctx;
}

struct listing {
    struct buf out;
    int listed, total;
};

static bool listing_next(struct listing *listing) /* whether there is room for one more */
{
    listing->total++;
    if (listing->listed >= LIST_MAX) {
        return false;
    }
    buf_addz(&listing->out, listing->listed > 0 ? "," : "");
    listing->listed++;
    return true;
}

static void listing_cell(struct api_context *ctx, struct val *cells, struct listing *listing,
                         const char *empty)
{
    if (listing->total == 0) {
        cell_text(ctx, cells, str_of(empty));
    } else if (listing->total > LIST_MAX) {
        cell_format(ctx, cells, "%.*s + %d more...", STR_ARG(buf_view(&listing->out)),
                    listing->total - LIST_MAX);
    } else {
        cell_text(ctx, cells, str_copy_in(ctx->arena, buf_view(&listing->out)));
    }
    buf_done(&listing->out);
}

static void endpoints_columns(struct api_context *ctx, const struct val *endpoints,
                              struct val *cells)
{
    struct listing listing = {0};
    VAL_EACH (subset, val_get(endpoints, "subsets")) {
        const struct val *ports = val_get(subset, "ports");
        if (val_count(ports) == 0) { /* headless without ports */
            VAL_EACH (address, val_get(subset, "addresses")) {
                if (listing_next(&listing)) {
                    buf_str(&listing.out, val_text(val_get(address, "ip")));
                }
            }
        }
        VAL_EACH (port, ports) {
            VAL_EACH (address, val_get(subset, "addresses")) {
                if (listing_next(&listing)) {
                    struct str ip = val_text(val_get(address, "ip"));
                    bool v6 = str_contains(ip, STR(":"));
                    buf_printf(&listing.out, "%s%.*s%s:%lld", v6 ? "[" : "", STR_ARG(ip),
                               v6 ? "]" : "", (long long)val_int(val_get(port, "port"), 0));
                }
            }
        }
    }
    cell_text(ctx, cells, val_name(endpoints));
    listing_cell(ctx, cells, &listing, "<none>");
    cell_age(ctx, cells, endpoints);
}

static void slice_default(struct arena *arena, struct val *slice)
{
    ports_default(arena, val_get(slice, "ports"), true);
}

/* `path` is of the list: the API names it when the family is wrong. */
static void slice_address(struct field_errors *errors, const struct path *path, uint32_t index,
                          struct str type, struct str address)
{
    uint8_t bytes[16];
    int family = name_ip_parse(address, bytes);
    const struct path *at = AT_INDEX(path, index);
    if (str_is(type, "FQDN")) {
        check_name(errors, at, NAME_SUBDOMAIN, address);
        return;
    }
    if (family != 0 && str_is(type, "IPv4") && family != 4) {
        field_invalid(errors, path, address, "must be an IPv4 address");
    } else if (family != 0 && str_is(type, "IPv6") && family != 6) {
        field_invalid(errors, path, address, "must be an IPv6 address");
    }
    endpoint_ip_check(errors, at, address);
}

static void slice_hints(struct field_errors *errors, const struct path *path,
                        const struct val *hints)
{
    static const char *const lists[] = {"forNodes", "forZones"};
    for (int l = 0; l < 2; l++) {
        const struct val *list = val_get_str(hints, str_of(lists[l]));
        const struct path *at = AT(path, lists[l]);
        if (val_count(list) > HINTS_MAX) {
            field_too_many(errors, at, list->count, HINTS_MAX);
            continue;
        }
        uint32_t i = 0;
        VAL_EACH (hint, list) {
            struct str name = val_text(val_get(hint, "name"));
            const struct path *here = AT(AT_INDEX(at, i++), "name");
            if (val_find(list, "name", name) != hint) {
                field_duplicate(errors, here, name);
            }
            check_name(errors, here, l == 0 ? NAME_SUBDOMAIN : NAME_LABEL_VALUE, name);
        }
    }
}

static void slice_endpoint(struct field_errors *errors, const struct path *path, struct str type,
                           const struct val *endpoint)
{
    const struct val *addresses = val_get(endpoint, "addresses");
    const struct path *at = AT(path, "addresses");
    if (val_count(addresses) == 0) {
        field_required(errors, at, "");
    } else if (addresses->count > ADDRESSES_MAX) {
        field_too_many(errors, at, addresses->count, ADDRESSES_MAX);
    }
    uint32_t i = 0;
    VAL_EACH (address, addresses) {
        slice_address(errors, at, i++, type, val_text(address));
    }
    struct str node = val_text(val_get(endpoint, "nodeName"));
    struct str host = val_text(val_get(endpoint, "hostname"));
    if (node.p != NULL) {
        check_name(errors, AT(path, "nodeName"), NAME_SUBDOMAIN, node);
    }
    if (host.p != NULL) {
        check_name(errors, AT(path, "hostname"), NAME_LABEL, host);
    }
    slice_hints(errors, AT(path, "hints"), val_get(endpoint, "hints"));
}

static void slice_ports(struct field_errors *errors, const struct path *path,
                        const struct val *ports)
{
    if (val_count(ports) > PORTS_MAX) {
        field_too_many(errors, path, ports->count, PORTS_MAX);
        return;
    }
    uint32_t i = 0;
    VAL_EACH (port, ports) {
        const struct path *at = AT_INDEX(path, i++);
        struct str name = val_text(val_get(port, "name"));
        if (name.n > 0) {
            check_name(errors, AT(at, "name"), NAME_LABEL, name);
        }
        if (val_find(ports, "name", name) != port) {
            field_duplicate(errors, AT(at, "name"), name);
        }
        check_one_of(errors, AT(at, "protocol"), val_text(val_get(port, "protocol")), protocols,
                     true);
        struct str app = val_text(val_get(port, "appProtocol"));
        if (app.n > 0) {
            check_name(errors, AT(at, "appProtocol"), NAME_LABEL_KEY, app);
        }
    }
}

static void slice_validate(struct api_context *ctx, const struct val *slice,
                           struct field_errors *errors)
{
    static const char *const types[] = {"FQDN", "IPv4", "IPv6", NULL};
    const struct val *endpoints = val_get(slice, "endpoints");
    struct str type = val_text(val_get(slice, "addressType"));
    const struct path *path = AT(NULL, "endpoints");
    check_one_of(errors, AT(NULL, "addressType"), type, types, true);
    if (val_count(endpoints) > ENDPOINTS_MAX) {
        field_too_many(errors, path, endpoints->count, ENDPOINTS_MAX);
    } else {
        uint32_t i = 0;
        VAL_EACH (endpoint, endpoints) {
            slice_endpoint(errors, AT_INDEX(path, i++), type, endpoint);
        }
    }
    slice_ports(errors, AT(NULL, "ports"), val_get(slice, "ports"));
    (void)ctx;
}

static void slice_validate_update(struct api_context *ctx, const struct val *next,
                                  const struct val *old, struct field_errors *errors)
{
    check_immutable(errors, AT(NULL, "addressType"), val_get(next, "addressType"),
                    val_get(old, "addressType"));
    (void)ctx;
}

static void slice_columns(struct api_context *ctx, const struct val *slice, struct val *cells)
{
    struct listing ports = {0}, addresses = {0};
    VAL_EACH (port, val_get(slice, "ports")) {
        if (listing_next(&ports)) {
            const struct val *number = val_get(port, "port");
            struct str name = val_text(val_get(port, "name"));
            struct str shown = !val_absent(number) ? val_text(number)
                               : name.n > 0        ? name
                                                   : STR("*");
            buf_str(&ports.out, shown);
        }
    }
    VAL_EACH (endpoint, val_get(slice, "endpoints")) {
        VAL_EACH (address, val_get(endpoint, "addresses")) {
            if (listing_next(&addresses)) {
                buf_str(&addresses.out, val_text(address));
            }
        }
    }
    cell_text(ctx, cells, val_name(slice));
    cell_text(ctx, cells, val_text(val_get(slice, "addressType")));
    listing_cell(ctx, cells, &ports, "<unset>");
    listing_cell(ctx, cells, &addresses, "<unset>");
    cell_age(ctx, cells, slice);
}

const struct api_ops ops_endpoints = {
    .defaults = endpoints_default,
    .validate = endpoints_validate,
    .columns = endpoints_columns,
    .create_on_update = true,
    .unconditional_update = true,
};

const struct api_ops ops_endpoint_slice = {
    .defaults = slice_default,
    .validate = slice_validate,
    .validate_update = slice_validate_update,
    .columns = slice_columns,
    .generation = true,
    .unconditional_update = true,
};

/* pod_security_checks.c: the controls of the Pod Security Standards, one function and one row each.
 *
 * A control looks at every container of the three lists alike (`each container` is a flat array),
 * so that none can be forgotten in one of them (CVE-2023-2727). Wording of reasons and details is
 * what clients of upstream know and grep for. The rows are in the order in which violations are
 * told: baseline by name, then restricted by name. A restricted control that replaces a baseline
 * one is named by `replaced_from`, the first version in which the baseline row is left out.
 */
#include "server/admission/pod_security.h"

enum { NEWEST = 37, NEVER = 1000 };

struct names {
    struct str *items;
    size_t count, cap;
};
struct look { /* one pod under one control */
    struct arena *arena;
    const struct val *metadata, *spec, *security; /* security: of the pod */
    const struct val **containers;
    size_t container_count;
    int minor;
    const char *reason; /* NULL: nothing wrong */
    struct str detail;
};

/* ---- lists of names, and sentences made of them ---- */

static void add(struct look *look, struct names *names, struct str name)
{
    if (names->count == names->cap) {
        size_t cap = names->cap > 0 ? names->cap * 2 : 8;
        struct str *items = arena_array(look->arena, struct str, cap);
        if (names->count > 0) {
            memcpy(items, names->items, sizeof *items * names->count);
        }
        names->items = items;
        names->cap = cap;
    }
    names->items[names->count++] = name;
}

/* Keeps the list sorted, each name once. */
static void add_once(struct look *look, struct names *names, struct str name)
{
    size_t at = 0;
    while (at < names->count && str_cmp(names->items[at], name) < 0) {
        at++;
    }
    if (at < names->count && str_eq(names->items[at], name)) {
        return;
    }
    add(look, names, name);
    memmove(&names->items[at + 1], &names->items[at],
            sizeof *names->items * (names->count - 1 - at));
    names->items[at] = name;
}

static struct str joined(struct look *look, const struct names *names, const char *quote,
                         const char *between)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    for (size_t i = 0; i < names->count; i++) {
        buf_printf(&out, "%s%s%.*s%s", i > 0 ? between : "", quote, STR_ARG(names->items[i]),
                   quote);
    }
    return str_copy_in(look->arena, buf_view(&out));
}

static struct str quoted(struct look *look, const struct names *names)
{
    return joined(look, names, "\"", ", ");
}

static const char *plural(const struct names *names, const char *one, const char *many)
{
    return names->count == 1 ? one : many;
}

static struct str say(struct look *look, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static struct str say(struct look *look, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    struct str text = str_of(arena_vprintf(look->arena, format, ap));
    va_end(ap);
    return text;
}

static void wrong(struct look *look, const char *reason, struct str detail)
{
    look->reason = reason;
    look->detail = detail;
}

/* 'container "a"', 'containers "a", "b"'. */
static struct str containers(struct look *look, const struct names *names)
{
    struct str list = quoted(look, names);
    return say(look, "%s %.*s", plural(names, "container", "containers"), STR_ARG(list));
}

/* 'pod and container "a"': who set something. */
static struct str setters(struct look *look, bool pod, const struct names *names)
{
    if (names->count == 0) {
        return pod ? STR("pod") : STR_NONE;
    }
    struct str list = containers(look, names);
    return pod ? say(look, "pod and %.*s", STR_ARG(list)) : list;
}

static const struct val *security_of(const struct val *container)
{
    return val_get(container, "securityContext");
}
static struct str name_of(const struct val *container)
{
    return val_text(val_get(container, "name"));
}
static bool is_windows(const struct look *look)
{
    return str_is(val_text(val_path(look->spec, "os.name")), "windows");
}
static bool has_user_namespace(const struct look *look)
{
    return !val_bool(val_get(look->spec, "hostUsers"), true);
}

#define EACH_CONTAINER(it, look)                                                                   \
    for (size_t it##_i = 0; it##_i < (look)->container_count; it##_i++)                            \
        for (const struct val *it = (look)->containers[it##_i]; it != NULL; it = NULL)

static bool is_in(struct str word, const char *const *words)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (str_is(word, words[i])) {
            return true;
        }
    }
    return false;
}

/* ---- baseline ---- */

static bool app_armor_good(const struct val *security)
{
    const struct val *profile = val_get(security, "appArmorProfile");
    struct str type = val_text(val_get(profile, "type"));
    return val_absent(profile) || str_is(type, "RuntimeDefault") || str_is(type, "Localhost");
}

static void app_armor_annotations(struct look *look, struct names *bad)
{
    static const char prefix[] = "container.apparmor.security.beta.kubernetes.io/";
    VAL_EACH (it, val_get(look->metadata, "annotations")) {
        struct str v = val_text(it);
        if (str_starts(it->key, str_of(prefix)) && v.n > 0 && !str_is(v, "runtime/default") &&
            !str_starts(v, STR("localhost/"))) {
            add_once(look, bad, say(look, "%.*s=\"%.*s\"", STR_ARG(it->key), STR_ARG(v)));
        }
    }
}

static void check_app_armor(struct look *look)
{
    struct names bad = {0}, values = {0}, annotations = {0};
    bool pod = !app_armor_good(look->security);
    if (pod) {
        add_once(look, &values, val_text(val_path(look->security, "appArmorProfile.type")));
    }
    EACH_CONTAINER(it, look)
    {
        if (!app_armor_good(security_of(it))) {
            add(look, &bad, name_of(it));
            add_once(look, &values, val_text(val_path(security_of(it), "appArmorProfile.type")));
        }
    }
    struct str who = setters(look, pod, &bad);
    app_armor_annotations(look, &annotations);
    if (annotations.count > 0) {
        const char *word = plural(&annotations, "annotation", "annotations");
        who = who.n > 0 ? say(look, "%.*s and %s", STR_ARG(who), word) : str_of(word);
    }
    for (size_t i = 0; i < annotations.count; i++) {
        add(look, &values, annotations.items[i]);
    }
    if (who.n > 0) {
        struct str list = quoted(look, &values);
        wrong(look, plural(&values, "forbidden AppArmor profile", "forbidden AppArmor profiles"),
              say(look, "%.*s must not set AppArmor profile type to %.*s", STR_ARG(who),
                  STR_ARG(list)));
    }
}

/* Containers that add a capability outside `allowed`, and which. */
static void added_capabilities(struct look *look, const char *const *allowed, struct names *bad,
                               struct names *which)
{
    EACH_CONTAINER(it, look)
    {
        bool good = true;
        VAL_EACH (c, val_path(security_of(it), "capabilities.add")) {
            if (!is_in(val_text(c), allowed)) {
                good = false;
                add_once(look, which, val_text(c));
            }
        }
        if (!good) {
            add(look, bad, name_of(it));
        }
    }
}

static struct str must_not_add(struct look *look, const struct names *bad,
                               const struct names *which)
{
    struct str who = containers(look, bad), list = quoted(look, which);
    return say(look, "%.*s must not include %.*s in securityContext.capabilities.add", STR_ARG(who),
               STR_ARG(list));
}

static void check_capabilities(struct look *look)
{
    static const char *const allowed[] = {
        "AUDIT_WRITE", "CHOWN",  "DAC_OVERRIDE",     "FOWNER",  "FSETID", "KILL",       "MKNOD",
        "SETFCAP",     "SETGID", "NET_BIND_SERVICE", "SETPCAP", "SETUID", "SYS_CHROOT", NULL};
    struct names bad = {0}, which = {0};
    added_capabilities(look, allowed, &bad, &which);
    if (bad.count > 0) {
        wrong(look, "non-default capabilities", must_not_add(look, &bad, &which));
    }
}

static void check_host_namespaces(struct look *look)
{
    static const char *const keys[] = {"hostNetwork", "hostPID", "hostIPC"};
    struct names set = {0};
    for (size_t i = 0; i < 3; i++) {
        if (val_bool(val_get_str(look->spec, str_of(keys[i])), false)) {
            add(look, &set, say(look, "%s=true", keys[i]));
        }
    }
    if (set.count > 0) {
        wrong(look, "host namespaces", joined(look, &set, "", ", "));
    }
}

static void check_host_paths(struct look *look)
{
    struct names bad = {0};
    VAL_EACH (volume, val_get(look->spec, "volumes")) {
        if (!val_absent(val_get(volume, "hostPath"))) {
            add(look, &bad, name_of(volume));
        }
    }
    if (bad.count > 0) {
        struct str list = quoted(look, &bad);
        wrong(look, "hostPath volumes",
              say(look, "%s %.*s", plural(&bad, "volume", "volumes"), STR_ARG(list)));
    }
}

static void check_host_ports(struct look *look)
{
    struct names bad = {0}, ports = {0};
    EACH_CONTAINER(it, look)
    {
        bool good = true;
        VAL_EACH (port, val_get(it, "ports")) {
            int64_t number = val_int(val_get(port, "hostPort"), 0);
            if (number != 0) {
                good = false;
                add_once(look, &ports, say(look, "%lld", (long long)number));
            }
        }
        if (!good) {
            add(look, &bad, name_of(it));
        }
    }
    if (bad.count > 0) {
        struct str who = containers(look, &bad), list = joined(look, &ports, "", ", ");
        wrong(look, "hostPort",
              say(look, "%.*s %s %s %.*s", STR_ARG(who), plural(&bad, "uses", "use"),
                  plural(&ports, "hostPort", "hostPorts"), STR_ARG(list)));
    }
}

static void check_handler_hosts(struct look *look)
{
    static const char *const handlers[] = {"livenessProbe", "readinessProbe", "startupProbe",
                                           "lifecycle.postStart", "lifecycle.preStop"};
    struct names bad = {0}, hosts = {0};
    if (look->minor < 34) {
        return;
    }
    EACH_CONTAINER(it, look)
    {
        size_t before = hosts.count;
        bool any = false;
        for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
            const struct val *handler = val_path(it, handlers[i]);
            struct str host[] = {val_text(val_path(handler, "httpGet.host")),
                                 val_text(val_path(handler, "tcpSocket.host"))};
            for (size_t k = 0; k < 2; k++) {
                if (host[k].n > 0) {
                    add_once(look, &hosts, host[k]);
                    any = true;
                }
            }
        }
        if (any || hosts.count > before) {
            add_once(look, &bad, name_of(it));
        }
    }
    if (bad.count > 0) {
        struct str who = containers(look, &bad), list = quoted(look, &hosts);
        wrong(look, "probe or lifecycle host",
              say(look, "%.*s %s %s %.*s", STR_ARG(who), plural(&bad, "uses", "use"),
                  plural(&hosts, "probe or lifecycle host", "probe or lifecycle hosts"),
                  STR_ARG(list)));
    }
}

static void check_privileged(struct look *look)
{
    struct names bad = {0};
    EACH_CONTAINER(it, look)
    {
        if (val_bool(val_get(security_of(it), "privileged"), false)) {
            add(look, &bad, name_of(it));
        }
    }
    if (bad.count > 0) {
        struct str who = containers(look, &bad);
        wrong(look, "privileged",
              say(look, "%.*s must not set securityContext.privileged=true", STR_ARG(who)));
    }
}

static void check_proc_mount(struct look *look)
{
    struct names bad = {0}, types = {0};
    EACH_CONTAINER(it, look)
    {
        const struct val *type = val_get(security_of(it), "procMount");
        if (!val_absent(type) && !str_is(val_text(type), "Default")) {
            add(look, &bad, name_of(it));
            add_once(look, &types, val_text(type));
        }
    }
    if (bad.count > 0) {
        struct str who = containers(look, &bad), list = quoted(look, &types);
        wrong(look, "procMount",
              say(look, "%.*s must not set securityContext.procMount to %.*s", STR_ARG(who),
                  STR_ARG(list)));
    }
}

static void check_proc_mount_baseline(struct look *look)
{
    if (look->minor < 35 || !has_user_namespace(look)) {
        check_proc_mount(look);
    }
}

struct se_linux {
    struct names types;
    bool user, role;
};

static bool se_linux_good(struct look *look, const struct val *security, struct se_linux *bad)
{
    static const char *const allowed[] = {"", "container_t", "container_init_t", "container_kvm_t",
                                          NULL};
    const struct val *options = val_get(security, "seLinuxOptions");
    struct str type = val_text(val_get(options, "type"));
    bool good = true;
    if (!is_in(type, allowed) && !(look->minor >= 31 && str_is(type, "container_engine_t"))) {
        add_once(look, &bad->types, type);
        good = false;
    }
    if (val_text(val_get(options, "user")).n > 0) {
        bad->user = true;
        good = false;
    }
    if (val_text(val_get(options, "role")).n > 0) {
        bad->role = true;
        good = false;
    }
    return good;
}

static void check_se_linux(struct look *look)
{
    struct names bad = {0}, what = {0};
    struct se_linux found = {0};
    bool pod = !se_linux_good(look, look->security, &found);
    EACH_CONTAINER(it, look)
    {
        if (!se_linux_good(look, security_of(it), &found)) {
            add(look, &bad, name_of(it));
        }
    }
    struct str who = setters(look, pod, &bad);
    if (who.n == 0) {
        return;
    }
    if (found.types.count > 0) {
        struct str list = quoted(look, &found.types);
        add(look, &what,
            say(look, "%s %.*s", plural(&found.types, "type", "types"), STR_ARG(list)));
    }
    if (found.user) {
        add(look, &what, STR("user may not be set"));
    }
    if (found.role) {
        add(look, &what, STR("role may not be set"));
    }
    struct str list = joined(look, &what, "", "; ");
    wrong(look, "seLinuxOptions",
          say(look, "%.*s set forbidden securityContext.seLinuxOptions: %.*s", STR_ARG(who),
              STR_ARG(list)));
}

static void seccomp_annotation(struct look *look, struct str key, struct names *bad)
{
    const struct val *v = val_get_str(val_get(look->metadata, "annotations"), key);
    struct str text = val_text(v);
    if (v != NULL && !str_is(text, "runtime/default") && !str_is(text, "docker/default") &&
        !str_starts(text, STR("localhost/"))) {
        add_once(look, bad, say(look, "%.*s=\"%.*s\"", STR_ARG(key), STR_ARG(text)));
    }
}

/* Before 1.19 profiles were annotations. */
static void check_seccomp_annotations(struct look *look)
{
    struct names bad = {0};
    seccomp_annotation(look, STR("seccomp.security.alpha.kubernetes.io/pod"), &bad);
    EACH_CONTAINER(it, look)
    {
        struct str name = name_of(it);
        seccomp_annotation(
            look, say(look, "container.seccomp.security.alpha.kubernetes.io/%.*s", STR_ARG(name)),
            &bad);
    }
    if (bad.count > 0) {
        struct str list = joined(look, &bad, "", ", ");
        wrong(look, "seccompProfile",
              say(look, "forbidden %s %.*s", plural(&bad, "annotation", "annotations"),
                  STR_ARG(list)));
    }
}

/* 0: none, 1: an allowed one, -1: a forbidden one (added to values). */
static int seccomp_of(struct look *look, const struct val *security, struct names *values)
{
    const struct val *profile = val_get(security, "seccompProfile");
    struct str type = val_text(val_get(profile, "type"));
    if (val_absent(profile)) {
        return 0;
    }
    if (str_is(type, "RuntimeDefault") || str_is(type, "Localhost")) {
        return 1;
    }
    add_once(look, values, type);
    return -1;
}

/* `needed`: each container must have a profile, its own or the pod's. */
static void check_seccomp_fields(struct look *look, bool needed)
{
    struct names bad = {0}, values = {0}, missing = {0};
    int pod = seccomp_of(look, look->security, &values);
    EACH_CONTAINER(it, look)
    {
        int own = seccomp_of(look, security_of(it), &values);
        if (own < 0) {
            add(look, &bad, name_of(it));
        } else if (own == 0 && pod <= 0) {
            add(look, &missing, name_of(it));
        }
    }
    struct str who = setters(look, pod < 0, &bad);
    if (who.n > 0) {
        struct str list = quoted(look, &values);
        wrong(look, "seccompProfile",
              say(look, "%.*s must not set securityContext.seccompProfile.type to %.*s",
                  STR_ARG(who), STR_ARG(list)));
    } else if (needed && missing.count > 0) {
        struct str list = containers(look, &missing);
        wrong(look, "seccompProfile",
              say(look,
                  "pod or %.*s must set securityContext.seccompProfile.type to "
                  "\"RuntimeDefault\" or \"Localhost\"",
                  STR_ARG(list)));
    }
}

static void check_seccomp_baseline(struct look *look)
{
    if (look->minor < 19) {
        check_seccomp_annotations(look);
    } else {
        check_seccomp_fields(look, false);
    }
}

static void check_sysctls(struct look *look)
{
    static const struct {
        const char *name;
        int from;
    } allowed[] = {
        {"kernel.shm_rmid_forced", 0},
        {"net.ipv4.ip_local_port_range", 0},
        {"net.ipv4.tcp_syncookies", 0},
        {"net.ipv4.ping_group_range", 0},
        {"net.ipv4.ip_unprivileged_port_start", 0},
        {"net.ipv4.ip_local_reserved_ports", 27},
        {"net.ipv4.tcp_keepalive_time", 29},
        {"net.ipv4.tcp_fin_timeout", 29},
        {"net.ipv4.tcp_keepalive_intvl", 29},
        {"net.ipv4.tcp_keepalive_probes", 29},
        {"net.ipv4.tcp_rmem", 32},
        {"net.ipv4.tcp_wmem", 32},
        {"net.ipv4.tcp_slow_start_after_idle", 37},
        {"net.ipv4.tcp_notsent_lowat", 37},
    };
    struct names bad = {0};
    VAL_EACH (it, val_get(look->security, "sysctls")) {
        bool good = false;
        for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
            good = good || (str_is(name_of(it), allowed[i].name) && look->minor >= allowed[i].from);
        }
        if (!good) {
            add(look, &bad, name_of(it));
        }
    }
    if (bad.count > 0) {
        wrong(look, "forbidden sysctls", joined(look, &bad, "", ", "));
    }
}

static bool is_host_process(const struct val *security)
{
    return val_bool(val_path(security, "windowsOptions.hostProcess"), false);
}

static void check_host_process(struct look *look)
{
    struct names bad = {0};
    EACH_CONTAINER(it, look)
    {
        if (is_host_process(security_of(it))) {
            add(look, &bad, name_of(it));
        }
    }
    struct str who = setters(look, is_host_process(look->security), &bad);
    if (who.n > 0) {
        wrong(look, "hostProcess",
              say(look, "%.*s must not set securityContext.windowsOptions.hostProcess=true",
                  STR_ARG(who)));
    }
}

/* ---- restricted ---- */

static void check_escalation(struct look *look)
{
    struct names bad = {0};
    if (look->minor < 8 || (look->minor >= 25 && is_windows(look))) {
        return;
    }
    EACH_CONTAINER(it, look)
    {
        if (val_bool(val_get(security_of(it), "allowPrivilegeEscalation"), true)) {
            add(look, &bad, name_of(it));
        }
    }
    if (bad.count > 0) {
        struct str who = containers(look, &bad);
        wrong(look, "allowPrivilegeEscalation != false",
              say(look, "%.*s must set securityContext.allowPrivilegeEscalation=false",
                  STR_ARG(who)));
    }
}

static bool drops_all(const struct val *container)
{
    VAL_EACH (c, val_path(security_of(container), "capabilities.drop")) {
        if (str_is(val_text(c), "ALL")) {
            return true;
        }
    }
    return false;
}

static void check_capabilities_dropped(struct look *look)
{
    static const char *const allowed[] = {"NET_BIND_SERVICE", NULL};
    struct names keep = {0}, bad = {0}, which = {0}, details = {0};
    if (look->minor < 22 || (look->minor >= 25 && is_windows(look))) {
        return;
    }
    EACH_CONTAINER(it, look)
    {
        if (!drops_all(it)) {
            add(look, &keep, name_of(it));
        }
    }
    added_capabilities(look, allowed, &bad, &which);
    if (keep.count > 0) {
        struct str who = containers(look, &keep);
        add(look, &details,
            say(look, "%.*s must set securityContext.capabilities.drop=[\"ALL\"]", STR_ARG(who)));
    }
    if (bad.count > 0) {
        add(look, &details, must_not_add(look, &bad, &which));
    }
    if (details.count > 0) {
        wrong(look, "unrestricted capabilities", joined(look, &details, "", "; "));
    }
}

static void check_proc_mount_restricted(struct look *look)
{
    if (look->minor >= 35) {
        check_proc_mount(look);
    }
}

/* The type of a volume that is not among the allowed ones, else empty. */
static struct str restricted_type(const struct val *volume)
{
    static const char *const allowed[] = {
        "configMap", "csi",   "downwardAPI",           "emptyDir",
        "ephemeral", "image", "persistentVolumeClaim", "projected",
        "secret",    NULL};
    struct str type = STR("unknown");
    VAL_EACH (it, volume) {
        if (str_is(it->key, "name") || val_absent(it)) {
            continue;
        }
        if (is_in(it->key, allowed)) {
            return STR_NONE;
        }
        type = it->key;
    }
    return type;
}

static void check_volume_types(struct look *look)
{
    struct names bad = {0}, types = {0};
    VAL_EACH (volume, val_get(look->spec, "volumes")) {
        struct str type = restricted_type(volume);
        if (type.n > 0) {
            add(look, &bad, name_of(volume));
            add_once(look, &types, type);
        }
    }
    if (bad.count > 0) {
        struct str names = quoted(look, &bad), list = quoted(look, &types);
        wrong(look, "restricted volume types",
              say(look, "%s %.*s %s %s %.*s", plural(&bad, "volume", "volumes"), STR_ARG(names),
                  plural(&bad, "uses", "use"),
                  plural(&types, "restricted volume type", "restricted volume types"),
                  STR_ARG(list)));
    }
}

static void check_non_root(struct look *look)
{
    struct names bad = {0}, missing = {0};
    const struct val *pod = val_get(look->security, "runAsNonRoot");
    if (look->minor >= 35 && has_user_namespace(look)) {
        return;
    }
    EACH_CONTAINER(it, look)
    {
        const struct val *own = val_get(security_of(it), "runAsNonRoot");
        if (!val_absent(own) && !val_bool(own, false)) {
            add(look, &bad, name_of(it));
        } else if (val_absent(own) && !val_bool(pod, false)) {
            add(look, &missing, name_of(it));
        }
    }
    struct str who = setters(look, !val_absent(pod) && !val_bool(pod, false), &bad);
    if (who.n > 0) {
        wrong(look, "runAsNonRoot != true",
              say(look, "%.*s must not set securityContext.runAsNonRoot=false", STR_ARG(who)));
    } else if (missing.count > 0) {
        struct str list = containers(look, &missing);
        wrong(look, "runAsNonRoot != true",
              say(look, "pod or %.*s must set securityContext.runAsNonRoot=true", STR_ARG(list)));
    }
}

static bool is_root(const struct val *security)
{
    return val_int(val_get(security, "runAsUser"), -1) == 0;
}

static void check_run_as_user(struct look *look)
{
    struct names bad = {0};
    if (look->minor < 23 || (look->minor >= 35 && has_user_namespace(look))) {
        return;
    }
    EACH_CONTAINER(it, look)
    {
        if (is_root(security_of(it))) {
            add(look, &bad, name_of(it));
        }
    }
    struct str who = setters(look, is_root(look->security), &bad);
    if (who.n > 0) {
        wrong(look, "runAsUser=0", say(look, "%.*s must not set runAsUser=0", STR_ARG(who)));
    }
}

static void check_seccomp_restricted(struct look *look)
{
    if (look->minor >= 19 && !(look->minor >= 25 && is_windows(look))) {
        check_seccomp_fields(look, true);
    }
}

static const struct control {
    void (*check)(struct look *look);
    enum pod_security_level level;
    int replaced_from; /* baseline: the restricted level has its own from this version on */
} controls[] = {
    {check_app_armor, POD_SECURITY_BASELINE, NEVER},
    {check_capabilities, POD_SECURITY_BASELINE, 22},
    {check_host_namespaces, POD_SECURITY_BASELINE, NEVER},
    {check_host_paths, POD_SECURITY_BASELINE, 0},
    {check_host_ports, POD_SECURITY_BASELINE, NEVER},
    {check_handler_hosts, POD_SECURITY_BASELINE, NEVER},
    {check_privileged, POD_SECURITY_BASELINE, NEVER},
    {check_proc_mount_baseline, POD_SECURITY_BASELINE, 35},
    {check_se_linux, POD_SECURITY_BASELINE, NEVER},
    {check_seccomp_baseline, POD_SECURITY_BASELINE, 19},
    {check_sysctls, POD_SECURITY_BASELINE, NEVER},
    {check_host_process, POD_SECURITY_BASELINE, NEVER},
    {check_escalation, POD_SECURITY_RESTRICTED, NEVER},
    {check_capabilities_dropped, POD_SECURITY_RESTRICTED, NEVER},
    {check_proc_mount_restricted, POD_SECURITY_RESTRICTED, NEVER},
    {check_volume_types, POD_SECURITY_RESTRICTED, NEVER},
    {check_non_root, POD_SECURITY_RESTRICTED, NEVER},
    {check_run_as_user, POD_SECURITY_RESTRICTED, NEVER},
    {check_seccomp_restricted, POD_SECURITY_RESTRICTED, NEVER},
};

static void gather_containers(struct look *look)
{
    static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};
    size_t count = 0;
    for (size_t i = 0; i < 3; i++) {
        count += val_count(val_get_str(look->spec, str_of(lists[i])));
    }
    look->containers = arena_array(look->arena, const struct val *, count + 1);
    for (size_t i = 0; i < 3; i++) {
        VAL_EACH (it, val_get_str(look->spec, str_of(lists[i]))) {
            look->containers[look->container_count++] = it;
        }
    }
}

static void report(const struct look *look, struct buf *reasons, struct buf *details)
{
    if (reasons != NULL) {
        buf_printf(reasons, "%s%s", reasons->n > 0 ? ", " : "", look->reason);
    }
    if (details != NULL) {
        buf_printf(details, "%s%s", details->n > 0 ? ", " : "", look->reason);
        if (look->detail.n > 0) {
            buf_printf(details, " (%.*s)", STR_ARG(look->detail));
        }
    }
}

bool pod_security_meets(struct arena *arena, struct pod_security_policy policy,
                        const struct val *metadata, const struct val *spec, struct buf *reasons,
                        struct buf *details)
{
    if (policy.level == POD_SECURITY_PRIVILEGED) {
        return true;
    }
    struct look look = {.arena = arena,
                        .metadata = metadata,
                        .spec = spec,
                        .security = val_get(spec, "securityContext"),
                        .minor = policy.minor == POD_SECURITY_LATEST || policy.minor > NEWEST
                                     ? NEWEST
                                     : policy.minor};
    bool good = true;
    gather_containers(&look);
    for (size_t i = 0; i < sizeof controls / sizeof *controls; i++) {
        const struct control *control = &controls[i];
        bool wanted = control->level <= policy.level && !(policy.level == POD_SECURITY_RESTRICTED &&
                                                          control->level == POD_SECURITY_BASELINE &&
                                                          look.minor >= control->replaced_from);
        look.reason = NULL;
        look.detail = STR_NONE;
        if (wanted) {
            control->check(&look);
        }
        if (look.reason != NULL) {
            good = false;
            report(&look, reasons, details);
        }
    }
    return good;
}

/* ---- texts ---- */

static const char *const level_names[] = {"privileged", "baseline", "restricted"};

struct str pod_security_policy_text(struct arena *arena, struct pod_security_policy policy)
{
    const char *level = level_names[policy.level];
    return str_of(policy.minor == POD_SECURITY_LATEST
                      ? arena_printf(arena, "%s:latest", level)
                      : arena_printf(arena, "%s:v1.%d", level, policy.minor));
}

bool pod_security_level_parse(struct str text, enum pod_security_level *ret_level)
{
    for (int i = POD_SECURITY_PRIVILEGED; i <= POD_SECURITY_RESTRICTED; i++) {
        if (str_is(text, level_names[i])) {
            *ret_level = (enum pod_security_level)i;
            return true;
        }
    }
    return false;
}

bool pod_security_version_parse(struct str text, int *ret_minor)
{
    uint64_t minor = 0;
    if (str_is(text, "latest")) {
        *ret_minor = POD_SECURITY_LATEST;
        return true;
    }
    struct str digits = str_from(text, 3);
    if (!str_starts(text, STR("v1.")) || !str_u64(digits, &minor) || minor > 1000000 ||
        (digits.n > 1 && digits.p[0] == '0')) {
        return false;
    }
    *ret_minor = (int)minor;
    return true;
}

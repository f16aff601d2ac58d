/* pod_security.c: PodSecurity: what a namespace's labels (or the server's defaults) demand of pods:
 * enforced on pods, told as warnings on pods and on what makes pods, noted for the audit log.
 *
 * The unlabelled namespace of a server with privileged defaults costs six label look-ups and
 * nothing else. Exemptions and defaults come from a PodSecurityConfiguration.
 */
#include "server/admission/pod_security.h"

#include "api/validation.h"
#include "base/map.h"
#include "server/admission/admission.h"
#include "server/admission/settings.h"
#include "server/server_int.h"

enum { PODS_MAX = 3000 };

#define LABEL_PREFIX "pod-security.kubernetes.io/"

static const struct {
    const char *level, *version;
    size_t at;
} modes[] = {
    {LABEL_PREFIX "enforce", LABEL_PREFIX "enforce-version",
     offsetof(struct pod_security_policies, enforce)},
    {LABEL_PREFIX "audit", LABEL_PREFIX "audit-version",
     offsetof(struct pod_security_policies, audit)},
    {LABEL_PREFIX "warn", LABEL_PREFIX "warn-version",
     offsetof(struct pod_security_policies, warn)},
};
enum { ENFORCE, AUDIT, WARN, MODES };

struct labels { /* of a namespace: at rest, or on the tape of a write */
    const struct object *object;
    const struct val *value;
};

static struct str label(const struct labels *labels, const char *key)
{
    if (labels->object != NULL) {
        return object_label_get(labels->object, str_of(key));
    }
    const struct val *v = val_get_str(val_path(labels->value, "metadata.labels"), str_of(key));
    return v != NULL ? str_at(val_text(v).p != NULL ? val_text(v).p : "", val_text(v).n) : STR_NONE;
}

static void complain(struct field_errors *errors, const char *key, struct str value,
                     const char *what)
{
    if (errors != NULL) {
        field_invalid(errors, AT_KEY(AT(AT(NULL, "metadata"), "labels"), str_of(key)), value, "%s",
                      what);
    }
}

/* Bad labels count as the strictest when enforced, as none when told; `errors` may be NULL. */
static bool read_mode(const struct labels *labels, int mode, struct pod_security_policy *policy,
                      bool *ret_given, bool *ret_version_given, struct field_errors *errors)
{
    struct str level = label(labels, modes[mode].level);
    struct str version = label(labels, modes[mode].version);
    bool good = true;
    *ret_given = level.p != NULL;
    *ret_version_given = version.p != NULL;
    if (level.p != NULL && !pod_security_level_parse(level, &policy->level)) {
        policy->level = mode == ENFORCE ? POD_SECURITY_RESTRICTED : POD_SECURITY_PRIVILEGED;
        complain(errors, modes[mode].level, level,
                 "must be one of privileged, baseline, restricted");
        good = false;
        *ret_given = mode != ENFORCE;
    }
    if (version.p != NULL && !pod_security_version_parse(version, &policy->minor)) {
        policy->minor = POD_SECURITY_LATEST;
        complain(errors, modes[mode].version, version, "must be \"latest\" or \"v1.x\"");
        good = false;
    }
    return good;
}

static bool read_policies(const struct admission_settings *settings, const struct labels *labels,
                          struct pod_security_policies *ret, struct field_errors *errors)
{
    bool good = true, given[MODES], version[MODES];
    *ret = settings->pod_security;
    for (int i = 0; i < MODES; i++) {
        struct pod_security_policy *policy =
            (struct pod_security_policy *)(void *)((char *)ret + modes[i].at);
        good = read_mode(labels, i, policy, &given[i], &version[i], errors) && good;
    }
    if (!given[WARN] && given[ENFORCE] && ret->enforce.level > ret->warn.level) {
        ret->warn.level = ret->enforce.level;
        if (!version[WARN]) {
            ret->warn.minor = ret->enforce.minor;
        }
    }
    return good;
}

/* ---- pods and what makes them ---- */

static const struct {
    const char *group, *plural, *template;
} makers[] = {
    {"", "replicationcontrollers", "spec.template"},
    {"", "podtemplates", "template"},
    {"apps", "replicasets", "spec.template"},
    {"apps", "deployments", "spec.template"},
    {"apps", "statefulsets", "spec.template"},
    {"apps", "daemonsets", "spec.template"},
    {"batch", "jobs", "spec.template"},
    {"batch", "cronjobs", "spec.jobTemplate.spec.template"},
};

/* The pod, or the template of pods, in the object; NULL when there is none. */
static const struct val *pod_in(const struct admission *a, bool *ret_pod)
{
    *ret_pod = a->resource->storage == a->request->server->known.pods;
    if (*ret_pod) {
        return a->object;
    }
    for (size_t i = 0; a->subresource.n == 0 && i < sizeof makers / sizeof *makers; i++) {
        if (str_is(str_of(a->resource->plural), makers[i].plural) &&
            str_is(str_of(a->resource->group), makers[i].group)) {
            return val_path(a->object, makers[i].template);
        }
    }
    return NULL;
}

static bool same_image(const struct val *old_list, const struct val *container)
{
    const struct val *old = val_find(old_list, "name", val_text(val_get(container, "name")));
    return old != NULL &&
           str_eq(val_text(val_get(old, "image")), val_text(val_get(container, "image")));
}

static bool seccomp_same(const struct val *now, const struct val *old)
{
    VAL_EACH (it, val_path(now, "metadata.annotations")) {
        if (str_contains(it->key, STR("seccomp.security.alpha.kubernetes.io/"))) {
            const struct val *was = val_get_str(val_path(old, "metadata.annotations"), it->key);
            if (was == NULL || !str_eq(val_text(was), val_text(it))) {
                return false;
            }
        }
    }
    return true;
}

/* Only images and seccomp annotations may change in a pod that is there. */
static bool matters(const struct val *now, const struct val *old)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers",
                                        "spec.ephemeralContainers"};
    for (size_t i = 0; i < 3; i++) {
        const struct val *list = val_path(now, lists[i]), *before = val_path(old, lists[i]);
        if (i < 2 && val_count(list) != val_count(before)) {
            return true;
        }
        VAL_EACH (it, list) {
            if (!same_image(before, it)) {
                return true;
            }
        }
    }
    return !seccomp_same(now, old);
}

static bool ignored(const struct admission *a)
{
    static const char *const subresources[] = {"exec", "attach",      "binding", "eviction",
                                               "log",  "portforward", "proxy",   "status"};
    for (size_t i = 0; i < sizeof subresources / sizeof *subresources; i++) {
        if (str_is(a->subresource, subresources[i])) {
            return true;
        }
    }
    return false;
}

static void note(struct admission *a, const char *key, struct str value)
{
    request_audit(a->request, arena_printf(a->arena, LABEL_PREFIX "%s", key), value);
}

static struct str violations(struct admission *a, struct pod_security_policy policy,
                             const struct val *pod)
{
    struct buf details BUF_CLEANUP = BUF_INIT;
    if (pod_security_meets(a->arena, policy, val_get(pod, "metadata"), val_get(pod, "spec"), NULL,
                           &details)) {
        return STR_NONE;
    }
    struct str text = pod_security_policy_text(a->arena, policy);
    return str_of(arena_printf(a->arena, "PodSecurity \"%.*s\": %.*s", STR_ARG(text),
                               STR_ARG(buf_view(&details))));
}

static int evaluate(struct admission *a, const struct pod_security_policies *p,
                    const struct val *pod, bool enforce, struct failure *failure)
{
    struct str found = violations(a, p->audit, pod);
    if (enforce) {
        note(a, "enforce-policy", pod_security_policy_text(a->arena, p->enforce));
    }
    if (found.n > 0) {
        note(a, "audit-violations",
             str_of(arena_printf(a->arena, "would violate %.*s", STR_ARG(found))));
    }
    found = enforce ? violations(a, p->enforce, pod) : STR_NONE;
    if (found.n > 0) {
        return failure_forbidden(failure, a->arena, a->resource, a->name, "violates %.*s",
                                 STR_ARG(found));
    }
    found = violations(a, p->warn, pod);
    if (found.n > 0) {
        request_warn(a->request, "would violate %.*s", STR_ARG(found));
    }
    return 0;
}

static bool exempt(struct admission *a, const struct admission_settings *s, const struct val *pod)
{
    const char *why = NULL;
    if (admission_settings_has(&s->exempt_namespaces, a->ns)) {
        why = "namespace";
    } else if (admission_settings_has(&s->exempt_users, a->request->identity->name)) {
        why = "user";
    } else if (admission_settings_has(&s->exempt_runtimes,
                                      val_text(val_path(pod, "spec.runtimeClassName")))) {
        why = "runtimeClass";
    }
    if (why != NULL) {
        note(a, "exempt", str_of(why));
    }
    return why != NULL;
}

static int check_pod(struct admission *a, const struct val *pod, bool is_pod,
                     struct failure *failure)
{
    struct server *server = a->request->server;
    const struct admission_settings *settings = server->admission;
    struct pod_security_policies policies;
    if (is_pod && ignored(a)) {
        return 0;
    }
    struct object *ns = cache_get(server->cache, server->known.namespaces, STR_NONE, a->ns);
    read_policies(settings, &(struct labels){.object = ns}, &policies, NULL);
    object_unref(ns);
    if (policies.warn.level == POD_SECURITY_PRIVILEGED &&
        policies.audit.level == POD_SECURITY_PRIVILEGED &&
        (!is_pod || policies.enforce.level == POD_SECURITY_PRIVILEGED)) {
        return 0;
    }
    if (exempt(a, settings, pod) || (is_pod && a->old != NULL && !matters(pod, a->old))) {
        return 0;
    }
    return evaluate(a, &policies, pod, is_pod, failure);
}

/* ---- namespaces ---- */

struct tally { /* of pods that violate the same things */
    struct str name;
    size_t count;
};

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void tell_tallies(struct admission *a, struct map *tallies)
{
    size_t count = 0;
    struct str *lines = arena_array(a->arena, struct str, tallies->count + 1);
    MAP_EACH (it, tallies) {
        const struct tally *t = it->value;
        const char *others = t->count == 1 ? ""
                             : t->count == 2
                                 ? " (and 1 other pod)"
                                 : arena_printf(a->arena, " (and %zu other pods)", t->count - 1);
        lines[count++] = str_of(
            arena_printf(a->arena, "%.*s%s: %.*s", STR_ARG(t->name), others, STR_ARG(it->key)));
    }
    qsort(lines, count, sizeof *lines, by_text);
    for (size_t i = 0; i < count; i++) {
        request_warn(a->request, "%.*s", STR_ARG(lines[i]));
    }
}

static void tally_pod(struct admission *a, const struct object *pod,
                      struct pod_security_policy policy, struct arena *scratch, struct map *tallies)
{
    struct buf reasons BUF_CLEANUP = BUF_INIT;
    const struct val *value = object_decode(pod, scratch);
    struct str runtime = val_text(val_path(value, "spec.runtimeClassName"));
    if (admission_settings_has(&a->request->server->admission->exempt_runtimes, runtime) ||
        pod_security_meets(scratch, policy, val_get(value, "metadata"), val_get(value, "spec"),
                           &reasons, NULL)) {
        return;
    }
    struct tally *t = map_get(tallies, buf_view(&reasons));
    if (t == NULL) {
        t = arena_new(a->arena, struct tally);
        t->name = str_copy_in(a->arena, pod->name); /* pods come by name: the first is the least */
        map_set(tallies, buf_view(&reasons), t);
    }
    t->count++;
}

static void warn_of_pods(struct admission *a, struct pod_security_policy policy)
{
    struct server *server = a->request->server;
    struct arena scratch ARENA_CLEANUP = ARENA_INIT;
    struct map tallies = MAP_INIT;
    struct snapshot *snapshot = snapshot_take(server->cache, server->known.pods);
    struct snapshot_iter iter;
    const struct object *pod;
    size_t seen = 0, all = 0;
    snapshot_iter_init(&iter, snapshot, a->name, NULL, NULL, STR_NONE, STR_NONE);
    while ((pod = snapshot_next(&iter)) != NULL) {
        all++;
        if (seen < PODS_MAX) {
            arena_reset(&scratch);
            tally_pod(a, pod, policy, &scratch, &tallies);
            seen++;
        }
    }
    snapshot_release(snapshot);
    if (seen < all) {
        request_warn(a->request,
                     "new PodSecurity enforce level only checked against the first %zu of %zu "
                     "existing pods",
                     seen, all);
    }
    if (tallies.count > 0) {
        struct str text = pod_security_policy_text(a->arena, policy);
        request_warn(a->request,
                     "existing pods in namespace \"%.*s\" violate the new PodSecurity enforce "
                     "level \"%.*s\"",
                     STR_ARG(a->name), STR_ARG(text));
    }
    tell_tallies(a, &tallies);
    map_done(&tallies);
}

static bool same_errors(const struct field_errors *a, const struct field_errors *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        same = str_eq(a->items[i].field, b->items[i].field) &&
               str_eq(a->items[i].detail, b->items[i].detail);
    }
    return same;
}

static int check_namespace(struct admission *a, struct failure *failure)
{
    const struct admission_settings *settings = a->request->server->admission;
    struct field_errors errors = {.arena = a->arena}, before = {.arena = a->arena};
    struct pod_security_policies now, old;
    read_policies(settings, &(struct labels){.value = a->object}, &now, &errors);
    if (a->old != NULL) {
        read_policies(settings, &(struct labels){.value = a->old}, &old, &before);
    }
    if (errors.count > 0 && (a->old == NULL || !same_errors(&errors, &before))) {
        return failure_invalid(failure, a->arena, STR(""), STR("Namespace"), a->name, &errors);
    }
    if (a->old == NULL || now.enforce.level == POD_SECURITY_PRIVILEGED ||
        (now.enforce.minor == old.enforce.minor && now.enforce.level <= old.enforce.level) ||
        admission_settings_has(&settings->exempt_namespaces, a->name)) {
        return 0;
    }
    warn_of_pods(a, now.enforce);
    return 0;
}

static int validate(struct admission *a, struct failure *failure)
{
    bool is_pod = false;
    if (a->operation == VERB_DELETE) {
        return 0;
    }
    if (admission_is(a, a->request->server->known.namespaces)) {
        return check_namespace(a, failure);
    }
    const struct val *pod = pod_in(a, &is_pod);
    return pod != NULL && a->ns.n > 0 ? check_pod(a, pod, is_pod, failure) : 0;
}

const struct admission_step admission_pod_security = {"PodSecurity", NULL, NULL, validate};

/* test_rbac.c: RBAC decisions against a naive reference written from the documentation of the API:
 * random roles and bindings, every question answered twice (reliability B5). */
#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#include "core.h"
#include "server/authz/authz.h"

enum { ROLES = 24, BINDINGS = 40, QUESTIONS = 100000, WORDS = 4 };

static const char *const verbs[] = {"get", "list", "create", "delete", "*"};
static const char *const groups[] = {"", "apps", "batch", "*"};
static const char *const resources[] = {"pods", "pods/log", "deployments", "deployments/scale",
                                        "*",    "*/scale",  "secrets",     "pods/exec"};
static const char *const names[] = {"a", "b", "c"};
static const char *const namespaces[] = {"n1", "n2"};
static const char *const users[] = {"u1", "u2", "system:serviceaccount:n1:robot"};
static const char *const teams[] = {"g1", "g2", "system:authenticated"};

#define PICK(random, list) list[random_below(random, sizeof(list) / sizeof *(list))]
#define COUNT(list)        (sizeof(list) / sizeof *(list))

struct role {
    const char *ns; /* NULL: cluster role */
    const char *verbs[WORDS], *groups[WORDS], *resources[WORDS], *names[WORDS];
    int verb_count, group_count, resource_count, name_count;
};
struct binding {
    const char *ns; /* NULL: cluster */
    int role;
    int kind; /* 0 user, 1 group, 2 account */
    const char *subject;
};
static struct role all_roles[ROLES];
static struct binding all_bindings[BINDINGS];

static void post(struct core *core, struct identity *admin, const char *path, struct buf *body)
{
    struct http_request http = {
        .method = STR("POST"), .path = str_of(path), .body = buf_view(body), .version = 2};
    struct core_answer answer;
    core_call(core, admin, &http, &answer);
    if (answer.status != 201) {
        fail_msg("%s: %d %s", path, answer.status, answer.body.p);
    }
    core_answer_done(core, &answer);
}

static void words(struct buf *out, const char *key, const char *const *items, int count)
{
    buf_printf(out, "\"%s\":[", key);
    for (int i = 0; i < count; i++) {
        buf_printf(out, "%s\"%s\"", i > 0 ? "," : "", items[i]);
    }
    buf_addz(out, "]");
}

static void make_role(struct core *core, struct identity *admin, struct random *random, int i)
{
    struct role *r = &all_roles[i];
    struct buf body BUF_CLEANUP = BUF_INIT;
    *r = (struct role){.ns = random_below(random, 2) != 0 ? PICK(random, namespaces) : NULL};
    r->verb_count = 1 + (int)random_below(random, 2);
    r->group_count = 1 + (int)random_below(random, 2);
    r->resource_count = 1 + (int)random_below(random, 2);
    r->name_count = random_below(random, 3) == 0 ? 1 : 0;
    for (int k = 0; k < WORDS; k++) {
        r->verbs[k] = PICK(random, verbs);
        r->groups[k] = PICK(random, groups);
        r->resources[k] = PICK(random, resources);
        r->names[k] = PICK(random, names);
    }
    buf_printf(&body, "{\"metadata\":{\"name\":\"r%d\"},\"rules\":[{", i);
    words(&body, "verbs", r->verbs, r->verb_count);
    buf_char(&body, ',');
    words(&body, "apiGroups", r->groups, r->group_count);
    buf_char(&body, ',');
    words(&body, "resources", r->resources, r->resource_count);
    if (r->name_count > 0) {
        buf_char(&body, ',');
        words(&body, "resourceNames", r->names, r->name_count);
    }
    buf_addz(&body, "}]}");
    char *path MEM_CLEANUP =
        r->ns != NULL ? mem_printf("/apis/rbac.authorization.k8s.io/v1/namespaces/%s/roles", r->ns)
                      : mem_printf("/apis/rbac.authorization.k8s.io/v1/clusterroles");
    post(core, admin, path, &body);
}

static void make_binding(struct core *core, struct identity *admin, struct random *random, int i)
{
    struct binding *b = &all_bindings[i];
    struct buf body BUF_CLEANUP = BUF_INIT;
    b->role = (int)random_below(random, ROLES);
    const struct role *r = &all_roles[b->role];
    bool cluster = r->ns == NULL && random_below(random, 3) == 0;
    b->ns = cluster ? NULL : r->ns != NULL ? r->ns : PICK(random, namespaces);
    b->kind = (int)random_below(random, 3);
    b->subject = b->kind == 0 ? PICK(random, users) : b->kind == 1 ? PICK(random, teams) : "robot";
    buf_printf(&body,
               "{\"metadata\":{\"name\":\"b%d\"},\"roleRef\":{\"apiGroup\":"
               "\"rbac.authorization.k8s.io\",\"kind\":\"%s\",\"name\":\"r%d\"},\"subjects\":[{"
               "\"kind\":\"%s\",\"name\":\"%s\"%s}]}",
               i, r->ns != NULL ? "Role" : "ClusterRole", b->role,
               b->kind == 0   ? "User"
               : b->kind == 1 ? "Group"
                              : "ServiceAccount",
               b->subject,
               b->kind == 2 ? ",\"namespace\":\"n1\""
                            : ",\"apiGroup\":\"rbac.authorization.k8s.io\"");
    char *path MEM_CLEANUP =
        b->ns != NULL
            ? mem_printf("/apis/rbac.authorization.k8s.io/v1/namespaces/%s/rolebindings", b->ns)
            : mem_printf("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings");
    post(core, admin, path, &body);
}

/* ---- the reference ---- */

struct question {
    const char *user, *team, *verb, *group, *resource, *sub, *ns, *name;
};

static bool one_of(const char *const *items, int count, const char *wanted)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(items[i], "*") == 0 || strcmp(items[i], wanted) == 0) {
            return true;
        }
    }
    return false;
}

static bool resource_in(const struct role *r, const struct question *q)
{
    char full[64], any[64];
    snprintf(full, sizeof full, "%s%s%s", q->resource, q->sub[0] != '\0' ? "/" : "", q->sub);
    snprintf(any, sizeof any, "*/%s", q->sub);
    for (int i = 0; i < r->resource_count; i++) {
        if (strcmp(r->resources[i], "*") == 0 || strcmp(r->resources[i], full) == 0 ||
            (q->sub[0] != '\0' && strcmp(r->resources[i], any) == 0)) {
            return true;
        }
    }
    return false;
}

static bool role_grants(const struct role *r, const struct question *q)
{
    bool named = r->name_count == 0;
    for (int i = 0; i < r->name_count; i++) {
        named = named || strcmp(r->names[i], q->name) == 0;
    }
    return named && one_of(r->verbs, r->verb_count, q->verb) &&
           one_of(r->groups, r->group_count, q->group) && resource_in(r, q);
}

static bool is_subject(const struct binding *b, const struct question *q)
{
    switch (b->kind) {
    case 0:
        return strcmp(b->subject, q->user) == 0;
    case 1:
        return strcmp(b->subject, q->team) == 0 || strcmp(b->subject, "system:authenticated") == 0;
    default:
        return strcmp(q->user, "system:serviceaccount:n1:robot") == 0;
    }
}

static bool reference(const struct question *q)
{
    for (int i = 0; i < BINDINGS; i++) {
        const struct binding *b = &all_bindings[i];
        bool in_scope = b->ns == NULL || strcmp(b->ns, q->ns) == 0;
        if (in_scope && is_subject(b, q) && role_grants(&all_roles[b->role], q)) {
            return true;
        }
    }
    return false;
}

static bool ours(struct core *core, const struct question *q)
{
    struct str team = str_of(q->team);
    struct identity *identity = identity_new(str_of(q->user), STR_NONE, &team, 1);
    struct attributes a = {.identity = identity,
                           .verb = str_of(q->verb),
                           .group = str_of(q->group),
                           .resource = str_of(q->resource),
                           .subresource = str_of(q->sub),
                           .ns = str_of(q->ns),
                           .name = str_of(q->name)};
    bool allowed = authz_allows(core->server, &a, NULL, NULL);
    identity_unref(identity);
    return allowed;
}

static void test_matrix(void **state)
{
    static const char *const asked_verbs[] = {"get", "list", "create", "delete", "patch"};
    static const char *const asked_groups[] = {"", "apps", "batch", "policy"};
    static const char *const asked_resources[] = {"pods", "deployments", "secrets", "nodes"};
    static const char *const asked_subs[] = {"", "", "log", "scale", "exec"};
    static const char *const asked_namespaces[] = {"n1", "n2", "n3", ""};
    static const char *const asked_names[] = {"", "a", "b", "d"};
    static const char *const asked_teams[] = {"g1", "g2", "g3"};
    static const char *const asked_users[] = {"u1", "u2", "u3", "system:serviceaccount:n1:robot"};
    struct core core;
    struct random random;
    int allowed = 0;
    core_start(&core, 7);
    random_seeded_init(&random, 42);
    struct str masters = STR("system:masters");
    struct identity *admin = identity_new(STR("admin"), STR_NONE, &masters, 1);
    for (size_t i = 0; i < COUNT(namespaces); i++) {
        struct buf body BUF_CLEANUP = BUF_INIT;
        buf_printf(&body, "{\"metadata\":{\"name\":\"%s\"}}", namespaces[i]);
        post(&core, admin, "/api/v1/namespaces", &body);
    }
    for (int i = 0; i < ROLES; i++) {
        make_role(&core, admin, &random, i);
    }
    for (int i = 0; i < BINDINGS; i++) {
        make_binding(&core, admin, &random, i);
    }
    loop_run_for(core.loop, NS_PER_S);
    for (int i = 0; i < QUESTIONS; i++) {
        struct question q = {PICK(&random, asked_users),      PICK(&random, asked_teams),
                             PICK(&random, asked_verbs),      PICK(&random, asked_groups),
                             PICK(&random, asked_resources),  PICK(&random, asked_subs),
                             PICK(&random, asked_namespaces), PICK(&random, asked_names)};
        bool expected = reference(&q);
        allowed += expected;
        if (ours(&core, &q) != expected) {
            fail_msg("%s %s may %s%s %s %s/%s %s in '%s' name '%s'", q.user, q.team,
                     expected ? "" : "not ", q.verb, q.group, q.resource, q.sub, "", q.ns, q.name);
        }
    }
    assert_in_range(allowed, QUESTIONS / 50, QUESTIONS - QUESTIONS / 50);
    identity_unref(admin);
    core_stop(&core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_matrix)};
    return cmocka_run_group_tests_name("server-rbac", tests, NULL, NULL);
}

/* group.c: Workload and PodGroup (scheduling.k8s.io/v1beta1): pods that are scheduled as a group.
 *
 * Members behind gates that are off with the group itself on are dropped, as upstream does: groups
 * of groups, topology, the preemption policy.
 */
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/semantic.h"
#include "api/validation.h"

enum { TEMPLATES_MAX = 8, CLAIMS_MAX = 4, PRIORITY_MAX = 1000000000 };

static void drop(struct val *object, const char *const *members)
{
    for (size_t i = 0; object != NULL && members[i] != NULL; i++) {
        val_unset(object, str_of(members[i]));
    }
}

/* ---- what groups and templates share ---- */

/* Exactly one of two members. */
static void union_check(struct field_errors *errors, const struct path *path,
                        const struct val *object, const char *a, const char *b)
{
    bool has_a = !val_absent(val_get_str(object, str_of(a)));
    bool has_b = !val_absent(val_get_str(object, str_of(b)));
    if (!has_a && !has_b) {
        field_invalid(errors, path, STR(""), "must specify one of: `%s`, `%s`", a, b);
    } else if (has_a && has_b) {
        field_invalid(errors, path, str_of(arena_printf(errors->arena, "{`%s`, `%s`}", a, b)),
                      "must specify exactly one of: `%s`, `%s`", a, b);
    }
}

static void policy_check(struct field_errors *errors, const struct path *path,
                         const struct val *policy)
{
    const struct val *gang = val_get(policy, "gang");
    const struct path *at = AT(AT(path, "gang"), "minCount");
    int64_t count = val_int(val_get(gang, "minCount"), 0);
    union_check(errors, path, policy, "basic", "gang");
    if (!val_absent(gang) && count == 0) {
        field_required(errors, at, "");
    } else if (!val_absent(gang) && count < 1) {
        field_invalid_int(errors, at, count, "must be greater than or equal to 1");
    }
}

static void name_check_of(struct field_errors *errors, const struct path *path,
                          const struct val *list, const struct val *it)
{
    struct str name = val_text(val_get(it, "name"));
    const struct val *first = val_find(list, "name", name);
    if (first != NULL && first != it) {
        field_duplicate(errors, path, name);
    }
    if (name.n == 0) {
        field_required(errors, AT(path, "name"), "");
    } else {
        check_name(errors, AT(path, "name"), NAME_LABEL, name);
    }
}

static void claims_check(struct field_errors *errors, const struct path *path,
                         const struct val *claims)
{
    static const char *const members[] = {"resourceClaimName", "resourceClaimTemplateName"};
    uint32_t i = 0;
    if (!check_length(errors, path, claims, CLAIMS_MAX)) {
        return;
    }
    VAL_EACH (it, claims) {
        const struct path *at = AT_INDEX(path, i++);
        name_check_of(errors, at, claims, it);
        union_check(errors, at, it, members[0], members[1]);
        for (size_t m = 0; m < sizeof members / sizeof *members; m++) {
            const struct val *name = val_get_str(it, str_of(members[m]));
            if (!val_absent(name)) {
                check_name(errors, AT(at, members[m]), NAME_SUBDOMAIN, val_text(name));
            }
        }
    }
}

static void group_check(struct field_errors *errors, const struct path *path,
                        const struct val *group)
{
    const struct val *mode = val_get(group, "disruptionMode");
    const struct val *priority = val_get(group, "priority");
    struct str class = val_text(val_get(group, "priorityClassName"));
    policy_check(errors, AT(path, "schedulingPolicy"), val_get(group, "schedulingPolicy"));
    claims_check(errors, AT(path, "resourceClaims"), val_get(group, "resourceClaims"));
    if (!val_absent(mode)) {
        union_check(errors, AT(path, "disruptionMode"), mode, "single", "all");
    }
    if (class.n > 0) {
        check_name(errors, AT(path, "priorityClassName"), NAME_SUBDOMAIN, class);
    }
    if (val_int(priority, 0) > PRIORITY_MAX) {
        field_invalid_int(errors, AT(path, "priority"), val_int(priority, 0),
                          "must be less than or equal to %d", PRIORITY_MAX);
    }
}

/* A gang stays one, and its size may change. */
static void policy_update_check(struct field_errors *errors, const struct path *path,
                                const struct val *next, const struct val *old)
{
    bool gang = !val_absent(val_get(next, "gang")), was = !val_absent(val_get(old, "gang"));
    check_immutable(errors, AT(path, "basic"), val_get(next, "basic"), val_get(old, "basic"));
    if (gang != was) {
        field_invalid(errors, AT(path, "gang"), STR(""), "field cannot be %s once %s",
                      gang ? "set" : "cleared", gang ? "created" : "set");
    }
}

static void group_update_check(struct field_errors *errors, const struct path *path,
                               const struct val *next, const struct val *old)
{
    static const char *const fixed[] = {"disruptionMode", "priorityClassName", "priority",
                                        "workloadRef", "resourceClaims"};
    policy_update_check(errors, AT(path, "schedulingPolicy"), val_get(next, "schedulingPolicy"),
                        val_get(old, "schedulingPolicy"));
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        struct str name = str_of(fixed[i]);
        check_immutable(errors, AT(path, fixed[i]), val_get_str(next, name),
                        val_get_str(old, name));
    }
}

static const char *const gated[] = {"schedulingConstraints", "preemptionPolicy",
                                    "parentCompositePodGroupName", NULL};

/* ---- PodGroup ---- */

static void group_prepare_create(struct api_context *ctx, struct val *group)
{
    drop(val_get(group, "spec"), gated);
    (void)ctx;
}

static void group_prepare_update(struct api_context *ctx, struct val *next, const struct val *old)
{
    if (ctx->subresource[0] == '\0') {
        drop(val_get(next, "spec"), gated);
    }
    (void)old;
}

static void workload_ref_check(struct field_errors *errors, const struct path *path,
                               const struct val *ref)
{
    struct str workload = val_text(val_get(ref, "workloadName"));
    struct str template = val_text(val_get(ref, "templateName"));
    if (workload.n == 0) {
        field_required(errors, AT(path, "workloadName"), "");
    } else {
        check_name(errors, AT(path, "workloadName"), NAME_SUBDOMAIN, workload);
    }
    if (template.n == 0) {
        field_required(errors, AT(path, "templateName"), "");
    } else {
        check_name(errors, AT(path, "templateName"), NAME_LABEL, template);
    }
}

static void group_validate(struct api_context *ctx, const struct val *group,
                           struct field_errors *errors)
{
    const struct path *path = AT(NULL, "spec");
    const struct val *ref = val_path(group, "spec.workloadRef");
    if (!val_absent(ref)) {
        workload_ref_check(errors, AT(path, "workloadRef"), ref);
    }
    group_check(errors, path, val_get(group, "spec"));
    (void)ctx;
}

static void group_status_check(struct field_errors *errors, const struct val *group)
{
    const struct path *path = AT(NULL, "status"), *list = AT(path, "resourceClaimStatuses");
    const struct val *claims = val_path(group, "status.resourceClaimStatuses");
    uint32_t i = 0;
    check_conditions(errors, AT(path, "conditions"), val_path(group, "status.conditions"));
    if (!check_length(errors, list, claims, CLAIMS_MAX)) {
        return;
    }
    VAL_EACH (it, claims) {
        const struct path *at = AT_INDEX(list, i++);
        const struct val *claim = val_get(it, "resourceClaimName");
        struct str name = val_text(val_get(it, "name"));
        const struct val *first = val_find(claims, "name", name);
        if (val_find(val_path(group, "spec.resourceClaims"), "name", name) == NULL) {
            field_invalid(errors, AT(at, "name"), name,
                          "must match the name of an entry in `spec.resourceClaims`");
        }
        if (first != NULL && first != it) {
            field_duplicate(errors, at, name);
        }
        if (!val_absent(claim)) {
            check_name(errors, AT(at, "resourceClaimName"), NAME_SUBDOMAIN, val_text(claim));
        }
    }
}

static void group_validate_update(struct api_context *ctx, const struct val *next,
                                  const struct val *old, struct field_errors *errors)
{
    if (strcmp(ctx->subresource, "status") == 0) {
        group_status_check(errors, next);
    } else {
        group_update_check(errors, AT(NULL, "spec"), val_get(next, "spec"), val_get(old, "spec"));
    }
}

static void group_columns(struct api_context *ctx, const struct val *group, struct val *cells)
{
    const struct val *spec = val_get(group, "spec");
    const struct val *conditions = val_path(group, "status.conditions");
    const struct val *ref = val_get(spec, "workloadRef");
    const struct val *scheduled = val_find(conditions, "type", STR("PodGroupInitiallyScheduled"));
    const struct val *target = val_find(conditions, "type", STR("DisruptionTarget"));
    struct str status = STR("Pending");
    if (scheduled != NULL) {
        status = str_is(val_text(val_get(scheduled, "status")), "True") ? STR("Scheduled")
                                                                        : STR("Unschedulable");
    }
    if (target != NULL) {
        status = val_text(val_get(target, "reason"));
    }
    cell_text(ctx, cells, val_name(group));
    cell_text(ctx, cells,
              val_absent(val_path(spec, "schedulingPolicy.gang")) ? STR("Basic") : STR("Gang"));
    cell_text(ctx, cells, val_absent(ref) ? STR("<none>") : val_text(val_get(ref, "workloadName")));
    cell_text(ctx, cells, status);
    cell_age(ctx, cells, group);
}

/* ---- Workload ---- */

static void workload_prepare_create(struct api_context *ctx, struct val *workload)
{
    static const char *const gated_lists[] = {"compositePodGroupTemplates", NULL};
    drop(val_get(workload, "spec"), gated_lists);
    VAL_EACH (it, val_path(workload, "spec.podGroupTemplates")) {
        drop(it, gated);
    }
    (void)ctx;
}

static void workload_prepare_update(struct api_context *ctx, struct val *next,
                                    const struct val *old)
{
    workload_prepare_create(ctx, next);
    (void)old;
}

static void controller_check(struct field_errors *errors, const struct path *path,
                             const struct val *ref)
{
    static const char *const members[] = {"kind", "name"};
    struct str group = val_text(val_get(ref, "apiGroup"));
    if (group.n > 0) {
        check_name(errors, AT(path, "apiGroup"), NAME_SUBDOMAIN, group);
    }
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        struct str text = val_text(val_get_str(ref, str_of(members[i])));
        if (text.n == 0) {
            field_required(errors, AT(path, members[i]), "");
        } else {
            check_name(errors, AT(path, members[i]), NAME_PATH, text);
        }
    }
}

static void priorities_check(struct field_errors *errors, const struct path *path,
                             const struct val *templates)
{
    const struct val *first = templates != NULL ? templates->child : NULL;
    VAL_EACH (it, templates) {
        if (!semantic_equal(val_get(it, "priorityClassName"),
                            val_get(first, "priorityClassName")) ||
            !semantic_equal(val_get(it, "priority"), val_get(first, "priority"))) {
            field_invalid_val(errors, path, NULL, "detected multiple priority configurations");
            return;
        }
    }
}

static void workload_validate(struct api_context *ctx, const struct val *workload,
                              struct field_errors *errors)
{
    const struct path *path = AT(NULL, "spec"), *list = AT(path, "podGroupTemplates");
    const struct val *spec = val_get(workload, "spec");
    const struct val *templates = val_get(spec, "podGroupTemplates");
    const struct val *ref = val_get(spec, "controllerRef");
    uint32_t i = 0;
    priorities_check(errors, path, templates);
    if (!val_absent(ref)) {
        controller_check(errors, AT(path, "controllerRef"), ref);
    }
    if (val_count(templates) == 0) {
        field_invalid(errors, path, STR(""),
                      "must specify one of: `podGroupTemplates`, "
                      "`compositePodGroupTemplates`");
    }
    if (!check_length(errors, list, templates, TEMPLATES_MAX)) {
        return;
    }
    VAL_EACH (it, templates) {
        const struct path *at = AT_INDEX(list, i++);
        name_check_of(errors, at, templates, it);
        group_check(errors, at, it);
    }
    (void)ctx;
}

/* Templates are neither added nor taken away. */
static void workload_validate_update(struct api_context *ctx, const struct val *next,
                                     const struct val *old, struct field_errors *errors)
{
    const struct path *path = AT(NULL, "spec"), *list = AT(path, "podGroupTemplates");
    const struct val *templates = val_path(next, "spec.podGroupTemplates");
    const struct val *were = val_path(old, "spec.podGroupTemplates");
    uint32_t i = 0;
    if (val_absent(val_path(next, "spec.controllerRef")) !=
            val_absent(val_path(old, "spec.controllerRef")) ||
        !semantic_equal(val_path(next, "spec.controllerRef"),
                        val_path(old, "spec.controllerRef"))) {
        field_invalid_val(errors, AT(path, "controllerRef"), val_path(next, "spec.controllerRef"),
                          "field is immutable");
    }
    VAL_EACH (it, templates) {
        const struct val *was = val_find(were, "name", val_text(val_get(it, "name")));
        const struct path *at = AT_INDEX(list, i++);
        if (was == NULL) {
            field_forbidden(errors, at, "items may not be added");
        } else {
            group_update_check(errors, at, it, was);
        }
    }
    VAL_EACH (was, were) {
        if (val_find(templates, "name", val_text(val_get(was, "name"))) == NULL) {
            field_forbidden(errors, list, "items may not be removed");
            break;
        }
    }
    (void)ctx;
}

const struct api_ops ops_pod_group = {
    .prepare_create = group_prepare_create,
    .prepare_update = group_prepare_update,
    .validate = group_validate,
    .validate_update = group_validate_update,
    .columns = group_columns,
    .metadata_fixed_in_status = true,
    .returns_deleted = true,
};

const struct api_ops ops_workload = {
    .prepare_create = workload_prepare_create,
    .prepare_update = workload_prepare_update,
    .validate = workload_validate,
    .validate_update = workload_validate_update,
    .columns = cells_name_age,
};

/* pod_target.c: see pod_target.h. */
#include "cli/pod_target.h"

#include "cli/verb.h"

/* "key=value,..." of matchLabels, or of a Service's selector. */
static void write_selector(const struct val *owner, struct buf *out)
{
    const struct val *labels = val_path(owner, "spec.selector.matchLabels");
    VAL_EACH (label, labels != NULL ? labels : val_path(owner, "spec.selector")) {
        buf_printf(out, "%s%.*s=%.*s", out->n > 0 ? "," : "", STR_ARG(label->key),
                   STR_ARG(label->text));
    }
}

static const struct val *best(const struct val *pods)
{
    VAL_EACH (pod, pods) {
        bool going = !val_absent(val_path(pod, "metadata.deletionTimestamp"));
        if (!going && str_is(val_text(val_path(pod, "status.phase")), "Running")) {
            return pod;
        }
    }
    return val_at(pods, 0);
}

static int find_selected(struct connection *c, const struct target *target, struct arena *arena,
                         struct pod_target *pod, struct err *err)
{
    struct buf path BUF_CLEANUP = BUF_INIT, selector BUF_CLEANUP = BUF_INIT;
    struct val *owner = NULL, *pods = NULL;
    path_write(&path, target->resource, pod->ns, target->name, NULL);
    struct connection_request get = {.method = "GET", .path = buf_view(&path)};
    int rc = connection_send_json(c, &get, arena, &owner, err);
    if (rc != 0) {
        return rc;
    }
    write_selector(owner, &selector);
    if (selector.n == 0) {
        return err_set(err, ERR_INVALID, "%s/%.*s selects no pods", target->resource->singular,
                       STR_ARG(target->name));
    }
    buf_clear(&path);
    path_write(&path, arguments_resource(STR("pods")), pod->ns, STR_NONE, NULL);
    path_query(&path, "labelSelector", buf_view(&selector));
    struct connection_request list = {.method = "GET", .path = buf_view(&path)};
    rc = connection_send_json(c, &list, arena, &pods, err);
    if (rc == 0 && val_count(val_get(pods, "items")) == 0) {
        rc = err_set(err, ERR_NOT_FOUND, "%s/%.*s has no pods", target->resource->singular,
                     STR_ARG(target->name));
    }
    pod->name = rc == 0 ? val_name(best(val_get(pods, "items"))) : STR_NONE;
    return rc;
}

/* "web" alone means the pod web. */
static int one_target(struct arguments *a, struct target *ret_target, struct err *err)
{
    struct targets targets = {0};
    if (a->words.count == 1 && strchr(a->words.items[0], '/') == NULL) {
        *ret_target = (struct target){arguments_resource(STR("pods")), str_of(a->words.items[0])};
        return 0;
    }
    int rc = arguments_targets(a, &targets, err);
    if (rc == 0 && (targets.count != 1 || targets.items[0].name.n == 0)) {
        rc = err_set(err, ERR_INVALID, "say one pod: POD or TYPE/NAME");
    }
    if (rc == 0) {
        *ret_target = targets.items[0];
    }
    vec_done(&targets);
    return rc;
}

int pod_target_find(struct arguments *a, struct connection *c, struct arena *arena,
                    struct pod_target *ret_pod, struct err *err)
{
    struct target target;
    int rc = one_target(a, &target, err);
    if (rc != 0) {
        return rc;
    }
    struct pod_target pod = {.ns = cli_namespace(a, c, target.resource), .name = target.name};
    if (!str_is(str_of(target.resource->plural), "pods")) {
        rc = find_selected(c, &target, arena, &pod, err);
    }
    if (rc == 0) {
        *ret_pod = pod;
    }
    return rc;
}

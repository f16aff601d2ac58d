/* bootstrap.c: ensuring a list of objects, all at once: the sequencer commits them in one batch. */
#include "server/bootstrap/bootstrap.h"

#include <stdlib.h>

#include "base/vec.h"
#include "server/authz/authz.h"
#include "server/server_int.h"
#include "server/write/pipeline.h"

struct run {
    struct server *server;
    struct arena arena;
    struct bootstrap_list list;
    void (*done)(void *ctx, const struct err *err);
    void *ctx;
    size_t left;
    struct err err;
};
struct ensure {
    struct change change;
    struct run *run;
    const struct bootstrap_object *object;
};

struct bootstrap_object *bootstrap_add(struct bootstrap_list *list,
                                       const struct api_resource *resource, struct str ns,
                                       struct str name)
{
    struct bootstrap_object *object = vec_push(list);
    struct arena *arena = list->arena;
    object->resource = resource;
    object->ns = ns;
    object->name = name;
    object->value = val_new(arena, VAL_OBJECT);
    val_set_text(arena, object->value, STR("kind"), str_of(resource->kind));
    val_set_text(arena, object->value, STR("apiVersion"),
                 api_version_text(arena, resource->group, resource->version));
    struct val *meta = val_make_object(arena, object->value, STR("metadata"));
    val_set_text(arena, meta, STR("name"), name);
    if (ns.n > 0) {
        val_set_text(arena, meta, STR("namespace"), ns);
    }
    return object;
}

void bootstrap_add_json(struct bootstrap_list *list, struct bootstrap_object *object,
                        const char *json)
{
    struct val *members = NULL;
    char *text = arena_dup(list->arena, json, strlen(json));
    if (val_parse_json(list->arena, str_of(text), &members, NULL) < 0) {
        return;
    }
    struct val *next;
    for (struct val *it = members->child; it != NULL; it = next) {
        next = it->next;
        it->next = NULL;
        val_set(object->value, it->key, it);
    }
}

static int typed(struct change *change, const struct val *from, struct val **ret_value,
                 struct failure *failure)
{
    struct err err = ERR_INIT;
    *ret_value = val_copy(&change->arena, from);
    if (codec_apply_schema(&change->arena, change->resource->type, *ret_value, CODEC_IGNORE, NULL,
                           &err) < 0) {
        return failure_from_err(failure, &change->arena, &err);
    }
    return 0;
}

static int plan_new(struct change *change, struct val *value, struct plan *ret_plan)
{
    struct arena *arena = &change->arena;
    char time[TIME_TEXT_SIZE], uid[UUID_TEXT_SIZE];
    int64_t now = clock_wall(loop_clock(change->loop));
    size_t n = time_format(now, time);
    random_uuid(loop_random(change->loop), uid);
    struct val *meta = val_make_object(arena, value, STR("metadata"));
    val_set_text(arena, meta, STR("uid"), str_copy_in(arena, str_of(uid)));
    val_set_text(arena, meta, STR("creationTimestamp"), str_copy_in(arena, str_at(time, n)));
    struct api_context ctx = {.arena = arena, .now_wall_ns = now, .subresource = ""};
    api_default(arena, change->resource, value);
    struct val *status = val_get(value, "status"); /* a state that is known from the start */
    struct val *kept = status != NULL ? val_copy(arena, status) : NULL;
    api_prepare(&ctx, change->resource, value, NULL);
    if (kept != NULL) {
        val_set(value, STR("status"), kept)->field = status->field;
    }
    *ret_plan = (struct plan){PLAN_CREATE, value};
    return 0;
}

/* Puts the named members back; true when something changed. */
static bool put_back(struct arena *arena, struct val *old, const struct val *wanted,
                     const char *words)
{
    bool changed = false;
    struct str rest = str_of(words);
    while (rest.p != NULL) {
        struct str key = str_cut(rest, ' ', &rest);
        const struct val *to = val_get_str(wanted, key);
        const struct val *has = val_get_str(old, key);
        if (to != NULL && (has == NULL || !val_equal(has, to))) {
            val_set(old, key, val_copy(arena, to));
            changed = true;
        }
    }
    return changed;
}

static bool autoupdate_off(const struct val *object)
{
    static const char *const keys[] = {"rbac.authorization.kubernetes.io/autoupdate",
                                       "apf.kubernetes.io/autoupdate-spec"};
    const struct val *annotations = val_path(object, "metadata.annotations");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (str_is(val_text(val_get_str(annotations, str_of(keys[i]))), "false")) {
            return true;
        }
    }
    return false;
}

static int plan(struct change *change, struct object *current, struct plan *ret_plan,
                struct failure *failure)
{
    struct ensure *ensure = change->ctx;
    struct val *value = NULL;
    int code = typed(change, ensure->object->value, &value, failure);
    if (code < 0) {
        return code;
    }
    if (current == NULL) {
        return plan_new(change, value, ret_plan);
    }
    struct val *old = pipeline_decode(change, current);
    *ret_plan = (struct plan){PLAN_NOTHING, NULL};
    if (ensure->object->reconcile && !autoupdate_off(old)) {
        api_default(&change->arena, change->resource, value);
        const struct bootstrap_object *object = ensure->object;
        if (object->mend != NULL ? object->mend(&change->arena, old, value)
                                 : put_back(&change->arena, old, value, object->compare)) {
            *ret_plan = (struct plan){PLAN_UPDATE, old};
        }
    }
    return 0;
}

static void finish(struct run *run)
{
    authz_refresh(run->server->authz);
    run->done(run->ctx, &run->err);
    vec_done(&run->list);
    arena_done(&run->arena);
    free(run);
}

static void done(struct change *change)
{
    struct ensure *ensure = change->ctx;
    struct run *run = ensure->run;
    if (change->failure.code != 0 && run->err.code == 0) {
        err_set(&run->err, change->failure.code, "make %s %.*s: %.*s", change->resource->plural,
                STR_ARG(change->name), STR_ARG(change->failure.message));
    }
    change_done(change);
    free(ensure);
    if (--run->left == 0) {
        finish(run);
    }
}

void bootstrap_run(struct server *server, void (*done_fn)(void *ctx, const struct err *err),
                   void *ctx)
{
    struct run *run = mem_new(struct run);
    run->server = server;
    run->done = done_fn;
    run->ctx = ctx;
    run->list.server = server;
    run->list.arena = &run->arena;
    bootstrap_add_cluster(&run->list);
    bootstrap_add_rbac(&run->list);
    bootstrap_add_groups(&run->list);
    bootstrap_add_flowcontrol(&run->list);
    run->left = run->list.count + 1; /* one for ourselves, so that the end comes after the loop */
    for (size_t i = 0; i < run->list.count; i++) {
        struct ensure *ensure = mem_new(struct ensure);
        ensure->run = run;
        ensure->object = &run->list.items[i];
        ensure->change = (struct change){.server = server,
                                         .loop = server->home,
                                         .resource = ensure->object->resource,
                                         .ns = ensure->object->ns,
                                         .name = ensure->object->name,
                                         .plan = plan,
                                         .done = done,
                                         .ctx = ensure};
        change_start(&ensure->change);
    }
    if (--run->left == 0) {
        finish(run);
    }
}

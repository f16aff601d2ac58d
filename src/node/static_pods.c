/* static_pods.c: see static_pods.h. The folder is looked at each SCAN; a file that did not change
 * costs one stat. What an earlier version of a file (or the file itself, gone now) started ends
 * first; the next version begins when that is over.
 */
#include "node/static_pods.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "api/codec.h"
#include "api/ops.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "pki/digest.h"

static const int64_t SCAN = 2 * NS_PER_S;
enum { MANIFEST_MAX = 1024 * 1024, UID_SIZE = 33 };
#define MIRROR "kubernetes.io/config.mirror"

struct static_pod {
    struct list link;
    char *file;
    struct timespec changed;
    off_t size;
    bool seen;             /* in this scan */
    struct pod_view *view; /* what the file asks for; NULL: it cannot be read */
    char *running;         /* uid of what was started; NULL: nothing */
    char *ns, *name;       /* of what was started */
    bool creating_mirror;
};

struct static_pods {
    struct agent *agent;
    char *folder;
    struct list pods;
    struct timer timer;
};

/* A request under way outlives the pod it is about. */
struct mirror_call {
    struct agent *agent;
    char *uid;
};

static const struct api_resource *pods_resource(void)
{
    return schema_resource(STR_NONE, STR("v1"), STR("pods"));
}

/* ---- manifests ---- */

static void mark(struct arena *a, struct val *pod, const struct agent *agent, const char *uid)
{
    char now[TIME_TEXT_SIZE];
    size_t n = time_format(clock_wall(loop_clock(agent->loop)), now);
    struct val *meta = val_make_object(a, pod, STR("metadata"));
    struct val *notes = val_make_object(a, meta, STR("annotations"));
    val_set_text(a, notes, STR("kubernetes.io/config.source"), STR("file"));
    val_set_text(a, notes, STR("kubernetes.io/config.hash"), str_of(arena_printf(a, "%s", uid)));
    val_set_text(a, notes, STR("kubernetes.io/config.seen"), str_copy_in(a, str_at(now, n)));
    val_set_text(a, meta, STR("uid"), str_of(arena_printf(a, "%s", uid)));
    val_set_text(a, meta, STR("name"),
                 str_of(arena_printf(a, "%.*s-%s", STR_ARG(val_name(pod)), agent->node_name)));
    if (val_namespace(pod).n == 0) {
        val_set_text(a, meta, STR("namespace"), STR("default"));
    }
    struct val *spec = val_make_object(a, pod, STR("spec"));
    val_set_text(a, spec, STR("nodeName"), str_of(agent->node_name));
    struct val *tolerations = val_get(spec, "tolerations");
    if (tolerations == NULL) {
        tolerations = val_make_array(a, spec, STR("tolerations"));
    }
    struct val *all = val_append(tolerations, val_new(a, VAL_OBJECT));
    val_set_text(a, all, STR("operator"), STR("Exists"));
    val_set_text(a, all, STR("effect"), STR("NoExecute"));
}

/* Static pods are there before, and without, the API: they may refer to nothing of it. */
static int check_alone(const struct val *pod, struct err *err)
{
    const struct val *spec = val_get(pod, "spec");
    VAL_EACH (volume, val_get(spec, "volumes")) {
        static const char *const kinds[] = {"secret", "configMap", "projected",
                                            "persistentVolumeClaim"};
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            if (!val_absent(val_get_str(volume, str_of(kinds[i])))) {
                return err_set(err, ERR_INVALID, "a static pod may not have a %s volume", kinds[i]);
            }
        }
    }
    if (val_text(val_get(spec, "serviceAccountName")).n > 0) {
        return err_set(err, ERR_INVALID, "a static pod may not have a service account");
    }
    return val_name(pod).n > 0 && val_count(val_get(spec, "containers")) > 0
               ? 0
               : err_set(err, ERR_INVALID, "a pod needs a name and containers");
}

static int parse(const struct agent *agent, const char *path, struct pod_view **ret_view,
                 struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf text BUF_CLEANUP = BUF_INIT, key BUF_CLEANUP = BUF_INIT;
    char hex[DIGEST_HEX_SIZE];
    struct val *pod = NULL;
    int rc = file_read(path, MANIFEST_MAX, &text, err);
    rc = rc != 0 ? rc
                 : codec_decode(&arena, pods_resource()->type, CODEC_YAML, buf_view(&text),
                                CODEC_STRICT, NULL, &pod, err);
    if (rc == 0 && !str_is(val_text(val_get(pod, "kind")), "Pod")) {
        rc = err_set(err, ERR_INVALID, "not a Pod of version v1");
    }
    rc = rc != 0 ? rc : check_alone(pod, err);
    if (rc != 0) {
        return rc;
    }
    buf_printf(&key, "%s\n%s\n", agent->node_name, path);
    buf_str(&key, buf_view(&text));
    digest_sha256_hex(buf_view(&key), hex);
    hex[UID_SIZE - 1] = '\0';
    mark(&arena, pod, agent, hex);
    api_default(&arena, pods_resource(), pod);
    *ret_view = pod_view_of(pod);
    return 0;
}

static void on_scan(struct timer *timer);

/* ---- mirrors ---- */

static struct static_pod *find_by_name(struct static_pods *pods, struct str ns, struct str name)
{
    LIST_EACH (it, &pods->pods) {
        struct static_pod *pod = container_of(it, struct static_pod, link);
        if (pod->view != NULL && str_eq(pod->view->ns, ns) && str_eq(pod->view->name, name)) {
            return pod;
        }
    }
    return NULL;
}

static struct mirror_call *call_new(struct agent *agent, const char *uid)
{
    struct mirror_call *call = mem_new(struct mirror_call);
    call->agent = agent;
    call->uid = mem_dupz(uid);
    agent_hold(agent);
    return call;
}

static void call_free(struct mirror_call *call)
{
    struct agent *agent = call->agent;
    free(call->uid);
    free(call);
    agent_release(agent);
}

static void on_mirror_deleted(void *ctx, const struct client_result *result)
{
    call_free(ctx);
}

static void delete_mirror(struct agent *agent, struct str ns, struct str name, struct str uid)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *body = val_new(&arena, VAL_OBJECT);
    val_set_text(&arena, body, STR("kind"), STR("DeleteOptions"));
    val_set_text(&arena, body, STR("apiVersion"), STR("v1"));
    val_set_int(&arena, body, STR("gracePeriodSeconds"), 0);
    val_set_text(&arena, val_make_object(&arena, body, STR("preconditions")), STR("uid"), uid);
    struct client_request request = {.verb = CLIENT_DELETE,
                                     .resource = pods_resource(),
                                     .ns = ns,
                                     .name = name,
                                     .subresource = "",
                                     .body = body};
    client_send(agent->client, &request, on_mirror_deleted, call_new(agent, ""));
}

static void note_created(struct static_pods *pods, const char *uid)
{
    LIST_EACH (it, &pods->pods) {
        struct static_pod *pod = container_of(it, struct static_pod, link);
        if (pod->running != NULL && strcmp(pod->running, uid) == 0) {
            pod->creating_mirror = false;
        }
    }
}

static void on_mirror_created(void *ctx, const struct client_result *result)
{
    struct mirror_call *call = ctx;
    struct static_pods *pods = call->agent->static_pods;
    if (pods != NULL) {
        note_created(pods, call->uid);
    }
    if (result->code != 0 && result->code != ERR_EXISTS && result->code != ERR_CANCELED) {
        LOG_WARN("node", "showing a static pod in the API failed, again", LOG_ERR(&result->error));
    }
    call_free(call);
}

static void create_mirror(struct agent *agent, struct static_pod *pod, const struct object *node)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct arena *a = &arena;
    struct val *body = val_copy(a, pod->view->pod);
    struct val *meta = val_get(body, "metadata");
    val_unset(meta, STR("uid"));
    val_set_text(a, val_get(meta, "annotations"), STR(MIRROR), pod->view->uid);
    struct val *owners = val_make_array(a, meta, STR("ownerReferences"));
    struct val *owner = val_append(owners, val_new(a, VAL_OBJECT));
    val_set_text(a, owner, STR("apiVersion"), STR("v1"));
    val_set_text(a, owner, STR("kind"), STR("Node"));
    val_set_text(a, owner, STR("name"), str_of(agent->node_name));
    val_set_text(a, owner, STR("uid"), node->uid);
    val_set_bool(a, owner, STR("controller"), true);
    struct client_request request = {.verb = CLIENT_CREATE,
                                     .resource = pods_resource(),
                                     .ns = pod->view->ns,
                                     .name = pod->view->name,
                                     .subresource = "",
                                     .body = body};
    pod->creating_mirror = true;
    client_send(agent->client, &request, on_mirror_created, call_new(agent, pod->running));
}

static struct str mirror_hash(const struct object *object, struct arena *arena)
{
    const struct val *notes = val_path(object_decode(object, arena), "metadata.annotations");
    return val_text(val_get_str(notes, STR(MIRROR)));
}

/* The mirror as it is, against the pod as it should be. */
static void judge_mirror(struct static_pods *pods, const struct object *mirror, struct str hash,
                         bool going)
{
    struct static_pod *pod = find_by_name(pods, mirror->ns, mirror->name);
    bool right = pod != NULL && pod->running != NULL && str_is(hash, pod->running) &&
                 str_eq(hash, pod->view->uid);
    struct pod_entry *entry = right ? agent_entry(pods->agent, hash) : NULL;
    if (!right || going) {
        delete_mirror(pods->agent, mirror->ns, mirror->name, mirror->uid);
    } else if (entry != NULL &&
               (entry->mirror_uid == NULL || !str_is(mirror->uid, entry->mirror_uid))) {
        free(entry->mirror_uid);
        entry->mirror_uid = str_dup(mirror->uid);
        buf_clear(&entry->sent); /* it knows nothing yet */
        entry_changed(entry->worker);
    }
}

bool static_pods_mirror(struct static_pods *pods, struct object *old, struct object *now)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct object *object = now != NULL ? now : old;
    bool likely = str_contains(str_at(object->json, object->n), STR(MIRROR));
    struct str hash = likely ? mirror_hash(object, &arena) : STR_NONE;
    if (hash.n == 0) {
        return false;
    }
    struct pod_entry *entry = agent_entry(pods->agent, hash);
    if (now == NULL) {
        if (entry != NULL && entry->is_static) {
            free(entry->mirror_uid);
            entry->mirror_uid = NULL;
        }
        timer_start(pods->agent->loop, &pods->timer, 0, on_scan); /* it is made again */
        return true;
    }
    const struct val *meta = val_get(object_decode(now, &arena), "metadata");
    judge_mirror(pods, now, hash, !val_absent(val_get(meta, "deletionTimestamp")));
    return true;
}

/* ---- the folder ---- */

static void forget_running(struct static_pods *pods, struct static_pod *pod)
{
    struct pod_entry *entry =
        pod->running != NULL ? agent_entry(pods->agent, str_of(pod->running)) : NULL;
    if (entry != NULL && !entry->worker->deleting) {
        pod_worker_update(entry->worker, NULL);
    }
    const struct object *mirror =
        pod->running != NULL ? informer_get(pods->agent->pods, str_of(pod->ns), str_of(pod->name))
                             : NULL;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    if (mirror != NULL && str_is(mirror_hash(mirror, &arena), pod->running)) {
        delete_mirror(pods->agent, mirror->ns, mirror->name, mirror->uid);
    }
    if (entry == NULL || agent_entry(pods->agent, str_of(pod->running)) == NULL) {
        free(pod->running);
        free(pod->ns);
        free(pod->name);
        pod->running = pod->ns = pod->name = NULL;
    }
}

static void keep_going(struct static_pods *pods, struct static_pod *pod)
{
    struct agent *agent = pods->agent;
    bool same = pod->view != NULL && pod->running != NULL && str_is(pod->view->uid, pod->running);
    if (!same && pod->running != NULL) {
        forget_running(pods, pod);
    }
    if (pod->view == NULL || (!same && pod->running != NULL)) {
        return; /* the earlier one has to be over first */
    }
    if (pod->running == NULL) {
        pod->running = str_dup(pod->view->uid);
        pod->ns = str_dup(pod->view->ns);
        pod->name = str_dup(pod->view->name);
        agent_add_static(agent, pod->view);
    }
    const struct object *node = informer_get(agent->own_node, STR_NONE, str_of(agent->node_name));
    if (!pod->creating_mirror && node != NULL && informer_synced(agent->pods) &&
        informer_get(agent->pods, pod->view->ns, pod->view->name) == NULL) {
        create_mirror(agent, pod, node);
    }
}

static void read_file(struct static_pods *pods, struct static_pod *pod, const char *path)
{
    struct err err = ERR_INIT;
    pod_view_unref(pod->view);
    pod->view = NULL;
    if (parse(pods->agent, path, &pod->view, &err) != 0) {
        LOG_WARN("node", "a manifest of a static pod is no good", LOG_Z("file", path),
                 LOG_ERR(&err));
    }
}

static void see_file(struct static_pods *pods, const char *name)
{
    char *path MEM_CLEANUP = mem_printf("%s/%s", pods->folder, name);
    struct static_pod *pod = NULL;
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) {
        return;
    }
    LIST_EACH (it, &pods->pods) {
        struct static_pod *known = container_of(it, struct static_pod, link);
        pod = strcmp(known->file, name) == 0 ? known : pod;
    }
    if (pod == NULL) {
        pod = mem_new(struct static_pod);
        pod->file = mem_dupz(name);
        pod->size = -1;
        list_init(&pod->link);
        list_append(&pods->pods, &pod->link);
    }
    pod->seen = true;
    if (pod->size != info.st_size || pod->changed.tv_sec != info.st_mtim.tv_sec ||
        pod->changed.tv_nsec != info.st_mtim.tv_nsec) {
        pod->size = info.st_size;
        pod->changed = info.st_mtim;
        read_file(pods, pod, path);
    }
}

static void static_pod_free(struct static_pod *pod)
{
    list_remove(&pod->link);
    pod_view_unref(pod->view);
    free(pod->file);
    free(pod->running);
    free(pod->ns);
    free(pod->name);
    free(pod);
}

static void on_scan(struct timer *timer)
{
    struct static_pods *pods = container_of(timer, struct static_pods, timer);
    DIR *dir = pods->folder[0] != '\0' ? opendir(pods->folder) : NULL;
    LIST_EACH (it, &pods->pods) {
        container_of(it, struct static_pod, link)->seen = false;
    }
    for (struct dirent *it; dir != NULL && (it = readdir(dir)) != NULL;) {
        if (it->d_name[0] != '.') {
            see_file(pods, it->d_name);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    LIST_EACH_SAFE (it, &pods->pods) {
        struct static_pod *pod = container_of(it, struct static_pod, link);
        if (!pod->seen) {
            pod_view_unref(pod->view);
            pod->view = NULL;
        }
        keep_going(pods, pod);
        if (!pod->seen && pod->running == NULL) {
            static_pod_free(pod);
        }
    }
    if (pods->folder[0] != '\0') {
        timer_start(pods->agent->loop, &pods->timer, SCAN, on_scan);
    }
}

void static_pods_start(struct agent *agent, const char *folder)
{
    struct static_pods *pods = mem_new(struct static_pods);
    pods->agent = agent;
    pods->folder = mem_dupz(folder);
    list_init(&pods->pods);
    agent->static_pods = pods;
    on_scan(&pods->timer);
}

void static_pods_free(struct static_pods *pods)
{
    if (pods == NULL) {
        return;
    }
    timer_stop(&pods->timer);
    LIST_EACH_SAFE (it, &pods->pods) {
        static_pod_free(container_of(it, struct static_pod, link));
    }
    free(pods->folder);
    free(pods);
}

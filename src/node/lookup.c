/* lookup.c: ConfigMaps, Secrets, claims and their volumes that pods of this node refer to.
 *
 * Each is watched by name while a pod here refers to it, and a while longer (a namespace's
 * kube-root-ca.crt is asked for again by the next pod). The node may read only what its pods name
 * (node authorizer), so there is no watch of all. A change refreshes volumes of the pods that refer
 * to it, and wakes containers that wait for it.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "node/agent_int.h"

static const int64_t KEEP_UNUSED = 120 * NS_PER_S;

struct lookup_entry {
    struct lookup *lookup;
    char *key; /* "secrets/ns/name" ... */
    struct client_watch *watch;
    struct object *object; /* NULL: absent */
    struct arena arena;
    const struct val *value;
    bool known, seen_in_sync;
    int refs;
    int64_t unused_since; /* mono */
};
struct lookup {
    struct agent *agent;
    struct map entries;
};

static const char *const plurals[] = {[LOOKUP_CONFIG_MAP] = "configmaps",
                                      [LOOKUP_SECRET] = "secrets",
                                      [LOOKUP_CLAIM] = "persistentvolumeclaims",
                                      [LOOKUP_VOLUME] = "persistentvolumes"};

static char *make_key(enum lookup_kind kind, struct str ns, struct str name)
{
    return mem_printf("%s/%.*s/%.*s", plurals[kind], STR_ARG(ns), STR_ARG(name));
}

static void set_object(struct lookup_entry *entry, struct object *object)
{
    struct object *old = entry->object;
    arena_done(&entry->arena);
    entry->object = object != NULL ? object_ref(object) : NULL;
    entry->value = object != NULL ? object_decode(object, &entry->arena) : NULL;
    object_unref(old);
}

static bool refers(const struct pod_entry *pod, const char *key)
{
    VEC_EACH (it, &pod->lookups) {
        if (strcmp(*it, key) == 0) {
            return true;
        }
    }
    return false;
}

static void tell_pods(struct lookup_entry *entry)
{
    MAP_EACH (it, &entry->lookup->agent->pod_entries) {
        struct pod_entry *pod = it->value;
        if (!refers(pod, entry->key)) {
            continue;
        }
        if (pod->preparing) {
            entry_prepare_continue(pod);
        } else if (pod->worker->state == POD_RUNNING) {
            entry_refresh_volumes(pod);
            for (size_t i = 0; i < pod->worker->container_count; i++) {
                container_retry(pod->worker->containers[i]);
            }
        }
    }
}

static void on_sync_begin(void *ctx)
{
    ((struct lookup_entry *)ctx)->seen_in_sync = false;
}

static void on_event(void *ctx, int type, struct object *object)
{
    struct lookup_entry *entry = ctx;
    entry->seen_in_sync = type != 2;
    bool same = entry->object != NULL && type != 2 && entry->object->revision == object->revision;
    if (!same) {
        set_object(entry, type == 2 ? NULL : object);
        if (entry->known) {
            tell_pods(entry);
        }
    }
}

static void on_sync_end(void *ctx, uint64_t revision)
{
    struct lookup_entry *entry = ctx;
    bool first = !entry->known;
    bool gone = !entry->seen_in_sync && entry->object != NULL;
    if (gone) {
        set_object(entry, NULL);
    }
    entry->known = true;
    if (first || gone) {
        tell_pods(entry);
    }
}

static const struct client_watch_ops watch_ops = {
    .sync_begin = on_sync_begin, .event = on_event, .sync_end = on_sync_end};

static struct lookup_entry *need(struct lookup *lookup, enum lookup_kind kind, struct str ns,
                                 struct str name)
{
    char *key = make_key(kind, ns, name);
    struct lookup_entry *entry = map_get(&lookup->entries, str_of(key));
    if (entry != NULL) {
        free(key);
        return entry;
    }
    entry = mem_new(struct lookup_entry);
    entry->lookup = lookup;
    entry->key = key;
    map_set(&lookup->entries, str_of(key), entry);
    char *selector MEM_CLEANUP = mem_printf("metadata.name=%.*s", STR_ARG(name));
    struct client_watch_options options = {
        .resource = schema_resource(STR_NONE, STR("v1"), str_of(plurals[kind])),
        .ns = ns,
        .field_selector = str_of(selector)};
    entry->watch = client_watch(lookup->agent->client, &options, &watch_ops, entry);
    return entry;
}

void lookup_refer(struct pod_entry *pod, enum lookup_kind kind, struct str name)
{
    if (name.n == 0) {
        return;
    }
    struct str ns = kind == LOOKUP_VOLUME ? STR_NONE : pod->worker->view->ns;
    struct lookup_entry *entry = need(pod->agent->lookup, kind, ns, name);
    if (!refers(pod, entry->key)) {
        *vec_push(&pod->lookups) = mem_dupz(entry->key);
        entry->refs++;
    }
}

static void refer_container(struct pod_entry *pod, const struct val *container)
{
    VAL_EACH (it, val_get(container, "envFrom")) {
        lookup_refer(pod, LOOKUP_CONFIG_MAP, val_text(val_path(it, "configMapRef.name")));
        lookup_refer(pod, LOOKUP_SECRET, val_text(val_path(it, "secretRef.name")));
    }
    VAL_EACH (it, val_get(container, "env")) {
        lookup_refer(pod, LOOKUP_CONFIG_MAP,
                     val_text(val_path(it, "valueFrom.configMapKeyRef.name")));
        lookup_refer(pod, LOOKUP_SECRET, val_text(val_path(it, "valueFrom.secretKeyRef.name")));
    }
}

void lookup_add_pod(struct pod_entry *pod)
{
    const struct val *spec = pod->worker->view->spec;
    VAL_EACH (it, val_get(spec, "volumes")) {
        lookup_refer(pod, LOOKUP_CONFIG_MAP, val_text(val_path(it, "configMap.name")));
        lookup_refer(pod, LOOKUP_SECRET, val_text(val_path(it, "secret.secretName")));
        VAL_EACH (source, val_path(it, "projected.sources")) {
            lookup_refer(pod, LOOKUP_CONFIG_MAP, val_text(val_path(source, "configMap.name")));
            lookup_refer(pod, LOOKUP_SECRET, val_text(val_path(source, "secret.name")));
        }
    }
    VAL_EACH (it, val_get(spec, "imagePullSecrets")) {
        lookup_refer(pod, LOOKUP_SECRET, val_text(val_get(it, "name")));
    }
    static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        VAL_EACH (it, val_get_str(spec, str_of(lists[i]))) {
            refer_container(pod, it);
        }
    }
}

void lookup_remove_pod(struct pod_entry *pod)
{
    struct lookup *lookup = pod->agent->lookup;
    VEC_EACH (it, &pod->lookups) {
        struct lookup_entry *entry = lookup != NULL ? map_get(&lookup->entries, str_of(*it)) : NULL;
        if (entry != NULL && --entry->refs == 0) {
            entry->unused_since = loop_mono(pod->agent->loop);
        }
        free(*it);
    }
    vec_done(&pod->lookups);
}

bool lookup_known(struct pod_entry *pod)
{
    claims_refer(pod); /* the volume of a claim is known by the claim only */
    VEC_EACH (it, &pod->lookups) {
        struct lookup_entry *entry = map_get(&pod->agent->lookup->entries, str_of(*it));
        if (entry != NULL && !entry->known) {
            return false;
        }
    }
    return true;
}

const struct val *lookup_get(const struct lookup *lookup, enum lookup_kind kind, struct str ns,
                             struct str name)
{
    char *key MEM_CLEANUP = make_key(kind, ns, name);
    struct lookup_entry *entry = map_get(&lookup->entries, str_of(key));
    return entry != NULL ? entry->value : NULL;
}

static void entry_free(struct lookup_entry *entry)
{
    struct client *client = entry->lookup->agent->client;
    if (entry->watch != NULL) {
        client->ops->watch_stop(client, entry->watch);
    }
    set_object(entry, NULL);
    free(entry->key);
    free(entry);
}

void lookup_sweep(struct lookup *lookup)
{
    int64_t now = loop_mono(lookup->agent->loop);
    MAP_EACH (it, &lookup->entries) {
        struct lookup_entry *entry = it->value;
        if (entry->refs == 0 && now - entry->unused_since > KEEP_UNUSED) {
            map_remove(&lookup->entries, it->key);
            entry_free(entry);
        }
    }
}

struct lookup *lookup_new(struct agent *agent)
{
    struct lookup *lookup = mem_new(struct lookup);
    lookup->agent = agent;
    return lookup;
}

void lookup_free(struct lookup *lookup)
{
    if (lookup == NULL) {
        return;
    }
    MAP_EACH (it, &lookup->entries) {
        entry_free(it->value);
    }
    map_done(&lookup->entries);
    free(lookup);
}

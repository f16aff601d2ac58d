/* pulling.c: making a container's image present: policy, one pull a reference at a time, however
 * many containers wait for it, and the events that tell. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "node/agent_int.h"

struct waiter {
    struct pod_entry *entry;
    struct container *container;
    uint32_t attempt;
};
struct pull {
    struct job job;
    struct agent *agent;
    char *reference, *auths;
    struct {
        VEC_OF(struct waiter);
    } waiters;
    int64_t began_ns;
    struct err err;
};

static bool policy_is(const struct container *container, const char *policy)
{
    return str_is(val_text(val_get(container_spec(container), "imagePullPolicy")), policy);
}

/* Pull secrets of the pod merged into one dockerconfigjson: {"auths": {...}}. */
static char *merge_auths(struct pod_entry *entry)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *out = val_new(&arena, VAL_OBJECT);
    struct val *auths = val_make_object(&arena, out, STR("auths"));
    VAL_EACH (it, val_get(entry->worker->view->spec, "imagePullSecrets")) {
        const struct val *secret =
            lookup_get(entry->agent->lookup, LOOKUP_SECRET, entry->worker->view->ns,
                       val_text(val_get(it, "name")));
        struct buf bytes BUF_CLEANUP = BUF_INIT;
        struct val *document;
        const struct val *data = val_get(secret, "data");
        if (base64_decode(&bytes, val_text(val_get(data, ".dockerconfigjson"))) &&
            val_parse_json(&arena, str_copy_in(&arena, buf_view(&bytes)), &document, NULL) == 0) {
            VAL_EACH (auth, val_get(document, "auths")) {
                val_set(auths, auth->key, val_copy(&arena, auth));
            }
        }
    }
    struct buf text BUF_CLEANUP = BUF_INIT;
    val_write_json(out, &text);
    return str_dup(buf_view(&text));
}

static void pull_work(struct job *job)
{
    struct pull *pull = container_of(job, struct pull, job);
    struct agent *agent = pull->agent;
    struct image_pull_options options = {.reference = str_of(pull->reference),
                                         .auths = str_of(pull->auths),
                                         .mirrors = str_of(agent->mirrors),
                                         .insecure_loopback = agent->insecure_loopback,
                                         .netns_path = agent->pull_netns_path};
    image_pull(agent->images, &options, &pull->err);
}

static void tell(struct pull *pull, const struct waiter *waiter)
{
    struct container *container = waiter->container;
    char message[1100], took[TIME_TEXT_SIZE];
    if (pull->err.code == 0) {
        const struct image *image = image_find(pull->agent->images, str_of(pull->reference));
        int64_t ms = (loop_mono(pull->agent->loop) - pull->began_ns) / NS_PER_MS;
        duration_format(ms * NS_PER_MS, took);
        snprintf(message, sizeof message,
                 "Successfully pulled image \"%s\" in %s (%s including waiting). Image size: %llu "
                 "bytes.",
                 pull->reference, took, took,
                 (unsigned long long)(image != NULL ? image->size : 0));
        entry_event(container->worker, container, "Normal", "Pulled", message);
        container_pulled(container, waiter->attempt, NULL, NULL);
    } else {
        snprintf(message, sizeof message, "Failed to pull image \"%s\": %s", pull->reference,
                 pull->err.message);
        entry_event(container->worker, container, "Warning", "Failed", message);
        entry_event(container->worker, container, "Warning", "Failed", "Error: ErrImagePull");
        container_pulled(container, waiter->attempt, "ErrImagePull", pull->err.message);
    }
}

static void pull_done(struct job *job)
{
    struct pull *pull = container_of(job, struct pull, job);
    struct agent *agent = pull->agent;
    map_remove(&agent->pulls, str_of(pull->reference));
    VEC_EACH (it, &pull->waiters) {
        struct pod_entry *entry = it->entry;
        tell(pull, it);
        entry_release(entry);
    }
    vec_done(&pull->waiters);
    free(pull->reference);
    free(pull->auths);
    free(pull);
}

static void start_pull(struct container *container, struct str image)
{
    struct pod_entry *entry = container->worker->user;
    struct agent *agent = entry->agent;
    struct pull *pull = map_get(&agent->pulls, image);
    char message[700];
    snprintf(message, sizeof message, "Pulling image \"%.*s\"", STR_ARG(image));
    entry_event(container->worker, container, "Normal", "Pulling", message);
    bool fresh = pull == NULL;
    if (fresh) {
        pull = mem_new(struct pull);
        pull->agent = agent;
        pull->reference = str_dup(image);
        pull->auths = merge_auths(entry);
        pull->began_ns = loop_mono(agent->loop);
        pull->job.work = pull_work;
        pull->job.done = pull_done;
        map_set(&agent->pulls, image, pull);
    }
    entry_hold(entry);
    *vec_push(&pull->waiters) = (struct waiter){entry, container, container->attempt};
    if (fresh) {
        loop_work(agent->loop, &pull->job);
    }
}

void entry_pull(struct container *container)
{
    struct pod_entry *entry = container->worker->user;
    struct str image = val_text(val_get(container_spec(container), "image"));
    struct buf canonical BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    char message[1100];
    if (image_reference_parse(image, &canonical, &err) != 0) {
        snprintf(message, sizeof message, "Failed to apply default image tag \"%.*s\": %s",
                 STR_ARG(image), err.message);
        entry_event(container->worker, container, "Warning", "InspectFailed", message);
        entry_event(container->worker, container, "Warning", "Failed", "Error: InvalidImageName");
        container_pulled(container, container->attempt, "InvalidImageName", message);
        return;
    }
    bool present = image_find(entry->agent->images, image) != NULL;
    if (present && !policy_is(container, "Always")) {
        snprintf(message, sizeof message,
                 "Container image \"%.*s\" already present on machine and can be accessed by the "
                 "pod",
                 STR_ARG(image));
        entry_event(container->worker, container, "Normal", "Pulled", message);
        container_pulled(container, container->attempt, NULL, NULL);
    } else if (policy_is(container, "Never")) {
        snprintf(message, sizeof message,
                 "Container image \"%.*s\" is not present with pull policy of Never",
                 STR_ARG(image));
        entry_event(container->worker, container, "Warning", "ErrImageNeverPull", message);
        entry_event(container->worker, container, "Warning", "Failed", "Error: ErrImageNeverPull");
        container_pulled(container, container->attempt, "ErrImageNeverPull", message);
    } else {
        start_pull(container, image);
    }
}

void agent_pulls_done(struct agent *agent)
{
    map_done(&agent->pulls);
}

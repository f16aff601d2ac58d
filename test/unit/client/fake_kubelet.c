/* A stand-in for scheduler and kubelets, by hand on the fake API server (fake_client.h). */
#include <stdlib.h>

#include "base/mem.h"
#include "fake_int.h"

struct fake_kubelet {
    struct fake_api *api;
    const struct api_resource *pods;
    char *node; /* NULL: no scheduling */
    int64_t max_ns;
    struct list chores;
    unsigned next_address;
};

struct chore {
    struct list link;
    struct timer timer;
    struct fake_kubelet *kubelet;
    char *ns, *name, *uid;
    bool end;
};

static void start_pod(struct fake_kubelet *kubelet, struct object *object)
{
    struct val *pod = fake_val(kubelet->api, object);
    const char *ns = str_dup_in(&kubelet->api->vals, object->ns);
    const char *name = str_dup_in(&kubelet->api->vals, object->name);
    if (val_text(val_path(pod, "spec.nodeName")).n == 0) {
        if (kubelet->node == NULL) {
            return;
        }
        fake_patchf(kubelet->api, kubelet->pods, ns, name, "", "{'spec':{'nodeName':'%s'}}",
                    kubelet->node);
    }
    struct str image = val_text(val_get(val_at(val_path(pod, "spec.containers"), 0), "image"));
    const char *ready = str_is(image, "broken") ? "False" : "True";
    char now[TIME_TEXT_SIZE];
    time_format(clock_wall(loop_clock(kubelet->api->loop)), now);
    unsigned address = kubelet->next_address++;
    fake_patchf(
        kubelet->api, kubelet->pods, ns, name, "status",
        "{'status':{'phase':'Running','podIP':'10.244.%u.%u','podIPs':[{'ip':'10.244.%u.%u'}],"
        "'hostIP':'10.0.0.1','startTime':'%s','conditions':[{'type':'Ready','status':'%s',"
        "'lastTransitionTime':'%s'}]}}",
        address / 250, address % 250 + 1, address / 250, address % 250 + 1, now, ready, now);
}

static void do_chore(struct timer *timer)
{
    struct chore *chore = container_of(timer, struct chore, timer);
    struct fake_kubelet *kubelet = chore->kubelet;
    struct object *object = fake_get(kubelet->api, kubelet->pods, chore->ns, chore->name);
    list_remove(&chore->link);
    if (object != NULL && str_is(object->uid, chore->uid)) {
        if (chore->end) {
            fake_delete(kubelet->api, kubelet->pods, chore->ns, chore->name,
                        "{'gracePeriodSeconds':0}");
        } else if (!object->deleting) {
            start_pod(kubelet, object);
        }
    }
    free(chore->ns);
    free(chore->name);
    free(chore->uid);
    free(chore);
}

static void plan(struct fake_kubelet *kubelet, struct object *object, bool end)
{
    struct chore *chore = mem_new(struct chore);
    chore->kubelet = kubelet;
    chore->ns = str_dup(object->ns);
    chore->name = str_dup(object->name);
    chore->uid = str_dup(object->uid);
    chore->end = end;
    list_append(&kubelet->chores, &chore->link);
    timer_start(kubelet->api->loop, &chore->timer,
                (int64_t)random_below(&kubelet->api->random, (uint64_t)kubelet->max_ns) + 1,
                do_chore);
}

void fake_kubelet_event(struct fake_api *api, struct object *old, struct object *now)
{
    struct fake_kubelet *kubelet = api->kubelet;
    if (kubelet == NULL || now == NULL || now->resource != kubelet->pods->storage) {
        return;
    }
    if (now->deleting && (old == NULL || !old->deleting)) {
        plan(kubelet, now, true);
    } else if (old == NULL) {
        plan(kubelet, now, false);
    }
}

static void plan_existing(void *ctx, struct object *object)
{
    plan(ctx, object, object->deleting);
}

void fake_kubelet_start(struct fake_api *api, const char *node, int64_t max_ns)
{
    struct fake_kubelet *kubelet = mem_new(struct fake_kubelet);
    kubelet->api = api;
    kubelet->pods = schema_resource(STR(""), STR("v1"), STR("pods"));
    kubelet->node = mem_dupz(node);
    kubelet->max_ns = max_ns;
    list_init(&kubelet->chores);
    api->kubelet = kubelet;
    fake_each(api, kubelet->pods, plan_existing, kubelet);
}

void fake_kubelet_stop(struct fake_api *api)
{
    struct fake_kubelet *kubelet = api->kubelet;
    if (kubelet == NULL) {
        return;
    }
    LIST_EACH_SAFE (it, &kubelet->chores) {
        struct chore *chore = container_of(it, struct chore, link);
        timer_stop(&chore->timer);
        free(chore->ns);
        free(chore->name);
        free(chore->uid);
        free(chore);
    }
    free(kubelet->node);
    free(kubelet);
    api->kubelet = NULL;
}

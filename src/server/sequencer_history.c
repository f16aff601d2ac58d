/* sequencer_history.c: reads of the past, on the store's thread between two batches: pages of
 * events for watches that start before the ring, and whole states for Exact lists. One read a step,
 * so that writes wait for one at most. */
#include "base/failpoint.h"
#include "server/sequencer_int.h"

struct collect {
    struct sequencer *sequencer;
    struct history_read *read;
};

static void read_task(struct task *task)
{
    struct history_read *read = container_of(task, struct history_read, task);
    read->done(read);
}

void sequencer_read_history(struct sequencer *sequencer, struct history_read *read)
{
    schema_ref(read->resource);
    read->held = read->resource;
    list_init(&read->link);
    list_init(&read->task.link);
    read->task.run = read_task;
    pthread_mutex_lock(&sequencer->lock);
    list_append(&sequencer->reads, &read->link);
    pthread_mutex_unlock(&sequencer->lock);
    sequencer_wake(sequencer);
}

void history_read_done(struct history_read *read)
{
    VEC_EACH (it, &read->events) {
        object_unref(it->object);
        object_unref(it->previous);
    }
    vec_done(&read->events);
    schema_unref(read->held);
    read->held = NULL;
}

static int collect_row(void *ctx, const struct store_row *row, struct err *err)
{
    struct collect *collect = ctx;
    struct history_read *read = collect->read;
    struct object *object = NULL, *previous = NULL;
    if (read->limit != 0 && read->events.count == read->limit) {
        read->upto = read->events.items[read->limit - 1].revision;
        return 1;
    }
    int rc = object_load(read->resource, row->value, row->revision, &object, err);
    if (rc == 0 && row->previous.p != NULL) {
        rc = object_load(read->resource, row->previous, 0, &previous, err);
    }
    if (rc != 0) {
        object_unref(object);
        return rc;
    }
    struct cache_event *event = vec_push(&read->events);
    event->revision = row->revision;
    event->type = row->deleted                  ? EVENT_DELETED
                  : row->created || read->state ? EVENT_ADDED
                                                : EVENT_MODIFIED;
    event->object = object;
    event->previous = previous;
    return 0;
}

void sequencer_step_read(struct sequencer *sequencer)
{
    pthread_mutex_lock(&sequencer->lock);
    struct list *link = list_pop(&sequencer->reads);
    pthread_mutex_unlock(&sequencer->lock);
    if (link == NULL) {
        return;
    }
    FAILPOINT("sequencer.read-history");
    struct history_read *read = container_of(link, struct history_read, link);
    struct collect collect = {sequencer, read};
    struct str name = str_of(sequencer_name(sequencer, read->resource));
    struct store *store = sequencer->store;
    read->upto = read->upto < sequencer->revision ? read->upto : sequencer->revision;
    int rc = read->state
                 ? store->ops->load_at(store, name, read->upto, collect_row, &collect, &read->error)
                 : store->ops->history(store, name, read->after, read->upto, collect_row, &collect,
                                       &read->error);
    read->code = rc;
    loop_post(read->loop, &read->task);
}

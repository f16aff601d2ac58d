/* list_protobuf.c: a list as protobuf, in bounded memory.
 *
 * The length of the list stands before its items, so there are two passes: one that measures, in
 * slices between which the loop does other work, and one that writes when the sender asks. Sizes
 * are remembered with the objects (object_message_size), so that measuring costs only once; and a
 * short list is kept as it is measured, so that it is written only once.
 */
#include <stdlib.h>

#include "base/failpoint.h"
#include "server/render.h"
#include "server/verb/list_body.h"
#include "server/verb/list_walk.h"

enum {
    SLICE = 1 << 20, /* bytes of JSON that are written before others have their turn */
    KNOWN_COST = 64, /* what an object counts whose size is known */
    KEPT_MAX = 1 << 20,
    JOBS = 4,
    JOB_OBJECTS = 1024, /* of unknown size, a job */
};

struct measuring { /* objects of one job */
    struct job job;
    struct list_protobuf *list;
    struct render render;
    const struct object *objects[JOB_OBJECTS];
    size_t count, size;
};

struct list_protobuf {
    struct http_body body;
    struct task task; /* the next slice */
    struct listing *listing;
    struct list_walk walk;
    struct render render;
    struct buf metadata; /* ListMeta */
    struct buf pending;  /* while measuring: the first items; then bytes that did not fit */
    size_t pending_at;
    size_t items_size;   /* with their heads */
    int64_t count, left; /* seen; still to be written */
    int64_t kept;
    struct measuring *measuring; /* JOBS of them, once there is something to do */
    size_t unknown;              /* objects that they were given */
    int running;
    bool at_end, ended, more;
};

static const struct object *next(struct list_protobuf *list)
{
    return list->left == 0 ? NULL : list_walk_next(&list->walk);
}

static void rewind_walk(struct list_protobuf *list)
{
    list_walk_init(&list->walk, list->listing);
    list->left = list->listing->limit > 0 ? list->listing->limit : -1;
}

static void write_item(struct list_protobuf *list, const struct object *object)
{
    size_t size = 0;
    bool known = render_size_known(&list->render, object);
    size = render_message_size(&list->render, object);
    protobuf_head(&list->pending, 2, size);
    if (known) {
        render_message(&list->render, object, &list->pending);
    } else {
        buf_str(&list->pending, buf_view(&list->render.message));
    }
}

/* ---- writing ---- */

static bool produce(struct list_protobuf *list)
{
    const struct object *object = next(list);
    if (object == NULL) {
        protobuf_envelope_end(&list->pending);
        list->ended = true;
        return false;
    }
    list->left -= list->left > 0;
    write_item(list, object);
    return true;
}

static ssize_t body_read(struct http_body *base, char *out, size_t cap)
{
    struct list_protobuf *list = container_of(base, struct list_protobuf, body);
    size_t at = 0;
    for (;;) {
        size_t ready = list->pending.n - list->pending_at;
        size_t n = ready < cap - at ? ready : cap - at;
        if (n > 0) {
            memcpy(out + at, list->pending.p + list->pending_at, n);
            at += n;
            list->pending_at += n;
        }
        if (list->pending_at < list->pending.n || at == cap || list->ended) {
            return (ssize_t)at;
        }
        buf_clear(&list->pending);
        list->pending_at = 0;
        produce(list);
    }
}

static void body_free(struct http_body *base)
{
    struct list_protobuf *list = container_of(base, struct list_protobuf, body);
    struct request *request = list->listing->request;
    list_walk_done(list->listing, list->more);
    for (int i = 0; list->measuring != NULL && i < JOBS; i++) {
        render_done(&list->measuring[i].render);
    }
    free(list->measuring);
    render_done(&list->render);
    buf_done(&list->metadata);
    buf_done(&list->pending);
    free(list);
    request_free(request);
}

/* Everything before the items that were not kept. */
static void write_head(struct list_protobuf *list)
{
    const struct api_resource *r = list->render.resource;
    struct arena *arena = &list->listing->request->arena;
    bool partial = list->render.form == ACCEPT_PARTIAL;
    struct buf first = list->pending;
    size_t head = protobuf_head_size(1, list->metadata.n) + list->metadata.n;
    list->pending = (struct buf)BUF_INIT;
    protobuf_envelope(partial ? STR("meta.k8s.io/v1")
                              : api_version_text(arena, r->group, r->version),
                      partial ? STR("PartialObjectMetadataList") : str_of(r->list_kind),
                      head + list->items_size, &list->pending);
    list->body.length = (int64_t)(list->pending.n + head + list->items_size) + 4;
    protobuf_head(&list->pending, 1, list->metadata.n);
    buf_str(&list->pending, buf_view(&list->metadata));
    buf_str(&list->pending, buf_view(&first));
    buf_done(&first);
}

/* ---- measuring ---- */

static void answer(struct list_protobuf *list)
{
    rewind_walk(list);
    for (int64_t i = 0; i < list->kept; i++) {
        next(list);
        list->left -= list->left > 0;
    }
    write_head(list);
    request_answer_stream(list->listing->request, 200, "application/vnd.kubernetes.protobuf",
                          &list->body);
}

static void measure(struct list_protobuf *list);

/* On a thread of the pool. */
static void measure_objects(struct job *job)
{
    struct measuring *m = container_of(job, struct measuring, job);
    for (size_t i = 0; i < m->count; i++) {
        size_t size = render_message_size(&m->render, m->objects[i]);
        m->size += protobuf_head_size(2, size) + size;
    }
}

static void measured(struct job *job)
{
    struct measuring *m = container_of(job, struct measuring, job);
    struct list_protobuf *list = m->list;
    list->items_size += m->size;
    m->size = m->count = 0;
    if (--list->running == 0) {
        list->unknown = 0;
        loop_post(list->listing->request->loop, &list->task);
    }
}

static void start_jobs(struct list_protobuf *list)
{
    list->running = JOBS;
    for (int i = 0; i < JOBS; i++) {
        loop_work(list->listing->request->loop, &list->measuring[i].job);
    }
}

static void give_to_job(struct list_protobuf *list, const struct object *object)
{
    if (list->measuring == NULL) {
        list->measuring = mem_array(struct measuring, JOBS);
        for (int i = 0; i < JOBS; i++) {
            struct measuring *m = &list->measuring[i];
            *m = (struct measuring){.job = {.work = measure_objects, .done = measured},
                                    .list = list};
            render_init(&m->render, list->listing->request);
        }
    }
    struct measuring *m = &list->measuring[list->unknown++ % JOBS];
    m->objects[m->count++] = object;
}

/* One that is kept, one whose size is known, or one for the jobs. Returns what it cost. */
static size_t measure_one(struct list_protobuf *list, const struct object *object)
{
    list->count++;
    if (list->kept == list->count - 1 && list->pending.n < KEPT_MAX) {
        size_t before = list->pending.n;
        write_item(list, object);
        list->items_size += list->pending.n - before;
        list->kept++;
        return object->n;
    }
    if (render_size_known(&list->render, object)) {
        size_t size = render_message_size(&list->render, object);
        list->items_size += protobuf_head_size(2, size) + size;
    } else {
        give_to_job(list, object);
    }
    return KNOWN_COST;
}

static void measure(struct list_protobuf *list)
{
    for (size_t cost = 0; cost < SLICE && list->unknown < (size_t)JOBS * JOB_OBJECTS;) {
        const struct object *object = list->at_end ? NULL : next(list);
        list->at_end = object == NULL;
        if (list->at_end && list->unknown > 0) {
            break;
        }
        if (list->at_end) {
            answer(list);
            return;
        }
        list->left -= list->left > 0;
        cost += measure_one(list, object);
    }
    if (list->unknown > 0) {
        start_jobs(list);
    } else {
        loop_post(list->listing->request->loop, &list->task);
    }
}

static void on_slice(struct task *task)
{
    struct list_protobuf *list = container_of(task, struct list_protobuf, task);
    FAILPOINT("server.list-measure");
    measure(list);
}

static void write_metadata(struct list_protobuf *list)
{
    struct buf json BUF_CLEANUP = BUF_INIT;
    struct str name = STR("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta");
    list_metadata_write(list->listing, &json, &list->more);
    protobuf_write(&list->render.writer, schema_struct(name), buf_view(&json), &list->metadata);
}

void list_protobuf_answer(struct listing *listing)
{
    struct list_protobuf *list = mem_new(struct list_protobuf);
    list->body = (struct http_body){.read = body_read, .free = body_free, .length = -1};
    list->task.run = on_slice;
    list->listing = listing;
    render_init(&list->render, listing->request);
    FAILPOINT("server.list-page");
    write_metadata(list);
    rewind_walk(list);
    measure(list);
}

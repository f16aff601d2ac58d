/* sequencer.c: the one writer. A step drains the queue, judges every write against the newest state
 * (the cache's, and what this batch did before it), gives revisions to those that may, commits them
 * with one sync, publishes them, and only then answers.
 *
 * Invariants: a revision is given to one write, in the order of the queue; nothing is published or
 * answered as done before the commit returned; after a failed commit nothing of the batch is seen
 * by anybody. On the store's thread; submitting is a list append under a lock.
 */
#include "server/sequencer_int.h"

#include "base/failpoint.h"

enum { BATCH_BYTES = 8 << 20 };

/* ---- names ---- */

const char *sequencer_name(struct sequencer *sequencer, const struct api_resource *resource)
{
    while (sequencer->names.count <= resource->id) {
        *vec_push(&sequencer->names) = NULL;
    }
    char **name = &sequencer->names.items[resource->id];
    if (*name == NULL) {
        *name = resource->group[0] == '\0' ? mem_dupz(resource->plural)
                                           : mem_printf("%s.%s", resource->plural, resource->group);
    }
    return *name;
}

/* ---- what a key is now ---- */

static struct overlay_slot *overlay_find(struct sequencer *sequencer,
                                         const struct api_resource *resource, struct str ns,
                                         struct str name)
{
    uint64_t hash = str_hash(name) ^ (str_hash(ns) * 31) ^ resource->id;
    for (size_t i = hash;; i++) {
        struct overlay_slot *slot = &sequencer->overlay[i % OVERLAY_SLOTS];
        if (slot->batch != sequencer->batch || (slot->resource->id == resource->id &&
                                                str_eq(slot->name, name) && str_eq(slot->ns, ns))) {
            return slot;
        }
    }
}

static struct object *current_of(struct sequencer *sequencer, const struct api_resource *resource,
                                 struct str ns, struct str name, struct overlay_slot **ret_slot)
{
    struct overlay_slot *slot = *ret_slot = overlay_find(sequencer, resource, ns, name);
    if (slot->batch == sequencer->batch) {
        return slot->object;
    }
    return cache_tip(sequencer->cache, resource, ns, name);
}

/* ---- judging ---- */

static int refuse(struct write *write, struct object *current, enum err_code code, const char *why)
{
    write->result = current != NULL ? object_ref(current) : NULL;
    write->code = err_set(&write->error, code, "%s \"%.*s\" %s", write->resource->plural,
                          STR_ARG(write->name), why);
    return write->code;
}

static int judge(struct write *write, struct object *current)
{
    if (write->kind == WRITE_CREATE) {
        return current == NULL ? 0 : refuse(write, current, ERR_EXISTS, "already exists");
    }
    if (current == NULL) {
        return refuse(write, NULL, ERR_NOT_FOUND, "not found");
    }
    if (write->expected_uid.n > 0 && !str_eq(write->expected_uid, current->uid)) {
        return refuse(write, current, ERR_CONFLICT, "is another object of that name by now");
    }
    if (write->expected_revision != 0 && write->expected_revision != current->revision) {
        return refuse(write, current, ERR_CONFLICT,
                      "has been modified; please apply your changes to the latest version and try "
                      "again");
    }
    return 0;
}

static bool changes_nothing(const struct write *write, const struct object *current)
{
    return write->kind == WRITE_UPDATE && write->object->n == current->n &&
           memcmp(write->object->json, current->json, current->n) == 0;
}

/* Gives the object the next revision and puts it into the batch. `write` NULL: a companion. */
static void enter(struct sequencer *sequencer, const struct api_resource *resource,
                  struct write *write, struct object *object, struct object *current,
                  struct overlay_slot *slot)
{
    uint64_t revision = sequencer->revision + sequencer->accepted.count + 1;
    object = object_with_revision(object, revision);
    bool deleted = write != NULL && write->kind == WRITE_DELETE;
    int64_t growth =
        (deleted ? 0 : (int64_t)object->n) - (current != NULL ? (int64_t)current->n : 0);
    *vec_push(&sequencer->accepted) = (struct accepted){write, object, growth};
    *vec_push(&sequencer->store_writes) = (struct store_write){
        .resource = str_of(sequencer_name(sequencer, resource)),
        .ns = object->ns,
        .name = object->name,
        .revision = revision,
        .previous = current != NULL ? current->revision : 0,
        .value = str_at(object->json, object->n),
        .deleted = deleted,
        .created = current == NULL,
    };
    *vec_push(&sequencer->changes) = (struct cache_change){
        .resource = resource,
        .type = deleted           ? EVENT_DELETED
                : current == NULL ? EVENT_ADDED
                                  : EVENT_MODIFIED,
        .object = object,
    };
    *slot = (struct overlay_slot){sequencer->batch, resource, object->ns, object->name,
                                  deleted ? NULL : object};
}

/* ---- companions ---- */

static void drop_companions(struct write *write)
{
    for (struct companion *it = write->companions; it != NULL; it = it->next) {
        object_unref(it->object);
        it->object = NULL;
    }
}

/* Derives all of them; on a refusal nothing of the write is done. */
static int derive_companions(struct sequencer *sequencer, struct write *write)
{
    for (struct companion *it = write->companions; it != NULL; it = it->next) {
        struct overlay_slot *slot = NULL;
        struct object *current = current_of(sequencer, it->resource, it->ns, it->name, &slot);
        it->object = NULL;
        int code = it->derive(it, current, &it->object, &write->error);
        if (code != 0) {
            drop_companions(write);
            write->refused_by = it;
            write->code = code;
            return code;
        }
    }
    return 0;
}

static void enter_companions(struct sequencer *sequencer, struct write *write)
{
    for (struct companion *it = write->companions; it != NULL; it = it->next) {
        struct overlay_slot *slot = NULL;
        struct object *current = current_of(sequencer, it->resource, it->ns, it->name, &slot);
        struct object *object = it->object;
        it->object = NULL;
        if (object != NULL) {
            enter(sequencer, it->resource, NULL, object, current, slot);
        }
    }
}

static void accept(struct sequencer *sequencer, struct write *write, struct object *current,
                   struct overlay_slot *slot)
{
    struct object *object = write->object != NULL ? write->object : object_ref(current);
    write->object = NULL;
    enter(sequencer, write->resource, write, object, current, slot);
    if (write->companions != NULL) {
        enter_companions(sequencer, write);
    }
}

/* ---- answering ---- */

static void answer_task(struct task *task)
{
    struct write *write = container_of(task, struct write, task);
    write->done(write);
}

static void answer(struct write *write)
{
    object_unref(write->object);
    write->object = NULL;
    list_init(&write->task.link);
    write->task.run = answer_task;
    loop_post(write->loop, &write->task);
}

/* ---- the batch ---- */

static uint64_t size_of(const struct object *object)
{
    return object != NULL ? object->n : 0;
}

static int weight_of(const struct write *write) /* objects that it may put into the batch */
{
    int n = 1;
    for (const struct companion *it = write->companions; it != NULL; it = it->next) {
        n++;
    }
    return n;
}

static void publish(struct sequencer *sequencer)
{
    FAILPOINT("sequencer.before-publish");
    cache_publish(sequencer->cache, sequencer->changes.items, sequencer->changes.count);
    FAILPOINT("sequencer.before-ack");
    VEC_EACH (it, &sequencer->accepted) {
        sequencer->live_bytes += (uint64_t)it->growth;
        if (it->write == NULL) {
            object_unref(it->object);
            continue;
        }
        it->write->code = 0;
        it->write->result = it->object; /* our reference goes to the writer */
        answer(it->write);
    }
}

static void fail_batch(struct sequencer *sequencer, const struct err *error)
{
    VEC_EACH (it, &sequencer->accepted) {
        object_unref(it->object);
        if (it->write != NULL) {
            it->write->code = error->code;
            it->write->error = *error;
            answer(it->write);
        }
    }
}

void sequencer_note_status(struct sequencer *sequencer, int rc, const struct err *error)
{
    struct store_status status = {0};
    sequencer->store->ops->status(sequencer->store, &status, NULL);
    pthread_mutex_lock(&sequencer->lock);
    sequencer->status = status;
    if (rc != 0) {
        size_t n = strnlen(error->message, sizeof sequencer->failure - 1);
        memcpy(sequencer->failure, error->message, n);
        sequencer->failure[n] = '\0';
    }
    pthread_mutex_unlock(&sequencer->lock);
    bool news = status.failed && !atomic_exchange(&sequencer->failed, status.failed);
    if (news && sequencer->on_failed != NULL) {
        sequencer->on_failed(sequencer->on_failed_ctx);
    }
    atomic_store(&sequencer->refused, rc != 0);
    if (rc == 0) {
        atomic_store(&sequencer->last_commit, loop_mono(sequencer->loop));
    }
}

static void commit_batch(struct sequencer *sequencer)
{
    struct err error = ERR_INIT;
    FAILPOINT("sequencer.before-commit");
    int rc = sequencer->store->ops->commit(sequencer->store, sequencer->store_writes.items,
                                           sequencer->store_writes.count, &error);
    sequencer_note_status(sequencer, rc, &error);
    sequencer->revision += sequencer->accepted.count; /* used up, also by a failed commit */
    if (rc == 0) {
        publish(sequencer);
    } else {
        fail_batch(sequencer, &error);
    }
    vec_clear(&sequencer->accepted);
    vec_clear(&sequencer->store_writes);
    vec_clear(&sequencer->changes);
}

/* Under the lock: patient writes are patient no more. */
static void rouse(struct sequencer *sequencer)
{
    for (struct list *link; (link = list_pop(&sequencer->patient)) != NULL;) {
        list_append(&sequencer->writes, link);
    }
}

static void take_writes(struct sequencer *sequencer, struct list *taken)
{
    uint64_t bytes = 0;
    list_init(taken);
    pthread_mutex_lock(&sequencer->lock);
    if (!list_empty(&sequencer->writes)) {
        rouse(sequencer); /* there is a sync to share */
    }
    for (int i = 0; i < BATCH_WRITES && bytes < BATCH_BYTES;) {
        struct list *link = list_pop(&sequencer->writes);
        if (link == NULL) {
            break;
        }
        const struct write *write = container_of(link, struct write, link);
        bytes += size_of(write->object);
        i += weight_of(write);
        list_append(taken, link);
    }
    pthread_mutex_unlock(&sequencer->lock);
}

static void step_writes(struct sequencer *sequencer)
{
    struct list taken;
    take_writes(sequencer, &taken);
    bool probe = atomic_exchange(&sequencer->probe_wanted, false);
    if (list_empty(&taken) && !probe) {
        return;
    }
    atomic_store(&sequencer->waiting_since, loop_mono(sequencer->loop));
    FAILPOINT("sequencer.drain");
    sequencer->batch++;
    for (struct list *link; (link = list_pop(&taken)) != NULL;) {
        struct write *write = container_of(link, struct write, link);
        struct overlay_slot *slot = NULL;
        struct object *current =
            current_of(sequencer, write->resource, write->ns, write->name, &slot);
        if (judge(write, current) != 0) {
            answer(write);
        } else if (changes_nothing(write, current)) {
            write->code = 0;
            write->result = object_ref(current);
            answer(write);
        } else if (write->companions != NULL && derive_companions(sequencer, write) != 0) {
            answer(write);
        } else {
            accept(sequencer, write, current, slot);
        }
    }
    if (sequencer->accepted.count > 0 || probe) {
        commit_batch(sequencer);
    }
    atomic_store(&sequencer->waiting_since, 0);
}

static void step(struct task *task)
{
    struct sequencer *sequencer = container_of(task, struct sequencer, task);
    pthread_mutex_lock(&sequencer->lock);
    sequencer->posted = false;
    pthread_mutex_unlock(&sequencer->lock);
    step_writes(sequencer);
    sequencer_step_read(sequencer);
    bool more = sequencer_step_upkeep(sequencer);
    pthread_mutex_lock(&sequencer->lock);
    more = more || !list_empty(&sequencer->writes) || !list_empty(&sequencer->reads);
    pthread_mutex_unlock(&sequencer->lock);
    if (more) {
        sequencer_wake(sequencer);
    }
}

void sequencer_wake(struct sequencer *sequencer)
{
    pthread_mutex_lock(&sequencer->lock);
    bool post = !sequencer->posted;
    sequencer->posted = true;
    pthread_mutex_unlock(&sequencer->lock);
    if (post) {
        loop_post(sequencer->loop, &sequencer->task);
    }
}

void sequencer_submit(struct sequencer *sequencer, struct write *write)
{
    write->code = 0;
    write->result = NULL;
    write->refused_by = NULL;
    list_init(&write->link);
    pthread_mutex_lock(&sequencer->lock);
    list_append(write->patient ? &sequencer->patient : &sequencer->writes, &write->link);
    bool start = write->patient && !sequencer->patience_posted;
    sequencer->patience_posted = sequencer->patience_posted || start;
    pthread_mutex_unlock(&sequencer->lock);
    if (start) {
        loop_post(sequencer->loop, &sequencer->patience_task);
    } else if (!write->patient) {
        sequencer_wake(sequencer);
    }
}

static void on_patience(struct timer *timer)
{
    struct sequencer *sequencer = container_of(timer, struct sequencer, patience);
    pthread_mutex_lock(&sequencer->lock);
    rouse(sequencer);
    sequencer->patience_posted = false;
    pthread_mutex_unlock(&sequencer->lock);
    sequencer_wake(sequencer);
}

static void start_patience(struct task *task)
{
    struct sequencer *sequencer = container_of(task, struct sequencer, patience_task);
    timer_start(sequencer->loop, &sequencer->patience, SEQUENCER_PATIENCE_NS, on_patience);
}

/* ---- start and end ---- */

static void read_for_cache(void *ctx, struct history_read *read)
{
    sequencer_read_history(ctx, read);
}

int sequencer_new(struct loop *loop, struct store *store, struct cache *cache,
                  struct sequencer **ret_sequencer, struct err *err)
{
    struct sequencer *sequencer = mem_new(struct sequencer);
    sequencer->loop = loop;
    sequencer->store = store;
    sequencer->cache = cache;
    sequencer->history_ns = 3600 * NS_PER_S;
    pthread_mutex_init(&sequencer->lock, NULL);
    list_init(&sequencer->writes);
    list_init(&sequencer->patient);
    list_init(&sequencer->reads);
    list_init(&sequencer->backups);
    list_init(&sequencer->renewals);
    list_init(&sequencer->task.link);
    sequencer->task.run = step;
    list_init(&sequencer->patience_task.link);
    sequencer->patience_task.run = start_patience;
    int rc = sequencer_load(sequencer, err);
    rc = rc != 0 ? rc : store->ops->status(store, &sequencer->status, err);
    if (rc != 0) {
        sequencer_free(sequencer);
        return rc;
    }
    if (sequencer->status.history_ns > 0) {
        sequencer->history_ns = sequencer->status.history_ns;
    }
    sequencer->revision = sequencer->status.revision;
    cache_set_revision(cache, sequencer->revision, sequencer->status.compacted);
    cache_set_history(cache, read_for_cache, sequencer);
    sequencer_upkeep_start(sequencer);
    *ret_sequencer = sequencer;
    return 0;
}

void sequencer_free(struct sequencer *sequencer)
{
    if (sequencer == NULL) {
        return;
    }
    timer_stop(&sequencer->upkeep);
    timer_stop(&sequencer->patience);
    for (struct list *link; (link = list_pop(&sequencer->renewals)) != NULL;) {
        sequencer_renew_free(container_of(link, struct renew_job, link));
    }
    vec_done(&sequencer->accepted);
    vec_done(&sequencer->store_writes);
    vec_done(&sequencer->changes);
    VEC_EACH (it, &sequencer->names) {
        free(*it);
    }
    vec_done(&sequencer->names);
    pthread_mutex_destroy(&sequencer->lock);
    free(sequencer);
}

struct store_status sequencer_status(struct sequencer *sequencer)
{
    pthread_mutex_lock(&sequencer->lock);
    struct store_status status = sequencer->status;
    pthread_mutex_unlock(&sequencer->lock);
    return status;
}

void sequencer_on_failed(struct sequencer *sequencer, void (*fn)(void *ctx), void *ctx)
{
    sequencer->on_failed = fn;
    sequencer->on_failed_ctx = ctx;
}

int sequencer_health(struct sequencer *sequencer, struct err *err)
{
    int64_t now = clock_mono(loop_clock(sequencer->loop));
    int64_t waiting = atomic_load(&sequencer->waiting_since);
    if (now - atomic_load(&sequencer->last_commit) > 5 * NS_PER_S) {
        atomic_store(&sequencer->probe_wanted, true);
        sequencer_wake(sequencer);
    }
    if (atomic_load(&sequencer->failed) || atomic_load(&sequencer->refused)) {
        pthread_mutex_lock(&sequencer->lock);
        err_set(err, ERR_STORAGE, "the store takes no writes: %s", sequencer->failure);
        pthread_mutex_unlock(&sequencer->lock);
        return ERR_STORAGE;
    }
    if (waiting != 0 && now - waiting > 5 * NS_PER_S) {
        return err_set(err, ERR_STORAGE, "the disk has not answered for %lld s",
                       (long long)((now - waiting) / NS_PER_S));
    }
    return 0;
}

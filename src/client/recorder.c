/* Events about objects (recorder.h).
 *
 * One entry per distinct event (object, field, type, reason, text), newest first, at most ENTRIES.
 * An entry has at most one write in flight; repetitions meanwhile raise its count, and one patch
 * brings the count up to date when the answer is there. A failed write is tried again from a timer,
 * ATTEMPTS times. Floods are bounded by a bucket of tokens per object and by combining events that
 * differ only in their text.
 */
#include "client/recorder.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "client/owners.h"

enum { ENTRIES = 2048, BURST = 25, SIMILAR = 10, ATTEMPTS = 12, TEXT_MAX = 1024 };
#define REFILL_NS  (300 * NS_PER_S)
#define SIMILAR_NS (600 * NS_PER_S)
#define RETRY_NS   (10 * NS_PER_S)

struct entry {
    struct list link; /* recorder->entries, most recent first */
    char *key;
    char *api_version, *kind, *ns, *name, *uid, *field_path, *type, *reason, *text;
    uint64_t revision;
    char *event; /* name of the Event object; NULL: not made */
    int64_t first_ns, last_ns;
    int64_t count, sent;
    int attempts;
    bool in_flight, created;
};

struct budget { /* one object's tokens, and one kind of event's different texts */
    double tokens;
    int64_t at_ns;
    int different;
    int64_t since_ns;
};

struct recorder {
    int refs;
    bool stopped;
    struct client *client; /* NULL when stopped */
    const char *component, *host;
    struct map by_key;
    struct list entries;
    size_t count;
    struct map budgets;
    struct timer retry;
    const struct api_resource *events;
};

struct post {
    struct recorder *recorder;
    struct entry *entry; /* valid unless the recorder is stopped: in-flight entries stay */
};

static void entry_free(struct entry *entry)
{
    list_remove(&entry->link);
    free(entry->key);
    free(entry->api_version);
    free(entry->kind);
    free(entry->ns);
    free(entry->name);
    free(entry->uid);
    free(entry->field_path);
    free(entry->type);
    free(entry->reason);
    free(entry->text);
    free(entry->event);
    free(entry);
}

static void recorder_unref(struct recorder *recorder)
{
    if (--recorder->refs == 0) {
        free(recorder);
    }
}

struct recorder *recorder_new(struct client *client, const char *component, const char *host)
{
    struct recorder *recorder = mem_new(struct recorder);
    recorder->refs = 1;
    recorder->client = client;
    recorder->component = component;
    recorder->host = host;
    recorder->events = schema_resource(STR(""), STR("v1"), STR("events"));
    list_init(&recorder->entries);
    return recorder;
}

static void clear_budgets(struct recorder *recorder)
{
    MAP_EACH (it, &recorder->budgets) {
        free(it->value);
    }
    map_done(&recorder->budgets);
}

void recorder_free(struct recorder *recorder)
{
    if (recorder == NULL) {
        return;
    }
    recorder->stopped = true;
    timer_stop(&recorder->retry);
    LIST_EACH_SAFE (it, &recorder->entries) {
        entry_free(container_of(it, struct entry, link));
    }
    map_done(&recorder->by_key);
    clear_budgets(recorder);
    recorder_unref(recorder);
}

/* ---- writing ---- */

static struct val *text_member(struct arena *arena, struct val *object, const char *key,
                               const char *text)
{
    return text != NULL && text[0] != '\0' ? val_set_text(arena, object, str_of(key), str_of(text))
                                           : NULL;
}

static void time_member(struct arena *arena, struct val *object, const char *key, int64_t wall_ns)
{
    char text[TIME_TEXT_SIZE];
    size_t n = time_format(wall_ns, text);
    val_set_text(arena, object, str_of(key), str_at(arena_dup(arena, text, n), n));
}

static struct val *event_body(struct arena *arena, struct recorder *recorder, struct entry *entry)
{
    struct val *event = val_new(arena, VAL_OBJECT);
    text_member(arena, event, "kind", "Event");
    text_member(arena, event, "apiVersion", "v1");
    struct val *meta = val_make_object(arena, event, STR("metadata"));
    text_member(arena, meta, "name", entry->event);
    text_member(arena, meta, "namespace", entry->ns[0] != '\0' ? entry->ns : "default");
    struct val *about = val_make_object(arena, event, STR("involvedObject"));
    text_member(arena, about, "kind", entry->kind);
    text_member(arena, about, "namespace", entry->ns);
    text_member(arena, about, "name", entry->name);
    text_member(arena, about, "uid", entry->uid);
    text_member(arena, about, "apiVersion", entry->api_version);
    if (entry->revision > 0) {
        text_member(arena, about, "resourceVersion",
                    arena_printf(arena, "%llu", (unsigned long long)entry->revision));
    }
    text_member(arena, about, "fieldPath", entry->field_path);
    text_member(arena, event, "reason", entry->reason);
    text_member(arena, event, "message", entry->text);
    struct val *source = val_make_object(arena, event, STR("source"));
    text_member(arena, source, "component", recorder->component);
    text_member(arena, source, "host", recorder->host);
    time_member(arena, event, "firstTimestamp", entry->first_ns);
    time_member(arena, event, "lastTimestamp", entry->last_ns);
    val_set_int(arena, event, STR("count"), entry->count);
    text_member(arena, event, "type", entry->type);
    text_member(arena, event, "reportingComponent", recorder->component);
    val_set_text(arena, event, STR("reportingInstance"), str_of(recorder->host));
    return event;
}

static struct val *count_body(struct arena *arena, struct entry *entry)
{
    struct val *patch = val_new(arena, VAL_OBJECT);
    val_set_int(arena, patch, STR("count"), entry->count);
    time_member(arena, patch, "lastTimestamp", entry->last_ns);
    text_member(arena, patch, "message", entry->text);
    return patch;
}

static void send(struct recorder *recorder, struct entry *entry);

static void retry(struct timer *timer)
{
    struct recorder *recorder = container_of(timer, struct recorder, retry);
    LIST_EACH (it, &recorder->entries) {
        struct entry *entry = container_of(it, struct entry, link);
        if (!entry->in_flight && entry->sent < entry->count && entry->attempts < ATTEMPTS) {
            send(recorder, entry);
        }
    }
}

static bool is_worth_retrying(enum err_code code)
{
    return code != ERR_FORBIDDEN && code != ERR_INVALID && code != ERR_BAD_REQUEST &&
           code != ERR_EXISTS;
}

static void on_posted(void *ctx, const struct client_result *result)
{
    struct post *post = ctx;
    struct recorder *recorder = post->recorder;
    struct entry *entry = post->entry;
    free(post);
    if (!recorder->stopped) {
        entry->in_flight = false;
        if (result->code == 0) {
            entry->created = true;
            entry->attempts = 0;
        } else if (entry->created && result->code == ERR_NOT_FOUND) {
            entry->created = false; /* the event has expired: a new one */
            entry->count = entry->count > entry->sent ? entry->count - entry->sent : 1;
            entry->first_ns = entry->last_ns;
            entry->sent = 0;
        } else {
            entry->sent = entry->created ? entry->sent - 1 : 0;
            entry->attempts = is_worth_retrying(result->code) ? entry->attempts + 1 : ATTEMPTS;
        }
        if (entry->sent < entry->count && entry->attempts == 0) {
            send(recorder, entry);
        } else if (entry->attempts > 0 && entry->attempts < ATTEMPTS &&
                   !timer_armed(&recorder->retry)) {
            timer_start(recorder->client->loop, &recorder->retry, RETRY_NS, retry);
        }
    }
    recorder_unref(recorder);
}

static void name_event(struct recorder *recorder, struct entry *entry)
{
    free(entry->event);
    entry->event = mem_printf(
        "%.200s.%016llx", entry->name,
        (unsigned long long)(clock_wall(loop_clock(recorder->client->loop)) ^
                             (int64_t)(random_u64(loop_random(recorder->client->loop)) & 0xffff)));
}

static void send(struct recorder *recorder, struct entry *entry)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    if (!entry->created) {
        name_event(recorder, entry);
    }
    struct client_request request = {
        .verb = entry->created ? CLIENT_PATCH : CLIENT_CREATE,
        .patch = CLIENT_PATCH_MERGE,
        .resource = recorder->events,
        .ns = entry->ns[0] != '\0' ? str_of(entry->ns) : STR("default"),
        .name = str_of(entry->event),
        .subresource = "",
        .body = entry->created ? count_body(&arena, entry) : event_body(&arena, recorder, entry)};
    struct post *post = mem_new(struct post);
    post->recorder = recorder;
    post->entry = entry;
    recorder->refs++;
    entry->in_flight = true;
    entry->sent = entry->count;
    client_send(recorder->client, &request, on_posted, post);
}

/* ---- taking ---- */

static struct budget *budget_of(struct recorder *recorder, struct str key)
{
    struct budget *budget = map_get(&recorder->budgets, key);
    if (budget == NULL) {
        if (recorder->budgets.count >= ENTRIES) {
            clear_budgets(recorder); /* coarse, and bounded */
        }
        budget = mem_new(struct budget);
        budget->tokens = BURST;
        budget->at_ns = budget->since_ns = loop_mono(recorder->client->loop);
        map_set(&recorder->budgets, key, budget);
    }
    return budget;
}

static bool take_token(struct recorder *recorder, const struct recorder_about *about)
{
    struct budget *budget = budget_of(recorder, about->uid.n > 0 ? about->uid : about->name);
    int64_t now = loop_mono(recorder->client->loop);
    budget->tokens += (double)(now - budget->at_ns) / (double)REFILL_NS;
    budget->tokens = budget->tokens > BURST ? BURST : budget->tokens;
    budget->at_ns = now;
    if (budget->tokens < 1) {
        return false;
    }
    budget->tokens -= 1;
    return true;
}

/* Whether so many texts of this (object, type, reason) were seen lately that they become one. */
static bool is_combined(struct recorder *recorder, struct str similar)
{
    struct budget *budget = budget_of(recorder, similar);
    int64_t now = loop_mono(recorder->client->loop);
    if (now - budget->since_ns > SIMILAR_NS) {
        budget->different = 0;
        budget->since_ns = now;
    }
    return ++budget->different > SIMILAR;
}

static void bound_entries(struct recorder *recorder)
{
    for (struct list *it = recorder->entries.prev;
         it != &recorder->entries && recorder->count > ENTRIES;) {
        struct entry *entry = container_of(it, struct entry, link);
        it = it->prev;
        if (!entry->in_flight) {
            map_remove(&recorder->by_key, str_of(entry->key));
            entry_free(entry);
            recorder->count--;
        }
    }
}

static struct entry *entry_new(struct recorder *recorder, const struct recorder_about *about,
                               const char *type, const char *reason, struct str key,
                               struct str text)
{
    struct entry *entry = mem_new(struct entry);
    entry->key = str_dup(key);
    entry->api_version = str_dup(about->api_version);
    entry->kind = str_dup(about->kind);
    entry->ns = str_dup(about->ns);
    entry->name = str_dup(about->name);
    entry->uid = str_dup(about->uid);
    entry->field_path = str_dup(about->field_path);
    entry->type = mem_dupz(type);
    entry->reason = mem_dupz(reason);
    entry->text = str_dup(text);
    entry->revision = about->revision;
    entry->first_ns = clock_wall(loop_clock(recorder->client->loop));
    list_init(&entry->link);
    map_set(&recorder->by_key, key, entry);
    recorder->count++;
    return entry;
}

__attribute__((format(printf, 5, 0))) static void record(struct recorder *recorder,
                                                         const struct recorder_about *about,
                                                         const char *type, const char *reason,
                                                         const char *format, va_list ap)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    if (!take_token(recorder, about)) {
        return;
    }
    struct str text = str_of(arena_vprintf(&arena, format, ap));
    text.n = text.n > TEXT_MAX ? TEXT_MAX : text.n;
    struct str similar = str_of(
        arena_printf(&arena, "%.*s|%.*s|%.*s|%.*s|%s|%s", STR_ARG(about->uid), STR_ARG(about->ns),
                     STR_ARG(about->name), STR_ARG(about->field_path), type, reason));
    struct str key = str_of(arena_printf(&arena, "%.*s|%.*s", STR_ARG(similar), STR_ARG(text)));
    struct entry *entry = map_get(&recorder->by_key, key);
    if (entry == NULL && is_combined(recorder, similar)) {
        text = str_of(arena_printf(&arena, "(combined from similar events): %.*s", STR_ARG(text)));
        key = similar;
        entry = map_get(&recorder->by_key, key);
    }
    if (entry == NULL) {
        entry = entry_new(recorder, about, type, reason, key, text);
    } else if (!str_is(text, entry->text)) {
        free(entry->text);
        entry->text = str_dup(text);
    }
    entry->count++;
    entry->attempts = 0;
    entry->last_ns = clock_wall(loop_clock(recorder->client->loop));
    list_remove(&entry->link);
    list_prepend(&recorder->entries, &entry->link);
    if (!entry->in_flight) {
        send(recorder, entry);
    }
    bound_entries(recorder);
}

struct recorder_about recorder_about(const struct object *object, struct str field_path)
{
    return (struct recorder_about){.api_version = object_api_version(object),
                                   .kind = str_of(object->resource->kind),
                                   .ns = object->ns,
                                   .name = object->name,
                                   .uid = object->uid,
                                   .field_path = field_path,
                                   .revision = object->revision};
}

void recorder_event_about(struct recorder *recorder, const struct recorder_about *about,
                          const char *type, const char *reason, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    record(recorder, about, type, reason, format, ap);
    va_end(ap);
}

void recorder_event(struct recorder *recorder, const struct object *object, const char *type,
                    const char *reason, const char *format, ...)
{
    struct recorder_about about = recorder_about(object, STR_NONE);
    va_list ap;
    va_start(ap, format);
    record(recorder, &about, type, reason, format, ap);
    va_end(ap);
}

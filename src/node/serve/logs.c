/* logs.c: GET /containerLogs/NS/POD/CONTAINER: follow, previous, tailLines, sinceSeconds,
 * sinceTime, timestamps, limitBytes, stream. Following looks for more each 100 ms and ends when the
 * container has ended and its log is read. Also: rotation of the logs of running containers. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "node/serve/log_file.h"
#include "node/serve/streams.h"

static const int64_t FOLLOW_PERIOD = NS_PER_S / 10;

struct log_body {
    struct http_body body;
    struct stream_item item;
    struct http_exchange *exchange;
    struct agent *agent;
    struct log_reader *reader;
    char *uid, *container, *id;
    struct timer timer;
    struct buf pending;
    size_t pending_at;
    bool follow, ended;
};

/* Whether what we follow may still write. */
static bool still_running(const struct log_body *log)
{
    struct pod_entry *entry = agent_entry(log->agent, str_of(log->uid));
    struct container *container =
        entry != NULL ? pod_worker_container(entry->worker, str_of(log->container)) : NULL;
    return container != NULL && container_live(container) && strcmp(container->id, log->id) == 0;
}

static void on_tick(struct timer *timer)
{
    struct log_body *log = container_of(timer, struct log_body, timer);
    http_resume(log->exchange);
}

static ssize_t body_read(struct http_body *body, char *out, size_t cap)
{
    struct log_body *log = container_of(body, struct log_body, body);
    if (log->pending_at == log->pending.n) {
        bool limit = false, running = log->follow && !log->ended && still_running(log);
        buf_clear(&log->pending);
        log->pending_at = 0;
        if (!log_reader_read(log->reader, cap, &log->pending, &limit)) {
            if (limit || !running) {
                return 0;
            }
            timer_start(log->agent->loop, &log->timer, FOLLOW_PERIOD, on_tick);
            return HTTP_BODY_LATER;
        }
    }
    size_t n = log->pending.n - log->pending_at;
    n = n < cap ? n : cap;
    memcpy(out, log->pending.p + log->pending_at, n);
    log->pending_at += n;
    return (ssize_t)n;
}

static void body_free(struct http_body *body)
{
    struct log_body *log = container_of(body, struct log_body, body);
    timer_stop(&log->timer);
    list_remove(&log->item.link);
    log_reader_free(log->reader);
    buf_done(&log->pending);
    free(log->uid);
    free(log->container);
    free(log->id);
    free(log);
}

/* The agent stops: what is in the file is sent, then the answer ends. */
static void log_end(struct stream_item *item)
{
    struct log_body *log = container_of(item, struct log_body, item);
    log->ended = true;
    list_remove(&item->link);
    timer_stop(&log->timer);
    http_resume(log->exchange);
}

static int64_t number(const struct serve_request *request, const char *key, bool *ret_bad)
{
    struct str text = serve_query(request, key);
    int64_t value = -1;
    if (text.n > 0 && (!str_i64(text, &value) || value < 0)) {
        *ret_bad = true;
    }
    return value;
}

static bool parse_options(const struct serve_request *request, struct log_options *ret_options)
{
    bool bad = false;
    struct str stream = serve_query(request, "stream"), time = serve_query(request, "sinceTime");
    int64_t seconds = number(request, "sinceSeconds", &bad);
    *ret_options = (struct log_options){.tail_lines = number(request, "tailLines", &bad),
                                        .limit_bytes = number(request, "limitBytes", &bad),
                                        .timestamps = serve_query_bool(request, "timestamps"),
                                        .only_stdout = str_is(stream, "Stdout"),
                                        .only_stderr = str_is(stream, "Stderr")};
    if (seconds >= 0) {
        ret_options->since_ns = clock_wall(loop_clock(request->agent->loop)) - seconds * NS_PER_S;
    } else if (time.n > 0 && !time_parse(time, &ret_options->since_ns)) {
        bad = true;
    }
    return !bad;
}

static const struct container *find_container(struct serve_request *request)
{
    return request->entry != NULL && request->part_count >= 3
               ? pod_worker_container(request->entry->worker, request->parts[2])
               : NULL;
}

static bool check(struct serve_request *request, const struct container *container, bool previous)
{
    struct str name = request->parts[2], pod = request->parts[1];
    if (request->entry == NULL) {
        serve_error(request->exchange, 404, "pod \"%.*s\" not found", STR_ARG(pod));
    } else if (container == NULL) {
        serve_error(request->exchange, 404, "container %.*s not found in pod %.*s", STR_ARG(name),
                    STR_ARG(pod));
    } else if (previous && container->restarts == 0) {
        serve_error(request->exchange, 400,
                    "previous terminated container \"%.*s\" in pod \"%.*s\" not found",
                    STR_ARG(name), STR_ARG(pod));
    } else if (!previous && !container->has_run) {
        serve_error(
            request->exchange, 400, "container \"%.*s\" in pod \"%.*s\" is waiting to start: %s",
            STR_ARG(name), STR_ARG(pod),
            container->reason != NULL && container->reason[0] != '\0' ? container->reason
                                                                      : "ContainerCreating");
    } else {
        return true;
    }
    return false;
}

void serve_logs(struct serve_request *request)
{
    const struct container *container = find_container(request);
    bool previous = serve_query_bool(request, "previous");
    struct log_options options;
    struct err err = ERR_INIT;
    if (!check(request, container, previous)) {
        return;
    }
    if (!parse_options(request, &options)) {
        serve_error(request->exchange, 400, "a log option is no valid number or time");
        return;
    }
    bool waits = !container_live(container) && !container->has_end && container->restarts > 0;
    uint32_t run = container->restarts - (previous || waits ? 1 : 0);
    char *path MEM_CLEANUP =
        mem_printf("%s/%s/%u.log", request->entry->log_dir, container->name, run);
    struct log_reader *reader;
    if (log_reader_open(path, &options, &reader, &err) != 0) {
        serve_error(request->exchange, 404, "%s", err.message);
        return;
    }
    struct log_body *log = mem_new(struct log_body);
    log->body = (struct http_body){.read = body_read, .free = body_free, .length = -1};
    log->item.end = log_end;
    log->exchange = request->exchange;
    log->agent = request->agent;
    log->reader = reader;
    log->uid = mem_dupz(request->entry->uid);
    log->container = mem_dupz(container->name);
    log->id = mem_dupz(container->id);
    log->follow = serve_query_bool(request, "follow") && !previous;
    stream_set_add(request->agent, &log->item);
    struct http_header header = {STR("content-type"), STR("text/plain")};
    http_respond(request->exchange, 200, &header, 1, &log->body);
}

/* ---- rotation ---- */

static void reopen(const struct run *run)
{
    char *path MEM_CLEANUP = mem_printf("%s/ctl", run->dir);
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "2 0 0\n", 6);
        close(fd);
    }
}

void agent_rotate_logs(struct agent *agent)
{
    MAP_EACH (it, &agent->pod_entries) {
        struct pod_worker *worker = ((struct pod_entry *)it->value)->worker;
        for (size_t i = 0; i < worker->container_count; i++) {
            struct run *run = worker->containers[i]->user;
            if (run != NULL && run->dir != NULL && container_live(worker->containers[i]) &&
                log_rotate(run->log_path, LOG_ROTATE_BYTES, LOG_FILES_MAX,
                           clock_wall(loop_clock(agent->loop)))) {
                reopen(run);
            }
        }
    }
}

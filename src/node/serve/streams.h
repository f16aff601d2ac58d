/* streams.h: answers of the agent's HTTP surface that last: followed logs, exec, attach, port
 * forwarding. Each is in the agent's set, so that stopping the agent ends them. */
#pragma once
#include "node/agent_int.h"

struct stream_item { /* embedded in each */
    struct list link;
    void (*end)(struct stream_item *item); /* end now: free all; the agent is stopping */
};
struct stream_set {
    struct list items;
};
struct stream_set *stream_set_new(void);
void stream_set_free(struct stream_set *set); /* ends all; NULL is harmless */
void stream_set_add(struct agent *agent, struct stream_item *item);

/* ---- what a request asks for, parsed by handler.c ---- */
enum { SERVE_ARGS_MAX = 256 };
struct serve_request {
    struct agent *agent;
    struct http_exchange *exchange;
    struct arena *arena; /* lives during the call */
    struct str tail;     /* the path after the route's own, as it came */
    struct str parts[6]; /* of it, decoded */
    size_t part_count;
    struct url_query *query;
    size_t query_count;
    struct run *run;         /* when the path names a container that runs or ran */
    struct pod_entry *entry; /* when it names a pod */
};
struct str serve_query(const struct serve_request *request,
                       const char *key); /* the first; or none */
bool serve_query_bool(const struct serve_request *request, const char *key);
void serve_error(struct http_exchange *exchange, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void serve_text(struct http_exchange *exchange, int status, const char *type, struct str body);

void serve_logs(struct serve_request *request);         /* logs.c */
void serve_exec(struct serve_request *request);         /* exec.c */
void serve_attach(struct serve_request *request);       /* attach.c */
void serve_port_forward(struct serve_request *request); /* forward.c */
void serve_dial(struct serve_request *request);         /* dial.c */
void serve_summary(struct serve_request *request);      /* stats.c */
void serve_metrics_resource(struct serve_request *request);
void serve_metrics_cadvisor(struct serve_request *request); /* cadvisor.c */
void serve_metrics_probes(struct serve_request *request);   /* probe/prober.c */
void serve_pods(struct serve_request *request);             /* describe.c */
void serve_running_pods(struct serve_request *request);
void serve_configz(struct serve_request *request);
void serve_system_logs(struct serve_request *request); /* system_logs.c */
void serve_run(struct serve_request *request);         /* run.c */
void serve_checkpoint(struct serve_request *request);

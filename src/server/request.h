/* request.h: one request in flight, whatever it came by (HTTP, or the client in process).
 *
 * Made on its loop, lives on its loop, ends with exactly one answer. All memory of it is in its
 * arena. A handler may answer at once or later; the transport decides what an answer looks like.
 */
#pragma once
#include "api/codec.h"
#include "server/failure.h"
#include "server/identity.h"
#include "server/options.h"
#include "server/route.h"
#include "server/server.h"
#include "wire/http.h"

struct request;

enum accept_form { ACCEPT_OBJECT, ACCEPT_TABLE, ACCEPT_PARTIAL };
enum include_object { INCLUDE_METADATA, INCLUDE_NONE, INCLUDE_OBJECT };
enum accept_format { FORMAT_JSON, FORMAT_YAML, FORMAT_PROTOBUF };
struct accept {
    enum accept_format format, failure_format;
    enum accept_form form;
    enum include_object include; /* rows of a Table */
    bool pretty;                 /* asked for, or a person's tool */
    bool pretty_asked;           /* ?pretty=1: lists too */
    bool gzip;
    bool json;             /* among what is acceptable */
    bool known;            /* some format of ours is, if not in the form that was asked for */
    bool bad;              /* nothing that we can write is acceptable: 406 */
    struct str as, g, v;   /* as asked, for discovery */
    bool openapi_protobuf; /* the protobuf form of /openapi/v2 comes before JSON */
};

enum body_format {
    BODY_JSON,
    BODY_YAML,
    BODY_PROTOBUF,
    BODY_JSON_PATCH,
    BODY_MERGE_PATCH,
    BODY_STRATEGIC_PATCH,
    BODY_APPLY_PATCH,
    BODY_OTHER
};

/* Takes an answer instead of an exchange; request->capture_ctx is its context, the body its own. */
typedef void http_capture_fn(struct request *request, int status, const struct http_header *headers,
                             size_t count, struct http_body *body);

struct audit_note { /* an annotation of the request's audit event */
    struct audit_note *next;
    struct str key, value;
};

struct transport {
    /* An object as stored; the reference is the transport's. */
    void (*object)(struct request *request, int status, struct object *object);
    /* Other JSON (or text); takes the bytes of the buffer. */
    void (*bytes)(struct request *request, int status, const char *content_type, struct buf *bytes);
    void (*fail)(struct request *request, const struct failure *failure);
    /* HTTP only: a body that is pulled; it owns the request from now on. */
    void (*stream)(struct request *request, int status, const char *content_type,
                   struct http_body *body);
};

struct request {
    struct server *server;
    struct loop *loop;
    struct arena arena;
    struct identity *identity; /* reference */
    struct route route;
    struct query_options options;
    struct accept accept;
    enum body_format body_format;
    struct str body;        /* bytes, or */
    struct val *body_value; /* a tape in the arena (in process) */
    struct str user_agent;
    struct str if_none_match;    /* of requests for documents; else absent */
    struct http_header extra[4]; /* of the answer: request_header() */
    size_t extra_count;
    const char *cache_control; /* NULL: "no-cache, private" */
    struct str source;         /* peer address */
    struct codec_warnings warnings;
    struct audit_note *audit; /* newest first: for the audit log */
    const struct transport *transport;
    void *transport_ctx;
    struct http_exchange *exchange;        /* HTTP, and not gone; NULL otherwise */
    void (*gone)(struct request *request); /* the peer left before the answer; may be NULL */
    void *state;                           /* of a handler */
    http_capture_fn *capture;              /* http/call.h; NULL otherwise */
    void *capture_ctx;
    void (*resume)(struct request *request); /* with capture: the body has bytes again; or NULL */
    struct timer timer;                      /* retries of admission */
    int tries;
    int64_t retry_ns; /* set by admission that wants to be asked again after so long */
    int64_t started_ns;
    bool answered;
};

struct request *request_new(struct server *server, struct loop *loop, struct identity *identity,
                            const struct transport *transport);
void request_free(struct request *request);
/* Authorizes and runs it. The route, options and body are set. */
void request_start(struct request *request);

/* Exactly one of these; the request may be gone when they return. */
void request_answer_object(struct request *request, int status, struct object *object); /* takes */
/* `value` is written as `type` (NULL: schemaless). */
void request_answer_value(struct request *request, int status, const struct api_struct *type,
                          const struct val *value);
void request_answer_bytes(struct request *request, int status, const char *content_type,
                          struct buf *bytes); /* takes */
void request_answer_stream(struct request *request, int status, const char *content_type,
                           struct http_body *body); /* takes; the body frees the request */
void request_fail(struct request *request, const struct failure *failure);
/* The body of a streaming answer has bytes again. */
void request_resume(struct request *request);
/* A Status of success, with details of what was deleted (upstream's answer to DELETE). */
void request_answer_success(struct request *request, const struct api_resource *resource,
                            struct str name, struct str uid);

/* Decodes the body as `type`, strictly as the options ask. 0 or failure->code. */
int request_decode(struct request *request, const struct api_struct *type, struct val **ret_value,
                   struct failure *failure);
/* As above, and checks kind and apiVersion against these; fills them in when absent. */
int request_decode_kind(struct request *request, const struct api_struct *type, const char *group,
                        const char *version, const char *kind, struct val **ret_value,
                        struct failure *failure);
/* "v1" or "apps/v1" of a resource. */
struct str api_version_text(struct arena *arena, const char *group, const char *version);
/* fieldManager, or what the user agent calls itself. */
struct str request_manager(const struct request *request);
void request_warn(struct request *request, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* One more header of the answer; `value` lives as long as the request. */
void request_header(struct request *request, const char *name, const char *value);
/* Notes an annotation for the audit log; the last value of a key counts. Texts are copied. */
void request_audit(struct request *request, const char *key, struct str value);

/* What an api_ops callback may ask for. */
struct api_context request_context(struct request *request, struct arena *arena);

typedef void handler_fn(struct request *request);

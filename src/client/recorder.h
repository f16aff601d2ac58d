/* recorder.h: events about objects ("Normal Scheduled ...", "Warning BackOff ..."), written through
 * a client.
 *
 * The same event again raises the count of the first one instead of making another; many that
 * differ only in their text become one "(combined from similar events)"; an object that causes a
 * flood is cut (25 at once, then one in 5 minutes, as client-go's default). Nothing waits for an
 * event: they are sent when they can be, and given up after a while.
 */
#pragma once
#include "client/client.h"

struct recorder;
struct recorder_about { /* views are only used during the call */
    struct str api_version, kind, ns, name, uid;
    struct str field_path; /* "spec.containers{web}" or none */
    uint64_t revision;     /* 0: not said */
};

/* `component` "deployment-controller"; `host` the node's name or "". Both must outlive it. */
struct recorder *recorder_new(struct client *client, const char *component, const char *host);
void recorder_free(struct recorder *recorder);
/* `type` "Normal" or "Warning". */
void recorder_event(struct recorder *recorder, const struct object *about, const char *type,
                    const char *reason, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void recorder_event_about(struct recorder *recorder, const struct recorder_about *about,
                          const char *type, const char *reason, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The same of a field of an object, as the kubelet names containers. */
struct recorder_about recorder_about(const struct object *object, struct str field_path);

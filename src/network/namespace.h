/* namespace.h: network namespaces: made, entered for a moment, kept by a bind mount. */
#pragma once
#include "base/err.h"

/* Descriptor of the calling thread's own network namespace, of the one mounted at `path`, or of
 * /run/netns/NAME for a bare name. */
int namespace_open(const char *path /* NULL: own */, int *ret_fd, struct err *err);
/* The calling thread works in namespace `fd` until namespace_leave(back). */
int namespace_enter(int fd, int *ret_back, struct err *err);
void namespace_leave(int back); /* closes `back`; aborts when there is no way home */
/* A new, empty namespace; the thread stays where it was. It lives as long as a descriptor, a mount
 * or a process holds it. */
int namespace_new(int *ret_fd, struct err *err);
/* Keeps namespace `fd` at `path` (made, must not exist) beyond our own life. */
int namespace_bind(int fd, const char *path, struct err *err);
/* Takes the mount (if any) and the file away. Absent is fine. */
int namespace_unbind(const char *path, struct err *err);
bool namespace_is_bound(const char *path); /* a namespace is mounted there */
/* Writes /proc/sys/net/KEY ("ipv4/ip_forward") of the namespace the thread is in. */
int namespace_sysctl(const char *key, const char *value, struct err *err);

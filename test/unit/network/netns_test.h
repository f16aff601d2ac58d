/* netns_test.h: a test process in network and mount namespaces of its own, so whatever it makes
 * ends with it. Needs root; without it every test is skipped. */
#pragma once
#include "../cmocka_all.h"

#include <stdbool.h>

#include "api/object.h"
#include "io/loop.h"
#include "network/network.h"

bool netns_test_enter(void); /* once, first; false: not allowed here */
/* Runs the loop for about `ms`. */
void netns_test_run(struct loop *loop, int ms);
/* A socket made inside the namespace at `path` (NULL: the test's own). */
int netns_test_socket(const char *path, int type);
int netns_test_listen(const char *path, int type, const char *address, uint16_t port);
/* Connects (TCP: waits at most `ms`); returns the socket or -1 with errno. */
int netns_test_connect(const char *path, int type, const char *address, uint16_t port, int ms);
/* Index of the listener that has a connection waiting, which is accepted and closed; -1: none in
 * `ms`. ret_peer may be NULL. */
int netns_test_accepted(const int *listeners, int count, int ms, char ret_peer[16]);
/* An object from JSON with ' for ". */
struct object *netns_test_object(const char *group, const char *version, const char *plural,
                                 const char *json);

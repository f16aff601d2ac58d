/* service_rules.h: table `cox` in the kernel: the fixed rules, and struct service_ops on top.
 * Internal to network/. */
#pragma once
#include "network/nft.h"
#include "network/pods.h"
#include "network/service_port.h"

struct service_rules;
struct service_rules_options {
    int netns_fd;
    struct address_range pods, cluster, services;
    uint32_t dns_address; /* the DNS server in process; 0: none */
};
/* Opens, and makes the table when there is none (or one of another layout); one that is there goes
 * on serving until service_rules_reset(). */
int service_rules_new(const struct service_rules_options *options, struct service_rules **ret_rules,
                      struct err *err);
void service_rules_free(struct service_rules *rules); /* the table stays */
/* Begins a batch in which the table is made anew, host ports and nodes included; sticky clients of
 * balancers that come again are kept. */
int service_rules_reset(struct service_rules *rules, struct err *err);
extern const struct service_ops service_rules_ops; /* ctx: struct service_rules */
/* Everything since the last commit, at one instant. After a failure the kernel is as before, and
 * only a reset brings both together again. */
int service_rules_commit(struct service_rules *rules, struct err *err);
/* Committed at once. */
int service_rules_host_ports(struct service_rules *rules, bool add, const struct host_port *ports,
                             size_t count, struct err *err);
int service_rules_node(struct service_rules *rules, bool add, uint32_t address, struct err *err);
/* Deletes the table; absent is fine. */
int service_rules_remove(int netns_fd, struct err *err);

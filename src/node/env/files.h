/* files.h: the small files every pod gets: /etc/hosts, /etc/resolv.conf, its host name. */
#pragma once
#include "node/env/view.h"

struct pod_files_facts {
    struct str pod_ip; /* empty: not managed (host network reads the host's own file) */
    struct str cluster_dns, cluster_domain;
    struct str host_resolv_conf; /* text of the node's */
    struct str host_hosts;       /* text of the node's /etc/hosts, for hostNetwork pods */
    struct str node_name;
};
void pod_hosts_text(const struct val *pod, const struct pod_files_facts *facts, struct buf *out);
void pod_resolv_text(const struct val *pod, const struct pod_files_facts *facts, struct buf *out);
/* spec.hostname or the pod's name, at most 63 bytes (cut as upstream: no trailing '-' or '.'). */
struct str pod_hostname(const struct val *pod);
/* hostname.subdomain.ns.svc.domain, or the hostname. */
void pod_hostname_text(const struct val *pod, const struct pod_files_facts *facts, struct buf *out);

/* nft.c: tables, chains, sets and elements as netlink messages, and the transaction around them.
 *
 * Invariants: each message is built in place in the batch's buffer within NFT_MESSAGE_ROOM bytes
 * (names are at most 128 bytes, a rule has at most a dozen expressions), elements of one set are
 * gathered in messages of up to ELEMENTS_MESSAGE_MAX; the messages stand between
 * NFNL_MSG_BATCH_BEGIN and _END, so the kernel applies all or none. It works inside sendmsg, so the
 * answers are there when it returns.
 */
#include "network/nft.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "network/netlink.h"
#include "network/nft_int.h"

enum { ELEMENTS_MESSAGE_MAX = 16384 };

/* The header of a message of the batch; `resource` is the subsystem for begin and end. */
static struct nlmsghdr *put_header(struct nft_batch *batch, uint16_t type, uint16_t flags,
                                   uint8_t family, uint16_t resource)
{
    char *at = buf_room(&batch->bytes, NFT_MESSAGE_ROOM);
    struct nlmsghdr *message = mnl_nlmsg_put_header(at);
    message->nlmsg_type = type;
    message->nlmsg_flags = NLM_F_REQUEST | flags;
    message->nlmsg_seq = ++batch->changes;
    struct nfgenmsg *info = mnl_nlmsg_put_extra_header(message, sizeof *info);
    info->nfgen_family = family;
    info->version = NFNETLINK_V0;
    info->res_id = __builtin_bswap16(resource);
    return message;
}

struct nlmsghdr *nft_message(struct nft_batch *batch, uint16_t type, uint16_t flags)
{
    return put_header(batch, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, NFPROTO_IPV4, 0);
}

void nft_message_end(struct nft_batch *batch, struct nlmsghdr *message)
{
    batch->bytes.n += NLMSG_ALIGN(message->nlmsg_len);
}

void nft_begin(struct nft_batch *batch)
{
    batch->changes = 0;
    batch->elements.end = 0; /* nothing ends there */
    buf_clear(&batch->bytes);
    nft_message_end(batch,
                    put_header(batch, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

void nft_done(struct nft_batch *batch)
{
    buf_done(&batch->bytes);
    *batch = (struct nft_batch){0};
}

/* Reads what the kernel said about the batch; the first error counts. */
static int read_answers(struct netlink *netlink, struct err *err)
{
    char bytes[8192];
    int os_errno = 0;
    uint32_t which = 0;
    for (;;) {
        ssize_t n = recv(mnl_socket_get_fd(netlink->socket), bytes, sizeof bytes, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            os_errno = os_errno != 0 || errno == EAGAIN ? os_errno : errno;
            break;
        }
        const struct nlmsghdr *answer = (const struct nlmsghdr *)(void *)bytes;
        int left = (int)n;
        for (; mnl_nlmsg_ok(answer, left); answer = mnl_nlmsg_next(answer, &left)) {
            const struct nlmsgerr *error = mnl_nlmsg_get_payload(answer);
            if (answer->nlmsg_type == NLMSG_ERROR && error->error != 0 && os_errno == 0) {
                os_errno = -error->error;
                which = error->msg.nlmsg_type & 0xFF;
            }
        }
    }
    return os_errno == 0 ? 0 : err_os(err, os_errno, "nftables: change of kind %u", which);
}

int nft_commit(struct nft_batch *batch, struct netlink *netlink, struct err *err)
{
    nft_message_end(batch,
                    put_header(batch, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
    int fd = mnl_socket_get_fd(netlink->socket);
    int room = (int)batch->bytes.n * 2 + (1 << 16);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) != 0) {
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    }
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t n;
    do {
        n = sendto(fd, batch->bytes.p, batch->bytes.n, 0, (struct sockaddr *)&kernel,
                   sizeof kernel);
    } while (n < 0 && errno == EINTR);
    int os_errno = errno;
    buf_clear(&batch->bytes);
    int rc = read_answers(netlink, err);
    return rc != 0 ? rc : n < 0 ? err_os(err, os_errno, "nftables: send changes") : 0;
}

void nft_table_add(struct nft_batch *batch)
{
    struct nlmsghdr *message = nft_message(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE);
    mnl_attr_put_strz(message, NFTA_TABLE_NAME, NFT_TABLE);
    nft_put_u32(message, NFTA_TABLE_FLAGS, 0);
    nft_message_end(batch, message);
}

void nft_table_delete(struct nft_batch *batch)
{
    struct nlmsghdr *message = nft_message(batch, NFT_MSG_DELTABLE, 0);
    mnl_attr_put_strz(message, NFTA_TABLE_NAME, NFT_TABLE);
    nft_message_end(batch, message);
}

void nft_chain_add(struct nft_batch *batch, const char *name, const struct nft_hook *hook)
{
    struct nlmsghdr *message = nft_message(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    mnl_attr_put_strz(message, NFTA_CHAIN_TABLE, NFT_TABLE);
    mnl_attr_put_strz(message, NFTA_CHAIN_NAME, name);
    if (hook != NULL) {
        struct nlattr *nest = mnl_attr_nest_start(message, NFTA_CHAIN_HOOK);
        nft_put_u32(message, NFTA_HOOK_HOOKNUM, hook->hook);
        nft_put_u32(message, NFTA_HOOK_PRIORITY, (uint32_t)hook->priority);
        mnl_attr_nest_end(message, nest);
        nft_put_u32(message, NFTA_CHAIN_POLICY, NF_ACCEPT);
        mnl_attr_put_strz(message, NFTA_CHAIN_TYPE, hook->type);
    }
    nft_message_end(batch, message);
}

void nft_chain_delete(struct nft_batch *batch, const char *name)
{
    struct nlmsghdr *message = nft_message(batch, NFT_MSG_DELCHAIN, 0);
    mnl_attr_put_strz(message, NFTA_CHAIN_TABLE, NFT_TABLE);
    mnl_attr_put_strz(message, NFTA_CHAIN_NAME, name);
    nft_message_end(batch, message);
}

void nft_chain_flush(struct nft_batch *batch, const char *name)
{
    struct nlmsghdr *message = nft_message(batch, NFT_MSG_DELRULE, 0);
    mnl_attr_put_strz(message, NFTA_RULE_TABLE, NFT_TABLE);
    mnl_attr_put_strz(message, NFTA_RULE_CHAIN, name);
    nft_message_end(batch, message);
}

/* nft's number for a concatenation: six bits a field. */
static uint32_t type_number(const uint8_t types[4], uint32_t *ret_bytes)
{
    uint32_t number = 0, cells = 0;
    for (; cells < 4 && types[cells] != 0; cells++) {
        number = number << 6 | types[cells];
    }
    *ret_bytes = cells > 1                       ? cells * 4
                 : types[0] == NFT_TYPE_PORT     ? 2
                 : types[0] == NFT_TYPE_PROTOCOL ? 1
                                                 : 4;
    return number;
}

void nft_set_add(struct nft_batch *batch, const struct nft_set *set)
{
    uint32_t bytes = 0;
    bool data = set->data[0] != 0;
    uint32_t flags = data || set->verdicts ? NFT_SET_MAP : 0;
    flags |= set->dynamic ? NFT_SET_EVAL | NFT_SET_TIMEOUT : 0;
    struct nlmsghdr *message = nft_message(batch, NFT_MSG_NEWSET, NLM_F_CREATE);
    mnl_attr_put_strz(message, NFTA_SET_TABLE, NFT_TABLE);
    mnl_attr_put_strz(message, NFTA_SET_NAME, set->name);
    nft_put_u32(message, NFTA_SET_FLAGS, flags);
    nft_put_u32(message, NFTA_SET_KEY_TYPE, type_number(set->key, &bytes));
    nft_put_u32(message, NFTA_SET_KEY_LEN, bytes);
    if (set->verdicts) {
        nft_put_u32(message, NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT);
    } else if (data) {
        nft_put_u32(message, NFTA_SET_DATA_TYPE, type_number(set->data, &bytes));
        nft_put_u32(message, NFTA_SET_DATA_LEN, bytes);
    }
    nft_put_u32(message, NFTA_SET_ID, batch->changes);
    if (set->dynamic) {
        mnl_attr_put_u64(message, NFTA_SET_TIMEOUT, __builtin_bswap64(set->timeout_ms));
    }
    if (set->size_limit != 0) {
        struct nlattr *nest = mnl_attr_nest_start(message, NFTA_SET_DESC);
        nft_put_u32(message, NFTA_SET_DESC_SIZE, set->size_limit);
        mnl_attr_nest_end(message, nest);
    }
    nft_message_end(batch, message);
}

void nft_set_delete(struct nft_batch *batch, const char *name)
{
    struct nlmsghdr *message = nft_message(batch, NFT_MSG_DELSET, 0);
    mnl_attr_put_strz(message, NFTA_SET_TABLE, NFT_TABLE);
    mnl_attr_put_strz(message, NFTA_SET_NAME, name);
    nft_message_end(batch, message);
}

void nft_put_verdict(struct nlmsghdr *message, int code, const char *chain)
{
    struct nlattr *verdict = mnl_attr_nest_start(message, NFTA_DATA_VERDICT);
    nft_put_u32(message, NFTA_VERDICT_CODE, (uint32_t)code);
    if (chain != NULL) {
        mnl_attr_put_strz(message, NFTA_VERDICT_CHAIN, chain);
    }
    mnl_attr_nest_end(message, verdict);
}

static void put_cells(struct nlmsghdr *message, uint16_t attribute, const uint32_t *cells,
                      unsigned count)
{
    struct nlattr *nest = mnl_attr_nest_start(message, attribute);
    mnl_attr_put(message, NFTA_DATA_VALUE, count * 4, cells);
    mnl_attr_nest_end(message, nest);
}

/* A message to put elements of `set` into: the last one again, when it is of the same kind. One set
 * is looked up once a message, by its name among all sets. */
static struct nlmsghdr *open_elements(struct nft_batch *batch, uint16_t type, uint16_t flags,
                                      const char *set, struct nlattr **ret_list)
{
    struct nlmsghdr *message;
    size_t start = batch->elements.message;
    if (batch->elements.end == batch->bytes.n && batch->elements.type == type &&
        batch->bytes.n - start < ELEMENTS_MESSAGE_MAX && strcmp(batch->elements.set, set) == 0) {
        buf_room(&batch->bytes, NFT_MESSAGE_ROOM);
        batch->bytes.n = start;
        message = (struct nlmsghdr *)(void *)(batch->bytes.p + start);
        *ret_list = (struct nlattr *)(void *)(batch->bytes.p + batch->elements.list);
        return message;
    }
    message = nft_message(batch, type, flags);
    mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_TABLE, NFT_TABLE);
    mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_SET, set);
    *ret_list = mnl_attr_nest_start(message, NFTA_SET_ELEM_LIST_ELEMENTS);
    batch->elements.message = batch->bytes.n;
    batch->elements.list = (size_t)((const char *)*ret_list - batch->bytes.p);
    batch->elements.type = type;
    snprintf(batch->elements.set, sizeof batch->elements.set, "%s", set);
    return message;
}

static void put_data(struct nlmsghdr *message, const struct nft_element *element)
{
    if (element->verdict_chain != NULL || element->verdict_drop) {
        struct nlattr *data = mnl_attr_nest_start(message, NFTA_SET_ELEM_DATA);
        nft_put_verdict(message, element->verdict_drop ? NF_DROP : NFT_GOTO,
                        element->verdict_chain);
        mnl_attr_nest_end(message, data);
    } else if (element->data != NULL) {
        put_cells(message, NFTA_SET_ELEM_DATA, element->data, element->data_cells);
    }
    if (element->timeout_ms != 0) {
        mnl_attr_put_u64(message, NFTA_SET_ELEM_TIMEOUT, __builtin_bswap64(element->timeout_ms));
    }
    if (element->expires_ms != 0) {
        mnl_attr_put_u64(message, NFTA_SET_ELEM_EXPIRATION, __builtin_bswap64(element->expires_ms));
    }
}

static void put_element(struct nft_batch *batch, uint16_t type, uint16_t flags, const char *set,
                        const struct nft_element *element)
{
    struct nlattr *list;
    struct nlmsghdr *message = open_elements(batch, type, flags, set, &list);
    struct nlattr *item = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
    put_cells(message, NFTA_SET_ELEM_KEY, element->key, element->key_cells);
    if (type == NFT_MSG_NEWSETELEM) {
        put_data(message, element);
    }
    mnl_attr_nest_end(message, item);
    mnl_attr_nest_end(message, list);
    nft_message_end(batch, message);
    batch->elements.end = batch->bytes.n;
}

void nft_element_add(struct nft_batch *batch, const char *set, const struct nft_element *element)
{
    put_element(batch, NFT_MSG_NEWSETELEM, NLM_F_CREATE, set, element);
}

void nft_element_delete(struct nft_batch *batch, const char *set, const struct nft_element *element)
{
    put_element(batch, NFT_MSG_DELSETELEM, 0, set, element);
}

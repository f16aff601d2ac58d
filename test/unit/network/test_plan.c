/* test_plan.c: the service plan alone: random states one after the other, applied to a model of the
 * kernel that refuses what the kernel refuses, and compared with what each state should look like.
 */
#include "../cmocka_all.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/random.h"
#include "network/service_port.h"

enum { SLOTS_MAX = 64 };

struct chain {
    bool is_balancer;
    uint32_t affinity_s, rules_for, used; /* used: targets and entries that name it */
    struct endpoint slots[SLOTS_MAX];
    bool filled[SLOTS_MAX];
    char names[2][SERVICE_NAME_SIZE]; /* chains that its rules name */
    bool has_rules;
};
struct kernel {
    struct map chains;  /* by name */
    struct map targets; /* by key: struct service_target */
    struct map local;   /* by address: count */
    int changes;
};

static struct chain *chain_of(struct kernel *kernel, const char *name)
{
    struct chain *chain = map_get(&kernel->chains, str_of(name));
    assert_non_null(chain);
    return chain;
}

static void name_chain(struct kernel *kernel, const char *name, int by)
{
    if (name != NULL && name[0] != 0) {
        chain_of(kernel, name)->used += (uint32_t)by;
    }
}

static void add_chain(struct kernel *kernel, const char *name, bool is_balancer,
                      uint32_t affinity_s)
{
    struct chain *chain = mem_new(struct chain);
    chain->is_balancer = is_balancer;
    chain->affinity_s = affinity_s;
    assert_null(map_set(&kernel->chains, str_of(name), chain));
}

static void drop_chain(struct kernel *kernel, const char *name)
{
    struct chain *chain = chain_of(kernel, name);
    for (int i = 0; i < 2; i++) {
        name_chain(kernel, chain->names[i], -1);
    }
    assert_int_equal(chain->used, 0); /* EBUSY */
    free(map_remove(&kernel->chains, str_of(name)));
}

static void balancer(void *ctx, bool add, const char *name, uint32_t affinity_s)
{
    ((struct kernel *)ctx)->changes++;
    if (add) {
        add_chain(ctx, name, true, affinity_s);
    } else {
        drop_chain(ctx, name);
    }
}

static void slot(void *ctx, bool add, const char *name, bool affine, uint32_t index,
                 const struct endpoint *endpoint)
{
    struct chain *chain = chain_of(ctx, name);
    ((struct kernel *)ctx)->changes++;
    assert_true(index < SLOTS_MAX);
    assert_int_equal(chain->filled[index], !add); /* EEXIST, ENOENT */
    if (affine && add) {
        for (int i = 0; i < SLOTS_MAX; i++) { /* the set of members has each once */
            assert_false(chain->filled[i] &&
                         memcmp(&chain->slots[i], endpoint, sizeof *endpoint) == 0);
        }
    }
    chain->filled[index] = add;
    chain->slots[index] = *endpoint;
}

static void balancer_rules(void *ctx, const char *name, uint32_t count, uint32_t affinity_s)
{
    struct chain *chain = chain_of(ctx, name);
    ((struct kernel *)ctx)->changes++;
    chain->rules_for = count;
    chain->affinity_s = affinity_s;
}

static void entry(void *ctx, bool add, const char *name)
{
    ((struct kernel *)ctx)->changes++;
    if (add) {
        add_chain(ctx, name, false, 0);
    } else {
        drop_chain(ctx, name);
    }
}

static void write_names(struct kernel *kernel, const char *name, const char *first,
                        const char *second)
{
    struct chain *chain = chain_of(kernel, name);
    for (int i = 0; i < 2; i++) {
        name_chain(kernel, chain->names[i], -1);
        snprintf(chain->names[i], SERVICE_NAME_SIZE, "%s",
                 i == 0           ? first
                 : second != NULL ? second
                                  : "");
        name_chain(kernel, chain->names[i], 1);
    }
    chain->has_rules = true;
    kernel->changes++;
}

static void entry_rules(void *ctx, const struct service_entry_rules *rules)
{
    write_names(ctx, rules->name, rules->all, rules->is_local ? rules->local : NULL);
}

static void filter_rules(void *ctx, const char *name, const char *to,
                         const struct address_range *sources, size_t count)
{
    write_names(ctx, name, to, NULL);
}

static void target_key(const struct service_target *target, char ret_key[64])
{
    snprintf(ret_key, 64, "%d/%x/%u/%u", target->node_port, target->address, target->protocol,
             target->port);
}

static void target(void *ctx, bool add, const struct service_target *item)
{
    struct kernel *kernel = ctx;
    char key[64];
    target_key(item, key);
    kernel->changes++;
    struct service_target *known = map_get(&kernel->targets, str_of(key));
    if (add) {
        assert_null(known);
        known = mem_new(struct service_target);
        *known = *item;
        map_set(&kernel->targets, str_of(key), known);
        name_chain(kernel, item->chain, 1);
    } else {
        assert_non_null(known);
        assert_memory_equal(known, item, sizeof *item);
        name_chain(kernel, item->chain, -1);
        free(map_remove(&kernel->targets, str_of(key)));
    }
}

static void local_endpoint(void *ctx, bool add, uint32_t address)
{
    struct kernel *kernel = ctx;
    char key[16];
    snprintf(key, sizeof key, "%x", address);
    uintptr_t count = (uintptr_t)map_get(&kernel->local, str_of(key));
    assert_true(add || count > 0);
    count = add ? count + 1 : count - 1;
    if (count == 0) {
        map_remove(&kernel->local, str_of(key));
    } else {
        map_set(&kernel->local, str_of(key), (void *)count);
    }
}

static const struct service_ops ops = {.balancer = balancer,
                                       .slot = slot,
                                       .balancer_rules = balancer_rules,
                                       .entry = entry,
                                       .entry_rules = entry_rules,
                                       .filter_rules = filter_rules,
                                       .target = target,
                                       .local_endpoint = local_endpoint};

/* ---- states ---- */

static struct service_port *random_port(struct random *random)
{
    struct service_port *port = mem_new(struct service_port);
    snprintf(port->id, sizeof port->id, "uid-tcp-80");
    port->protocol = IPPROTO_TCP;
    port->port = 80;
    port->node_port = random_below(random, 2) == 0 ? 30080 : 0;
    port->affinity_s = random_below(random, 3) == 0 ? 100 + (uint32_t)random_below(random, 2) : 0;
    port->internal_local = random_below(random, 3) == 0;
    port->external_local = random_below(random, 3) == 0;
    *vec_push(&port->vips) = (struct vip){.address = 0x0A600001};
    if (random_below(random, 2) == 0) {
        *vec_push(&port->vips) = (struct vip){.address = 0x0A600002, .external = true};
    }
    if (random_below(random, 3) == 0) {
        *vec_push(&port->vips) =
            (struct vip){.address = 0x0A600003, .external = true, .filtered = true};
        if (random_below(random, 2) == 0) {
            *vec_push(&port->sources) = (struct address_range){
                .base = (uint32_t)random_below(random, 3) << 24, .prefix = 8, .set = true};
        }
    }
    for (uint32_t i = 0; i < 12; i++) {
        struct endpoint endpoint = {0x0AF40000 + i, 8080};
        uint64_t kind = random_below(random, 6);
        if (kind < 2) {
            *vec_push(&port->all) = endpoint;
            if (kind == 1) {
                *vec_push(&port->all) = endpoint; /* named by two slices */
                *vec_push(&port->local) = endpoint;
            }
        }
    }
    return port;
}

static void free_port(struct service_port *port)
{
    if (port != NULL) {
        service_port_done(port);
        free(port);
    }
}

static void check_balancer(struct kernel *kernel, const char *name,
                           const struct endpoints *endpoints, uint32_t affinity_s)
{
    struct chain *chain = chain_of(kernel, name);
    assert_int_equal(chain->rules_for, endpoints->count);
    assert_int_equal(chain->affinity_s, affinity_s);
    for (size_t i = 0; i < SLOTS_MAX; i++) {
        assert_int_equal(chain->filled[i], i < endpoints->count);
        if (i < endpoints->count) {
            assert_memory_equal(&chain->slots[i], &endpoints->items[i], sizeof chain->slots[i]);
        }
    }
}

static void check(struct kernel *kernel, const struct service_port *port)
{
    if (port == NULL) {
        assert_int_equal(kernel->chains.count, 0);
        assert_int_equal(kernel->targets.count, 0);
        assert_int_equal(kernel->local.count, 0);
        return;
    }
    char name[SERVICE_NAME_SIZE];
    snprintf(name, sizeof name, "%s-%s", port->affinity_s != 0 ? "sa" : "s", port->id);
    if (port->all.count > 0) {
        check_balancer(kernel, name, &port->all, port->affinity_s);
    }
    assert_int_equal(kernel->targets.count, port->vips.count + (port->node_port != 0));
    assert_int_equal(map_get(&kernel->chains, str_of(name)) != NULL, port->all.count > 0);
    MAP_EACH (item, &kernel->targets) {
        const struct service_target *at = item->value;
        assert_int_equal(at->verdict == SERVICE_REJECT, port->all.count == 0);
    }
}

static void random_states(void **state)
{
    struct random random;
    random_seeded_init(&random, 7);
    for (int run = 0; run < 200; run++) {
        struct kernel kernel = {0};
        struct service_port *now = NULL;
        for (int step = 0; step < 40; step++) {
            struct service_port *next =
                step == 39 || random_below(&random, 10) == 0 ? NULL : random_port(&random);
            service_port_apply(now, next, &ops, &kernel);
            check(&kernel, next);
            free_port(now);
            now = next;
        }
        free_port(now);
        map_done(&kernel.chains);
        map_done(&kernel.targets);
        map_done(&kernel.local);
    }
}

static struct service_port *port_with(uint32_t first, uint32_t count)
{
    struct service_port *port = mem_new(struct service_port);
    snprintf(port->id, sizeof port->id, "uid-tcp-80");
    port->protocol = IPPROTO_TCP;
    port->port = 80;
    *vec_push(&port->vips) = (struct vip){.address = 0x0A600001};
    for (uint32_t i = 0; i < count; i++) {
        *vec_push(&port->all) = (struct endpoint){first + i, 80};
    }
    return port;
}

/* One endpoint replaced in a Service of 60: two elements change, nothing else. */
static void changes_are_few(void **state)
{
    struct kernel kernel = {0};
    struct service_port *a = port_with(100, 60), *b = port_with(100, 60), *c = port_with(100, 59);
    b->all.items[20].address = 900;
    service_port_apply(NULL, a, &ops, &kernel);
    kernel.changes = 0;
    service_port_apply(a, b, &ops, &kernel);
    assert_int_equal(kernel.changes, 2);
    kernel.changes = 0;
    service_port_apply(b, c, &ops, &kernel);
    assert_true(kernel.changes <= 5);
    service_port_apply(c, NULL, &ops, &kernel);
    check(&kernel, NULL);
    free_port(a);
    free_port(b);
    free_port(c);
    map_done(&kernel.chains);
    map_done(&kernel.targets);
    map_done(&kernel.local);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_states),
        cmocka_unit_test(changes_are_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

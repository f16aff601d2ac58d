/* Starting and stopping all controllers of the table, each with its own identity. */
#include <stdlib.h>

#include "base/mem.h"
#include "controllers/controller.h"

struct running {
    const struct controller *controller;
    struct controller_env env;
    void *state;
};

struct controllers {
    struct controllers_options options;
    char *ca_pem;
    struct running *all;
    size_t count;
};

static size_t table_count(void)
{
    size_t count = 0;
    while (controllers_table[count] != NULL) {
        count++;
    }
    return count;
}

struct controllers *controllers_start(struct loop *loop, struct informers *informers,
                                      const struct controllers_options *options)
{
    struct controllers *set = mem_new(struct controllers);
    set->options = *options;
    set->ca_pem = str_dup(options->ca_pem);
    set->options.ca_pem = str_at(set->ca_pem, options->ca_pem.n);
    set->all = mem_array(struct running, table_count());
    for (size_t i = 0; controllers_table[i] != NULL; i++) {
        struct running *running = &set->all[set->count++];
        running->controller = controllers_table[i];
        running->env =
            (struct controller_env){.loop = loop, .informers = informers, .options = &set->options};
        running->env.client =
            options->client_for != NULL
                ? options->client_for(options->client_ctx, controllers_table[i]->name)
                : informers_client(informers);
        running->state = controllers_table[i]->start(&running->env);
    }
    return set;
}

void controllers_stop(struct controllers *set)
{
    if (set == NULL) {
        return;
    }
    while (set->count > 0) {
        struct running *running = &set->all[--set->count];
        running->controller->stop(running->state);
    }
    free(set->all);
    free(set->ca_pem);
    free(set);
}

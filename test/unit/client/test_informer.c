/* client/informer.h, ordered.h, owners.h against the fake API server on virtual time. */
#include <stdio.h>
#include <stdlib.h>

#include "../cmocka_all.h"
#include "base/map.h"
#include "base/mem.h"
#include "client/informer.h"
#include "client/ordered.h"
#include "client/owners.h"
#include "fake_client.h"

struct rig {
    struct loop *loop;
    struct fake_api *api;
    struct client *client;
    struct informers *informers;
    struct informer *informer;
    struct map copy; /* what the handler was told: "ns/name" -> object, with a reference */
    int adds, changes, deletions;
    int answers, last_code;
    bool seen_in_answer;
    struct random random;
};

static const struct api_resource *configmaps(void)
{
    return schema_resource(STR(""), STR("v1"), STR("configmaps"));
}

static char *key_of(const struct object *object)
{
    return mem_printf("%.*s/%.*s", STR_ARG(object->ns), STR_ARG(object->name));
}

static void on_change(void *ctx, struct object *old, struct object *now)
{
    struct rig *rig = ctx;
    char *key MEM_CLEANUP = key_of(now != NULL ? now : old);
    struct object *had = map_get(&rig->copy, str_of(key));
    assert_ptr_equal(had, old); /* each change is told exactly once, in order */
    rig->adds += old == NULL;
    rig->deletions += now == NULL;
    rig->changes += old != NULL && now != NULL;
    if (old != NULL && now != NULL) {
        assert_true(now->revision > old->revision);
        assert_true(str_eq(now->uid, old->uid));
    }
    if (now != NULL) {
        map_set(&rig->copy, str_of(key), object_ref(now));
    } else {
        map_remove(&rig->copy, str_of(key));
    }
    object_unref(had);
}

static void begin(struct rig *rig, uint64_t seed)
{
    *rig = (struct rig){0};
    rig->loop = loop_new_sim(seed, 1800000000LL * NS_PER_S);
    rig->api = fake_api_new(rig->loop);
    rig->client = fake_client_new(rig->api, "tester");
    rig->informers = informers_new(rig->client);
    rig->informer = informers_get(rig->informers, configmaps());
    informer_handle(rig->informer, (struct informer_handler){on_change, rig});
    random_seeded_init(&rig->random, seed);
}

static void end(struct rig *rig)
{
    informers_free(rig->informers);
    fake_api_cancel(rig->api);
    client_free(rig->client);
    fake_api_free(rig->api);
    loop_free(rig->loop);
    MAP_EACH (it, &rig->copy) {
        object_unref(it->value);
    }
    map_done(&rig->copy);
}

static void make(struct rig *rig, const char *ns, const char *name, const char *labels)
{
    fake_createf(rig->api, configmaps(),
                 "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'%s','namespace':'%s',"
                 "'labels':{%s}}}",
                 name, ns, labels);
}

static void run(struct rig *rig, int64_t ms)
{
    loop_run_for(rig->loop, ms * NS_PER_MS);
}

static void on_all_synced(void *ctx)
{
    *(bool *)ctx = true;
}

static void shows_what_is_there_in_order(void **state)
{
    struct rig rig;
    bool synced = false;
    begin(&rig, 1);
    make(&rig, "b", "x", "'app':'web'");
    make(&rig, "a", "y", "");
    make(&rig, "a", "x", "'app':'web'");
    informers_on_synced(rig.informers, on_all_synced, &synced);
    assert_false(informer_synced(rig.informer));
    run(&rig, 100);
    assert_true(synced);
    assert_true(informers_synced(rig.informers));
    assert_int_equal(informer_count(rig.informer), 3);
    assert_non_null(informer_get(rig.informer, STR("a"), STR("y")));
    assert_null(informer_get(rig.informer, STR("b"), STR("y")));
    assert_ptr_equal(informers_get(rig.informers, configmaps()), rig.informer);
    end(&rig);
}

struct names {
    char text[256];
};

static bool add_name(void *ctx, struct object *object)
{
    struct names *names = ctx;
    size_t n = strlen(names->text);
    snprintf(names->text + n, sizeof names->text - n, "%.*s/%.*s ", STR_ARG(object->ns),
             STR_ARG(object->name));
    return true;
}

static void visits_by_namespace_selector_and_index(void **state)
{
    struct rig rig;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    begin(&rig, 2);
    make(&rig, "b", "x", "'app':'web'");
    make(&rig, "a", "y", "");
    make(&rig, "a", "x", "'app':'web'");
    run(&rig, 100);
    struct names names = {{0}};
    informer_each(rig.informer, STR_NONE, NULL, add_name, &names);
    assert_string_equal(names.text, "a/x a/y b/x ");
    names.text[0] = '\0';
    informer_each(rig.informer, STR("a"), NULL, add_name, &names);
    assert_string_equal(names.text, "a/x a/y ");
    struct selector selector;
    assert_int_equal(selector_parse(&arena, STR("app=web"), &selector, NULL), 0);
    names.text[0] = '\0';
    informer_each(rig.informer, STR_NONE, &selector, add_name, &names);
    assert_string_equal(names.text, "a/x b/x ");
    end(&rig);
}

static void keys_of_label(const struct object *object, void (*emit)(void *arg, struct str key),
                          void *arg)
{
    struct str value = object_label_get(object, STR("app"));
    if (value.p != NULL) {
        emit(arg, value);
    }
}

static void indexes_follow(void **state)
{
    struct rig rig;
    begin(&rig, 3);
    make(&rig, "a", "x", "'app':'web'");
    run(&rig, 100);
    informer_index(rig.informer, "app", keys_of_label);
    make(&rig, "a", "y", "'app':'web'");
    make(&rig, "a", "z", "'app':'db'");
    run(&rig, 100);
    struct names names = {{0}};
    informer_each_in(rig.informer, "app", STR("web"), add_name, &names);
    assert_string_equal(names.text, "a/x a/y ");
    fake_patchf(rig.api, configmaps(), "a", "x", "", "{'metadata':{'labels':{'app':'db'}}}");
    fake_delete(rig.api, configmaps(), "a", "y", NULL);
    run(&rig, 100);
    names.text[0] = '\0';
    informer_each_in(rig.informer, "app", STR("web"), add_name, &names);
    assert_string_equal(names.text, "");
    informer_each_in(rig.informer, "app", STR("db"), add_name, &names);
    assert_string_equal(names.text, "a/z a/x ");
    end(&rig);
}

/* ---- own writes ---- */

static void on_answer(void *ctx, const struct client_result *result)
{
    struct rig *rig = ctx;
    rig->answers++;
    rig->last_code = result->code;
    if (result->object != NULL) { /* shown before the writer hears of it */
        const struct object *shown =
            informer_get(rig->informer, result->object->ns, result->object->name);
        rig->seen_in_answer = shown != NULL && shown->revision >= result->object->revision;
    }
}

static void send_write(struct rig *rig, enum client_verb verb, const char *name, const char *value)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *body = val_new(&arena, VAL_OBJECT);
    if (verb == CLIENT_CREATE) {
        val_set_text(&arena, body, STR("kind"), STR("ConfigMap"));
        val_set_text(&arena, body, STR("apiVersion"), STR("v1"));
        val_set_text(&arena, val_make_object(&arena, body, STR("metadata")), STR("name"),
                     str_of(name));
    }
    val_set_text(&arena, val_make_object(&arena, body, STR("data")), STR("v"), str_of(value));
    informer_write(rig->informers,
                   &(struct client_request){.verb = verb,
                                            .resource = configmaps(),
                                            .ns = STR("a"),
                                            .name = str_of(name),
                                            .subresource = "",
                                            .patch = CLIENT_PATCH_MERGE,
                                            .body = verb == CLIENT_DELETE ? NULL : body},
                   on_answer, rig);
}

static void own_writes_show_before_their_answer(void **state)
{
    for (uint64_t seed = 1; seed < 50; seed++) {
        struct rig rig;
        begin(&rig, seed);
        run(&rig, 100);
        send_write(&rig, CLIENT_CREATE, "x", "1");
        while (rig.answers == 0) {
            loop_run_for(rig.loop, NS_PER_MS / 10);
        }
        assert_int_equal(rig.last_code, 0);
        assert_true(rig.seen_in_answer);
        send_write(&rig, CLIENT_PATCH, "x", "2");
        while (rig.answers == 1) {
            loop_run_for(rig.loop, NS_PER_MS / 10);
        }
        assert_true(rig.seen_in_answer);
        send_write(&rig, CLIENT_DELETE, "x", "");
        while (rig.answers == 2) {
            loop_run_for(rig.loop, NS_PER_MS / 10);
        }
        assert_null(informer_get(rig.informer, STR("a"), STR("x")));
        run(&rig, 100); /* older events arrive, and change nothing */
        assert_null(informer_get(rig.informer, STR("a"), STR("x")));
        assert_int_equal(rig.adds, 1);
        assert_int_equal(rig.changes, 1);
        assert_int_equal(rig.deletions, 1);
        end(&rig);
    }
}

static void count_object(void *ctx, struct object *object)
{
    struct rig *rig = ctx;
    const struct object *shown = informer_get(rig->informer, object->ns, object->name);
    assert_non_null(shown);
    assert_int_equal(shown->revision, object->revision);
}

/* Random own and foreign writes, gaps in the watch, objects that come and go under one name: when
 * all is quiet the copy is the server's content, and the handler was told a consistent story. */
static void any_history_ends_equal(void **state)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rig rig;
        begin(&rig, seed);
        fake_api_delays(rig.api, 0, 20 * NS_PER_MS);
        for (int i = 0; i < 150; i++) {
            char name[8];
            snprintf(name, sizeof name, "o%d", (int)random_below(&rig.random, 6));
            bool there = fake_get(rig.api, configmaps(), "a", name) != NULL;
            switch (random_below(&rig.random, 8)) {
            case 0:
            case 1:
                send_write(&rig, CLIENT_CREATE, name, name);
                break;
            case 2:
                send_write(&rig, CLIENT_PATCH, name, i % 2 == 0 ? "even" : "odd");
                break;
            case 3:
                send_write(&rig, CLIENT_DELETE, name, "");
                break;
            case 4:
                if (there) {
                    fake_delete(rig.api, configmaps(), "a", name, NULL);
                } else {
                    make(&rig, "a", name, "");
                }
                break;
            case 5:
                if (there) {
                    fake_patchf(rig.api, configmaps(), "a", name, "", "{'data':{'w':'%d'}}", i);
                }
                break;
            case 6:
                if (random_below(&rig.random, 10) == 0) {
                    fake_api_gap(rig.api, NULL, 30 * NS_PER_MS);
                }
                break;
            default:
                break;
            }
            loop_run_for(rig.loop, (int64_t)random_below(&rig.random, 10 * NS_PER_MS));
        }
        run(&rig, 1000);
        assert_int_equal(informer_count(rig.informer), fake_count(rig.api, configmaps()));
        fake_each(rig.api, configmaps(), count_object, &rig);
        assert_int_equal(rig.copy.count, informer_count(rig.informer));
        end(&rig);
    }
}

static void many_objects_stay_sorted(void **state)
{
    struct ordered set = {0};
    struct random random;
    struct rig rig;
    begin(&rig, 9);
    random_seeded_init(&random, 9);
    size_t count = 0;
    for (int i = 0; i < 3000; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%05d", (int)random_below(&random, 2000));
        struct ordered_entry *found = ordered_find(&set, STR("a"), str_of(name));
        if (found != NULL && random_below(&random, 2) == 0) {
            object_unref(ordered_take(&set, STR("a"), str_of(name)));
            count--;
        } else if (found == NULL) {
            struct arena arena ARENA_CLEANUP = ARENA_INIT;
            struct val *value = val_new(&arena, VAL_OBJECT);
            struct val *meta = val_make_object(&arena, value, STR("metadata"));
            val_set_text(&arena, meta, STR("name"), str_of(name));
            val_set_text(&arena, meta, STR("namespace"), STR("a"));
            ordered_make(&set, STR("a"), str_of(name))->object = object_new(configmaps(), value, 1);
            count++;
        }
        assert_int_equal(set.count, count);
    }
    struct ordered_place place = {0};
    struct ordered_entry *entry, *last = NULL;
    size_t seen = 0;
    while ((entry = ordered_next(&set, &place)) != NULL) {
        assert_true(last == NULL || str_cmp(last->object->name, entry->object->name) < 0);
        last = entry;
        seen++;
    }
    assert_int_equal(seen, count);
    ordered_done(&set);
    end(&rig);
}

static void owners_without_decoding(void **state)
{
    struct rig rig;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    begin(&rig, 4);
    struct object *object = fake_createf(
        rig.api, configmaps(),
        "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'x','namespace':'a',"
        "'annotations':{'ownerReferences':'[{\\'uid\\':1}]}'},'ownerReferences':[{'apiVersion':"
        "'apps/v1','kind':'ReplicaSet','name':'r','uid':'u1','controller':true,"
        "'blockOwnerDeletion':true},{'apiVersion':'v1','kind':'Node','name':'n','uid':'u2'}]},"
        "'data':{'a':'}{'}}");
    struct owner *owners;
    assert_int_equal(owners_of(&arena, object, &owners), 2);
    assert_true(str_is(owners[0].uid, "u1") && str_is(owners[0].kind, "ReplicaSet"));
    assert_true(owners[0].controller && owners[0].block_deletion);
    assert_true(str_is(owners[1].name, "n") && !owners[1].controller);
    assert_true(str_is(object_api_version(object), "v1"));
    assert_true(str_is(object_raw(object, STR("data")), "{\"a\":\"}{\"}"));
    make(&rig, "a", "y", "");
    assert_int_equal(owners_of(&arena, fake_get(rig.api, configmaps(), "a", "y"), &owners), 0);
    end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_what_is_there_in_order),
        cmocka_unit_test(visits_by_namespace_selector_and_index),
        cmocka_unit_test(indexes_follow),
        cmocka_unit_test(own_writes_show_before_their_answer),
        cmocka_unit_test(any_history_ends_equal),
        cmocka_unit_test(many_objects_stay_sorted),
        cmocka_unit_test(owners_without_decoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

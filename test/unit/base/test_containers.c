/* test_containers.c: arena, map, vec, list, random: against simple models. */
#include "../cmocka_all.h"

#include <stdio.h>

#include "base/list.h"
#include "base/map.h"
#include "base/random.h"
#include "base/vec.h"

static void arena_memory_is_zeroed_and_apart(void **state)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    unsigned char *blocks[200];
    for (size_t i = 0; i < 200; i++) {
        blocks[i] = arena_alloc(&arena, i * 7);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        for (size_t k = 0; k < i * 7; k++) {
            assert_int_equal(blocks[i][k], 0);
        }
        memset(blocks[i], (int)i, i * 7);
    }
    for (size_t i = 1; i < 200; i++) {
        assert_int_equal(blocks[i][i * 7 - 1], i);
    }
    assert_string_equal(arena_printf(&arena, "%s-%d", "x", 5), "x-5");
    arena_reset(&arena);
    assert_true(*(char *)arena_alloc(&arena, 64) == 0);
}

static void arena_limit_is_asked(void **state)
{
    struct arena arena ARENA_CLEANUP;
    arena_init(&arena, 10000);
    assert_true(arena_room(&arena, 10000));
    assert_false(arena_room(&arena, 10001));
    arena_alloc(&arena, 100);
    assert_false(arena_room(
        &arena, 9600)); /* what was taken from the heap counts, not what was handed out */
}

enum { KEYS = 300 };

static void map_equals_a_naive_model(void **state)
{
    struct map map = MAP_INIT;
    struct random random;
    void *model[KEYS] = {0};
    random_seeded_init(&random, 42);
    for (int step = 0; step < 50000; step++) {
        char text[16];
        size_t k = random_below(&random, KEYS);
        int n = snprintf(text, sizeof text, "key-%zu", k);
        struct str key = str_at(text, (size_t)n);
        if (random_below(&random, 3) == 0) {
            assert_ptr_equal(map_remove(&map, key), model[k]);
            model[k] = NULL;
        } else {
            void *value = (void *)(uintptr_t)(step + 1);
            assert_ptr_equal(map_set(&map, key, value), model[k]);
            model[k] = value;
        }
        k = random_below(&random, KEYS);
        n = snprintf(text, sizeof text, "key-%zu", k);
        assert_ptr_equal(map_get(&map, str_at(text, (size_t)n)), model[k]);
    }
    size_t live = 0, seen = 0;
    for (size_t k = 0; k < KEYS; k++) {
        live += model[k] != NULL;
    }
    MAP_EACH (entry, &map) {
        seen += entry->value != NULL;
    }
    assert_int_equal(seen, live);
    assert_int_equal(map.count, live);
    map_done(&map);
}

static void map_keeps_insertion_order(void **state)
{
    struct map map = MAP_INIT;
    const char *keys[] = {"z", "a", "m", "b"};
    for (size_t i = 0; i < 4; i++) {
        map_set(&map, str_of(keys[i]), (void *)keys[i]);
    }
    size_t i = 0;
    MAP_EACH (entry, &map) {
        assert_true(str_is(entry->key, keys[i++]));
    }
    map_done(&map);
}

static void vec_and_list(void **state)
{
    struct {
        VEC_OF(int);
    } vec = {0};
    for (int i = 0; i < 100; i++) {
        *vec_push(&vec) = i;
    }
    int sum = 0;
    VEC_EACH (it, &vec) {
        sum += *it;
    }
    assert_int_equal(sum, 4950);
    vec_done(&vec);
    struct list head, items[3];
    list_init(&head);
    for (int i = 0; i < 3; i++) {
        list_append(&head, &items[i]);
    }
    list_remove(&items[1]);
    list_remove(&items[1]);
    assert_ptr_equal(list_pop(&head), &items[0]);
    assert_ptr_equal(list_pop(&head), &items[2]);
    assert_null(list_pop(&head));
}

static void seeded_random_repeats(void **state)
{
    struct random a, b;
    random_seeded_init(&a, 7);
    random_seeded_init(&b, 7);
    char one[UUID_TEXT_SIZE], two[UUID_TEXT_SIZE];
    for (int i = 0; i < 100; i++) {
        random_uuid(&a, one);
        random_uuid(&b, two);
        assert_string_equal(one, two);
        assert_int_equal(one[14], '4');
    }
    bool seen[5] = {0};
    for (int i = 0; i < 1000; i++) {
        seen[random_below(&a, 5)] = true;
    }
    assert_true(seen[0] && seen[1] && seen[2] && seen[3] && seen[4]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_memory_is_zeroed_and_apart),
        cmocka_unit_test(arena_limit_is_asked),
        cmocka_unit_test(map_equals_a_naive_model),
        cmocka_unit_test(map_keeps_insertion_order),
        cmocka_unit_test(vec_and_list),
        cmocka_unit_test(seeded_random_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* address.c: IPv4 ranges and the pool of a node's pod addresses.
 *
 * The pool is a bitmap in memory; it is rebuilt from the mounted namespaces after a restart
 * (pods.c), so nothing is persisted here. Ranges are /8 to /30.
 */
#include "network/address.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

bool address_parse(struct str text, uint32_t *ret_address)
{
    uint32_t address = 0;
    struct str rest = text;
    for (int i = 0; i < 4; i++) {
        uint64_t part;
        struct str digits = str_cut(rest, '.', &rest);
        if (digits.n > 3 || (digits.n > 1 && digits.p[0] == '0') || !str_u64(digits, &part) ||
            part > 255 || (i < 3) != (rest.p != NULL)) {
            return false;
        }
        address = address << 8 | (uint32_t)part;
    }
    *ret_address = address;
    return true;
}

void address_format(uint32_t address, char ret_text[ADDRESS_TEXT_SIZE])
{
    snprintf(ret_text, ADDRESS_TEXT_SIZE, "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
             address >> 8 & 255, address & 255);
}

uint32_t address_range_mask(const struct address_range *range)
{
    return range->prefix == 0 ? 0 : UINT32_MAX << (32 - range->prefix);
}

int address_range_parse(struct str text, struct address_range *ret_range, struct err *err)
{
    struct address_range range = {.set = true};
    if (text.n == 0) {
        *ret_range = (struct address_range){0};
        return 0;
    }
    struct str prefix_text;
    struct str address = str_cut(text, '/', &prefix_text);
    uint64_t prefix;
    if (!address_parse(address, &range.base) || !str_u64(prefix_text, &prefix) || prefix > 32) {
        return err_set(err, ERR_INVALID, "\"%.*s\" is no IPv4 range like 10.244.0.0/24",
                       STR_ARG(text));
    }
    range.prefix = (uint8_t)prefix;
    range.base &= address_range_mask(&range);
    *ret_range = range;
    return 0;
}

static void set_used(struct address_pool *pool, uint32_t i)
{
    pool->used[i / 8] |= (uint8_t)(1u << (i % 8));
}

static bool is_used(const struct address_pool *pool, uint32_t i)
{
    return (pool->used[i / 8] >> (i % 8) & 1) != 0;
}

int address_pool_init(struct address_pool *pool, struct address_range range, struct err *err)
{
    if (!range.set || range.prefix < 8 || range.prefix > 30) {
        return err_set(err, ERR_INVALID, "a node's pod range must be a /8 to a /30");
    }
    uint32_t size = 1u << (32 - range.prefix);
    *pool = (struct address_pool){.range = range, .size = size, .next = 2};
    pool->used = mem_zalloc(size / 8 + 1);
    set_used(pool, 0);
    set_used(pool, 1);
    set_used(pool, size - 1);
    return 0;
}

void address_pool_done(struct address_pool *pool)
{
    free(pool->used);
    pool->used = NULL;
}

bool address_pool_take(struct address_pool *pool, uint32_t *ret_address)
{
    for (uint32_t tried = 0; tried < pool->size; tried++) {
        uint32_t i = pool->next;
        pool->next = i + 1 < pool->size ? i + 1 : 2;
        if (!is_used(pool, i)) {
            set_used(pool, i);
            pool->taken++;
            *ret_address = pool->range.base + i;
            return true;
        }
    }
    return false;
}

bool address_pool_mark(struct address_pool *pool, uint32_t address)
{
    uint32_t i = address - pool->range.base;
    if (!address_in_range(&pool->range, address) || i < 2 || i == pool->size - 1) {
        return false;
    }
    if (!is_used(pool, i)) {
        set_used(pool, i);
        pool->taken++;
        pool->next = i + 1 < pool->size - 1 && i >= pool->next ? i + 1 : pool->next;
    }
    return true;
}

void address_pool_free(struct address_pool *pool, uint32_t address)
{
    uint32_t i = address - pool->range.base;
    if (address_in_range(&pool->range, address) && i >= 2 && i != pool->size - 1 &&
        is_used(pool, i)) {
        pool->used[i / 8] &= (uint8_t) ~(1u << (i % 8));
        pool->taken--;
    }
}

/* selector.c: label selectors, field selectors and quantities out of any bytes; what parses must
 * match without trouble and print as something that parses to the same. */
#include <stdlib.h>

#include "api/quantity.h"
#include "api/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void quantity_round_trip(struct str text)
{
    struct quantity q, again;
    char out[64];
    if (!quantity_parse(text, &q)) {
        return;
    }
    size_t n = quantity_format(q, out);
    if (!quantity_parse(str_at(out, n), &again) || quantity_cmp(q, again) != 0) {
        abort();
    }
    (void)quantity_value(quantity_add(q, again));
    (void)quantity_milli(quantity_sub(q, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"spec.nodeName", "status.phase", NULL};
    static struct str values[2];
    struct api_resource resource = {.field_selectors = names};
    struct object object = {.fields = values, .field_count = 2};
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct str text = str_at((const char *)data, size);
    struct val *labels = val_new(&arena, VAL_OBJECT);
    struct selector selector;
    struct field_selector fields;
    struct err err = ERR_INIT;
    val_set_text(&arena, labels, STR("a"), STR("1"));
    if (selector_parse(&arena, text, &selector, &err) == 0) {
        (void)selector_matches_val(&selector, labels);
        (void)selector_matches(&selector, &object);
    }
    if (field_selector_parse(&arena, &resource, text, &fields, &err) == 0) {
        (void)field_selector_matches(&fields, &object);
    }
    quantity_round_trip(text);
    return 0;
}

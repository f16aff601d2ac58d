/* selector.h: label and field selectors, parsed once, matched against objects at rest or tapes. */
#pragma once
#include "api/object.h"

enum selector_op {
    SELECTOR_IN,
    SELECTOR_NOT_IN,
    SELECTOR_EXISTS,
    SELECTOR_NOT_EXISTS,
    SELECTOR_GT,
    SELECTOR_LT
};
struct selector_term {
    struct str key;
    enum selector_op op;
    struct str *values; /* In, NotIn: sorted; Gt, Lt: one */
    size_t value_count;
    uint64_t
        bloom; /* of key=value for a single-value In: all its bits must be in object.label_bloom */
};
struct selector {
    struct selector_term *terms;
    size_t count;
    bool nothing; /* matches no object (a null metav1.LabelSelector) */
};

/* "a=b,c!=d,e in (f,g),!h" (labels.Parse). Lives in the arena. ERR_BAD_REQUEST. */
int selector_parse(struct arena *arena, struct str text, struct selector *ret_selector,
                   struct err *err);
/* metav1.LabelSelector; absent: matches nothing; empty object: everything. */
int selector_from_val(struct arena *arena, const struct val *label_selector,
                      struct selector *ret_selector, struct err *err);
/* {"a":"b"} as Service.spec.selector; absent or empty: matches nothing. */
void selector_from_map(struct arena *arena, const struct val *map, struct selector *ret_selector);
bool selector_empty(const struct selector *selector); /* matches everything */
bool selector_matches(const struct selector *selector, const struct object *object);
bool selector_matches_val(const struct selector *selector,
                          const struct val *labels); /* a labels map, may be NULL */

/* "metadata.name=x,spec.nodeName!=y": = == != only. ERR_BAD_REQUEST for a field the resource does
 * not allow. */
struct field_term {
    int field; /* -1 metadata.name, -2 metadata.namespace, else index into resource->field_selectors
                */
    bool negate;
    struct str value;
};
struct field_selector {
    struct field_term *terms;
    size_t count;
    const struct api_resource *custom; /* whose selectors they are, when it is a custom kind:
                                          objects at rest may have been written under other ones */
};
int field_selector_parse(struct arena *arena, const struct api_resource *resource, struct str text,
                         struct field_selector *ret_selector, struct err *err);
bool field_selector_matches(const struct field_selector *selector, const struct object *object);

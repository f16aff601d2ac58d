/* quantity.h: resource.Quantity. Value is a decimal: digits * 10^exponent exactly, in 128 bits of
 * nano units. */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct quantity {
    __int128 nano;  /* value * 10^9 */
    uint8_t format; /* 0 DecimalSI, 1 BinarySI, 2 DecimalExponent */
};
bool quantity_parse(struct str text, struct quantity *ret_quantity);
int64_t quantity_value(struct quantity q);                    /* rounded up, saturating at int64 */
int64_t quantity_milli(struct quantity q);                    /* rounded up, saturating */
size_t quantity_format(struct quantity q, char ret_text[64]); /* canonical text ("1500m", "1Gi") */
static inline int quantity_cmp(struct quantity a, struct quantity b)
{
    return (a.nano > b.nano) - (a.nano < b.nano);
}
struct quantity quantity_add(struct quantity a,
                             struct quantity b); /* saturating; format of a (of b if a is zero) */
struct quantity quantity_sub(struct quantity a, struct quantity b);
struct quantity quantity_of_value(int64_t value, uint8_t format);
struct quantity quantity_of_milli(int64_t milli);

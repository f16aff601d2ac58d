/* number.c: floating point numbers as text, both ways, whatever the locale. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"

bool str_double(struct str s, double *ret_value)
{
    char text[400], *end = NULL;
    if (s.n == 0 || s.n >= sizeof text || memchr(s.p, '\0', s.n) != NULL) {
        return false;
    }
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    double value = (double)strtof64(text, &end); /* the process never leaves the C locale */
    if (end != text + s.n || isinf(value) || isnan(value)) {
        return false;
    }
    *ret_value = value;
    return true;
}

/* "1.5e+300" as Go has it: no zero before a single digit of the exponent. */
static size_t tidy_exponent(char *text, size_t n)
{
    if (n > 4 && text[n - 4] == 'e' && text[n - 3] == '-' && text[n - 2] == '0') {
        text[n - 2] = text[n - 1];
        text[--n] = '\0';
    }
    return n;
}

size_t double_format(double value, char ret_text[DOUBLE_TEXT_SIZE])
{
    double again = 0, size = fabs(value);
    int digits = 0, n = 0;
    if (value == 0 || isinf(value) || isnan(value)) {
        ret_text[0] = '0';
        ret_text[1] = '\0';
        return 1;
    }
    do { /* the fewest digits that give the same number */
        n = snprintf(ret_text, DOUBLE_TEXT_SIZE, "%.*e", digits, value);
    } while (++digits <= 17 &&
             (!str_double(str_at(ret_text, (size_t)n), &again) || again != value));
    if (size < 1e-6 || size >= 1e21) {
        return tidy_exponent(ret_text, (size_t)n);
    }
    for (int places = 0; places <= 24; places++) { /* the fewest places that do */
        n = snprintf(ret_text, DOUBLE_TEXT_SIZE, "%.*f", places, value);
        if (str_double(str_at(ret_text, (size_t)n), &again) && again == value) {
            break;
        }
    }
    return (size_t)n;
}

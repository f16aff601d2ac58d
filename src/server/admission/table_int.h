/* table_int.h: one row a plug-in, in upstream's order. */
#pragma once
#include "server/admission/admission.h"

enum admission_state {
    ADMISSION_ON,       /* by default */
    ADMISSION_OFF,      /* only when asked for */
    ADMISSION_HARDENED, /* with --hardened, or when asked for */
    ADMISSION_ALWAYS    /* part of what a write is: cannot be turned off */
};
struct admission_row {
    const char *name;                  /* upstream's, or our own for ADMISSION_ALWAYS */
    const struct admission_step *step; /* NULL: known, does nothing here */
    enum admission_state state;
};
extern const struct admission_row admission_rows[];
extern const size_t admission_row_count;

/* time_zone.h: which time zones there are. */
#pragma once
#include "base/str.h"

/* Whether the IANA database has it, to the letter: "Europe/Paris", "UTC". */
bool time_zone_known(struct str name);

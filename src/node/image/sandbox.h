/* sandbox.h: walls around the children that touch what strangers made (archives, registries). */
#pragma once
#include "base/err.h"

/* chroot into `dir`, no network, no capabilities but those for making files, no new privileges,
 * bounded memory and descriptors. For the process that unpacks. */
int sandbox_enter_folder(const char *dir, struct err *err);
/* For the process that downloads: Landlock lets it write below `dir` only (read anywhere);
 * capabilities dropped, no new privileges. A kernel without Landlock: only the rest. */
int sandbox_write_only_in(const char *dir, struct err *err);

/* storage.h: what pods, claims, volumes and attachments share. */
#pragma once
#include "api/validation.h"

/* What a volume is: one member of a pod's volume, or of a PersistentVolume's spec. The sources that
 * both know; of a persistent one some members are stricter. `path` is of the volume or spec, `name`
 * the member. */
void volume_source_check(struct field_errors *errors, const struct path *path, const char *name,
                         const struct val *source, bool persistent);

/* Since when an old source is not to be used; NULL for all others. */
const char *volume_source_deprecation(struct str name);

/* Spec of a PersistentVolume called `name`. `inlined`: written into a VolumeAttachment, where much
 * of it may not be. */
void persistent_volume_spec_check(struct field_errors *errors, const struct path *path,
                                  const struct val *spec, struct str name, bool inlined);

/* Spec of a PersistentVolumeClaim, or of the template of one. */
void claim_spec_check(struct field_errors *errors, const struct path *path, const struct val *spec);
void claim_spec_warn(struct api_context *ctx, const struct path *path, const struct val *spec);

/* accessModes of both; `missing`: what to say when there are none. */
void access_modes_check(struct field_errors *errors, const struct path *path,
                        const struct val *modes, const char *missing);
void volume_mode_check(struct field_errors *errors, const struct path *path,
                       const struct val *mode);
/* "RWO,ROX" of a list of modes. */
void access_modes_cell(struct api_context *ctx, const struct val *modes, struct val *cells);
/* status.phase, or that it is on its way out. */
void phase_cell(struct api_context *ctx, const struct val *object, struct val *cells);
/* "<unset>" when it is absent. */
void optional_cell(struct api_context *ctx, struct val *cells, const struct val *value);

/* A CSI driver's name: a DNS subdomain in any case, 63 bytes. */
void csi_driver_name_check(struct field_errors *errors, const struct path *path, struct str name);

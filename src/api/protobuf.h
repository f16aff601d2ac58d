/* protobuf.h: canonical JSON to protobuf, in one pass over its bytes and without a tape.
 *
 * What comes out is what upstream's generated code writes, to the byte: fields in the order of
 * their numbers, members without a pointer also when absent, maps by key. The input is compact JSON
 * as codec_write() or object_write() make it (null and absent are the same); members may come in
 * any order, and unknown ones are skipped.
 */
#pragma once
#include "api/object.h"

/* Reused from one document to the next: buffers only. Zero is ready; done with
 * protobuf_writer_done(). */
struct protobuf_writer {
    struct buf *out;
    const char *end;
    const char *revision_at; /* where an object at rest lacks its resourceVersion; or NULL */
    uint64_t revision;
    struct protobuf_span *spans; /* of the members of the structs that are open */
    size_t span_count, span_cap;
    struct buf sorted; /* a message whose members came in another order */
    struct arena scratch;
};
void protobuf_writer_done(struct protobuf_writer *writer);

/* Appends the message of `json` as `type`. False, and nothing appended: it has no protobuf form, or
 * does not fit. */
bool protobuf_write(struct protobuf_writer *writer, const struct api_struct *type, struct str json,
                    struct buf *out);
/* The message of an object at rest, with its resourceVersion. `type` is the type of its resource,
 * or another one whose members it has (PartialObjectMetadata). */
bool protobuf_write_object(struct protobuf_writer *writer, const struct api_struct *type,
                           const struct object *object, struct buf *out);

/* The four bytes and the runtime.Unknown before a message of `size` bytes, and what follows it. */
void protobuf_envelope(struct str api_version, struct str kind, size_t size, struct buf *out);
void protobuf_envelope_end(struct buf *out);
/* A whole document: kind and apiVersion in `json` say what it is. False, and nothing appended: the
 * kind is unknown or has no protobuf form. */
bool protobuf_write_document(struct protobuf_writer *writer, struct str json, struct buf *out);
/* Number and length of a field of bytes; they follow. */
void protobuf_head(struct buf *out, uint32_t number, size_t size);
size_t protobuf_head_size(uint32_t number, size_t size);

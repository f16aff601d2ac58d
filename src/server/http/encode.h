/* encode.h: other ways to write an answer: pretty, YAML, gzip. */
#pragma once
#include "server/request.h"

/* JSON bytes, rewritten in place. */
void encode_pretty(struct arena *arena, struct buf *bytes);
const char *encode_yaml(struct arena *arena, struct buf *bytes); /* returns the content type */
#define PROTOBUF_TYPE "application/vnd.kubernetes.protobuf"
/* Stays JSON when its kind has no protobuf form (/version, discovery documents); as above. */
const char *encode_protobuf(struct buf *bytes);
/* Reads the whole body (a list that somebody wants as YAML or pretty) and puts one with the
 * rewritten bytes in its place; a list above 16 MiB stays compact JSON. The request stays owned by
 * the new body. Returns the content type.
 */
const char *encode_whole(struct request *request, struct http_body **body);
/* Wraps the body when the client takes gzip and it is longer than 128 KiB (`size` SIZE_MAX: found
 * out by reading on); adds the content-encoding header. */
struct http_body *encode_gzip(struct http_body *body, bool wanted, size_t size,
                              struct http_header *ret_header, size_t *header_count);

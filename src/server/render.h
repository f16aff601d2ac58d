/* render.h: objects at rest as a client asked to see them: whole, as PartialObjectMetadata, or as
 * rows of a Table; in the version of the request. */
#pragma once
#include "api/protobuf.h"
#include "server/request.h"

struct render {
    const struct api_resource *resource; /* version of the request */
    enum accept_form form;
    enum include_object include;
    int64_t now_wall_ns;
    struct arena scratch; /* reset for each object */
    bool protobuf;
    struct protobuf_writer writer;
    struct buf message; /* the one that is being written */
};

void render_init(struct render *render, const struct request *request);
void render_done(struct render *render);
/* A complete answer: the object, or a Table of one row. */
void render_object(struct render *render, const struct object *object, struct buf *out);
/* With `protobuf`: the object's message without what is around it (the item of a list), and its
 * size, which is remembered with the object where that is possible. */
void render_message(struct render *render, const struct object *object, struct buf *out);
size_t render_message_size(struct render *render, const struct object *object);
/* Whether render_message_size() knows it without writing the message. */
bool render_size_known(const struct render *render, const struct object *object);
/* One element of a list's items or rows; without kind and apiVersion for a whole object. */
void render_item(struct render *render, const struct object *object, struct buf *out);
/* {"kind":...,"apiVersion":... up to and with "metadata": of a list. */
void render_list_head(struct render *render, struct buf *out);
/* From after the metadata up to the first item: ,"items":[ */
void render_list_open(struct render *render, struct buf *out);
/* Fast path: the number of bytes of an item that can be copied as it is; 0: use render_item. */
size_t render_item_size(const struct render *render, const struct object *object);

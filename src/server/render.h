/* render.h: objects at rest as a client asked to see them: whole, as PartialObjectMetadata, or as
 * rows of a Table; in the version of the request. */
#pragma once
#include "server/request.h"

struct render {
    const struct api_resource *resource; /* version of the request */
    enum accept_form form;
    enum include_object include;
    int64_t now_wall_ns;
    struct arena scratch; /* reset for each object */
};

void render_init(struct render *render, const struct request *request);
void render_done(struct render *render);
/* A complete answer: the object, or a Table of one row. */
void render_object(struct render *render, const struct object *object, struct buf *out);
/* One element of a list's items or rows; without kind and apiVersion for a whole object. */
void render_item(struct render *render, const struct object *object, struct buf *out);
/* {"kind":...,"apiVersion":... up to and with "metadata": of a list. */
void render_list_head(struct render *render, struct buf *out);
/* From after the metadata up to the first item: ,"items":[ */
void render_list_open(struct render *render, struct buf *out);
/* Fast path: the number of bytes of an item that can be copied as it is; 0: use render_item. */
size_t render_item_size(const struct render *render, const struct object *object);

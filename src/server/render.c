/* render.c: writing objects. The whole object in its stored version is a copy of the bytes at rest;
 * everything else decodes. */
#include "server/render.h"

#include <stdio.h>

#include "server/server_int.h"
#include "server/write/version.h"

void render_init(struct render *render, const struct request *request)
{
    *render = (struct render){.resource = request->route.resource,
                              .form = request->accept.form,
                              .include = request->accept.include,
                              .now_wall_ns = clock_wall(loop_clock(request->loop)),
                              .protobuf = request->accept.format == FORMAT_PROTOBUF};
    arena_init(&render->scratch, 0);
}

void render_done(struct render *render)
{
    arena_done(&render->scratch);
    buf_done(&render->message);
    protobuf_writer_done(&render->writer);
}

static void write_whole(struct render *render, const struct object *object, bool with_type,
                        struct buf *out)
{
    if (version_same(render->resource, object)) {
        object_write(object, with_type, out);
        return;
    }
    arena_reset(&render->scratch);
    struct val *value = version_decode(&render->scratch, render->resource, object);
    if (!with_type) {
        val_unset(value, STR("kind"));
        val_unset(value, STR("apiVersion"));
    }
    codec_write(render->resource->type, value, out);
}

/* The length of the JSON object that starts at text.p: well-formed, since it is ours. */
static size_t object_length(struct str text)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{') {
            depth++;
        } else if (c == '}' && --depth == 0) {
            return i + 1;
        }
    }
    return text.n;
}

static void write_partial(struct render *render, const struct object *object, struct buf *out)
{
    struct buf whole BUF_CLEANUP = BUF_INIT;
    object_write(object, false, &whole); /* {"metadata":{... */
    buf_addz(out, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\","
                  "\"metadata\":");
    static const char head[] = "{\"metadata\":";
    struct str text = buf_view(&whole);
    if (str_starts(text, STR("{\"metadata\":"))) {
        struct str meta = str_from(text, sizeof head - 1);
        buf_add(out, meta.p, object_length(meta));
    } else {
        buf_addz(out, "{}");
    }
    buf_char(out, '}');
}

static void write_columns(const struct render *render, struct buf *out)
{
    const struct api_resource *r = render->resource;
    buf_addz(out, ",\"columnDefinitions\":[");
    for (size_t i = 0; i < r->column_count; i++) {
        const struct api_column *c = &r->columns[i];
        buf_addz(out, i > 0 ? ",{\"name\":" : "{\"name\":");
        json_text(out, str_of(c->name));
        buf_printf(out, ",\"type\":\"%s\",\"format\":\"%s\",\"description\":", c->type,
                   c->format != NULL ? c->format : "");
        json_text(out, str_of(c->doc != NULL ? c->doc : ""));
        buf_printf(out, ",\"priority\":%d}", c->priority);
    }
    buf_char(out, ']');
}

static void write_row(struct render *render, const struct object *object, struct buf *out)
{
    arena_reset(&render->scratch);
    struct arena *arena = &render->scratch;
    struct val *value = version_decode(arena, render->resource, object);
    struct val *cells = val_new(arena, VAL_ARRAY);
    struct api_context ctx = {
        .arena = arena, .now_wall_ns = render->now_wall_ns, .subresource = ""};
    api_columns(&ctx, render->resource, value, cells);
    buf_addz(out, "{\"cells\":");
    val_write_json(cells, out);
    if (render->include == INCLUDE_METADATA) {
        buf_addz(out, ",\"object\":");
        write_partial(render, object, out);
    } else if (render->include == INCLUDE_OBJECT) {
        buf_addz(out, ",\"object\":");
        write_whole(render, object, true, out);
    } else {
        buf_addz(out, ",\"object\":null");
    }
    buf_char(out, '}');
}

void render_item(struct render *render, const struct object *object, struct buf *out)
{
    switch (render->form) {
    case ACCEPT_TABLE:
        write_row(render, object, out);
        break;
    case ACCEPT_PARTIAL:
        write_partial(render, object, out);
        break;
    case ACCEPT_OBJECT:
        write_whole(render, object, false, out);
        break;
    }
}

size_t render_item_size(const struct render *render, const struct object *object)
{
    if (render->form != ACCEPT_OBJECT || !version_same(render->resource, object)) {
        return 0;
    }
    return object_written_size(object, false);
}

void render_list_head(struct render *render, struct buf *out)
{
    const struct api_resource *r = render->resource;
    switch (render->form) {
    case ACCEPT_TABLE:
        buf_addz(out, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":");
        break;
    case ACCEPT_PARTIAL:
        buf_addz(out, "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":"
                      "\"meta.k8s.io/v1\",\"metadata\":");
        break;
    case ACCEPT_OBJECT:
        buf_printf(out, "{\"kind\":\"%s\",\"apiVersion\":\"%s%s%s\",\"metadata\":", r->list_kind,
                   r->group, r->group[0] != '\0' ? "/" : "", r->version);
        break;
    }
}

void render_list_open(struct render *render, struct buf *out)
{
    if (render->form == ACCEPT_TABLE) {
        write_columns(render, out);
        buf_addz(out, ",\"rows\":[");
    } else {
        buf_addz(out, ",\"items\":[");
    }
}

/* ---- protobuf ---- */

static const struct api_struct *message_type(const struct render *render)
{
    return render->form == ACCEPT_PARTIAL
               ? schema_object_type(STR(""), STR("v1"), STR("PartialObjectMetadata"))
               : render->resource->type;
}

static bool written_as_stored(const struct render *render, const struct object *object)
{
    return render->form == ACCEPT_PARTIAL || version_same(render->resource, object);
}

void render_message(struct render *render, const struct object *object, struct buf *out)
{
    const struct api_struct *type = message_type(render);
    if (written_as_stored(render, object)) {
        protobuf_write_object(&render->writer, type, object, out);
        return;
    }
    struct buf json BUF_CLEANUP = BUF_INIT;
    write_whole(render, object, true, &json);
    protobuf_write(&render->writer, type, buf_view(&json), out);
}

static bool size_is_kept(const struct render *render, const struct object *object)
{
    return render->form == ACCEPT_OBJECT && version_same(render->resource, object);
}

bool render_size_known(const struct render *render, const struct object *object)
{
    return size_is_kept(render, object) && object_message_size(object) > 0;
}

size_t render_message_size(struct render *render, const struct object *object)
{
    if (render_size_known(render, object)) {
        return object_message_size(object);
    }
    buf_clear(&render->message);
    render_message(render, object, &render->message);
    if (size_is_kept(render, object)) {
        object_keep_message_size(object, render->message.n);
    }
    return render->message.n;
}

static void write_document(struct render *render, const struct object *object, struct buf *out)
{
    const struct api_resource *r = render->resource;
    bool partial = render->form == ACCEPT_PARTIAL;
    char version[256];
    int n = snprintf(version, sizeof version, "%s%s%s", r->group, r->group[0] != '\0' ? "/" : "",
                     r->version);
    buf_clear(&render->message);
    render_message(render, object, &render->message);
    protobuf_envelope(partial ? STR("meta.k8s.io/v1") : str_at(version, (size_t)n),
                      partial ? STR("PartialObjectMetadata") : str_of(r->kind), render->message.n,
                      out);
    buf_str(out, buf_view(&render->message));
    protobuf_envelope_end(out);
}

void render_object(struct render *render, const struct object *object, struct buf *out)
{
    if (render->protobuf && render->form != ACCEPT_TABLE) {
        write_document(render, object, out);
        return;
    }
    switch (render->form) {
    case ACCEPT_OBJECT:
        write_whole(render, object, true, out);
        break;
    case ACCEPT_PARTIAL:
        write_partial(render, object, out);
        break;
    case ACCEPT_TABLE:
        render_list_head(render, out);
        buf_printf(out, "{\"resourceVersion\":\"%llu\"}", (unsigned long long)object->revision);
        render_list_open(render, out);
        write_row(render, object, out);
        buf_addz(out, "]}");
        break;
    }
}

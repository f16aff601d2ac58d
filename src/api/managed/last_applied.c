/* last_applied.c: kubectl's client-side apply, when its manager "kubectl" applies server-side.
 *
 * What the annotation says was applied, and is still so, belongs to that user: such fields are no
 * conflict. An object that has the annotation keeps having it, in step, so that one may go back.
 */
#include "api/field_set.h"
#include "api/managed/apply_int.h"

enum { ANNOTATIONS_MAX = 256 * 1024 };

#define ANNOTATION "kubectl.kubernetes.io/last-applied-configuration"

static struct val *annotations_of(const struct val *object)
{
    return val_get(val_get(object, "metadata"), "annotations");
}

struct val *last_applied_set(struct arena *arena, const struct apply *apply)
{
    const struct fields_writer *writer = apply->writer;
    struct str text = val_text(val_get_str(annotations_of(apply->live), STR(ANNOTATION)));
    struct val *last = NULL;
    if (text.n == 0 || val_parse_json(arena, text, &last, NULL) < 0 || !val_is(last, VAL_OBJECT) ||
        !str_eq(val_text(val_get(last, "apiVersion")), writer->api_version) ||
        config_check(arena, writer->type, last).n > 0) {
        return NULL;
    }
    /* what differs from the object, either way, is not ours any more */
    struct field_changes changes;
    struct field_comparison forth = {
        .type = writer->type, .old = apply->live, .next = last, .raw = true};
    field_compare(arena, &forth, &changes);
    struct val *set = config_owned(arena, config_set(arena, writer->type, last));
    set = field_set_difference(arena, set, changes.taken);
    return field_set_difference(arena, set, changes.removed);
}

void last_applied_sync(struct arena *arena, struct val *object, const struct val *config)
{
    struct val *annotations = annotations_of(object);
    struct buf text BUF_CLEANUP = BUF_INIT;
    size_t size = 0;
    if (val_text(val_get_str(annotations, STR(ANNOTATION))).n == 0) {
        return;
    }
    struct val *bare = val_copy(arena, config);
    val_unset(annotations_of(bare), STR(ANNOTATION));
    val_sort(bare);
    val_write_json(bare, &text);
    buf_char(&text, '\n');
    val_set_text(arena, annotations, STR(ANNOTATION), str_copy_in(arena, buf_view(&text)));
    VAL_EACH (it, annotations) {
        size += it->key.n + val_text(it).n;
    }
    if (size > ANNOTATIONS_MAX) {
        val_unset(annotations, STR(ANNOTATION));
    }
}

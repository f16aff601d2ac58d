/* token.c: base64url of "REVISION:NS/NAME". */
#include "server/verb/token.h"

void list_token_write(struct buf *out, const struct list_token *token)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    buf_printf(&text, "%llu:%.*s/%.*s", (unsigned long long)token->revision, STR_ARG(token->ns),
               STR_ARG(token->name));
    base64url_encode(out, text.p, text.n);
}

static bool key_good(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '/' || c == '%' || c < 0x20 || c == 0x7f) {
            return false;
        }
    }
    return !str_is(text, ".") && !str_is(text, "..");
}

bool list_token_parse(struct arena *arena, struct str text, struct list_token *ret_token)
{
    struct buf raw BUF_CLEANUP = BUF_INIT;
    struct list_token token = {0};
    if (text.n > 1024 || !base64url_decode(&raw, text)) {
        return false;
    }
    struct str rest = STR_NONE, name = STR_NONE;
    struct str number = str_cut(buf_view(&raw), ':', &rest);
    struct str ns = str_cut(rest, '/', &name);
    if (!str_u64(number, &token.revision) || token.revision == 0 || name.n == 0 || !key_good(ns) ||
        !key_good(name)) {
        return false;
    }
    token.ns = str_copy_in(arena, ns);
    token.name = str_copy_in(arena, name);
    *ret_token = token;
    return true;
}

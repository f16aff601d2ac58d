/* jwt.c: signing and checking of compact JWS with ES256.
 *
 * The header of a foreign token is scanned only for the members "alg" and "kid" with plain string
 * values; anything cleverer is refused, so no JSON parser is needed below api/.
 */
#include "pki/jwt.h"

#include "pki/digest.h"

enum { TOKEN_MAX = 16 * 1024 };

int jwt_sign(const struct key *key, struct str claims_json, struct buf *out, struct err *err)
{
    struct buf header BUF_CLEANUP = BUF_INIT;
    struct buf token BUF_CLEANUP = BUF_INIT;
    buf_printf(&header, "{\"alg\":\"ES256\",\"kid\":\"%.*s\"}", STR_ARG(key_id(key)));
    base64url_encode(&token, header.p, header.n);
    buf_char(&token, '.');
    base64url_encode(&token, claims_json.p, claims_json.n);
    unsigned char signature[64];
    int code = key_sign(key, buf_view(&token), signature, err);
    if (code < 0) {
        return code;
    }
    buf_char(&token, '.');
    base64url_encode(&token, signature, sizeof signature);
    buf_str(out, buf_view(&token));
    return 0;
}

/* The plain string value of a top-level member of a flat JSON object; false when it is not there or
 * has escapes. A member name that occurs twice is refused. */
static bool flat_member(struct str json, const char *name, struct str *ret_value)
{
    struct buf quoted BUF_CLEANUP = BUF_INIT;
    buf_printf(&quoted, "\"%s\"", name);
    struct str found = STR_NONE;
    for (size_t i = 0; i + quoted.n <= json.n; i++) {
        if (memcmp(json.p + i, quoted.p, quoted.n) != 0) {
            continue;
        }
        struct str rest = str_trim(str_from(json, i + quoted.n));
        if (rest.n == 0 || rest.p[0] != ':') {
            continue;
        }
        rest = str_trim(str_from(rest, 1));
        if (found.p != NULL || rest.n == 0 || rest.p[0] != '"') {
            return false;
        }
        const char *end = memchr(rest.p + 1, '"', rest.n - 1);
        if (end == NULL || memchr(rest.p + 1, '\\', (size_t)(end - rest.p - 1)) != NULL) {
            return false;
        }
        found = str_at(rest.p + 1, (size_t)(end - rest.p - 1));
    }
    *ret_value = found;
    return found.p != NULL;
}

static bool signed_by_one(struct key *const *keys, size_t key_count, struct str kid,
                          struct str message, const unsigned char signature[64])
{
    for (size_t i = 0; i < key_count; i++) {
        if ((kid.p == NULL || str_eq(kid, key_id(keys[i]))) &&
            key_verify(keys[i], message, signature)) {
            return true;
        }
    }
    return false;
}

int jwt_verify(struct key *const *keys, size_t key_count, struct str token, struct buf *ret_claims,
               struct err *err)
{
    struct str rest = STR_NONE, tail = STR_NONE, more = STR_NONE;
    struct str header_text = str_cut(token, '.', &rest);
    struct str claims_text = str_cut(rest, '.', &tail);
    struct str signature_text = str_cut(tail, '.', &more);
    struct buf header BUF_CLEANUP = BUF_INIT;
    struct buf claims BUF_CLEANUP = BUF_INIT;
    struct buf signature BUF_CLEANUP = BUF_INIT;
    struct str alg = STR_NONE, kid = STR_NONE;
    if (token.n > TOKEN_MAX || rest.p == NULL || tail.p == NULL || more.p != NULL ||
        !base64url_decode(&header, header_text) || !base64url_decode(&claims, claims_text) ||
        !base64url_decode(&signature, signature_text) || signature.n != 64) {
        return err_set(err, ERR_UNAUTHORIZED, "the token is malformed");
    }
    if (!flat_member(buf_view(&header), "alg", &alg) || !str_is(alg, "ES256")) {
        return err_set(err, ERR_UNAUTHORIZED, "the token is not signed with ES256");
    }
    flat_member(buf_view(&header), "kid", &kid);
    struct str message = str_at(token.p, header_text.n + 1 + claims_text.n);
    if (!signed_by_one(keys, key_count, kid, message, (const unsigned char *)signature.p)) {
        return err_set(err, ERR_UNAUTHORIZED, "the token is not signed by a key of this cluster");
    }
    buf_str(ret_claims, buf_view(&claims));
    return 0;
}

int jwt_write_keys(struct key *const *keys, size_t key_count, struct buf *out, struct err *err)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    buf_addz(&text, "{\"keys\":[");
    for (size_t i = 0; i < key_count; i++) {
        unsigned char x[32], y[32];
        int code = key_public_point(keys[i], x, y, err);
        if (code < 0) {
            return code;
        }
        buf_printf(&text, "%s{\"use\":\"sig\",\"kty\":\"EC\",\"kid\":\"%.*s\",\"crv\":\"P-256\",",
                   i > 0 ? "," : "", STR_ARG(key_id(keys[i])));
        buf_addz(&text, "\"alg\":\"ES256\",\"x\":\"");
        base64url_encode(&text, x, sizeof x);
        buf_addz(&text, "\",\"y\":\"");
        base64url_encode(&text, y, sizeof y);
        buf_addz(&text, "\"}");
    }
    buf_addz(&text, "]}");
    buf_str(out, buf_view(&text));
    return 0;
}

/* reference.c: image names (distribution/reference grammar), canonical as Docker and upstream write
 * them: default registry docker.io, library/ for one-part names there, tag latest without tag or
 * digest. */
#include "node/image.h"

#include <ctype.h>

static bool repository_part(struct str part)
{
    if (part.n == 0 || !isalnum((unsigned char)part.p[0]) ||
        !isalnum((unsigned char)part.p[part.n - 1])) {
        return false;
    }
    for (size_t i = 0; i < part.n; i++) {
        char c = part.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
              c == '-')) {
            return false;
        }
    }
    return true;
}

static bool registry_text(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (!isalnum((unsigned char)c) && c != '.' && c != '-' && c != ':' && c != '[' &&
            c != ']') {
            return false;
        }
    }
    return text.n > 0 && (isalnum((unsigned char)text.p[0]) || text.p[0] == '[');
}

static bool tag_text(struct str tag)
{
    if (tag.n == 0 || tag.n > 128 || tag.p[0] == '.' || tag.p[0] == '-') {
        return false;
    }
    for (size_t i = 0; i < tag.n; i++) {
        char c = tag.p[i];
        if (!isalnum((unsigned char)c) && c != '_' && c != '.' && c != '-') {
            return false;
        }
    }
    return true;
}

static bool digest_text(struct str digest)
{
    if (digest.n != 71 || !str_starts(digest, STR("sha256:"))) {
        return false;
    }
    for (size_t i = 7; i < digest.n; i++) {
        char c = digest.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return true;
}

static bool split_registry(struct str text, struct str *registry, struct str *repository)
{
    struct str rest, first = str_cut(text, '/', &rest);
    bool named = rest.p != NULL && (str_contains(first, STR(".")) ||
                                    str_contains(first, STR(":")) || str_is(first, "localhost"));
    *registry = named ? first : STR("docker.io");
    *repository = named ? rest : text;
    if (str_is(*registry, "index.docker.io")) {
        *registry = STR("docker.io");
    }
    return registry_text(*registry);
}

int image_reference_parse(struct str text, struct buf *ret_canonical, struct err *err)
{
    struct str digest = STR_NONE, tag = STR_NONE, registry, repository;
    struct str name = str_cut(text, '@', &digest);
    struct str after, before = str_cut_last(name, ':', &after);
    if (after.p != NULL && !str_contains(after, STR("/"))) {
        name = before;
        tag = after;
    }
    bool ok = text.n <= 512 && split_registry(name, &registry, &repository) &&
              (tag.p == NULL || tag_text(tag)) && (digest.p == NULL || digest_text(digest));
    struct str rest = ok ? repository : STR_NONE;
    ok = ok && repository.n > 0;
    while (ok && rest.p != NULL) {
        ok = repository_part(str_cut(rest, '/', &rest));
    }
    if (!ok) {
        return err_set(err, ERR_INVALID,
                       "couldn't parse image name \"%.*s\": invalid reference format",
                       STR_ARG(text));
    }
    buf_printf(ret_canonical, "%.*s/", STR_ARG(registry));
    if (str_is(registry, "docker.io") && !str_contains(repository, STR("/"))) {
        buf_addz(ret_canonical, "library/");
    }
    buf_str(ret_canonical, repository);
    if (digest.p != NULL) {
        buf_printf(ret_canonical, "@%.*s", STR_ARG(digest));
    } else {
        buf_printf(ret_canonical, ":%.*s", STR_ARG(tag.p != NULL ? tag : STR("latest")));
    }
    return 0;
}

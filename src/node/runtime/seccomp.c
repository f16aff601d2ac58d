/* seccomp.c: a seccomp profile file (the format of containers-common and Docker, with includes and
 * excludes by capability and architecture) to the linux.seccomp of an OCI configuration. */
#include "node/runtime/spec.h"

#if defined(__aarch64__)
#define ARCH_NAME    "arm64"
#define ARCH_SECCOMP "SCMP_ARCH_AARCH64"
#else
#define ARCH_NAME    "amd64"
#define ARCH_SECCOMP "SCMP_ARCH_X86_64"
#endif

static bool has_all_capabilities(const struct val *list, uint64_t capabilities)
{
    VAL_EACH (it, list) {
        int number;
        if (!capability_number(val_text(it), &number) || (capabilities >> number & 1) == 0) {
            return false;
        }
    }
    return true;
}

static bool has_any_capability(const struct val *list, uint64_t capabilities)
{
    VAL_EACH (it, list) {
        int number;
        if (capability_number(val_text(it), &number) && (capabilities >> number & 1) != 0) {
            return true;
        }
    }
    return false;
}

static bool lists_arch(const struct val *list)
{
    VAL_EACH (it, list) {
        if (str_is(val_text(it), ARCH_NAME)) {
            return true;
        }
    }
    return false;
}

static bool applies(const struct val *rule, uint64_t capabilities)
{
    const struct val *in = val_get(rule, "includes"), *out = val_get(rule, "excludes");
    if (val_count(val_get(in, "arches")) > 0 && !lists_arch(val_get(in, "arches"))) {
        return false;
    }
    return has_all_capabilities(val_get(in, "caps"), capabilities) &&
           !lists_arch(val_get(out, "arches")) &&
           !has_any_capability(val_get(out, "caps"), capabilities);
}

static void copy_member(struct arena *arena, struct val *to, const struct val *from,
                        const char *name)
{
    const struct val *value = val_get_str(from, str_of(name));
    if (!val_absent(value)) {
        val_set(to, str_of(name), val_copy(arena, value));
    }
}

static void set_architectures(struct arena *arena, struct val *out, const struct val *profile)
{
    const struct val *direct = val_get(profile, "architectures");
    if (val_count(direct) > 0) {
        val_set(out, STR("architectures"), val_copy(arena, direct));
        return;
    }
    struct val *list = val_make_array(arena, out, STR("architectures"));
    val_append(list, val_new_text(arena, STR(ARCH_SECCOMP)));
    const struct val *map =
        val_find(val_get(profile, "archMap"), "architecture", STR(ARCH_SECCOMP));
    VAL_EACH (it, val_get(map, "subArchitectures")) {
        val_append(list, val_new_text(arena, val_text(it)));
    }
}

struct val *seccomp_convert(struct arena *arena, const struct val *profile, uint64_t capabilities)
{
    struct val *out = val_new(arena, VAL_OBJECT);
    copy_member(arena, out, profile, "defaultAction");
    copy_member(arena, out, profile, "defaultErrnoRet");
    set_architectures(arena, out, profile);
    struct val *rules = val_make_array(arena, out, STR("syscalls"));
    VAL_EACH (rule, val_get(profile, "syscalls")) {
        if (!applies(rule, capabilities)) {
            continue;
        }
        struct val *copy = val_append(rules, val_new(arena, VAL_OBJECT));
        static const char *const members[] = {"names", "action", "errnoRet"};
        for (size_t i = 0; i < 3; i++) {
            copy_member(arena, copy, rule, members[i]);
        }
        if (val_count(val_get(rule, "args")) > 0) {
            copy_member(arena, copy, rule, "args");
        }
    }
    return out;
}

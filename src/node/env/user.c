/* user.c: see user.h. Files of an image are untrusted: sizes and line counts are bounded. */
#include "node/env/user.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <stdlib.h>

#include "base/mem.h"

enum { FILE_MAX = 1024 * 1024 };

const struct val *security_field(const struct val *pod, const struct val *container,
                                 const char *name)
{
    const struct val *own = val_get_str(val_get(container, "securityContext"), str_of(name));
    return !val_absent(own) ? own
                            : val_get_str(val_path(pod, "spec.securityContext"), str_of(name));
}

/* The file in the topmost layer that has it. */
static bool read_image_file(const char *layers_dir, const char *const *layers, size_t count,
                            const char *path, struct buf *ret_text)
{
    for (size_t i = 0; i < count; i++) {
        char *layer MEM_CLEANUP = mem_printf("%s/%s", layers_dir, layers[i]);
        int root = open(layer, O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                               .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
        int fd = root < 0 ? -1 : (int)syscall(SYS_openat2, root, path, &how, sizeof how);
        ssize_t n = 0;
        while (fd >= 0 && ret_text->n < FILE_MAX &&
               (n = read(fd, buf_room(ret_text, 8192), 8192)) > 0) {
            ret_text->n += (size_t)n;
            ret_text->p[ret_text->n] = '\0';
        }
        if (root >= 0) {
            close(root);
        }
        if (fd >= 0) {
            close(fd);
            return n >= 0;
        }
    }
    return false;
}

static bool id_text(struct str text, uint32_t *ret_id)
{
    uint64_t id;
    if (!str_u64(text, &id) || id > INT32_MAX) {
        return false;
    }
    *ret_id = (uint32_t)id;
    return true;
}

struct passwd_line {
    struct str name, home;
    uint32_t uid, gid;
};

static bool parse_passwd(struct str line, struct passwd_line *ret)
{
    struct str rest;
    ret->name = str_cut(line, ':', &rest);
    str_cut(rest, ':', &rest);
    if (!id_text(str_cut(rest, ':', &rest), &ret->uid) ||
        !id_text(str_cut(rest, ':', &rest), &ret->gid)) {
        return false;
    }
    str_cut(rest, ':', &rest);
    ret->home = str_cut(rest, ':', &rest);
    return true;
}

/* By name, or by uid when `name` is a number. */
static bool find_passwd(struct str passwd, struct str name, bool by_id, uint32_t uid,
                        struct passwd_line *ret)
{
    while (passwd.p != NULL) {
        struct passwd_line line;
        if (parse_passwd(str_cut(passwd, '\n', &passwd), &line) &&
            (by_id ? line.uid == uid : str_eq(line.name, name))) {
            *ret = line;
            return true;
        }
    }
    return false;
}

static bool has_member(struct str members, struct str name)
{
    while (members.p != NULL && name.n > 0) {
        if (str_eq(str_cut(members, ',', &members), name)) {
            return true;
        }
    }
    return false;
}

static void add_group(struct user *user, uint32_t gid)
{
    for (size_t i = 0; i < user->group_count; i++) {
        if (user->groups[i] == gid) {
            return;
        }
    }
    if (user->group_count < USER_GROUPS_MAX) {
        user->groups[user->group_count++] = gid;
    }
}

/* Groups of /etc/group that list `name`; *gid_of: the id of the group named `wanted`, if any. */
static bool read_groups(struct str group, struct str name, struct str wanted, struct user *user,
                        uint32_t *ret_gid)
{
    bool found = false;
    while (group.p != NULL) {
        struct str rest, line = str_cut(group, '\n', &group);
        struct str group_name = str_cut(line, ':', &rest);
        uint32_t gid;
        str_cut(rest, ':', &rest);
        if (!id_text(str_cut(rest, ':', &rest), &gid)) {
            continue;
        }
        if (wanted.n > 0 && str_eq(group_name, wanted)) {
            *ret_gid = gid;
            found = true;
        }
        if (user != NULL && has_member(rest, name)) {
            add_group(user, gid);
        }
    }
    return found;
}

static int check_non_root(const struct val *pod, const struct val *container,
                          const struct user *user, bool numeric, struct str name, struct err *err)
{
    if (!val_bool(security_field(pod, container, "runAsNonRoot"), false)) {
        return 0;
    }
    struct str pod_name = val_name(pod), container_name = val_text(val_get(container, "name"));
    if (!numeric) {
        return err_set(err, ERR_INVALID,
                       "container has runAsNonRoot and image has non-numeric user (%.*s), cannot "
                       "verify user is non-root (pod: \"%.*s_%.*s(%.*s)\", container: %.*s)",
                       STR_ARG(name), STR_ARG(pod_name), STR_ARG(val_namespace(pod)),
                       STR_ARG(val_uid(pod)), STR_ARG(container_name));
    }
    if (user->uid == 0) {
        bool asked = !val_absent(security_field(pod, container, "runAsUser"));
        return err_set(err, ERR_INVALID,
                       asked ? "container's runAsUser breaks non-root policy (pod: "
                               "\"%.*s_%.*s(%.*s)\", container: %.*s)"
                             : "container has runAsNonRoot and image will run as root (pod: "
                               "\"%.*s_%.*s(%.*s)\", container: %.*s)",
                       STR_ARG(pod_name), STR_ARG(val_namespace(pod)), STR_ARG(val_uid(pod)),
                       STR_ARG(container_name));
    }
    return 0;
}

int user_resolve(const struct val *pod, const struct val *container, const struct val *image_config,
                 const char *layers_dir, const char *const *layers, size_t layer_count,
                 struct user *ret_user, struct err *err)
{
    struct buf passwd BUF_CLEANUP = BUF_INIT, group BUF_CLEANUP = BUF_INIT;
    struct user user = {.home = "/"};
    struct str image_group,
        image_user = str_cut(val_text(val_get(image_config, "User")), ':', &image_group);
    const struct val *run_as = security_field(pod, container, "runAsUser");
    const struct val *run_group = security_field(pod, container, "runAsGroup");
    read_image_file(layers_dir, layers, layer_count, "etc/passwd", &passwd);
    read_image_file(layers_dir, layers, layer_count, "etc/group", &group);
    bool numeric = true;
    struct passwd_line line = {0};
    if (!val_absent(run_as)) {
        user.uid = (uint32_t)val_int(run_as, 0);
        image_group = STR_NONE;
    } else if (image_user.n > 0 && !id_text(image_user, &user.uid)) {
        numeric = false;
        if (!find_passwd(buf_view(&passwd), image_user, false, 0, &line)) {
            return err_set(err, ERR_INVALID,
                           "unable to find user %.*s: no matching entries in passwd file",
                           STR_ARG(image_user));
        }
        user.uid = line.uid;
    }
    bool known = find_passwd(buf_view(&passwd), STR_NONE, true, user.uid, &line);
    user.gid = known ? line.gid : 0;
    if (known && line.home.n > 0 && line.home.n < sizeof user.home) {
        snprintf(user.home, sizeof user.home, "%.*s", STR_ARG(line.home));
    }
    if (image_group.n > 0 && !id_text(image_group, &user.gid) &&
        !read_groups(buf_view(&group), STR_NONE, image_group, NULL, &user.gid)) {
        return err_set(err, ERR_INVALID,
                       "unable to find group %.*s: no matching entries in group file",
                       STR_ARG(image_group));
    }
    if (!val_absent(run_group)) {
        user.gid = (uint32_t)val_int(run_group, 0);
    }
    const struct val *context = val_path(pod, "spec.securityContext");
    bool strict = str_is(val_text(val_get(context, "supplementalGroupsPolicy")), "Strict");
    if (!strict && known) {
        read_groups(buf_view(&group), line.name, STR_NONE, &user, &(uint32_t){0});
    }
    if (!val_absent(val_get(context, "fsGroup"))) {
        add_group(&user, (uint32_t)val_int(val_get(context, "fsGroup"), 0));
    }
    VAL_EACH (it, val_get(context, "supplementalGroups")) {
        add_group(&user, (uint32_t)val_int(it, 0));
    }
    add_group(&user, user.gid);
    int rc = check_non_root(pod, container, &user, numeric, image_user, err);
    if (rc == 0) {
        *ret_user = user;
    }
    return rc;
}

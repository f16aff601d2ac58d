/* arguments.c: one table of flags for all verbs. See arguments.h. */
#include "cli/arguments.h"

#include <stdlib.h>
#include <strings.h>

enum flag_kind { KIND_TEXT, KIND_BOOL, KIND_NUMBER, KIND_DURATION, KIND_LIST };
struct flag {
    const char *name;
    char letter;
    unsigned bit; /* 0: every verb */
    enum flag_kind kind;
    size_t at;
};
#define AT(member) offsetof(struct arguments, member)

static const struct flag table[] = {
    {"kubeconfig", 0, 0, KIND_TEXT, AT(connection.kubeconfig)},
    {"context", 0, 0, KIND_TEXT, AT(connection.context)},
    {"namespace", 'n', FLAG_NAMESPACE, KIND_TEXT, AT(ns)},
    {"all-namespaces", 'A', FLAG_ALL_NAMESPACES, KIND_BOOL, AT(all_namespaces)},
    {"selector", 'l', FLAG_SELECTOR, KIND_TEXT, AT(selector)},
    {"field-selector", 0, FLAG_FIELD_SELECTOR, KIND_TEXT, AT(field_selector)},
    {"filename", 'f', FLAG_FILE, KIND_LIST, AT(files)},
    {"output", 'o', FLAG_OUTPUT, KIND_TEXT, AT(output)},
    {"watch", 'w', FLAG_WATCH, KIND_BOOL, AT(watch)},
    {"container", 'c', FLAG_CONTAINER, KIND_TEXT, AT(container)},
    {"follow", 'f', FLAG_FOLLOW, KIND_BOOL, AT(follow)},
    {"previous", 'p', FLAG_PREVIOUS, KIND_BOOL, AT(previous)},
    {"timestamps", 0, FLAG_TIMESTAMPS, KIND_BOOL, AT(timestamps)},
    {"tail", 0, FLAG_TAIL, KIND_NUMBER, AT(tail)},
    {"stdin", 'i', FLAG_STDIN, KIND_BOOL, AT(std_in)},
    {"tty", 't', FLAG_TTY, KIND_BOOL, AT(tty)},
    {"for", 0, FLAG_FOR, KIND_TEXT, AT(wait_for)},
    {"timeout", 0, FLAG_TIMEOUT, KIND_DURATION, AT(timeout_ns)},
    {"grace-period", 0, FLAG_GRACE, KIND_NUMBER, AT(grace)},
    {"wait", 0, FLAG_WAIT, KIND_BOOL, AT(wait)},
    {"raw", 0, FLAG_RAW, KIND_TEXT, AT(raw)},
    {"recursive", 'R', FLAG_RECURSIVE, KIND_BOOL, AT(recursive)},
    {"all", 0, FLAG_ALL, KIND_BOOL, AT(all)},
    {"ignore-not-found", 0, FLAG_IGNORE_MISSING, KIND_BOOL, AT(ignore_missing)},
    {"no-headers", 0, FLAG_NO_HEADERS, KIND_BOOL, AT(no_headers)},
    {"show-labels", 0, FLAG_SHOW_LABELS, KIND_BOOL, AT(show_labels)},
    {"force", 0, FLAG_FORCE, KIND_BOOL, AT(force)},
};

static const struct flag *flag_find(struct str word, unsigned flags, struct str *ret_value)
{
    bool is_long = str_starts(word, STR("--"));
    struct str value = STR_NONE,
               name = is_long ? str_cut(str_from(word, 2), '=', &value) : str_from(word, 1);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct flag *flag = &table[i];
        bool same = is_long ? str_is(name, flag->name)
                            : flag->letter != 0 && name.n > 0 && name.p[0] == flag->letter;
        if (same && (flag->bit == 0 || (flag->bit & flags) != 0)) {
            *ret_value = is_long ? value : name.n > 1 ? str_from(name, 1) : STR_NONE;
            return flag;
        }
    }
    return NULL;
}

static bool flag_set(struct arguments *a, const struct flag *flag, struct str value)
{
    void *at = (char *)a + flag->at;
    switch (flag->kind) {
    case KIND_TEXT:
        *(const char **)at = value.p;
        return true;
    case KIND_BOOL:
        return str_bool(value, at);
    case KIND_NUMBER:
        return str_i64(value, at);
    case KIND_DURATION:
        return duration_parse(value, at);
    case KIND_LIST:
        *vec_push(&a->files) = value.p;
        return true;
    }
    return false;
}

/* One flag word, and the next one when it holds the value. Returns words taken, or a negative
 * error. */
static int take_flag(struct arguments *a, unsigned flags, int left, char **argv, const char *verb,
                     struct err *err)
{
    struct str value, word = str_of(argv[0]);
    const struct flag *flag = flag_find(word, flags, &value);
    if (flag == NULL) {
        return err_set(err, ERR_INVALID, "cox %s does not take %s: see cox help %s", verb, argv[0],
                       verb);
    }
    if (flag->kind == KIND_BOOL && !str_starts(word, STR("--")) &&
        value.n > 0) { /* -it: letters of truth values may be joined */
        char again[3] = {'-', value.p[0], '\0'};
        char *joined[] = {again};
        flag_set(a, flag, STR("true"));
        return value.n == 1 ? take_flag(a, flags, 1, joined, verb, err)
                            : err_set(err, ERR_INVALID, "%s: too many letters", argv[0]);
    }
    int taken = 1;
    if (value.p == NULL) {
        value = flag->kind == KIND_BOOL ? STR("true") : left > 1 ? str_of(argv[1]) : STR_NONE;
        taken = flag->kind == KIND_BOOL ? 1 : 2;
    }
    if (value.p == NULL || !flag_set(a, flag, value)) {
        return err_set(err, ERR_INVALID, "%s needs a %s", argv[0],
                       flag->kind == KIND_NUMBER     ? "number"
                       : flag->kind == KIND_DURATION ? "duration such as 30s"
                                                     : "value");
    }
    return taken;
}

int arguments_parse(int argc, char **argv, unsigned flags, struct arguments *ret_arguments,
                    struct err *err)
{
    struct arguments a = {.wait = true, .tail = -1, .grace = -1, .timeout_ns = 30 * NS_PER_S};
    for (int i = 1; i < argc;) {
        if (strcmp(argv[i], "--") == 0) {
            while (++i < argc) {
                *vec_push(&a.command) = argv[i];
            }
            break;
        }
        if (argv[i][0] != '-' || argv[i][1] == '\0') {
            *vec_push(&a.words) = argv[i++];
            continue;
        }
        int taken = take_flag(&a, flags, argc - i, argv + i, argv[0], err);
        if (taken < 0) {
            arguments_done(&a);
            return taken;
        }
        i += taken;
    }
    *ret_arguments = a;
    return 0;
}

void arguments_done(struct arguments *a)
{
    vec_done(&a->files);
    vec_done(&a->words);
    vec_done(&a->command);
}

static bool same_word(struct str word, const char *name)
{
    return name != NULL && word.n == strlen(name) && strncasecmp(word.p, name, word.n) == 0;
}

const struct api_resource *arguments_resource(struct str word)
{
    struct str group, plain = str_cut(word, '.', &group);
    size_t count = 0;
    const struct api_resource *const *all = schema_resources(&count);
    for (size_t i = 0; i < count; i++) {
        const struct api_resource *r = all[i];
        bool same = same_word(plain, r->plural) || same_word(plain, r->singular) ||
                    same_word(plain, r->kind);
        for (const char *const *short_name = r->short_names;
             !same && short_name != NULL && *short_name != NULL; short_name++) {
            same = same_word(plain, *short_name);
        }
        /* "deployments.apps" and "deployments.v1.apps" both name the group at the end */
        bool in_group = group.p == NULL || str_is(group, r->group) ||
                        (r->group[0] != '\0' && str_ends(group, str_of(r->group)));
        if (same && in_group && r->served) {
            return r;
        }
    }
    return NULL;
}

static int add_target(struct targets *targets, struct str type, struct str name, struct err *err)
{
    const struct api_resource *resource = arguments_resource(type);
    if (resource == NULL) {
        return err_set(err, ERR_INVALID, "the server doesn't have a resource type \"%.*s\"",
                       STR_ARG(type));
    }
    *vec_push(targets) = (struct target){resource, name};
    return 0;
}

int arguments_targets(const struct arguments *a, struct targets *ret_targets, struct err *err)
{
    struct targets out = {0};
    int rc = a->words.count == 0
                 ? err_set(err, ERR_INVALID, "say what: TYPE, TYPE NAME or TYPE/NAME")
                 : 0;
    bool slashed = a->words.count > 0 && strchr(a->words.items[0], '/') != NULL;
    for (size_t i = 0; slashed && i < a->words.count && rc == 0; i++) {
        struct str name, type = str_cut(str_of(a->words.items[i]), '/', &name);
        rc = name.n == 0 ? err_set(err, ERR_INVALID, "\"%s\": say TYPE/NAME", a->words.items[i])
                         : add_target(&out, type, name, err);
    }
    struct str rest = !slashed && a->words.count > 0 ? str_of(a->words.items[0]) : STR_NONE;
    while (rest.p != NULL && rc == 0) {
        struct str type = str_cut(rest, ',', &rest);
        rc = a->words.count == 1 ? add_target(&out, type, STR_NONE, err) : 0;
        for (size_t i = 1; i < a->words.count && rc == 0; i++) {
            rc = add_target(&out, type, str_of(a->words.items[i]), err);
        }
    }
    if (rc != 0) {
        vec_done(&out);
        return rc;
    }
    *ret_targets = out;
    return 0;
}

/* validation.h: how validation says what is wrong: paths that cost nothing until there is an error,
 * and one function for each kind of field error, worded as the API documents them
 * (apimachinery util/validation/field).
 */
#pragma once
#include "api/names.h"
#include "api/ops.h"

/* A path is a chain on the stack; it is only turned into text when an error is added. */
struct path {
    const struct path *up;
    const char *name; /* member, or NULL */
    struct str key;   /* [key] of a map, when p is not NULL */
    int index;        /* [index] otherwise */
};
#define AT(up_, name_)   (&(const struct path){.up = (up_), .name = (name_)})
#define AT_INDEX(up_, i) (&(const struct path){.up = (up_), .index = (int)(i)})
#define AT_KEY(up_, k)   (&(const struct path){.up = (up_), .key = (k)})
/* .key: a member whose name is no literal. */
#define AT_MEMBER(up_, k) (&(const struct path){.up = (up_), .key = (k), .index = -1})

/* The text of a path, in the errors' arena. */
struct str path_text(struct field_errors *errors, const struct path *path);

#define FIELD_FORMAT(at) __attribute__((format(printf, at, at + 1)))
/* 'Invalid value: "x": detail'. */
void field_invalid(struct field_errors *errors, const struct path *path, struct str value,
                   const char *format, ...) FIELD_FORMAT(4);
void field_invalid_int(struct field_errors *errors, const struct path *path, int64_t value,
                       const char *format, ...) FIELD_FORMAT(4);
void field_invalid_val(struct field_errors *errors, const struct path *path,
                       const struct val *value, const char *format, ...) FIELD_FORMAT(4);
/* 'Required value: detail'; an empty detail gives 'Required value'. */
void field_required(struct field_errors *errors, const struct path *path, const char *detail);
void field_forbidden(struct field_errors *errors, const struct path *path, const char *format, ...)
    FIELD_FORMAT(3);
/* 'Unsupported value: "x": supported values: "a", "b"'; `values` is NULL ended, in text order. */
void field_not_supported(struct field_errors *errors, const struct path *path, struct str value,
                         const char *const *values);
void field_duplicate(struct field_errors *errors, const struct path *path, struct str value);
void field_duplicate_val(struct field_errors *errors, const struct path *path,
                         const struct val *value);
void field_not_found(struct field_errors *errors, const struct path *path, struct str value);
void field_too_long(struct field_errors *errors, const struct path *path, int64_t max_bytes);
void field_too_many(struct field_errors *errors, const struct path *path, int64_t count,
                    int64_t max);

/* ---- checks that many kinds share; each adds its errors and says whether there was none ---- */

bool check_name(struct field_errors *errors, const struct path *path, enum name_rule rule,
                struct str value);
/* One of `values` (NULL ended, in text order); empty text is Required when `required`. */
bool check_one_of(struct field_errors *errors, const struct path *path, struct str value,
                  const char *const *values, bool required);
/* The same for what the API has a pointer for: absent is fine, empty text is a value like others.
 */
bool check_optional_one_of(struct field_errors *errors, const struct path *path,
                           const struct val *value, const char *const *values);
/* Whether an earlier object of the list has the same text under `member` (absent is empty). */
bool list_repeats(const struct val *list, const struct val *item, const char *member);
bool check_not_negative(struct field_errors *errors, const struct path *path,
                        const struct val *value);
/* A port number 1..65535. */
bool check_port_number(struct field_errors *errors, const struct path *path, int64_t value);
/* IntOrString port: a number or a port name. */
bool check_port(struct field_errors *errors, const struct path *path, const struct val *value);
/* At most `max` members. Lists whose members are compared with each other are bounded, so that one
 * request cannot keep a thread busy for long. */
bool check_length(struct field_errors *errors, const struct path *path, const struct val *list,
                  uint32_t max);
enum { LIST_LENGTH_MAX = 1024 };
/* "must be an immutable field": equal, or an error. */
bool check_immutable(struct field_errors *errors, const struct path *path, const struct val *next,
                     const struct val *old);
void check_labels(struct field_errors *errors, const struct path *path, const struct val *labels);
void check_annotations(struct field_errors *errors, const struct path *path,
                       const struct val *annotations);
/* A metav1.LabelSelector that is present. */
void check_label_selector(struct field_errors *errors, const struct path *path,
                          const struct val *selector);
/* Rules of metadata on create and on update (`old` not NULL). */
void check_metadata(struct api_context *ctx, const struct api_resource *resource,
                    const struct val *object, const struct val *old, struct field_errors *errors);

/* ---- addresses (validation_address.c): no leading zeros, no IPv4-mapped IPv6 addresses ---- */

/* `canonical`: only in the one form that RFC 5952 gives. */
bool check_address(struct field_errors *errors, const struct path *path, struct str value,
                   bool canonical);
/* A range: no bits beyond the prefix. */
bool check_range(struct field_errors *errors, const struct path *path, struct str value,
                 bool canonical);
/* An address with its prefix length, in canonical form. */
bool check_interface_address(struct field_errors *errors, const struct path *path,
                             struct str value);
/* Warnings about an IPv6 address or range that is right, but not in canonical form. */
void warn_address(struct api_context *ctx, const struct path *path, struct str value);
void warn_range(struct api_context *ctx, const struct path *path, struct str value);
/* "*.example.com" */
bool check_wildcard_domain(struct field_errors *errors, const struct path *path, struct str value);
/* "acme.io/foo": a domain and a path. */
bool check_domain_path(struct field_errors *errors, const struct path *path, struct str value);

/* metav1.Condition, and a list of them (validation_condition.c). */
void check_condition(struct field_errors *errors, const struct path *path,
                     const struct val *condition);
void check_conditions(struct field_errors *errors, const struct path *path,
                      const struct val *conditions);

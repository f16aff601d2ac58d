/* curl_lib.h: libcurl, loaded only in the child that pulls (as archive_lib.h). */
#pragma once
#include <curl/curl.h>

#include "base/err.h"

struct curl_lib {
    __typeof__(curl_global_init) *global_init;
    CURL *(*easy_init)(void);
    void (*easy_reset)(CURL *curl);
    CURLcode (*easy_setopt)(CURL *curl, CURLoption option, ...);
    CURLcode (*easy_perform)(CURL *curl);
    CURLcode (*easy_getinfo)(CURL *curl, CURLINFO info, ...);
    const char *(*easy_strerror)(CURLcode code);
    struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
    void (*slist_free_all)(struct curl_slist *list);
};
int curl_lib_load(struct curl_lib *ret_lib, struct err *err);

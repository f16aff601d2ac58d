/* key_int.h: what certificate.c needs of a key. */
#pragma once
#include <openssl/evp.h>

#include "pki/key.h"

EVP_PKEY *key_evp(const struct key *key); /* borrowed */
/* Takes a reference of its own. ERR_PARSE when it is no P-256 key. */
int key_from_evp(EVP_PKEY *evp, bool is_private, struct key **ret_key, struct err *err);
/* The newest OpenSSL error as text, put into err; returns code. Clears the thread's error queue. */
int openssl_err(struct err *err, enum err_code code, const char *what);

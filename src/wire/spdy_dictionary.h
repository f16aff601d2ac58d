/* spdy_dictionary.h: the zlib dictionary that the SPDY/3 draft fixes for header blocks (section
 * 2.6.10.1): names and values that HTTP uses, each after its length. Adler-32: 0xe3c6a7c2. */
#pragma once

enum { SPDY_DICTIONARY_SIZE = 1423 };
extern const unsigned char spdy_dictionary[SPDY_DICTIONARY_SIZE];

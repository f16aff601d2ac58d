/* cmocka_all.h: cmocka with the headers it forgets to include. Every unit test starts with it. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

// SPDX-License-Identifier: Apache-2.0
//
// UUIDs as domains carry them: 16 bytes, written as 8-4-4-4-12 hexadecimal digits (RFC 9562).
#include <toolstack/domain.h>

#include <errno.h>
#include <string.h>
#include <sys/random.h>

void uuid_format(const uint8_t bytes[16], char text[UUID_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    char *out = text;

    for (unsigned int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

bool uuid_parse(const char *text, uint8_t bytes[16])
{
    unsigned int digits = 0;

    memset(bytes, 0, 16);
    for (; *text; text++) {
        int value = digit_value(*text);

        if (*text == '-')
            continue;
        if (value < 0 || digits == 32)
            return false;
        bytes[digits / 2] = (uint8_t)(bytes[digits / 2] << 4 | value);
        digits++;
    }
    return digits == 32;
}

struct error *uuid_generate(uint8_t bytes[16])
{
    if (getrandom(bytes, 16, 0) != 16)
        return error_errno(ERROR_SYSTEM, errno, "cannot get random numbers");
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    return NULL;
}

#include "proto/base64.h"

#include "common/base/macros.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void hg_b64_add(struct hg_buf *out, struct hg_slice bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.p;
    size_t left = bytes.n;
    hg_buf_reserve(out, (bytes.n + 2) / 3 * 4 + 1);
    char *q = out->p + out->n;
    for (; left >= 3; left -= 3, p += 3, q += 4) {
        unsigned v = (unsigned)p[0] << 16 | (unsigned)p[1] << 8 | p[2];
        q[0] = alphabet[v >> 18];
        q[1] = alphabet[v >> 12 & 63];
        q[2] = alphabet[v >> 6 & 63];
        q[3] = alphabet[v & 63];
    }
    if (left > 0) {
        unsigned v = (unsigned)p[0] << 16 | (left == 2 ? (unsigned)p[1] << 8 : 0);
        q[0] = alphabet[v >> 18];
        q[1] = alphabet[v >> 12 & 63];
        q[2] = left == 2 ? alphabet[v >> 6 & 63] : '=';
        q[3] = '=';
        q += 4;
    }
    out->n = (size_t)(q - out->p);
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

void hg_b64_decode_lenient(struct hg_buf *out, struct hg_slice s)
{
    unsigned bits = 0, have = 0;
    hg_buf_reserve(out, s.n / 4 * 3 + 3);
    for (size_t i = 0; i < s.n && s.p[i] != '='; i++) {
        int v = value_of(s.p[i]);
        if (v < 0)
            continue;
        bits = bits << 6 | (unsigned)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out->p[out->n++] = (char)(bits >> have);
        }
    }
}

bool hg_b64_is_clean(struct hg_slice s)
{
    bool plain = false, url = false;
    size_t pad = 0;
    while (pad < 2 && pad < s.n && s.p[s.n - 1 - pad] == '=')
        pad++;
    size_t n = s.n - pad;
    for (size_t i = 0; i < n; i++) {
        plain |= s.p[i] == '+' || s.p[i] == '/';
        url |= s.p[i] == '-' || s.p[i] == '_';
        if (value_of(s.p[i]) < 0)
            return false;
    }
    return !(plain && url) && n % 4 != 1 && (pad == 0 || s.n % 4 == 0);
}

int hg_b64url_decode(struct hg_buf *out, struct hg_slice s)
{
    unsigned bits = 0, have = 0;
    hg_buf_reserve(out, s.n / 4 * 3 + 3);
    for (size_t i = 0; i < s.n; i++) {
        int v = s.p[i] == '+' || s.p[i] == '/' ? -1 : value_of(s.p[i]);
        if (v < 0)
            return -1;
        bits = bits << 6 | (unsigned)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out->p[out->n++] = (char)(bits >> have);
        }
    }
    return have == 6 || bits & ((1u << have) - 1) ? -1 : 0;
}

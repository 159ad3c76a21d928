#include "proto/sha1.h"

#include <openssl/evp.h>
#include "common/base/err.h"

int hg_sha1(struct hg_slice data, unsigned char out[HG_SHA1_SIZE])
{
    return EVP_Digest(data.p, data.n, out, NULL, EVP_sha1(), NULL) ? 0 : -HG_E_SYS;
}

int hg_sha1_hex(struct hg_slice data, char out[2 * HG_SHA1_SIZE + 1])
{
    static const char digit[] = "0123456789abcdef";
    unsigned char sha[HG_SHA1_SIZE];

    if (hg_sha1(data, sha) < 0)
        return -HG_E_SYS;
    for (int i = 0; i < HG_SHA1_SIZE; i++) {
        out[2 * i] = digit[sha[i] >> 4];
        out[2 * i + 1] = digit[sha[i] & 15];
    }
    out[2 * HG_SHA1_SIZE] = 0;
    return 0;
}

// What the gateway builds, judged and read by the official FlatBuffers library alone (query_gen.h).
#include "sql_protocol_generated.h"

#include <stdlib.h>
#include <string.h>

#define _Noreturn [[noreturn]]
extern "C" {
#include "tests/support/query_gen.h"
}
#undef _Noreturn

namespace
{

// The library wants the buffer at an aligned address; malloc's are.
struct copy {
    void *p;
    copy(const void *bytes, size_t n) : p(malloc(n + 1))
    {
        memcpy(p, bytes, n);
    }
    ~copy()
    {
        free(p);
    }
};

template <typename T> bool verify(const void *bytes, size_t n)
{
    copy own(bytes, n);
    flatbuffers::Verifier v(static_cast<const uint8_t *>(own.p), n, 256, 1000000);
    return v.VerifyBuffer<T>(nullptr);
}

} // namespace

extern "C" {

bool fb_verify_query(const void *bytes, size_t n)
{
    return verify<SqlSchema::StreamingSqlDataFilter>(bytes, n);
}

bool fb_verify_request(const void *bytes, size_t n)
{
    return verify<SqlRpc::RequestEnvelope>(bytes, n);
}

} // extern "C"

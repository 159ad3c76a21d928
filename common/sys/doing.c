#include "common/sys/host.h"

static const char *const names[] = {
#define HG_DOING(name, text) [HG_DOING_##name] = text,
#include "common/sys/doing.def"
#undef HG_DOING
};

const char *hg_doing_name(uint32_t doing)
{
    return doing < HG_COUNTOF(names) ? names[doing] : "?";
}

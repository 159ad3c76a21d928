#include "worker/control_state.h"

static unsigned open_up(struct hg_cq *q)
{
    q->state = HG_CQ_OPEN;
    return HG_CQ_PRODUCE;
}

static unsigned ended(struct hg_cq *q)
{
    if (q->unreported == 0)
        return HG_CQ_LEAVE;
    q->state = HG_CQ_ENDING;
    return 0;
}

static unsigned joined(struct hg_cq *q, bool first)
{
    switch (q->state) {
    case HG_CQ_JOINING:
    case HG_CQ_WAITING:
        return open_up(q);
    case HG_CQ_OPEN: /* registered anew; while it was not, somebody may have closed it */
        return first ? HG_CQ_PRODUCE : 0;
    default:
        return 0;
    }
}

static unsigned joined_closing(struct hg_cq *q)
{
    if (q->state == HG_CQ_ENDING)
        return 0;
    q->state = HG_CQ_WAITING;
    return HG_CQ_POLL;
}

static unsigned reported(struct hg_cq *q, bool ok)
{
    q->unreported--;
    if (q->state == HG_CQ_ENDING)
        return q->unreported == 0 ? HG_CQ_LEAVE : 0;
    return ok ? 0 : HG_CQ_AGAIN;
}

unsigned hg_cq_step(struct hg_cq *q, enum hg_cq_event e)
{
    switch (e) {
    case HG_CQ_TOLD:
        if (q->state == HG_CQ_ENDING) { /* nobody looked meanwhile whether another closes it */
            q->state = HG_CQ_JOINING;
            return HG_CQ_JOIN;
        }
        return q->state == HG_CQ_OPEN ? HG_CQ_PRODUCE : 0;
    case HG_CQ_JOINED:
    case HG_CQ_JOINED_FIRST:
        return joined(q, e == HG_CQ_JOINED_FIRST);
    case HG_CQ_JOINED_CLOSING:
        return joined_closing(q);
    case HG_CQ_AWAY:
        return q->state == HG_CQ_JOINING || q->state == HG_CQ_WAITING ? open_up(q) : 0;
    case HG_CQ_ENDED:
        return ended(q);
    case HG_CQ_REPORTED:
    case HG_CQ_LOST:
        return reported(q, e == HG_CQ_REPORTED);
    }
    return 0;
}

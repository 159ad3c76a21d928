/* From a configuration to a master that can fork: what is bound, opened and mapped before the first
 * worker. */
#include <bsd/string.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include "common/sys/log.h"
#include "master/control.h"
#include "master/state.h"

/* What goes wrong before the service runs is said on standard error, wherever the log may go. */
static int complain(const char *fmt, ...) HG_PRINTF(1, 2);
static int complain(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("headgate: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return -HG_E_SYS;
}

/* ---- machine ---- */

static uint32_t count_workers(const struct hg_conf *conf)
{
    cpu_set_t set;
    int64_t n = conf->workers;
    if (n == 0) /* as many as this process may use, which in a container is fewer than there are */
        n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return (uint32_t)HG_MAX(1, HG_MIN(n, (int64_t)HG_MAX_SLOTS));
}

static void raise_fd_limit(void)
{
    struct rlimit lim;
    if (getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_cur == lim.rlim_max)
        return;
    lim.rlim_cur = lim.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
        hg_log(HG_LOG_WARN, NULL, "fd_limit", "why=\"%s\"", strerror(errno));
}

static void name_host(struct hg_master *m)
{
    if (m->conf->host_id[0])
        strlcpy(m->host_id, m->conf->host_id, sizeof m->host_id);
    else if (gethostname(m->host_id, sizeof m->host_id - 1) < 0)
        strlcpy(m->host_id, "unknown", sizeof m->host_id);
}

static int new_host(const struct hg_conf *conf, uint32_t nslots, struct hg_host **out)
{
    const char *why = NULL;
    struct hg_host_spec spec = {.nslots = nslots,
                                .ring_size = (uint64_t)conf->ring_size,
                                .instance_id = conf->instance_id,
                                .topics = conf->kafka_topics,
                                .bare = conf->profile == HG_PROFILE_V1 ||
                                        conf->profile == HG_PROFILE_V2};
    int rc = hg_host_new(&spec, out, &why);
    if (rc == -HG_E_CONF_VALUE)
        complain("%s", why);
    else if (rc < 0)
        complain("shared memory for %u workers: %s", nslots, hg_err_row(rc)->text);
    return rc;
}

static int map_host(struct hg_master *m)
{
    int rc = new_host(m->conf, count_workers(m->conf), &m->host);
    if (rc < 0)
        return rc;
    m->last_seat = m->host->nseats - 1;
    return 0;
}

static int parse_addresses(const struct hg_conf *conf, struct hg_addr *clients,
                           struct hg_addr *admin)
{
    const char *why = NULL;
    if (hg_addr_parse(hg_slice_str(conf->listen), (uint16_t)conf->port, clients) < 0) {
        complain("listen = %s is not an IP address", conf->listen);
        return -HG_E_CONF_VALUE;
    }
    if (conf->admin_listen[0] &&
        hg_addr_parse_port(hg_slice_str(conf->admin_listen), admin, &why) < 0) {
        complain("admin_listen = %s: %s", conf->admin_listen, why);
        return -HG_E_CONF_VALUE;
    }
    return 0;
}

int hg_master_check(const struct hg_conf *conf)
{
    struct hg_addr clients, admin;
    struct hg_slice bad;
    struct hg_host *host = NULL;
    int rc = parse_addresses(conf, &clients, &admin);
    if (rc < 0)
        return rc;
    if (hg_cidr_list_check(hg_slice_str(conf->trusted_proxies), &bad) < 0) {
        complain("trusted_proxies: %.*s is neither an address nor a network", HG_SLICE_ARG(bad));
        return -HG_E_CONF_VALUE;
    }
    rc = new_host(conf, 1, &host);
    if (rc < 0)
        return rc;
    hg_host_free(host);
    return 0;
}

/* ---- configuration ---- */

/* Above the embedded broker: its address stands where --kafka-brokers would. */
static int load_options(struct hg_master *m, struct hg_conf **out, struct hg_buf *report)
{
    struct hg_conf_in in = m->in->conf_in;
    if (!m->dev.embedded)
        return hg_conf_load(&in, out, report);
    char **argv = hg_calloc((size_t)in.argc + 3, sizeof *argv);
    for (int i = 0; i < in.argc; i++)
        argv[i] = in.argv[i];
    argv[in.argc] = (char *)"--kafka-brokers";
    argv[in.argc + 1] = m->dev.brokers;
    in.argv = argv;
    in.argc += 2;
    int rc = hg_conf_load(&in, out, report);
    free(argv);
    return rc;
}

int hg_master_load_conf(struct hg_master *m, struct hg_conf **out, struct hg_buf *report)
{
    int rc = load_options(m, out, report);
    if (rc < 0 || !m->in->check || m->in->check(*out, report))
        return rc;
    hg_conf_free(*out);
    *out = NULL;
    return -HG_E_CONF_VALUE;
}

void hg_master_log_report(const struct hg_buf *report, const char *tag)
{
    for (size_t from = 0; from < report->n;) {
        const char *nl = memchr(report->p + from, '\n', report->n - from);
        size_t end = nl ? (size_t)(nl - report->p) : report->n;
        struct hg_slice line = hg_slice_of(report->p + from, end - from);
        bool bad = line.n > 6 && memcmp(line.p, "error:", 6) == 0;
        hg_log(bad ? HG_LOG_ERROR : HG_LOG_WARN, NULL, tag, "says=\"%.*s\"", HG_SLICE_ARG(line));
        from = end + 1;
    }
}

static int open_log(struct hg_master *m)
{
    if (hg_log_open(m->conf->log_file, m->conf->log_format == 1) < 0)
        return complain("log file %s: %s", m->conf->log_file, strerror(errno));
    hg_log_set_process("master");
    hg_log_set_level((enum hg_log_level)m->conf->log_level);
    return 0;
}

static int configure(struct hg_master *m)
{
    struct hg_buf report = {0};
    int rc = hg_master_load_conf(m, &m->conf, &report);
    if (rc < 0) {
        fwrite(report.p, 1, report.n, stderr);
        hg_buf_fini(&report);
        return rc;
    }
    rc = open_log(m);
    if (rc == 0)
        hg_master_log_report(&report, "conf");
    hg_buf_fini(&report);
    if (rc == 0)
        rc = hg_master_check(m->conf);
    return rc < 0 ? rc : parse_addresses(m->conf, &m->clients_addr, &m->admin_addr);
}

/* ---- sockets ---- */

static int in_use(const char *what, const char *where)
{
    return complain("%s %s is in use: another headgate, or another program, listens there", what,
                    where);
}

static int bind_first(struct hg_master *m)
{
    struct hg_conf *cf = m->conf;
    char text[HG_ADDR_TEXT];
    hg_addr_text(&m->clients_addr, text);
    if (cf->port != 0) {
        int rc = hg_sock_probe(&m->clients_addr);
        if (rc == -HG_E_EXISTS)
            return in_use("port", text);
        if (rc < 0)
            return complain("cannot listen on %s: %s", text, strerror(errno));
    }
    m->workers[0].listen_fd = hg_sock_listen(&m->clients_addr, (int)cf->backlog, true);
    if (m->workers[0].listen_fd < 0 || hg_sock_local(m->workers[0].listen_fd, &m->clients_addr) < 0)
        return complain("cannot listen on %s: %s", text, strerror(errno));
    hg_addr_text(&m->clients_addr, m->clients);
    return 0;
}

static int bind_clients(struct hg_master *m)
{
    int rc = bind_first(m);
    if (rc < 0)
        return rc;
    for (uint32_t i = 1; i < m->host->nslots; i++) {
        m->workers[i].listen_fd = hg_sock_listen(&m->clients_addr, (int)m->conf->backlog, true);
        if (m->workers[i].listen_fd < 0)
            return complain("cannot listen on %s: %s", m->clients, strerror(errno));
    }
    return 0;
}

/* Whoever did not ask for it can do without, as a second gateway of the sources on one machine
 * could, which needed no more than a WS_PORT of its own. */
static int admin_in_use(const struct hg_master *m)
{
    if (hg_conf_is_given(m->conf, HG_SLICE_LIT("admin_listen")))
        return in_use("admin_listen", m->conf->admin_listen);
    hg_log(HG_LOG_WARN, NULL, "admin.off",
           "where=%s why=\"in use: set admin_listen to have /metrics and /readyz\"",
           m->conf->admin_listen);
    return 0;
}

static int bind_admin(struct hg_master *m)
{
    struct hg_addr addr = m->admin_addr;
    const char *text = m->conf->admin_listen;
    if (!text[0])
        return 0;
    int fd = hg_sock_listen(&addr, 64, false);
    if (fd == -HG_E_EXISTS)
        return admin_in_use(m);
    if (fd < 0)
        return complain("admin_listen = %s: %s", text, strerror(errno));
    hg_httpd_init(&m->admin, fd, hg_admin_answer, &m->answers);
    if (hg_sock_local(fd, &addr) < 0)
        return complain("admin_listen = %s: %s", text, strerror(errno));
    hg_addr_text(&addr, m->admin_text);
    return 0;
}

static int bind_control(struct hg_master *m)
{
    char path[256];
    hg_control_path(m->conf, hg_addr_port(&m->clients_addr), path, sizeof path);
    int fd = hg_sock_unix_listen(path, 0600);
    if (fd == -HG_E_EXISTS)
        return in_use("control socket", path);
    if (fd < 0) { /* the service can do without */
        hg_log(HG_LOG_WARN, NULL, "control.off", "path=%s why=\"%s\"", path,
               fd == -HG_E_TOO_BIG ? "path too long for a socket" : strerror(errno));
        return 0;
    }
    strlcpy(m->control_path, path, sizeof m->control_path);
    hg_httpd_init(&m->control, fd, hg_control_answer, &m->answers);
    m->control.body_max = HG_CONTROL_BODY;
    m->control.check_peer = true;
    m->control.only_uid = geteuid();
    return 0;
}

static int write_pidfile(struct hg_master *m)
{
    pid_t other = 0;
    if (!m->conf->pidfile[0])
        return 0;
    m->pidfile = pidfile_open(m->conf->pidfile, 0644, &other);
    if (!m->pidfile && errno == EEXIST)
        return complain("pidfile %s is in use: headgate runs already with pid %d", m->conf->pidfile,
                        (int)other);
    if (!m->pidfile || pidfile_write(m->pidfile) < 0)
        return complain("pidfile %s: %s", m->conf->pidfile, strerror(errno));
    return 0;
}

/* ---- user ---- */

static int drop_user(struct hg_master *m)
{
    const char *name = m->conf->user;
    if (!name[0])
        return 0;
    errno = 0;
    struct passwd *pw = getpwnam(name);
    if (!pw)
        return complain("user = %s: %s", name, errno ? strerror(errno) : "no such user");
    if (pw->pw_uid == geteuid())
        return 0;
    if (m->control_path[0] && chown(m->control_path, pw->pw_uid, pw->pw_gid) < 0)
        hg_log(HG_LOG_WARN, NULL, "control.owner", "path=%s why=\"%s\"", m->control_path,
               strerror(errno));
    if (initgroups(name, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0)
        return complain("cannot become user %s: %s", name, strerror(errno));
    m->control.only_uid = pw->pw_uid;
    /* A process that changed its user leaves no core and shows no /proc entries to its own user;
     * both are wanted here. */
    prctl(PR_SET_DUMPABLE, 1);
    return 0;
}

/* ---- --dev ---- */

static int start_dev(struct hg_master *m)
{
    struct hg_buf report = {0};
    if (!m->conf->dev)
        return 0;
    if (!hg_conf_is_given(m->conf, HG_SLICE_LIT("kafka_brokers")) && m->in->devbroker) {
        if (hg_dev_start_broker(&m->dev, m->now) < 0)
            return complain("the embedded broker did not start");
        struct hg_conf *conf = NULL;
        int rc = hg_master_load_conf(m, &conf, &report);
        hg_buf_fini(&report); /* the same words as before */
        if (rc < 0)
            return rc;
        hg_conf_free(m->conf);
        m->conf = conf;
    }
    if (hg_dev_start_tools(&m->dev, m->conf->kafka_brokers, m->now) < 0)
        return complain("temporary directory: %s", strerror(errno));
    return 0;
}

int hg_master_set_up(struct hg_master *m)
{
    static int (*const steps[])(struct hg_master *) = {
        configure,     map_host,  bind_clients,           bind_admin, bind_control,
        write_pidfile, drop_user, hg_master_open_signals, start_dev};
    for (size_t i = 0; i < HG_COUNTOF(steps); i++) {
        int rc = steps[i](m);
        if (rc < 0)
            return rc;
        if (steps[i] == configure) {
            raise_fd_limit();
            name_host(m);
        }
    }
    return 0;
}

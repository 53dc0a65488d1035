// SPDX-License-Identifier: Apache-2.0
//
// A stand-in for the hypervisor, preloaded into a xenstored (ours or Debian's) so that it runs as
// an ordinary program with domains that other programs play. In the folder $FAKE_XEN: the ring page
// of domain N is the file ring-N, event channels are a FIFO "events" of 32-bit port numbers, a file
// gone-N or shut-N says that a domain is gone or has shut down; a domain exists while its ring-N
// does and gone-N does not. Port 1 is domain 0's, port 2 is VIRQ_DOM_EXC, the others are what
// INTRODUCE says. Notifications from the daemon go nowhere: who plays a domain looks at its ring.
// Only for tests: failures abort.

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xen/sysctl.h>
#include <xencall.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#define PAGE 4096
#define DOM_EXC_PORT 2

static int events = -1;

static const char *file_name(const char *format, unsigned number)
{
    static char path[256];
    const char *folder = getenv("FAKE_XEN");
    int length = snprintf(path, sizeof(path), "%s/", folder ? folder : "/");

    snprintf(path + length, sizeof(path) - (size_t)length, format, number);
    return path;
}

static int exists(const char *format, unsigned number)
{
    return access(file_name(format, number), F_OK) == 0;
}

static int describe(unsigned domid, xen_domctl_getdomaininfo_t *info)
{
    if (domid != 0 && (!exists("ring-%u", domid) || exists("gone-%u", domid))) {
        return -1;
    }
    memset(info, 0, sizeof(*info));
    info->domain = (domid_t)domid;
    info->flags = exists("shut-%u", domid) ? XEN_DOMINF_shutdown : XEN_DOMINF_running;
    return 0;
}

/* Event channels. */

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
    (void)logger;
    (void)flags;
    events = open(file_name("events", 0), O_RDWR);
    if (events < 0) {
        abort();
    }
    return (xenevtchn_handle *)&events;
}

int xenevtchn_fd(xenevtchn_handle *handle)
{
    (void)handle;
    return events;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *handle)
{
    uint32_t port;

    (void)handle;
    return read(events, &port, sizeof(port)) == sizeof(port) ? (int)port : -1;
}

int xenevtchn_unmask(xenevtchn_handle *handle, evtchn_port_t port)
{
    (void)handle;
    (void)port;
    return 0;
}

int xenevtchn_notify(xenevtchn_handle *handle, evtchn_port_t port)
{
    (void)handle;
    (void)port;
    return 0;
}

int xenevtchn_unbind(xenevtchn_handle *handle, evtchn_port_t port)
{
    (void)handle;
    (void)port;
    return 0;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *handle, uint32_t domid,
                                                     evtchn_port_t remote_port)
{
    (void)handle;
    (void)domid;
    return (int)remote_port;
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *handle, unsigned int virq)
{
    (void)handle;
    (void)virq;
    return DOM_EXC_PORT;
}

/* Grants. */

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned flags)
{
    (void)logger;
    (void)flags;
    return (xengnttab_handle *)&events;
}

int xengnttab_set_max_grants(xengnttab_handle *handle, uint32_t nr_grants)
{
    (void)handle;
    (void)nr_grants;
    return 0;
}

void *xengnttab_map_grant_ref(xengnttab_handle *handle, uint32_t domid, uint32_t reference,
                              int protection)
{
    int fd = open(file_name("ring-%u", domid), O_RDWR);
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, PAGE, protection, MAP_SHARED, fd, 0);

    (void)handle;
    (void)reference;
    if (fd >= 0) {
        close(fd);
    }
    return page == MAP_FAILED ? NULL : page;
}

int xengnttab_unmap(xengnttab_handle *handle, void *start, uint32_t count)
{
    (void)handle;
    return munmap(start, (size_t)count * PAGE);
}

/* Hypercalls, as our daemon makes them. */

xencall_handle *xencall_open(struct xentoollog_logger *logger, unsigned flags)
{
    (void)logger;
    (void)flags;
    return (xencall_handle *)&events;
}

void *xencall_alloc_buffer(xencall_handle *handle, size_t size)
{
    (void)handle;
    return calloc(1, size);
}

int xencall1(xencall_handle *handle, unsigned int op, uint64_t argument)
{
    struct xen_sysctl *sysctl = (struct xen_sysctl *)(uintptr_t)argument;
    struct xen_sysctl_getdomaininfolist *list = &sysctl->u.getdomaininfolist;
    xen_domctl_getdomaininfo_t *infos;

    (void)handle;
    if (op != __HYPERVISOR_sysctl || sysctl->cmd != XEN_SYSCTL_getdomaininfolist ||
        sysctl->interface_version != XEN_SYSCTL_INTERFACE_VERSION) {
        abort();
    }
    infos = list->buffer.p;
    list->num_domains = 0;
    for (unsigned domid = list->first_domain; domid < 4096 && list->num_domains < list->max_domains;
         domid++) {
        list->num_domains += describe(domid, &infos[list->num_domains]) == 0;
    }
    return 0;
}

/* libxenctrl, as Debian's daemon uses it. */

void *xc_interface_open(void *logger, void *dombuild_logger, unsigned flags);
int xc_interface_close(void *handle);
int xc_domain_getinfo_single(void *handle, uint32_t domid, xen_domctl_getdomaininfo_t *info);

void *xc_interface_open(void *logger, void *dombuild_logger, unsigned flags)
{
    (void)logger;
    (void)dombuild_logger;
    (void)flags;
    return &events;
}

int xc_interface_close(void *handle)
{
    (void)handle;
    return 0;
}

int xc_domain_getinfo_single(void *handle, uint32_t domid, xen_domctl_getdomaininfo_t *info)
{
    (void)handle;
    if (describe(domid, info) == 0) {
        return 0;
    }
    errno = ESRCH;
    return -1;
}

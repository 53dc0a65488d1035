// SPDX-License-Identifier: Apache-2.0
//
// The hypervisor's interfaces (hypervisor.h). Domain states come from XEN_SYSCTL_getdomaininfolist,
// one page of entries a call; after VIRQ_DOM_EXC the whole list is read once into one byte for each
// possible domain, so that a thousand domains cost a dozen hypercalls. When the hypervisor does not
// answer, domains count as running: nothing is thrown away because of an error.

#include "hypervisor.h"
#include "log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/sysctl.h>
#include <xen/grant_table.h>
#include <xencall.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#define PAGE_SIZE 4096u

static xencall_handle *calls;
static xenevtchn_handle *events;
static xengnttab_handle *grants;
static struct xen_sysctl *sysctl_buffer;
static xen_domctl_getdomaininfo_t *info;
static int domain_event = -1;
/* One byte a domain id, as far as the list was read. */
static unsigned char states[DOMID_FIRST_RESERVED];
static bool states_known;

static bool open_calls(void)
{
    calls = xencall_open(NULL, 0);
    if (!calls) {
        log_line("cannot make hypercalls: %s (is /dev/xen/privcmd there?)", strerror(errno));
        return false;
    }
    sysctl_buffer = xencall_alloc_buffer(calls, sizeof(*sysctl_buffer));
    info = xencall_alloc_buffer(calls, PAGE_SIZE);
    if (!sysctl_buffer || !info) {
        log_line("no memory for hypercalls");
        return false;
    }
    return true;
}

bool hypervisor_open(void)
{
    if (!open_calls()) {
        return false;
    }
    events = xenevtchn_open(NULL, 0);
    if (!events) {
        log_line("cannot use event channels: %s (is /dev/xen/evtchn there?)", strerror(errno));
        return false;
    }
    fcntl(xenevtchn_fd(events), F_SETFL, fcntl(xenevtchn_fd(events), F_GETFL) | O_NONBLOCK);
    grants = xengnttab_open(NULL, 0);
    if (!grants) {
        log_line("cannot map grants: %s (is /dev/xen/gntdev there?)", strerror(errno));
        return false;
    }
    domain_event = xenevtchn_bind_virq(events, VIRQ_DOM_EXC);
    if (domain_event < 0) {
        log_line("cannot learn of domains' ends: %s", strerror(errno));
        return false;
    }
    return true;
}

int hypervisor_event_fd(void)
{
    return xenevtchn_fd(events);
}

int hypervisor_next_event(void)
{
    int port = xenevtchn_pending(events);

    if (port >= 0) {
        xenevtchn_unmask(events, (evtchn_port_t)port);
    }
    return port;
}

int hypervisor_domain_event(void)
{
    return domain_event;
}

/* Fills INFO from domain FIRST on with at most MOST entries; how many, or -1. */
static int read_infos(unsigned first, unsigned most)
{
    memset(sysctl_buffer, 0, sizeof(*sysctl_buffer));
    sysctl_buffer->cmd = XEN_SYSCTL_getdomaininfolist;
    sysctl_buffer->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    sysctl_buffer->u.getdomaininfolist.first_domain = (domid_t)first;
    sysctl_buffer->u.getdomaininfolist.max_domains = most;
    set_xen_guest_handle(sysctl_buffer->u.getdomaininfolist.buffer, info);
    if (xencall1(calls, __HYPERVISOR_sysctl, (uintptr_t)sysctl_buffer) < 0) {
        log_line("cannot list domains: %s", strerror(errno));
        return -1;
    }
    return (int)sysctl_buffer->u.getdomaininfolist.num_domains;
}

static enum domain_state state_of(const xen_domctl_getdomaininfo_t *entry)
{
    if (entry->flags & XEN_DOMINF_dying) {
        return DOMAIN_GONE;
    }
    return entry->flags & XEN_DOMINF_shutdown ? DOMAIN_SHUT_DOWN : DOMAIN_RUNS;
}

void hypervisor_read_domains(void)
{
    const unsigned most = PAGE_SIZE / sizeof(*info);
    unsigned first = 0;
    int count;

    memset(states, DOMAIN_GONE, sizeof(states));
    do {
        count = read_infos(first, most);
        for (int i = 0; i < count; i++) {
            first = info[i].domain + 1u;
            if (info[i].domain < DOMID_FIRST_RESERVED) {
                states[info[i].domain] = (unsigned char)state_of(&info[i]);
            }
        }
    } while (count == (int)most && first < DOMID_FIRST_RESERVED);
    states_known = count >= 0;
}

void hypervisor_forget_domains(void)
{
    states_known = false;
}

enum domain_state hypervisor_domain_state(void *context, unsigned domid)
{
    int count;

    (void)context;
    if (domid >= DOMID_FIRST_RESERVED) {
        return DOMAIN_GONE;
    }
    if (states_known) {
        return (enum domain_state)states[domid];
    }
    count = read_infos(domid, 1);
    if (count < 0) {
        return DOMAIN_RUNS;
    }
    return count == 1 && info->domain == domid ? state_of(info) : DOMAIN_GONE;
}

struct xenstore_domain_interface *hypervisor_map_ring(void *context, unsigned domid, uint64_t frame)
{
    void *page;

    (void)context;
    (void)frame;
    page = xengnttab_map_grant_ref(grants, domid, GNTTAB_RESERVED_XENSTORE, PROT_READ | PROT_WRITE);
    if (!page) {
        log_line("cannot map the ring of domain %u: %s", domid, strerror(errno));
    }
    return page;
}

void hypervisor_unmap_ring(void *context, unsigned domid, struct xenstore_domain_interface *ring)
{
    (void)context;
    if (xengnttab_unmap(grants, ring, 1) != 0) {
        log_line("cannot unmap the ring of domain %u: %s", domid, strerror(errno));
    }
}

int hypervisor_bind_port(void *context, unsigned domid, unsigned remote_port)
{
    int port = xenevtchn_bind_interdomain(events, domid, remote_port);

    (void)context;
    if (port < 0) {
        log_line("cannot bind to event channel %u of domain %u: %s", remote_port, domid,
                 strerror(errno));
    }
    return port;
}

void hypervisor_unbind_port(void *context, unsigned port)
{
    (void)context;
    xenevtchn_unbind(events, port);
}

void hypervisor_notify_port(void *context, unsigned port)
{
    (void)context;
    xenevtchn_notify(events, port);
}

static bool read_own_port(const char *path, unsigned *port)
{
    FILE *file = fopen(path, "re");
    bool good = file && fscanf(file, "%u", port) == 1;

    if (file) {
        fclose(file);
    }
    return good;
}

bool hypervisor_own_ring(const char *xenfs, struct xenstore_domain_interface **ring, unsigned *port)
{
    char path[256];
    unsigned remote;
    int local;
    int fd;
    void *page;

    snprintf(path, sizeof(path), "%s/xsd_port", xenfs);
    if (!read_own_port(path, &remote)) {
        log_line("%s says no port: is xenfs mounted there?", path);
        return false;
    }
    snprintf(path, sizeof(path), "%s/xsd_kva", xenfs);
    fd = open(path, O_RDWR | O_CLOEXEC);
    page = fd < 0 ? MAP_FAILED : mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0) {
        close(fd);
    }
    if (page == MAP_FAILED) {
        log_line("cannot map this domain's ring (%s): %s", path, strerror(errno));
        return false;
    }
    local = hypervisor_bind_port(NULL, 0, remote);
    if (local < 0) {
        munmap(page, PAGE_SIZE);
        return false;
    }
    *ring = page;
    *port = (unsigned)local;
    return true;
}

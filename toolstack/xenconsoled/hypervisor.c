// SPDX-License-Identifier: Apache-2.0
//
// The hypervisor's own log: read on from where the last read ended whenever the hypervisor says by
// its virtual interrupt that there is more.
#include "xenconsoled.h"

#include <stdio.h>

enum { PIECE = 16384 };

void hypervisor_log_read(struct daemon *daemon)
{
    struct hypervisor *hypervisor = daemon->toolstack.hypervisor;
    char *buffer = hypervisor_buffer(hypervisor, PIECE);
    struct xen_sysctl operation = {.cmd = XEN_SYSCTL_readconsole};
    int result;

    do {
        operation.u.readconsole = (struct xen_sysctl_readconsole){
            .incremental = 1, .index = daemon->hypervisor_index, .count = PIECE};
        set_xen_guest_handle_raw(operation.u.readconsole.buffer, buffer);
        result = hypervisor_sysctl(hypervisor, &operation);
        if (result < 0)
            break;
        daemon->hypervisor_index = operation.u.readconsole.index;
        log_write(&daemon->hypervisor_log, buffer, operation.u.readconsole.count);
    } while (operation.u.readconsole.count == PIECE);
    hypervisor_buffer_free(hypervisor, buffer);
}

void hypervisor_log_begin(struct daemon *daemon)
{
    const struct settings *settings = &daemon->settings;

    daemon->hypervisor_port = -1;
    if (!settings->log_hypervisor)
        return;
    log_open(&daemon->hypervisor_log, settings,
             memory_format("%s/hypervisor.log", settings->log_folder), settings->stamp_hypervisor);
    daemon->hypervisor_port = xenevtchn_bind_virq(daemon->events, VIRQ_CON_RING);
    if (daemon->hypervisor_port < 0)
        fprintf(stderr, "xenconsoled: no interrupt for the hypervisor's log; it is read once\n");
    hypervisor_log_read(daemon);
}

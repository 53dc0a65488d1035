// SPDX-License-Identifier: Apache-2.0
//
// Paravirtual devices: a frontend in a domain, a backend in another, described to both in xenstore.
// Attaching writes the description, waits until the backend has taken it, and runs its hotplug
// script when the backend is in this domain; elsewhere xl devd does that.
#ifndef TOOLSTACK_DEVICE_H
#define TOOLSTACK_DEVICE_H

#include <toolstack/domain.h>
#include <toolstack/domain_config.h>

struct device_node {
    const char *key;
    char *value;
};

#define DEVICE_NODES_MAX 24

struct device {
    const char *type; // "vbd" or "vif"
    unsigned int devid;
    unsigned int domid;
    unsigned int backend;
    char *label;  // for errors: "disk xvda"
    char *target; // of a disk that needs no script here
    bool readonly;
    char *script; // with its path
    struct device_node frontend[DEVICE_NODES_MAX];
    struct device_node backend_nodes[DEVICE_NODES_MAX];
    struct device_node shared; // the frontend's, which the backend writes, too; without key: none
    size_t frontend_count;
    size_t backend_count;
};

// Describes a disk or an interface of a domain; the backend's domain must exist. The caller frees
// *device in any case.
struct error *device_from_disk(struct toolstack *toolstack, unsigned int domid,
                               const struct disk_config *disk, struct device *device) MUST_CHECK;
struct error *device_from_nic(struct toolstack *toolstack, unsigned int domid,
                              const struct nic_config *nic, struct device *device) MUST_CHECK;
void device_free(struct device *device);

// Connects devices of one domain, all at the same time. After an error some may be connected and
// some half; devices_detach ends them all.
struct error *devices_attach(struct toolstack *toolstack, struct device *devices,
                             size_t count) MUST_CHECK;

// A device as xenstore has it.
struct device_entry {
    char *type;
    unsigned int devid;
    unsigned int domid;
    unsigned int backend;
    char *frontend_path;
    char *backend_path;
    char *private_path; // what the toolstacks keep of it
};

// The devices of a domain, of one type or (NULL) of all but its console.
struct error *device_list(struct toolstack *toolstack, unsigned int domid, const char *type,
                          struct device_entry **entries, size_t *count) MUST_CHECK;
void device_list_free(struct device_entry *entries, size_t count);

// Asks the backends to let go, waits for them, runs the scripts, and removes the devices. force: do
// not wait for what the frontend should do first. A backend whose domain is gone is not waited for.
// Removes what it can also after an error.
struct error *devices_detach(struct toolstack *toolstack, const struct device_entry *entries,
                             size_t count, bool force) MUST_CHECK;

// Describes the devices of living domains to the successor of the domain that served them and is
// gone: the backends' nodes anew, by the toolstack's own record, and the right to read what the
// frontends have written. The frontends' nodes stay as they are, so a frontend does not notice.
// Does not wait for the backends.
struct error *devices_announce(struct toolstack *toolstack, unsigned int backend) MUST_CHECK;

// For when the domain that served them has died: answers what it had taken and can be lost, the
// packets that its clients were sending, as lost, so that a successor begins with empty rings.
// Doing it again does no harm.
struct error *devices_orphan(struct toolstack *toolstack, unsigned int backend) MUST_CHECK;
struct error *device_answer_open(struct toolstack *toolstack,
                                 const struct device_entry *entry) MUST_CHECK;

// The devices that a domain serves to others; device_list_free frees them.
struct error *device_list_served(struct toolstack *toolstack, unsigned int backend,
                                 struct device_entry **entries, size_t *count) MUST_CHECK;

// The domain that this program runs in.
unsigned int device_own_domain(struct toolstack *toolstack);

// Serves the backends of this domain, a driver domain: connects each device that a toolstack
// describes here, by its hotplug script, and takes it away when it has been closed. Returns only on
// an error; what goes wrong with one device is printed and written beside it.
struct error *device_serve(struct toolstack *toolstack) MUST_CHECK;

// Where device_serve counts as long as it works; the domain's id belongs in it.
#define DEVICE_HEARTBEAT "/local/domain/%u/data/devd"

#define DEVICE_SCRIPTS "/etc/xen/scripts"

// Starts a hotplug script; *process is a descriptor that becomes readable when it has ended, with
// *pid to be waited for.
struct error *hotplug_start(const char *type, const char *script, const char *action,
                            const char *backend_path, const char *vif, int *process,
                            int *pid) MUST_CHECK;

// The interface's name in the backend's domain.
char *device_vif_name(struct toolstack *toolstack, const char *backend_path, unsigned int domid,
                      unsigned int devid);

// States of the xenbus interface, as text.
#define XENBUS_INITIALISING "1"
#define XENBUS_CLOSING "5"

#endif

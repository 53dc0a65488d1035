// SPDX-License-Identifier: Apache-2.0
//
// What a domain is to be: read from the established configuration format, kept as JSON while the
// domain lives, so that it can be started again. All strings are owned by the structure; NULL means
// not set.
#ifndef TOOLSTACK_DOMAIN_CONFIG_H
#define TOOLSTACK_DOMAIN_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <toolstack/config.h>
#include <toolstack/pci.h>
#include <toolstack/error.h>

struct json_object;

enum end_action {
    END_DESTROY,
    END_RESTART,
    END_RENAME_RESTART,
    END_PRESERVE,
    END_COREDUMP_DESTROY,
    END_COREDUMP_RESTART,
};

struct disk_config {
    char *target; // a file or block device in the backend's domain
    char *vdev;   // "xvda"
    char *format; // only "raw"
    char *script;
    char *backend; // name or id of the backend's domain; NULL is this one
    bool readonly;
    bool removable;
    bool discard;
};

struct nic_config {
    unsigned int devid;
    uint8_t mac[6];
    char *bridge;
    char *script;
    char *backend;
    char *vifname;
    char *ip;
    char *gatewaydev;
    char *rate;
    unsigned int mtu; // 0 is not set
};

struct domain_config {
    char *name;
    uint8_t uuid[16];
    char *kernel;
    char *ramdisk;
    char *command_line;
    char *pool;
    char *cpus;      // hard affinity of all vcpus
    char *cpus_soft; // soft affinity
    uint64_t memory_kib;
    uint64_t maxmem_kib;
    uint64_t vcpus; // online at the start
    uint64_t maxvcpus;
    uint64_t weight; // 0: the scheduler's default
    uint64_t cap;
    uint64_t grant_frames;
    uint64_t maptrack_frames;
    uint64_t grant_version;
    uint64_t event_channels;
    uint64_t domid; // the id that it is to have; 0: any
    bool driver_domain;
    bool nomigrate;
    enum end_action on_poweroff;
    enum end_action on_reboot;
    enum end_action on_watchdog;
    enum end_action on_crash;
    struct disk_config *disks;
    size_t disk_count;
    struct nic_config *nics;
    size_t nic_count;
    struct pci_function *functions; // given to the domain
    size_t function_count;
};

// Reads a domain's configuration; what is not set gets its default, a UUID and MAC addresses are
// made up. The caller frees *result with domain_config_free in any case.
struct error *domain_config_read(struct config *config, struct domain_config *result) MUST_CHECK;
void domain_config_free(struct domain_config *config);

// Gives interfaces what the machine's own settings file (xl.conf(5)) says for those that say
// nothing: vif.default.bridge, vif.default.script, vif.default.backend. A file that is not there is
// no error.
struct error *domain_config_apply_defaults(struct domain_config *config,
                                           const char *path) MUST_CHECK;

#define GRANT_FRAMES_MAX 65536
#define EVENT_CHANNELS_MAX 131071

// Gives limits that are 0 what the domain's vcpus and devices can need at once.
void domain_config_derive_limits(struct domain_config *config);

// One disk or network interface as written in a configuration or on a command line. place is for
// errors. The caller frees the result in any case.
struct error *disk_config_parse(const char *text, const struct config_place *place,
                                struct disk_config *disk) MUST_CHECK;
struct error *nic_config_parse(const char *text, const struct config_place *place,
                               struct nic_config *nic) MUST_CHECK;

// Gives an interface without a MAC address one of Xen's prefix.
struct error *nic_config_complete(struct nic_config *nic) MUST_CHECK;
void disk_config_free(struct disk_config *disk);
void nic_config_free(struct nic_config *nic);

// The number of a virtual disk ("xvda" is 51712), as Xen's vbd interface defines it; false when the
// word is none.
bool disk_number(const char *vdev, unsigned int *number);

void mac_format(const uint8_t mac[6], char text[18]);
bool mac_parse(const char *text, uint8_t mac[6]);

const char *end_action_word(enum end_action action);

// JSON: to text, which the caller frees, and back. Reading checks everything.
struct json_object *domain_config_to_json(const struct domain_config *config);
struct error *domain_config_from_json(struct json_object *json,
                                      struct domain_config *result) MUST_CHECK;

// Where the configuration of a running domain is kept, by its UUID.
struct error *domain_config_save(const struct domain_config *config) MUST_CHECK;
struct error *domain_config_load(const uint8_t uuid[16], struct domain_config *result) MUST_CHECK;
void domain_config_forget(const uint8_t uuid[16]);

#endif

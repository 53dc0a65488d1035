// SPDX-License-Identifier: Apache-2.0
//
// Whether this machine and its PCI functions are ready for domains. Facts are gathered first, from
// this domain's sysfs (doctor_read_sysfs) and from the hypervisor (doctor_ask_hypervisor); findings
// are drawn from the facts alone (doctor_judge_...), so that they can be tested on machines that
// were recorded. What could not be found out is said to be unknown, never guessed.
#ifndef TOOLSTACK_DOCTOR_H
#define TOOLSTACK_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <toolstack/error.h>
#include <toolstack/pci.h>

struct toolstack;

enum answer { UNKNOWN, NO, YES };

struct machine_facts {
    enum answer virtualization;
    enum answer nested_paging;
    enum answer iommu;
    enum answer interrupt_remapping;
    enum answer virtual_pci; // whether the hypervisor shows PCI functions to PVH domains
    bool iommu_switched_off; // by an option of the hypervisor
};

enum { DEVICE_REGIONS = 7 }; // six base addresses and the expansion ROM

struct device_region {
    uint64_t first;
    uint64_t last;
    bool is_port;
};

// What a function's configuration space says, as far as it was readable.
struct device_abilities {
    bool readable;
    bool is_bridge;
    uint8_t secondary;   // of bridges: the bus behind
    uint8_t subordinate; // and the last bus behind
    bool multifunction;
    bool is_pcie;
    uint8_t port_type; // of PCI Express functions
    bool resets_function;
    bool resets_advanced_features;
    bool resets_power_state;
    bool has_message_interrupts;
    bool has_line;
    bool has_isolation; // access control services: present and switched on
};

#define OWNER_NONE (-1)
#define OWNER_HIDDEN (-2) // some other domain, and nobody has noted which

struct device_facts {
    struct pci_function function;
    bool seen; // in this domain's sysfs; else only the hypervisor knows of it
    uint16_t vendor;
    uint16_t device;
    uint32_t class; // class, subclass and interface, 24 bits
    char *driver;   // of this domain, or NULL
    struct device_abilities able;
    struct device_region regions[DEVICE_REGIONS];
    size_t region_count;
    int owner; // a domain's id, or OWNER_...
    char *owner_name;
    bool *group; // for each function: whether the hypervisor says that they belong together
};

// Memory that firmware has set aside for devices.
struct reserved_region {
    uint64_t first;
    uint64_t last;
    bool *devices; // for each function: whether it is one of those that use it
};

struct doctor_facts {
    struct machine_facts machine;
    struct device_facts *devices;
    size_t device_count;
    struct reserved_region *reserved;
    size_t reserved_count;
};

// Fills the devices of empty facts in from a tree as below /sys, in order of their addresses.
struct error *doctor_read_sysfs(const char *root, struct doctor_facts *facts) MUST_CHECK;

// Adds what the hypervisor and the toolstack's own records know, and functions that this domain
// does not see.
struct error *doctor_ask_hypervisor(struct toolstack *toolstack,
                                    struct doctor_facts *facts) MUST_CHECK;

void doctor_free(struct doctor_facts *facts);

// Reads a configuration space of size bytes; what lies beyond is taken for absent.
void device_read_abilities(const uint8_t *space, size_t size, struct device_abilities *able);

// The function's place among the facts; device_count when it is not there.
size_t doctor_find(const struct doctor_facts *facts, const struct pci_function *function);

// Whether two functions belong together: by the hypervisor's word, or because the bridges between
// them and the root let what one sends reach the other without passing the IOMMU.
bool doctor_same_group(const struct doctor_facts *facts, size_t one, size_t other);

// The bridge, or function, that makes them belong together by topology; device_count for none.
size_t doctor_group_reason(const struct doctor_facts *facts, size_t one, size_t other);

// The bridge right above a function; device_count for none.
size_t doctor_bridge_above(const struct doctor_facts *facts, size_t device);

enum finding_level { FINDING_GOOD, FINDING_NOTE, FINDING_PROBLEM };

// What findings are about. The words never change their meaning; docs/toolstack.md lists them.
#define FINDING_TOPICS(X)                                                                          \
    X(VIRTUALIZATION, "virtualization")                                                            \
    X(NESTED_PAGING, "nested-paging")                                                              \
    X(IOMMU, "iommu")                                                                              \
    X(INTERRUPT_REMAPPING, "interrupt-remapping")                                                  \
    X(VIRTUAL_PCI, "virtual-pci")                                                                  \
    X(CONTROL_DOMAIN, "control-domain")                                                            \
    X(RESERVED_MEMORY, "reserved-memory")                                                          \
    X(VISIBILITY, "visibility")                                                                    \
    X(OWNER, "owner")                                                                              \
    X(GROUP, "group")                                                                              \
    X(RESET, "reset")                                                                              \
    X(INTERRUPTS, "interrupts")                                                                    \
    X(SHARED_PAGE, "shared-page")                                                                  \
    X(DRIVER_DOMAIN, "driver-domain")

enum finding_topic {
#define X(name, word) TOPIC_##name,
    FINDING_TOPICS(X)
#undef X
};

struct finding {
    enum finding_level level;
    enum finding_topic topic;
    char *text;   // a sentence without its period
    char *advice; // what to do, or NULL
};

struct findings {
    struct finding *list;
    size_t count;
};

void findings_add(struct findings *findings, enum finding_level level, enum finding_topic topic,
                  char *text, const char *advice);
enum finding_level findings_worst(const struct findings *findings);
void findings_free(struct findings *findings);
const char *finding_topic_word(enum finding_topic topic);

void doctor_judge_machine(const struct doctor_facts *facts, struct findings *findings);
void doctor_judge_device(const struct doctor_facts *facts, size_t device,
                         struct findings *findings);

// "network controller", "bridge" and so on; never NULL.
const char *device_class_word(const struct device_facts *device);

#endif

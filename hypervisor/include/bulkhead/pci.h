// SPDX-License-Identifier: Apache-2.0
// Physical PCI functions: configuration space and the list of what is there.
// Every function found at boot (or reported by domain 0 later) has one struct pci_device, which is
// never freed: a function that goes away is only marked so. The list grows under its own lock and
// is read without one. Who owns a function, and its virtual state, is under the device's lock.
// Lock order: domain.lock, pci_device.lock, p2m lock, IOMMU locks, configuration access lock.
#ifndef BULKHEAD_PCI_H
#define BULKHEAD_PCI_H

#include <bulkhead/spinlock.h>
#include <bulkhead/types.h>

struct domain;
struct vpci_device;
struct iommu_device;

typedef struct {
    uint16_t segment;
    uint8_t bus;
    uint8_t devfn; // device << 3 | function
} pci_sbdf_t;

#define PCI_SBDF(s, b, df)                                                                         \
    ((pci_sbdf_t){.segment = (uint16_t)(s), .bus = (uint8_t)(b), .devfn = (uint8_t)(df)})
#define PCI_DEVFN(device, function) ((uint8_t)((device) << 3 | (function)))
#define PCI_DEVICE(devfn) ((devfn) >> 3)
#define PCI_FUNCTION(devfn) ((devfn)&7)
// For messages: log_info(PCI_FORMAT " is odd", PCI_ARGUMENTS(sbdf));
#define PCI_FORMAT "%04x:%02x:%02x.%x"
#define PCI_ARGUMENTS(sbdf)                                                                        \
    (sbdf).segment, (sbdf).bus, PCI_DEVICE((sbdf).devfn), PCI_FUNCTION((sbdf).devfn)

#define PCI_CONFIG_SIZE 256u
#define PCI_CONFIG_EXTENDED_SIZE 4096u
#define PCI_MAX_BARS 6u

// What a requester is called on its segment: bus << 8 | devfn.
static inline uint16_t pci_requester_id(pci_sbdf_t sbdf)
{
    return (uint16_t)(sbdf.bus << 8 | sbdf.devfn);
}

static inline bool pci_sbdf_equal(pci_sbdf_t a, pci_sbdf_t b)
{
    return a.segment == b.segment && a.bus == b.bus && a.devfn == b.devfn;
}

enum pci_bar_type {
    PCI_BAR_NONE,
    PCI_BAR_IO,
    PCI_BAR_MEMORY32,
    PCI_BAR_MEMORY64,      // this register is the low half
    PCI_BAR_MEMORY64_HIGH, // the high half of the register before
    PCI_BAR_ROM,
};

struct pci_bar {
    enum pci_bar_type type;
    bool prefetchable;
    uint64_t address; // as firmware left it
    uint64_t size;    // bytes, a power of two; 0: none
};

// Progress of a reset, and in words what was tried (reset.c).
struct pci_reset {
    uint8_t stage, method;
    ns_t until;
    char tried[384];
    void *registers; // the function's, while its own reset is tried
};

struct pci_device {
    struct pci_device *next;      // in the list of all functions
    struct pci_device *hash_next; // functions whose addresses share a bucket
    pci_sbdf_t sbdf;
    uint16_t vendor, device;
    uint32_t class_code; // base class << 16 | subclass << 8 | interface
    uint8_t header_type; // without the multi-function bit: 0 function, 1 bridge, 2 cardbus
    bool is_pcie;
    uint8_t pcie_type;              // device/port type of the PCIe capability
    uint8_t subordinate, secondary; // bridges: bus numbers as found
    uint16_t config_size;           // 256 or 4096
    // Offsets of capabilities; 0: absent.
    uint8_t msi, msix, pm, af, pcie;
    uint16_t acs, ats, sriov;
    bool has_flr;        // function level reset by the PCIe capability
    uint16_t msix_count; // entries of the MSI-X table
    uint64_t serial;     // PCIe device serial number; 0: none
    struct pci_bar bars[PCI_MAX_BARS];
    struct pci_bar rom;
    bool hidden;   // the hypervisor's own: no domain ever gets or sees it
    bool withheld; // by hide=: domain 0 never sees it, but other domains can get it
    bool removed;  // reported gone; comes back by pci_device_add
    bool is_iommu; // an IOMMU's own function: hidden

    struct spinlock lock; // all below
    struct domain *owner; // NULL: nobody, quarantined
    struct vpci_device *vpci;
    struct iommu_device *iommu;
    bool used; // since it was last reset somebody could order it about: firmware, or an owner
    struct pci_reset reset;
};

// Configuration space of one function. offset is a multiple of size; size is 1, 2 or 4; offset
// below 256, or below 4096 where ECAM reaches the bus. What is not there reads as all ones and
// swallows writes. Any context; takes the configuration access lock for port accesses only.
uint32_t pci_config_read(pci_sbdf_t sbdf, unsigned int offset, unsigned int size);
void pci_config_write(pci_sbdf_t sbdf, unsigned int offset, unsigned int size, uint32_t value);
static inline uint8_t pci_read8(pci_sbdf_t sbdf, unsigned int offset)
{
    return (uint8_t)pci_config_read(sbdf, offset, 1);
}
static inline uint16_t pci_read16(pci_sbdf_t sbdf, unsigned int offset)
{
    return (uint16_t)pci_config_read(sbdf, offset, 2);
}
static inline uint32_t pci_read32(pci_sbdf_t sbdf, unsigned int offset)
{
    return pci_config_read(sbdf, offset, 4);
}

// One ECAM window, from the MCFG table; the address is that of bus 0 even if first_bus is not.
struct pci_ecam {
    uint64_t address;
    uint16_t segment;
    uint8_t first_bus, last_bus;
};
#define PCI_MAX_ECAM 16u
extern struct pci_ecam pci_ecam[PCI_MAX_ECAM];
extern unsigned int pci_ecam_count;
bool pci_ecam_covers(pci_sbdf_t sbdf);

// Reads MCFG and finds all functions. After acpi_init and the heap; before iommu_init. 0 or
// -XEN_ENOMEM. Devices of hide= are marked.
int pci_init(void);

// The function there, or NULL. No lock needed: devices are never freed.
struct pci_device *pci_device_find(pci_sbdf_t sbdf);
// All functions in the order in which they were found; NULL to begin, NULL at the end.
struct pci_device *pci_device_next(const struct pci_device *after);
// A function that domain 0 found or says is there (PHYSDEVOP_pci_device_add): given to domain 0
// unless it is hidden or withheld. What somebody has used is reset first. 0; -XEN_ENODEV when
// configuration space shows nothing or no IOMMU translates for it; errors of pci_reset (also
// -XEN_ERESTART) and vpci_assign.
int pci_device_add(pci_sbdf_t sbdf);
int pci_device_remove(pci_sbdf_t sbdf); // 0, -XEN_ENODEV or -XEN_ERESTART

// The index-th fact of what is known of a function, in words: its name, or NULL when there are no
// more. class, vendor, device: hexadecimal; owner: a domid; place: the path from the root bus on,
// such as 0000:00:1c.0/00.0; serial: the PCIe device serial number. Takes the function's lock.
#define PCI_FACT_SIZE 64u
const char *pci_describe(struct pci_device *pdev, unsigned int index, char text[PCI_FACT_SIZE]);

// The bridge whose secondary bus a function is on; NULL: it is on a root bus.
struct pci_device *pci_parent(const struct pci_device *pdev);
// The requester id that an IOMMU sees for a function's transactions: its own, or that under which a
// conventional bridge above it signs them (which then the functions behind the bridge share).
uint16_t pci_requester_alias(const struct pci_device *pdev);

// Whether two functions can reach one another without passing the IOMMU (or are one and the same).
bool pci_same_group(const struct pci_device *a, const struct pci_device *b);
// Turns on what a function has against that. At boot, or when it is found.
void pci_isolate(struct pci_device *pdev);

// Turns bus mastering off. The function's lock is held, or it is boot.
void pci_stop_dma(struct pci_device *pdev);
// Turns off what a function could do on its own: bus mastering, decode, INTx. Bridges are left
// alone. The function's lock is held, or it is boot.
void pci_quiesce(struct pci_device *pdev);
// Makes sure that a function that nobody owns is in the state of power-on, and quiet. Takes up to
// seconds: -XEN_ERESTART when there is more to wait for and the caller has to call again. 0;
// -XEN_EBUSY: somebody owns it; -XEN_EIO: no method worked, and a message says which were tried and
// why each failed. A function that nobody has used since power-on needs no reset.
int pci_reset(struct pci_device *pdev);

// Marks a function as the hypervisor's (serial card, IOMMU): before domain 0 is built.
void pci_hide(pci_sbdf_t sbdf);
bool pci_is_hidden(pci_sbdf_t sbdf); // from domain 0, whatever the reason

// The PHYSDEVOP_* commands about PCI. argument is the guest's pointer. The caller has checked that
// the current domain is the hardware domain. -XEN_ENOSYS for commands that are not about PCI.
int pci_physdev_op(uint32_t command, uint64_t argument);

void pci_dump(void); // debug key Q: all functions with owner, BARs, interrupts

#endif

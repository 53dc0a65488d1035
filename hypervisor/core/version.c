// SPDX-License-Identifier: Apache-2.0
// xen_version: who we are and what we can do; vm_assist: what the guest wants otherwise.
// The version is that of the public ABI that we serve; the rest is our own.

#include <bulkhead/arch/control.h>
#include <bulkhead/build_info.h>
#include <bulkhead/cmdline.h>
#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/hypercall.h>
#include <bulkhead/string.h>
#include <xen/features.h>
#include <xen/version.h>

static int64_t give_text(gva_t at, const char *text, size_t size)
{
    char buffer[sizeof(xen_commandline_t)] = {0};

    string_copy(buffer, text, size);
    return copy_to_guest(at, buffer, size);
}

static int64_t give_compile_info(gva_t at)
{
    struct xen_compile_info info = {{0}, {0}, {0}, {0}};

    string_copy(info.compiler, build_info_compiler, sizeof(info.compiler));
    string_copy(info.compile_by, build_info_by, sizeof(info.compile_by));
    string_copy(info.compile_domain, build_info_domain, sizeof(info.compile_domain));
    string_copy(info.compile_date, build_info_date, sizeof(info.compile_date));
    return copy_to_guest(at, &info, sizeof(info));
}

static uint32_t features(const struct domain *d)
{
    uint32_t bits = arch_features(d) | 1u << XENFEAT_writable_page_tables |
                    1u << XENFEAT_auto_translated_physmap | 1u << XENFEAT_not_direct_mapped |
                    1u << XENFEAT_runstate_phys_area | 1u << XENFEAT_vcpu_time_phys_area;

    return d->privileged ? bits | 1u << XENFEAT_dom0 : bits;
}

static int64_t give_features(gva_t at)
{
    xen_feature_info_t info;

    if (copy_from_guest(&info, at, sizeof(info))) {
        return -XEN_EFAULT;
    }
    if (info.submap_idx >= XENFEAT_NR_SUBMAPS) {
        return -XEN_EINVAL;
    }
    info.submap = features(current_domain());
    return copy_to_guest(at, &info, sizeof(info));
}

// The commands that give as many bytes as there are: without a buffer just their number.
static int64_t give_bytes(gva_t at, const char *bytes)
{
    size_t length = strlen(bytes);
    xen_varbuf_t header;

    if (!at.a) {
        return (int64_t)length;
    }
    if (copy_from_guest(&header.len, at, sizeof(header.len))) {
        return -XEN_EFAULT;
    }
    if (header.len < length) {
        return header.len ? -XEN_ENOBUFS : -XEN_EINVAL;
    }
    if (copy_to_guest(GVA(at.a + offsetof(xen_varbuf_t, buf)), bytes, length)) {
        return -XEN_EFAULT;
    }
    return (int64_t)length;
}

// What only domain 0 may read, others get a text instead of, as they expect no error.
static const char *visible_command_line(void)
{
    return current_domain()->privileged ? cmdline_text : "<denied>";
}

static int64_t give_platform_parameters(gva_t at)
{
    // Where a PV guest would find the hypervisor; nothing for a translated one.
    struct xen_platform_parameters parameters = {.virt_start = 0};

    return copy_to_guest(at, &parameters, sizeof(parameters));
}

int64_t do_xen_version(struct hypercall *call)
{
    gva_t at = GVA(call->arg[1]);

    switch (call->arg[0]) {
    case XENVER_version:
        return XEN_ABI_MAJOR << 16 | XEN_ABI_MINOR;
    case XENVER_extraversion:
        return give_text(at, build_info_extra_version, sizeof(xen_extraversion_t));
    case XENVER_compile_info:
        return give_compile_info(at);
    case XENVER_capabilities:
        return give_text(at, arch_capabilities(), sizeof(xen_capabilities_info_t));
    case XENVER_changeset:
        return give_text(at, build_info_revision, sizeof(xen_changeset_info_t));
    case XENVER_platform_parameters:
        return give_platform_parameters(at);
    case XENVER_get_features:
        return give_features(at);
    case XENVER_pagesize:
        return PAGE_SIZE;
    case XENVER_guest_handle:
        return copy_to_guest(at, current_domain()->handle, sizeof(xen_domain_handle_t));
    case XENVER_commandline:
        return give_text(at, visible_command_line(), sizeof(xen_commandline_t));
    case XENVER_build_id:
        return current_domain()->privileged ? give_bytes(at, build_info_revision) : -XEN_EPERM;
    case XENVER_extraversion2:
        return give_bytes(at, build_info_extra_version);
    case XENVER_capabilities2:
        return give_bytes(at, arch_capabilities());
    case XENVER_changeset2:
        return give_bytes(at, build_info_revision);
    case XENVER_commandline2:
        return give_bytes(at, visible_command_line());
    default:
        return -XEN_ENOSYS;
    }
}

// arg: command, type. Only the update mark of runstate areas means anything to translated guests.
int64_t do_vm_assist(struct hypercall *call)
{
    if (call->arg[1] != VMASST_TYPE_runstate_update_flag) {
        return -XEN_EINVAL;
    }
    switch (call->arg[0]) {
    case VMASST_CMD_enable:
    case VMASST_CMD_disable:
        current_domain()->runstate_update_flag = call->arg[0] == VMASST_CMD_enable;
        return 0;
    default:
        return -XEN_ENOSYS;
    }
}

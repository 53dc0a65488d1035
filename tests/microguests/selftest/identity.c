// SPDX-License-Identifier: Apache-2.0
// Who the hypervisor says it is: CPUID leaves, xen_version, features.

#include "selftest.h"

#include <xen/arch-x86/cpuid.h>
#include <xen/features.h>

static bool text_contains(const char *text, const char *part)
{
    for (; *text; text++) {
        const char *t = text, *p = part;

        while (*p && *t == *p) {
            t++;
            p++;
        }
        if (!*p) {
            return true;
        }
    }
    return false;
}

static long version_op(unsigned int operation, void *argument)
{
    return hypercall2(__HYPERVISOR_xen_version, operation, argument);
}

static void check_leaves(void)
{
    struct cpuid leaf = cpuid(xen_cpuid_base + 1, 0);

    check(cpuid(1, 0).ecx >> 31, "CPUID leaf 1 tells of a hypervisor");
    check_equal(leaf.eax, 4 << 16 | 20, "CPUID says Xen 4.20");
    check(cpuid(xen_cpuid_base, 0).eax >= xen_cpuid_base + 4, "CPUID has the HVM leaf");
    check_equal(cpuid(xen_cpuid_base + 2, 0).eax, 1, "one hypercall page");
    leaf = cpuid(xen_cpuid_base + 4, 0);
    check(leaf.eax & XEN_HVM_CPUID_VCPU_ID_PRESENT, "CPUID has the vcpu id");
    check_equal(leaf.ebx, 0, "vcpu id in CPUID is 0");
}

static void check_version(void)
{
    static xen_capabilities_info_t capabilities;
    static xen_extraversion_t extra;
    struct xen_feature_info features = {.submap_idx = 0};

    check_equal(version_op(XENVER_version, NULL), 4 << 16 | 20, "XENVER_version");
    check_equal(version_op(XENVER_extraversion, extra), 0, "XENVER_extraversion");
    check(extra[0], "the extra version is not empty");
    check_equal(version_op(XENVER_capabilities, capabilities), 0, "XENVER_capabilities");
    check(text_contains(capabilities, "hvm-3.0-x86_64"), "64-bit HVM guests are possible");
    check_equal(version_op(XENVER_pagesize, NULL), PAGE_SIZE, "XENVER_pagesize");
    check_equal(version_op(XENVER_get_features, &features), 0, "XENVER_get_features");
    check(features.submap & 1u << XENFEAT_auto_translated_physmap, "memory is translated");
    check(features.submap & 1u << XENFEAT_hvm_callback_vector, "upcall vectors are offered");
    check(features.submap & 1u << XENFEAT_hvm_safe_pvclock, "the PV clock is offered");
    features.submap_idx = 1000;
    check(version_op(XENVER_get_features, &features) <= 0, "no such submap of features");
}

void check_identity(void)
{
    check_leaves();
    check_version();
}

// SPDX-License-Identifier: Apache-2.0
// The domctl commands for a vcpu's extended state and MSRs: sizes are asked for, contents travel,
// and what is not valid changes nothing.

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/guest_access.h>
#include <x86/extended_state.h>

#include "arch/x86/domctl_internal.h"
#include "arch/x86/hvm/svm/vmcb.h"
#include "guest.h"
#include "processor.h"

#include <cmocka.h>

#define BUFFER_SIZE 4096u

static struct domain *d;
static unsigned char buffer[BUFFER_SIZE] __attribute__((aligned(8)));
static bool buffer_is_missing;

// Doubles: guest memory is the test's own.

int copy_to_guest(gva_t to, const void *from, size_t size)
{
    if (!buffer_is_missing) {
        memcpy((void *)to.a, from, size);
    }
    return buffer_is_missing ? -XEN_EFAULT : 0;
}

int copy_from_guest(void *to, gva_t from, size_t size)
{
    if (!buffer_is_missing) {
        memcpy(to, (const void *)from.a, size);
    }
    return buffer_is_missing ? -XEN_EFAULT : 0;
}

static struct xen_domctl_vcpuextstate request_for(unsigned int vcpu)
{
    struct xen_domctl_vcpuextstate request = {.vcpu = vcpu};

    set_xen_guest_handle(request.buffer, (uint64_t *)(void *)buffer);
    return request;
}

// The state's size, as a toolstack asks for it first.
static struct xen_domctl_vcpuextstate ask(unsigned int vcpu)
{
    struct xen_domctl_vcpuextstate request = request_for(vcpu);
    bool copy_back = false;

    assert_int_equal(domctl_get_extended_state(d, &request, &copy_back), 0);
    assert_true(copy_back);
    assert_int_equal(request.xfeature_mask, PROCESSOR_COMPONENTS);
    assert_true(request.size >= 16 + 576 && request.size <= BUFFER_SIZE);
    return request;
}

static void extended_state_travels(void **state)
{
    struct svm_vcpu *source = d->vcpus[0]->arch.svm, *target = d->vcpus[1]->arch.svm;
    struct xen_domctl_vcpuextstate request;
    bool copy_back = false;

    (void)state;
    source->xcr0 = 7;
    memset(source->fpu, 0x3c, 24);
    memset((char *)source->fpu + 32, 0x5a, 128); // ST registers
    ((uint64_t *)source->fpu)[64] = 7;           // XSTATE_BV
    request = ask(0);
    assert_int_equal(domctl_get_extended_state(d, &request, &copy_back), 0);
    assert_int_equal(((uint64_t *)(void *)buffer)[0], 7);
    request.vcpu = 1;
    assert_int_equal(domctl_set_extended_state(d, &request), 0);
    assert_int_equal(target->xcr0, 7);
    assert_memory_equal((char *)target->fpu + 32, (char *)source->fpu + 32, 128);
    assert_int_equal(d->pause_count, 0);
}

static void extended_state_must_be_what_was_asked_for(void **state)
{
    struct xen_domctl_vcpuextstate request = ask(0);
    bool copy_back = false;

    (void)state;
    request.size--;
    assert_int_equal(domctl_get_extended_state(d, &request, &copy_back), -XEN_EINVAL);
    request = ask(0);
    request.xfeature_mask ^= 4;
    assert_int_equal(domctl_get_extended_state(d, &request, &copy_back), -XEN_EINVAL);
    request = ask(0);
    buffer_is_missing = true;
    assert_int_equal(domctl_get_extended_state(d, &request, &copy_back), -XEN_EFAULT);
    assert_int_equal(domctl_set_extended_state(d, &request), -XEN_EFAULT);
    request = request_for(2);
    assert_int_equal(domctl_get_extended_state(d, &request, &copy_back), -XEN_ENOENT);
    d->vcpus[1]->pause_flags |= VCPU_DOWN;
    request = request_for(1);
    assert_int_equal(domctl_get_extended_state(d, &request, &copy_back), -XEN_ENODATA);
    assert_false(copy_back);
}

static void refuse_set(struct xen_domctl_vcpuextstate request)
{
    size_t size;
    unsigned char *before = guest_snapshot(d, &size), *after;

    assert_int_equal(domctl_set_extended_state(d, &request), -XEN_EINVAL);
    after = guest_snapshot(d, &size);
    assert_memory_equal(before, after, size);
    free(before);
    free(after);
}

static void bad_extended_state_changes_nothing(void **state)
{
    struct xen_domctl_vcpuextstate request = ask(0);
    uint64_t *words = (uint64_t *)(void *)buffer;
    uint64_t sizes[] = {0, 8, 16, request.size - 8, request.size + 8, 1UL << 32, ~0UL, ~0UL - 7};
    bool copy_back;

    (void)state;
    assert_int_equal(domctl_get_extended_state(d, &request, &copy_back), 0);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct xen_domctl_vcpuextstate bad = request;

        bad.size = sizes[i];
        refuse_set(bad);
    }
    words[0] = 2; // SSE without x87
    refuse_set(request);
    words[0] = 1UL << 9; // PKRU, which no domain has
    refuse_set(request);
    words[0] = 1;
    words[2 + 65] = 1; // XCOMP_BV
    refuse_set(request);
    words[2 + 65] = 0;
    request.vcpu = 5;
    refuse_set(request);
    request.vcpu = 0;
    assert_int_equal(domctl_set_extended_state(d, &request), 0);
}

static void vcpus_have_no_msrs_here(void **state)
{
    struct xen_domctl_vcpu_msrs request = {.vcpu = 1, .msr_count = 9};
    bool copy_back = false;

    (void)state;
    assert_int_equal(domctl_get_msrs(d, &request, &copy_back), 0);
    assert_true(copy_back);
    assert_int_equal(request.msr_count, 0);
    assert_int_equal(domctl_set_msrs(d, &request, &copy_back), 0);
    set_xen_guest_handle(request.msrs, (xen_domctl_vcpu_msr_t *)(void *)buffer);
    assert_int_equal(domctl_set_msrs(d, &request, &copy_back), 0);
    request.msr_count = 2;
    assert_int_equal(domctl_set_msrs(d, &request, &copy_back), -XEN_EINVAL);
    assert_int_equal(request.msr_count, 0); // the offending one
    request.vcpu = 2;
    assert_int_equal(domctl_get_msrs(d, &request, &copy_back), -XEN_EINVAL);
}

static int start(void **state)
{
    (void)state;
    guest_start();
    return 0;
}

static int new_domain(void **state)
{
    (void)state;
    d = guest_create(2, false);
    d->vcpus[0]->pause_flags = d->vcpus[1]->pause_flags = 0;
    buffer_is_missing = false;
    return 0;
}

static int end_domain(void **state)
{
    (void)state;
    guest_end(d);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, new_domain, end_domain)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(extended_state_travels),
        TEST(extended_state_must_be_what_was_asked_for),
        TEST(bad_extended_state_changes_nothing),
        TEST(vcpus_have_no_msrs_here),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}

// SPDX-License-Identifier: Apache-2.0
// What a vcpu gets on its entries: interrupts by priority, the task priority that CR8 and the local
// APIC share, and that no interrupt is left behind. The processor is a function of the test, which
// looks at the control block and does what a guest would.

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/cpu.h>
#include <bulkhead/guest_access.h>
#include <x86/p2m.h>

#include "arch/x86/hvm/svm/vmcb.h"
#include "guest.h"

#include <cmocka.h>

#define CALLBACK 0xf3

static struct domain *d;
static struct vcpu *v;
static struct vmcb *vmcb;
static struct p2m p2m;
static struct svm_cpu svm = {.next_asid = 1, .max_asid = 15, .asid_generation = 1};
static bool callback_pending;
// The guest's next steps; each ends with the exit that it leaves in the control block.
static void (*const *steps)(void);

// Doubles.

void svm_enter(uint64_t gpr[16], uint64_t guest_vmcb, uint64_t host_vmcb)
{
    (void)gpr;
    (void)guest_vmcb;
    (void)host_vmcb;
    vmcb->exit_code = EXIT_INTR;
    vmcb->exit_interrupt = 0;
    (*steps++)();
    if (!*steps) {
        this_cpu()->work = CPU_WORK_SCHEDULE;
    }
}

void svm_handle_exit(struct vcpu *vcpu, struct vmcb *block)
{
    if (block->exit_code == EXIT_CR8_WRITE) {
        assert_int_equal(svm_write_control_register(vcpu, block, X86_MODE_64), 4);
    } else if (block->exit_code == EXIT_IRET) {
        svm_nmi_returns(vcpu);
    }
}

size_t hvm_fetch_instruction(struct vcpu *vcpu, uint8_t bytes[15])
{
    (void)vcpu;
    memcpy(bytes, "\x44\x0f\x22\xc0", 4); // mov %rax, %cr8
    return 4;
}

int copy_from_guest(void *to, gva_t from, size_t size)
{
    (void)to;
    (void)from;
    (void)size;
    abort();
}

bool vcpu_runnable(const struct vcpu *vcpu)
{
    (void)vcpu;
    return true;
}

bool event_pending(const struct vcpu *vcpu)
{
    (void)vcpu;
    return callback_pending;
}

// What the guest does.

static int offered(void)
{
    return vmcb->virtual_interrupt & VINTR_IRQ ? (int)(vmcb->virtual_interrupt >> 32 & 0xff) : -1;
}

static unsigned int task_priority(void)
{
    return vmcb->virtual_interrupt & VINTR_TPR;
}

static bool cr8_exits(void)
{
    return vmcb->intercept_cr_write & INTERCEPT_CR8;
}

static void take_interrupt(void)
{
    vmcb->virtual_interrupt &= ~VINTR_IRQ;
}

static void write_cr8(uint8_t value)
{
    if (cr8_exits()) {
        vmcb->exit_code = EXIT_CR8_WRITE;
        vmcb->rax = value;
    } else {
        vmcb->virtual_interrupt = (vmcb->virtual_interrupt & ~VINTR_TPR) | value;
    }
}

static void run(void (*const *list)(void))
{
    steps = list;
    this_cpu()->work = 0;
    arch_vcpu_run(v);
    assert_null(*steps);
}

#define RUN(...) run((void (*const[])(void)){__VA_ARGS__, NULL})

static void do_nothing(void)
{
}

static void sees_nothing(void)
{
    assert_int_equal(offered(), -1);
}

static void sees_no_exits_on_cr8(void)
{
    assert_int_equal(offered(), -1);
    assert_false(cr8_exits());
}

static void takes_41(void)
{
    assert_int_equal(offered(), 0x41);
    take_interrupt();
}

static void does_not_take_41(void)
{
    assert_int_equal(offered(), 0x41);
}

static void writes_cr8_3(void)
{
    write_cr8(3);
}

static void writes_cr8_5(void)
{
    write_cr8(5);
}

static void sees_cr8_7(void)
{
    assert_int_equal(task_priority(), 7);
}

static void cr8_is_the_upper_half_of_the_tpr(void **state)
{
    (void)state;
    RUN(writes_cr8_5);
    assert_int_equal(vlapic_get_tpr(v), 0x50);
    vlapic_set_tpr(v, 0x73);
    RUN(sees_cr8_7);
    assert_int_equal(vlapic_get_tpr(v), 0x73); // no write: the lower half stays
    RUN(writes_cr8_5, do_nothing);
    assert_int_equal(vlapic_get_tpr(v), 0x50);
    vlapic_init_reset(v);
    assert_int_equal(task_priority(), 0);
}

static void a_falling_priority_lets_the_interrupt_in(void **state)
{
    (void)state;
    RUN(sees_no_exits_on_cr8);
    vlapic_set_cr8(v, 4);
    vlapic_post(v, 0x41, false);
    RUN(sees_nothing, writes_cr8_5, sees_nothing, writes_cr8_3, takes_41, sees_no_exits_on_cr8);
    assert_int_equal(v->arch.vlapic->ppr, 0x40);
}

static void a_rising_priority_holds_the_offer_back(void **state)
{
    (void)state;
    vlapic_post(v, 0x41, false);
    RUN(does_not_take_41, writes_cr8_5, sees_nothing);
    assert_int_equal(v->arch.vlapic->ppr, 0x50);
    RUN(writes_cr8_3, takes_41);
}

static void takes_callback(void)
{
    assert_int_equal(offered(), CALLBACK);
    callback_pending = false;
    take_interrupt();
}

// The guest's end of interrupt, which exits.
static void ends_interrupt(void)
{
    vlapic_eoi(v);
}

static void the_callback_waits_for_no_exit_of_its_own(void **state)
{
    (void)state;
    d->arch.callback_vector = CALLBACK;
    callback_pending = true;
    vlapic_post(v, 0x41, false);
    // Whichever came first, the one whose handler exits comes first.
    RUN(takes_41, ends_interrupt, takes_callback, sees_no_exits_on_cr8);
}

static void the_callback_ignores_the_priority(void **state)
{
    (void)state;
    d->arch.callback_vector = CALLBACK;
    callback_pending = true;
    vlapic_set_cr8(v, 15);
    RUN(takes_callback, sees_nothing);
}

static void takes_fault_and_41(void)
{
    assert_int_equal(vmcb->event_injection & 0xff, HVM_EXCEPTION_GP);
    takes_41();
}

static void an_exception_holds_no_interrupt_back(void **state)
{
    (void)state;
    hvm_inject_exception(v, HVM_EXCEPTION_GP, 0);
    vlapic_post(v, 0x41, false);
    RUN(takes_fault_and_41);
}

static void sees_callback_and_exits_on_cr8(void)
{
    assert_int_equal(offered(), CALLBACK);
    assert_true(cr8_exits());
}

// QEMU 7.2 ends when a guest to which an interrupt is offered writes CR8 itself.
static void cr8_exits_while_anything_is_offered(void **state)
{
    (void)state;
    d->arch.callback_vector = CALLBACK;
    RUN(sees_no_exits_on_cr8);
    callback_pending = true;
    RUN(sees_callback_and_exits_on_cr8, writes_cr8_5, takes_callback, sees_no_exits_on_cr8);
    assert_int_equal(vlapic_get_tpr(v), 0x50);
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
    d = guest_create(1, false);
    d->arch.p2m = &p2m;
    v = d->vcpus[0];
    vmcb = v->arch.svm->vmcb;
    callback_pending = false;
    this_cpu()->arch.svm = &svm;
    vlapic_reset(v);
    machine_write(v, VLAPIC_DEFAULT_BASE + 0xf0, 4, 0x1ff);
    return 0;
}

static int end_domain(void **state)
{
    (void)state;
    guest_end(d);
    return 0;
}

static bool nmi_comes(void)
{
    return vmcb->event_injection == (EVENT_VALID | EVENT_TYPE_NMI | 2);
}

static void gets_an_nmi_and_another(void)
{
    assert_true(nmi_comes());
    v->arch.svm->nmi_pending = true;
}

static void returns_from_the_handler(void)
{
    assert_false(nmi_comes());
    assert_true(vmcb->intercept_misc1 & INTERCEPT_IRET);
    vmcb->exit_code = EXIT_IRET;
    vmcb->rip = 0x1000;
}

static void leaves_before_the_return(void)
{
    assert_false(nmi_comes());
    assert_false(vmcb->intercept_misc1 & INTERCEPT_IRET);
    assert_int_equal(vmcb->rip, 0x1000);
}

static void leaves_behind_the_return(void)
{
    assert_false(nmi_comes());
    vmcb->rip = 0x2000;
}

static void gets_an_nmi(void)
{
    assert_true(nmi_comes());
}

static void gets_none(void)
{
    assert_false(nmi_comes());
}

static void an_nmi_waits_for_the_end_of_the_last_one(void **state)
{
    (void)state;
    v->arch.svm->nmi_pending = true;
    RUN(gets_an_nmi_and_another, returns_from_the_handler, leaves_before_the_return,
        leaves_behind_the_return, gets_an_nmi, gets_none);
    // A vcpu whose state is replaced has no handler running.
    v->arch.svm->nmi_pending = true;
    RUN(gets_none);
    hvm_forget_transient_state(v);
    v->arch.svm->nmi_pending = true;
    RUN(gets_an_nmi);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, new_domain, end_domain)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cr8_is_the_upper_half_of_the_tpr),
        TEST(a_falling_priority_lets_the_interrupt_in),
        TEST(a_rising_priority_holds_the_offer_back),
        TEST(the_callback_waits_for_no_exit_of_its_own),
        TEST(the_callback_ignores_the_priority),
        TEST(an_exception_holds_no_interrupt_back),
        TEST(cr8_exits_while_anything_is_offered),
        TEST(an_nmi_waits_for_the_end_of_the_last_one),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}

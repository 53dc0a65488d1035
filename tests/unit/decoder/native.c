// SPDX-License-Identifier: Apache-2.0
/*
 * Running one instruction for real. The entry code below is copied beside the context, so that its
 * 32-bit half is reachable; it addresses the context absolutely, for all registers are taken by
 * the instruction under test, RSP included. Faults come back through a signal handler on its own
 * stack and siglongjmp. Not reentrant.
 */
#define _GNU_SOURCE
#include "native.h"

#include <asm/prctl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define STUBS (NATIVE_CONTEXT + 0x400) /* copy of the code below */
#define CODE_SIZE 0x1000

/* 0x20000000 is NATIVE_CONTEXT; the instruction at NATIVE_CODE ends with a jump to an exit. */
__asm__(".pushsection .rodata\n"
        ".altmacro\n"
        ".macro each_xmm operation, number\n"
        ".if \\operation\n"
        "movups %xmm\\number, 0x20000000 + 160 + 16 * \\number\n"
        ".else\n"
        "movups 0x20000000 + 160 + 16 * \\number, %xmm\\number\n"
        ".endif\n"
        ".endm\n"
        ".macro all_xmm operation\n"
        ".set number, 0\n"
        ".rept 16\n"
        "each_xmm \\operation, %number\n"
        ".set number, number + 1\n"
        ".endr\n"
        ".endm\n"
        "native_stubs:\n"
        /* void entry(uint64_t mode): rdi is 8 for 64-bit code */
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "mov %rsp, 0x20000000 + 136\n"
        "all_xmm 0\n"
        "cmp $8, %rdi\n"
        "pushq 0x20000000 + 128\n"
        "jne 1f\n"
        "popfq\n"
        "mov 0x20000000 + 0, %rax; mov 0x20000000 + 8, %rcx\n"
        "mov 0x20000000 + 16, %rdx; mov 0x20000000 + 24, %rbx\n"
        "mov 0x20000000 + 32, %rsp; mov 0x20000000 + 40, %rbp\n"
        "mov 0x20000000 + 48, %rsi; mov 0x20000000 + 56, %rdi\n"
        "mov 0x20000000 + 64, %r8; mov 0x20000000 + 72, %r9\n"
        "mov 0x20000000 + 80, %r10; mov 0x20000000 + 88, %r11\n"
        "mov 0x20000000 + 96, %r12; mov 0x20000000 + 104, %r13\n"
        "mov 0x20000000 + 112, %r14; mov 0x20000000 + 120, %r15\n"
        "jmp native_stubs + 0xc00\n" /* NATIVE_CODE is as far behind STUBS */
        "1: popfq\n"
        "ljmp *0x20000000 + 144\n"
        "native_exit_64:\n"
        "mov %rax, 0x20000000 + 0; mov %rcx, 0x20000000 + 8\n"
        "mov %rdx, 0x20000000 + 16; mov %rbx, 0x20000000 + 24\n"
        "mov %rsp, 0x20000000 + 32; mov %rbp, 0x20000000 + 40\n"
        "mov %rsi, 0x20000000 + 48; mov %rdi, 0x20000000 + 56\n"
        "mov %r8, 0x20000000 + 64; mov %r9, 0x20000000 + 72\n"
        "mov %r10, 0x20000000 + 80; mov %r11, 0x20000000 + 88\n"
        "mov %r12, 0x20000000 + 96; mov %r13, 0x20000000 + 104\n"
        "mov %r14, 0x20000000 + 112; mov %r15, 0x20000000 + 120\n"
        "native_return:\n"
        "mov 0x20000000 + 136, %rsp\n"
        "pushfq; popq 0x20000000 + 128\n"
        "cld\n"
        "all_xmm 1\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "ret\n"
        ".code32\n"
        "native_entry_32:\n"
        "mov $0x2b, %eax; mov %eax, %ds; mov %eax, %es\n"
        "mov 0x20000000 + 0, %eax; mov 0x20000000 + 8, %ecx\n"
        "mov 0x20000000 + 16, %edx; mov 0x20000000 + 24, %ebx\n"
        "mov 0x20000000 + 32, %esp; mov 0x20000000 + 40, %ebp\n"
        "mov 0x20000000 + 48, %esi; mov 0x20000000 + 56, %edi\n"
        "jmp native_stubs + 0xc00\n"
        "native_exit_32:\n"
        "mov %eax, 0x20000000 + 0; mov %ecx, 0x20000000 + 8\n"
        "mov %edx, 0x20000000 + 16; mov %ebx, 0x20000000 + 24\n"
        "mov %esp, 0x20000000 + 32; mov %ebp, 0x20000000 + 40\n"
        "mov %esi, 0x20000000 + 48; mov %edi, 0x20000000 + 56\n"
        ".byte 0xea; .long 0x20000400 + native_return - native_stubs; .word 0x33\n"
        ".code64\n"
        "native_stubs_end:\n"
        ".popsection\n");

extern const uint8_t native_stubs[], native_exit_64[], native_entry_32[], native_exit_32[],
    native_stubs_end[];

_Static_assert(NATIVE_CODE - STUBS == 0xc00, "the entry code jumps to the instruction");
_Static_assert(offsetof(struct native_context, rflags) == 128, "the entry code knows the layout");
_Static_assert(offsetof(struct native_context, far_offset) == 144, "same");
_Static_assert(offsetof(struct native_context, vector) == 160, "same");

static sigjmp_buf fault_exit;
static uint8_t signal_stack[64 * 1024];
static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP};
static struct sigaction previous[4];
static stack_t previous_stack;

static void on_fault(int number, siginfo_t *info, void *machine)
{
    (void)info;
    (void)machine;
    siglongjmp(fault_exit, number);
}

bool native_setup(void)
{
    size_t size = (size_t)(native_stubs_end - native_stubs);
    void *code = mmap((void *)NATIVE_CONTEXT, NATIVE_CODE + CODE_SIZE - NATIVE_CONTEXT,
                      PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    void *arena = mmap((void *)NATIVE_ARENA, NATIVE_ARENA_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (code == MAP_FAILED || arena == MAP_FAILED || size > NATIVE_CODE - STUBS ||
        syscall(SYS_arch_prctl, ARCH_SET_GS, NATIVE_GS_BASE) != 0) {
        return false;
    }
    memcpy((void *)STUBS, native_stubs, size);
    return true;
}

void native_catch_faults(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof(signal_stack)};

    sigaltstack(&stack, &previous_stack);
    for (int i = 0; i < 4; i++) {
        sigaction(signals[i], &action, &previous[i]);
    }
}

void native_release_faults(void)
{
    for (int i = 0; i < 4; i++) {
        sigaction(signals[i], &previous[i], NULL);
    }
    sigaltstack(&previous_stack, NULL);
}

void native_teardown(void)
{
    munmap((void *)NATIVE_CONTEXT, NATIVE_CODE + CODE_SIZE - NATIVE_CONTEXT);
    munmap((void *)NATIVE_ARENA, NATIVE_ARENA_SIZE);
}

bool native_has_32(void)
{
    static const uint8_t nop[1] = {0x90};
    struct native_context context = {.rflags = 2};

    return native_run(&context, nop, 1, X86_MODE_32);
}

bool native_run(struct native_context *context, const uint8_t *bytes, size_t length,
                enum x86_mode mode)
{
    struct native_context *target = (struct native_context *)NATIVE_CONTEXT;
    const uint8_t *exit = mode == X86_MODE_64 ? native_exit_64 : native_exit_32;
    uint8_t *code = (uint8_t *)NATIVE_CODE;
    int32_t jump = (int32_t)(STUBS + (exit - native_stubs) - (NATIVE_CODE + (long)length + 5));

    memcpy(code, bytes, length);
    code[length] = 0xe9;
    memcpy(code + length + 1, &jump, sizeof(jump));
    memset(code + length + 5, 0xcc, 32);
    *target = *context;
    target->far_offset = (uint32_t)(STUBS + (native_entry_32 - native_stubs));
    target->far_selector = 0x23;
    if (sigsetjmp(fault_exit, 1) != 0) {
        return false;
    }
    ((void (*)(uint64_t))STUBS)((uint64_t)mode);
    *context = *target;
    return true;
}

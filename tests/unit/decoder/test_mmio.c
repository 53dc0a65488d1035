// SPDX-License-Identifier: Apache-2.0
/*
 * MMIO emulation where the host's processor cannot be the judge: segment bases and address
 * wrapping in all modes, one iteration of repeated string instructions, what is refused, and what
 * callers rely on in struct x86_mmio_access.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arithmetic.h"
#include "mmio.h"

struct fixture {
    struct x86_instruction instruction;
    struct x86_registers registers;
    uint64_t bases[X86_SEGMENTS];
    struct x86_mmio_access access;
};

static int setup(void **state)
{
    static struct fixture fixture;

    memset(&fixture, 0, sizeof(fixture));
    for (unsigned int i = 0; i < 16; i++) {
        fixture.registers.gpr[i] = 0x1111111111111111u * i;
    }
    for (unsigned int i = 0; i < X86_SEGMENTS; i++) {
        fixture.bases[i] = 0x10000 * (i + 1);
    }
    fixture.registers.rip = 0x1000;
    fixture.registers.rflags = 0x2;
    *state = &fixture;
    return 0;
}

static int plan(struct fixture *fixture, enum x86_mode mode, const char *bytes, size_t length)
{
    assert_int_equal(x86_decode(&fixture->instruction, (const uint8_t *)bytes, length, mode),
                     length);
    return x86_mmio_plan(&fixture->instruction, &fixture->registers, fixture->bases,
                         &fixture->access);
}

#define PLAN(fixture, mode, bytes) plan(fixture, mode, bytes, sizeof(bytes) - 1)

static void finish(struct fixture *fixture, uint64_t value)
{
    x86_mmio_evaluate(&fixture->access, value);
    x86_mmio_complete(&fixture->access, &fixture->registers);
}

/* The end of interrupt as Linux writes it: mov %eax, 0xffffffffff5fc0b0. */
static void test_store(void **state)
{
    struct fixture *fixture = *state;

    fixture->registers.gpr[X86_RAX] = 0xaabbccdd11223344;
    assert_int_equal(PLAN(fixture, X86_MODE_64, "\x89\x04\x25\xb0\xc0\x5f\xff"), 0);
    assert_true(fixture->access.writes && !fixture->access.reads && !fixture->access.lock);
    assert_int_equal(fixture->access.size, 4);
    assert_int_equal(fixture->access.write_address, 0xffffffffff5fc0b0);
    assert_int_equal(fixture->access.read_address, 0);
    assert_int_equal(fixture->access.iterations, 1);
    x86_mmio_evaluate(&fixture->access, 0);
    assert_int_equal(fixture->access.write_value, 0x11223344);
    assert_int_equal(fixture->registers.rip, 0x1000);
    x86_mmio_complete(&fixture->access, &fixture->registers);
    assert_int_equal(fixture->registers.rip, 0x1007);
}

static void test_load(void **state)
{
    struct fixture *fixture = *state;

    /* mov 0x20(%rbx), %ecx: bits 32 to 63 of rcx become 0, bits above the value are ignored. */
    assert_int_equal(PLAN(fixture, X86_MODE_64, "\x8b\x4b\x20"), 0);
    assert_true(fixture->access.reads && !fixture->access.writes);
    assert_int_equal(fixture->access.read_address, 0x3333333333333353);
    finish(fixture, 0xffffffff87654321);
    assert_int_equal(fixture->registers.gpr[X86_RCX], 0x87654321);

    /* mov (%rbx), %ch */
    assert_int_equal(PLAN(fixture, X86_MODE_64, "\x8a\x2b"), 0);
    finish(fixture, 0x99);
    assert_int_equal(fixture->registers.gpr[X86_RCX], 0x87659921);

    /* with REX the same register number is bpl */
    assert_int_equal(PLAN(fixture, X86_MODE_64, "\x40\x8a\x2b"), 0);
    finish(fixture, 0x99);
    assert_int_equal(fixture->registers.gpr[X86_RBP], 0x5555555555555599);
}

static void test_segments(void **state)
{
    struct fixture *fixture = *state;

    /* 64-bit code: only FS and GS have a base; an SS override cancels neither. */
    assert_int_equal(PLAN(fixture, X86_MODE_64, "\x8b\x45\x00"), 0);
    assert_int_equal(fixture->access.read_address, 0x5555555555555555);
    assert_int_equal(PLAN(fixture, X86_MODE_64, "\x65\x36\x8b\x45\x00"), 0);
    assert_int_equal(fixture->access.read_address, 0x5555555555555555 + 0x60000);
    assert_int_equal(PLAN(fixture, X86_MODE_64, "\x64\x8b\x45\x00"), 0);
    assert_int_equal(fixture->access.read_address, 0x5555555555555555 + 0x50000);

    /* 32-bit code: DS by default, SS with ebp and esp, overrides; 32 bits of result. */
    assert_int_equal(PLAN(fixture, X86_MODE_32, "\x8b\x03"), 0);
    assert_int_equal(fixture->access.read_address, 0x33333333 + 0x40000);
    assert_int_equal(PLAN(fixture, X86_MODE_32, "\x8b\x45\x00"), 0);
    assert_int_equal(fixture->access.read_address, 0x55555555 + 0x30000);
    assert_int_equal(PLAN(fixture, X86_MODE_32, "\x26\x8b\x45\x00"), 0);
    assert_int_equal(fixture->access.read_address, 0x55555555 + 0x10000);
    fixture->registers.gpr[X86_RBX] = 0xfffffffffffffff0;
    assert_int_equal(PLAN(fixture, X86_MODE_32, "\x8b\x03"), 0);
    assert_int_equal(fixture->access.read_address, 0x3fff0);
}

static void test_address_sizes(void **state)
{
    struct fixture *fixture = *state;

    /* 16-bit addressing: bx + si + 0x7fff, bp + di with SS, [0xfffe]; offsets wrap at 64 KiB. */
    assert_int_equal(PLAN(fixture, X86_MODE_16, "\x8a\x80\xff\x7f"), 0);
    assert_int_equal(fixture->access.read_address, 0x40000 + ((0x3333 + 0x6666 + 0x7fff) & 0xffff));
    assert_int_equal(PLAN(fixture, X86_MODE_16, "\x8a\x03"), 0);
    assert_int_equal(fixture->access.read_address, 0x30000 + 0x5555 + 0x7777);
    assert_int_equal(PLAN(fixture, X86_MODE_16, "\x8a\x06\xfe\xff"), 0);
    assert_int_equal(fixture->access.read_address, 0x4fffe);
    assert_int_equal(PLAN(fixture, X86_MODE_32, "\x67\x8a\x46\x80"), 0);
    assert_int_equal(fixture->access.read_address, 0x30000 + 0x5555 - 0x80);
    assert_int_equal(PLAN(fixture, X86_MODE_16, "\x67\x8a\x04\x88"), 0);
    assert_int_equal(fixture->access.read_address, 0x40000 + 4 * 0x11111111);

    /* RIP-relative, also with 32-bit addresses; from the end of the instruction. */
    assert_int_equal(PLAN(fixture, X86_MODE_64, "\xc7\x05\x00\x01\x00\x00\x01\x02\x03\x84"), 0);
    assert_int_equal(fixture->access.write_address, 0x1000 + 10 + 0x100);
    fixture->registers.rip = 0x1fffffff0;
    assert_int_equal(PLAN(fixture, X86_MODE_64, "\x67\x8a\x05\x10\x00\x00\x00"), 0);
    assert_int_equal(fixture->access.read_address, 0x7);

    /* An absolute offset is unsigned and as wide as addresses are. */
    assert_int_equal(PLAN(fixture, X86_MODE_64, "\x67\xa1\x00\xd0\xe0\xfe"), 0);
    assert_int_equal(fixture->access.read_address, 0xfee0d000);
    assert_int_equal(PLAN(fixture, X86_MODE_64, "\xa1\x01\x02\x03\x04\x05\x06\x07\x88"), 0);
    assert_int_equal(fixture->access.read_address, 0x8807060504030201);
}

static void test_rip_wraps(void **state)
{
    struct fixture *fixture = *state;

    fixture->registers.rip = 0xfffffffe;
    assert_int_equal(PLAN(fixture, X86_MODE_32, "\x8b\x03"), 0);
    finish(fixture, 0);
    assert_int_equal(fixture->registers.rip, 0);
}

/* rep movsl from 16-bit pointers, backwards: both addresses, one iteration a step. */
static void test_repeat(void **state)
{
    struct fixture *fixture = *state;
    uint64_t *gpr = fixture->registers.gpr;

    gpr[X86_RCX] = 0xdead0002;
    gpr[X86_RSI] = 0xbeef0002;
    gpr[X86_RDI] = 0xf00d0008;
    fixture->registers.rflags |= X86_RFLAGS_DF | X86_RFLAGS_RF;
    assert_int_equal(PLAN(fixture, X86_MODE_16, "\xf3\x66\x64\xa5"), 0);
    assert_true(fixture->access.reads && fixture->access.writes);
    assert_int_equal(fixture->access.iterations, 2);
    assert_int_equal(fixture->access.step, -4);
    assert_int_equal(fixture->access.read_address, 0x50002);
    assert_int_equal(fixture->access.write_address, 0x10008);
    x86_mmio_evaluate(&fixture->access, 0x12345678);
    assert_int_equal(fixture->access.write_value, 0x12345678);
    x86_mmio_complete(&fixture->access, &fixture->registers);
    assert_int_equal(gpr[X86_RCX], 0xdead0001);
    assert_int_equal(gpr[X86_RSI], 0xbeeffffe);
    assert_int_equal(gpr[X86_RDI], 0xf00d0004);
    assert_int_equal(fixture->registers.rip, 0x1000);
    assert_true(fixture->registers.rflags & X86_RFLAGS_RF);

    assert_int_equal(PLAN(fixture, X86_MODE_16, "\xf3\x66\x64\xa5"), 0);
    assert_int_equal(fixture->access.iterations, 1);
    assert_int_equal(fixture->access.read_address, 0x5fffe);
    finish(fixture, 0);
    assert_int_equal(fixture->registers.rip, 0x1004);
    assert_false(fixture->registers.rflags & X86_RFLAGS_RF);

    /* Nothing left: only RIP moves. */
    fixture->registers.rip = 0x1000;
    assert_int_equal(PLAN(fixture, X86_MODE_16, "\xf3\x66\x64\xa5"), 0);
    assert_int_equal(fixture->access.iterations, 0);
    assert_false(fixture->access.reads || fixture->access.writes);
    finish(fixture, 0);
    assert_int_equal(gpr[X86_RCX], 0xdead0000);
    assert_int_equal(gpr[X86_RDI], 0xf00d0000);
    assert_int_equal(fixture->registers.rip, 0x1004);
}

/* The processor writes even when the comparison fails; a bit number moves the operand. */
static void test_read_modify_write(void **state)
{
    struct fixture *fixture = *state;

    fixture->registers.gpr[X86_RAX] = 0xffffffff00000005;
    assert_int_equal(PLAN(fixture, X86_MODE_64, "\xf0\x0f\xb1\x0b"), 0);
    assert_true(fixture->access.lock && fixture->access.reads && fixture->access.writes);
    finish(fixture, 7);
    assert_int_equal(fixture->access.write_value, 7);
    assert_int_equal(fixture->registers.gpr[X86_RAX], 7);
    assert_false(fixture->registers.rflags & X86_RFLAGS_ZF);

    fixture->registers.gpr[X86_RCX] = 0xffffffdf; /* bit -33 of a dword */
    assert_int_equal(PLAN(fixture, X86_MODE_64, "\x0f\xab\x0b"), 0);
    assert_int_equal(fixture->access.read_address, 0x3333333333333333 - 8);
    finish(fixture, 0);
    assert_int_equal(fixture->access.write_value, 0x80000000);

    assert_int_equal(PLAN(fixture, X86_MODE_64, "\x87\x0b"), 0);
    assert_true(fixture->access.lock);
    assert_int_equal(PLAN(fixture, X86_MODE_64, "\x3b\x0b"), 0);
    assert_true(fixture->access.reads && !fixture->access.writes);
}

static void test_vector(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(PLAN(fixture, X86_MODE_64, "\x66\x44\x0f\x6f\x0b"), 0);
    assert_true(fixture->access.vector && fixture->access.reads && !fixture->access.writes);
    assert_int_equal(fixture->access.vector_register, 9);
    assert_int_equal(fixture->access.size, 16);
    finish(fixture, 0);
    assert_int_equal(fixture->registers.gpr[X86_RAX], 0);
    assert_int_equal(fixture->registers.rip, 0x1005);
    assert_int_equal(PLAN(fixture, X86_MODE_32, "\x0f\x11\x13"), 0);
    assert_true(fixture->access.vector && fixture->access.writes && !fixture->access.reads);
    assert_int_equal(fixture->access.vector_register, 2);
}

static void test_unsupported(void **state)
{
    static const struct {
        enum x86_mode mode;
        uint8_t length;
        const char *bytes;
    } refused[] = {
        {X86_MODE_64, 2, "\x89\xc0"},                 /* mov eax, eax: no memory */
        {X86_MODE_64, 2, "\x8d\x03"},                 /* lea */
        {X86_MODE_64, 2, "\xff\x33"},                 /* push */
        {X86_MODE_64, 2, "\xff\x13"},                 /* call */
        {X86_MODE_64, 2, "\x8f\x03"},                 /* pop */
        {X86_MODE_64, 2, "\xfe\x13"},                 /* undefined */
        {X86_MODE_64, 3, "\xc6\x0b\x01"},             /* undefined */
        {X86_MODE_64, 2, "\xf7\x23"},                 /* mul */
        {X86_MODE_64, 2, "\xd1\x23"},                 /* shl */
        {X86_MODE_64, 2, "\xd8\x03"},                 /* fadd */
        {X86_MODE_64, 1, "\xa6"},                     /* cmpsb */
        {X86_MODE_64, 1, "\xae"},                     /* scasb */
        {X86_MODE_64, 1, "\x6c"},                     /* insb */
        {X86_MODE_32, 2, "\x63\x03"},                 /* arpl */
        {X86_MODE_64, 3, "\xf0\x89\x03"},             /* lock mov */
        {X86_MODE_64, 3, "\xf0\x03\x03"},             /* lock add reg, mem */
        {X86_MODE_64, 3, "\xf0\x39\x03"},             /* lock cmp */
        {X86_MODE_64, 4, "\xf0\x0f\xa3\x03"},         /* lock bt */
        {X86_MODE_64, 2, "\xf0\xa4"},                 /* lock movsb */
        {X86_MODE_64, 4, "\xf3\x0f\x10\x03"},         /* movss */
        {X86_MODE_64, 3, "\x0f\x6f\x03"},             /* movq mm0 */
        {X86_MODE_64, 4, "\xc5\xf8\x10\x03"},         /* vmovups */
        {X86_MODE_64, 5, "\xf2\x0f\x38\xf0\x03"},     /* crc32 */
        {X86_MODE_64, 4, "\x66\x0f\xc3\x03"},         /* undefined beside movnti */
        {X86_MODE_64, 4, "\x0f\xba\x03\x01"},         /* undefined */
        {X86_MODE_64, 3, "\x0f\xc7\x0b"},             /* cmpxchg8b */
        {X86_MODE_64, 3, "\x0f\x01\x3b"},             /* invlpg */
        {X86_MODE_64, 6, "\x66\x0f\x3a\x0f\x03\x00"}, /* palignr */
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct x86_registers before = fixture->registers;

        assert_int_equal(plan(fixture, refused[i].mode, refused[i].bytes, refused[i].length),
                         X86_MMIO_UNSUPPORTED);
        assert_memory_equal(&before, &fixture->registers, sizeof(before));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_store, setup),
        cmocka_unit_test_setup(test_load, setup),
        cmocka_unit_test_setup(test_segments, setup),
        cmocka_unit_test_setup(test_address_sizes, setup),
        cmocka_unit_test_setup(test_rip_wraps, setup),
        cmocka_unit_test_setup(test_repeat, setup),
        cmocka_unit_test_setup(test_read_modify_write, setup),
        cmocka_unit_test_setup(test_vector, setup),
        cmocka_unit_test_setup(test_unsupported, setup),
    };

    return cmocka_run_group_tests_name("emulated memory accesses", tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
//
// Naming the machine's PCI functions and finding them: texts, places, and refusing what is not what
// the configuration says it is. The functions are those of the stand-in for the hypervisor.
#include "check.h"
#include "fake/fake.h"

#include <toolstack/host.h>
#include <toolstack/pci.h>

static struct toolstack toolstack;

static int begin(void **state)
{
    (void)state;
    fake_reset();
    toolstack = (struct toolstack){0};
    return 0;
}

static int end(void **state)
{
    (void)state;
    toolstack_close(&toolstack);
    assert_int_equal(fake_buffers(), 0);
    return 0;
}

static struct pci_function parsed(const char *text)
{
    struct pci_function function;

    assert_true(pci_parse(text, &function));
    return function;
}

static void texts_are_read_and_written(void **state)
{
    static const char *const texts[] = {
        "0000:01:00.0", "0001:02:03.4,place=0000:00:1c.0/00.0,serial=01-02,vendor=8086,device=10d3",
        "place=0000:00:1c.0/00.0,vendor=8086"};
    static const char *const wrong[] = {
        "", "0000:01:00", "00:20.0", "00:01.0x", "vendor=8086", "place=", "00:01.0,vendor="};
    struct pci_function function;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        function = parsed(texts[i]);
        char *again = pci_format_whole(&function);

        assert_string_equal(again, texts[i]);
        free(again);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(pci_parse(wrong[i], &function));
    // Words of other toolstacks are passed over.
    function = parsed("1:2.3,seize=1,device=10d3");
    assert_string_equal(function.identity.device, "10d3");
}

static void what_is_right_is_found(void **state)
{
    static const char *const texts[] = {
        "01:00.0",
        "01:00.0,vendor=8086,device=10D3,serial=52-54-00-FF-ff-12-34-56,place=0000:00:03.0/00.0",
        "place=0000:00:03.0/00.0", "place=0000:00:03.0/00.0,vendor=8086,device=10d3"};
    struct pci_function wanted = parsed("01:00.0");

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct pci_function function = parsed(texts[i]);

        assert_works(pci_identify(&toolstack, &function));
        assert_true(pci_is_same(&function, &wanted));
    }
}

static void what_is_something_else_is_refused(void **state)
{
    static const struct {
        const char *text;
        enum error_code code;
        const char *message;
    } cases[] = {
        {"01:00.0,vendor=8087", ERROR_DEVICE, "its vendor is 8086, not 8087"},
        {"01:00.0,device=1521", ERROR_DEVICE, "its device is 10d3, not 1521"},
        {"01:00.0,serial=1", ERROR_DEVICE, "its serial is 52-54-00-ff-ff-12-34-56, not 1"},
        {"02:00.0,serial=1", ERROR_DEVICE, "its serial is none, not 1"},
        {"02:00.0,place=0000:00:03.0/00.0", ERROR_DEVICE, "its place is 0000:00:1c.0/00.0"},
        {"place=0000:00:03.0/01.0", ERROR_NO_DEVICE, "nothing is there"},
        {"place=0000:00:03.0/00.0,device=1521", ERROR_DEVICE, "its device is 10d3, not 1521"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pci_function function = parsed(cases[i].text);

        assert_fails(pci_identify(&toolstack, &function), cases[i].code, cases[i].message);
    }
}

static void lists_show_what_can_be_given(void **state)
{
    struct pci_function *functions;
    struct pci_function nic = parsed("01:00.0");
    struct pci_function disk = parsed("02:00.0");
    size_t count;

    (void)state;
    assert_works(pci_list_machine(&toolstack, &functions, &count));
    assert_int_equal(count, 3);
    free(functions);
    assert_works(pci_list_assignable(&toolstack, &functions, &count));
    assert_int_equal(count, 1);
    assert_true(pci_is_same(&functions[0], &nic));
    free(functions);
    assert_works(pci_list_class(&toolstack, 0x0108, 0xffff, &functions, &count));
    assert_int_equal(count, 1);
    assert_true(pci_is_same(&functions[0], &disk));
    free(functions);
    // Bridges are nobody's.
    assert_works(pci_list_class(&toolstack, 0, 0, &functions, &count));
    assert_int_equal(count, 2);
    free(functions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(texts_are_read_and_written, begin, end),
        cmocka_unit_test_setup_teardown(what_is_right_is_found, begin, end),
        cmocka_unit_test_setup_teardown(what_is_something_else_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(lists_show_what_can_be_given, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

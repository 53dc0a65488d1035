// SPDX-License-Identifier: Apache-2.0
//
// Domains from configurations: defaults, disks and interfaces in every spelling, refusals, and that
// the kept JSON gives back what was put in.
#include "check.h"

#include <json-c/json.h>
#include <toolstack/domain_config.h>
#include <unistd.h>

#define BASE "type = \"pvh\"\nname = \"guest\"\nkernel = \"/k\"\nmemory = 256\n"

static struct error *read_text(const char *text, struct domain_config *result)
{
    struct config config = {0};
    struct error *error = config_add_text(&config, "t", text, strlen(text));

    if (!error)
        error = domain_config_read(&config, result);
    config_free(&config);
    return error;
}

static void gives_defaults(void **state)
{
    static const uint8_t none[16];
    struct domain_config domain = {0};

    (void)state;
    assert_works(read_text(BASE "vif = [ '' ]\nroot = '/dev/xvda'\nextra='quiet'", &domain));
    assert_int_equal(domain.memory_kib, 256 << 10);
    assert_int_equal(domain.maxmem_kib, 256 << 10);
    assert_int_equal(domain.vcpus, 1);
    assert_int_equal(domain.on_reboot, END_RESTART);
    assert_int_equal(domain.on_crash, END_DESTROY);
    assert_string_equal(domain.command_line, "root=/dev/xvda quiet");
    assert_memory_not_equal(domain.uuid, none, 16);
    assert_memory_equal(domain.nics[0].mac, "\x00\x16\x3e", 3);
    domain_config_free(&domain);
}

// What eight vcpus can have in flight on ten disks and two interfaces; and what is set, stays.
static void limits_follow_from_what_the_domain_is(void **state)
{
    struct domain_config domain = {0};

    (void)state;
    assert_works(read_text(BASE, &domain));
    assert_int_equal(domain.grant_frames, 64);
    assert_int_equal(domain.maptrack_frames, 1024);
    assert_int_equal(domain.event_channels, 1023);
    domain_config_free(&domain);
    assert_works(read_text(BASE "vcpus = 8\nvif = [ '', '' ]\n"
                                "disk = [ '/a,raw,xvda', '/a,raw,xvdb', '/a,raw,xvdc',\n"
                                "'/a,raw,xvdd', '/a,raw,xvde', '/a,raw,xvdf', '/a,raw,xvdg',\n"
                                "'/a,raw,xvdh', '/a,raw,xvdi', '/a,raw,xvdj' ]",
                           &domain));
    assert_in_range(domain.grant_frames * 512, 8 * (10 * 32 * 33 + 2 * 512), 100000);
    domain_config_free(&domain);
    assert_works(read_text(BASE "driver_domain = 1\nvcpus = 64", &domain));
    assert_in_range(domain.event_channels, 1024 + 64 * 8, 4096);
    domain_config_free(&domain);
    assert_works(read_text(BASE "max_grant_frames = 7\nmax_event_channels = 50", &domain));
    assert_int_equal(domain.grant_frames, 7);
    assert_int_equal(domain.event_channels, 50);
    domain_config_free(&domain);
}

static void refuses_what_cannot_be(void **state)
{
    static const struct {
        const char *text;
        enum error_code code;
        const char *message;
    } cases[] = {
        {"name = 'x'", ERROR_VALUE, "type is not set"},
        {"type = 'hvm'", ERROR_UNSUPPORTED, "t:1:8: domains of type hvm"},
        {"type = ''", ERROR_UNSUPPORTED, "domains of type  are not"},
        {"type='pvh'\nname='17'", ERROR_VALUE, "t:2:6: a name has no slash"},
        {"type='pvh'\nname='x'", ERROR_VALUE, "kernel is not set"},
        {"type='pvh'\nname='x'\nkernel='k'", ERROR_VALUE, "memory is not set"},
        {BASE "maxmem = 10", ERROR_VALUE, "t:5:10: maxmem is 10"},
        {BASE "vcpus = 65", ERROR_VALUE, "vcpus must be from 1 to 64"},
        {BASE "on_crash = 'restrat'", ERROR_VALUE, "t:5:12: on_crash cannot be \"restrat\""},
        {BASE "disk = 'x'", ERROR_VALUE, "disk must be a list"},
        {BASE "disk = [ 'vdev=xvda' ]", ERROR_VALUE, "t:5:10: the disk has no target"},
        {BASE "disk = [ '/a,qcow2,xvda,w' ]", ERROR_UNSUPPORTED, "format qcow2"},
        {BASE "disk = [ '/a,raw,xvdA,w' ]", ERROR_VALUE, "\"xvdA\" is no virtual disk"},
        {BASE "disk = [ '/a,raw,xvda,w', '/b,raw,xvda,w' ]", ERROR_VALUE, "two disks"},
        {BASE "disk = [ 'vdev=xvda,acess=r,target=/x' ]", ERROR_VALUE, "\"acess\" means nothing"},
        {BASE "vif = [ 'mac=1:2:3' ]", ERROR_VALUE, "no MAC address"},
        {BASE "vif = [ 'mac=01:16:3e:00:00:00' ]", ERROR_VALUE, "no MAC address"},
        {BASE "vif = [ 'brige=x' ]", ERROR_VALUE, "\"brige\" means nothing"},
        {BASE "pci = [ '00:20.0' ]", ERROR_VALUE, "t:5:9: \"00:20.0\" is no PCI function"},
        {BASE "pci = [ '1:2.3', '0000:01:02.3,seize=1' ]", ERROR_VALUE, "t:5:18: the PCI function"},
        {BASE "usbdev = [ 'x' ]", ERROR_UNSUPPORTED, "t:5:10: usbdev is not supported"},
        {BASE "uuid = 'xyz'", ERROR_VALUE, "\"xyz\" is no UUID"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct domain_config domain = {0};

        assert_fails(read_text(cases[i].text, &domain), cases[i].code, cases[i].message);
        domain_config_free(&domain);
    }
}

static void reads_disks_in_every_spelling(void **state)
{
    static const char *const spellings[] = {
        "format=raw, vdev=xvdb, access=ro, target=/a b,c",
        "/a b,raw,xvdb,r",
        "phy:/a b,xvdb,r",
        "file:/a b,raw,xvdb,ro",
        "/a b, , xvdb, r",
        "vdev=xvdb,access=r,target=/a b",
    };
    const struct config_place place = {"t", 1, 1};

    (void)state;
    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
        struct disk_config disk = {0};

        assert_works(disk_config_parse(spellings[i], &place, &disk));
        assert_string_equal(disk.target, i ? "/a b" : "/a b,c");
        assert_string_equal(disk.vdev, "xvdb");
        assert_string_equal(disk.format, "raw");
        assert_true(disk.readonly);
        disk_config_free(&disk);
    }
}

static void the_old_form_may_leave_out_the_access(void **state)
{
    const struct config_place place = {"t", 1, 1};
    struct disk_config disk = {0};

    (void)state;
    assert_works(disk_config_parse("phy:/a,xvdb,", &place, &disk));
    assert_string_equal(disk.vdev, "xvdb");
    assert_false(disk.readonly);
    disk_config_free(&disk);
}

static void numbers_disks(void **state)
{
    static const struct {
        const char *word;
        unsigned int number;
    } good[] = {
        {"xvda", 51712},
        {"xvdb", 51728},
        {"xvda1", 51713},
        {"xvdp", 51952},
        {"xvdq", 1u << 28 | 4096},
        {"xvdaa", 1u << 28 | 26 << 8},
        {"xvda16", 1u << 28 | 16},
        {"hda", 768},
        {"hdb", 832},
        {"hdc", 5632},
        {"sda", 2048},
        {"sda1", 2049},
        {"51712", 51712},
    };
    static const char *const bad[] = {"",    "xvd",     "xvd1", "xvda1x", "hde",
                                      "vda", "xvda256", "sdaa", "hda64",  "99999999999"};
    unsigned int number;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(disk_number(good[i].word, &number));
        assert_int_equal(number, good[i].number);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(disk_number(bad[i], &number));
}

static void reads_interfaces(void **state)
{
    struct domain_config domain = {0};

    (void)state;
    assert_works(read_text(
        BASE "vif = [ 'mac=00:16:3E:aa:00:01, bridge=br1, backend=net, vifname=v0, mtu=9000, "
             "rate=10Mb/s', 'devid=7,type=vif,model=e1000' ]",
        &domain));
    assert_int_equal(domain.nic_count, 2);
    assert_memory_equal(domain.nics[0].mac, "\x00\x16\x3e\xaa\x00\x01", 6);
    assert_string_equal(domain.nics[0].bridge, "br1");
    assert_string_equal(domain.nics[0].backend, "net");
    assert_int_equal(domain.nics[0].mtu, 9000);
    assert_int_equal(domain.nics[0].devid, 0);
    assert_int_equal(domain.nics[1].devid, 7);
    domain_config_free(&domain);
}

static void the_machines_settings_fill_what_is_open(void **state)
{
    char path[] = "/tmp/xl.conf-XXXXXX";
    struct domain_config domain = {0};
    int file = mkstemp(path);
    const char text[] = "vif.default.bridge = \"br9\"\nautoballoon=\"auto\"\n";

    (void)state;
    assert_int_equal(write(file, text, sizeof(text) - 1), sizeof(text) - 1);
    close(file);
    assert_works(read_text(BASE "vif = [ '', 'bridge=own' ]", &domain));
    assert_works(domain_config_apply_defaults(&domain, path));
    unlink(path);
    assert_works(domain_config_apply_defaults(&domain, path));
    assert_string_equal(domain.nics[0].bridge, "br9");
    assert_string_equal(domain.nics[1].bridge, "own");
    assert_null(domain.nics[0].script);
    domain_config_free(&domain);
}

static void json_gives_back_what_was_put_in(void **state)
{
    struct domain_config domain = {0};
    struct domain_config back = {0};

    (void)state;
    assert_works(read_text(BASE "disk = [ 'vdev=xvda,backend=s,discard,target=/d' ]\n"
                                "vif = [ 'ip=10.0.0.1' ]\nvcpus = 3\ncpus = '0-1'\n"
                                "on_crash = 'preserve'\ndriver_domain = 1\n"
                                "pci = [ '0001:02:03.4' ]\n",
                           &domain));
    struct json_object *json = domain_config_to_json(&domain);

    assert_works(domain_config_from_json(json, &back));
    struct json_object *again = domain_config_to_json(&back);

    assert_string_equal(json_object_to_json_string(json), json_object_to_json_string(again));
    assert_int_equal(back.functions[0].segment, 1);
    assert_string_equal(back.disks[0].backend, "s");
    assert_int_equal(back.on_crash, END_PRESERVE);
    assert_memory_equal(back.uuid, domain.uuid, 16);
    json_object_put(json);
    json_object_put(again);
    domain_config_free(&domain);
    domain_config_free(&back);
}

static void refuses_damaged_json(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "{\"name\": 5}",
        "{\"name\": \"x\", \"vcpus\": 65}",
        "{\"name\": \"x\", \"memory_kib\": -1}",
        "{\"name\": \"x\", \"on_crash\": \"explode\"}",
        "{\"name\": \"x\", \"uuid\": \"y\", \"kernel\": \"k\", \"command_line\": \"\","
        " \"memory_kib\": 4, \"maxmem_kib\": 4, \"vcpus\": 1, \"maxvcpus\": 1}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct json_object *json = json_tokener_parse(texts[i]);
        struct domain_config back = {0};

        assert_fails(domain_config_from_json(json, &back), ERROR_SYNTAX, "the kept configuration");
        domain_config_free(&back);
        json_object_put(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_defaults),
        cmocka_unit_test(limits_follow_from_what_the_domain_is),
        cmocka_unit_test(refuses_what_cannot_be),
        cmocka_unit_test(reads_disks_in_every_spelling),
        cmocka_unit_test(the_old_form_may_leave_out_the_access),
        cmocka_unit_test(numbers_disks),
        cmocka_unit_test(reads_interfaces),
        cmocka_unit_test(the_machines_settings_fill_what_is_open),
        cmocka_unit_test(json_gives_back_what_was_put_in),
        cmocka_unit_test(refuses_damaged_json),
    };

    return cmocka_run_group_tests_name("domain_config", tests, NULL, NULL);
}

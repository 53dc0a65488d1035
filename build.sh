#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The one command of this repository. It only dispatches: the rules live in Makefiles and in
# scripts/, which do nothing that is already done.

set -eu
cd "$(dirname "$0")"

usage() {
    cat <<'USAGE'
Usage: ./build.sh COMMAND
  deps                      install the Debian packages that the other commands need
  hypervisor                build out/x86_64/bulkhead
  toolstack                 build the tree out/x86_64/toolstack
  driverdomains             build out/x86_64/driverdomains/NAME, images of driver domains
  image                     build out/x86_64/bulkhead.img, a disk image for BIOS and UEFI machines
  run [--batch] [OPTION...] boot it in QEMU with Debian 13 as domain 0 and show it at work
  run --distribution ...    the same of the distribution, with driver domains that are killed
  test                      run all tests, then print one line of totals
  test unit|lint            run one group of tests
  test system [NAME...]     run system scenarios (tests/system), all of ci-scenarios without NAME
  fuzz [TARGET...] [--minutes N]
                            fuzz as long as one likes; the unit tests do it for seconds
  bench [OPTION...]         measure in executed instructions, beside the incumbent
  clean                     remove what was built (keeps downloads and the rig's images)
  help                      this text
Results go to out/. Options of run and bench: see --help of each.
USAGE
}

prepare() {
    scripts/deps
    scripts/debian13 headers
    scripts/debian13 libraries
}

build_hypervisor() {
    prepare
    make -j2 -C hypervisor
}

build_toolstack() {
    prepare
    make -j2 -C toolstack
}

build_driverdomains() {
    build_toolstack
    make -C driverdomains
}

command=${1:-help}
[ $# -eq 0 ] || shift
case $command in
deps) scripts/deps ;;
hypervisor) build_hypervisor ;;
toolstack) build_toolstack ;;
driverdomains) build_driverdomains ;;
image)
    build_hypervisor
    build_driverdomains
    make -C distribution
    ;;
run)
    build_hypervisor
    [ "${1:-}" = --distribution ] || exec tests/rig/demo-debian "$@"
    shift
    build_driverdomains
    exec tests/rig/demo "$@"
    ;;
test)
    prepare
    exec scripts/run-tests "$@"
    ;;
fuzz)
    prepare
    exec scripts/fuzz "$@"
    ;;
bench)
    build_hypervisor
    build_toolstack
    exec tests/bench/bench "$@"
    ;;
clean) rm -rf out/x86_64 out/sim out/test-results out/lint ;;
help | -h | --help) usage ;;
*)
    usage >&2
    exit 2
    ;;
esac

# The door. CMake and Ninja do the work; tools/setup installs what is missing.
.NOTPARALLEL:
.PHONY: run check build asan tsan arm fuzz bench fmt rooms install clean setup configured release-ready fuzz-build

LINNET := build/release/linnet
QUICKSTART := runs/quickstart
FUZZ_SECONDS ?= 600
DESTDIR ?=
PREFIX ?= /usr/local

run: build ## fetch CIFAR-10, train a federation of 100 clients, make the report
	$(LINNET) data get cifar10
	$(LINNET) run examples/quickstart.yaml --out $(QUICKSTART) --force

setup:
	@tools/setup

release-ready: setup
	@cmake --preset release $(if $(PREFIX),-DCMAKE_INSTALL_PREFIX=$(PREFIX)) >/dev/null

build: release-ready ## build/release/linnet and the libraries
	@cmake --build build/release --target linnet linnet_static linnet_shared

# One thread of work each, so all at once. What fails here fails again, and says so, where it is needed.
configured: setup
	@for preset in asan tsan fuzz release; do cmake --preset $$preset >/dev/null 2>&1 & done; wait

check: configured ## everything; the last lines are those of the test runner
	tools/check-format
	tools/check-rooms
	tools/check-bans
	@tools/arm-sysroot build/arm-sysroot >/dev/null 2>&1 & $(MAKE) --no-print-directory asan tsan; code=$$?; wait; exit $$code # the network beside the processor
	$(MAKE) --no-print-directory arm ARM_EXCEPT='$(ARM_SLOW)'
	$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=10
	@cmake --preset release >/dev/null
	cmake --build build/release
	ctest --test-dir build/release --output-on-failure --no-tests=error -j2

# Minutes each under a sanitizer, in arithmetic that other tests run as well, or programs that build and time of their own.
SLOW := ^(whole\.(golden|swat_golden|ecofed_ledger|every_choice|every_model|submodel)|nn\.(net|bf16|sparsities\.swat)|kernels\.(kernels|sparse)|whole\.zerofl|cli\.leak|program\.(resume|onnx|outsider|examples|speech|compare|list|man|ranks|ecofed|peers|bfloat16|report))$$
asan: setup ## address and undefined-behaviour sanitizers: unit tests and short runs of the program
	@cmake --preset asan >/dev/null
	ninja -C build/asan linnet $$(ninja -C build/asan -t targets all | sed -nE 's/^test\.([^:]*): .*/\1/p' | grep -vE '$(SLOW)' | sed 's/^/test./')
	ctest --test-dir build/asan --output-on-failure --no-tests=error -j2 -LE house -E '$(SLOW)'

THREADED := ^(base\.pool|fleet\..*|store\.blobs|program\.federation)$$
tsan: setup ## thread sanitizer: the pool, the fleet, a run
	@cmake --preset tsan >/dev/null
	ninja -C build/tsan linnet $$(ninja -C build/tsan -t targets all | sed -nE 's/^(test\.(base\.pool|store\.blobs|fleet\.[^:]*)): .*/\1/p')
	setarch $$(uname -m) -R ctest --test-dir build/tsan --output-on-failure --no-tests=error -j2 -R '$(THREADED)'

# Arithmetic, and bytes whose order matters. The tests know that they are emulated (cmake/aarch64.cmake) and leave out what would take minutes.
# make check leaves out these, which take three minutes more.
ARM_ROOMS := base|tensor|kernels|nn|codec
ARM_SLOW := ^(kernels\.(sparse|bf16)|nn\.(net|bf16|submodel|sparsities\.swat))
ARM_EXCEPT := ^$$
arm: setup ## every test of these rooms on 64-bit ARM, under emulation
	@tools/arm-sysroot build/arm-sysroot
	@cmake --preset arm >/dev/null
	ninja -C build/arm $$(ninja -C build/arm -t targets all | sed -nE 's/^test\.(($(ARM_ROOMS))\.[^:]*): .*/\1/p' | grep -vE '$(ARM_EXCEPT)' | sed 's/^/test./')
	ctest --test-dir build/arm --output-on-failure --no-tests=error -j2 -R '^($(ARM_ROOMS))\.' -E '$(ARM_EXCEPT)'

fuzz: setup ## each target for FUZZ_SECONDS
	@cmake --preset fuzz >/dev/null
	cmake --build build/fuzz --target fuzzers
	tools/fuzz build/fuzz $(FUZZ_SECONDS)

bench: build ## kernels, training steps, the simulator
	$(LINNET) bench kernels
	$(LINNET) bench steps --threads 1
	$(LINNET) data get mnist
	$(LINNET) bench sim

fmt: ## clang-format over all sources
	tools/check-format --fix

rooms: ## who may include whom
	tools/check-rooms

install: build ## headers, libraries, program, man page, pkg-config file; PREFIX and DESTDIR
	DESTDIR=$(DESTDIR) cmake --install build/release --prefix $(PREFIX)

clean:
	rm -rf build

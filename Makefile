# make demo | test | extras | lint | format | sanitize | fuzz | aarch64 | instructions | docs |
# screenshots | bench | cuda-report | cuda-bench | gpu | clean
# Everything runs in .venv, which the first call makes; PYTHON picks the interpreter it is made of.
# CUDA=ON builds the CUDA backend, too, with nvcc from the package index where the machine has none.
PYTHON ?= python3
CUDA ?= AUTO
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := .venv-extras
SANITIZED := build/sanitize
# What examples/train_demo draws with.
FONTS := fonts-dejavu-core fonts-liberation fonts-wqy-zenhei fonts-noto-cjk
SECONDS ?= 60
SEED ?= 1
INSTALL := $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation
# ptxas' words about each kernel stay beside its object.
CUDA_SETTINGS := -C cmake.define.INTERNVL_NATIVE_CUDA=$(CUDA) $(if $(filter ON,$(CUDA)), \
    -C cmake.define.CMAKE_CUDA_FLAGS=-Xptxas=-v \
    -C cmake.define.CMAKE_CUDA_COMPILER_LAUNCHER=$(CURDIR)/.ci/keep-output)
SOURCES := $(shell find csrc python -type f -not -name '*.pyc' -not -name '*.so') \
           CMakeLists.txt pyproject.toml README.md LICENSE

.PHONY: demo test extras lint format sanitize fuzz aarch64 instructions docs screenshots bench \
        cuda-report cuda-bench gpu clean

demo: $(VENV)/.installed
	$(BIN)/internvl-native demo

test: lint $(VENV)/.installed
	$(BIN)/python -m pytest $(TESTS)

# The tests with every optional package: programs of examples/, a browser, the caller's torch. No
# package changes what the others test.
extras: $(EXTRAS)/.installed
	$(EXTRAS)/bin/python -m pytest \
	    $(or $(TESTS),$(addprefix --ignore=tests/,backend benchmarks cuda demo fuzz generation))

lint: $(VENV)/.installed
	.ci/lint $(BIN)

format: $(VENV)/.tools
	.ci/lint $(BIN) --fix

# The same tests on a build with the address and undefined-behaviour sanitizers, but for those of
# programs and of the demo, which run the same engine.
sanitize: $(SANITIZED)/.installed
	.ci/sanitized $(BIN)/python $(SANITIZED)/site -m pytest \
	    $(or $(TESTS),$(addprefix --ignore=tests/,benchmarks cli demo docs examples notebook programs))

# Random files, texts and arguments on the same build, for SECONDS in all, from SEED.
fuzz: $(SANITIZED)/.installed
	.ci/fuzz $(BIN)/python $(SANITIZED)/site $(SECONDS) $(SEED)

aarch64: $(VENV)/.tools
	.ci/check-aarch64

# Instructions of the hot kernels, counted by valgrind, against those committed.
instructions: $(VENV)/.installed
	[ -e /usr/include/valgrind/callgrind.h ] && command -v valgrind >/dev/null || .ci/apt-install valgrind
	$(BIN)/python -m benchmarks.instructions

# The API reference and the other pages, in build/docs; a warning is an error.
docs: $(VENV)/.installed
	.ci/make-venv $(PYTHON) $(VENV) docs
	$(BIN)/python -m sphinx -q -W --keep-going docs build/docs

# The pictures in docs/images; CHECKPOINT is what answers in them.
screenshots: $(VENV)/.installed $(EXTRAS)/.installed
	.ci/make-venv $(PYTHON) $(VENV) docs
	$(BIN)/python -m docs.screenshots $(if $(CHECKPOINT),--checkpoint $(CHECKPOINT))
	$(EXTRAS)/bin/python -m docs.screenshot_web_chat $(if $(CHECKPOINT),--checkpoint $(CHECKPOINT))

# Every stage against the machine's ceilings and, with EXTRA=bench, against other engines.
bench: $(VENV)/.installed
	$(if $(EXTRA),.ci/make-venv $(PYTHON) $(VENV) $(EXTRA))
	$(BIN)/python -m benchmarks $(BENCH)

# After a build with CUDA=ON: benchmarks/results/cuda_resources.md; a spill is an error.
cuda-report: $(VENV)/.installed
	$(BIN)/python -m benchmarks.cuda_resources build

# Needs a GPU, and CUDA=ON; takes up to ten minutes. With EXTRA=bench, against transformers, too.
cuda-bench: $(VENV)/.installed
	$(if $(EXTRA),.ci/make-venv $(PYTHON) $(VENV) $(EXTRA))
	$(BIN)/python -m benchmarks.cuda_kernels
	$(BIN)/python -m benchmarks.cuda_models

# Tests and benchmarks that need a GPU, with what PYTHON has: nothing is downloaded.
gpu:
	.ci/gpu $(PYTHON)

clean:
	rm -rf build dist $(VENV) $(EXTRAS) .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.tools: pyproject.toml .ci/system-packages .ci/make-venv
	.ci/system-packages $(PYTHON)
	.ci/make-venv $(PYTHON) $(VENV) test lint $(if $(filter ON,$(CUDA)),cuda-build)
	touch $@

$(VENV)/.installed: $(VENV)/.tools $(SOURCES)
	$(INSTALL) --force-reinstall -C cmake.define.INTERNVL_NATIVE_WERROR=$(if $(CI),ON,OFF) \
	    $(CUDA_SETTINGS) .
	touch $@

$(EXTRAS)/.tools: pyproject.toml .ci/make-venv
	command -v chromium >/dev/null || .ci/apt-install chromium
	test -e /usr/share/fonts/opentype/noto || .ci/apt-install $(FONTS)
	.ci/make-venv $(PYTHON) $(EXTRAS) docs hub notebook ray server train web test test-extras
	touch $@

# The wheel of what .venv has compiled.
$(EXTRAS)/.installed: $(EXTRAS)/.tools $(VENV)/.installed
	rm -rf build/extras
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/extras .
	$(EXTRAS)/bin/python -m pip install --quiet --no-deps --force-reinstall build/extras/*.whl
	touch $@

$(SANITIZED)/.installed: $(VENV)/.tools $(SOURCES)
	$(INSTALL) --upgrade --target $(SANITIZED)/site \
	    -C build-dir=$(SANITIZED)/cmake -C install.strip=false \
	    -C cmake.build-type=RelWithDebInfo -C cmake.define.INTERNVL_NATIVE_SANITIZE=ON \
	    -C cmake.define.INTERNVL_NATIVE_CUDA=OFF .
	touch $@

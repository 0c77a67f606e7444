# Everything that is done to this project from a shell. `make help` lists it.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest

.PHONY: help
help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(VENV)/installed ## install Lussac with all that its tests need into $(VENV)

# Two steps, since a few libraries come as source only: what builds them is pinned too. The locks are complete (--no-deps): pip
# would look up newer releases of what is asked for with an extra, and refuse them. The environment is made anew whenever a
# lock file changes, so that nothing installed by hand is ever needed.
$(VENV)/installed: pyproject.toml requirements/build.txt requirements/dev.txt requirements/torch.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Lussac needs Python 3.11, 3.12 or 3.13: make PYTHON=python3.12 ...")'
	rm -f $@
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/build.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/torch.txt \
		|| echo 'No CPU build of torch for this Python here: the tests of lupin will be skipped.'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@

APPTAINER ?= $(shell command -v apptainer || command -v singularity || echo apptainer)
# a third of the time of the default, and smaller
FAST := $(shell $(APPTAINER) build --help 2>/dev/null | grep -q mksquashfs-args && echo '--mksquashfs-args="-comp zstd -Xcompression-level 3"')
SIF ?= lussac.sif
SOCKET := $(patsubst unix://%,%,$(or $(DOCKER_HOST),unix:///var/run/docker.sock))

.PHONY: demo
demo: setup ## sort a generated recording with several sorters, merge, and compare with the truth
	$(BIN)/lussac demo demo

.PHONY: demo-docker
demo-docker: ## the same in the service image, each sorter in a container beside it (after make image images)
	mkdir -p demo-docker
	docker run --rm -v "$(CURDIR)/demo-docker:/data" -v $(SOCKET):/var/run/docker.sock lussac demo /data/demo

.PHONY: demo-singularity
demo-singularity: ## the same with apptainer or singularity, without root (after make sif)
	mkdir -p demo-singularity
	$(APPTAINER) exec --bind "$(CURDIR)/demo-singularity:/data" $(SIF) lussac demo /data/demo

.PHONY: test
test: setup lint coverage ## all checks but the long ones
	$(PYTEST) -n $(WORKERS) --dist loadgroup -m 'not slow'

.PHONY: test-slow
test-slow: setup ## the long checks
	$(PYTEST) -n $(WORKERS) --dist loadgroup -m slow

.PHONY: reproducible
reproducible: setup ## build the service image twice, run it every way, and compare all that comes out
	$(BIN)/python containers/reproducible.py

# Apart from $(VENV): what looks at one file needs not be installed beside what runs.
.PHONY: workflow
workflow: ## check the workflow of GitHub
	$(PYTHON) -m venv --clear artefacts/actionlint
	artefacts/actionlint/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/actionlint.txt
	artefacts/actionlint/bin/actionlint

.PHONY: lint
lint: setup ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Kernels run as plain Python here, so that their lines can be counted.
.PHONY: coverage
coverage: setup ## every line and branch of lussac/algorithms is run by its tests
	NUMBA_DISABLE_JIT=1 $(PYTEST) -q -n $(WORKERS) tests/algorithms --cov=lussac.algorithms --cov-branch --cov-fail-under=100 --cov-report=term-missing:skip-covered

.PHONY: lock
lock: setup ## write the lock files anew (TORCH_INDEX=... or WHEELS=... for the CPU builds of torch)
	$(BIN)/python requirements/lock.py
	$(BIN)/python containers/lock.py

.PHONY: image
image: ## build the service image, lussac (BASE_IMAGE=... where no registry answers)
	containers/build-service.sh

.PHONY: sif
sif: ## make lussac.sif of the service image
	$(APPTAINER) build --force --notest $(FAST) $(SIF) Singularity.def
	$(APPTAINER) test $(SIF)

.PHONY: images
images: setup ## build the images of all sorters that can be built with what is said (BASE_IMAGE, WHEELS, TORCH_INDEX)
	$(BIN)/lussac images build

.PHONY: sifs
sifs: setup ## make the image files of the sorters whose images are here, for apptainer and singularity
	LUSSAC=$(BIN)/lussac containers/sifs.sh

.PHONY: push
push: ## push the service image and the sorters' images: REGISTRY=registry.org/lab (IMAGES=... for others)
	@containers/push.sh "$(REGISTRY)" $(IMAGES)

image-%: setup ## build the image of one sorter
	$(BIN)/lussac images build $*

CASES := plain drift burst overlap hard $(if $(wildcard ../shared/bench),A B small)

.PHONY: benchmark
benchmark: setup ## compare with other ways of merging, and write docs/benchmarks.md
	$(BIN)/python benchmarks/run.py artefacts/benchmark $(CASES)
	$(BIN)/python benchmarks/run.py artefacts/benchmark --table

.PHONY: benchmark-scale
benchmark-scale: setup ## measure time and memory against the size of recordings, and write docs/benchmarks.md
	$(BIN)/python benchmarks/scale.py artefacts/scale
	$(BIN)/python benchmarks/scale.py artefacts/scale --table

.PHONY: benchmark-service
benchmark-service: setup ## measure what the service image costs, and write docs/benchmarks.md (after make image image-simple sif)
	$(BIN)/python benchmarks/service.py artefacts/benchmark --build
	$(BIN)/python benchmarks/service.py artefacts/benchmark --table

.PHONY: benchmark-containers
benchmark-containers: setup ## what docker and apptainer cost a sorter; needs the engines and ../shared
	$(BIN)/python benchmarks/containers.py artefacts/containers

.PHONY: testbed
testbed: ## start docker and apptainer for the tests, as root on Debian: eval "$$(make -s testbed)"
	@containers/testbed/up.sh

.PHONY: clean
clean: ## remove what the commands above made
	rm -rf $(VENV) demo demo-docker demo-singularity lussac.sif artefacts build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

# Finds the cervical vertebrae in a CT of the neck and says which are fractured. `make help` lists the targets.
# Paths may hold spaces: every use of one stands in double quotes, and make's functions see it without its spaces.
empty :=
joined        = $(subst $(empty) $(empty),?,$(1))
spaced        = $(subst ?, ,$(1))
PYTHON       ?= $(shell command -v python3.11 || command -v python3)
CONFIG       ?= configs/phantom.yaml
ifneq ($(QUICK),)   # a first look: few studies, short trainings; its figures say nothing
RUN          ?= runs/quick
DATA         ?= data/quick
STUDIES      ?= 12
TEST_STUDIES ?= 8
SEGMENT      ?= train.steps=20 train.warmup=3
CLASSIFY     ?= train.steps=20 train.warmup=3
FOLDS        ?= data.folds=2
endif
RUN          ?= runs/$(call spaced,$(basename $(notdir $(call joined,$(CONFIG)))))
DATA         ?= data/phantom
STUDIES      ?= 88
TEST_STUDIES ?= 60
SEED         ?= 2023
OUT          ?= out
SEGMENT      ?=
CLASSIFY     ?=
SUBMIT       ?=
ifeq ($(CONFIG),configs/phantom.yaml)   # its steps are those of a pretrained network; these entries begin with random weights
SLICES25D    ?= encoder.init_from=null encoder.steps=1400 encoder.lr=6e-3 train.steps=80
NAIVE        ?= train.steps=1500 train.lr=2e-3 train.warmup=50 train.ema=0.99
endif
# Another PY=python is an environment of one's own, and setup has nothing to do.
PY           := .venv/bin/python
DATA_ARGS     = --config "$(CONFIG)" "data.root=$(DATA)" "data.run=$(RUN)" $(FOLDS)
# For one study the stage 1 that comes with the project, unless a run or a configuration is named.
STUDY_ARGS    = $(if $(filter command environment,$(origin RUN) $(origin CONFIG)),--config "$(CONFIG)" --run "$(RUN)") \
                $(if $(CALIBRATION),--calibration "$(CALIBRATION)") \
                $(if $(SEGMENT),--segment $(SEGMENT)) $(if $(CLASSIFY),--classify $(CLASSIFY))
MASKS_ARGS    = $(if $(MASKS),"masks.folder=$(MASKS)" masks.scheme=$(or $(SCHEME),rsna))

# A step that could not do some studies of a cohort (exit code 20) doesn't stop the others; `finish` reports it.
define step
@mkdir -p "$(RUN)"; $(1) || { code=$$?; [ $$code -eq 20 ] || exit $$code; touch "$(RUN)/.partly-failed"; }
endef
# Another entry than the main one: its kind, and what its networks begin with. It needs the mask as a channel.
other = $(DATA_ARGS) $(MASKS_ARGS) network.kind=$(1) network.inputs=all $(2)
define finish
@if [ -e "$(RUN)/.partly-failed" ]; then rm "$(RUN)/.partly-failed"; echo "done, but some studies failed: see above" >&2; exit 20; fi
endef

# The report is made whether or not the submission is whole; the exit code is that of the submission.
define submit_and_report
@code=0; "$(PY)" -m stage2_classify submit $(DATA_ARGS) $(MASKS_ARGS) $(CLASSIFY) $(SUBMIT) || code=$$?; \
"$(PY)" -m stage2_classify report $(DATA_ARGS) $(MASKS_ARGS) $(CLASSIFY) || { other=$$?; [ $$code -ne 0 ] || code=$$other; }; \
[ $$code -eq 0 ] || { rm -f "$(RUN)/.partly-failed"; [ -z "$$EXIT_CODE_FILE" ] || echo $$code >"$$EXIT_CODE_FILE"; exit $$code; }
endef

.DEFAULT_GOAL := help
.PHONY: help setup cohort verify segment evaluate classify submit submission compare predict calibrate-locally set-pretrained bench-readers docs \
        bench test test-kills test-mutations lint clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 15
	@echo "Variables: DATA, CONFIG, RUN, MASKS and SCHEME, STUDY and OUT, STUDIES, TEST_STUDIES, SEED;"
	@echo "make ends with 2 whatever went wrong; ./make.sh TARGET ... ends with the exit code of docs/runs.md."
	@echo "SEGMENT, CLASSIFY, and for compare SLICES25D, NAIVE hold overrides of a configuration: CLASSIFY='train.steps=300'."
	@echo "SUBMIT=--fill-missing answers what has no prediction with the prior."

setup: $(if $(filter .venv/bin/python,$(PY)),.venv/bin/cervical-fracture) ## make .venv with everything the project needs
.venv/bin/cervical-fracture: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	"$(PY)" -m pip install --quiet --upgrade pip
	"$(PY)" -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

cohort: setup ## make the synthetic studies in data/phantom (nothing to do when DATA is given)
ifneq ($(filter file,$(origin DATA))$(filter data/phantom,$(DATA)),)
	@"$(PY)" -m common.phantom --out "$(DATA)" --studies $(STUDIES) --test-studies $(TEST_STUDIES) --seed $(SEED)
endif

verify: setup ## report every fault of a competition folder
	@"$(PY)" -m common.dataset verify "$(DATA)"

segment: cohort ## stage 1: train, then label C1-C7 in every study (masks in RUN/masks)
	$(call step,"$(PY)" -m stage1_segment train $(DATA_ARGS) $(SEGMENT))
	$(call step,"$(PY)" -m stage1_segment predict $(DATA_ARGS) $(SEGMENT))
	$(call finish)

evaluate: setup ## stage 1 against the true masks
	@"$(PY)" -m stage1_segment evaluate $(DATA_ARGS) $(SEGMENT)

classify: cohort ## stage 2 on the masks that segment left, or on MASKS=dir (SCHEME=rsna, verse, totalsegmentator ...: docs/masks.md)
	$(call step,"$(PY)" -m stage2_classify train $(DATA_ARGS) $(MASKS_ARGS) $(CLASSIFY))
	$(call step,"$(PY)" -m stage2_classify predict $(DATA_ARGS) $(MASKS_ARGS) $(CLASSIFY))
	$(call finish)

submit: setup ## submission.csv, metrics.json and report.html from what the stages left
	$(call submit_and_report)

submission: cohort ## the main job: both stages, then RUN/submission.csv, metrics.json and report.html (QUICK=1: a first look)
	$(call step,"$(PY)" -m stage1_segment train $(DATA_ARGS) $(SEGMENT))
	$(call step,"$(PY)" -m stage1_segment predict $(DATA_ARGS) $(SEGMENT))
	$(call step,"$(PY)" -m stage1_segment evaluate $(DATA_ARGS) $(SEGMENT))
	$(call step,"$(PY)" -m stage2_classify train $(DATA_ARGS) $(MASKS_ARGS) $(CLASSIFY))
	$(call step,"$(PY)" -m stage2_classify predict $(DATA_ARGS) $(MASKS_ARGS) $(CLASSIFY))
	$(call submit_and_report)
	$(call finish)

compare: setup ## the 2.5D + LSTM entry and the naive network on the same cohort, then the report again
	$(call step,"$(PY)" -m stage2_classify train $(call other,slices25d,$(SLICES25D)))
	$(call step,"$(PY)" -m stage2_classify predict $(call other,slices25d,$(SLICES25D)))
	$(call step,"$(PY)" -m stage2_classify train $(call other,naive,$(NAIVE)))
	$(call step,"$(PY)" -m stage2_classify predict $(call other,naive,$(NAIVE)))
	@"$(PY)" -m stage2_classify report $(DATA_ARGS) $(MASKS_ARGS) $(CLASSIFY)
	$(call finish)

predict: setup ## one study: make predict STUDY=folder, zip or NIfTI OUT=dir
	@test -n "$(STUDY)" || { echo "make predict STUDY=path OUT=dir: STUDY is a DICOM folder, a zip of one, or a NIfTI, NRRD or MetaImage" >&2; exit 2; }
	@script="$$("$(PY)" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')/cervical-fracture"; \
	[ -x "$$script" ] || { echo "$$script is missing: run \`make setup\`, or in an environment of your own" \
	  "\`$(PY) -m pip install --editable .\`" >&2; exit 2; }; \
	"$$script" predict "$(STUDY)" -o "$(OUT)" $(STUDY_ARGS)

calibrate-locally: setup ## how far predictions are off on your labelled studies: PREDICTIONS=dir LABELS=csv OUT=dir
	@test -n "$(PREDICTIONS)" -a -n "$(LABELS)" || { echo "make calibrate-locally PREDICTIONS=dir LABELS=csv OUT=dir" >&2; exit 2; }
	@"$(PY)" -m stage2_classify calibrate-locally --predictions "$(PREDICTIONS)" --labels "$(LABELS)" -o "$(OUT)" $(if $(FORCE),--force)

set-pretrained: setup ## make RUN's stage-1 weights those that come with the project (then write their CARD.md)
	@"$(PY)" -m stage1_segment set-pretrained $(DATA_ARGS) $(SEGMENT)

bench: setup ## how fast, beside others that do the same work (minutes; ONLY='reading segment', ROUNDS=n, SMALL=1)
	@SMALL="$(SMALL)" "$(PY)" -m tests.bench $(ONLY) --rounds $(or $(ROUNDS),5)

bench-readers: setup ## broken series, as this reader and others that are installed read them
	@"$(PY)" -m common.reading.selftest.compare

test: lint ## ruff, mypy and the tests, two files at a time (PROCESSES=n)
	OMP_NUM_THREADS=1 "$(PY)" -m pytest -n $(or $(PROCESSES),2) --dist loadfile --no-loadscope-reorder tests/test_*.py tests/*/

test-kills: setup ## kill 50 tiny runs at random moments, go on, compare with a run left alone (minutes; KILLS=n)
	@OMP_NUM_THREADS=1 "$(PY)" -m tests.kill_runs --kills $(or $(KILLS),50)

test-mutations: setup ## break lines of the code one by one and see that the tests notice (minutes; ONLY='3 7')
	@"$(PY)" -m tests.mutations $(if $(ONLY),--only $(ONLY))

# mypy's own processes have three seconds to begin; where a busy machine takes longer (exit code 2) one process does it.
lint: setup ## ruff and mypy
	"$(PY)" -m ruff check .
	"$(PY)" -m mypy || { [ $$? -eq 2 ] && "$(PY)" -m mypy --num-workers 0; }

# Without --quiet, with which --strict lets warnings pass.
docs: setup ## the documentation as a site in site/ (first: .venv/bin/python -m pip install '.[docs]')
	@"$(PY)" -m mkdocs --version >/dev/null 2>&1 || { echo "make docs needs the extra: $(PY) -m pip install --editable '.[docs]'" >&2; exit 2; }
	@NO_MKDOCS_2_WARNING=1 "$(PY)" -m mkdocs build --strict

clean: ## remove runs/ and the synthetic cohort; .venv stays
	rm -rf runs data/phantom data/quick

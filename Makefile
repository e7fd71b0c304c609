# make study [DATASET=planted PRESET=tiny RECIPE=tuned SEEDS=0 WORKERS=2]   sets up, then runs every notebook
# make test                                                                 sets up, then runs every test
#
# Set-up happens once, in .venv, and again when pyproject.toml or constraints.txt change. PYTHON=python3.12 chooses
# another interpreter. On a Linux machine without a GPU, pip's usual settings may name PyTorch's index of CPU builds first:
# that avoids the large CUDA packages.
#
# WORKERS notebooks run at a time (two on preset tiny, else one), and tests on every core (four at most): processes of one
# thread each, since threads cost models this small more than they bring.
PYTHON ?= python3
DATASET ?= planted
PRESET ?= tiny
RECIPE ?= tuned
SEEDS ?= 0
WORKERS ?= $(if $(filter tiny,$(PRESET)),2,1)

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: study test
.DELETE_ON_ERROR:

study: $(INSTALLED)
	$(BIN)/contrec study --datasets "$(DATASET)" --preset "$(PRESET)" --recipes "$(RECIPE)" --seeds "$(SEEDS)" \
	  --workers "$(WORKERS)"

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests notebooks -n logical --maxprocesses=4 --dist=loadfile \
	  --nbval-lax --nbval-current-env --nbval-cell-timeout=300

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "contrec needs Python 3.11 to 3.13; name one: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@echo "Setting up $(VENV) (once; some minutes)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[all]'
	@touch $@

# make demo   a garment on a person, in a picture          (installs the base package, a minute)
# make test   style, types and tests                       (installs everything the tests need)
# make web    the page that runs in the browser, in site/  (needs npm)
# All create .venv on first use and install again only when pyproject.toml changes.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# Without litert and executorch, whose tests skip then: a gigabyte more, most of it jax, transformers
# and compilers. The others are 0.6 GB beside the 5 GB of torch.
EXTRAS := train,synth,export,tensorrt,mobile,openvino,app,serve,scale,dev

PERSON  ?= $(firstword $(wildcard examples/person.jpg examples/person_astronaut.jpg))
GARMENT ?= $(firstword $(wildcard examples/garment.jpg examples/garment_striped.jpg))
DEMO    := demo-output

.PHONY: help demo test web lint format clean

help:
	@sed -n 's/^# make/make/p' Makefile

demo: $(VENV)/.base
	@mkdir -p $(DEMO)
	@$(BIN)/dmvton try $(PERSON) $(GARMENT) -o $(DEMO)/result.png --layers $(DEMO)/layers
	@cp $(DEMO)/layers/contact.jpg $(DEMO)/contact.jpg
	@echo
	@echo "person, garment and result side by side: $(DEMO)/contact.jpg"
	@echo "the result alone: $(DEMO)/result.png; what it was made of: $(DEMO)/layers/"
	@echo "your own photos: $(BIN)/dmvton try PERSON.jpg GARMENT.jpg -o OUT.png"
	@echo "web page with webcam: $(BIN)/pip install -e '.[app]' && $(BIN)/dmvton demo"

web: $(VENV)/.base
	$(BIN)/python -m app.web.build --out site
	@echo "see it: $(BIN)/python -m app.web.serve site"

test: lint $(VENV)/.full
	$(BIN)/python -m pytest

lint: $(VENV)/.full
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.full
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(DEMO) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

# The stamps carry the time of the install that they stand for.
$(VENV)/.base: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/python -m pip install --quiet -e .
	@touch $@

$(VENV)/.full: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/python -m pip install --quiet -e ".[$(EXTRAS)]"
	@touch $@ $(VENV)/.base

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "cannot create $(VENV); on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

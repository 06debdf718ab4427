# What a person asks for, one line each. `make` alone lists them. For GNU make, 3.81 or newer.
#
# Everything runs in .venv. Each command installs there what it needs and not more, in the exact
# versions of requirements/GROUP.lock, and again when that has changed.

VENV := .venv
BIN := $(VENV)/bin
# Any Python from 3.11 on will do. Choose one yourself: make PYTHON=/usr/bin/python3.12 report
PYTHON ?=
CANDIDATES := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)
# Not empty when .venv was made with another Python than the one asked for, or in another folder:
# its programs begin with the path of their Python, so that a copy of a folder uses the original's.
VERSION := -c 'import sys; print(sys.version_info[:2])'
OTHER := $(if $(PYTHON),$(filter-out $(shell { $(BIN)/python $(VERSION); } 2>/dev/null),$(shell { $(PYTHON) $(VERSION); } 2>/dev/null)))
MOVED := $(shell test "`cat $(VENV)/made 2>/dev/null`" = "`pwd -P`" || echo moved)

# The programs speak the language of the edition that was asked for.
ifdef LANG_EDITION
ifeq ($(filter ru en,$(LANG_EDITION)),)
$(error LANG_EDITION=$(LANG_EDITION): есть только ru и en; there are only ru and en)
endif
export LANGUAGE := $(LANG_EDITION)
endif

# Not empty for a reader of English: the list of commands is in that language.
ENGLISH := $(filter en%,$(or $(LANG_EDITION),$(LC_ALL),$(LC_MESSAGES),$(LANG)))

# What the commands install: requirements/GROUP.lock, for the extra of that name in pyproject.toml.
GROUPS := chat grade notebooks report test
COMPILE := build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml

# What the programs read of the translations.
COMPILED := $(patsubst %.po,%.mo,$(wildcard chat/app/locale/*/LC_MESSAGES/*.po))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help report publish test anywhere grade describe grade-all bench exercise fuzz torture soak notebooks screenshots cert lint edition locale lock clean

help: ## показать этот список || show this list
	@awk -F ':.*## | [|][|] ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$$(if $(ENGLISH),3,2) }' \
		$(MAKEFILE_LIST)

report: $(VENV)/report.installed $(COMPILED) ## выполнить блокноты и собрать отчёт: HTML, PDF, DOCX, Markdown || execute the notebooks and build the report: HTML, PDF, DOCX, Markdown
	@$(BIN)/python -m report $(ARGS)

publish: $(VENV)/report.installed $(COMPILED) ## собрать отчёт и положить его в report/ru и report/en (для тех, кто ведёт проект) || build the report and copy it to report/ru and report/en (for whoever maintains the project)
	@$(BIN)/python -m report.original
	@$(BIN)/python -m report
	@$(BIN)/python -m report.publish

test: lint $(COMPILED) ## проверить код и выполнить все тесты || check the code and run all tests
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(ARGS)

anywhere: $(VENV)/test.installed ## выполнить тесты в недружелюбной обстановке: make anywhere ARGS=folder || run the tests in unusual environments: make anywhere ARGS=folder
	@$(BIN)/python -m tests.anywhere $(ARGS)

grade: $(VENV)/grade.installed ## оценить чат по требованиям задания: make grade ARGS="--submission ФАЙЛ.toml" || grade the chat by the requirements of the assignment: make grade ARGS="--submission FILE.toml"
	@$(BIN)/python -m tests.grading $(ARGS)

describe: $(VENV)/grade.installed ## узнать, как запускать и вести каждый чат в папке: make describe DIR=submissions || find out how each chat in a folder is started and spoken to: make describe DIR=submissions
	@$(BIN)/python -m tests.grading.describe --all "$(or $(DIR),submissions)" $(ARGS)

grade-all: $(VENV)/grade.installed ## оценить все работы в папке: make grade-all DIR=submissions || grade all submissions in a folder: make grade-all DIR=submissions
	@$(BIN)/python -m tests.grading.many "$(or $(DIR),submissions)" $(ARGS)

bench: $(VENV)/test.installed ## измерить чат рядом с другими: make bench ARGS=--quick || measure the chat beside others: make bench ARGS=--quick
	@$(BIN)/python -m tests.benchmarks $(ARGS)

exercise: $(VENV)/notebooks.installed ## проверить упражнение из notebooks/exercises/ru: make exercise N=3 || check an exercise of notebooks/exercises/en: make exercise N=3 LANG_EDITION=en
	@$(BIN)/python -m tests.exercises $(N)

fuzz: $(VENV)/test.installed ## прислать серверу и разборщику сто тысяч случайных потоков: make fuzz N=1000 || send the server and the decoder a hundred thousand random streams: make fuzz N=1000
	@FUZZ_INPUTS=$(or $(N),100000) $(BIN)/python -m pytest --numprocesses 2 tests/fuzz $(ARGS)

torture: $(VENV)/test.installed ## пять минут делать с чатом всё, что он обязан выдержать || do to the chat for five minutes all that it must survive
	@$(BIN)/python -m tests.faults.torture $(ARGS)

soak: $(VENV)/test.installed ## десять минут под двумя сотнями людей: make soak ARGS='--minutes 1' || ten minutes with two hundred users: make soak ARGS='--minutes 1'
	@$(BIN)/python -m tests.benchmarks.soak $(ARGS)

notebooks: $(VENV)/notebooks.installed ## открыть блокноты в JupyterLab, чтобы выполнять их по шагам || open the notebooks in JupyterLab, to run them step by step
	@$(BIN)/python -m jupyter lab --LabApp.default_url=/lab/tree/notebooks/$(or $(LANG_EDITION),ru)/01_description.ipynb \
		$(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

screenshots: $(VENV)/report.installed ## снять экраны настоящих программ заново || photograph the screens of the real programs again
	@$(BIN)/python -m screenshots --lang $(or $(LANG_EDITION),ru) $(ARGS)

cert: $(VENV)/chat.installed ## создать сертификат и ключ для TLS: make cert ARGS=192.168.1.5 || make a certificate and a key for TLS: make cert ARGS=192.168.1.5
	@$(BIN)/python -m chat.app.certificate $(ARGS)

lint: $(VENV)/test.installed ## проверить только оформление и типы: ruff и mypy || check style and types only: ruff and mypy
	@$(BIN)/python -m ruff check --quiet
	@$(BIN)/python -m ruff format --check --quiet || { $(BIN)/python -m ruff format --check; exit 1; }
	@$(BIN)/python -m mypy --no-error-summary

edition: $(VENV)/test.installed ## обновить английские главы и упражнения по каталогам переводов || update the English chapters and exercises from the catalogues of translations
	@$(BIN)/python -m report.edition

locale: $(VENV)/report.installed ## обновить каталоги переводов в chat/app/locale || update the catalogues of translations in chat/app/locale
	@$(BIN)/python -m chat.app.locale

# Chosen together first, so that the groups agree; what is there already is kept if it still fits.
lock: $(VENV)/made ## заново выбрать точные версии пакетов: requirements/*.lock || choose the exact versions of the packages anew: requirements/*.lock
	@$(BIN)/python -m venv build/uv
	@build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
	@cat requirements/*.lock > build/all.lock
	@$(COMPILE) $(GROUPS:%=--extra %) --output-file build/all.lock
	@for group in $(GROUPS); do \
		$(COMPILE) --extra $$group --constraint build/all.lock --output-file requirements/$$group.lock; \
	done

clean: ## убрать кэши и промежуточные файлы; .venv и готовый отчёт остаются || remove caches and intermediate files; .venv and the finished report stay
	@rm -rf build/cache build/uv .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	@find . -path ./$(VENV) -prune -o -type d \
		\( -name __pycache__ -o -name .ipynb_checkpoints \) -exec rm -rf {} +

$(COMPILED): %.mo: %.po
	@$(BIN)/python -m chat.app.locale --compile

# --- the environment ---

$(GROUPS:%=$(VENV)/%.installed): $(VENV)/%.installed: requirements/%.lock $(VENV)/made
	@echo '$(if $(ENGLISH),Installing the packages of,Устанавливаю пакеты из) $<…'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r $<
	@touch $@

# A candidate must really run: a version manager may leave names behind that do not.
$(VENV)/made: $(if $(OTHER)$(MOVED),anew)
	@set -e; \
	for candidate in $(CANDIDATES); do \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			python="$$candidate"; break; \
		fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo '$(if $(ENGLISH),Python 3.11 or newer is needed; none of these commands will do:,Нужен Python 3.11 или новее; ни одна из этих команд не подошла:) $(CANDIDATES).' >&2; \
		exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$(if $(ENGLISH),$$python has no module venv. On Debian and Ubuntu:,У $$python нет модуля venv. В Debian и Ubuntu:) sudo apt install python3-venv" >&2; \
		exit 1; \
	fi; \
	echo "$(if $(ENGLISH),Creating,Создаю) $(VENV): $$("$$python" --version)."; \
	"$$python" -m venv --clear $(VENV); \
	echo ../../../.. > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/repository.pth"; \
	pwd -P > $@

anew:

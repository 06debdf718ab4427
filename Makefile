# What a person asks for, one line each. `make` alone lists them.
#
# Everything runs in .venv, which is made from the exact versions of requirements.lock when it
# is missing, and brought up to date when the lock has changed.

VENV := .venv
BIN := $(VENV)/bin
# Exists when .venv is complete; younger than the lock when it is up to date.
INSTALLED := $(VENV)/installed
# Any Python from 3.11 on will do. Choose one yourself: make PYTHON=/usr/bin/python3.12 report
PYTHON ?=
CANDIDATES := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)
# Not empty when .venv was made with another Python than the one asked for.
VERSION := -c 'import sys; print(sys.version_info[:2])'
OTHER := $(if $(PYTHON),$(filter-out $(shell { $(BIN)/python $(VERSION); } 2>/dev/null),$(shell { $(PYTHON) $(VERSION); } 2>/dev/null)))

# Not empty for a reader of English: the list of commands is in that language.
ENGLISH := $(filter en%,$(or $(LANG_EDITION),$(LC_ALL),$(LC_MESSAGES),$(LANG)))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help report test grade describe grade-all bench exercise fuzz soak notebooks screenshots cert lint edition locale lock clean

help: ## показать этот список || show this list
	@awk -F ':.*## | [|][|] ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$$(if $(ENGLISH),3,2) }' \
		$(MAKEFILE_LIST)

report: $(INSTALLED) ## выполнить блокноты и собрать отчёт: HTML, PDF, DOCX, Markdown || execute the notebooks and build the report: HTML, PDF, DOCX, Markdown
	@$(BIN)/python -m report $(ARGS)

test: lint ## проверить код и выполнить все тесты || check the code and run all tests
	@$(BIN)/pytest $(ARGS)

grade: $(INSTALLED) ## оценить чат по требованиям задания: make grade ARGS="--submission ФАЙЛ.toml" || grade the chat by the requirements of the assignment: make grade ARGS="--submission FILE.toml"
	@$(BIN)/python -m tests.grading $(ARGS)

describe: $(INSTALLED) ## узнать, как запускать и вести каждый чат в папке: make describe DIR=submissions || find out how each chat in a folder is started and spoken to: make describe DIR=submissions
	@$(BIN)/python -m tests.grading.describe --all "$(or $(DIR),submissions)" $(ARGS)

grade-all: $(INSTALLED) ## оценить все работы в папке: make grade-all DIR=submissions || grade all submissions in a folder: make grade-all DIR=submissions
	@$(BIN)/python -m tests.grading.many "$(or $(DIR),submissions)" $(ARGS)

bench: $(INSTALLED) ## измерить чат рядом с другими: make bench ARGS=--quick || measure the chat beside others: make bench ARGS=--quick
	@$(BIN)/python -m tests.benchmarks $(ARGS)

exercise: $(INSTALLED) ## проверить упражнение из notebooks/exercises/ru: make exercise N=3 || check an exercise of notebooks/exercises/en: make exercise N=3 LANG_EDITION=en
	@$(BIN)/python -m tests.exercises $(N)

fuzz: $(INSTALLED) ## прислать серверу и разборщику сто тысяч случайных потоков: make fuzz N=1000 || send the server and the decoder a hundred thousand random streams: make fuzz N=1000
	@FUZZ_INPUTS=$(or $(N),100000) $(BIN)/pytest tests/fuzz $(ARGS)

soak: $(INSTALLED) ## десять минут под двумя сотнями людей: make soak ARGS='--minutes 1' || ten minutes under two hundred people: make soak ARGS='--minutes 1'
	@$(BIN)/python -m chat.lab.soak $(ARGS)

notebooks: $(INSTALLED) ## открыть блокноты в JupyterLab, чтобы выполнять их по шагам || open the notebooks in JupyterLab, to run them step by step
	@$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks/$(or $(LANG_EDITION),ru)/01_description.ipynb \
		$(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

screenshots: $(INSTALLED) ## снять экраны настоящих программ заново || photograph the screens of the real programs again
	@$(BIN)/python -m screenshots --lang $(or $(LANG_EDITION),ru) $(ARGS)

cert: $(INSTALLED) ## создать сертификат и ключ для TLS: make cert ARGS=192.168.1.5 || make a certificate and a key for TLS: make cert ARGS=192.168.1.5
	@$(BIN)/python -m chat.app.certificate $(ARGS)

lint: $(INSTALLED) ## проверить только оформление и типы: ruff и mypy || check style and types only: ruff and mypy
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { $(BIN)/ruff format --check; exit 1; }
	@$(BIN)/mypy --no-error-summary

edition: $(INSTALLED) ## обновить английские главы и упражнения по каталогам переводов || update the English chapters and exercises from the catalogues of translations
	@$(BIN)/python -m report.edition

locale: $(INSTALLED) ## обновить каталоги переводов в chat/app/locale || update the catalogues of translations in chat/app/locale
	@$(BIN)/python -m chat.app.locale

lock: $(INSTALLED) ## заново выбрать точные версии пакетов: requirements.lock || choose the exact versions of the packages anew: requirements.lock
	@$(BIN)/python -m venv build/uv
	@build/uv/bin/pip install --quiet --disable-pip-version-check uv
	@build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --extra test \
		--generate-hashes --no-emit-index-url --no-header --no-annotate \
		pyproject.toml --output-file requirements.lock

clean: ## убрать кэши и промежуточные файлы; .venv и готовый отчёт остаются || remove caches and intermediate files; .venv and the finished report stay
	@rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	@find . -path ./$(VENV) -prune -o -type d \
		\( -name __pycache__ -o -name .ipynb_checkpoints \) -exec rm -rf {} +

# A candidate must really run: a version manager may leave names behind that do not.
$(INSTALLED): requirements.lock pyproject.toml $(if $(OTHER),anew)
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
	if [ -n "$(OTHER)" ] || ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
		if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
			echo "$(if $(ENGLISH),$$python has no module venv. On Debian and Ubuntu:,У $$python нет модуля venv. В Debian и Ubuntu:) sudo apt install python3-venv" >&2; \
			exit 1; \
		fi; \
		echo "$(if $(ENGLISH),Creating,Создаю) $(VENV): $$("$$python" --version)."; \
		"$$python" -m venv --clear $(VENV); \
	fi; \
	echo '$(if $(ENGLISH),Installing the packages of requirements.lock (the first time: a minute or two)…,Устанавливаю пакеты из requirements.lock (в первый раз это минута или две)…)'; \
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

anew:

# just check, fix, test, docs, bench, release

default: check test

check:
    ruff check .
    ruff format --check .
    mypy
    lint-imports
    python docs/build.py --check
    python docs/texts.py --check
    python .ci/budgets.py

fix:
    ruff check --fix .
    ruff format .

test *ARGS:
    pytest -n 2 {{ARGS}}

# the quick part: no model, no pseudo-terminal
quick:
    pytest -n 2 -m "not model and not pty"

# the generated pages, and the catalogues of translations
docs:
    python docs/build.py
    python docs/texts.py

bench NAME *ARGS:
    python bench/{{NAME}}.py {{ARGS}}

# what a release brings: the wheel and the sources, and whether they are well-formed
release:
    rm -rf dist
    python -m build
    twine check --strict dist/*
